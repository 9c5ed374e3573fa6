-- For how long a tier keeps what is recorded of its targets, in days; NULL: as long as the
-- configuration says. Of each agent (also its days), and of all together.
ALTER TABLE tier ADD COLUMN rounds_days BIGINT;
ALTER TABLE tier ADD COLUMN minutes_days BIGINT;
ALTER TABLE tier ADD COLUMN agent_5m_days BIGINT;
ALTER TABLE tier ADD COLUMN agent_1h_days BIGINT;
ALTER TABLE tier ADD COLUMN target_5m_days BIGINT;
ALTER TABLE tier ADD COLUMN target_1h_days BIGINT;
ALTER TABLE tier ADD COLUMN target_1d_days BIGINT;

-- A bit for each of the 64 subjects of the group: what the chunk had of it was forgotten.
ALTER TABLE history_chunk ADD COLUMN forgotten BIGINT NOT NULL DEFAULT 0;
-- What is too old is found without a look at the heads.
DROP INDEX history_chunk_by_age;
CREATE INDEX history_chunk_by_age
    ON history_chunk (org_id, kind, start, id, minutes, series_group, forgotten);

-- Before this minute rounds or minutes of a subject are deleted, in the place of what history_swept
-- says of its organisation: those of a tier with times of its own.
CREATE TABLE series_swept (
    org_id  BIGINT NOT NULL REFERENCES org (id),
    subject BIGINT NOT NULL,
    before  BIGINT NOT NULL,
    PRIMARY KEY (org_id, subject)
) WITHOUT ROWID;
