-- The relay's database, version 1. Files in this folder are numbered and never changed once released: a change of the
-- schema is a new file. PRAGMA user_version holds the number of the last one applied.
--
-- Every table about spaces leads with space_id, so that the same schema can be spread over nodes by that column.
-- Nothing here says who anybody is: ids and keys differ in every space, and bodies are sealed.

CREATE TABLE relay (                        -- one row: who this relay is
    one           INTEGER PRIMARY KEY CHECK (one = 1),  -- keeps it one row
    signing_seed  BLOB NOT NULL,            -- 32 bytes, Ed25519: the secret behind the relay's key
    store_id      BLOB NOT NULL,            -- 16 random bytes: clients notice when the storage was replaced
    made_ms       INTEGER NOT NULL          -- when, in ms since 1970 UTC
) STRICT;

CREATE TABLE invites (                      -- tokens that admit new spaces; about people, not about spaces
    digest        BLOB PRIMARY KEY,         -- 32 bytes, BLAKE2b of the token: a stolen file admits nobody
    spaces_left   INTEGER NOT NULL CHECK (spaces_left >= 0), -- how many more spaces it admits
    made_ms       INTEGER NOT NULL          -- when, in ms since 1970 UTC
) STRICT, WITHOUT ROWID;

CREATE TABLE spaces (
    space_id      BLOB PRIMARY KEY,         -- 16 bytes
    invite        BLOB,                     -- digest of the invite that paid for it; NULL where registration was open
    made_ms       INTEGER NOT NULL          -- when, in ms since 1970 UTC
) STRICT, WITHOUT ROWID;

CREATE TABLE logs (                         -- the head of each log, and what it takes: kept with every append
    space_id      BLOB NOT NULL REFERENCES spaces (space_id), -- the space
    log_id        BLOB NOT NULL,            -- 16 bytes, derived from space and device
    seq           INTEGER NOT NULL,         -- number of the last entry, which is also their count
    hash          BLOB NOT NULL,            -- 32 bytes, hash of the last entry
    bytes         INTEGER NOT NULL,         -- sum of the lengths of its envelopes
    PRIMARY KEY (space_id, log_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE envelopes (                    -- with a rowid: in a WITHOUT ROWID table inner pages would hold whole envelopes
    space_id      BLOB NOT NULL,            -- the space; its row in logs is written in the same transaction
    log_id        BLOB NOT NULL,            -- the log
    seq           INTEGER NOT NULL,         -- from 1, without gaps; the only order there is (never the rowid)
    class         INTEGER NOT NULL,         -- 0 data, 1 control
    data          BLOB NOT NULL,            -- the envelope exactly as it was signed
    PRIMARY KEY (space_id, log_id, seq)
) STRICT;

CREATE INDEX controls ON envelopes (space_id, log_id, seq) WHERE class = 1; -- who is a member is read from these alone
