"""``bide doctor``."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bide.errors import Locked, NewerFormat, Phrase, StorageBusy, StorageDamaged, StorageError, VerificationFailed
from bide.replica.examining.doctor import DAMAGE, LAID_BY, NOTE, OK, Finding
from bide.storage.opening import NoRoom
from bide_cli import failures
from bide_cli.home import folder as homes
from bide_cli.home.leftovers import KEPT_PREFIX, PART_SUFFIX
from bide_cli.language import N_, _, plural, sentence, worded
from bide_cli.options import shell_options
from bide_cli.terminal.shell import Shell
from bide_cli.terminal.waiting import Waiting
from bide_cli.unlocking.opening import keys_at_hand, open_replica

if TYPE_CHECKING:
    from bide.replica.replica import Replica
    from bide.storage.base import SpaceRecord, Storage
    from bide_cli.building.mending import Mending

MARKS = {OK: N_("ok"), NOTE: N_("note"), DAMAGE: N_("DAMAGE")}
_BEGINNING = Finding(DAMAGE, Phrase("The beginning of the database file can't be read any more."), True)
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@click.command(
    epilog="\b\nExamples:\n  bide doctor\n  bide doctor --repair\n  bide doctor --again\n"
    "  bide doctor --json | jq '.findings[] | select(.level != \"ok\")'"
)
@click.option("--again", is_flag=True, help="First try again what was set aside because it stops Bide, as after an upgrade.")
@click.option("--repair", is_flag=True, help="Keep a copy of a damaged database, and mend what can be mended.")
@shell_options
def command(shell: Shell, again: bool, repair: bool) -> int:
    """Look for anything wrong in this home.

    Reads everything and changes nothing, unless --again finds that something set aside can be taken in now. It is tried in a
    process of its own, so nothing can happen to this one. Exit code 1 if there is damage.

    --repair changes nothing in a sound home. Of a damaged one it first keeps the database as it is, in damaged-DATE in the
    home. Then it saves the keys and all log entries that can be proved, and builds everything else again. What is missing
    comes back with the next bide sync. Where no relay has it, and another device may, it asks whether to go on without.
    """
    from bide.replica.examining.mending import undecided

    waiting = Waiting(shell)
    try:
        replica, findings = _look(shell, waiting, again=again)
        waiting.end()
        wrong = [finding for finding in findings if finding.mendable]
        mending = None
        if repair and wrong:
            mending, findings = _repair(shell, replica, wrong, waiting)
        elif repair and replica is not None and (short := undecided(replica.storage)):
            if _go_on(shell, replica.storage, short):
                findings = replica.doctor(waiting.progress)
        elif repair:
            shell.say(_("There is nothing to mend; nothing was changed."))
    finally:
        waiting.end()
    findings = [*findings, *_ways_back(shell.home, findings), *_permissions(shell.home)]
    sound = all(finding.level != DAMAGE for finding in findings)
    told = [{"level": finding.level, "words": worded(*finding.words)} for finding in findings]
    if shell.as_json:
        shell.emit("doctor", findings=told, sound=sound, **_repair_json(mending, wrong) if repair else {})
    else:
        marks = {level: _(mark) for level, mark in MARKS.items()}
        width = max(map(len, marks.values()))
        for finding in told:
            words, *commands = finding["words"].split("\n")
            shell.tell(f"{marks[finding['level']]:<{width}}  {words}", indent=" " * (width + 2))
            for line in commands:  # whole, to be copied
                shell.out(" " * (width + 2) + line)
        if wrong and not repair:
            shell.say(_("Nothing was changed. A copy is kept and what can be mended is mended by: bide doctor --repair"))
    return failures.OK if sound else failures.ERROR


def _go_on(shell: Shell, storage: Storage, spaces: Sequence[SpaceRecord]) -> bool:
    """Where others may have what was lost here: wait for them, or go on without, as the person decides.

    Returns:
        Whether it is gone on without.
    """
    from bide.replica.examining.mending import go_on
    from bide_cli.terminal.asking import ask_yes

    shell.say(
        _("What is missing comes back if another device has it and syncs. If you go on without it, it stays away for good.")
    )
    shell.say(_("Whoever has what is missing keeps and shows it, and it can't be erased from here any more."))
    if not shell.may_ask:
        shell.say(_("That is asked on a terminal; nothing was changed."))
    elif ask_yes(shell, _("Go on without it?"), default=False):
        for space in spaces:
            go_on(storage, space)
        shell.say(_("Now run: bide sync"))
        return True
    return False


def _look(shell: Shell, waiting: Waiting, *, again: bool) -> tuple[Replica | None, list[Finding]]:
    """What there is to say of the home, if it opens or not.

    Raises:
        Locked: it can't be opened with what is there, and nothing says that this is due to damage.
    """
    from bide_cli.building.mending import agent_knows_it_is_damaged

    try:
        if agent_knows_it_is_damaged(shell, homes.read_config(shell.home)):
            return None, [_BEGINNING]
        replica = open_replica(shell)
        if again:
            _look_again(shell, replica)
    except Locked as error:
        if not _is_damaged(shell):
            raise error from None
        return None, [_BEGINNING]
    except (NewerFormat, NoRoom, StorageBusy):
        raise
    except StorageDamaged:
        return None, [Finding(DAMAGE, Phrase("A part of the database file can't be read any more."), True)]
    except (StorageError, VerificationFailed) as error:
        # Such as a home without a name: what else there may be, it is not as Bide leaves it.
        if not homes.exists(shell.home) or not os.access(shell.home / homes.DATABASE, os.W_OK):
            raise
        return None, [Finding(DAMAGE, Phrase(error.template, error.values), True)]
    waiting.begin(_("Looking through everything"))
    return replica, replica.doctor(waiting.progress)


def _is_damaged(shell: Shell) -> bool:
    """Whether a database that no key opens is that of one that is here all the same. Nobody is asked for one again."""
    from bide_cli.building.mending import key_opens

    return any(key_opens(shell, key) for key in keys_at_hand(shell, homes.read_config(shell.home)))


def _repair(shell: Shell, replica: Replica | None, wrong: list[Finding], waiting: Waiting) -> tuple[Mending, list[Finding]]:
    for finding in wrong:
        shell.say(worded(*finding.words))
    if replica is not None:
        replica.storage.close()
    try:
        mending = _mend(shell, waiting)
    except KeyboardInterrupt:
        waiting.end()
        shell.say(_("Stopped. Nothing was changed."))
        raise
    waiting.end()
    mended = open_replica(shell)
    _tell(shell, mending, mended.spaces())
    return mending, mending.findings or mended.doctor(waiting.progress)


def _mend(shell: Shell, waiting: Waiting) -> Mending:
    """Mend the home. Where that takes off the timeline what no relay has, only if somebody wants it all the same."""
    from bide.replica.examining.mending import NoRelayHasIt
    from bide_cli.building.mending import mend_home
    from bide_cli.terminal.asking import ask_yes

    config = homes.read_config(shell.home)
    try:
        return mend_home(shell, config, waiting)
    except NoRelayHasIt as error:
        waiting.end()
        if not shell.may_ask:
            raise
        shell.say(sentence(error)[0])
        shell.say(_("The damaged database would be kept, and bide export could still read from it what it reads now."))
        if not ask_yes(shell, _("Mend it all the same?"), default=False):
            raise
    return mend_home(shell, config, waiting, insisted=True)


def _ways_back(home: Path, findings: list[Finding]) -> list[Finding]:
    """How to come by what is laid by and never followed: databases that repairs kept may still be read."""
    if all(finding.words.template != LAID_BY for finding in findings):
        return []
    import shlex

    here = "" if home == homes.find_home() else f" --home {shlex.quote(str(home))}"
    found = []
    for kept in sorted(home.glob(f"{KEPT_PREFIX}*")):
        if kept.name.endswith(PART_SUFFIX) or not homes.exists(kept):
            continue
        words = (
            "If no sync brings it back, what can be read in {folder} comes back as keepsakes with these two commands:"
            "\n{export}\n{import_}"
        )
        file = f"{kept.name}.json"
        values = {
            "folder": kept.name,
            "export": f"bide --home {shlex.quote(str(kept))} export --format json --output {file}",
            "import_": f"bide{here} import bide {file}",
        }
        found.append(Finding(NOTE, Phrase(words, values)))
    return found


def _tell(shell: Shell, mending: Mending, spaces: list[SpaceRecord]) -> None:
    if mending.kept is not None:
        shell.say(_("The damaged database is kept in {folder}").format(folder=mending.kept))
    mended = mending.mended
    if mended is None:
        shell.say(_("An earlier repair that was interrupted is finished now."))
        return
    shell.say(plural("Mended: {n} log entry is in its place.", "Mended: {n} log entries are in their place.", mended.entries))
    if mended.laid_by:
        one = "{n} more is laid by until what was before it comes back."
        many = "{n} more are laid by until what was before them comes back."
        shell.say(plural(one, many, mended.laid_by))
    if mended.laid_torn and len(list(shell.home.glob(f"{KEPT_PREFIX}*"))) > 1:
        shell.say(_("If an earlier repair laid something by, some of it may be gone here: it is in the folder that one kept."))
    if mended.lost_spaces:
        one = "The keys of {n} space could not be saved. It comes back from another device of yours, or by pairing anew."
        many = "The keys of {n} spaces could not be saved. They come back from another device of yours, or by pairing anew."
        shell.say(plural(one, many, mended.lost_spaces))
    if mended.held_torn:
        shell.say(_("Something that waited in the outbox may be gone: bide outbox shows what is there."))
    if mended.nameless:
        shell.say(_("What you are called could not be found; it comes back with a sync."))
    if mended.must_sync:
        shell.say(_("Now run: bide sync    Before that nothing can be written where something may be missing."))
    elif any(space.relay_url for space in spaces):
        shell.say(_("If anything is missing, it comes back with: bide sync"))


def _repair_json(mending: Mending | None, wrong: list[Finding]) -> dict[str, object]:
    kept = str(mending.kept) if mending is not None and mending.kept is not None else ""
    done = mending.mended._asdict() if mending is not None and mending.mended is not None else None
    damage = [worded(*finding.words) for finding in wrong]
    return {"repaired": mending is not None, "damage": damage, "kept": kept, "mended": done}


def _look_again(shell: Shell, replica: Replica) -> None:
    came, left = replica.look_again()
    if came:
        shell.say(
            plural("{n} change that was set aside is taken in now.", "{n} changes that were set aside are taken in now.", came)
        )
    elif not left:
        shell.say(_("Nothing was set aside because it stops Bide."))


def _permissions(home: Path) -> list[Finding]:
    """Whether other people of this machine can look into the home."""
    open_ones = [
        path.name or str(path)
        for path in (home, home / homes.DATABASE, home / homes.CONFIG, home / homes.WRAPPED_KEY)
        if path.exists() and path.stat().st_mode & _OTHERS
    ]
    if open_ones:
        values = {"files": ", ".join(open_ones), "home": home}
        return [Finding(NOTE, Phrase("Other people of this machine can look at {files} (chmod go= {home}).", values))]
    return [Finding(OK, Phrase("Only you can look into this home."))]
