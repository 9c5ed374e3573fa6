-- History as chunks (src/chunks): rounds and minutes of many series together, compressed.

DROP TABLE probe_round;
DROP TABLE verdict_minute;

-- What commits recorded and no chunk holds yet, in the order in which it was recorded.
CREATE TABLE history_tail (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id     BIGINT   NOT NULL REFERENCES org (id),
    -- 1 rounds, 2 minutes.
    kind       SMALLINT NOT NULL,
    -- The first and the last instant in it.
    from_at    BIGINT   NOT NULL,
    to_at      BIGINT   NOT NULL,
    records    BIGINT   NOT NULL,
    written_at BIGINT   NOT NULL,
    body       BLOB     NOT NULL
);
CREATE INDEX history_tail_by_kind ON history_tail (org_id, kind, id);

-- The id is the generation: of two records of one instant, the higher one was recorded later.
CREATE TABLE history_chunk (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id       BIGINT   NOT NULL REFERENCES org (id),
    kind         SMALLINT NOT NULL,
    series_group BIGINT   NOT NULL,
    -- 0 as sealed, 1 a quarter of an hour, 2 an hour, 3 a day.
    level        SMALLINT NOT NULL,
    -- The minutes that it covers: the first, and how many.
    start        BIGINT   NOT NULL,
    minutes      BIGINT   NOT NULL,
    records      BIGINT   NOT NULL,
    written_at   BIGINT   NOT NULL,
    -- Something in it cannot be read: it is not merged any more, so that the rest stays.
    is_damaged   SMALLINT NOT NULL,
    head         BLOB     NOT NULL
);
CREATE INDEX history_chunk_by_group ON history_chunk (org_id, kind, series_group, start);
CREATE INDEX history_chunk_by_age ON history_chunk (org_id, kind, start);
CREATE INDEX history_chunk_open
    ON history_chunk (kind, level, start, org_id, series_group, written_at)
 WHERE is_damaged = 0 AND level < 3;

CREATE TABLE history_part (
    chunk_id BIGINT NOT NULL REFERENCES history_chunk (id) ON DELETE CASCADE,
    part     BIGINT NOT NULL,
    org_id   BIGINT NOT NULL REFERENCES org (id),
    body     BLOB   NOT NULL,
    PRIMARY KEY (chunk_id, part)
);

-- Minutes of which anything was recorded: those between that are not here, nobody watched.
CREATE TABLE recorded_minute (
    org_id BIGINT NOT NULL REFERENCES org (id),
    minute BIGINT NOT NULL,
    PRIMARY KEY (org_id, minute)
) WITHOUT ROWID;
