"""A bit of what the relay stores was flipped: what the operator's check reads in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bide.errors import BideError, MembershipRejected
from bide.log.chain import empty_head, head_of, place
from bide.log.envelope import parse_envelope, verify_signature
from bide_relay.service import load_state
from bide_relay.storage.base import Span

if TYPE_CHECKING:
    from simulation.world import World

_EVERYTHING = 1 << 40


def is_noticed(world: World) -> bool:
    """Whether the check sees the damage in the relay's store: that is told, not asserted."""
    try:
        relay = world.relay.disk.open(lambda _: None)
        for space in relay.spaces():
            state = load_state(relay, space)
            assert state is not None  # it is among the spaces
            for log, head in state.heads.items():
                last = empty_head(log)
                for entry in relay.read(space, [Span(log, 0, head.seq)], bytes_max=_EVERYTHING, envelopes_max=_EVERYTHING):
                    envelope = parse_envelope(entry.data)
                    place(last, envelope)
                    verify_signature(envelope, space=space, device=state.membership.devices[log].id)
                    last = head_of(envelope)
    except (BideError, MembershipRejected):
        return True
    return False
