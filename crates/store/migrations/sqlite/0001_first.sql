-- The first schema.
--
-- Every table belongs to an organisation by org_id, but for these, which belong to the whole
-- installation: org, schema_step, inventory_head, engine_state, engine_checkpoint.
-- Times are microseconds since 1970-01-01T00:00:00Z, durations microseconds, truths 0 or 1.
-- Verdicts and causes are the numbers of src/code.rs. agent_id 0 is the consensus of all agents.
-- Texts compare bytewise (COLLATE "C" on PostgreSQL). Ids are never used again.

CREATE TABLE org (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT   NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE user_account (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id        BIGINT   NOT NULL REFERENCES org (id),
    name          TEXT     NOT NULL,
    role          TEXT     NOT NULL,
    password_hash TEXT     NOT NULL,
    is_active     SMALLINT NOT NULL,
    created_at    BIGINT   NOT NULL,
    updated_at    BIGINT   NOT NULL,
    UNIQUE (org_id, name)
);

CREATE TABLE session (
    token_hash   BLOB   NOT NULL PRIMARY KEY,
    org_id       BIGINT NOT NULL REFERENCES org (id),
    user_id      BIGINT NOT NULL REFERENCES user_account (id) ON DELETE CASCADE,
    csrf_token   TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL
);
CREATE INDEX session_by_user ON session (user_id);
CREATE INDEX session_by_expiry ON session (expires_at);

CREATE TABLE api_key (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id       BIGINT NOT NULL REFERENCES org (id),
    name         TEXT   NOT NULL,
    key_hash     BLOB   NOT NULL UNIQUE,
    role         TEXT   NOT NULL,
    permissions  TEXT,
    created_by   TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    last_used_at BIGINT,
    UNIQUE (org_id, name)
);

CREATE TABLE audit (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id      BIGINT NOT NULL REFERENCES org (id),
    at          BIGINT NOT NULL,
    actor_kind  TEXT   NOT NULL,
    actor_id    BIGINT,
    actor_name  TEXT   NOT NULL,
    action      TEXT   NOT NULL,
    object_kind TEXT   NOT NULL,
    object_id   BIGINT,
    object_name TEXT   NOT NULL,
    before_json TEXT,
    after_json  TEXT
);
CREATE INDEX audit_by_org ON audit (org_id, id);

CREATE TABLE inventory_head (
    id      SMALLINT NOT NULL PRIMARY KEY CHECK (id = 1),
    version BIGINT   NOT NULL
);

CREATE TABLE inventory_change (
    version    BIGINT   NOT NULL PRIMARY KEY,
    org_id     BIGINT   NOT NULL REFERENCES org (id),
    at         BIGINT   NOT NULL,
    actor_kind TEXT     NOT NULL,
    actor_id   BIGINT,
    kind       TEXT     NOT NULL,
    object_id  BIGINT   NOT NULL,
    is_removed SMALLINT NOT NULL,
    body_json  TEXT     NOT NULL
);

-- What was deleted, so that history still knows its name.
CREATE TABLE tombstone (
    kind       TEXT   NOT NULL,
    object_id  BIGINT NOT NULL,
    org_id     BIGINT NOT NULL REFERENCES org (id),
    probe_id   BIGINT UNIQUE,
    name       TEXT   NOT NULL,
    version    BIGINT NOT NULL UNIQUE,
    deleted_at BIGINT NOT NULL,
    PRIMARY KEY (kind, object_id)
);

CREATE TABLE tier (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id         BIGINT   NOT NULL REFERENCES org (id),
    name           TEXT     NOT NULL,
    interval_us    BIGINT   NOT NULL,
    packets        SMALLINT NOT NULL,
    gap_us         BIGINT   NOT NULL,
    timeout_us     BIGINT   NOT NULL,
    payload_bytes  SMALLINT NOT NULL,
    -- NULL: every capable agent.
    agent_count    SMALLINT,
    lost_raise     SMALLINT NOT NULL,
    lost_clear     SMALLINT NOT NULL,
    rtt_us_raise   BIGINT   NOT NULL,
    rtt_us_clear   BIGINT   NOT NULL,
    created_at     BIGINT   NOT NULL,
    updated_at     BIGINT   NOT NULL,
    UNIQUE (org_id, name)
);

CREATE TABLE target (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id        BIGINT   NOT NULL REFERENCES org (id),
    name          TEXT     NOT NULL,
    address       TEXT     NOT NULL,
    -- The address so that its bytes sort as people expect.
    address_key   BLOB     NOT NULL,
    tier_id       BIGINT   NOT NULL REFERENCES tier (id),
    note          TEXT     NOT NULL,
    is_paused     SMALLINT NOT NULL,
    -- Name, address and note in lower case.
    search        TEXT     NOT NULL,
    -- Copies out of verdict_now for sorting and counting: 0 down, 1 degraded, 2 unknown, 3 up.
    verdict_order SMALLINT NOT NULL,
    since_at      BIGINT   NOT NULL,
    created_at    BIGINT   NOT NULL,
    updated_at    BIGINT   NOT NULL,
    UNIQUE (org_id, name)
);
CREATE INDEX target_by_verdict ON target (org_id, verdict_order, name);
CREATE INDEX target_by_since ON target (org_id, since_at, id);
CREATE INDEX target_by_address ON target (org_id, address_key, id);
CREATE INDEX target_by_tier ON target (org_id, tier_id, name);
CREATE INDEX target_by_search ON target (org_id, search);
CREATE INDEX target_paused ON target (org_id, verdict_order) WHERE is_paused = 1;

CREATE TABLE target_tag (
    org_id    BIGINT NOT NULL REFERENCES org (id),
    tag       TEXT   NOT NULL,
    target_id BIGINT NOT NULL REFERENCES target (id) ON DELETE CASCADE,
    PRIMARY KEY (org_id, tag, target_id)
) WITHOUT ROWID;
CREATE INDEX target_tag_by_target ON target_tag (target_id, tag);

CREATE TABLE probe (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id    BIGINT NOT NULL REFERENCES org (id),
    target_id BIGINT NOT NULL REFERENCES target (id) ON DELETE CASCADE,
    kind      TEXT   NOT NULL,
    UNIQUE (target_id, kind)
);

CREATE TABLE agent (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id         BIGINT   NOT NULL REFERENCES org (id),
    name           TEXT     NOT NULL,
    is_paused      SMALLINT NOT NULL,
    is_revoked     SMALLINT NOT NULL,
    -- Addresses, joined by commas.
    witnesses      TEXT     NOT NULL,
    hello_version  TEXT,
    hello_os       TEXT,
    hello_hostname TEXT,
    last_seen_at   BIGINT,
    created_at     BIGINT   NOT NULL,
    updated_at     BIGINT   NOT NULL,
    UNIQUE (org_id, name)
);

CREATE TABLE agent_state_now (
    agent_id BIGINT NOT NULL PRIMARY KEY,
    org_id   BIGINT NOT NULL REFERENCES org (id),
    state    TEXT   NOT NULL,
    since_at BIGINT NOT NULL,
    why      TEXT   NOT NULL
);

CREATE TABLE agent_event (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id       BIGINT NOT NULL REFERENCES org (id),
    agent_id     BIGINT NOT NULL,
    state_before TEXT   NOT NULL,
    state        TEXT   NOT NULL,
    at           BIGINT NOT NULL,
    why          TEXT   NOT NULL,
    position     BIGINT NOT NULL
);
CREATE INDEX agent_event_by_time ON agent_event (org_id, at, id);
CREATE INDEX agent_event_by_agent ON agent_event (agent_id, id);

CREATE TABLE enrolment_token (
    secret_hash BLOB   NOT NULL PRIMARY KEY,
    org_id      BIGINT NOT NULL REFERENCES org (id),
    agent_id    BIGINT NOT NULL REFERENCES agent (id) ON DELETE CASCADE,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    redeemed_at BIGINT
);
CREATE INDEX enrolment_token_by_agent ON enrolment_token (agent_id);

-- Outlives its agent: a revoked serial stays revoked.
CREATE TABLE certificate (
    serial     TEXT   NOT NULL PRIMARY KEY,
    org_id     BIGINT NOT NULL REFERENCES org (id),
    agent_id   BIGINT NOT NULL,
    not_before BIGINT NOT NULL,
    not_after  BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX certificate_by_agent ON certificate (agent_id, not_after, serial);
CREATE INDEX certificate_revoked ON certificate (not_after) WHERE revoked_at IS NOT NULL;

CREATE TABLE agent_epoch (
    agent_id BIGINT NOT NULL PRIMARY KEY REFERENCES agent (id) ON DELETE CASCADE,
    org_id   BIGINT NOT NULL REFERENCES org (id),
    epoch    BIGINT NOT NULL,
    spool_id BLOB   NOT NULL,
    at       BIGINT NOT NULL
);

CREATE TABLE highwater (
    agent_id BIGINT NOT NULL REFERENCES agent (id) ON DELETE CASCADE,
    epoch    BIGINT NOT NULL,
    org_id   BIGINT NOT NULL REFERENCES org (id),
    seq      BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (agent_id, epoch)
);

CREATE TABLE engine_state (
    id                SMALLINT NOT NULL PRIMARY KEY CHECK (id = 1),
    position          BIGINT   NOT NULL,
    inventory_version BIGINT   NOT NULL,
    alive_at          BIGINT
);

CREATE TABLE engine_checkpoint (
    position BIGINT NOT NULL PRIMARY KEY,
    at       BIGINT NOT NULL,
    body     BLOB   NOT NULL
);

CREATE TABLE verdict_now (
    probe_id BIGINT   NOT NULL,
    agent_id BIGINT   NOT NULL,
    org_id   BIGINT   NOT NULL REFERENCES org (id),
    verdict  SMALLINT NOT NULL,
    cause    SMALLINT NOT NULL,
    why      TEXT     NOT NULL,
    since_at BIGINT   NOT NULL,
    PRIMARY KEY (probe_id, agent_id)
) WITHOUT ROWID;

-- Append-only; to_at is written once, when the next span begins.
CREATE TABLE verdict_span (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id            BIGINT   NOT NULL REFERENCES org (id),
    probe_id          BIGINT   NOT NULL,
    agent_id          BIGINT   NOT NULL,
    verdict_before    SMALLINT NOT NULL,
    verdict           SMALLINT NOT NULL,
    cause             SMALLINT NOT NULL,
    why               TEXT     NOT NULL,
    from_at           BIGINT   NOT NULL,
    to_at             BIGINT,
    position          BIGINT   NOT NULL,
    inventory_version BIGINT   NOT NULL
);
CREATE UNIQUE INDEX verdict_span_open ON verdict_span (probe_id, agent_id) WHERE to_at IS NULL;
CREATE INDEX verdict_span_by_probe ON verdict_span (probe_id, from_at, id);
CREATE INDEX verdict_span_recent ON verdict_span (org_id, from_at, id) WHERE agent_id = 0;
CREATE INDEX verdict_span_ended ON verdict_span (org_id, to_at) WHERE to_at IS NOT NULL;

-- Clustered by time: a minute of all probes is written together and swept together.
-- A range of one probe is read by one search for each of its minutes.
CREATE TABLE verdict_minute (
    org_id     BIGINT   NOT NULL REFERENCES org (id),
    minute     BIGINT   NOT NULL,
    probe_id   BIGINT   NOT NULL,
    agent_id   BIGINT   NOT NULL,
    verdict    SMALLINT NOT NULL,
    cause      SMALLINT NOT NULL,
    rounds     BIGINT   NOT NULL,
    not_asked  BIGINT   NOT NULL,
    sent       BIGINT   NOT NULL,
    received   BIGINT   NOT NULL,
    rtt_us_min BIGINT   NOT NULL,
    rtt_us_sum BIGINT   NOT NULL,
    rtt_us_max BIGINT   NOT NULL,
    revision   BIGINT   NOT NULL,
    said_first SMALLINT,
    PRIMARY KEY (org_id, minute, probe_id, agent_id)
) WITHOUT ROWID;

-- As verdict_minute; minute is that of at.
CREATE TABLE probe_round (
    org_id           BIGINT   NOT NULL REFERENCES org (id),
    minute           BIGINT   NOT NULL,
    probe_id         BIGINT   NOT NULL,
    agent_id         BIGINT   NOT NULL,
    at               BIGINT   NOT NULL,
    sent             SMALLINT NOT NULL,
    received         SMALLINT NOT NULL,
    confirm_sent     SMALLINT NOT NULL,
    confirm_received SMALLINT NOT NULL,
    rtt_us_min       BIGINT,
    rtt_us_mean      BIGINT,
    rtt_us_max       BIGINT,
    flags            SMALLINT NOT NULL,
    -- Why it could not ask; NULL if it asked.
    not_asked        SMALLINT,
    icmp_kind        SMALLINT,
    icmp_code        SMALLINT,
    icmp_source      TEXT,
    PRIMARY KEY (org_id, minute, probe_id, agent_id, at)
) WITHOUT ROWID;

-- Kept beside the rounds, because finding it among them costs a minute of rows.
CREATE TABLE freshness (
    org_id          BIGINT NOT NULL PRIMARY KEY REFERENCES org (id),
    newest_round_at BIGINT NOT NULL
);

CREATE TABLE monitor_gap (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id  BIGINT   NOT NULL REFERENCES org (id),
    from_at BIGINT   NOT NULL,
    to_at   BIGINT   NOT NULL,
    cause   SMALLINT NOT NULL
);
CREATE INDEX monitor_gap_by_time ON monitor_gap (org_id, to_at, id);

INSERT INTO org (id, name, created_at) VALUES (1, 'default', unixepoch() * 1000000);
INSERT INTO engine_state (id, position, inventory_version, alive_at) VALUES (1, 0, 0, NULL);
INSERT INTO tier (
    id, org_id, name, interval_us, packets, gap_us, timeout_us, payload_bytes, agent_count,
    lost_raise, lost_clear, rtt_us_raise, rtt_us_clear, created_at, updated_at
) VALUES
    (1, 1, 'standard', 30000000, 5, 200000, 1000000, 56, NULL, 7, 2, 150000, 120000,
     unixepoch() * 1000000, unixepoch() * 1000000),
    (2, 1, 'fast', 5000000, 5, 200000, 1000000, 56, NULL, 7, 2, 150000, 120000,
     unixepoch() * 1000000, unixepoch() * 1000000);
INSERT INTO inventory_head (id, version) VALUES (1, 2);
INSERT INTO inventory_change (
    version, org_id, at, actor_kind, actor_id, kind, object_id, is_removed, body_json
) VALUES
    (1, 1, unixepoch() * 1000000, 'system', NULL, 'tier', 1, 0, '{"name":"standard"}'),
    (2, 1, unixepoch() * 1000000, 'system', NULL, 'tier', 2, 0, '{"name":"fast"}');
