-- What people were told is the matter, an incident a row. Its number is its id, and is what people
-- call it by.
CREATE TABLE incident (
    org_id            BIGINT   NOT NULL REFERENCES org (id),
    number            BIGINT   NOT NULL,
    -- 'open', 'resolved' by evidence, or 'closed' by a person.
    state             TEXT     NOT NULL,
    severity          TEXT     NOT NULL,
    -- Whether it is still seen, or was not seen to be over: then it goes on after a restart.
    is_followed       SMALLINT NOT NULL,
    opened_at         BIGINT   NOT NULL,
    -- It began after the first and not after the second.
    onset_after       BIGINT   NOT NULL,
    onset_until       BIGINT   NOT NULL,
    resolved_at       BIGINT,
    closed_at         BIGINT,
    close_code        TEXT,
    merged_into       BIGINT,
    revision          BIGINT   NOT NULL,
    sentence          TEXT     NOT NULL,
    targets_down      BIGINT   NOT NULL,
    targets_degraded  BIGINT   NOT NULL,
    weight            BIGINT   NOT NULL,
    -- Causes with their evidence, whom it hits, what it stands for.
    body_json         TEXT     NOT NULL,
    -- Agent and target of pairs that have to answer before it is over.
    pairs_json        TEXT     NOT NULL,
    owner_id          BIGINT,
    owner_name        TEXT     NOT NULL,
    acknowledged_at   BIGINT,
    acknowledged_by   TEXT     NOT NULL,
    inventory_version BIGINT   NOT NULL,
    log_position      BIGINT   NOT NULL,
    updated_at        BIGINT   NOT NULL,
    PRIMARY KEY (org_id, number)
);
CREATE INDEX incident_by_state ON incident (org_id, state, number);
CREATE INDEX incident_followed ON incident (org_id, number) WHERE is_followed = 1;

-- What was believed when.
CREATE TABLE incident_revision (
    org_id            BIGINT NOT NULL REFERENCES org (id),
    number            BIGINT NOT NULL,
    revision          BIGINT NOT NULL,
    at                BIGINT NOT NULL,
    why               TEXT   NOT NULL,
    sentence          TEXT   NOT NULL,
    body_json         TEXT   NOT NULL,
    inventory_version BIGINT NOT NULL,
    log_position      BIGINT NOT NULL,
    PRIMARY KEY (org_id, number, revision),
    FOREIGN KEY (org_id, number) REFERENCES incident (org_id, number) ON DELETE CASCADE
);

-- What happened to it, and who did it.
CREATE TABLE incident_entry (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id     BIGINT   NOT NULL REFERENCES org (id),
    number     BIGINT   NOT NULL,
    at         BIGINT   NOT NULL,
    kind       TEXT     NOT NULL,
    actor_kind TEXT     NOT NULL,
    actor_id   BIGINT,
    actor_name TEXT     NOT NULL,
    note       TEXT     NOT NULL,
    -- Whether people outside were told.
    is_told    SMALLINT NOT NULL,
    FOREIGN KEY (org_id, number) REFERENCES incident (org_id, number) ON DELETE CASCADE
);
CREATE INDEX incident_entry_by_incident ON incident_entry (org_id, number, id);

-- Elements and targets that an incident ever named: to find it by them.
CREATE TABLE incident_subject (
    org_id BIGINT NOT NULL REFERENCES org (id),
    -- 'element' or 'target'.
    kind   TEXT   NOT NULL,
    name   TEXT   NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (org_id, kind, name, number),
    FOREIGN KEY (org_id, number) REFERENCES incident (org_id, number) ON DELETE CASCADE
);
CREATE INDEX incident_subject_by_incident ON incident_subject (org_id, number);

-- The number of the next incident, and up to which judgement of which process all is written.
CREATE TABLE incident_head (
    org_id      BIGINT NOT NULL PRIMARY KEY REFERENCES org (id),
    next_number BIGINT NOT NULL,
    run         BIGINT NOT NULL,
    turn        BIGINT NOT NULL
);
