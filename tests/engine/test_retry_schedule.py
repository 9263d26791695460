"""A cron job's own retry schedule: against an independent model, and in the engine on both databases."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.cronjob import Policies
from cronally.engine.backoff import CONSISTENCY, DELIVERY, MAX_RETRY_AFTER, delay
from cronally.engine.dispatcher import Dispatcher
from cronally.engine.scheduler import Scheduler
from cronally.engine.verdict import Sent, verdict
from cronally.firing import Reason, State
from cronally.instants import DAY, HOUR, MINUTE, SECOND
from cronally.store import Store
from cronally.targets.target import Outcome, Refused, Retry, Unauthorized, Unknown
from tests.engine.test_verdict import claim
from tests.support.examples import examples
from tests.support.factories import (
    NOON,
    Clock,
    Monotonic,
    ScriptedTarget,
    make_cronjob,
    read_attempts,
    read_firing,
    vault,
)

outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.just(Retry("r")),
    st.just(Unknown("u")),
    st.floats(0, 7200).map(lambda after: Retry("r", after)),
    st.just(Unauthorized("k")),
)


class Model:
    """What becomes of a firing, by the words of the documentation and nothing of the code."""

    def __init__(self, delays: list[int], most: int, max_age: int) -> None:
        self.delays, self.most, self.max_age = delays, most, max_age
        self.tries = self.long = self.short = 0

    def next(self, now: int, outcome: Outcome, chance: float) -> int | Reason:
        """When it is tried again, or why it is not."""
        self.tries += 1
        if isinstance(outcome, Unauthorized):
            self.short += 1
            if self.short == 5 or self.tries > self.most:
                return Reason.TARGET_UNAUTHORIZED
            longest = (8, 32, 128, 512)[self.short - 1] * SECOND
            least, wait = longest * 8 // 10, longest * (0.8 + 0.2 * chance)
        else:
            self.long += 1
            if self.tries > self.most:
                return Reason.UNCONFIRMED if isinstance(outcome, Unknown) else Reason.TARGET_UNAVAILABLE
            least = self.delays[self.long - 1] if self.long <= len(self.delays) else self.delays[-1]
            wait = least * (1 + chance / 10)
            asked = outcome.after if isinstance(outcome, Retry) else None
            if asked:
                wait = max(wait, min(asked * SECOND, HOUR) + 2 * SECOND * chance)
        assert wait >= least
        return Reason.MAX_AGE if now + wait > NOON + self.max_age else round(now + wait)


@examples(60)
@given(
    st.lists(st.integers(1, 24 * 3600), min_size=1, max_size=50),
    st.integers(0, 185),
    st.integers(60, 7 * 24 * 3600),
    st.lists(st.tuples(outcomes, st.floats(0, 0.99)), min_size=190, max_size=190),
)
def test_schedule__is_that_of_the_model(
    seconds: list[int], most: int, age: int, tries: list[tuple[Outcome, float]]
) -> None:
    model = Model([each * SECOND for each in seconds], most, age * SECOND)
    policies = json.dumps(
        {
            "retry_schedule": [f"{each}s" for each in seconds],
            "retry_max_attempts": most,
            "max_age": age * SECOND,
        }
    )
    now, refusals = NOON, 0
    for attempt, (outcome, chance) in enumerate(tries, start=1):
        made = claim(attempt=attempt, refusals=refusals, stored_policies=policies)
        record = verdict(made, Sent(now, 0, outcome), chance)
        expected = model.next(now, outcome, chance)
        if isinstance(expected, Reason):
            assert (record.state, record.reason) == (State.FAILED, expected)
            return
        assert record.state is State.PENDING
        assert record.due_at is not None
        assert abs(record.due_at - expected) <= 2, "microseconds of rounding"
        now, refusals = record.due_at, record.refusals or 0
    raise AssertionError("it never ended")


@pytest.mark.parametrize("stored", ['{"retry_schedule": "exponential"}', "{}", '{"retry_schedule": ["x"]}'])
def test_schedule__is_exponential_where_none_is_listed(stored: str) -> None:
    record = verdict(claim(stored_policies=stored, attempt=3), Sent(NOON, 0, Retry("r")), 0.5)
    assert record.due_at == NOON + delay(3, 0.5, DELIVERY)


def test_schedule__does_not_hold_for_what_may_be_a_matter_of_minutes() -> None:
    listed = '{"retry_schedule": ["24h"]}'
    record = verdict(claim(stored_policies=listed), Sent(NOON, 0, Refused("no topic yet", final=False)), 0.5)
    assert record.due_at == NOON + delay(1, 0.5, CONSISTENCY)


def test_retry_after__is_a_floor_beneath_listed_delays_too() -> None:
    listed = '{"retry_schedule": ["10s"]}'
    waits = [
        (verdict(claim(stored_policies=listed), Sent(NOON, 0, Retry("r", after)), 0.0).due_at or 0) - NOON
        for after in (5.0, 60.0, 1e9)
    ]
    assert waits == [10 * SECOND, MINUTE, MAX_RETRY_AFTER]


async def test_engine__tries_by_the_schedule_of_now(store: Store, clock: Clock) -> None:
    job: dict[str, Any] = await make_cronjob(
        store, policies=json.dumps(Policies()._asdict() | {"retry_schedule": ["10s", "1m", "10m"]})
    )
    await Scheduler(store).tick(NOON)
    await store.transact(
        lambda connection: connection.exec_driver_sql("UPDATE cronjob SET next_fire_at = NULL")
    )
    target = ScriptedTarget(script=lambda _message: Retry("HTTP 503"))
    monotonic = Monotonic()
    waits = []
    for _ in range(5):
        dispatcher = Dispatcher(store, vault(), {"scripted": target}, chance=lambda: 0.0, monotonic=monotonic)
        await dispatcher.step()
        await dispatcher.settled()
        row = await read_firing(store, job["cronjob_id"])
        assert row.state == State.PENDING
        waits.append(row.due_at - clock.now)
        clock.now = row.due_at
    assert waits == [10 * SECOND, MINUTE, 10 * MINUTE, 10 * MINUTE, 10 * MINUTE]
    # It is the schedule of now that counts.
    changed = json.dumps({"retry_schedule": ["2m"], "max_age": DAY})
    await store.transact(
        lambda connection: connection.exec_driver_sql(f"UPDATE cronjob SET policies = '{changed}'")  # noqa: S608
    )
    dispatcher = Dispatcher(store, vault(), {"scripted": target}, chance=lambda: 0.0, monotonic=monotonic)
    await dispatcher.step()
    await dispatcher.settled()
    row = await read_firing(store, job["cronjob_id"])
    assert row.due_at - clock.now == 2 * MINUTE
    assert len(await read_attempts(store, job["cronjob_id"])) == len(target.messages) == 6
