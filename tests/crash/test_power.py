"""Power goes at any write: what was acknowledged is there, the database is sound, and it goes on.

The real storage runs on a VFS that records; the states that a disk may be in after a cut are made from the recording, and
opened by the real code. Replay: ``SEED=… CUTS=… .venv/bin/pytest tests/crash/test_power.py``.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from seeds import SEED

from crash import unsafe
from crash.campaign import CUTS, cut_power, memory_folder
from crash.disk import Op
from crash.histories import Device, DeviceCheck, RelayCheck, run_relay
from crash.recording import Recording

CUTS_OF_ONE = 2_000
"""Cuts into one history; then another one begins."""
CONTROL_CUTS = 150
STEPS_OF_MAKING = 30
Losses = Callable[[int, int], list[str]]


def of_device(seed: int, cuts: int, *, lies: bool = False) -> list[str]:
    """What a device loses."""
    with memory_folder() as folder:
        recording = Recording(folder, lies=lies)
        with recording.running():
            device = Device(recording, random.Random(seed))
            begun = len(recording.ops)
            device.steps(60)
            device.close()
        ops: list[Op] = recording.ops
        since = 0 if not lies else begun
        return cut_power("power, device", ops, DeviceCheck(), cuts=cuts, seed=seed, source=str(folder), since=since)


def of_relay(seed: int, cuts: int, *, lies: bool = False, upto: int | None = None) -> list[str]:
    """What a relay loses."""
    with memory_folder() as folder:
        recording = Recording(folder, lies=lies)
        with recording.running():
            asyncio.run(run_relay(recording, random.Random(seed), rounds=3, uploads=25))
        return cut_power("power, relay", recording.ops, RelayCheck(), cuts=cuts, seed=seed, source=str(folder), upto=upto)


@pytest.mark.parametrize("losses", [of_device, of_relay])
def test_nothing_acknowledged_is_lost_when_the_power_goes(losses: Losses) -> None:
    """Whatever of the writes that were not synced came through."""
    for number, begun in enumerate(range(0, CUTS, CUTS_OF_ONE)):
        lost = losses(SEED + number, min(CUTS_OF_ONE, CUTS - begun))
        assert not lost, "\n".join(lost[:10])


def test_a_relay_that_lost_power_while_it_was_made_starts() -> None:
    """However little of its database came through; a rollback that is due is done before it is looked at."""
    lost = of_relay(SEED, CUTS // 10, upto=STEPS_OF_MAKING)
    assert not lost, "\n".join(lost[:10])


@pytest.mark.parametrize("losses", [of_device, of_relay])
def test_a_disk_that_lies_about_syncing_is_seen_to_lose(losses: Callable[..., list[str]]) -> None:
    """The control: with a disk that says that it has synced and has not, the campaign fails."""
    assert losses(SEED, CONTROL_CUTS, lies=True)


@pytest.mark.parametrize("losses", [of_device, of_relay])
def test_without_syncs_it_is_seen_to_lose(losses: Losses) -> None:
    """The control: with synchronous=OFF the campaign fails."""
    with unsafe.taken_out("unsynced"):
        assert losses(SEED, CONTROL_CUTS)


def test_a_relay_that_acknowledges_before_the_commit_is_seen_to_lose() -> None:
    """The control: what it has told was not stored yet."""
    with unsafe.taken_out("early-ack"):
        assert of_relay(SEED, CONTROL_CUTS)
