-- Something in it cannot be read: it is not sealed, and stays until its retention is over.
ALTER TABLE history_tail ADD COLUMN is_damaged SMALLINT NOT NULL DEFAULT 0;
