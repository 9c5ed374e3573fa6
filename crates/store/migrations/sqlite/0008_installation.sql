-- Which installation a database of PostgreSQL is of: the data directory that goes with it notes the
-- same. It belongs to the whole installation, and is in no archive: what is restored is another.
CREATE TABLE installation (
    id   SMALLINT NOT NULL PRIMARY KEY CHECK (id = 1),
    name TEXT NOT NULL
);
