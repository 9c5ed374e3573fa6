-- Round-trip times of roll-ups are kept rounded (src/chunks/rollup.rs), and days of each agent are
-- kept: kind 8. What was kept otherwise goes, and is made anew of the rounds and minutes that there
-- still are.
DELETE FROM history_chunk WHERE kind >= 3;
DELETE FROM history_due;
-- How much of the rounds and minutes was forgotten is known no more: where rounds are gone and
-- minutes are not, what is made of the minutes has no times, and nothing more goes before it is
-- made.
DELETE FROM history_swept;
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
