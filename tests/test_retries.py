"""How a retry schedule is written, read and said."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.instants import DAY, HOUR, MINUTE, SECOND
from cronally.retries import MAX_DELAYS, check_schedule, in_words, listed_delay, read_schedule, sentence
from tests.support.examples import examples

seconds = st.integers(1, 24 * 3600)
lists = st.lists(seconds, min_size=1, max_size=MAX_DELAYS)


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (["exponential"], "exponential"),
        ([" exponential "], "exponential"),
        (["10s,1m,10m,1h"], ["10s", "1m", "10m", "1h"]),
        (["10s", "1m , 10m", "1h"], ["10s", "1m", "10m", "1h"]),
        (["60s"], ["1m"]),
        (["24h", "1d", "1s"], ["24h", "24h", "1s"]),
    ],
)
def test_schedule__is_taken(sent: list[str], stored: Any) -> None:
    assert check_schedule(sent) == stored


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (["10s,"], "has as its entry 2 what is no duration"),
        (["exponential", "10s"], "has as its entry 1 what is no duration"),
        (
            ["canary"],
            "has as its entry 1 what is no duration; give exponential, or delays such as 10s,1m,10m,1h",
        ),
        (["1s,0s"], "has as its entry 2 a delay out of range; give 1s to 24h"),
        (["86401s"], "out of range"),
        (["1.5s"], "no duration"),
        ([",".join(["1s"] * (MAX_DELAYS + 1))], "has 51 delays; give 50 at most, the last one repeats"),
    ],
)
def test_schedule__is_refused(sent: list[str], why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        check_schedule(sent)
    assert "canary" not in str(refused.value)


@examples(50)
@given(lists)
def test_schedule__is_stored_as_it_is_read(delays: list[int]) -> None:
    stored = check_schedule([",".join([f"{delay}s" for delay in delays])])
    assert read_schedule(stored) == tuple([delay * SECOND for delay in delays])


@pytest.mark.parametrize("stored", [None, [], ["x"], [1], "other", {}, ["1s"] * (MAX_DELAYS + 1)])
def test_schedule__what_is_none(stored: Any) -> None:
    assert read_schedule(stored) is None


@pytest.mark.parametrize(
    ("delays", "most", "max_age", "said"),
    [
        ([], 0, DAY, "none: there is one attempt"),
        (
            [],
            185,
            DAY,
            "up to 185 more attempts in 24 h: each at a moment by chance within 2 s, 4 s, 8 s, ... growing to 15 min",
        ),
        ([], 3, 7 * DAY, "up to 3 more attempts in 7 d: each at a moment by chance within 2 s, 4 s, 8 s"),
        ([], 1, MINUTE, "up to 1 more attempt in 1 min: each at a moment by chance within 2 s"),
        (
            [10, 60, 600, 3600],
            185,
            DAY,
            "up to 26 more attempts in 24 h: after 10 s, 1 min, 10 min, 1 h, then every 1 h",
        ),
        ([10, 60, 600, 3600], 4, DAY, "up to 4 more attempts in 24 h: after 10 s, 1 min, 10 min, 1 h"),
        ([10, 60, 600, 3600], 2, DAY, "up to 2 more attempts in 24 h: after 10 s, 1 min"),
        ([10, 60, 600, 3600], 185, 15 * MINUTE, "up to 3 more attempts in 15 min: after 10 s, 1 min, 10 min"),
        ([5400], 185, 2 * HOUR, "up to 1 more attempt in 2 h: after 1 h 30 min"),
        ([60], 185, MINUTE, "up to 1 more attempt in 1 min: after 1 min"),
        (
            [61],
            185,
            MINUTE,
            "none: the first would come after 1 min 1 s, when it is older than max_age allows",
        ),
        (
            list(range(1, 10)),
            185,
            MINUTE,
            "up to 10 more attempts in 1 min: after 1 s, 2 s, 3 s, 4 s, 5 s, 6 s and 3 more delays, the last of 9 s,"
            " then every 9 s",
        ),
    ],
)
def test_sentence(delays: list[int], most: int, max_age: int, said: str) -> None:
    assert sentence(tuple([delay * SECOND for delay in delays]), most, max_age) == said


@examples(50)
@given(lists, st.integers(1, 185), st.integers(60, 7 * 24 * 3600))
def test_sentence__counts_as_one_counts_by_hand(delays: list[int], most: int, age: int) -> None:
    moments: list[int] = []
    while len(moments) < most:
        delay = delays[len(moments)] if len(moments) < len(delays) else delays[-1]
        moments.append((moments[-1] if moments else 0) + delay)
    count = len([moment for moment in moments if moment <= age])
    said = sentence(tuple([delay * SECOND for delay in delays]), most, age * SECOND)
    assert said.startswith(f"up to {count} more attempt" if count else "none: the first would come after")
    assert len(said) < 250


@examples(50)
@given(lists, st.integers(1, 185))
def test_listed_delay__the_last_one_repeats(delays: list[int], retry: int) -> None:
    assert listed_delay(delays, retry) == (delays + [delays[-1]] * 185)[retry - 1]


@examples(50)
@given(st.integers(1, 30 * 24 * 3600))
def test_words__add_up(duration: int) -> None:
    units = {"d": "days", "h": "hours", "min": "minutes", "s": "seconds"}
    words = in_words(duration * SECOND).split()
    parts = {units[unit]: int(count) for count, unit in zip(words[::2], words[1::2], strict=True)}
    assert timedelta(**parts) == timedelta(seconds=duration)
    assert parts.get("days", 2) >= 2
