"""Fire times that are excluded one after the other stand in one row, up to a day of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from cronally.engine.scheduler import Scheduler
from cronally.firing import Reason, State
from cronally.instants import DAY, HOUR, MINUTE, SECOND
from cronally.plan import Entry
from cronally.store import Store, schedule
from cronally.store.lengthening import LONGEST
from cronally.store.schedule import Advance
from tests.support.examples import examples
from tests.support.factories import NOON, make_cronjob, make_firing, read_firings

A_MONTH = "2026-11-24/2026-12-23"


def spans(rows: Sequence[Any]) -> list[tuple[int, int, int, str | None]]:
    """Minutes from noon to the first and the last fire time of each row, how many they are, and the cause."""
    return [
        (
            (row.scheduled_at - NOON) // MINUTE,
            ((row.until_at or row.scheduled_at) - NOON) // MINUTE,
            row.count,
            row.cause,
        )
        for row in rows
    ]


async def tick(store: Store, *minutes: int) -> None:
    for minute in minutes:
        await Scheduler(store).tick(NOON + minute * MINUTE)


async def test_tick__an_excluded_fire_time_joins_the_one_before(store: Store) -> None:
    job = await make_cronjob(store, cron="* * * * *", exclude=[A_MONTH])
    first = await Scheduler(store).tick(NOON)
    assert first.rows == 1
    later = [await Scheduler(store).tick(NOON + minute * MINUTE) for minute in (1, 2, 5)]
    assert [one.rows for one in later] == [1, 1, 1], "a row that grows is written, too"
    rows = await read_firings(store, job["cronjob_id"])
    assert spans(rows) == [(0, 5, 6, A_MONTH)]
    assert (rows[0].created_at, rows[0].finished_at) == (NOON, NOON + 5 * MINUTE)


async def test_tick__a_row_has_a_day_at_most(store: Store) -> None:
    job = await make_cronjob(store, cron="0 */6 * * *", exclude=[A_MONTH])
    await tick(store, *range(0, 3 * 24 * 60 + 1, 6 * 60))
    assert LONGEST == DAY
    day = 24 * 60
    assert spans(await read_firings(store, job["cronjob_id"])) == [
        *((n * day, n * day + 18 * 60, 4, A_MONTH) for n in range(3)),
        (3 * day, 3 * day, 1, A_MONTH),
    ]


@pytest.mark.parametrize(
    ("between", "why"),
    [
        ({"kind": "manual"}, "it was asked for in between"),
        ({"state": "skipped", "reason": "dst_gap=skip"}, "the clock suppressed one in between"),
        ({"state": "skipped", "reason": "excluded", "cause": "holidays"}, "the cause is another"),
        ({"state": "missed", "reason": "excluded", "cause": A_MONTH}, "it is in another state"),
    ],
)
async def test_tick__a_row_in_between_parts_them(store: Store, between: dict[str, Any], why: str) -> None:
    job = await make_cronjob(store, cron="*/2 * * * *", exclude=[A_MONTH])
    await tick(store, 0)
    await make_firing(store, job, scheduled_at=NOON + MINUTE, **between)
    await tick(store, 2)
    rows = [row for row in await read_firings(store, job["cronjob_id"]) if row.scheduled_at != NOON + MINUTE]
    assert spans(rows) == [(0, 0, 1, A_MONTH), (2, 2, 1, A_MONTH)], why


async def test_tick__a_change_of_the_cron_job_parts_them(store: Store) -> None:
    """A range is of one version: what falls between its ends is known."""
    job = await make_cronjob(store, cron="* * * * *", exclude=[A_MONTH], settled_at=NOON - 30 * SECOND)
    await make_firing(
        store,
        job,
        scheduled_at=NOON - MINUTE,
        created_at=NOON - MINUTE,
        state="skipped",
        reason="excluded",
        cause=A_MONTH,
    )
    await tick(store, 0, 1)
    assert spans(await read_firings(store, job["cronjob_id"])) == [(-1, -1, 1, A_MONTH), (0, 1, 2, A_MONTH)]


async def test_tick__what_a_clock_ahead_sent_is_not_covered_twice(store: Store) -> None:
    job = await make_cronjob(store, cron="* * * * *", exclude=[A_MONTH])
    await tick(store, 0)
    await make_firing(
        store, job, scheduled_at=NOON + MINUTE, state="delivered", reason=Reason.CLOCK_AHEAD, attempt=1
    )
    await tick(store, 1, 2)
    rows = await read_firings(store, job["cronjob_id"])
    assert spans(rows) == [(0, 0, 1, A_MONTH), (1, 2, 2, A_MONTH)]
    assert {(row.state, row.reason) for row in rows} == {("skipped", "excluded")}


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", None]), st.integers(1, 3), st.sampled_from([MINUTE, HOUR, 9 * HOUR])
    ),
    min_size=1,
    max_size=14,
)


@examples(40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS)
async def test_rows__are_those_of_a_slow_oracle(
    store: Store, steps: list[tuple[str | None, int, int]]
) -> None:
    """The rows of two cron jobs in one transaction, against fire times that are put together one by one."""
    jobs = [await make_cronjob(store, cron="* * * * *", next_fire_at=NOON, settled_at=0) for _ in range(2)]
    expected: list[list[Any]] = []
    at = NOON
    for cause, count, distance in steps:
        fired = [at + number * distance for number in range(count)]
        entry = (
            Entry(at)
            if cause is None
            else Entry(at, State.SKIPPED, Reason.EXCLUDED, fired[-1] if count > 1 else None, count, cause)
        )
        of_this = fired if cause else fired[:1]
        last = expected[-1] if expected else None
        if cause and last is not None and last[0] == cause and at - last[1] < DAY:
            last[2:] = [of_this[-1], last[3] + len(of_this)]
        else:
            expected.append([cause, at, of_this[-1], len(of_this)])
        at = of_this[-1] + distance
        advances = [Advance(job["cronjob_id"], job["account_id"], [entry], at) for job in jobs]
        await store.transact(partial(schedule.write_rows, now=at, advances=advances))
    for job in jobs:
        rows = await read_firings(store, job["cronjob_id"])
        found = [[row.cause, row.scheduled_at, row.until_at or row.scheduled_at, row.count] for row in rows]
        assert found == expected
