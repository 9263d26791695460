"""How many places an account may hold, and how they go round its receivers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cronally.engine import shares
from cronally.engine.shares import FIRST, LEAST, QUICK, Shares

CAP = 64


class Node:
    """Shares, and what holds places."""

    def __init__(self, cap: int = CAP) -> None:
        self.shares = Shares(cap, FIRST)
        self.now = 0.0
        self.held: dict[int, tuple[str, str]] = {}
        self._next = 0

    def take(self, receiver: str, count: int = 1, account: str = "a") -> int:
        """Take places as long as they are given; how many were."""
        for taken in range(count):
            if not self.shares.admits(account, receiver, self.now):
                return taken
            self._next += 1
            self.shares.begin(account, receiver, self._next, self.now)
            self.held[self._next] = (account, receiver)
        return count

    def answer(self, receiver: str, seconds: float, account: str = "a", *, answered: bool = True) -> None:
        """All requests to a receiver end after so many seconds, with an answer that can be used or without one."""
        self.now += seconds
        for request, whose in list(self.held.items()):
            if whose == (account, receiver):
                self.shares.learn(account, receiver, seconds, answered=answered)
                self.shares.end(account, receiver, request)
                del self.held[request]

    def room(self, account: str = "a") -> int:
        """How many more places the account may take, before it is known what for."""
        return dict(self.shares.rooms(self.now)).get(account, self.shares.room_of_idle(account)).places


def test_unknown__first_and_as_many_as_the_cap_after_a_quick_answer() -> None:
    node = Node()
    assert node.room() == FIRST
    assert node.take("x", 100) == FIRST
    assert node.room() == 0
    node.answer("x", 0.2)
    assert node.room() == CAP
    assert node.take("x", 100) == CAP
    assert node.room() == 0
    assert node.shares.held("a") == CAP


@pytest.mark.parametrize(
    ("seconds", "in_the_end"), [(QUICK, CAP), (2.0, 16), (4.0, 4), (8.0, 1), (10.0, 1), (600.0, 1)]
)
def test_earned__less_the_longer_an_answer_takes(seconds: float, in_the_end: int) -> None:
    node = Node()
    for _ in range(100):
        assert node.take("x", 1) == 1
        node.answer("x", seconds)
    taken = node.take("x", 100)
    # Of what an account has earned a place is left for receivers that nothing is known of.
    assert taken == (CAP if seconds <= QUICK else max(1, in_the_end - 1))


def test_no_answer__is_not_quick_however_soon_it_comes() -> None:
    node = Node()
    assert node.take("x", 100) == FIRST
    node.answer("x", 0.9, answered=False)
    assert not node.shares.is_quick("a")
    assert node.room() == LEAST
    assert node.take("x", 100) == 1
    node.answer("x", 0.9, answered=False)
    assert node.take("x", 1) == 1
    node.answer("x", 0.9)
    assert node.shares.is_quick("a"), "one answer is enough"
    assert node.take("x", 100) == CAP


def test_hanging__two_places_once_it_is_known_and_one_for_the_unknown() -> None:
    node = Node()
    for _ in range(5):
        node.take("x", 100)
        node.answer("x", 10.0)
    assert node.take("x", 100) == 1
    assert node.take("y", 100) == 1
    assert node.take("z", 100) == 0, "one unknown receiver at a time"
    assert node.shares.held("a") == LEAST
    # What is quick has all of the rest.
    node.answer("y", 0.1)
    assert node.take("y", 100) == CAP - 1


def test_stalled__a_quick_receiver_that_begins_to_hang_leaves_a_place_to_each_of_the_others() -> None:
    node = Node()
    for receiver in "xyz":
        node.take(receiver)
        node.answer(receiver, 0.1)
    assert node.take("x", 100) == CAP
    assert node.room() == 0, "as long as it may be answering"
    node.now += 2 * QUICK
    assert node.room() == CAP // 4
    assert node.take("x", 100) == 0
    assert (node.take("y", 5), node.take("z", 5), node.take("new", 5)) == (1, 1, 1)
    for receiver in ("y", "z", "new"):
        node.answer(receiver, 0.1)
    node.answer("x", 10.0)
    assert node.take("y", 100) == CAP


def test_stalled__no_more_than_a_quarter_beyond_the_cap() -> None:
    node = Node()
    names = [str(number) for number in range(100)]
    for name in names:
        node.take(name)
        node.answer(name, 0.1)
    assert node.take("0", 100) == CAP
    node.now += 2 * QUICK
    assert sum(node.take(name) for name in names[1:]) == CAP // 4
    assert node.room() == 0


def test_recovery__a_quick_answer_is_enough() -> None:
    node = Node()
    for _ in range(5):
        node.take("x", 100)
        node.answer("x", 10.0)
    assert node.take("x", 100) == 1
    node.answer("x", 0.5)
    assert node.take("x", 100) == CAP


def test_known__is_bounded_and_what_holds_places_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "MAX_KNOWN", 2)
    node = Node()
    node.take("x", 3)
    for number in range(10):
        node.take(str(number), account=f"b{number}")
    assert node.shares.held("a") == 3
    assert node.take("x", 100) == FIRST - 3
    for number in range(10):
        node.answer(str(number), 0.1, account=f"b{number}")
    node.answer("x", 0.1)
    assert not node.shares.held("a")
    assert len(node.shares._accounts) == len(node.shares._receivers) == 2


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.floats(0, 1000)), max_size=100))
def test_idle__may_always_take_one(answers: list[tuple[str, float]]) -> None:
    """Whatever happened before: an account that holds nothing gets a place, for any receiver."""
    node = Node()
    for receiver, seconds in answers:
        node.take(receiver, 2)
        node.answer(receiver, seconds)
    assert node.shares.held("a") == 0
    for receiver in "xyzn":
        assert 1 <= node.room() <= CAP
        assert node.take(receiver) == 1
        node.answer(receiver, 20.0)


class Anything(RuleBasedStateMachine):
    """Receivers of two accounts that take places and answer in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.node = Node(cap=8)

    @rule(account=st.sampled_from("ab"), receiver=st.sampled_from("wxyz"), count=st.integers(1, 12))
    def take(self, account: str, receiver: str, count: int) -> None:
        self.node.take(receiver, count, account)

    @precondition(lambda self: self.node.held)
    @rule(data=st.data(), seconds=st.sampled_from([0.0, 0.5, 1.5, 10.0]))
    def answer(self, data: st.DataObject, seconds: float) -> None:
        account, receiver = data.draw(st.sampled_from(sorted(set(self.node.held.values()))))
        self.node.answer(receiver, seconds, account)

    @rule(seconds=st.sampled_from([0.5, 2.0]))
    def wait(self, seconds: float) -> None:
        self.node.now += seconds

    @invariant()
    def places_are_counted(self) -> None:
        for account in "ab":
            mine = [whose for whose in self.node.held.values() if whose[0] == account]
            assert self.node.shares.held(account) == len(mine) <= 10
            known = self.node.shares._holding.get(account)
            assert (known is None) == (not mine)
            assert 0 <= self.node.room(account) <= 10


TestAnything = Anything.TestCase
