-- What an agent found: a probe's name stands for another address than before. Append-only.
CREATE TABLE name_change (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id   BIGINT NOT NULL REFERENCES org (id),
    probe_id BIGINT NOT NULL,
    agent_id BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    name     TEXT   NOT NULL,
    -- Addresses.
    before   TEXT   NOT NULL,
    after    TEXT   NOT NULL,
    position BIGINT NOT NULL
);
CREATE INDEX name_change_by_probe ON name_change (probe_id, at, id);
CREATE INDEX name_change_by_time ON name_change (org_id, at, id);
