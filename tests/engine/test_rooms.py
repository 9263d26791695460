"""Whose the places are that the event loop does not keep up with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cronally.engine.admission import Rooms
from cronally.engine.dispatcher import SHARE, _give_places
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


def test_of__a_closed_window_leaves_one_place_to_who_is_idle(shares: Shares) -> None:
    rooms = rooms_of(shares)
    assert [rooms.of(account).places for account in ("new", "own", "busy", "hostile")] == [1, 1, 0, 0]
    full = rooms_of(shares, room=0)
    assert [full.of(account).places for account in ("new", "own")] == [0, 0]


def test_give__an_open_window_is_given_away_in_batches(shares: Shares) -> None:
    """One place for each that is idle comes when it is closed: many small requests cost more than they help."""
    rooms = rooms_of(shares, room=100, window=12)
    accounts = {"first": SHARE, "second": SHARE, "own": SHARE, "new": 1, "busy": 3}
    rooms_by_account = {account: rooms.of(account) for account in accounts}
    places, scarce = _give_places(accounts, rooms_by_account, rooms)
    assert places == {"first": 10, "second": 2}
    assert scarce
    closed = rooms_of(shares, room=31)
    by_account = {account: closed.of(account) for account in accounts}
    places, _ = _give_places(accounts, by_account, closed)
    assert places == {"first": 1, "second": 1, "own": 1, "new": 1}


def test_give__all_that_is_wanted_where_there_is_enough(shares: Shares) -> None:
    rooms = rooms_of(shares, room=500, window=500)
    places, scarce = _give_places({"a": SHARE, "b": 3}, {"a": Room(64), "b": Room(64)}, rooms)
    assert places["b"] == 3
    assert places["a"] == 64
    assert not scarce
