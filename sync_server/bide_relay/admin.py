"""What an operator asks of a relay's data folder, beside or without a running relay."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bide.errors import BideError, InputError
from bide.ids import SpaceId
from bide.log.chain import Place, empty_head, head_of, place
from bide.log.envelope import EnvelopeClass, parse_envelope, verify_signature
from bide.log.leaving import is_erased
from bide_relay.service import invite_digest, replay
from bide_relay.storage.base import Span, Storage, StorageDamaged
from bide_relay.storage.sqlite import FILE_NAME, SqliteStorage
from bide_relay.storage.sqlite_copying import sync_path

_TOKEN_BYTES = 16
_RESTORING = "restoring-"
_MAGIC = b"SQLite format 3\0"
_READ_BYTES_MAX = 4 * 1024 * 1024
_READ_ENVELOPES_MAX = 4096


def make_invite(storage: Storage, *, spaces: int) -> str:
    """A new invite token for `spaces` spaces. The storage keeps only its digest: it can't be shown again."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    storage.add_invite(invite_digest(token), spaces=spaces)
    return token


def require_backup(backup: Path) -> None:
    """See to it that a file may be a backup, before anything is made for it.

    Raises:
        InputError: there is none, or it is no database at all.
        StorageDamaged: it is empty.
    """
    if not backup.is_file():
        raise InputError("There is no such backup.")
    try:
        with backup.open("rb") as file:
            begins = file.read(len(_MAGIC))
    except OSError as error:
        raise InputError(f"The backup can't be read: {error.strerror}.") from error
    if not begins:
        # Of nothing SQLite would make another relay.
        raise StorageDamaged("The backup is empty.", hint="Give another one.")
    if begins != _MAGIC:
        raise InputError("That file is no backup of a relay, or its beginning is damaged. Nothing was restored.")


def restore(backup: Path, folder: Path) -> Checked:
    """Put a backup in the place of a database that is gone, after verifying all of it.

    It gets a new store id: devices then compare what they have with what is here, and send what came after the backup.

    Raises:
        InputError: there is a database already, or no backup.
        StorageDamaged: the backup is damaged; the folder has no database then.
    """
    target = folder / FILE_NAME
    if target.exists():
        raise InputError("There is a relay database in that folder already. Move it away first, with its -wal file.")
    if target.with_name(f"{FILE_NAME}-wal").exists():
        # SQLite would write what is in it over the backup.
        raise InputError(f"There is a file {FILE_NAME}-wal of another database in that folder. Move it away first.")
    require_backup(backup)
    beside = Path(tempfile.mkdtemp(dir=folder, prefix=_RESTORING))
    try:
        copy = beside / FILE_NAME
        copy.touch(0o600)
        shutil.copyfile(backup, copy)
        storage = SqliteStorage(beside, create=False)
        try:
            storage.quick_check()
            checked = check_spaces(storage)
            storage.renew_store_id()
        finally:
            storage.close()
        sync_path(copy)
        copy.rename(target)
        sync_path(folder)
    except StorageDamaged as error:
        raise StorageDamaged("The backup is damaged; nothing was restored.", hint="Give another one.") from error
    except OSError as error:
        raise BideError(f"The backup can't be restored: {error.strerror}.") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return checked


def is_emptied(folder: Path) -> bool:
    """Whether there is a database without a byte: something emptied it, or power went in the moment in which it was made.

    Raises:
        StorageDamaged: beside it is what had not been written into it yet. SQLite would throw that away.
    """
    database = folder / FILE_NAME
    try:
        if not database.exists() or database.stat().st_size:
            return False
        log = database.with_name(f"{FILE_NAME}-wal")
        if not log.exists() or not log.stat().st_size:
            return True
    except OSError as error:
        raise BideError(f"The data folder can't be used: {error.strerror}.") from error
    raise StorageDamaged(
        f"The relay's database file is empty, and {FILE_NAME}-wal is not.",
        hint="Move both away, keep them, and restore a backup.",
    )


def remove_leftovers(folder: Path) -> None:
    """Remove what a restoring that was killed left: a whole copy, with the relay's key. For who alone has the folder."""
    for left in folder.glob(f"{_RESTORING}*"):
        shutil.rmtree(left, ignore_errors=True)


class Checked(NamedTuple):
    """What `check_spaces` went through."""

    spaces: int
    envelopes: int
    withheld: int = 0
    """Entries without a body that nobody has erased: whoever has them whole fills them in."""


class Damaged(NamedTuple):
    """A space that is not whole."""

    number: int
    """Its place among the spaces of this relay, from 1."""
    space: SpaceId
    words: str
    """What is wrong with it, a sentence."""


def find_damaged(storage: Storage, progress: Callable[[int], None] = lambda _: None) -> tuple[Checked, list[Damaged]]:
    """`check_spaces` for all spaces, past those that are damaged.

    Returns:
        What of them is whole, and what is not.

    Raises:
        StorageDamaged: not even the list of the spaces can be read.
    """
    found: list[Damaged] = []
    sound = envelopes = withheld = 0
    for number, space in enumerate(storage.spaces(), start=1):
        try:
            verified, bodiless = _check_space(storage, space)
            envelopes, withheld = envelopes + verified, withheld + bodiless
            sound += 1
        except StorageDamaged as error:
            words = "Some of its pages can't be read." if error.template == StorageDamaged.__doc__ else error.message
            found.append(Damaged(number, space, words))
        except BideError as error:
            found.append(Damaged(number, space, error.message))
        progress(envelopes)
    return Checked(sound, envelopes, withheld), found


def check_spaces(storage: Storage, progress: Callable[[int], None] = lambda _: None) -> Checked:
    """Verify every space: membership, chains, bodies, and the signatures that vouch for them.

    They are those of every control entry and of each log's last entry: a valid signature vouches for the chain beneath it,
    and the relay asked for no others when it took the entries in.

    Args:
        storage: to read from; a relay may be running on it.
        progress: called with the number of envelopes verified so far.

    Raises:
        StorageDamaged: with a sentence on what is wrong. Nothing is repaired: a device's copy does that, by syncing.
    """
    checked, found = find_damaged(storage, progress)
    if found:
        raise StorageDamaged(f"Space {found[0].number} of this relay is damaged: {found[0].words}")
    return checked


def _check_space(storage: Storage, space: SpaceId) -> tuple[int, int]:
    """How many entries were verified, and how many of them lack a body that was not erased."""
    # The heads first: a running relay may append meanwhile, and what is newer than they are is left out.
    heads = storage.heads(space)
    membership, _ = replay([parse_envelope(data) for data in storage.controls(space)], space)
    erased = membership.erased()
    verified = withheld = 0
    for log, head in heads.items():
        if log not in membership.devices:
            raise StorageDamaged("A log belongs to no member.")
        reached = empty_head(log)
        while reached.seq < head.seq:
            span = Span(log, reached.seq, head.seq)
            entries = storage.read(space, [span], bytes_max=_READ_BYTES_MAX, envelopes_max=_READ_ENVELOPES_MAX)
            if not entries:
                raise StorageDamaged("Entries of a log are missing.")
            for entry in entries:
                envelope = parse_envelope(entry.data)
                if envelope.seq != entry.seq or place(reached, envelope) is not Place.NEXT:
                    raise StorageDamaged("An entry is not where it belongs.")
                if envelope.klass is EnvelopeClass.CONTROL and envelope.hash not in membership.seen:
                    raise StorageDamaged("A change of membership is not where it is looked for.")
                if envelope.seq == head.seq:
                    verify_signature(envelope, space=space, device=membership.devices[log].id)
                reached = head_of(envelope)
                verified += 1
                withheld += envelope.is_bare and not is_erased(erased, log, envelope.seq)
        if reached.hash != head.hash:
            raise StorageDamaged("A log does not end as it was counted.")
    return verified, withheld
