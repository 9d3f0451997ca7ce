"""What an operator does: backup and restore, counts, removing what nobody uses, metrics."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import apsw
import pytest

from bide.ids import SystemRandomness
from bide.protocol.frames import CaughtUp, Stored, Welcome
from bide.testing import SpaceBuilder
from bide_relay.storage.base import Batch
from bide_relay.storage.sqlite import SqliteStorage
from bide_relay.testing import RelayProcess, WireClient


def command(*args: str | Path, given: str = "") -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "bide_relay.main", *map(str, args)]
    return subprocess.run(line, capture_output=True, text=True, timeout=30, input=given)


def own_space(entries: int = 3) -> SpaceBuilder:
    space = SpaceBuilder.found("own", randomness=SystemRandomness())
    for _ in range(entries):
        space.write(space.founder)
    return space


def stored(folder: Path, *spaces: SpaceBuilder) -> None:
    storage = SqliteStorage(folder)
    for space in spaces:
        storage.found(space.id, space.envelopes[0], invite=None)
        storage.append([Batch(space.id, space.envelopes)])
    storage.close()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def join(relay: RelayProcess, space: SpaceBuilder) -> tuple[WireClient, Welcome]:
    client = await WireClient.connect(relay.url)
    await client.prove(space=space.id, device=space.founder.device_id, signing_seed=space.founder.keys.signing_seed)
    return client, await client.welcome(genesis=space.envelopes[0].data)


async def test_backup_while_it_runs_and_restore(tmp_path: Path) -> None:
    """The copy is whole and private; restored, it says that it is another storage, and a device sends what came after."""
    space = own_space()
    copy = tmp_path / "copy.db"
    async with RelayProcess(tmp_path / "data", "--registration", "open") as relay:
        client, _ = await join(relay, space)
        await client.want({space.founder.log_id: 4})
        await client.expect(CaughtUp)
        await client.upload([e.data for e in space.envelopes[1:]])
        await client.expect(Stored)
        done = await asyncio.to_thread(command, "backup", "--data", relay.data, copy)
        assert (done.returncode, done.stdout) == (0, "Backed up 1 space.\n"), done.stderr
        later = space.write(space.founder)
        await client.upload([later.data])
        await client.expect(Stored)
        assert client.session.hello is not None
        before = client.session.hello
        await client.close()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert names_in(tmp_path) == ["copy.db", "data", "data.log"]
    again = command("backup", "--data", tmp_path / "data", copy)
    assert (again.returncode, "already" in again.stderr) == (1, True)

    assert command("restore", "--data", tmp_path / "data", copy).returncode == 2
    done = command("restore", "--data", tmp_path / "new", copy)
    assert (done.returncode, done.stdout) == (0, "Restored 1 space, 4 entries.\n"), done.stderr
    assert names_in(tmp_path / "new") == ["relay.db", "relay.lock"]
    assert stat.S_IMODE((tmp_path / "new" / "relay.db").stat().st_mode) == 0o600
    async with RelayProcess(tmp_path / "new") as relay:
        client, welcome = await join(relay, space)
        assert client.session.hello is not None
        assert client.session.hello.relay_key == before.relay_key
        assert client.session.hello.store_id != before.store_id
        assert welcome.heads[0].seq == 4
        await client.want({space.founder.log_id: 5})
        await client.expect(CaughtUp)
        await client.upload([later.data])
        assert (await client.expect(Stored)).heads[0].seq == 5
        await client.close()


def test_a_damaged_backup_is_not_restored(tmp_path: Path) -> None:
    """Nor one that isn't there, nor over a relay that runs; nothing is left behind."""
    stored(tmp_path / "data", own_space())
    copy = tmp_path / "copy.db"
    assert command("backup", "--data", tmp_path / "data", copy).returncode == 0
    connection = apsw.Connection(str(copy))
    connection.execute("UPDATE envelopes SET data = CAST(substr(data, 1, length(data) - 1) || x'00' AS BLOB) WHERE seq = 3")
    connection.close()
    done = command("restore", "--data", tmp_path / "new", copy)
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (1, 1), done.stderr
    assert names_in(tmp_path / "new") == ["relay.lock"]
    assert command("restore", "--data", tmp_path / "new", tmp_path / "none").returncode == 2
    assert "The backup is damaged; nothing was restored." in done.stderr
    for content, code, words in (
        (b"no database at all", 2, "no backup of a relay"),
        (b"", 1, "The backup is empty."),
        (b"SQLite format 3\0" + b"and nothing else" * 300, 1, "The backup is damaged"),
    ):
        (tmp_path / "none.db").write_bytes(content)
        done = command("restore", "--data", tmp_path / "new", tmp_path / "none.db")
        assert (done.returncode, words in done.stderr) == (code, True), done.stderr
        assert "Stop it" not in done.stderr, "of a relay that nobody asked about"
    assert names_in(tmp_path / "new") == ["relay.lock"]


def test_a_relay_whose_database_is_empty_says_so_and_begins_anew(tmp_path: Path) -> None:
    """Once; and not where SQLite would throw away what had not been written into it yet."""
    data = tmp_path / "data"
    stored(data, own_space())
    os.truncate(data / "relay.db", 0)
    wal = data / "relay.db-wal"
    wal.write_bytes(b"not written yet")
    refused = command("serve", "--listen", "127.0.0.1:0", "--data", data)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1), refused
    assert "relay.db-wal is not" in refused.stderr
    assert ((data / "relay.db").read_bytes(), wal.read_bytes()) == (b"", b"not written yet")
    wal.unlink()
    with RelayProcess(data) as relay:
        assert relay.log.count("begins anew") == 1
    assert command("check", "--data", data).stdout == "All is well: 0 spaces, 0 entries.\n"
    with RelayProcess(data) as relay:
        assert relay.log.count("begins anew") == 1, "the log of both starts"


def test_what_is_no_backup_makes_no_folder(tmp_path: Path) -> None:
    """It is looked at before anything is made for it."""
    (tmp_path / "none.txt").write_text("no database at all")
    assert command("restore", "--data", tmp_path / "new", tmp_path / "none.txt").returncode == 2
    assert command("restore", "--data", tmp_path / "new", tmp_path / "nowhere").returncode == 2
    assert names_in(tmp_path) == ["none.txt"]


def test_spaces_are_counted_and_not_named(tmp_path: Path) -> None:
    """One line a space, the largest first."""
    small, large = own_space(1), own_space(5)
    stored(tmp_path, small, large)
    today = time.strftime("%Y-%m-%d", time.gmtime())
    done = command("spaces", "--data", tmp_path)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == ["6", "2"]
    assert lines[0][1] == str(sum(len(e.data) for e in large.envelopes))
    assert all(line[2:] == [today, today] for line in lines)


def test_purge_removes_what_nobody_uses(tmp_path: Path) -> None:
    """After asking; the bytes are gone from the file; what is in use stays."""
    idle, used = own_space(), own_space()
    stored(tmp_path, idle, used)
    connection = apsw.Connection(str(tmp_path / "relay.db"))
    connection.execute("UPDATE spaces SET used_day = used_day - 100 WHERE space_id = ?", (idle.id,))
    connection.close()
    arguments = ("purge", "--data", tmp_path, "--idle-days")
    assert command(*arguments, "3").returncode == 2
    assert command(*arguments, "200").stdout == "No space has been idle that long.\n"
    declined = command(*arguments, "90", given="n\n")
    assert (declined.returncode, declined.stdout.startswith("1 space, 4 entries, ")) == (1, True)
    assert len(command("spaces", "--data", tmp_path).stdout.splitlines()) == 2
    done = command(*arguments, "90", "--yes")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "Deleted 1 space."), done.stderr
    assert command("check", "--data", tmp_path).stdout == "All is well: 1 space, 4 entries.\n"
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert idle.envelopes[2].data[:140] not in content
    assert used.envelopes[2].data[:140] in content


async def test_use_is_noted_by_the_day(tmp_path: Path) -> None:
    """When a device connects; and purge wants the relay stopped."""
    space = own_space()
    stored(tmp_path / "data", space)
    connection = apsw.Connection(str(tmp_path / "data" / "relay.db"))
    connection.execute("UPDATE spaces SET used_day = 1")
    connection.close()
    async with RelayProcess(tmp_path / "data") as relay:
        client, _ = await join(relay, space)
        await client.close()
        refused = await asyncio.to_thread(command, "purge", "--data", relay.data, "--idle-days", "90", "--yes")
        assert (refused.returncode, "Another relay is running" in refused.stderr) == (1, True)
    assert command("purge", "--data", tmp_path / "data", "--idle-days", "90").stdout.startswith("No space")


def test_a_database_of_the_first_version_is_upgraded(tmp_path: Path) -> None:
    """Everything in it stays; its spaces count as used on the day of the upgrade, so that none is purged for that."""
    import bide_relay.storage

    space = own_space()
    schema = Path(bide_relay.storage.__file__).parent / "schema" / "0001_relay.sql"
    connection = apsw.Connection(str(tmp_path / "relay.db"))
    connection.execute(schema.read_text(encoding="utf-8"))
    connection.execute("INSERT INTO relay VALUES (1, randomblob(32), randomblob(16), 0)")
    connection.execute("INSERT INTO spaces VALUES (?, NULL, 0)", (space.id,))
    head = space.envelopes[0]
    connection.execute("INSERT INTO logs VALUES (?, ?, 1, ?, ?)", (space.id, head.log_id, head.hash, len(head.data)))
    connection.execute("INSERT INTO envelopes VALUES (?, ?, 1, 1, ?)", (space.id, head.log_id, head.data))
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    today = time.strftime("%Y-%m-%d", time.gmtime())
    assert command("spaces", "--data", tmp_path).stdout == f"1 {len(head.data)} 1970-01-01 {today}\n"
    assert command("check", "--data", tmp_path).stdout == "All is well: 1 space, 1 entry.\n"


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def test_metrics_are_counts_on_loopback(tmp_path: Path) -> None:
    """Numbers without labels, on a port of their own; nothing of it where clients connect."""
    port = free_port()
    space = own_space()
    async with RelayProcess(tmp_path / "data", "--registration", "open", "--metrics-port", str(port)) as relay:
        client, _ = await join(relay, space)
        await client.want({space.founder.log_id: 4})
        await client.expect(CaughtUp)
        await client.upload([e.data for e in space.envelopes[1:]])
        await client.expect(Stored)

        def read(path: str) -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return str(answer.read().decode())

        text = await asyncio.to_thread(read, "/metrics")
        numbers = dict(line.split() for line in text.splitlines() if not line.startswith("#"))
        assert numbers["bide_relay_connections"] == "1"
        assert numbers["bide_relay_spaces_in_use"] == "1"
        assert numbers["bide_relay_envelopes_stored_total"] == "3"
        assert "{" not in text
        assert space.id.hex() not in text
        with pytest.raises(urllib.error.HTTPError):
            await asyncio.to_thread(read, "/")
        _, silent = await asyncio.open_connection("127.0.0.1", port)
        silent.write(os.urandom(10_000))
        assert "bide_relay_commits_total" in await asyncio.to_thread(read, "/metrics?x=1")
        silent.transport.abort()
        await client.close()
