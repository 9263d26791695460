"""What words and time make of an acknowledgement: in any order, said twice, late."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.acknowledgement import (
    Ack,
    Acknowledgement,
    Word,
    after_deadline,
    after_delivery,
    after_word,
    word_by,
)

WITHIN = 100
STEPS = st.lists(
    st.tuples(st.sampled_from([*Word, "deliver", "end"]), st.sampled_from([None, 0, 1, 137]), st.booleans()),
    max_size=12,
)


def play(steps: list[tuple[Any, int | None, bool]]) -> list[Acknowledgement]:
    """The acknowledgement after each step, a unit of time apart."""
    found = [Acknowledgement(within=WITHIN, min_duration=3, deadline_at=WITHIN)]
    for now, (step, exit_code, flag) in enumerate(steps, 1):
        before = found[-1]
        if step == "deliver":
            found.append(after_delivery(before, now - 1, now))
        elif step == "end":
            ended = after_deadline(before, now, is_on_its_way=False, attempts=now, may_retry=flag)
            found.append(ended if before.is_open else before)
        else:
            found.append(after_word(before, step, now, exit_code))
    return found


@given(STEPS)
def test_steps__keep_what_holds_of_all(steps: list[tuple[Any, int | None, bool]]) -> None:
    states = play(steps)
    for now, (before, after, (step, exit_code, _)) in enumerate(
        zip(states, states[1:], steps, strict=False), 1
    ):
        assert (after.deadline_at is not None) == after.is_open
        assert (after.ended_at is not None) == (after.ack in (Ack.ACKNOWLEDGED, Ack.FAILED))
        if before.ack is Ack.ACKNOWLEDGED:
            assert after.ack is Ack.ACKNOWLEDGED
            assert after.ended_at == before.ended_at
        if before.overdue_at is not None:
            assert after.overdue_at == before.overdue_at
        if isinstance(step, Word):
            assert after_word(after, step, now + 50, exit_code) == after
        if step is Word.LOG:
            assert after == before
        assert after.duration is None or after.duration >= 0


@pytest.mark.parametrize(
    ("word", "exit_code", "means"),
    [
        (Word.FAIL, None, Word.FAIL),
        (Word.FAIL, 0, Word.DONE),
        (Word.FAIL, 2, Word.FAIL),
        (Word.DONE, None, Word.DONE),
        (Word.DONE, 1, Word.FAIL),
        (Word.START, None, Word.START),
        (Word.LOG, None, Word.LOG),
    ],
)
def test_word_by__goes_by_the_exit_code(word: Word, exit_code: int | None, means: Word) -> None:
    assert word_by(word, exit_code) is means


def test_overdue__is_acknowledged_late() -> None:
    begun = after_delivery(Acknowledgement(within=WITHIN), 0, 10)
    assert begun.deadline_at == 110
    overdue = after_deadline(begun, 111, is_on_its_way=False, attempts=1, may_retry=False)
    assert (overdue.ack, overdue.overdue_at, overdue.is_late) == (Ack.OVERDUE, 111, False)
    late = after_word(overdue, Word.DONE, 500)
    assert (late.ack, late.is_late, late.overdue_at, late.duration) == (Ack.ACKNOWLEDGED, True, 111, 500)


def test_too_fast__is_what_took_less_than_it_can() -> None:
    begun = after_delivery(Acknowledgement(within=WITHIN, min_duration=30), 0, 10)
    assert after_word(begun, Word.DONE, 29).is_too_fast
    assert not after_word(begun, Word.DONE, 30).is_too_fast
    started = after_word(begun, Word.START, 20)
    assert after_word(started, Word.DONE, 49).is_too_fast
    assert not after_word(started, Word.FAIL, 21, 1).is_too_fast


def test_failed__is_done_after_all_and_not_the_other_way_round() -> None:
    failed = after_word(Acknowledgement(within=WITHIN, deadline_at=WITHIN), Word.FAIL, 5, 3)
    assert (failed.ack, failed.exit_code) == (Ack.FAILED, 3)
    done = after_word(failed, Word.DONE, 9)
    assert (done.ack, done.exit_code, done.ended_at) == (Ack.ACKNOWLEDGED, None, 9)
    assert after_word(done, Word.FAIL, 10, 1) == done


def test_faster_than_the_record__keeps_the_word() -> None:
    early = after_word(Acknowledgement(within=WITHIN, deadline_at=WITHIN), Word.DONE, 5)
    recorded = after_delivery(early, 1, 7)
    assert (recorded.ack, recorded.duration, recorded.deadline_at) == (Ack.ACKNOWLEDGED, 4, None)
