"""How many connections there may be, and what they may keep."""

from __future__ import annotations

import ipaddress
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from cronally.api import connections, refusals
from cronally.api.addresses import Addresses
from cronally.api.connections import Bounded, Connections
from cronally.api.refusals import LOGGED_EVERY, Refusals


class Transport:
    """What a connection's other end leaves unread."""

    def __init__(self) -> None:
        self.unread = 0
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


class One:
    """A connection."""

    def __init__(self, *, idle: bool = False) -> None:
        self.transport: Any = Transport()
        self.idle = idle
        self.cut: Any = None
        """What `cut_body` does; None if no body is arriving."""

    def cut_body(self) -> bool:
        if self.cut is None:
            return False
        self.cut()
        return True


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def bounded(registry: CollectorRegistry, most: int = 10, per_address: int = 3) -> Connections:
    proxies = [ipaddress.ip_network("10.0.0.0/8")]
    return Connections(Refusals(registry), Addresses(proxies), most=most, per_address=per_address)


def refused(registry: CollectorRegistry, what: str) -> float | None:
    return registry.get_sample_value("cronally_refused_total", {"what": what})


def admit(those: Connections, *peers: str | None) -> list[bool]:
    return [those.admit(cast(Bounded, One()), peer) for peer in peers]


async def test_admit__so_many_of_one_address(registry: CollectorRegistry) -> None:
    those = bounded(registry)
    assert admit(those, *["1.1.1.1"] * 4, "1.1.1.2") == [True, True, True, False, True]
    assert admit(those, *[f"2001:db8::{number}" for number in range(4)]) == [True, True, True, False]
    assert refused(registry, "address_connections") == 2


async def test_admit__again_once_one_has_left(registry: CollectorRegistry) -> None:
    those = bounded(registry, per_address=1)
    first = One()
    assert those.admit(first, "1.1.1.1")
    assert admit(those, "1.1.1.1") == [False]
    those.leave(first)
    those.leave(first)
    assert admit(those, "1.1.1.1") == [True]


async def test_admit__the_last_fifth_is_for_who_is_known(registry: CollectorRegistry) -> None:
    those = bounded(registry)
    those.know("9.9.9.9")
    assert admit(those, *[f"1.1.1.{number}" for number in range(9)]) == [True] * 8 + [False]
    assert admit(those, "9.9.9.9", "10.1.1.1", "9.9.9.9") == [True, True, False]
    assert refused(registry, "connections") == 2


async def test_admit__known_addresses_are_forgotten(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_KNOWN", 1)
    those = bounded(registry, most=5, per_address=5)
    those.know("9.9.9.9")
    those.know("9.9.9.8")
    assert admit(those, *["1.1.1.1"] * 4, "9.9.9.9", "9.9.9.8") == [True] * 4 + [False, True]


async def test_admit__the_oldest_idle_one_makes_room(registry: CollectorRegistry) -> None:
    those = bounded(registry, most=5, per_address=5)
    idle = [One(idle=True), One(idle=True)]
    busy = [One(), One()]
    for one in (busy[0], *idle, busy[1]):
        assert those.admit(one, "1.1.1.1")
    assert admit(those, "1.1.1.2") == [True]
    assert [one.transport.aborted for one in (*idle, *busy)] == [True, False, False, False]


async def test_admit__proxies_and_sockets_without_an_address_speak_for_many(
    registry: CollectorRegistry,
) -> None:
    those = bounded(registry, per_address=1)
    assert admit(those, "10.0.0.1", "10.0.0.1", None, None) == [True] * 4


async def test_unread__who_does_not_read_is_cut(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "READ_TIMEOUT", 0.0)
    those = bounded(registry)
    deaf, good = One(), One()
    for one in (deaf, good):
        assert those.admit(one, "1.1.1.1")
    deaf.transport.unread = 1
    those._look()
    assert (deaf.transport.aborted, good.transport.aborted) == (True, False)
    assert refused(registry, "unread_answer") == 1


async def test_unread__who_reads_slowly_is_not(registry: CollectorRegistry) -> None:
    those = bounded(registry)
    slow = One()
    assert those.admit(slow, "1.1.1.1")
    slow.transport.unread = 1
    those.unread(slow)
    those._look()
    slow.transport.unread = 0
    those._look()
    assert not those._unread_since
    assert not slow.transport.aborted


async def test_unread__all_together_are_bounded(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_UNREAD", 100)
    those = bounded(registry)
    slow = [One(), One(), One()]
    for one in slow:
        assert those.admit(one, "1.1.1.1")
        one.transport.unread = 60
        those.unread(one)
    assert [one.transport.aborted for one in slow] == [True, True, False]


async def test_bodies__all_together_are_bounded_and_the_slowest_is_cut(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_BODIES", 100)
    those = bounded(registry)
    whole, slow, slower, last = One(), One(), One(), One()
    for one, peer in ((whole, "1"), (slower, "2"), (slow, "3"), (last, "4")):
        assert those.admit(one, f"{peer}.1.1.1")
    slower.cut = lambda: those.holds(slower, 0)
    slow.cut = lambda: those.holds(slow, 0)
    assert those.holds(whole, 50)
    assert those.holds(slower, 10)
    assert those.holds(slow, 40)
    assert those._held == 100
    assert those.holds(last, 5)
    assert (those._held, list(those._bodies)) == (95, [whole, slow, last]), "the one that began first is cut"
    assert not those.holds(last, 60), "and if that is not enough, it goes itself"
    assert (those._held, list(those._bodies)) == (110, [whole, last])
    those.leave(whole)
    those.leave(last)
    assert those._held == 0


def test_refusals__are_counted_and_logged_now_and_then(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    those = Refusals(registry, lambda: now)
    for _ in range(3):
        those.note("unauthorized", "1.1.1.1")
    those.note("forbidden", "1.1.1.1")
    now = LOGGED_EVERY
    those.note("unauthorized", "1.1.1.2")
    assert refused(registry, "unauthorized") == 4
    logged = [(vars(record)["what"], vars(record)["count"]) for record in caplog.records]
    assert logged == [("unauthorized", 1), ("forbidden", 1), ("unauthorized", 3)]


def test_refusals__of_one_address_may_be_too_many(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "MAX_REFUSED", 2)
    now = 0.0
    those = Refusals(registry, lambda: now)
    for _ in range(3):
        assert not those.too_many("1.1.1.1")
        those.note("unauthorized", "1.1.1.1")
    those.note("unauthorized", "1.1.1.2")
    assert those.too_many("1.1.1.1")
    assert not those.too_many("1.1.1.2")
    for window in range(1, 5):
        now = window * refusals.WINDOW
        assert those.too_many("1.1.1.1")
        for _ in range(3):
            those.note("blocked_address", "1.1.1.1")
    now = 6 * refusals.WINDOW
    assert not those.too_many("1.1.1.1")


def test_blocked__proxies_are_not(registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "MAX_REFUSED", 1)
    those = bounded(registry)
    those.know("1.1.1.3")
    for peer in ("1.1.1.1", "10.0.0.1", "1.1.1.3") * 2:
        those.refused("malformed", peer)
    peers = ("1.1.1.1", "10.0.0.1", "1.1.1.2", "1.1.1.3")
    assert [those.blocked(peer) for peer in peers] == [True, False, False, False]
    assert refused(registry, "blocked_address") == 1
    for _ in range(connections.PATIENCE - 1):
        those.refused("malformed", "1.1.1.3")
    assert those.blocked("1.1.1.3")
