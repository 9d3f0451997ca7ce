"""The stage of ``bide demo``: real processes, and a voice that tells what they do."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import click

from bide.errors import BideError
from bide_cli.language import _, grouped, language

_COMMAND_TIMEOUT_S = 60
_STOP_TIMEOUT_S = 15
_DUMP_BYTES = 96
_DUMP_ROW_BYTES = 16
_ENVELOPE_START = b"BD\x01\x01\x00"
_HEADER_BYTES = 204


class DemoFailed(BideError):
    """The demo did not go as it should."""

    code = "demo_failed"


class Stage:
    """A folder with two homes and a relay, and what is done with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._relay: subprocess.Popen[str] | None = None
        self._listen = "127.0.0.1:0"
        self.url = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._relay is not None:
            self.stop_relay()

    # The voice

    def say(self, text: str) -> None:
        """Tell what happens next."""
        click.echo(f"\n── {text}")

    def show(self, prompt: str, command: str) -> None:
        """Show what a person types."""
        click.echo(f"\n{prompt}$ {command}")

    # The relay

    def start_relay(self) -> None:
        """Start the relay, on a free port the first time and on the same one later."""
        data = self.folder / "relay"
        command = [sys.executable, "-m", "bide_relay.main", "serve", "--registration", "open"]
        command += ["--listen", self._listen, "--data", str(data)]
        log = (self.folder / "relay.log").open("a", encoding="utf-8")
        with log:
            self._relay = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self._relay.stdout is not None
        line = self._relay.stdout.readline().strip()
        if "ready on " not in line:
            raise DemoFailed("The relay did not start.", hint="See {path}", path=self.folder / "relay.log")
        click.echo(line)
        self.url = line.rsplit(" ", 1)[-1]
        self._listen = self.url.split("//", 1)[1]

    def stop_relay(self) -> None:
        """Stop it as a self-hoster would."""
        relay, self._relay = self._relay, None
        if relay is None:
            return
        relay.terminate()
        try:
            relay.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            relay.kill()
        if relay.stdout is not None:
            relay.stdout.close()

    # The two people

    def home(self, name: str) -> Path:
        """Somebody's device."""
        return self.folder / name.lower()

    def environment(self, name: str) -> dict[str, str]:
        """What their shell has set."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("BIDE_") or key == "BIDE_LOCALE_DIR"}
        return kept | {"BIDE_HOME": str(self.home(name)), "BIDE_AUTO_SYNC": "0", "BIDE_LANGUAGE": language()}

    def run(self, name: str, *args: str, quiet: bool = False) -> str:
        """Run ``bide`` on somebody's device and show what they see.

        Raises:
            DemoFailed: it ended with an error.
        """
        if not quiet:
            self.show(name.lower(), "bide " + " ".join(_quoted(arg) for arg in args))
        result = subprocess.run(
            [sys.executable, "-m", "bide_cli.main", *args],
            env=self.environment(name),
            capture_output=True,
            text=True,
            timeout=_COMMAND_TIMEOUT_S,
            check=False,
        )
        if not quiet:
            click.echo((result.stdout + result.stderr).rstrip())
        if result.returncode:
            raise DemoFailed(hint="{words}" if quiet else "", words=result.stderr.strip())
        return result.stdout

    def ask(self, name: str, *args: str) -> dict[str, Any]:
        """Run ``bide … --json`` unseen."""
        answer: dict[str, Any] = json.loads(self.run(name, *args, "--json", quiet=True))
        return answer

    def pair(self, one: str, two: str) -> None:
        """Pair by code: one waits with it, the other types it."""
        waiting = subprocess.Popen(
            [sys.executable, "-m", "bide_cli.main", "pair", "--json", "--words-verified"],
            env=self.environment(one),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert waiting.stdout is not None
        first = waiting.stdout.readline()
        if not first:
            _nothing, errors = waiting.communicate(timeout=_COMMAND_TIMEOUT_S)
            raise DemoFailed(hint="{words}", words=errors.strip())
        code = json.loads(first)["code"]
        self.show(one.lower(), "bide pair")
        click.echo(_("Say to {name}:  {code}").format(name=two, code=code))
        self.show(two.lower(), "bide join")
        click.echo(f"{_('Code:')} {code}")
        joined = self.ask(two, "join", code, "--words-verified")
        out, errors = waiting.communicate(timeout=_COMMAND_TIMEOUT_S)
        if waiting.returncode:
            raise DemoFailed(hint="{words}", words=errors.strip())
        paired = json.loads(out.strip().splitlines()[-1])
        if paired["safety_words"] != joined["safety_words"]:
            raise DemoFailed("The two screens show different safety words.")
        click.echo(_("Both screens show: {words}").format(words=" ".join(paired["safety_words"])))
        click.echo(_("Each types one word from the other's screen. (Here, --words-verified says that they did.) Paired."))

    # What the relay has

    def relay_bytes(self) -> bytes:
        """Everything in the relay's files."""
        return b"".join(path.read_bytes() for path in sorted((self.folder / "relay").glob("relay.db*")))

    def show_relay(self, words: list[str]) -> None:
        """Look for words in the relay's files, and show what is there instead.

        Raises:
            DemoFailed: one was found.
        """
        data = self.relay_bytes()
        click.echo(_("The relay's files hold {n} bytes. Looking for words that were written:").format(n=grouped(len(data))))
        for word in words:
            found = word.encode() in data
            click.echo(f"  {word!r:<12} {_('FOUND') if found else _('not there')}")
            if found:
                raise DemoFailed("The relay's file holds words in the clear.")
        click.echo("\n" + _("The beginning of the last sealed body, as the relay stores it:"))
        at = data.rfind(_ENVELOPE_START) + _HEADER_BYTES
        for row in range(at, at + _DUMP_BYTES, _DUMP_ROW_BYTES):
            chunk = data[row : row + _DUMP_ROW_BYTES]
            text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in chunk)
            click.echo(f"  {chunk.hex(' ')}  {text}")


def _quoted(arg: str) -> str:
    return f'"{arg}"' if " " in arg else arg


def program(name: str) -> str:
    """How to call a program of this installation from a shell: by its name if that finds this one, else by its place."""
    beside = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    if not beside.exists() or (found is not None and Path(found).resolve() == beside.resolve()):
        return name
    return shlex.quote(str(beside))


def elapsed(since: float) -> str:
    """How long it took, for the last line."""
    return f"{time.monotonic() - since:.0f} s"
