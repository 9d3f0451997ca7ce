-- Changes that may stop a process: what was being taken in when one died, and what was found to be the reason.

CREATE TABLE applying_key (
    key  BLOB NOT NULL                            -- 32 random bytes: seals the mark in the file beside this one
) STRICT;
INSERT INTO applying_key VALUES (randomblob(32));

CREATE TABLE suspect (
    space_id   BLOB    NOT NULL REFERENCES space (space_id) ON DELETE CASCADE,
    log_id     BLOB    NOT NULL,
    seq        INTEGER NOT NULL,
    entry_id   BLOB    NOT NULL,                  -- the entry that it is about; empty: not known yet
    set_aside  INTEGER NOT NULL,                  -- 1: tried apart, and it stops a process. 0: to be tried before it is taken in
    PRIMARY KEY (space_id, log_id, seq)
) WITHOUT ROWID, STRICT;
