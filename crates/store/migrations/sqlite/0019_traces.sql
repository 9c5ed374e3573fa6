-- The ways that packets took, on order. The agent and the target may be gone: their names stay.
CREATE TABLE trace (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id        BIGINT NOT NULL REFERENCES org (id),
    agent_id      BIGINT NOT NULL,
    agent_name    TEXT NOT NULL,
    target_id     BIGINT NOT NULL,
    target_name   TEXT NOT NULL,
    -- What was asked for: an address or a name.
    address       TEXT NOT NULL,
    options_json  TEXT NOT NULL,
    state         TEXT NOT NULL,
    -- Why it is as it is; empty if that needs no words.
    reason        TEXT NOT NULL,
    -- What its end was; empty while it has none.
    ending        TEXT NOT NULL,
    -- What was traced, where the address is a name; empty if it is not known.
    resolved      TEXT NOT NULL,
    hops_json     TEXT NOT NULL,
    asker_kind    TEXT NOT NULL,
    asker_name    TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    ended_at      BIGINT
);
CREATE INDEX trace_by_number ON trace (org_id, id);
CREATE INDEX trace_by_target ON trace (org_id, target_id, id);
CREATE INDEX trace_by_time ON trace (org_id, created_at);
