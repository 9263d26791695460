"""When a receiver that does not answer is left alone, and when it is tried again."""

from __future__ import annotations

import logging

import pytest

from cronally.engine import circuits
from cronally.engine.circuits import CEILING, FIRST, MOST_IDLE, THRESHOLD, Circuits
from cronally.targets.target import Reply

PATIENCE = 10.0
KEY = ("a", "r")


def opened(now: float = 0.0) -> Circuits:
    those = Circuits(PATIENCE)
    for _ in range(THRESHOLD):
        assert those.wait(KEY, now) is None
        those.begin(KEY, now)
        those.learn(KEY, now, Reply.SILENT)
    return those


def test_opens__after_so_many_in_a_row() -> None:
    those = Circuits(PATIENCE)
    for number in range(THRESHOLD - 1):
        those.learn(KEY, number, Reply.SILENT)
    those.learn(KEY, 8.0, Reply.ANSWERED)
    for number in range(THRESHOLD - 1):
        those.learn(KEY, number, Reply.SILENT)
    assert those.wait(KEY, 9.0) is None
    assert those.open_count == 0
    those.learn(KEY, 9.0, Reply.SILENT)
    assert those.wait(KEY, 9.25) == FIRST - 0.25
    assert those.wait(("a", "other"), 9.25) is None
    assert those.open_count == 1


def test_half_open__one_request_tries_and_the_others_wait_for_it() -> None:
    those = opened()
    assert those.wait(KEY, FIRST) is None
    those.begin(KEY, FIRST)
    assert those.wait(KEY, FIRST + 0.5) == FIRST
    those.learn(KEY, 5.0, Reply.SILENT)
    assert those.wait(KEY, 5.0) == 2 * FIRST
    assert those.wait(KEY, 5.0 + 2 * FIRST) is None
    those.begin(KEY, 7.0)
    those.learn(KEY, 7.5, Reply.ANSWERED)
    assert those.wait(KEY, 7.5) is None
    assert those.open_count == 0


def test_half_open__a_try_that_says_nothing_is_not_waited_for_for_ever() -> None:
    those = opened()
    those.begin(KEY, 1.0)
    assert those.wait(KEY, 1.0 + PATIENCE) is None


def test_half_open__a_try_that_asked_nobody_leaves_it_open_and_lets_the_next_one_try() -> None:
    those = opened()
    those.begin(KEY, FIRST)
    those.learn(KEY, FIRST + 0.5, Reply.NOT_ASKED)
    assert those.open_count == 1
    assert those.wait(KEY, FIRST + 0.5) is None
    those.begin(KEY, FIRST + 0.5)
    assert those.wait(KEY, FIRST + 0.5) == FIRST
    those.learn(KEY, FIRST + 1.0, Reply.SILENT)
    assert those.wait(KEY, FIRST + 1.0) == 2 * FIRST


def test_not_asked__does_not_count_and_does_not_begin_anew() -> None:
    those = Circuits(PATIENCE)
    those.learn(KEY, 0.0, Reply.NOT_ASKED)
    assert not those._circuits
    for _ in range(THRESHOLD - 1):
        those.learn(KEY, 0.0, Reply.SILENT)
    for _ in range(THRESHOLD):
        those.learn(KEY, 0.0, Reply.NOT_ASKED)
    assert those.open_count == 0
    those.learn(KEY, 0.0, Reply.SILENT)
    assert those.open_count == 1


def test_wait__doubles_up_to_a_ceiling_with_each_try() -> None:
    those = opened()
    now, waits = FIRST, []
    for _ in range(8):
        those.begin(KEY, now)
        those.learn(KEY, now, Reply.SILENT)
        wait = those.wait(KEY, now)
        assert wait is not None
        waits.append(wait)
        now += wait
    assert waits == [2.0, 4.0, 8.0, 16.0, CEILING, CEILING, CEILING, CEILING]


def test_wait__does_not_grow_by_what_was_on_its_way_when_it_opened() -> None:
    those = opened()
    for _ in range(50):
        those.learn(KEY, 0.5, Reply.SILENT)
    assert those.wait(KEY, 0.5) == FIRST


def test_opening__is_counted_and_logged_once_in_ten_seconds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    count = 0

    def note() -> None:
        nonlocal count
        count += 1

    those = Circuits(PATIENCE, note)
    with caplog.at_level(logging.WARNING):
        for number in range(5):
            for _ in range(THRESHOLD):
                those.learn(("a", f"http:host-{number}:80"), 1.0 + number, Reply.SILENT)
    assert count == those.open_count == 5
    assert [record.message for record in caplog.records] == ["a circuit opened"]


@pytest.mark.parametrize("reply", Reply)
def test_memory__is_not_kept_of_receivers_that_are_asked_no_more(reply: Reply) -> None:
    """Those of deleted cron jobs would be shown as open for ever."""
    those = opened()
    those.learn(("a", "once"), 0.0, Reply.SILENT)
    those.learn(("a", "other"), FIRST + MOST_IDLE, reply)
    assert those.open_count == 1
    assert those.wait(KEY, FIRST + MOST_IDLE) is None, "it may be tried"
    those.learn(("a", "other"), FIRST + MOST_IDLE + 0.5, reply)
    assert those.open_count == 0
    assert set(those._circuits) <= {("a", "other")}


def test_memory__is_kept_of_a_receiver_that_is_still_asked() -> None:
    those = opened()
    those.begin(KEY, FIRST + MOST_IDLE + 1.0)
    those.learn(KEY, FIRST + MOST_IDLE + 2.0, Reply.SILENT)
    assert those.open_count == 1
    assert those.wait(KEY, FIRST + MOST_IDLE + 2.0) == 2 * FIRST


def test_memory__is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuits, "MAX_KNOWN", 3)
    those = Circuits(PATIENCE)
    for name in range(10):
        for _ in range(THRESHOLD):
            those.learn(("a", str(name)), 0.0, Reply.SILENT)
    assert those.open_count == len(those._circuits) == 3
