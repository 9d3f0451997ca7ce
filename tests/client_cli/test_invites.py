"""A relay that lets in only who has an invite."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

RELAY = str(Path(sys.executable).with_name("bide-relay"))


@pytest.fixture(scope="module")
def by_invite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Such a relay: its address and its folder."""
    data = tmp_path_factory.mktemp("by-invite")
    process = subprocess.Popen(
        [RELAY, "serve", "--listen", "127.0.0.1:0", "--data", str(data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    yield process.stdout.readline().strip().rsplit(" ", 1)[-1], data
    process.terminate()
    process.communicate(timeout=20)


def test_no_code_is_given_out_that_leads_nowhere(sam: Any, by_invite: tuple[str, Path]) -> None:
    url, _ = by_invite
    for args in ((), ("--invite", "bWFkZSB1cA")):
        sam.ok("relay", "set", url, *args)
        result = sam.run("pair", "--words-verified")
        assert result.code == 8, result
        assert result.out == ""
        assert "bide relay set URL --invite TOKEN" in result.err


def test_a_joiner_is_told_that_what_is_private_stays_and_that_is_no_failure(
    tmp_path: Path, sam: Any, by_invite: tuple[str, Path]
) -> None:
    url, data = by_invite
    made = subprocess.run([RELAY, "invite", "--data", str(data)], capture_output=True, text=True, check=True)
    sam.ok("relay", "set", url, "--invite", made.stdout.split()[-1])
    robin = type(sam)(tmp_path / "robin")
    robin.ok("init", "--name", "Robin", "--key-file", str(tmp_path / "key"), "--no-input")
    process = sam.start("pair", "--json", "--words-verified")
    robin.json("join", json.loads(process.stdout.readline())["code"], "--words-verified")
    assert process.communicate(timeout=30) is not None
    assert process.returncode == 0
    spaces = {space["kind"]: space for space in robin.json("sync")["spaces"]}
    assert spaces["own"]["error"] == "invite_required"
    assert spaces["pair"]["error"] == ""
    robin.ok("checkin", "--private", "--hard", "x")
    assert "waiting" not in robin.ok("sync").out
