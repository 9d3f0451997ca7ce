-- The second format: what waits on this device before it is sent. No log holds any of it, so it can be taken back entirely.

CREATE TABLE outbox (
    held_id    BLOB    PRIMARY KEY,               -- 16 bytes: the id that a new entry will get; for a step one of its own
    space_id   BLOB    NOT NULL REFERENCES space (space_id) ON DELETE CASCADE,
    deed       TEXT    NOT NULL,                  -- JSON: what is to be done, with its words
    held_ms    INTEGER NOT NULL,                  -- when it was held, by this device's clock
    due_ms     INTEGER NOT NULL,                  -- when it is to go
    waits_for  BLOB,                              -- the entry that has to arrive first; null: nothing
    hindrance  TEXT    NOT NULL                   -- why it could not go when it was due, as a code; empty: it was not tried
) WITHOUT ROWID, STRICT;
