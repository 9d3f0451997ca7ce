"""What is told of devices: which there are, and that one was added or removed. Imports nothing heavy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from bide.replica.spaces.personal import DeviceName, device_names, my_devices
from bide.replica.spaces.removal import is_removed
from bide_cli.language import N_, _
from bide_cli.terminal.shell import Shell, clean_line, quoted

if TYPE_CHECKING:
    from bide.replica import Replica
    from bide.storage.base import SpaceRecord

MINE_ADDED = N_("You have another device now: {device}. If that was not you: bide device revoke {quoted}")
MINE_REMOVED = N_("A device of yours was removed: {device}")
THEIRS_ADDED = N_("{name} has another device now: {device}")
THEIRS_REMOVED = N_("{name} has removed a device: {device}")
ON_PAPER = N_("recovery phrase (on paper)")
"""What `bide.replica.spaces.personal.ON_PAPER` is in the person's language."""
MINE_NOTED = N_("You have a recovery phrase now. If that was not you: bide recovery destroy")
MINE_ENDED = N_("A recovery phrase of yours counts no more.")
MINE_RECOVERED = N_(
    "Your recovery phrase was used; {device} is your device now. If that was not you, somebody has your words:"
    " bide device revoke {quoted}, then bide recovery rotate"
)
THEIRS_NOTED = N_("{name} has a recovery phrase now.")
THEIRS_ENDED = N_("A recovery phrase of {name} counts no more.")
THEIRS_RECOVERED = N_("{name} has come back with a recovery phrase, on a new device: {device}. If in doubt, ask them.")
A_COPY = N_(
    "This home is a copy of another one, or was put back from a backup. It goes on as a device of its own, called {device}; "
    "nothing was lost. If the other one is gone, remove it: bide device list, then bide device revoke NAME"
)
A_LOSS = N_(
    "The relay had lost something while words of yours waited here, so this home goes on as a new device, called {device}; "
    "nothing of yours was lost."
)
A_GAP = N_("Some of what was lost here did not come back, so this home goes on as a new device, called {device}.")
WENT_ON = {"copy": A_COPY, "loss": A_LOSS, "gap": A_GAP}
TELL_KEY = "went_on"
"""As in `bide.replica.single_writer.copies`, which is too heavy to be imported here."""


class News(NamedTuple):
    """A device that came or went."""

    name: str
    """Of the other person; empty: it is mine."""
    device: str
    added: bool
    on_paper: bool
    """It is a recovery phrase."""
    words: str
    """The message that tells of it."""

    def __str__(self) -> str:
        device = clean_line(self.device)
        return _(self.words).format(name=clean_line(self.name), device=device, quoted=quoted(device))

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        with_ = [self.name] if self.name else []
        return {"with": with_, "device": self.device, "added": self.added, "on_paper": self.on_paper}


def described(device: DeviceName, *, name: str, me: bool) -> dict[str, Any]:
    """A device, for ``--json``."""
    return {
        "name": _(ON_PAPER) if device.on_paper else device.name,
        "by": {"name": name, "me": me},
        "this": me and device.this,
        "state": "active" if device.active else "removed",
        "recovery": device.on_paper,
        "recovered": device.recovered,
    }


def listed(replica: Replica) -> list[dict[str, Any]]:
    """My devices, then those of everybody I share with."""
    mine = my_devices(replica.storage)
    if is_removed(replica.storage, replica.reader.own_space()):
        mine = [device._replace(active=device.active and not device.this) for device in mine]
    found = [described(device, name=replica.name, me=True) for device in mine]
    for person in replica.reader.people():
        theirs = (device for device in device_names(replica.storage, person.space) if not device.mine)
        found += [described(device, name=person.name, me=False) for device in theirs]
    return found


def tell_devices(shell: Shell, replica: Replica) -> None:
    """Say, once on each device, that a device was added or removed: it is how a stranger's device shows itself."""
    if shell.as_json:
        return
    _tell_moved(shell, replica)
    for news in untold_devices(replica):
        shell.say(str(news))


def untold_devices(replica: Replica) -> list[News]:
    """What has not been told yet on this device; it counts as told from now on."""
    people = {person.space.space_id: person.name for person in replica.reader.people()}
    found = []
    for space in replica.spaces():
        if space.pending or (space.kind == "pair" and space.space_id not in people):
            continue
        found += _news(replica, space, people.get(space.space_id, ""))
    return found


def _tell_moved(shell: Shell, replica: Replica) -> None:
    """Say, once, that this home went on as a device of its own."""
    because = replica.storage.meta(TELL_KEY)
    if not because:
        return
    with replica.storage.transaction():
        replica.storage.put_meta(TELL_KEY, "")
    mine = my_devices(replica.storage)
    this = next((device.name for device in mine if device.this), "")
    shell.say(_(WENT_ON.get(because, A_COPY)).format(device=clean_line(this)))


def note_devices(replica: Replica) -> None:
    """Take all devices that are here now for known."""
    for space in replica.spaces():
        if not space.pending:
            _news(replica, space, "")


def _news(replica: Replica, space: SpaceRecord, name: str) -> list[News]:
    """What has not been told yet of the devices of a space; it counts as told from now on."""
    key = f"devices_told.{space.space_id.hex()}"
    all_of_them = device_names(replica.storage, space)
    devices = [device for device in all_of_them if device.mine == (space.kind == "own")]
    told = json.loads(replica.storage.meta(key) or "null")
    now = {device.log_id.hex(): device.active for device in devices}
    if told == now:
        return []
    with replica.storage.transaction():
        replica.storage.put_meta(key, json.dumps(now))
    if told is None:  # whoever was there when it began, or before this device came, is no news
        came = next((at for at, device in enumerate(all_of_them) if device.this), 0)
        told = {device.log_id.hex(): True for device in devices[:1]}
        told |= {device.log_id.hex(): device.active for device in all_of_them[:came]}
    news = []
    for device in devices:
        words = _news_of(device, told.get(device.log_id.hex()), theirs=bool(name))
        if words:
            news.append(News(name, device.name, device.active, device.on_paper, words))
    return news


def _news_of(device: DeviceName, before: bool | None, *, theirs: bool) -> str:
    """What to tell of a device.

    Args:
        device: as it is.
        before: whether it belonged when something was told last; None: it was not there.
        theirs: it is the other person's.
    """
    if before is None and device.active and not device.this:
        if device.on_paper:
            return THEIRS_NOTED if theirs else MINE_NOTED
        if device.recovered:
            return THEIRS_RECOVERED if theirs else MINE_RECOVERED
        return THEIRS_ADDED if theirs else MINE_ADDED
    if before is not False and not device.active:
        if device.on_paper:
            return THEIRS_ENDED if theirs else MINE_ENDED
        return THEIRS_REMOVED if theirs else MINE_REMOVED
    return ""
