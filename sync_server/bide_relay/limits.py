"""Rates and counts: buckets, windows, and the number of connections. Time is handed in."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from bide_relay.errors import RateLimited, TooManyConnections
from bide_relay.settings import Settings

MINUTE_S = 60.0
HOUR_S = 3600.0
ARRIVALS_PER_CONNECT = 12
"""Times the limit of connects that an address may knock in a minute and still be told why it is refused. Beyond it, it is
turned away without a word, which costs next to nothing."""
_WINDOWS_MAX = 10_000
"""Addresses remembered at most; beyond it the quiet ones are forgotten."""
_IPV6_SHARED_BITS = 64
"""What somebody with IPv6 is given: all addresses with the same beginning of this length are one."""


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


class Budget:
    """Bytes that may be in use at once, by all together. Who finds none left waits."""

    def __init__(self, most: int) -> None:
        """Begin with nothing used."""
        self._most = most
        self._given_back = asyncio.Event()
        self.used = 0

    async def take(self, amount: int) -> None:
        """Take, once there is room; one that is larger than everything is let through alone."""
        while self.used and self.used + amount > self._most:
            self._given_back.clear()
            await self._given_back.wait()
        self.used += amount

    def give_back(self, amount: int) -> None:
        """Give back what was taken."""
        self.used -= amount
        self._given_back.set()


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
        kept = {address: times for address, times in self._times.items() if times and times[-1] > now_s - self._longest_s}
        # Not one by one: each time takes a look at all of them.
        for address in list(kept)[: max(0, len(kept) - _WINDOWS_MAX * 9 // 10)]:
            del kept[address]
        self._times = kept


class Arrivals:
    """How often each address knocked in this minute and the last. Coarser than `Windows`, and cheap under a flood."""

    def __init__(self) -> None:
        """Begin with none."""
        self._since_s = float("-inf")
        self._now: Counter[str] = Counter()
        self._before: Counter[str] = Counter()

    def count(self, address: str, now_s: float) -> int:
        """Count one more, and return how many it were in this minute."""
        if now_s - self._since_s >= MINUTE_S or len(self._now) >= _WINDOWS_MAX:
            self._before, self._now = self._now, Counter()
            self._since_s = now_s
        self._now[address] += 1
        return self._now[address]

    def of(self, address: str) -> int:
        """How many there were lately."""
        return self._now[address] + self._before[address]


@dataclass(eq=False, slots=True)
class Visitor:
    """A connection, as the gate knows it."""

    address: str
    """Where it comes from; behind a proxy, the proxy's until its request was read."""
    evict: Callable[[], None]
    """Ends the connection at once, to make room. Must not raise."""
    by_proxy: bool = False
    """Whether the address is what a trusted proxy said."""
    party: str = ""
    """Under which address it was counted in; empty until then."""


class Gate:
    """Counts connections, in all and by address, and says when there are too many.

    A connection *arrives* when it is accepted, *enters* when its opening is done, is *known* once it said who it is, and
    *leaves* when its socket is closed. Until it is known it is one of a small number that may have to make room; those
    that are refused stay among them while they are told why.

    Limits by address don't hold for loopback unless `limit_loopback` is set: behind a proxy on the same machine, or in a
    trial with several homes, all clients share that address, and whoever is on the machine can do worse anyway.
    """

    def __init__(self, settings: Settings, now_s: Callable[[], float]) -> None:
        """Begin with nobody here."""
        self._settings = settings
        self._now_s = now_s
        self.connections = 0
        self.mailboxes = 0
        self.refused = 0
        """Connections refused, evicted or turned away so far."""
        self._unknown: dict[Visitor, None] = {}
        """Those that have not said who they are, the oldest first."""
        self._by_party: Counter[str] = Counter()
        self._arrivals = Arrivals()
        self._connects = Windows((MINUTE_S, settings.connects_per_ip_minute_max))
        self._claims = Windows(
            (MINUTE_S, settings.mailbox_claims_per_ip_minute_max), (HOUR_S, settings.mailbox_claims_per_ip_hour_max)
        )

    @property
    def unauthenticated(self) -> int:
        """How many have not said who they are."""
        return len(self._unknown)

    def arrive(self, visitor: Visitor) -> bool:
        """Note a connection that was just accepted; `leave` must follow. False: close it without a word.

        Where too many have not said who they are, one of them goes at once: of the address that knocked most often lately,
        and of those the oldest. So a flood from addresses that come again drives out itself and nobody else, and one from
        ever new addresses leaves everybody the time in which so many others come.
        """
        if visitor.address != self._settings.trusted_proxy and not self._knock(visitor.address):
            self.refused += 1
            return False
        if len(self._unknown) >= self._settings.connections_unauthenticated_max:
            oldest = max(self._unknown, key=lambda other: self._knocks(other.address))
            self.known(oldest)
            self.refused += 1
            oldest.evict()
        self._unknown[visitor] = None
        return True

    def _knock(self, address: str) -> bool:
        """Count an address that comes, and say whether it may still be told why it is refused."""
        knocks = self._arrivals.count(party_of(address), self._now_s())
        return not self._limited(address) or knocks <= ARRIVALS_PER_CONNECT * self._settings.connects_per_ip_minute_max

    def _knocks(self, address: str) -> int:
        # A proxy comes for everybody, and only with a request that is complete.
        return 0 if address == self._settings.trusted_proxy else self._arrivals.of(party_of(address))

    def enter(self, visitor: Visitor) -> None:
        """Count a connection in whose opening is done, as one that has not said who it is.

        Raises:
            TooManyConnections: in all, or of this address.
            RateLimited: this address connects too often.
        """
        settings, party = self._settings, party_of(visitor.address)
        if visitor.by_proxy:
            self._knock(visitor.address)
        try:
            if self.connections >= settings.connections_max:
                raise TooManyConnections
            if self._limited(visitor.address):
                if self._by_party[party] >= settings.connections_per_ip_max:
                    raise TooManyConnections
                if not self._connects.allow(party, self._now_s()):
                    raise RateLimited
        except (TooManyConnections, RateLimited):
            self.refused += 1
            raise
        visitor.party = party
        self.connections += 1
        self._by_party[party] += 1

    def leave(self, visitor: Visitor) -> None:
        """Count a connection out. Does nothing if that was done."""
        self.known(visitor)
        if visitor.party:
            self.connections -= 1
            self._by_party[visitor.party] -= 1
            if not self._by_party[visitor.party]:
                del self._by_party[visitor.party]
            visitor.party = ""

    def known(self, visitor: Visitor) -> None:
        """Note that one said who it is. Does nothing if that was noted."""
        self._unknown.pop(visitor, None)

    def claim(self, address: str) -> None:
        """Count a try at a nameplate.

        Raises:
            RateLimited: too many from this address.
        """
        if self._limited(address) and not self._claims.allow(party_of(address), self._now_s()):
            raise RateLimited

    def _limited(self, address: str) -> bool:
        return self._settings.limit_loopback or not is_loopback(address)


@functools.lru_cache(maxsize=1024)
def party_of(address: str) -> str:
    """What counts as one address: an IPv4 address, or the network that somebody with IPv6 is given."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address or "?"
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _IPV6_SHARED_BITS), strict=False))


@functools.lru_cache(maxsize=1024)
def is_loopback(address: str) -> bool:
    """Whether an address, or the name ``localhost``, is this machine's own."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
