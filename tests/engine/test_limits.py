"""Limits in time and number: `misfire_grace`, `max_age`, `retry_max_attempts`, and the two schedules counted apart.

Tables of claims say what each limit ends and what it lets go on; the same limits are then met by a dispatcher on both
databases: by what waits, what is tried again, what was lost with its worker, and what was changed meanwhile.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from sqlalchemy import update

from cronally.cronjob import Policies
from cronally.engine.admission import Limits
from cronally.engine.dispatcher import Dispatcher
from cronally.engine.lateness import age_ends, grace_ends, last_chance, owed_since
from cronally.engine.metrics import Metrics
from cronally.engine.scheduler import Scheduler
from cronally.engine.verdict import Sent, give_up, put_off, verdict
from cronally.firing import Reason, State
from cronally.instants import DAY, HOUR, MINUTE, SECOND
from cronally.store import Store, leases, tables
from cronally.store.claims import Claim
from cronally.targets.target import (
    Delivered,
    Message,
    Outcome,
    Refused,
    Repeated,
    Retry,
    Unauthorized,
    Unknown,
)
from tests.support.factories import (
    NOON,
    Clock,
    ScriptedTarget,
    make_cronjob,
    make_firing,
    read_attempts,
    read_firing,
    read_firings,
    vault,
    work_off,
)


def claim(*, policies: dict[str, Any] | None = None, **given: Any) -> Claim:
    return Claim(
        **{
            "cronjob_id": "c",
            "scheduled_at": NOON,
            "kind": "scheduled",
            "account_id": "a",
            "attempt": 1,
            "lease_no": 1,
            "lost_leases": 0,
            "created_at": NOON,
            "cronjob_state": "active",
            "version": 1,
            "name": "n",
            "target": "scripted",
            "destination": "{}",
            "secret": None,
            "size": 2,
            "stored_policies": json.dumps(policies or {}),
            **given,
        }
    )


def dispatcher(store: Store, target: ScriptedTarget, **given: Any) -> Dispatcher:
    return Dispatcher(store, vault(), {"scripted": target}, Limits(), chance=lambda: 0.5, **given)


# From when the age counts


@pytest.mark.parametrize(
    ("late", "since"),
    [(0, 0), (MINUTE, 0), (MINUTE + 1, MINUTE + 1), (3 * DAY, 3 * DAY)],
)
def test_age__counts_from_the_fire_time_or_from_the_catching_up(late: int, since: int) -> None:
    assert owed_since(claim(created_at=NOON + late)) == NOON + since


MISSED = (State.MISSED, Reason.MISFIRE_GRACE)
TOO_OLD = (State.FAILED, Reason.MAX_AGE)
SHORT_GRACE = {"misfire_grace": HOUR, "max_age": DAY}
SHORT_AGE = {"misfire_grace": DAY, "max_age": HOUR}


@pytest.mark.parametrize(
    ("policies", "given", "now", "ends"),
    [
        # Both have 24 hours by default: what was never attempted is missed, what was has failed.
        ({}, {}, DAY, None),
        ({}, {}, DAY + 1, MISSED),
        ({}, {"attempt": 2}, DAY, None),
        ({}, {"attempt": 2}, DAY + 1, TOO_OLD),
        # Whichever ends earlier.
        (SHORT_GRACE, {}, HOUR + 1, MISSED),
        (SHORT_GRACE, {"attempt": 2}, HOUR + 1, None),
        (SHORT_AGE, {}, HOUR, None),
        (SHORT_AGE, {}, HOUR + 1, TOO_OLD),
        # Caught up after three days: the grace let it in, so it has all of its age.
        ({"misfire_grace": 30 * DAY}, {"created_at": NOON + 3 * DAY}, 3 * DAY, None),
        ({"misfire_grace": 30 * DAY}, {"created_at": NOON + 3 * DAY}, 4 * DAY, None),
        ({"misfire_grace": 30 * DAY}, {"created_at": NOON + 3 * DAY}, 4 * DAY + 1, TOO_OLD),
        # At the last moment of its grace: a minute is left to claim it.
        ({"misfire_grace": HOUR}, {"created_at": NOON + HOUR}, HOUR + MINUTE, None),
        ({"misfire_grace": HOUR}, {"created_at": NOON + HOUR}, HOUR + MINUTE + 1, MISSED),
        # Held back, or sent again on purpose, three days later.
        ({}, {"owed_at": NOON + 3 * DAY}, 4 * DAY, None),
        ({}, {"owed_at": NOON + 3 * DAY}, 4 * DAY + 1, MISSED),
        ({}, {"owed_at": NOON + 3 * DAY, "attempt": 2}, 4 * DAY, None),
        ({}, {"owed_at": NOON + 3 * DAY, "attempt": 2}, 4 * DAY + 1, TOO_OLD),
        # A week at most, and a minute at least.
        ({"max_age": 7 * DAY}, {"attempt": 2}, 7 * DAY, None),
        ({"max_age": MINUTE}, {"attempt": 2}, MINUTE + 1, TOO_OLD),
        # One that a dead worker had: it may have arrived, and is not sent again so late.
        ({}, {"attempt": 2, "lost_leases": 1}, DAY + 1, TOO_OLD),
        # Attempts.
        ({"retry_max_attempts": 0}, {}, 0, None),
        ({"retry_max_attempts": 0}, {"attempt": 2, "lost_leases": 1}, 1, (State.FAILED, Reason.UNCONFIRMED)),
        ({"retry_max_attempts": 2}, {"attempt": 3}, 1, None),
        ({"retry_max_attempts": 2}, {"attempt": 4}, 1, (State.FAILED, Reason.RETRY_MAX_ATTEMPTS)),
        ({"retry_max_attempts": 185}, {"attempt": 186}, 1, None),
        # What is older than all this decides.
        ({}, {"lost_leases": 5}, 9 * DAY, (State.FAILED, Reason.WORKER_LOST)),
        ({}, {"cronjob_state": "deleted"}, 9 * DAY, (State.SKIPPED, Reason.DELETED)),
        # A text that cannot be read has the defaults, and cannot stop a claim.
        ({"max_age": "x"}, {"attempt": 2}, DAY, None),
    ],
)
def test_claim__is_given_up(
    policies: dict[str, Any], given: dict[str, Any], now: int, ends: tuple[State, Reason] | None
) -> None:
    made = claim(policies=policies, **given)
    record = give_up(made, NOON + now)
    assert (None if record is None else (record.state, record.reason)) == ends
    if record is not None:
        assert (record.attempt, record.finished_at, record.due_at) == (made.attempt - 1, NOON + now, None)


def test_defaults__are_those_of_a_row_without_them() -> None:
    assert claim().policies == Policies()
    assert (Policies().max_age, Policies().retry_max_attempts) == (DAY, 185)


# What an attempt's end makes of it

BUSY = Retry("busy")


@pytest.mark.parametrize(
    ("policies", "given", "outcome", "at", "ends"),
    [
        ({}, {}, BUSY, 0, None),
        ({"retry_max_attempts": 0}, {}, BUSY, 0, Reason.TARGET_UNAVAILABLE),
        ({"retry_max_attempts": 1}, {}, BUSY, 0, None),
        ({"retry_max_attempts": 1}, {"attempt": 2}, BUSY, 0, Reason.TARGET_UNAVAILABLE),
        ({"retry_max_attempts": 1}, {"attempt": 2}, Unauthorized("k"), 0, Reason.TARGET_UNAUTHORIZED),
        ({"max_age": MINUTE}, {}, BUSY, MINUTE - SECOND, None),
        ({"max_age": MINUTE}, {}, BUSY, MINUTE, Reason.MAX_AGE),
        ({"max_age": MINUTE}, {}, Unknown("?"), MINUTE, Reason.MAX_AGE),
        ({"max_age": MINUTE}, {}, Unauthorized("k"), MINUTE - SECOND, Reason.MAX_AGE),
        # At once, not when the age ends: nothing happens until then.
        ({"max_age": HOUR}, {}, Retry("busy", after=3000.0), 10 * MINUTE, Reason.MAX_AGE),
        ({"max_age": HOUR}, {}, Retry("busy", after=3000.0), 9 * MINUTE, None),
        ({"max_age": 2 * HOUR}, {}, Retry("busy", after=10.0**9), HOUR - SECOND, None),
        # A refusal for good says more than the age.
        ({"max_age": MINUTE}, {}, Refused("no"), MINUTE, Reason.TARGET_REFUSED),
    ],
)
def test_verdict__limits(
    policies: dict[str, Any], given: dict[str, Any], outcome: Outcome, at: int, ends: Reason | None
) -> None:
    made = claim(policies=policies, **given)
    record = verdict(made, Sent(NOON + at, 0, outcome), 0.5)
    assert (record.state is State.FAILED) is (ends is not None)
    if ends is not None:
        assert (record.reason, record.finished_at) == (ends, NOON + at)
    else:
        assert record.due_at is not None
        assert record.due_at <= age_ends(made)


POLICIES = st.fixed_dictionaries(
    {
        "misfire_grace": st.integers(MINUTE, 30 * DAY),
        "max_age": st.integers(MINUTE, 7 * DAY),
        "retry_max_attempts": st.integers(0, 185),
    }
)


@given(
    POLICIES,
    st.integers(0, 30 * DAY),
    st.integers(1, 200),
    st.integers(0, 40 * DAY),
    st.sampled_from(
        [BUSY, Retry("r", 7e9), Unknown("?"), Unauthorized("k"), Repeated("r"), Refused("t", final=False)]
    ),
    st.floats(0, 1, exclude_max=True),
)
def test_late__is_bounded(
    policies: dict[str, int], late: int, attempt: int, waited: int, outcome: Outcome, chance: float
) -> None:
    """Whatever was waited for and asked: no attempt is begun, nor planned, after the last chance."""
    created_at = NOON + late
    now = created_at + waited
    made = claim(policies=policies, created_at=created_at, attempt=attempt)
    bound = max(NOON, created_at if late > MINUTE else NOON) + policies["max_age"]
    assert last_chance(made) <= bound
    if attempt == 1:
        assert last_chance(made) <= grace_ends(made) <= NOON + max(policies["misfire_grace"], late + MINUTE)
    if give_up(made, now) is not None:
        return
    assert now <= last_chance(made)
    assert attempt <= policies["retry_max_attempts"] + 1
    record = verdict(made, Sent(now, 0, outcome), chance)
    assert record.due_at is None or now <= record.due_at <= bound
    waiting = put_off(made, now, Reason.HOST_LIMIT, 10.0, chance)
    assert waiting.due_at is not None
    assert now <= waiting.due_at <= last_chance(made) + 1


# The two schedules


def _play(outcomes: list[Outcome], **policies: Any) -> tuple[list[str], State]:
    """What becomes of a firing that is answered so, one answer after the other."""
    refusals, now, reasons = 0, NOON, []
    for number, outcome in enumerate(outcomes, 1):
        made = claim(attempt=number, refusals=refusals, policies=policies)
        record = verdict(made, Sent(now, 0, outcome), 0.5)
        reasons.append(str(record.reason))
        if record.due_at is None:
            return reasons, record.state
        refusals, now = record.refusals or 0, record.due_at
    return reasons, State.PENDING


NO_KEYS = Unauthorized("k")
NOT_YET = Refused("t", final=False)
AGAIN = Repeated("r")


@pytest.mark.parametrize(
    ("outcomes", "made", "state"),
    [
        ([NO_KEYS] * 9, 5, State.FAILED),
        # Five throttled attempts use up nothing of the short schedule.
        ([BUSY] * 5 + [NO_KEYS] * 9, 10, State.FAILED),
        ([BUSY] * 5 + [NO_KEYS] * 4, 9, State.PENDING),
        ([NO_KEYS, BUSY] * 9, 9, State.FAILED),
        ([Unknown("?")] * 20 + [NOT_YET] * 9, 25, State.FAILED),
        # What is counted on the short schedule is counted together.
        ([NO_KEYS, NOT_YET, NO_KEYS, NOT_YET, NO_KEYS], 5, State.FAILED),
        ([NO_KEYS] * 4 + [BUSY] * 30, 34, State.PENDING),
        # It knows the firing: asked as often, and then it has it. Never failed for it.
        ([BUSY] + [AGAIN] * 9, 6, State.DELIVERED),
        ([BUSY, AGAIN, Delivered("m")], 3, State.DELIVERED),
        ([AGAIN, BUSY] * 9, 9, State.DELIVERED),
    ],
)
def test_schedules__are_counted_apart(outcomes: list[Outcome], made: int, state: State) -> None:
    reasons, ended = _play(outcomes)
    assert (len(reasons), ended) == (made, state)


@pytest.mark.parametrize("policies", [{"retry_max_attempts": 1}, {"max_age": MINUTE}])
def test_repeated__at_the_end_of_any_limit_is_delivered(policies: dict[str, int]) -> None:
    assert _play([BUSY, *[AGAIN] * 9], **policies)[1] is State.DELIVERED


def test_schedules__delays_are_those_of_each_ones_own_count() -> None:
    first = verdict(claim(attempt=30, refusals=0), Sent(NOON, 0, NO_KEYS), 0.0)
    assert first.due_at == NOON + 6_400_000
    long = verdict(claim(attempt=5, refusals=4), Sent(NOON, 0, BUSY), 0.5)
    assert long.due_at == NOON + SECOND


# The same by a dispatcher, on both databases


async def test_dispatcher__throttled_and_then_unauthorized(
    store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    job = await make_cronjob(store)
    await make_firing(store, job)
    target.script = lambda message: BUSY if message.attempt <= 5 else NO_KEYS
    one = dispatcher(store, target)
    for _ in range(30):
        await work_off(one)
        clock.forward(10 * MINUTE)
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.reason, row.attempt, row.refusals) == ("failed", "target_unauthorized", 10, 5)


async def test_dispatcher__no_retries(store: Store, target: ScriptedTarget, clock: Clock) -> None:
    job = await make_cronjob(store, retry_max_attempts=0)
    await make_firing(store, job)
    target.script = lambda _message: BUSY
    await work_off(dispatcher(store, target))
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.reason, row.attempt) == ("failed", "target_unavailable", 1)


async def test_dispatcher__no_retries_and_a_dead_worker(
    store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    """It may have arrived: who wants one attempt gets no second one."""
    job = await make_cronjob(store, retry_max_attempts=0)
    await make_firing(store, job)
    await store.transact(
        lambda connection: leases.claim_firings(connection, NOON, NOON + MINUTE, {job["account_id"]: 1})
    )
    clock.forward(MINUTE)
    await work_off(dispatcher(store, target))
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.reason, row.attempt) == ("failed", "unconfirmed", 1)
    assert target.messages == []


@pytest.mark.parametrize(
    ("policies", "later", "state", "reason"),
    [
        ({"misfire_grace": HOUR}, HOUR, "delivered", None),
        ({"misfire_grace": HOUR}, HOUR + 1, "missed", "misfire_grace"),
        ({"max_age": HOUR}, HOUR + 1, "failed", "max_age"),
        ({"max_age": 7 * DAY, "misfire_grace": 30 * DAY}, 7 * DAY, "delivered", None),
    ],
)
async def test_dispatcher__that_was_away(
    store: Store,
    target: ScriptedTarget,
    clock: Clock,
    policies: dict[str, Any],
    later: int,
    state: str,
    reason: str | None,
) -> None:
    """Schedulers ran all the time, and nothing sent."""
    job = await make_cronjob(store, **policies)
    await Scheduler(store).tick(clock.now)
    clock.forward(later)
    registry = CollectorRegistry()
    await work_off(dispatcher(store, target, observe=Metrics(registry).observe_records))
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.reason, row.attempt) == (state, reason, 1 if reason is None else 0)
    assert len(target.messages) == row.attempt
    labels = {"target": "scripted", "state": state}
    assert registry.get_sample_value("cronally_firings_total", labels) == 1.0, "it is counted"


async def test_dispatcher__caught_up_after_three_days(
    store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    job = await make_cronjob(store, cron="0 * * * *", catch_up="all", misfire_grace=30 * DAY)
    clock.forward(3 * DAY)
    await Scheduler(store).tick(clock.now)
    target.script = lambda message: BUSY if message.attempt == 1 else Delivered("m")
    one = dispatcher(store, target)
    await work_off(one)
    clock.forward(23 * HOUR)
    await work_off(one)
    rows = await read_firings(store, job["cronjob_id"])
    assert [row.state for row in rows] == ["delivered"] * 73


@pytest.mark.parametrize(
    ("change", "state", "attempts"),
    [
        ({"max_age": HOUR}, "failed", 1),
        ({"max_age": 7 * DAY}, "delivered", 2),
        ({"retry_max_attempts": 0}, "failed", 1),
        ({"retry_max_attempts": 1}, "delivered", 2),
    ],
)
async def test_dispatcher__policies_hold_as_they_are_at_the_claim(
    store: Store, target: ScriptedTarget, clock: Clock, change: dict[str, int], state: str, attempts: int
) -> None:
    job = await make_cronjob(store, max_age=DAY)
    await make_firing(store, job)
    target.script = lambda message: BUSY if message.attempt == 1 else Delivered("m")
    one = dispatcher(store, target)
    await work_off(one)
    changed = update(tables.cronjob).values(policies=json.dumps(change))
    await store.transact(lambda connection: connection.execute(changed) and None)
    clock.forward(2 * HOUR)
    await work_off(one)
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.attempt, len(target.messages)) == (state, attempts, attempts)


async def test_attempt__keeps_its_own_reason_where_the_age_ends_the_firing(
    store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    job = await make_cronjob(store, max_age=MINUTE)
    await make_firing(store, job)

    def answer(message: Message) -> Outcome:
        return Retry("HTTP 503", after=120.0)

    target.script = answer
    await work_off(dispatcher(store, target))
    row = await read_firing(store, job["cronjob_id"])
    (attempt,) = await read_attempts(store, job["cronjob_id"])
    assert (row.state, row.reason) == ("failed", "max_age")
    assert (attempt.reason, attempt.detail) == ("target_unavailable", "HTTP 503")
