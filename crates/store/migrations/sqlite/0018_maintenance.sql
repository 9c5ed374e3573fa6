-- When somebody works on what, once or again and again. Which moments that is follows from start,
-- zone and rule.
CREATE TABLE maintenance (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id       BIGINT NOT NULL REFERENCES org (id),
    title        TEXT   NOT NULL,
    note         TEXT   NOT NULL,
    -- Pairs of kind and name.
    covers_json  TEXT   NOT NULL,
    -- The first occurrence, as planned.
    start_at     BIGINT NOT NULL,
    end_at       BIGINT NOT NULL,
    zone         TEXT   NOT NULL,
    -- An RRULE; empty of a window that is open once.
    rule         TEXT   NOT NULL,
    except_json  TEXT   NOT NULL,
    -- Occurrences that were ended early or extended: when each began, and its end.
    amended_json TEXT   NOT NULL,
    -- When the last occurrence ends; null while it recurs without end.
    ends_at      BIGINT,
    cancelled_at BIGINT,
    created_at   BIGINT NOT NULL,
    -- Empty for the software itself.
    created_by   TEXT   NOT NULL,
    updated_at   BIGINT NOT NULL
);
CREATE INDEX maintenance_by_end ON maintenance (org_id, ends_at, id);

-- The window that nobody was told of it for when it opened, or came back last, and whether that is
-- still so.
ALTER TABLE incident ADD COLUMN maintenance_id BIGINT;
ALTER TABLE incident ADD COLUMN is_silent SMALLINT NOT NULL DEFAULT 0;
