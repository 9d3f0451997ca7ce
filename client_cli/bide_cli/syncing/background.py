"""Syncing by itself after a write: a word to the watcher if one runs, else a process of its own that nobody waits for.

A home has at most one such process at work and one waiting: whoever waits will find everything that was written meanwhile.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from bide_cli.home.folder import BY_PASSPHRASE, Config
from bide_cli.unlocking.keys import unlocks_unasked

SOCKET = "watch.sock"
SOCKET_PATH_BYTES_MAX = 100
"""sun_path holds 104 bytes on macOS and 108 on Linux."""
POKE = b"new"
WAIT_MAX_S = 2 * 3600
"""How far away something held may be due for a process to wait for it; what is further away goes with a later command."""


def wanted(config: Config) -> bool:
    """Whether syncing by itself is on."""
    setting = os.environ.get("BIDE_AUTO_SYNC", "")
    if setting:
        return setting.casefold() not in ("0", "false", "no", "off")
    return config.auto_sync


def carry_on(home: Path, config: Config) -> bool:
    """See to it that what was just written goes to the relay, without waiting for it.

    Returns:
        Whether something is there now that tries; if not, the next sync does.
    """
    if not wanted(config):
        return False
    return poke(home) or (unlocks_unasked(config, home) and _spawn(home))


def wait_for(home: Path, config: Config, due: float) -> bool:
    """See to it that what is held goes when it is due. Nothing is sent before: not even a relay learns that somebody writes.

    Args:
        home: of the device.
        config: of the home.
        due: in seconds since 1970.

    Returns:
        Whether something is there that will let it go; if not, the next command that writes or syncs does.
    """
    if not wanted(config):
        return False
    if poke(home):
        return True  # the watcher looks every few seconds
    asks = config.unlock in BY_PASSPHRASE and not os.environ.get("BIDE_KEY_FILE")
    if asks or not unlocks_unasked(config) or due - time.time() > WAIT_MAX_S:
        return False
    return _spawn(home, "--held")


def poke(home: Path) -> bool:
    """Tell a running watcher that there is something new.

    Returns:
        Whether one heard it.
    """
    path = os.fsencode(home / SOCKET)
    if len(path) > SOCKET_PATH_BYTES_MAX or not (home / SOCKET).exists():
        return False
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        try:
            sender.sendto(POKE, path)
        except BlockingIOError:
            return True  # it has words enough waiting already
        except OSError:
            return False
    return True


def _spawn(home: Path, *flags: str) -> bool:
    """Start ``bide sync --background`` with nothing tied to this terminal. Failing to is no failure of the write."""
    import subprocess

    try:
        subprocess.Popen(
            [sys.executable, "-P", "-m", "bide_cli.main", "sync", "--background", "--no-input", *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            close_fds=True,
            cwd=home,
            env=_environment(home),
        )
    except OSError:
        return False
    return True


def _environment(home: Path) -> dict[str, str]:
    """The environment of this process, with paths that still fit when the other starts in the home."""
    env = {**os.environ, "BIDE_HOME": str(home)}
    for name in ("BIDE_KEY_FILE", "BIDE_PASSPHRASE_FILE"):
        if env.get(name):
            env[name] = os.path.abspath(Path(env[name]).expanduser())  # noqa: PTH100 no links are resolved
    return env
