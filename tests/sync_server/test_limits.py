"""Buckets, windows, counts and settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from bide.errors import InputError
from bide_relay.errors import RateLimited, RelayRefusal, TooManyConnections
from bide_relay.limits import EVICTION_AGE_S, Bucket, Gate, Throttle, Visitor, Windows, is_loopback
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


class Door:
    """Visitors of a gate, and who had to go."""

    def __init__(self, settings: Settings) -> None:
        self.now = Now()
        self.gate = Gate(settings, self.now)
        self.evicted: list[str] = []

    def enter(self, address: str) -> Visitor:
        visitor = Visitor(address, lambda: self.evicted.append(address))
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
    """The oldest first, once it had its time to speak; never one that said who it is."""
    door = Door(Settings(connections_unauthenticated_max=2))
    known = door.enter("a")
    door.gate.known(known)
    door.gate.known(known)
    silent = [door.enter(address) for address in "bc"]
    with pytest.raises(TooManyConnections):
        door.enter("d")
    assert (door.evicted, door.gate.unauthenticated) == ([], 2)
    door.now.s += EVICTION_AGE_S
    door.enter("e")
    assert (door.evicted, door.gate.unauthenticated, door.gate.connections) == (["b"], 2, 4)
    door.gate.leave(silent[0])
    door.enter("f")
    assert (door.evicted, door.gate.unauthenticated, door.gate.connections) == (["b", "c"], 2, 4)
    with pytest.raises(TooManyConnections):
        door.enter("g")


def test_whom_the_limits_by_address_refuse_drives_nobody_out() -> None:
    """One address can't use up the places of others."""
    door = Door(Settings(connections_unauthenticated_max=2, connections_per_ip_max=1))
    door.enter("192.0.2.1")
    door.enter("192.0.2.2")
    door.now.s += 5
    with pytest.raises(TooManyConnections):
        door.enter("192.0.2.2")
    assert (door.evicted, door.gate.unauthenticated) == ([], 2)


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
