-- Roll-ups of 5 minutes, hours and days: further kinds of chunks, and what is to be rolled up.

-- Kinds of chunks: 3 five minutes and 4 hours of each agent; 5 five minutes, 6 hours and 7 days of
-- all agents together. Their levels: 1 as made, 3 the longest span.

-- Hours of which rounds or minutes were sealed, and days of which hours were rolled up, since they
-- were rolled up themselves.
CREATE TABLE history_due (
    org_id       BIGINT NOT NULL REFERENCES org (id) DEFERRABLE,
    series_group BIGINT NOT NULL,
    -- 60 or 1440.
    minutes      BIGINT NOT NULL,
    start        BIGINT NOT NULL,
    -- The chunk that came last: the same still if nothing came in while it was rolled up.
    chunk_id     BIGINT NOT NULL,
    marked_at    BIGINT NOT NULL,
    PRIMARY KEY (org_id, series_group, minutes, start)
);
CREATE INDEX history_due_by_time ON history_due (minutes, marked_at, start);

-- Before this minute rounds or minutes are deleted: what was rolled up stands.
CREATE TABLE history_swept (
    org_id BIGINT NOT NULL PRIMARY KEY REFERENCES org (id) DEFERRABLE,
    before BIGINT NOT NULL
);

-- What there is by now is rolled up, too.
INSERT INTO history_due (org_id, series_group, minutes, start, chunk_id, marked_at)
WITH RECURSIVE hour (number) AS (
    SELECT 0
     UNION ALL
    SELECT number + 1 FROM hour WHERE number < 23
)
SELECT org_id, series_group, 60, (start / 60 + number) * 60, max(id), 0
  FROM history_chunk
  JOIN hour ON number * 60 < start - start / 60 * 60 + minutes
 GROUP BY org_id, series_group, (start / 60 + number) * 60;
