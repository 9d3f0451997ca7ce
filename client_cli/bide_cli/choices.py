"""A choice from a few words, for options and arguments."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import click

from bide_cli.language import _


class OneOf(click.Choice[str]):
    """click's choice, which also says what was perhaps meant."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The word that was meant, as it is written here."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            near = get_close_matches(str(value)[:40].lower(), list(self.choices), n=1)
            if not near:
                raise
            meant = _("Did you mean {words}?").format(words=near[0])
            raise click.BadParameter(f"{error.message} {meant}", ctx=ctx, param=param) from None
