"""Whether this device still belongs, looked at before a person is asked for anything. Imports nothing heavy.

A relay lets nobody in who was removed, so the statement that says so seldom gets here: what is known is that the relay turned
this device away. That is kept until a relay lets it in again, and a person is told. It keeps nobody from writing, since a relay
may lie; a statement of the removal does. The log itself takes what is said all the same, as what copies of this home say again.
"""

from __future__ import annotations

from bide.errors import NotAllowed, Phrase
from bide.projections.timeline import View
from bide.replica.spaces.belonging import read_belonging
from bide.storage.base import SpaceRecord, Storage

REMOVED = "This device was removed from your devices, so nothing that it writes goes anywhere."
_REMOVED_FROM = "This device was removed from what you share with {name}, so nothing that it writes there goes anywhere."
_HINT = "What is here stays readable. To take it along: bide export"
NOT_LET_IN = "This device has not been let in yet."
NOT_LET_IN_HINT = "bide sync finishes it. To begin again: bide device join"


def note_turned_away(storage: Storage, space: SpaceRecord) -> None:
    """The relay knows this device as removed. In a transaction."""
    if store := _store(storage, space):
        storage.put_meta(_key(space), store)


def note_let_in(storage: Storage, space: SpaceRecord) -> None:
    """The relay let this device in; what another one said stays. In a transaction."""
    if storage.meta(_key(space)) == _store(storage, space) != "":
        storage.put_meta(_key(space), "")


def is_removed(storage: Storage, space: SpaceRecord) -> bool:
    """Whether this device was removed from a space, as far as is known here."""
    if space.log_id in read_belonging(storage, space.space_id).ended:
        return True
    # Another relay, or one whose storage is new, has not said so.
    turned_away = storage.meta(_key(space))
    return bool(turned_away) and turned_away == _store(storage, space)


def is_out(storage: Storage, space: SpaceRecord) -> bool:
    """Whether this device was removed from a space, or from the person's devices altogether, as far as is known here."""
    return any(is_removed(storage, each) for each in storage.spaces() if each.kind == "own" or each.space_id == space.space_id)


def require_belonging(storage: Storage, space: SpaceRecord) -> None:
    """See to it, before anybody is asked for words, that what is said in a space can reach somebody.

    The word of a relay is not enough for that: whoever runs it could stop a person from writing.

    Raises:
        NotAllowed: this device was removed from it, and the statement that says so is here.
    """
    if space.log_id in read_belonging(storage, space.space_id).ended:
        raise NotAllowed(REMOVED, hint=_HINT)


def require_let_in(storage: Storage) -> None:
    """See to it, before anything is begun that needs the own space and the relay, that this device is let in there.

    Raises:
        NotAllowed: it has not been let in yet, or was removed.
    """
    for space in storage.spaces():
        if space.kind == "own":
            if space.pending:
                raise NotAllowed(NOT_LET_IN, hint=NOT_LET_IN_HINT)
            if is_removed(storage, space):
                raise NotAllowed(REMOVED, hint=_HINT)


def removal_words(storage: Storage, view: View) -> list[Phrase]:
    """What a person is told of the spaces from which this device was removed: if it was so from the own one, that is all."""
    found = [space for space in storage.spaces() if is_removed(storage, space)]
    if any(space.kind == "own" for space in found):
        return [Phrase(REMOVED)]
    return [Phrase(_REMOVED_FROM, {"name": view.others(space.space_id)[0]}) for space in found]


def _store(storage: Storage, space: SpaceRecord) -> str:
    return storage.meta(f"relay_store.{space.space_id.hex()}")


def _key(space: SpaceRecord) -> str:
    return f"turned_away.{space.space_id.hex()}.{space.log_id.hex()}"
