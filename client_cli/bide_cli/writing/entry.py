"""Writing an entry: from what was given to what is told afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bide.entries.fields import Field
from bide.errors import InputError, NotPaired
from bide.replica.authoring.holding import Deed, Do
from bide.replica.spaces.removal import require_belonging, require_let_in
from bide_cli.home.folder import read_config
from bide_cli.prompting.starters import ASKING, Starters
from bide_cli.terminal.shell import Shell
from bide_cli.unlocking.opening import open_replica
from bide_cli.writing.giving import Given, gather
from bide_cli.writing.holding import is_elsewhere, put, require_place
from bide_cli.writing.telling import tell_written

PRIVATE_HINT = "One of you runs: bide pair    The other: bide join    (or keep it to yourself: --private)"


def write_entry(
    shell: Shell,
    kind: str,
    fields: Sequence[Field],
    given: Given,
    *,
    private: bool,
    with_: str,
    command: str = "",
    deck: str = "",
    noted: Mapping[str, str] = MappingProxyType({}),
    remark: Callable[[dict[str, Any]], str] | None = None,
) -> None:
    """Write an entry that stands by itself.

    Args:
        shell: where.
        kind: of the entry.
        fields: what it can say.
        given: what the options said.
        private: keep it in the own space.
        with_: with whom to share it.
        command: for the schema, where it differs from the kind.
        deck: whose lines of the day stand above the questions.
        noted: fields that the program sets, beside those that were given.
        remark: a word to add after the write, from the values; may name the entry's {code}.

    Raises:
        InputError: it is to be private and shared at once.
        NotPaired: it is to be shared and there is nobody.
        NotAllowed: this device has not been let in yet, or was removed. Told before anything is asked, so that no text is lost.
    """
    if private and with_:
        raise InputError("With --private nobody else gets it, so --with has no place beside it.")
    config = read_config(shell.home)
    replica = open_replica(shell, config)
    name = ""
    space = replica.reader.own_space()
    if not private:
        try:
            space = replica.reader.pair_space(with_)
        except NotPaired as error:
            raise NotPaired(error.template, hint=PRIVATE_HINT, **error.values) from None
        name = replica.reader.view().others(space.space_id)[0]
    elif space.pending:
        require_let_in(replica.storage)
    require_belonging(replica.storage, space)
    values = gather(
        shell,
        fields,
        given,
        name=name,
        starter=Starters(deck) if deck else None,
        asking=deck in ASKING,
    )
    values = {**values, **{field: text for field, text in noted.items() if text}}
    written = put(shell, replica, config, Deed(Do.WRITE, kind, values), space=space, private=private)
    words = remark(values).format(code=written.code) if remark and not private else ""
    tell_written(shell, command or kind, replica, config, written, words=words)


def write_reply(
    shell: Shell,
    kind: str,
    fields: Sequence[Field],
    entry_id: str,
    given: Given,
    *,
    command: str,
    deck: str = "",
    wordless: bool = False,
) -> None:
    """Write a reply to an entry.

    Args:
        shell: where.
        kind: ``hearing``, ``answer`` or ``reception``.
        fields: what it can say.
        entry_id: what is replied to.
        given: what the options said.
        command: for the schema.
        deck: as for `write_entry`.
        wordless: it can be given without a word, so nothing has to be said.

    Raises:
        NotFound: there is no such entry. Given its whole id, the reply waits until it has arrived.
        NotAllowed: it can't be replied to like this. Both are told before anything is asked, so that no text is lost.
    """
    config = read_config(shell.home)
    replica = open_replica(shell, config)
    elsewhere = is_elsewhere(replica, entry_id)
    if not elsewhere:
        require_place(replica, entry_id)
        replica.require_reply(kind, entry_id)
    values: dict[str, Any] = {}
    if not wordless or given.by_options or given.edit or shell.may_ask:
        values = gather(shell, fields, given, starter=Starters(deck) if deck else None)
    written = put(shell, replica, config, Deed(Do.REPLY, kind, values, about=entry_id))
    about = entry_id.strip().lower() if elsewhere else replica.show(entry_id)["id"]
    tell_written(shell, command, replica, config, written, extra={"about": about})
