-- The first format of a replica's database. Append-only: a later format is a further file, never a change of this one.

-- The truth -----------------------------------------------------------------------------------------------------------

CREATE TABLE meta (
    key    TEXT PRIMARY KEY,  -- a name, such as "name" for what this person is called
    value  TEXT NOT NULL
) WITHOUT ROWID, STRICT;

CREATE TABLE space (
    position        INTEGER PRIMARY KEY,          -- order of creation; the own space is the first
    space_id        BLOB    NOT NULL UNIQUE,      -- 16 bytes
    kind            TEXT    NOT NULL,             -- own, pair
    slot            INTEGER NOT NULL,             -- this person: 0 founded it, 1 joined it
    log_id          BLOB    NOT NULL,             -- 16 bytes: this device's own log
    signing_seed    BLOB    NOT NULL,             -- 32 bytes: this device's Ed25519 seed in this space
    sealing_secret  BLOB    NOT NULL,             -- 32 bytes: this device's X25519 secret in this space
    epoch_id        BLOB    NOT NULL,             -- 16 bytes: the epoch to seal under
    relay_url       TEXT    NOT NULL,             -- where it is synced; empty: nowhere
    pending         INTEGER NOT NULL              -- 1: joined here, not yet seen to be admitted
) STRICT;

CREATE TABLE epoch (
    space_id  BLOB NOT NULL REFERENCES space (space_id) ON DELETE CASCADE,
    epoch_id  BLOB NOT NULL,                      -- 16 bytes: commits to the secret
    secret    BLOB NOT NULL,                      -- 32 bytes
    PRIMARY KEY (space_id, epoch_id)
) WITHOUT ROWID, STRICT;

CREATE TABLE envelope (
    space_id  BLOB    NOT NULL REFERENCES space (space_id) ON DELETE CASCADE,
    log_id    BLOB    NOT NULL,                   -- 16 bytes
    seq       INTEGER NOT NULL,                   -- from 1, without gaps
    hash      BLOB    NOT NULL,                   -- 32 bytes: the entry's name
    control   INTEGER NOT NULL,                   -- 1: a change of membership; 0: a sealed event
    data      BLOB    NOT NULL,                   -- the envelope as it was signed
    UNIQUE (space_id, log_id, seq)
) STRICT;
CREATE INDEX envelope_control ON envelope (space_id) WHERE control = 1;

CREATE TABLE log_head (
    space_id  BLOB    NOT NULL REFERENCES space (space_id) ON DELETE CASCADE,
    log_id    BLOB    NOT NULL,
    seq       INTEGER NOT NULL,                   -- the last entry here
    hash      BLOB    NOT NULL,
    PRIMARY KEY (space_id, log_id)
) WITHOUT ROWID, STRICT;

CREATE TABLE relay_head (
    space_id  BLOB    NOT NULL REFERENCES space (space_id) ON DELETE CASCADE,
    log_id    BLOB    NOT NULL,
    seq       INTEGER NOT NULL,                   -- the last entry that the relay acknowledged
    hash      BLOB    NOT NULL,
    PRIMARY KEY (space_id, log_id)
) WITHOUT ROWID, STRICT;

CREATE TABLE evidence (
    space_id  BLOB NOT NULL REFERENCES space (space_id) ON DELETE CASCADE,
    header    BLOB NOT NULL,                      -- 204 bytes: a signed entry that contradicts the one in the log
    PRIMARY KEY (space_id, header)
) WITHOUT ROWID, STRICT;

-- Derived: all of it can be dropped and built again from the truth --------------------------------------------------------

CREATE TABLE member (
    position   INTEGER PRIMARY KEY,               -- order of admission
    space_id   BLOB    NOT NULL REFERENCES space (space_id) ON DELETE CASCADE,
    log_id     BLOB    NOT NULL,
    device_id  BLOB    NOT NULL,                  -- 32 bytes: the device's Ed25519 public key
    slot       INTEGER NOT NULL,
    UNIQUE (space_id, log_id)
) STRICT;

CREATE TABLE event (
    space_id       BLOB    NOT NULL REFERENCES space (space_id) ON DELETE CASCADE,
    log_id         BLOB    NOT NULL,
    seq            INTEGER NOT NULL,
    entry_id       BLOB    NOT NULL,              -- 16 bytes: the entry it happened to
    slot           INTEGER NOT NULL,              -- who caused it
    type           TEXT    NOT NULL,
    version        INTEGER NOT NULL,
    least_version  INTEGER NOT NULL,              -- the oldest schema that can read it
    time_ms        INTEGER NOT NULL,
    zone           TEXT    NOT NULL,
    day            TEXT    NOT NULL,
    change         BLOB    NOT NULL,              -- one Automerge change
    frontier       BLOB    NOT NULL,              -- log 16, seq u64, hash 32, repeated: what the author had
    standing       TEXT    NOT NULL,              -- applied, waiting, newer, ignored
    UNIQUE (space_id, log_id, seq)
) STRICT;
CREATE INDEX event_entry ON event (space_id, entry_id, log_id, seq);
CREATE INDEX event_type ON event (space_id, type);
CREATE INDEX event_standing ON event (space_id, standing) WHERE standing <> 'applied';

CREATE TABLE entry (
    number       INTEGER PRIMARY KEY,             -- joins the search index
    entry_id     BLOB    NOT NULL,                -- 16 bytes, unique in its space
    code         TEXT    NOT NULL,                -- the short code, 12 characters
    space_id     BLOB    NOT NULL REFERENCES space (space_id) ON DELETE CASCADE,
    kind         TEXT    NOT NULL,
    slot         INTEGER NOT NULL,                -- who wrote it
    at_ms        INTEGER NOT NULL,
    zone         TEXT    NOT NULL,
    day          TEXT    NOT NULL,
    shown        INTEGER NOT NULL,                -- 1: stands in the timeline by itself
    reply_to     BLOB,                            -- the entry it answers
    edited       INTEGER NOT NULL,
    state        TEXT    NOT NULL,                -- a repair's phase
    body         TEXT    NOT NULL,                -- JSON
    search_text  TEXT    NOT NULL,
    UNIQUE (entry_id, space_id)
) STRICT;
CREATE INDEX entry_time ON entry (at_ms, entry_id) WHERE shown = 1;
CREATE INDEX entry_kind ON entry (kind, at_ms, entry_id);
CREATE INDEX entry_code ON entry (code);
CREATE INDEX entry_reply ON entry (reply_to) WHERE reply_to IS NOT NULL;
CREATE INDEX entry_space ON entry (space_id, entry_id);

-- Trigrams find words in every script, those without spaces too.
CREATE VIRTUAL TABLE search USING fts5 (
    text, content = '', contentless_delete = 1, tokenize = 'trigram case_sensitive 1'
);

CREATE TABLE citation (
    space_id  BLOB    NOT NULL REFERENCES space (space_id) ON DELETE CASCADE,
    log_id    BLOB    NOT NULL,                   -- the log that is cited
    slot      INTEGER NOT NULL,                   -- by whose devices
    seq       INTEGER NOT NULL,                   -- up to here they have it
    PRIMARY KEY (space_id, log_id, slot)
) WITHOUT ROWID, STRICT;

CREATE TABLE quarantine (
    space_id  BLOB    NOT NULL REFERENCES space (space_id) ON DELETE CASCADE,
    log_id    BLOB    NOT NULL,
    seq       INTEGER NOT NULL,
    reason    TEXT    NOT NULL,                   -- one sentence
    PRIMARY KEY (space_id, log_id, seq)
) WITHOUT ROWID, STRICT;
