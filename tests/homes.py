"""Homes for tests: real folders, and real commands run on them as a script would run them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Protocol

TIMEOUT_S = 60
KILLS = int(os.environ.get("KILLS", "80"))
"""Of writes; other kinds follow from it. make soak raises it."""


class Running(Protocol):
    """A process that was started; `subprocess.Popen` is one."""

    def poll(self) -> int | None: ...
    def send_signal(self, number: int, /) -> None: ...
    def communicate(self, *, timeout: float) -> tuple[str, str]: ...


class Home:
    """One device: a folder, and ``bide`` run on it as a script would."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.run("init", "--name", name, "--key-file", str(folder.with_suffix(".key")), "--no-input")

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("BIDE_")}
        return kept | {"BIDE_HOME": str(self.folder), "BIDE_AUTO_SYNC": "0", "BIDE_LANGUAGE": "en"}

    def start(self, *args: str, stdin: str | None = None) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "bide_cli.main", *args],
            env=self.environment,
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if stdin is not None:
            assert process.stdin is not None
            process.stdin.write(stdin)
            process.stdin.close()
            process.stdin = None
        return process

    def call(self, *args: str, stdin: str | None = None) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        process = self.start(*args, stdin=stdin)
        out, err = process.communicate(timeout=TIMEOUT_S)
        return process.returncode, out, err

    def run(self, *args: str, stdin: str | None = None) -> str:
        code, out, err = self.call(*args, stdin=stdin)
        assert code == 0, f"bide {args[0]} ended with {code}: {err}"
        return out

    def json(self, *args: str, stdin: str | None = None) -> Any:
        return json.loads(self.run(*args, "--json", stdin=stdin))

    def write(self, text: str) -> str:
        """An appreciation; its id."""
        return str(self.json("thank", "--from-json", "-", stdin=json.dumps({"noticed": text}))["id"])

    def write_privately(self, text: str) -> str:
        """An appreciation for nobody else; its id."""
        body = json.dumps({"noticed": text})
        return str(self.json("thank", "--private", "--from-json", "-", stdin=body)["id"])

    def ids(self) -> set[str]:
        return {entry["id"] for entry in self.json("timeline")["entries"]}

    def pair_digest(self) -> str:
        return next(str(space["digest"]) for space in self.json("digest")["spaces"] if space["kind"] == "pair")

    def pending(self) -> int:
        return sum(int(space["pending"]) for space in self.json("status")["spaces"])

    def assert_sound(self) -> None:
        """No damage, and the read model is what the log says."""
        findings = self.json("doctor")["findings"]
        assert not [f for f in findings if f["level"] == "damage"], findings
        before = self.json("digest")["spaces"]
        self.run("rebuild")
        assert self.json("digest")["spaces"] == before


def kill_after(process: Running, delay_s: float) -> tuple[bool, str]:
    """SIGKILL after a while. Whether it was still running, and what it had printed."""
    time.sleep(delay_s)
    running = process.poll() is None
    if running:
        process.send_signal(signal.SIGKILL)
    out, _ = process.communicate(timeout=TIMEOUT_S)
    return running, out


def pair(one: Home, two: Home, url: str) -> None:
    """Pair by code through the relay."""
    one.run("relay", "set", url)
    waiting = one.start("pair", "--json", "--words-verified")
    assert waiting.stdout is not None
    code = json.loads(waiting.stdout.readline())["code"]
    joined = two.json("join", "--code", "-", "--words-verified", stdin=code + "\n")
    out, err = waiting.communicate(timeout=TIMEOUT_S)
    assert waiting.returncode == 0, err
    paired = json.loads(out.strip().splitlines()[-1])
    assert paired["paired"] is True
    assert joined["paired"] is True
    assert paired["safety_words"] == joined["safety_words"]
