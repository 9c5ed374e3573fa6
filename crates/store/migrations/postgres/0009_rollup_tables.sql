-- Roll-ups as tables, for people who read them with SQL. The tables themselves are made by
-- src/tables, because what they are like depends on the extensions of the database; whatever is in
-- them is made of chunks, so they are in no archive and are made anew rather than changed.

-- Chunks of roll-ups that the tables do not know yet.
CREATE TABLE rollup_due (
    chunk_id BIGINT NOT NULL PRIMARY KEY
             REFERENCES history_chunk (id) ON DELETE CASCADE DEFERRABLE,
    org_id   BIGINT NOT NULL REFERENCES org (id) DEFERRABLE
);

-- What the tables are like by now; no row: there are none.
CREATE TABLE rollup_form (
    id   SMALLINT         NOT NULL PRIMARY KEY CHECK (id = 1),
    form TEXT COLLATE "C" NOT NULL,
    kept TEXT COLLATE "C" NOT NULL
);
