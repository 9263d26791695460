"""The retry schedules, one by one and as a whole."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.cronjob import DEFAULT_RETRY_MAX_ATTEMPTS
from cronally.engine.backoff import (
    CONSISTENCY,
    DELIVERY,
    MAX_RETRY_AFTER,
    RetryPolicy,
    delay,
    next_attempt_at,
)
from cronally.instants import DAY, HOUR, MAX_INSTANT, MINUTE, SECOND, from_datetime

NOON = from_datetime(datetime(2026, 11, 24, 12, tzinfo=UTC))

ENDS = NOON + DAY

policies = st.sampled_from([DELIVERY, CONSISTENCY])
chances = st.floats(0, 1, exclude_max=True)
attempts = st.integers(1, 10_000)
instants = st.integers(0, MAX_INSTANT)


def _run(policy: RetryPolicy, chance: random.Random) -> list[int]:
    """The instants of all attempts of a firing that is never delivered, each taking no time, from zero."""
    tried = [0]
    most = policy.max_attempts or 1 + DEFAULT_RETRY_MAX_ATTEMPTS
    while len(tried) < most:
        due_at = next_attempt_at(tried[-1], DAY, len(tried), chance.random(), policy=policy)
        if due_at is None:
            break
        tried.append(due_at)
    return tried


@pytest.mark.parametrize(
    ("attempt", "longest"),
    [
        (1, 2 * SECOND),
        (2, 4 * SECOND),
        (3, 8 * SECOND),
        (9, 512 * SECOND),
        (10, 15 * MINUTE),
        (185, 15 * MINUTE),
        (10**9, 15 * MINUTE),
    ],
)
def test_delay__doubles_up_to_the_ceiling(attempt: int, longest: int) -> None:
    assert delay(attempt, 0.0) == 0
    assert delay(attempt, 0.5) == longest // 2
    assert longest - 2 * SECOND < delay(attempt, 0.999_999) < longest


@pytest.mark.parametrize(("attempt", "longest"), [(1, 8), (2, 32), (3, 128), (4, 512)])
def test_delay__of_the_consistency_schedule_is_mostly_fixed(attempt: int, longest: int) -> None:
    assert delay(attempt, 0.0, CONSISTENCY) == longest * SECOND * 4 // 5
    assert delay(attempt, 0.999_999, CONSISTENCY) <= longest * SECOND


@given(attempts, chances, policies)
def test_delay__stays_within_its_bounds(attempt: int, chance: float, policy: RetryPolicy) -> None:
    assert 0 <= delay(attempt, chance, policy) <= policy.ceiling


@given(instants, instants, attempts, chances, st.none() | st.floats(), policies)
def test_next_attempt_at__is_neither_early_nor_beyond_the_age(
    now: int, ends: int, attempt: int, chance: float, retry_after: float | None, policy: RetryPolicy
) -> None:
    due_at = next_attempt_at(now, ends, attempt, chance, retry_after=retry_after, policy=policy)
    if now > ends:
        assert due_at is None
    if due_at is not None:
        assert now <= due_at <= ends
        assert due_at - now <= MAX_RETRY_AFTER + policy.first


@given(st.integers(1, 184), chances, st.floats(0, 10 * 3600))
def test_next_attempt_at__waits_at_least_as_long_as_it_was_asked_to(
    attempt: int, chance: float, retry_after: float
) -> None:
    due_at = next_attempt_at(NOON, ENDS, attempt, chance, retry_after=retry_after)
    assert due_at is not None
    assert due_at - NOON >= min(int(retry_after * SECOND), HOUR)


@pytest.mark.parametrize("nonsense", [0.0, -1.0, float("nan"), float("-inf")])
def test_next_attempt_at__ignores_what_is_no_wait(nonsense: float) -> None:
    assert next_attempt_at(NOON, ENDS, 3, 0.5, retry_after=nonsense) == next_attempt_at(NOON, ENDS, 3, 0.5)


def test_next_attempt_at__an_endless_wait_is_an_hour() -> None:
    assert next_attempt_at(NOON, ENDS, 1, 0.0, retry_after=float("inf")) == NOON + HOUR


def test_next_attempt_at__those_told_the_same_come_back_apart() -> None:
    asked = [next_attempt_at(NOON, ENDS, 1, chance, retry_after=60.0) for chance in (0.0, 0.25, 0.75)]
    assert asked == [NOON + 60 * SECOND, NOON + 60 * SECOND + SECOND // 2, NOON + 61 * SECOND + SECOND // 2]


def test_next_attempt_at__one_that_would_come_too_late_is_not_made() -> None:
    assert next_attempt_at(ENDS - SECOND, ENDS, 9, 0.999) is None
    assert next_attempt_at(ENDS - SECOND, ENDS, 1, 0.25) == ENDS - SECOND // 2
    assert next_attempt_at(NOON, NOON + HOUR - 1, 1, 0.0, retry_after=3600.0) is None
    assert next_attempt_at(NOON, NOON + HOUR, 1, 0.0, retry_after=3600.0) == NOON + HOUR


@given(st.randoms(use_true_random=False))
def test_delivery_schedule__as_a_whole(chance: random.Random) -> None:
    tried = _run(DELIVERY, chance)
    assert tried == sorted(tried)
    assert 100 < len(tried) <= 186
    assert tried[1] <= 2 * SECOND
    assert tried[-1] <= DAY


def test_delivery_schedule__185_retries_mostly_fit_into_a_day() -> None:
    chance = random.Random(20261124)
    runs = [_run(DELIVERY, chance) for _ in range(400)]
    complete = [run[-1] for run in runs if len(run) == 186]
    assert len(complete) > 0.93 * len(runs)
    assert 21.5 * HOUR < sum(complete) / len(complete) < 22.5 * HOUR


@given(st.randoms(use_true_random=False))
def test_consistency_schedule__is_five_attempts_over_ten_minutes(chance: random.Random) -> None:
    tried = _run(CONSISTENCY, chance)
    assert len(tried) == 5
    assert 9 * MINUTE < tried[-1] < 11.5 * MINUTE
