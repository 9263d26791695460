"""Whose the places are that the event loop does not keep up with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cronally.engine.admission import Rooms
from cronally.engine.claiming import FIRST_IN_TURN, SHARE, _give_places
from cronally.engine.shares import QUICK, Room, Shares

NOW = 1000.0
numbers: Iterator[int] = iter(range(10**6))


@pytest.fixture
def shares() -> Shares:
    """Accounts that hold places with a receiver that hangs (own, hostile), or with one that answers (busy)."""
    made = Shares(64, 10)
    made.learn("own", "topic", 0.1)
    made.begin("own", "hangs", next(numbers), NOW - 2 * QUICK)
    made.begin("busy", "topic", next(numbers), NOW)
    made.learn("busy", "topic", 0.1)
    made.begin("hostile", "hangs", next(numbers), NOW - 2 * QUICK)
    return made


def rooms_of(shares: Shares, *, room: int = 100, window: int = 0) -> Rooms:
    return Rooms(room, 10, window, dict(shares.rooms(NOW)), shares)


def test_idle__is_who_holds_nothing_or_waits_only_for_who_is_slow(shares: Shares) -> None:
    rooms = rooms_of(shares)
    assert [rooms.is_idle(account) for account in ("new", "own", "busy", "hostile")] == [
        True,
        True,
        False,
        False,
    ]


def test_of__a_closed_window_is_closed_to_who_is_busy(shares: Shares) -> None:
    rooms = rooms_of(shares)
    assert [rooms.of(account).places for account in ("busy", "hostile")] == [0, 0]
    opened = rooms_of(shares, window=1)
    for account in ("new", "own"):
        assert rooms.of(account).places == opened.of(account).places > 1
    full = rooms_of(shares, room=0)
    assert [full.of(account).places for account in ("new", "own")] == [0, 0]
    kept = rooms_of(shares, room=8)
    assert [kept.of(account).places for account in ("new", "own")] == [1, 1]


@pytest.mark.parametrize(
    ("room", "window", "given"),
    [
        (100, 12, {"first": 10, "second": 2, "own": 10, "new": 4}),
        (100, 0, {"first": 10, "second": 10, "own": 10, "new": 4}),
        # What is left is for those that hold none, one each.
        (20, 20, {"first": 1, "second": 1, "own": 8, "new": 1}),
        (3, 20, {"first": 1, "second": 1, "own": 1}),
    ],
)
def test_give__beyond_the_window_goes_one_request_of_who_is_idle(
    shares: Shares, room: int, window: int, given: dict[str, int]
) -> None:
    rooms = rooms_of(shares, room=room, window=window)
    accounts = {"first": SHARE, "second": SHARE, "own": SHARE, "new": 4, "busy": 3}
    rooms_by_account = {account: rooms.of(account) for account in accounts}
    places, scarce = _give_places(accounts, rooms_by_account, rooms)
    assert places == given
    assert scarce


def test_give__beyond_the_window_go_some_that_have_much_to_send_the_others_the_next_time(
    shares: Shares,
) -> None:
    """As whole requests: one firing of each of many accounts would be as many requests."""
    rooms = rooms_of(shares, room=500, window=0)
    accounts = {f"{number}": SHARE for number in range(3 * FIRST_IN_TURN)} | {"little": 1}
    places, scarce = _give_places(accounts, {account: rooms.of(account) for account in accounts}, rooms)
    assert places == {f"{number}": SHARE for number in range(FIRST_IN_TURN)} | {"little": 1}
    assert scarce


def test_give__all_that_is_wanted_where_there_is_enough(shares: Shares) -> None:
    rooms = rooms_of(shares, room=500, window=500)
    places, scarce = _give_places({"a": SHARE, "b": 3}, {"a": Room(64), "b": Room(64)}, rooms)
    assert places["b"] == 3
    assert places["a"] == 64
    assert not scarce
