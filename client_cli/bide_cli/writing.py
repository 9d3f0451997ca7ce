"""Writing an entry: from what was given to what is told afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bide.entries.fields import Field
from bide.errors import InputError, NotPaired
from bide_cli.giving import Given, gather
from bide_cli.home import read_config
from bide_cli.opening import open_replica
from bide_cli.shell import Shell, clean_line
from bide_cli.telling import tell_written

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
    remark: Callable[[dict[str, Any]], str] | None = None,
) -> None:
    """Write a check-in or an appreciation.

    Args:
        shell: where.
        kind: of the entry.
        fields: what it can say.
        given: what the options said.
        private: keep it in the own space.
        with_: with whom to share it.
        command: for the schema, where it differs from the kind.
        remark: a word to add after the write, from the values.

    Raises:
        InputError: it is to be private and shared at once.
        NotPaired: it is to be shared and there is nobody. Told before anything is asked, so that no text is lost.
    """
    if private and with_:
        raise InputError("With --private nobody else gets it, so --with has no place beside it.")
    config = read_config(shell.home)
    replica = open_replica(shell, config)
    name = ""
    if not private:
        try:
            space = replica.reader.pair_space(with_)
        except NotPaired as error:
            raise NotPaired(error.message, hint=PRIVATE_HINT) from None
        name = replica.reader.view().others(space.space_id)[0]
    values = gather(
        shell, fields, given, prepare=lambda prompt: prompt.replace(" them?", f" {clean_line(name)}?") if name else prompt
    )
    written = replica.write(kind, values, private=private, with_=with_)
    words = remark(values) if remark and not private else ""
    tell_written(shell, command or kind, replica, config, written, words=words)
