-- What other devices say they had, with the hash: so that two who were shown different histories find out.

-- Derived, and built again from the log when this format is reached.
DROP TABLE citation;
CREATE TABLE citation (
    space_id  BLOB    NOT NULL REFERENCES space (space_id) ON DELETE CASCADE,
    log_id    BLOB    NOT NULL,                   -- the log that is cited
    by_log    BLOB    NOT NULL,                   -- by the log of which device
    slot      INTEGER NOT NULL,                   -- whose device that is
    seq       INTEGER NOT NULL,                   -- up to here that device has it
    hash      BLOB    NOT NULL,                   -- what it has there
    by_seq    INTEGER NOT NULL,                   -- where in its log it says so
    PRIMARY KEY (space_id, log_id, by_log)
) WITHOUT ROWID, STRICT;

-- The truth: stays when all that is derived is dropped.
CREATE TABLE contradiction (
    space_id  BLOB    NOT NULL REFERENCES space (space_id) ON DELETE CASCADE,
    log_id    BLOB    NOT NULL,                   -- as in citation: there the log here holds something else
    by_log    BLOB    NOT NULL,
    slot      INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    hash      BLOB    NOT NULL,
    by_seq    INTEGER NOT NULL,
    PRIMARY KEY (space_id, log_id, by_log)
) WITHOUT ROWID, STRICT;
