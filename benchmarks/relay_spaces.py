"""Pairs of devices with sealed, signed, chained envelopes, made beforehand so that the load generator only sends."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import NamedTuple

from benchmarks.measuring import CACHE
from bide.log.chain import head_of
from bide.protocol.codec import encode_frame
from bide.protocol.frames import Envelopes
from bide.testing import SeededRandomness, SpaceBuilder

_CHANGE_BYTES = 100
_VERSION = 1


class Side(NamedTuple):
    """One device of a pair and what it is going to send."""

    device: bytes
    signing_seed: bytes
    frames: list[bytes]
    """One envelope each, as websocket messages."""
    batches: list[bytes]
    """The same envelopes, `BATCH` in each message."""


class Pair(NamedTuple):
    """A space of two."""

    space: bytes
    controls: list[bytes]
    """Its genesis and the other person's admission."""
    sides: tuple[Side, Side]


BATCH = 32


def prepared(pairs: int, each: int) -> list[Pair]:
    """So many pairs with so many envelopes for each side; kept for the next run."""
    file = _file(pairs, each)
    if file.exists():
        loaded: list[Pair] = pickle.loads(file.read_bytes())
        return loaded
    made = [_pair(number, each) for number in range(pairs)]
    CACHE.mkdir(exist_ok=True)
    unfinished = file.with_suffix(".part")
    unfinished.write_bytes(pickle.dumps(made))
    unfinished.rename(file)
    return made


def _file(pairs: int, each: int) -> Path:
    return CACHE / f"pairs-{pairs}-{each}-v{_VERSION}.pickle"


def _pair(number: int, each: int) -> Pair:
    space = SpaceBuilder.found(randomness=SeededRandomness(f"load {number}"))
    space.join()
    controls = [envelope.data for envelope in space.envelopes]
    space.envelopes.clear()
    sides = []
    for member in space.members:
        datas = []
        for index in range(each):
            change = index.to_bytes(4, "big") * (_CHANGE_BYTES // 4)
            envelope = space.write(member, space.event(member, change=change))
            assert head_of(envelope) == member.head
            datas.append(envelope.data)
        frames = [encode_frame(Envelopes([data])) for data in datas]
        batches = [encode_frame(Envelopes(datas[at : at + BATCH])) for at in range(0, len(datas) - BATCH + 1, BATCH)]
        sides.append(Side(member.device_id, member.keys.signing_seed, frames, batches))
    return Pair(space.id, controls, (sides[0], sides[1]))
