"""``bide demo``."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from shlex import quote

import click

from bide_cli.language import _
from bide_cli.story import DemoFailed, Stage, elapsed, program

SAM, ROBIN = "Sam", "Robin"
WORDS_TO_LOOK_FOR = ["rain", "mother", "dishes", "tired", "Robin"]


@click.command(epilog="\b\nExamples:\n  bide demo\n  bide demo --dir ./trial")
@click.option("--dir", "folder", metavar="DIR", help="Where to put the two homes and the relay; must not exist yet.")
def command(folder: str | None) -> None:
    """Watch two people share one timeline, for real, in under a minute.

    A relay and two devices are started on this machine. Both people write while the relay is down; afterwards both read the
    same. Nothing of your own journal is touched, and the two homes stay for you to play with.
    """
    began = time.monotonic()
    place = _place(folder)
    with Stage(place) as stage:
        _tell(stage)
    bide, listen = program("bide"), stage.url.split("//", 1)[1]
    sam, robin, relay = (quote(str(path)) for path in (stage.home(SAM), stage.home(ROBIN), place / "relay"))
    took = _("That took {time}. The two homes are yours to play with:").format(time=elapsed(began))
    click.echo(
        f"\n{took}\n"
        f"  export BIDE_HOME={sam}\n"
        f"  {bide} timeline        ({_('or:')} BIDE_HOME={robin} {bide} timeline)\n"
        f"  {program('bide-relay')} serve --listen {listen} --data {relay} --registration open\n"
        f"{_('To be rid of it all:')} rm -r {quote(str(place))}",
    )


def _place(folder: str | None) -> Path:
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="bide-demo-"))
    place = Path(folder).absolute()
    try:
        place.mkdir(parents=True, mode=0o700)
    except FileExistsError:
        raise DemoFailed("There is something at that place already.", hint="Name a folder that does not exist.") from None
    return place


def _tell(stage: Stage) -> None:
    stage.say(_("A relay, on this machine only."))
    stage.show("relay", "bide-relay serve --registration open --listen 127.0.0.1:0 --data relay")
    stage.start_relay()

    stage.say(_("Two people, each on a device of their own."))
    for name in (SAM, ROBIN):
        key_file = stage.home(name) / "key"
        stage.run(name, "init", "--name", name, "--key-file", str(key_file), "--no-input")
    stage.run(SAM, "relay", "set", stage.url)
    stage.pair(SAM, ROBIN)

    stage.say(_("The relay goes away. Both write all the same."))
    stage.stop_relay()
    stage.run(SAM, "checkin", "--feelings", "tired, glad", "--went-well", "The walk along the river.", "--hard", "Mondays.")
    stage.run(
        SAM,
        "thank",
        "--noticed",
        "You drove my mother home in the rain.",
        "--felt",
        "held",
        "--shows",
        "You look after mine as if they were yours.",
    )
    stage.run(ROBIN, "checkin", "--feelings", "calm", "--lift", "สวัสดี from the neighbours, مرحبا from the baker 🌞")
    stage.run(ROBIN, "thank", "--noticed", "You kept the last piece of cake for me.")
    stage.say(_("At the same time, each begins to mend the same quarrel."))
    stage.run(SAM, "repair", "--topic", "The dishes on Sunday", "--now")
    stage.run(ROBIN, "repair", "--topic", "How we spoke on Sunday", "--now")

    stage.say(_("Each sees their own."))
    for name in (SAM, ROBIN):
        stage.run(name, "timeline")

    stage.say(_("The relay is back."))
    stage.start_relay()
    for name in (SAM, ROBIN, SAM):
        stage.run(name, "sync")

    stage.say(_("Both see the same now; the two invitations have become one conversation."))
    for name in (SAM, ROBIN):
        stage.run(name, "timeline")
    digests = {name: _pair_digest(stage, name) for name in (SAM, ROBIN)}
    for name, digest in digests.items():
        stage.show(name.lower(), "bide digest")
        click.echo(digest)
    if len(set(digests.values())) != 1:
        raise DemoFailed("The two timelines differ.")
    click.echo(_("The same."))

    stage.say(_("And what the relay has of it:"))
    stage.show_relay(WORDS_TO_LOOK_FOR)


def _pair_digest(stage: Stage, name: str) -> str:
    answer = stage.ask(name, "digest")
    return next(str(space["digest"]) for space in answer["spaces"] if space["kind"] == "pair")
