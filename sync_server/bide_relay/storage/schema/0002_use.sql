-- Version 2: when a space was last used, so that an operator can remove those that nobody uses any more.

ALTER TABLE spaces ADD COLUMN used_day INTEGER NOT NULL DEFAULT 0; -- days since 1970 UTC: whole days tell little about people
UPDATE spaces SET used_day = unixepoch() / 86400;
