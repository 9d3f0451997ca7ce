"""Buckets, windows, counts and settings."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bide.errors import InputError
from bide_relay.errors import RateLimited, RelayRefusal, TooManyConnections
from bide_relay.limits import ARRIVALS_PER_CONNECT, Bucket, Budget, Gate, Throttle, Visitor, Windows, is_loopback, party_of
from bide_relay.settings import Settings, load_settings


class Now:
    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


def test_a_bucket_delays_in_proportion() -> None:
    """A burst is free; then one waits as long as the rate asks; idling fills up to the burst only."""
    bucket = Bucket(10, 5, 0.0)
    assert [bucket.take(1, 0.0) for _ in range(5)] == [0] * 5
    assert bucket.take(1, 0.0) == pytest.approx(0.1)
    assert bucket.take(1, 0.1) == pytest.approx(0.1)
    assert bucket.take(1, 100.0) == 0
    assert bucket.take(5, 100.0) == pytest.approx(0.1)


def test_a_throttle_minds_frames_and_bytes() -> None:
    """Whichever is exceeded more."""
    throttle = Throttle(
        Settings(frames_per_device_s=20, frames_per_device_burst=2, bytes_per_device_s=1000, bytes_per_device_burst=1000), 0.0
    )
    assert throttle.delay_s(500, 0.0) == 0
    assert throttle.delay_s(500, 0.0) == 0
    assert throttle.delay_s(10, 0.0) == pytest.approx(0.05)
    assert throttle.delay_s(1990, 0.0) == pytest.approx(2.0)


def test_windows_count_each_address() -> None:
    """Five a minute and seven an hour, sliding; what was refused doesn't count."""
    windows = Windows((60, 5), (3600, 7))
    assert [windows.allow("a", 0) for _ in range(6)] == [True] * 5 + [False]
    assert windows.allow("b", 0)
    assert [windows.allow("a", 61) for _ in range(3)] == [True, True, False]
    assert windows.allow("a", 3601)


class TurnedAway(Exception):
    """Without a word."""


class Door:
    """Visitors of a gate, and who had to go."""

    def __init__(self, settings: Settings) -> None:
        self.now = Now()
        self.gate = Gate(settings, self.now)
        self.evicted: list[str] = []

    def enter(self, address: str) -> Visitor:
        visitor = Visitor(address, lambda: self.evicted.append(address))
        if not self.gate.arrive(visitor):
            raise TurnedAway
        try:
            self.gate.enter(visitor)
        except RelayRefusal:
            self.gate.leave(visitor)
            raise
        return visitor


def test_the_gate_counts_connections() -> None:
    """In all, of an address, and how often; leaving frees."""
    door = Door(Settings(connections_max=3, connections_per_ip_max=2, connects_per_ip_minute_max=3))
    one, two = [door.enter("192.0.2.1") for _ in range(2)]
    with pytest.raises(TooManyConnections):
        door.enter("192.0.2.1")
    door.gate.leave(one)
    three = door.enter("192.0.2.1")
    door.gate.leave(three)
    with pytest.raises(RateLimited):
        door.enter("192.0.2.1")
    door.now.s += 61
    others = [two, door.enter("192.0.2.1"), door.enter("192.0.2.2")]
    with pytest.raises(TooManyConnections):
        door.enter("192.0.2.3")
    for visitor in others:
        door.gate.leave(visitor)
    assert (door.gate.connections, door.gate.unauthenticated) == (0, 0)


def test_who_says_nothing_makes_room() -> None:
    """At once, the oldest of the address that came most often lately; never one that said who it is."""
    door = Door(Settings(connections_unauthenticated_max=3))
    known = door.enter("a")
    door.gate.known(known)
    door.gate.known(known)
    honest = door.enter("b")
    for _ in range(40):
        door.enter("127.0.0.1")
    assert (door.evicted, door.gate.unauthenticated) == (["127.0.0.1"] * 38, 3)
    late = door.enter("c")
    assert (door.evicted[38:], door.gate.unauthenticated) == (["127.0.0.1"], 3)
    door.evicted.clear()
    door.now.s += 60
    door.enter("127.0.0.1")
    assert door.evicted == ["127.0.0.1"]  # a minute later that isn't forgotten
    for visitor in (honest, late):
        door.gate.known(visitor)
    door.evicted.clear()
    for address in "defg":
        door.enter(address)
    assert door.evicted == ["127.0.0.1", "d"]


def test_a_proxy_is_not_taken_for_a_crowd() -> None:
    """Before its request is read, a connection has the proxy's address; then it has the client's."""
    door = Door(Settings(connections_unauthenticated_max=2, trusted_proxy="192.0.2.9"))
    opening = [Visitor("192.0.2.9", lambda: door.evicted.append("proxy")) for _ in range(2)]
    assert door.gate.arrive(opening[0])
    door.enter("a")
    assert door.gate.arrive(opening[1])
    assert door.evicted == ["a"]
    opening[1].address, opening[1].by_proxy, opening[1].evict = "b", True, lambda: door.evicted.append("b")
    door.gate.enter(opening[1])
    door.enter("c")
    assert door.evicted == ["a", "b"]


def test_who_is_refused_counts_nowhere_but_may_have_to_go() -> None:
    """While it is told why it takes nobody's place, and the next one may drive it out."""
    door = Door(Settings(connections_unauthenticated_max=2, connections_max=2))
    for address in "ab":
        door.gate.known(door.enter(address))
    refused = [Visitor(address, lambda address=address: door.evicted.append(address)) for address in "cde"]  # type: ignore[misc]
    for visitor in refused:
        assert door.gate.arrive(visitor)
        with pytest.raises(TooManyConnections):
            door.gate.enter(visitor)
    assert (door.evicted, door.gate.connections, door.gate.refused) == (["c"], 2, 4)
    for visitor in (*refused, *refused):
        door.gate.leave(visitor)
    assert (door.gate.connections, door.gate.unauthenticated) == (2, 0)


def test_who_knocks_without_end_is_turned_away_without_a_word() -> None:
    """Being told why costs the relay more than it costs the client; a trusted proxy knocks for everybody."""
    door = Door(Settings(connects_per_ip_minute_max=1, trusted_proxy="192.0.2.9"))
    door.gate.leave(door.enter("192.0.2.1"))
    for _ in range(ARRIVALS_PER_CONNECT - 1):
        with pytest.raises(RateLimited):
            door.enter("192.0.2.1")
    with pytest.raises(TurnedAway):
        door.enter("192.0.2.1")
    assert door.gate.unauthenticated == 0
    door.enter("192.0.2.2")
    assert all(door.gate.arrive(Visitor("192.0.2.9", lambda: None)) for _ in range(100))
    door.now.s += 60
    door.enter("192.0.2.1")


def test_an_ipv6_network_is_one_party() -> None:
    """Whoever has one address of it has all of them."""
    assert party_of("2001:db8:1:2::1") == party_of("2001:db8:1:2:ffff::") == "2001:db8:1:2::/64"
    assert party_of("2001:db8:1:3::1") != party_of("2001:db8:1:2::1")
    assert party_of("::ffff:192.0.2.1") == party_of("192.0.2.1") == "192.0.2.1"
    assert party_of("fe80::1%eth0") == "fe80::/64"
    assert party_of("made up") == "made up"
    door = Door(Settings(connections_per_ip_max=1))
    door.enter("2001:db8:1:2::1")
    with pytest.raises(TooManyConnections):
        door.enter("2001:db8:1:2::2")


def test_windows_forget_the_quiet_and_then_the_oldest() -> None:
    """However many addresses come, so many are remembered."""
    windows = Windows((60, 1))
    for number in range(30_000):
        assert windows.allow(f"a{number}", number / 1000)
    assert len(windows._times) <= 10_000
    assert not windows.allow("a29999", 30)


async def test_a_budget_is_shared() -> None:
    """Who finds nothing left waits; what is larger than all of it goes alone."""
    budget = Budget(10)
    await budget.take(6)
    waiting = asyncio.ensure_future(budget.take(100))
    await asyncio.sleep(0)
    assert not waiting.done()
    budget.give_back(6)
    await waiting
    assert budget.used == 100


def test_whom_the_limits_by_address_refuse_drives_nobody_out() -> None:
    """One address can't use up the places of others."""
    door = Door(Settings(connections_unauthenticated_max=2, connections_per_ip_max=1))
    door.enter("192.0.2.1")
    door.enter("192.0.2.2")
    with pytest.raises(TooManyConnections):
        door.enter("192.0.2.2")
    assert (door.evicted, door.gate.unauthenticated) == (["192.0.2.2"], 1)


def test_loopback_is_not_limited_by_address() -> None:
    """Unless asked for."""
    door = Door(Settings(connections_per_ip_max=1))
    door.enter("127.0.0.1")
    door.enter("127.0.0.1")
    strict = Door(Settings(connections_per_ip_max=1, limit_loopback=True))
    strict.enter("::1")
    with pytest.raises(TooManyConnections):
        strict.enter("::1")
    assert [is_loopback(a) for a in ("127.8.8.8", "::1", "localhost", "192.0.2.1", "")] == [True, True, True, False, False]


def test_claims_are_limited() -> None:
    """Five a minute, twenty an hour."""
    now = Now()
    gate = Gate(Settings(), now)
    for _ in range(4):
        for _ in range(5):
            gate.claim("192.0.2.1")
        with pytest.raises(RateLimited):
            gate.claim("192.0.2.1")
        now.s += 60
    with pytest.raises(RateLimited):
        gate.claim("192.0.2.1")
    now.s += 3600
    gate.claim("192.0.2.1")


def test_settings_come_from_file_and_flags(tmp_path: Path) -> None:
    """Flags go before the file; what is unknown or out of range is said in a sentence."""
    path = tmp_path / "relay.toml"
    path.write_text('registration = "open"\nconnections_max = 7\nspace_bytes_max = 1000\n')
    settings = load_settings(path, {"connections_max": 8, "space_bytes_max": None})
    assert (settings.registration, settings.connections_max, settings.space_bytes_max) == ("open", 8, 1000)
    for text in ('colour = "red"', "connections_max = 0", 'registration = "closed"', "connections_max = ", "\x00"):
        path.write_text(text)
        with pytest.raises(InputError):
            load_settings(path, {})
    with pytest.raises(InputError):
        load_settings(tmp_path / "none.toml", {})


def test_the_defaults_are_those_of_the_design() -> None:
    """sync.md, 'Limits'."""
    s = Settings()
    assert (s.frame_bytes_before_auth_max, s.frame_bytes_max, s.batch_bytes_max) == (4096, 320 * 1024, 256 * 1024)
    assert (s.open_timeout_s, s.auth_timeout_s, s.close_timeout_s, s.ping_interval_s, s.ping_timeout_s) == (5, 10, 5, 20, 20)
    assert (s.connections_max, s.connections_per_ip_max, s.connections_per_device_max) == (2000, 20, 2)
    assert (s.connections_unauthenticated_max, s.connects_per_ip_minute_max) == (50, 10)
    assert (s.frames_per_device_s, s.frames_per_device_burst, s.bytes_per_device_s) == (20, 100, 2 * 2**20)
    assert (s.space_bytes_max, s.space_entries_max, s.disk_free_bytes_min) == (2 * 2**30, 1_000_000, 512 * 2**20)
    assert (s.mailbox_claims_per_ip_minute_max, s.mailbox_claims_per_ip_hour_max, s.invite_spaces) == (5, 20, 8)
    assert (s.registration, s.stop_timeout_s) == ("invite", 10)
