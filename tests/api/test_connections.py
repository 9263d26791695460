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


async def test_admit__strangers_push_out_none_but_strangers(registry: CollectorRegistry) -> None:
    those = bounded(registry, most=10, per_address=10)
    those.know("9.9.9.9")
    good = [One(idle=True) for _ in range(6)]
    strange = [One(idle=True) for _ in range(4)]
    for one in good:
        assert those.admit(one, "9.9.9.9")
    for one in strange:
        assert those.admit(one, "1.1.1.1")
    assert admit(those, *["1.1.1.2"] * 5) == [True] * 4 + [False]
    assert [one.transport.aborted for one in good + strange] == [False] * 6 + [True] * 4
    assert admit(those, "9.9.9.9") == [True], "who is known may push out who is known"
    assert good[0].transport.aborted


async def test_admit__strangers_have_four_fifths_whatever_others_leave(registry: CollectorRegistry) -> None:
    those = bounded(registry, most=10, per_address=10)
    strange = [One(idle=number > 0) for number in range(8)]
    for one in strange:
        assert those.admit(one, "1.1.1.1")
    assert admit(those, "1.1.1.2") == [True]
    assert [one.transport.aborted for one in strange] == [False, True] + [False] * 6
    assert len(those._open) == 8


async def test_admit__who_is_refused_leaves_nothing_behind(registry: CollectorRegistry) -> None:
    those = bounded(registry, most=10, per_address=10)
    assert admit(those, *["1.1.1.1"] * 8) == [True] * 8
    assert admit(those, *(f"2.1.1.{number}" for number in range(100))) == [False] * 100
    assert those._strange == {"1.1.1.1"}
    assert those._of_strangers == 8


async def test_admit__who_pushes_out_its_own_last_one_is_counted_once(registry: CollectorRegistry) -> None:
    """Else each time one place of strangers would be gone for good."""
    those = bounded(registry, most=5, per_address=5)
    busy = [One() for _ in range(3)]
    assert [those.admit(one, "1.1.1.1") for one in busy] == [True] * 3
    one = One(idle=True)
    assert those.admit(one, "1.1.1.2")
    for _ in range(3):
        before, one = one, One(idle=True)
        assert those.admit(one, "1.1.1.2")
        assert before.transport.aborted
        assert those._of_strangers == 4
    for each in (*busy, one):
        those.leave(each)
    assert those._of_strangers == 0
    assert admit(those, *["1.1.1.3"] * 4) == [True] * 4


@pytest.mark.parametrize("peer", ["1.1.1.1", "10.0.0.1", None])
async def test_leave__nothing_is_kept_of_who_has_left(registry: CollectorRegistry, peer: str | None) -> None:
    those = bounded(registry)
    one = One()
    assert those.admit(one, peer)
    one.transport.unread = 1
    those.unread(one)
    assert those.holds(one, connections.SMALL_BODY + 1)
    those.leave(one)
    assert not those._open
    assert not those._spared
    assert not those._strange
    assert not those._unread_since
    assert not those._bodies
    assert not +those._of_address
    assert not those._held_of
    assert (those._of_strangers, those._held) == (0, 0)


async def test_admit__who_becomes_known_is_no_stranger_any_more(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    those = bounded(registry, most=10, per_address=10)
    first = One()
    assert those.admit(first, "1.1.1.1")
    assert admit(those, *["1.1.1.1"] * 6) == [True] * 6
    assert those._of_strangers == 7
    those.know("1.1.1.1")
    assert those._of_strangers == 0
    assert admit(those, "1.1.1.2", "1.1.1.2") == [True, True]
    assert those._of_strangers == 2
    monkeypatch.setattr(connections, "KNOWN_FOR", 0.0)
    assert admit(those, "1.1.1.1") == [False], "and is one again, with all that it has"
    assert those._of_strangers == 9
    those.leave(first)
    assert those._of_strangers == 8


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


@pytest.fixture
def hundred(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies may hold a hundred bytes altogether, an address what is left, and each connection ten beside that."""
    monkeypatch.setattr(connections, "MAX_BODIES", 100)
    monkeypatch.setattr(connections, "SMALL_BODY", 10)
    monkeypatch.setattr(connections, "PARTS", 1)


def arriving(those: Connections, peer: str | None) -> One:
    """A connection whose body is arriving, and is dropped when it is cut."""
    one = One()
    assert those.admit(one, peer)
    one.cut = lambda: those.holds(one, 0)
    return one


async def test_bodies__an_address_holds_no_more_than_is_left(
    registry: CollectorRegistry, hundred: None
) -> None:
    those = bounded(registry)
    one, other = One(), One()
    assert those.admit(one, "1.1.1.1")
    assert those.admit(other, "1.1.1.2")
    assert those.holds(one, 60)
    assert not those.holds(one, 61)
    those.holds(one, 60)
    assert those.holds(other, 35)
    assert not those.holds(other, 36)
    those.leave(one)
    those.leave(other)
    assert (those._held, those._held_of, those._bodies) == (0, {}, {})


async def test_bodies__complete_ones_keep_no_others_out(registry: CollectorRegistry) -> None:
    """However many hold all that they may, there is room for a small body, and for a large one of another address."""
    those = bounded(registry, most=1000, per_address=100)
    kept = connections.SMALL_BODY
    for number in range(700):
        one = One()
        assert those.admit(one, f"1.1.{number // 100}.1")
        size = kept
        while size <= 1024 * 1024 and those.holds(one, size + kept):
            size += kept
        those.holds(one, size)
    assert those._held < connections.MAX_BODIES
    whole, large = One(), One()
    assert those.admit(whole, "1.1.1.2")
    assert those.holds(whole, kept)
    assert those.admit(large, "2.2.2.2")
    assert those.holds(large, 1024 * 1024)


async def test_bodies__the_slowest_of_those_who_hold_as_much_is_cut(
    registry: CollectorRegistry, hundred: None
) -> None:
    those = bounded(registry)
    little, slow, slower, last = (arriving(those, f"{number}.1.1.1") for number in range(1, 5))
    for one, size in ((little, 15), (slower, 40), (slow, 40)):
        assert those.holds(one, size)
    assert those.holds(last, 30)
    assert list(those._bodies) == [little, slow, last], "of those who hold more, the one that began first"
    assert not those.holds(little, 60), "nobody holds as much: it goes itself"


async def test_bodies__through_a_proxy_each_connection_counts_for_itself(
    registry: CollectorRegistry, hundred: None
) -> None:
    those = bounded(registry)
    first, second = arriving(those, "10.0.0.1"), arriving(those, "10.0.0.1")
    assert those.holds(first, 60)
    assert those.holds(second, 30)
    assert list(those._bodies) == [first, second]


def test_refused__for_others_does_not_count_against_an_address(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "MAX_REFUSED", 1)
    those = bounded(registry)
    for _ in range(9):
        those.refused("bodies", "1.1.1.1", at_fault=False)
    assert not those.blocked("1.1.1.1")
    assert refused(registry, "bodies") == 9


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
