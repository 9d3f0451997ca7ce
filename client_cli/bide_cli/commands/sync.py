"""``bide sync``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from bide.errors import BideError, NotAllowed
from bide.storage.base import find_space
from bide_cli.home.folder import exists
from bide_cli.joining.devices import tell_devices, untold_devices
from bide_cli.language import _, grouped, worded
from bide_cli.options import shell_options
from bide_cli.reading.standing import tell_rests
from bide_cli.syncing.progress import Progress
from bide_cli.syncing.relays import tell_relays
from bide_cli.terminal.shell import Shell, clean_line, name_list
from bide_cli.unlocking.opening import open_replica

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bide.replica import Replica
    from bide.storage.base import SpaceRecord
    from bide_cli.syncing.carrying import Outcome

WATCH_LOCK = "watch.lock"
WAITING_LOCK = "sync-waiting.lock"
HELD_LOCK = "outbox.lock"
BACKGROUND_WAIT_S = 120
HELD_LOCK_WAIT_S = 2.0
"""Longer than it takes the one who waits already to find that nothing is left, and to go."""
HELD_LOOK_S = 60.0
"""How often to look whether something was held meanwhile that goes earlier, or was taken back."""


@click.command(
    epilog="\b\nExamples:\n  bide sync\n  bide sync --json\n  bide sync --watch\n\n"
    "With --watch --json there is one object a line, each with an event: reached, received (a count, never content) or lost."
)
@click.option("--watch", is_flag=True, help="Stay, and exchange everything as it happens, until Ctrl-C.")
@click.option("--background", is_flag=True, hidden=True)
@click.option("--held", is_flag=True, hidden=True)
@shell_options
def command(shell: Shell, watch: bool, background: bool, held: bool) -> None:
    """Exchange entries through the relay now.

    Bide does this by itself after you write something. What can't go now stays here and goes later.
    """
    if background and held:
        _wait_unseen(shell)
    elif background:
        _sync_unseen(shell)
    elif watch:
        _watch(shell)
    else:
        _sync(shell)


def _require_relay(replica: Replica) -> None:
    if not any(space.relay_url for space in replica.spaces()):
        raise NotAllowed("No relay is set, so there is nowhere to sync to.", hint="bide relay set URL")


def _sync(shell: Shell) -> None:
    from bide_cli.syncing.carrying import sync_once, worst_error

    replica = open_replica(shell)
    _require_relay(replica)
    progress = Progress(shell)
    try:
        outcomes = sync_once(replica, shell.home, on_frame=progress.show)
    finally:
        progress.end()
    spaces = {space.space_id: space for space in replica.spaces()}
    results = [outcome.as_json(replica.reader.pending(spaces[outcome.space.space_id])) for outcome in outcomes]
    sent, received, pending = (sum(result[key] for result in results) for key in ("sent", "received", "pending"))
    if shell.as_json:
        people = [*replica.reader.people(), *replica.reader.former()]
        resting = [
            {"space": person.space.space_id.hex(), "with": [person.name], "state": person.stance}
            for person in people
            if person.space.space_id in replica.resting()
        ]
        devices = [news.as_json() for news in untold_devices(replica)]
        counts = {"sent": sent, "received": received, "pending": pending}
        shell.emit("sync", spaces=results, **counts, resting=resting, devices=devices)
    else:
        notices = (worded(*notice) for outcome in outcomes if outcome.sync for notice in outcome.sync.notices)
        for words in dict.fromkeys(notices):  # what is so with a relay is found in each space
            shell.say(words)
        shell.tell(_summary(sent, received, waiting=any(_waits(replica, outcome) for outcome in outcomes)))
        tell_rests(shell, replica)
        tell_devices(shell, replica)
        tell_relays(shell, replica)
    error = worst_error(outcomes)
    if error is not None:
        raise error


def _waits(replica: Replica, outcome: Outcome) -> bool:
    """Whether something that a person wrote waits; the log also holds what every space begins with."""
    if outcome.sync is not None and outcome.sync.declined:
        return False  # its notice says so
    space = find_space(replica.storage, outcome.space.space_id)
    return replica.reader.pending(space) > 0 and replica.storage.count_entries(space.space_id) > 0


def _summary(sent: int, received: int, *, waiting: bool) -> str:
    parts = [_("{n} sent").format(n=grouped(sent))] if sent else []
    # Not how many: changes are counted, silent ones too, and how many of those there were is nobody's business.
    parts += [_("something new came")] if received and parts else [_("Something new came")] if received else []
    parts = parts or [_("Nothing new")]
    if waiting:
        parts.append(_("what you wrote is waiting here for the relay"))
    return " · ".join(parts)


def _sync_unseen(shell: Shell) -> None:
    """A run that nobody looks at: at most one at work and one waiting, silent whatever happens; status tells."""
    from bide_cli.home.locks import SYNC_LOCK, Lock
    from bide_cli.syncing.carrying import sync_locked

    waiting = Lock(shell.home / WAITING_LOCK)
    if not waiting.take():
        return  # somebody waits already, and will find what was just written
    try:
        working = Lock(shell.home / SYNC_LOCK, wait_s=BACKGROUND_WAIT_S)
        if not working.take():
            return
    finally:
        waiting.release()
    try:
        sync_locked(open_replica(shell), patiently=True)
    except BideError:
        pass  # noted for status where it could be
    finally:
        working.release()


def _wait_unseen(shell: Shell) -> None:
    """Wait until what is held has gone or was taken back, at most one process a home; then sync. Silent as well.

    The home is not kept open meanwhile: whoever copies it finds everything in one file.
    """
    from bide_cli.home.locks import Lock
    from bide_cli.syncing.background import WAIT_MAX_S

    lock = Lock(shell.home / HELD_LOCK, wait_s=HELD_LOCK_WAIT_S)
    if not lock.take():
        return  # somebody waits already, and looks at the outbox again and again
    try:
        while exists(shell.home):
            replica = open_replica(shell)
            sent = replica.holding.send_due()
            due_ms = replica.storage.outbox_due()
            replica.storage.close()
            if sent:
                _sync_unseen(shell)
            left_s = (due_ms or 0) / 1000 - time.time()
            if due_ms is None or left_s > WAIT_MAX_S:
                return
            time.sleep(min(HELD_LOOK_S, max(left_s, 0.0) + 0.05))
    except BideError:
        pass  # what is held stays, and goes with the next command that writes or syncs
    finally:
        lock.release()


def _watch(shell: Shell) -> None:
    import asyncio

    from bide_cli.home.locks import Lock
    from bide_cli.syncing.watching import Watcher

    replica = open_replica(shell)
    _require_relay(replica)
    lock = Lock(shell.home / WATCH_LOCK)
    if not lock.take():
        raise NotAllowed("bide sync --watch is running in this home already.")
    try:
        asyncio.run(_run_watcher(Watcher, replica, shell.home, shell))
    finally:
        lock.release()


async def _run_watcher(watcher: type, replica: Replica, home: Path, shell: Shell) -> None:
    def tell(what: str, space: SpaceRecord, count: int, words: str) -> None:
        try:
            others = replica.reader.view().others(space.space_id)
        except Exception:  # what can't be read now must not keep the watch from going on
            others = []
        if shell.as_json:
            shell.emit("sync", event=what, kind=space.kind, **{"with": others}, received=count, words=words)
            return
        line = _watch_line(what, others, words)
        sys.stdout.write(f"{time.strftime('%H:%M')}  {clean_line(line)}\n")
        sys.stdout.flush()

    await watcher(replica, home, tell).run()


def _watch_line(what: str, others: list[str], words: str) -> str:
    label = _("With {name}").format(name=name_list(others)) if others else _("Your own devices")
    if what == "received":
        said = _("something new came")
    elif what == "reached":
        said = _("connected, everything is exchanged")
    else:
        said = _("{why} Trying again by itself.").format(why=words or _("the connection ended."))
    return f"{label}: {said}"
