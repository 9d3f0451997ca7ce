-- Version 4: a space is deleted when everybody in it asked for that, having moved to another relay.

CREATE TABLE moved_on(                      -- who needs a space here no more; gone with the space
    space_id      BLOB NOT NULL REFERENCES spaces (space_id), -- the space
    slot          INTEGER NOT NULL CHECK (slot IN (0, 1)), -- which of its two people
    PRIMARY KEY (space_id, slot)
) STRICT, WITHOUT ROWID;

CREATE TABLE forgotten (                    -- spaces that were here: a device that comes late must not begin one again
    space_id      BLOB PRIMARY KEY,         -- 16 bytes
    day           INTEGER NOT NULL,         -- when it was deleted, in days since 1970 UTC
    swept         INTEGER NOT NULL          -- 0 while there may be envelopes of it that no row in logs speaks of
) STRICT, WITHOUT ROWID;

CREATE INDEX unswept ON forgotten (space_id) WHERE swept = 0; -- asked for at every start
