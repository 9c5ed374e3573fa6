-- Roll-ups as tables are of PostgreSQL alone: here a file is nobody's but the server's, and whoever
-- wants roll-ups asks /history.
SELECT 1;
