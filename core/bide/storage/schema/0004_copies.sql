-- Homes that were copied or put back: what was taken out of this device's own log, and whose keys it wrote with before.

CREATE TABLE displaced (
    position  INTEGER PRIMARY KEY,                -- the order in which they were taken out: that in which they were written
    space_id  BLOB    NOT NULL REFERENCES space (space_id) ON DELETE CASCADE,
    log_id    BLOB    NOT NULL,
    seq       INTEGER NOT NULL,
    hash      BLOB    NOT NULL,
    control   INTEGER NOT NULL,
    data      BLOB    NOT NULL,                   -- the envelope as it was signed; kept for good
    waiting   INTEGER NOT NULL,                   -- 1: what it says was not said again yet
    UNIQUE (space_id, log_id, hash)
) STRICT;
CREATE INDEX displaced_waiting ON displaced (space_id, position) WHERE waiting = 1;

CREATE TABLE former_device (
    position        INTEGER PRIMARY KEY,          -- the latest is the last
    space_id        BLOB NOT NULL REFERENCES space (space_id) ON DELETE CASCADE,
    log_id          BLOB NOT NULL,
    signing_seed    BLOB NOT NULL,
    sealing_secret  BLOB NOT NULL,
    UNIQUE (space_id, log_id)
) STRICT;

CREATE TABLE beside (
    space_id  BLOB    NOT NULL REFERENCES space (space_id) ON DELETE CASCADE,
    log_id    BLOB    NOT NULL,                   -- of somebody else
    seq       INTEGER NOT NULL,                   -- another entry has this place in the log here
    hash      BLOB    NOT NULL,
    control   INTEGER NOT NULL,
    data      BLOB    NOT NULL,
    PRIMARY KEY (space_id, log_id, hash)
) STRICT;
