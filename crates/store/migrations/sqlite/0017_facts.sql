-- What devices and whoever asks them reported. A state that is reported again is the same row, seen
-- later; its contrary ends it.
CREATE TABLE fact (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id      BIGINT   NOT NULL REFERENCES org (id),
    -- What reported it, as the sender calls it.
    source      TEXT     NOT NULL,
    -- As it was reported: the topology may know it or not.
    element     TEXT     NOT NULL,
    -- Whose side of a link, and from which agent; empty where that is not said.
    end_element TEXT     NOT NULL,
    agent       TEXT     NOT NULL,
    -- A kind and its contrary are one topic.
    topic       TEXT     NOT NULL,
    kind        TEXT     NOT NULL,
    value       DOUBLE PRECISION,
    since_at    BIGINT   NOT NULL,
    -- When it was seen to be so last.
    seen_at     BIGINT   NOT NULL,
    -- When the contrary began; null while it was not reported.
    until_at    BIGINT,
    -- The last word of its source about this.
    is_latest   SMALLINT NOT NULL,
    received_at BIGINT   NOT NULL,
    sender_kind TEXT     NOT NULL,
    sender_id   BIGINT,
    sender_name TEXT     NOT NULL,
    UNIQUE (org_id, element, source, end_element, agent, topic, since_at, kind)
);
CREATE INDEX fact_by_number ON fact (org_id, id);
CREATE INDEX fact_by_time ON fact (org_id, seen_at);

-- What was answered to a request that has a key: asked again, it is answered the same.
CREATE TABLE fact_request (
    org_id      BIGINT NOT NULL REFERENCES org (id),
    sender_kind TEXT   NOT NULL,
    -- 0 for the software itself.
    sender_id   BIGINT NOT NULL,
    request_key TEXT   NOT NULL,
    -- Of what was asked.
    digest      BLOB   NOT NULL,
    answer_json TEXT   NOT NULL,
    at          BIGINT NOT NULL,
    PRIMARY KEY (org_id, sender_kind, sender_id, request_key)
);
CREATE INDEX fact_request_by_time ON fact_request (org_id, at);
