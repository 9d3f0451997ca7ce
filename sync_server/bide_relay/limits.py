"""Rates and counts: buckets, windows, and the number of connections. Time is handed in."""

from __future__ import annotations

import ipaddress
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from bide_relay.errors import RateLimited, TooManyConnections
from bide_relay.settings import Settings

MINUTE_S = 60.0
HOUR_S = 3600.0
EVICTION_AGE_S = 1.0
"""How long a connection has to say who it is before it may have to make room for another."""
_WINDOWS_MAX = 10_000
"""Addresses remembered at most; beyond it the quiet ones are forgotten."""


class Bucket:
    """A token bucket that may go into debt: it says how long to wait instead of refusing."""

    __slots__ = ("_burst", "_per_s", "_seen_s", "_tokens")

    def __init__(self, per_s: float, burst: float, now_s: float) -> None:
        """Begin full."""
        self._per_s = per_s
        self._burst = burst
        self._tokens = burst
        self._seen_s = now_s

    def take(self, amount: float, now_s: float) -> float:
        """Take, and return the seconds to wait until the bucket is out of debt."""
        self._tokens = min(self._burst, self._tokens + (now_s - self._seen_s) * self._per_s) - amount
        self._seen_s = now_s
        return max(0.0, -self._tokens / self._per_s)


class Throttle:
    """What one device may send: frames and bytes."""

    __slots__ = ("_bytes", "_frames")

    def __init__(self, settings: Settings, now_s: float) -> None:
        """Begin with the whole burst."""
        self._frames = Bucket(settings.frames_per_device_s, settings.frames_per_device_burst, now_s)
        self._bytes = Bucket(settings.bytes_per_device_s, settings.bytes_per_device_burst, now_s)

    def delay_s(self, size: int, now_s: float) -> float:
        """Seconds to wait before reading on after a message of `size` bytes."""
        return max(self._frames.take(1, now_s), self._bytes.take(size, now_s))


class Windows:
    """How often each address did something, in one or more sliding windows."""

    def __init__(self, *limits: tuple[float, int]) -> None:
        """Take (seconds, count) pairs."""
        self._limits = limits
        self._longest_s = max(seconds for seconds, _ in limits)
        self._times: dict[str, deque[float]] = {}

    def allow(self, address: str, now_s: float) -> bool:
        """Whether it may happen once more; if so it counts. What is refused doesn't count."""
        times = self._times.setdefault(address, deque())
        while times and times[0] <= now_s - self._longest_s:
            times.popleft()
        for seconds, count in self._limits:
            if sum(1 for at in times if at > now_s - seconds) >= count:
                return False
        times.append(now_s)
        if len(self._times) > _WINDOWS_MAX:
            self._forget(now_s)
        return True

    def _forget(self, now_s: float) -> None:
        quiet = [address for address, times in self._times.items() if not times or times[-1] <= now_s - self._longest_s]
        for address in quiet or list(self._times)[: _WINDOWS_MAX // 10]:
            del self._times[address]


@dataclass(frozen=True, eq=False, slots=True)
class Visitor:
    """A connection, as the gate knows it."""

    address: str
    evict: Callable[[], None]
    """Ends the connection at once, to make room. Must not raise."""


class Gate:
    """Counts connections, in all and by address, and says when there are too many.

    Limits by address don't hold for loopback unless `limit_loopback` is set: behind a proxy on the same machine, or in a
    trial with several homes, all clients share that address, and whoever is on the machine can do worse anyway.
    """

    def __init__(self, settings: Settings, now_s: Callable[[], float]) -> None:
        """Begin with nobody here."""
        self._settings = settings
        self._now_s = now_s
        self.connections = 0
        self.mailboxes = 0
        self._unknown: dict[Visitor, float] = {}
        """Those that have not said who they are, and since when they are here; the oldest first."""
        self._by_address: Counter[str] = Counter()
        self._connects = Windows((MINUTE_S, settings.connects_per_ip_minute_max))
        self._claims = Windows(
            (MINUTE_S, settings.mailbox_claims_per_ip_minute_max), (HOUR_S, settings.mailbox_claims_per_ip_hour_max)
        )

    @property
    def unauthenticated(self) -> int:
        """How many have not said who they are."""
        return len(self._unknown)

    def enter(self, visitor: Visitor) -> None:
        """Count a connection in, as one that has not said who it is. `leave` must follow, also after an error.

        Where too many have not said who they are, the one that has been silent longest goes, if it had its time to speak:
        otherwise a handful of silent connections would keep everybody out.

        Raises:
            TooManyConnections: in all, of this address, or that have not said who they are.
            RateLimited: this address connects too often.
        """
        settings, now_s = self._settings, self._now_s()
        self.connections += 1
        self._by_address[visitor.address] += 1
        if self.connections > settings.connections_max:
            raise TooManyConnections
        if self._limited(visitor.address):
            if self._by_address[visitor.address] > settings.connections_per_ip_max:
                raise TooManyConnections
            if not self._connects.allow(visitor.address, now_s):
                raise RateLimited
        if len(self._unknown) >= settings.connections_unauthenticated_max:
            oldest, since_s = next(iter(self._unknown.items()))
            if now_s - since_s < EVICTION_AGE_S:
                raise TooManyConnections
            self.known(oldest)
            oldest.evict()
        self._unknown[visitor] = now_s

    def leave(self, visitor: Visitor) -> None:
        """Count a connection out."""
        self.known(visitor)
        self.connections -= 1
        self._by_address[visitor.address] -= 1
        if not self._by_address[visitor.address]:
            del self._by_address[visitor.address]

    def known(self, visitor: Visitor) -> None:
        """Note that one said who it is. Does nothing if that was noted."""
        self._unknown.pop(visitor, None)

    def claim(self, address: str) -> None:
        """Count a try at a nameplate.

        Raises:
            RateLimited: too many from this address.
        """
        if self._limited(address) and not self._claims.allow(address, self._now_s()):
            raise RateLimited

    def _limited(self, address: str) -> bool:
        return self._settings.limit_loopback or not is_loopback(address)


def is_loopback(address: str) -> bool:
    """Whether an address, or the name ``localhost``, is this machine's own."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
