"""The switches that take a safety out, for the controls. They are no part of Bide: they alter it from outside.

In this process: ``with taken_out("unsynced"): ...``. In one of its own: ``python tests/crash/unsafe.py SWITCH bide thank``, or
``... SWITCH bide-relay serve``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `crash`, where this is the program
from crash.dying import DIES_AT, die_at

SWITCH = "CRASH_SWITCH"
"""The environment variable with a switch, for one process alone."""
Patch = tuple[Any, str, Any]
"""Where, which name, and what it is instead."""


def _unsynced() -> list[Patch]:
    """Neither device nor relay syncs its database: synchronous=OFF."""
    from bide.storage import opening
    from bide_relay.storage.sqlite import SqliteStorage

    set_up, connect = opening._set_up, SqliteStorage._connect

    def set_up_unsafe(connection: Any, *args: Any, **options: Any) -> None:
        set_up(connection, *args, **options)
        connection.execute("PRAGMA synchronous = OFF")

    def connect_unsafe(self: Any, flags: int) -> Any:
        connection = connect(self, flags)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    return [(opening, "_set_up", set_up_unsafe), (SqliteStorage, "_connect", connect_unsafe)]


def _early_ack() -> list[Patch]:
    """The relay leaves each transaction open until the next one: what it acknowledges is not committed yet."""
    from bide_relay.storage.sqlite import SqliteStorage

    @contextmanager
    def transaction(self: Any) -> Iterator[Any]:
        with self._lock:
            if self._writer.in_transaction:
                self._writer.execute("COMMIT")
            self._writer.execute("BEGIN IMMEDIATE")
            yield self._writer
            if self._writer.execute("SELECT count(*) FROM envelopes").get < 4:
                self._writer.execute("COMMIT")  # the spaces, which readers look for

    return [(SqliteStorage, "_transaction", transaction)]


def _early_word() -> list[Patch]:
    """`bide` says that something is written, and commits it a moment later."""
    from bide.storage.sqlite_truth import SqliteTruth
    from bide_cli import main as cli

    open_ones: list[Any] = []
    run = cli.main

    @contextmanager
    def transaction(self: Any) -> Iterator[None]:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
            open_ones.append(self._db)
        yield

    def main() -> int:
        code = run()
        sys.stdout.flush()
        time.sleep(0.03)
        for connection in open_ones:
            if connection.in_transaction:
                connection.execute("COMMIT")
        return code

    return [(SqliteTruth, "transaction", transaction), (cli, "main", main)]


def _key_in_place() -> list[Patch]:
    """Keys and the config are written over what was there, instead of beside it and then moved."""
    from bide_cli.home import configuring

    def replace(path: Path, text: str) -> None:
        with path.open("wb", buffering=0) as file:
            file.write(text.encode())
            os.fsync(file.fileno())

    return [(configuring, "_replace", replace)]


def _unsynced_folders() -> list[Patch]:
    """The names of keys, configs and exports are not synced."""
    from bide_cli.home import configuring, files
    from bide_cli.unlocking import keeping, rekeying

    nothing: Callable[[Path], None] = lambda path: None  # noqa: E731
    return [(module, "sync_directory", nothing) for module in (configuring, files, keeping, rekeying)]


def _early_keys() -> list[Patch]:
    """A new device names its keys before its home is there."""
    from bide.replica.joining.enrolling import SpacesReady
    from bide_cli.joining.enrolling import DeviceTalk

    handle = DeviceTalk._handle

    def handle_early(self: Any, event: object, connection: Any) -> None:
        if isinstance(event, SpacesReady):
            self._session.enrol()
            self._flush(connection)
            time.sleep(0.1)
            self._session.enrol = lambda: None
        handle(self, event, connection)

    return [(DeviceTalk, "_handle", handle_early)]


def _late_space() -> list[Patch]:
    """Who joins keeps nothing of the space before it has heard that it was let in."""
    from bide.replica.joining.pairing import PairingSession

    keep, joined = PairingSession._keep_pending, PairingSession._joined

    def keep_nothing(self: Any) -> None:
        keep(self)
        with self._storage.transaction():
            self._storage.remove_space(self._space.space_id)

    def joined_late(self: Any, payload: bytes) -> Any:
        time.sleep(0.1)
        keep(self)
        return joined(self, payload)

    return [(PairingSession, "_keep_pending", keep_nothing), (PairingSession, "_joined", joined_late)]


def _backup_in_place() -> list[Patch]:
    """A relay's backup is written under its name."""
    from bide_relay.storage.sqlite import SqliteStorage

    def back_up(self: Any, target: Path) -> None:
        target.touch(0o600)
        time.sleep(0.15)
        with self._reader() as connection:
            connection.execute("VACUUM INTO ?", (str(target),))

    return [(SqliteStorage, "back_up", back_up)]


def _plain_copies() -> list[Patch]:
    """Files are copied by reading and writing, which strace shows whole. No safety is taken out."""
    import shutil

    return [(shutil, "_USE_CP_SENDFILE", False)]


SWITCHES: dict[str, Callable[[], list[Patch]]] = {
    "unsynced": _unsynced,
    "early-ack": _early_ack,
    "early-word": _early_word,
    "key-in-place": _key_in_place,
    "unsynced-folders": _unsynced_folders,
    "early-keys": _early_keys,
    "late-space": _late_space,
    "backup-in-place": _backup_in_place,
    "plain-copies": _plain_copies,
}


@contextmanager
def taken_out(switch: str) -> Iterator[None]:
    """Take a safety out of this process for a while."""
    patches = SWITCHES[switch]()
    before = [getattr(where, name) for where, name, _ in patches]
    for where, name, instead in patches:
        setattr(where, name, instead)
    try:
        yield
    finally:
        for (where, name, _), was in zip(patches, before, strict=True):
            setattr(where, name, was)


def _clock(seconds: int) -> list[Patch]:
    """The clock is wrong by so many seconds; time that only passes, passes as ever. libfaketime breaks the sleep of threads."""
    now, now_ns = time.time, time.time_ns
    return [(time, "time", lambda: now() + seconds), (time, "time_ns", lambda: now_ns() + seconds * 10**9)]


class _FileKeyring:
    """Stands in for the keyring of a system: each change of it is there whole or not at all."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _read(self) -> dict[str, str]:
        kept: dict[str, str] = json.loads(self._path.read_text()) if self._path.exists() else {}
        return kept

    def _write(self, kept: dict[str, str]) -> None:
        part = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        part.write_text(json.dumps(kept))
        part.replace(self._path)

    def get_password(self, _: str, name: str) -> str | None:
        return self._read().get(name)

    def set_password(self, _: str, name: str, password: str) -> None:
        self._write(self._read() | {name: password})

    def delete_password(self, _: str, name: str) -> None:
        self._write({key: value for key, value in self._read().items() if key != name})


def _keyring(path: Path) -> list[Patch]:
    # Wherever it was imported to.
    places = [
        module for name, module in sys.modules.items() if name.startswith("bide_cli") and "allowed_keyring" in vars(module)
    ]
    return [(module, "allowed_keyring", lambda: _FileKeyring(path)) for module in places]


_for_good = ExitStack()


def _record(where: str) -> None:
    """Record what this process does to databases for good; takes no safety out."""
    from crash.recording import Recording

    folder, _, into = where.partition(":")
    _for_good.enter_context(Recording(Path(folder), into=Path(into)).running())


def take_out(switch: str) -> None:
    """Take a safety out of this process for good; an empty switch takes none out, ``clock-3600`` sets the clock, and
    ``record:FOLDER:FILE`` writes down what is done to the databases in a folder.
    """
    if switch.startswith("record:"):
        _record(switch.removeprefix("record:"))
        return
    if switch.startswith("clock"):
        patches = _clock(int(switch.removeprefix("clock")))
    elif switch.startswith("keyring:"):
        patches = _keyring(Path(switch.removeprefix("keyring:")))
    else:
        patches = SWITCHES[switch]() if switch else []
    for where, name, instead in patches:
        setattr(where, name, instead)


def run(program: str, args: list[str]) -> None:
    """Be ``bide`` or ``bide-relay``."""
    sys.argv = [program, *args]
    take_out(os.environ.get(SWITCH, ""))
    if DIES_AT in os.environ:
        die_at(int(os.environ[DIES_AT]))
    if program == "bide":
        from bide_cli import main as cli

        cli.entry()
    from bide_relay.main import main

    main(prog_name="bide-relay")


if __name__ == "__main__":
    take_out(sys.argv[1] if sys.argv[1] != "none" else "")
    run(sys.argv[2], sys.argv[3:])
