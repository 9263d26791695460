"""How many places an account may hold."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.engine import shares
from cronally.engine.shares import FIRST, Shares

PLACES, CAP = 512, 64


def made() -> Shares:
    return Shares(PLACES, CAP, FIRST)


def room(those: Shares, account: str = "a", held: int = 0, sending: int = 0) -> int:
    return those.room_of(account, Counter({account: held}), sending)


def test_earned__by_quick_answers() -> None:
    those = made()
    assert room(those) == FIRST
    for _ in range(3):
        those.ended("a", 0.2)
    assert room(those) == FIRST + 3
    for _ in range(100):
        those.ended("a", 0.2)
    assert room(those) == CAP
    assert room(those, held=60) == 4
    assert room(those, held=70) == 0


@pytest.mark.parametrize(
    ("seconds", "in_the_end"), [(1.0, CAP), (2.0, 16), (4.0, 4), (8.0, 1), (10.0, 1), (600.0, 1)]
)
def test_earned__less_the_longer_an_answer_takes(seconds: float, in_the_end: int) -> None:
    those = made()
    for _ in range(100):
        those.ended("a", seconds)
    assert those.earned("a") == in_the_end


def test_earned__is_halved_by_silence() -> None:
    those = made()
    those.ended("a", 10.0)
    assert those.earned("a") == FIRST // 2
    those.ended("a", 10.0)
    those.ended("a", 10.0)
    those.ended("a", 10.0)
    assert those.earned("a") == 1
    those.ended("a", 0.1)
    assert those.earned("a") == 2
    assert those.earned("b") == FIRST


def test_room__of_the_last_quarter_is_for_who_holds_none() -> None:
    those = made()
    sending = PLACES * 3 // 4
    assert room(those, held=1, sending=sending - 1) == FIRST - 1
    assert room(those, held=1, sending=sending) == 0
    assert room(those, held=0, sending=sending) == 1
    for _ in range(CAP):
        those.ended("a", 0.1)
    assert room(those, held=1, sending=sending) == CAP - 1


def test_known__accounts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "MAX_KNOWN", 2)
    those = made()
    for account in ("a", "b", "a", "c"):
        those.ended(account, 0.1)
    assert [those.earned(account) for account in ("a", "b", "c")] == [FIRST + 2, FIRST, FIRST + 1]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1000)), max_size=200), st.integers(0, PLACES))
def test_room__is_always_one_at_least_for_who_holds_none(
    answers: list[tuple[str, float]], sending: int
) -> None:
    those = made()
    for account, seconds in answers:
        those.ended(account, seconds)
    for account in "abcd":
        assert 1 <= those.earned(account) <= CAP
        assert 1 <= room(those, account, 0, sending) <= CAP
