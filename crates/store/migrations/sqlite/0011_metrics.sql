-- Series of metrics: what the history has of each is under 2^31 and its id, as further kinds of
-- chunks: 9 samples, 10 five minutes, 11 hours and 12 days.
CREATE TABLE metric_series (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id       BIGINT  NOT NULL REFERENCES org (id),
    -- What it is of: 'agent' and its id.
    subject_kind TEXT    NOT NULL,
    subject_id   BIGINT  NOT NULL,
    name         TEXT    NOT NULL,
    -- As OpenMetrics writes them: key="value",… in the order of the keys.
    labels       TEXT    NOT NULL,
    -- 'gauge', 'counter', or 'counter32' that begins again after 2^32 - 1.
    kind         TEXT    NOT NULL,
    -- When it was heard last, to the day.
    seen_at      BIGINT  NOT NULL,
    UNIQUE (org_id, subject_kind, subject_id, name, labels, kind)
);
CREATE INDEX metric_series_by_age ON metric_series (org_id, seen_at);

-- Before this minute hours of metrics are deleted: days are not made of them.
ALTER TABLE history_swept ADD COLUMN metric_hours BIGINT;
