-- The keys of every space a second time, on a page of its own: of all that is in this file, only they can't be had again elsewhere.
-- SQLite keeps the two alike, whoever writes; it is read by nothing but `bide doctor --repair`.

CREATE TABLE space_copy (
    position        INTEGER PRIMARY KEY,          -- all as in space
    space_id        BLOB    NOT NULL UNIQUE,
    kind            TEXT    NOT NULL,
    slot            INTEGER NOT NULL,
    log_id          BLOB    NOT NULL,
    signing_seed    BLOB    NOT NULL,
    sealing_secret  BLOB    NOT NULL,
    epoch_id        BLOB    NOT NULL,
    relay_url       TEXT    NOT NULL,
    pending         INTEGER NOT NULL
) STRICT;
INSERT INTO space_copy (position, space_id, kind, slot, log_id, signing_seed, sealing_secret, epoch_id, relay_url, pending)
    SELECT position, space_id, kind, slot, log_id, signing_seed, sealing_secret, epoch_id, relay_url, pending FROM space;

CREATE TRIGGER space_added AFTER INSERT ON space BEGIN
    INSERT INTO space_copy (position, space_id, kind, slot, log_id, signing_seed, sealing_secret, epoch_id, relay_url, pending)
        VALUES (new.position, new.space_id, new.kind, new.slot, new.log_id, new.signing_seed, new.sealing_secret, new.epoch_id,
            new.relay_url, new.pending);
END;
CREATE TRIGGER space_changed AFTER UPDATE ON space BEGIN
    UPDATE space_copy SET position = new.position, space_id = new.space_id, kind = new.kind, slot = new.slot,
        log_id = new.log_id, signing_seed = new.signing_seed, sealing_secret = new.sealing_secret, epoch_id = new.epoch_id,
        relay_url = new.relay_url, pending = new.pending
        WHERE space_id = old.space_id;
END;
CREATE TRIGGER space_removed AFTER DELETE ON space BEGIN
    DELETE FROM space_copy WHERE space_id = old.space_id;
END;
