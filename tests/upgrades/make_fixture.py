"""Make the home and the relay that a format is remembered by. Run once with the code of that format; the result is committed.

    git archive COMMIT | tar -x -C OLD
    PYTHONPATH=OLD/core:OLD/client_cli:OLD/sync_server:tests .venv/bin/python tests/upgrades/make_fixture.py FOLDER

What older code doesn't know yet is left out. The key of the home is made of the letter k: it holds nothing but invented words.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from homes import Home, pair

from bide.crypto import sealing
from bide.ids import SystemClock, SystemRandomness, new_entry_id
from bide.log.envelope import EnvelopeClass, authenticated_prefix, write_envelope
from bide.log.event import Event, write_event
from bide.replica import Replica
from bide.replica.derivation.deriving import stored
from bide.storage.sqlite import SqliteStorage
from bide_relay.testing import RelayProcess

KEY = b"k" * 32
PARTS = ("bide.db", "config.toml")


def main(target: Path) -> None:
    """Write ``sam/``, ``relay.db`` and ``expected.json`` into a folder."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        with RelayProcess(made / "relay", "--registration", "open") as relay:
            sam, robin = Home(made / "sam", "Sam"), Home(made / "robin", "Robin")
            _rekey(sam)
            pair(sam, robin, relay.url)
            done = _write(sam, robin)
            if _add_and_remove(sam, made / "phone"):
                done.append("removed device")
            done += _put_back(sam, robin)
            _forge(robin)
            for home in (robin, sam):
                home.run("sync")
            # Only here, when the upgrade comes.
            sam.write("written after the last sync")
            expected = {
                "done": done,
                "timeline": sam.json("timeline")["entries"],
                "status": sam.json("status"),
                "outbox": sam.json("outbox").get("held", []) if "outbox" in done else [],
                "robin": sorted(robin.ids()),
            }
        target.mkdir(parents=True)
        (target / "sam").mkdir()
        for part in PARTS:
            shutil.copyfile(sam.folder / part, target / "sam" / part)
        config = target / "sam" / "config.toml"
        config.write_text(config.read_text().replace(str(sam.folder.with_suffix(".key")), "sam.key"))
        shutil.copyfile(made / "relay" / "relay.db", target / "relay.db")
        (target / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")


def _rekey(home: Home) -> None:
    """Give a home that was just made the key that the test knows."""
    import apsw

    path = home.folder.with_suffix(".key")
    database = apsw.Connection(str(home.folder / "bide.db"))
    database.execute("PRAGMA cipher = 'chacha20'")
    database.execute(f"PRAGMA key = 'raw:{path.read_bytes().hex()}'")
    database.execute("PRAGMA journal_mode = DELETE")
    database.execute(f"PRAGMA rekey = 'raw:{KEY.hex()}'")
    database.close()
    path.write_bytes(KEY)


def _write(sam: Home, robin: Home) -> list[str]:
    """Entries of the kinds that this code knows. Returns which of all this there is."""
    done = []

    def tried(what: str, home: Home, *args: str, values: object = None) -> str:
        stdin = json.dumps(values) if values is not None else None
        code, out, _ = home.call(*args, "--json", *(["--from-json", "-"] if stdin is not None else []), stdin=stdin)
        if code:
            return ""
        done.append(what)
        return str(json.loads(out).get("id", ""))

    tried("checkin", sam, "checkin", values={"lift": "the light this morning", "hard": "little sleep", "wants": "listening"})
    tried("private", sam, "checkin", "--private", values={"hard": "only for me"})
    thanked = sam.write("you made tea")
    sam.run("sync")
    robin.run("sync")
    tried("hearing", robin, "hear", thanked, values={"mirrored": "that tea mattered"})
    tried("share", robin, "share", values={"text": "we could walk more"})
    asked = tried("ask", sam, "ask", values={"question": "what was good this week?"})
    tried("feel", robin, "feel", values={"feelings": ["calm"]})
    tried("edit", sam, "edit", thanked, values={"noticed": "you made tea, and brought it"})
    repair = tried("repair", sam, "repair", "--now", values={"topic": "the dishes", "calm": True})
    sam.run("sync")
    robin.run("sync")
    if asked:
        tried("answer", robin, "answer", asked, values={"answer": "the long walk"})
    if repair:
        tried("repair accept", robin, "repair", repair, "accept")
        robin.run("sync")
        sam.run("sync")
        tried("repair tell", sam, "repair", repair, "tell", "--now", values={"own_part": "I left them", "felt": "tired"})
    with (sam.folder / "config.toml").open("a", encoding="utf-8") as file:
        file.write("hold.appreciation = 10080\n")
    if tried("outbox", sam, "outbox", values=None) is not None and "outbox" in done:
        sam.write("held back for a week")
    text = (sam.folder / "config.toml").read_text()
    (sam.folder / "config.toml").write_text(text.replace("hold.appreciation = 10080\n", ""))
    return done


def _add_and_remove(sam: Home, folder: Path) -> bool:
    """A second device of Sam's, which wrote something and was removed. Whether this code knows such."""
    waiting = sam.start("device", "add", "--json", "--words-verified")
    assert waiting.stdout is not None
    line = waiting.stdout.readline()
    if not line.startswith("{"):
        waiting.communicate()
        return False
    phone = Home.__new__(Home)
    phone.folder, phone.name = folder, "phone"
    args = ("--name", "phone", "--words-verified", "--no-input", "--key-file", str(folder.with_suffix(".key")))
    code, _, err = phone.call("device", "join", "--code", "-", *args, stdin=json.loads(line)["code"] + "\n")
    waiting.communicate(timeout=60)
    assert code == 0, err
    phone.run("sync")
    phone.write("from the phone")
    phone.run("sync")
    sam.run("sync")
    sam.run("device", "revoke", "phone", "--yes")
    sam.run("sync")
    return True


def _put_back(sam: Home, robin: Home) -> list[str]:
    """Words erased, a recovery phrase, and a home that came back from a backup and went on in a log of its own."""
    if sam.call("erase", "--help")[0]:
        return []
    gone = sam.write("erased again")
    sam.run("sync")
    robin.run("sync")
    sam.run("erase", gone, "--yes")
    sam.run("recovery", "create", "--json", "--words-noted", "--no-input")
    sam.run("sync")
    backup = sam.folder.with_name("backup")
    shutil.copytree(sam.folder, backup)
    sam.write("after the backup")
    sam.run("sync")
    shutil.rmtree(sam.folder)
    backup.rename(sam.folder)
    sam.write("in the home that came back")
    for home in (sam, sam, robin, sam):
        home.run("sync")
    return ["erased", "recovery phrase", "put back"]


def _forge(home: Home) -> None:
    """Two log entries as others may write them: one that can't be read, and one of a kind that is only invented later."""
    storage = SqliteStorage(home.folder / "bide.db", home.folder.with_suffix(".key").read_bytes())
    replica = Replica(storage)
    space = next(space for space in replica.spaces() if space.kind == "pair")
    entry = new_entry_id(SystemClock(), SystemRandomness(), slot=space.slot)
    from bide.crdt.document import create_change

    change = create_change({"sky": "blue"}, slot=space.slot, randomness=SystemRandomness())
    now = SystemClock().now_ms()
    newer = write_event(Event("weather.noted", 1, 1, entry, now, "UTC", "2026-01-01", change, ()))
    for plain in (b"\xc1 no event", newer):
        head = storage.heads(space.space_id)[space.log_id]
        nonce = os.urandom(sealing.NONCE_BYTES)
        prefix = authenticated_prefix(
            klass=EnvelopeClass.DATA,
            log_id=space.log_id,
            seq=head.seq + 1,
            prev_hash=head.hash,
            epoch_id=space.epoch_id,
            nonce=nonce,
        )
        secret = storage.epochs(space.space_id)[space.epoch_id]
        body = sealing.seal(plain, secret=secret, log=space.log_id, nonce=nonce, associated=prefix + space.space_id)
        with storage.transaction():
            storage.append(
                space.space_id, stored(write_envelope(prefix, body, space=space.space_id, signing_seed=space.signing_seed))
            )
    replica.rebuild()
    storage.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
