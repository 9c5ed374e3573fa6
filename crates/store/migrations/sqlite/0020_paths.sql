-- Why a trace was made, in a word and in a sentence, and the incident whose timeline it stands in.
ALTER TABLE trace ADD COLUMN why TEXT NOT NULL DEFAULT 'asked';
ALTER TABLE trace ADD COLUMN why_note TEXT NOT NULL DEFAULT '';
ALTER TABLE trace ADD COLUMN incident_number BIGINT;
CREATE INDEX trace_by_incident ON trace (org_id, incident_number);

-- The trace that an entry of a timeline tells of.
ALTER TABLE incident_entry ADD COLUMN trace_id BIGINT;

-- Which way packets took from an agent to a target, and from when to when it was seen so.
CREATE TABLE path_epoch (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id      BIGINT NOT NULL REFERENCES org (id),
    agent_id    BIGINT NOT NULL,
    agent_name  TEXT NOT NULL,
    target_id   BIGINT NOT NULL,
    target_name TEXT NOT NULL,
    -- When the way before it was seen last; null of the first.
    after_at    BIGINT,
    since_at    BIGINT NOT NULL,
    seen_at     BIGINT NOT NULL,
    -- 1: no other way was seen since.
    is_latest   BIGINT NOT NULL,
    -- The trace that saw it last.
    trace_id    BIGINT NOT NULL,
    -- How many traces saw it.
    seen_count  BIGINT NOT NULL,
    -- What it is other in than the way before; empty of the first.
    change_note TEXT NOT NULL,
    hops_json   TEXT NOT NULL
);
CREATE INDEX path_epoch_by_pair ON path_epoch (org_id, target_id, agent_id, id);
CREATE INDEX path_epoch_by_number ON path_epoch (org_id, id);
CREATE INDEX path_epoch_by_time ON path_epoch (org_id, seen_at);
