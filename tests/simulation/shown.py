"""Whether what a device shows follows from its log: also in the middle, where half of what is to come is not here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bide.replica.examining.doctor import DAMAGE

if TYPE_CHECKING:
    from simulation.processes import Device

_SHOWN = "What is shown of"


def require_shown(device: Device) -> None:
    """A device that came back shows what a rebuild would show."""
    for finding in device.replica.doctor():
        if finding.level == DAMAGE and finding.words.template.startswith(_SHOWN):
            device.world.broke(f"{device.name} came back and shows something else than its log says")
