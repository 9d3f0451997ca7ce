"""Addresses of relays, what a broken connection is called, pauses between tries, locks, and which keyrings are trusted."""

from __future__ import annotations

import random
import socket
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError

from bide.errors import InputError, RelayUnreachable, RemoteProtocolError, StorageBusy
from bide.replica.spaces.addresses import check_url, host_of
from bide_cli.home.folder import Config
from bide_cli.home.locks import Lock
from bide_cli.syncing.background import poke, wanted
from bide_cli.syncing.transport import as_frame, told_plainly
from bide_cli.syncing.watching import BACKOFF_MAX_S, Watcher


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("wss://Relay.Example.org", "wss://relay.example.org"),
        (" wss://relay.example.org:444/bide/ ", "wss://relay.example.org:444/bide"),
        ("ws://127.0.0.1:8765", "ws://127.0.0.1:8765"),
        ("ws://localhost:8765/", "ws://localhost:8765"),
        ("ws://[::1]:8765", "ws://[::1]:8765"),
    ],
)
def test_an_address_is_kept_in_one_form(given: str, kept: str) -> None:
    assert check_url(given) == kept


@pytest.mark.parametrize(
    "url",
    [
        "",
        "relay.example.org",
        "http://relay.example.org",
        "ws://relay.example.org",
        "ws://127.0.0.1.example.org",
        "ws://10.0.0.1",
        "wss://",
        "wss://a b",
        "wss://relay.example.org?x",
        "wss://u:p@relay.example.org",
        "wss://relay:99999",
        "wss://" + "a" * 500,
        "wss://r\x1b[0m",
        "wss://rel\u0430y.example.org",
    ],
)
def test_what_is_no_address_or_not_safe_is_refused(url: str) -> None:
    with pytest.raises(InputError):
        check_url(url)


def test_the_host_is_what_is_dialled() -> None:
    assert host_of("ws://127.0.0.1:8765") == "127.0.0.1:8765"


@pytest.mark.parametrize("error", [OSError(), TimeoutError(), ConnectionClosedError(None, None), socket.gaierror()])
def test_a_broken_connection_has_one_name(error: Exception) -> None:
    with pytest.raises(RelayUnreachable), told_plainly():
        raise error


def test_text_is_no_frame() -> None:
    assert as_frame(b"x") == b"x"
    with pytest.raises(RemoteProtocolError):
        as_frame("x")


def test_pauses_grow_to_a_limit_and_differ() -> None:
    async def pauses() -> list[float]:
        watcher = Watcher.__new__(Watcher)
        watcher._jitter = random.Random(7)
        return [watcher.pause_s(failures) for failures in range(200)]

    import asyncio

    values = asyncio.run(pauses())
    assert values[0] <= 1
    assert max(values) <= BACKOFF_MAX_S
    assert max(values) > BACKOFF_MAX_S / 2
    assert len(set(values)) == len(values)


def test_a_lock_is_had_by_one(tmp_path: Path) -> None:
    with Lock(tmp_path / "lock"), pytest.raises(StorageBusy), Lock(tmp_path / "lock", wait_s=0.1):
        pass
    with Lock(tmp_path / "lock"):
        pass


def test_nobody_watching_hears_no_poke(tmp_path: Path) -> None:
    assert not poke(tmp_path)
    (tmp_path / "watch.sock").touch()
    assert not poke(tmp_path)
    assert not poke(tmp_path / ("x" * 120))


def test_syncing_by_itself_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BIDE_AUTO_SYNC", raising=False)
    assert wanted(Config())
    assert not wanted(Config(auto_sync=False))
    monkeypatch.setenv("BIDE_AUTO_SYNC", "0")
    assert not wanted(Config())


@pytest.mark.parametrize("backend", ["keyring.backends.null.Keyring", "keyring.backends.fail.Keyring"])
def test_a_keyring_that_keeps_nothing_safe_is_not_used(nobody: Any, backend: str) -> None:
    nobody.env["PYTHON_KEYRING_BACKEND"] = backend
    result = nobody.run("init", "--name", "Sam", "--keyring", "--no-input", "--json")
    assert result.code == 2
    assert "--passphrase" in result.error["hint"]
    assert not (nobody.home / "bide.db").exists()
    assert nobody.run("init", "--name", "Sam", "--key-file", str(nobody.home.parent / "k"), "--no-input").code == 0
