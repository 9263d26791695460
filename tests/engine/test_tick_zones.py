"""The tick with zones, policies and dialects: one computation for equal cron jobs, and the ledger over a change."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import func, select

from cronally import plan as planning
from cronally.clock.timetable import timetable
from cronally.cron import Expression
from cronally.cronjob import CatchUp, State, read_policies
from cronally.engine.janitor import Janitor
from cronally.engine.scheduler import ROWS_PER_TICK, Scheduler
from cronally.firing import Reason
from cronally.instants import DAY, HOUR, MAX_INSTANT, MINUTE, SECOND, parse_iso
from cronally.store import Store, schedule, tables
from tests.support.factories import (
    NOON,
    cronjob_values,
    insert_rows,
    make_account,
    make_cronjob,
    read,
    read_cronjob,
    read_firings,
    uuid_of,
)

pytestmark = pytest.mark.sample

NEW_YORK = "America/New_York"
SPRING = parse_iso("2026-03-08T07:00:00Z")
AUTUMN = parse_iso("2026-11-01T06:00:00Z")
YEAR = 365 * DAY
EVER = {"misfire_grace": 30 * DAY, "catch_up": CatchUp.ALL}


async def make_job(store: Store, made: int, cron: str, **given: Any) -> dict[str, Any]:
    """A cron job in New York, as if it had been created at `made`."""
    values = {"cron": cron, "timezone": NEW_YORK, "created_at": made, "updated_at": made, **EVER, **given}
    values["cronjob_id"] = uuid_of(given.get("cronjob_id", f"job-{made}-{cron}"))
    times = timetable(
        cron,
        values["timezone"],
        dst_gap=values.get("dst_gap"),
        dst_overlap=values.get("dst_overlap"),
        key=values["cronjob_id"],
        anchor=made,
    )
    return await make_cronjob(store, next_fire_at=times.next(made), **values)


async def tick_all(store: Store, now: int) -> None:
    while (await Scheduler(store).tick(now)).more:
        pass


async def rows_of(store: Store, job: dict[str, Any]) -> list[tuple[int, str, str | None, int]]:
    rows = await read_firings(store, job["cronjob_id"])
    return [(row.scheduled_at, row.state, row.reason, row.count) for row in rows]


async def test_tick__a_gap_and_a_repeated_hour_in_the_ledger(store: Store) -> None:
    gap = await make_job(store, SPRING - DAY, "*/20 2 * * *", dst_gap="skip")
    overlap = await make_job(store, AUTUMN - DAY, "0,30 1 * * *")
    await tick_all(store, SPRING + 24 * HOUR)
    assert (await rows_of(store, gap))[2:] == [
        (SPRING - 1, "skipped", "dst_gap=skip", 3),
        (SPRING + 23 * HOUR, "pending", None, 1),
        (SPRING + 23 * HOUR + 20 * MINUTE, "pending", None, 1),
        (SPRING + 23 * HOUR + 40 * MINUTE, "pending", None, 1),
    ]
    await tick_all(store, AUTUMN + 24 * HOUR)
    assert (await rows_of(store, overlap)) == [
        (AUTUMN - HOUR, "pending", None, 1),
        (AUTUMN - HOUR // 2, "pending", None, 1),
        (AUTUMN, "skipped", "dst_overlap=first", 2),
        (AUTUMN + 24 * HOUR, "pending", None, 1),
    ]
    (row,) = [row for row in await read_firings(store, overlap["cronjob_id"]) if row.state == "skipped"]
    assert (row.until_at, row.finished_at, row.due_at) == (AUTUMN + HOUR // 2, AUTUMN + 24 * HOUR, None)


async def test_tick__says_nothing_of_what_was_suppressed_before_a_change(store: Store) -> None:
    """Both share a schedule; one was changed after the gap."""
    old = await make_job(store, SPRING - DAY, "30 2 * * *", dst_gap="skip", cronjob_id="old")
    new = await make_job(store, SPRING + HOUR, "30 2 * * *", dst_gap="skip", cronjob_id="new")
    await tick_all(store, SPRING + 24 * HOUR)
    assert [row[0] for row in await rows_of(store, old)][-2] == SPRING - 1
    assert [row[0] for row in await rows_of(store, new)] == [SPRING + 23 * HOUR + 30 * MINUTE]


async def test_settle__in_a_repeated_hour_leaves_the_rest_to_the_next_tick(store: Store) -> None:
    job = await make_job(store, AUTUMN - 2 * HOUR, "*/10 1 * * *", dst_overlap="first")
    edit = AUTUMN + 25 * MINUTE

    def settle(connection: Any) -> None:
        schedule.record_settled(connection, job["cronjob_id"], edit)
        table = tables.cronjob
        connection.execute(
            table.update().where(table.c.cronjob_id == job["cronjob_id"]).values(settled_at=edit)
        )

    await store.transact(settle)
    await tick_all(store, AUTUMN + 24 * HOUR)
    assert [row for row in await rows_of(store, job) if row[1] == "skipped"] == [
        (AUTUMN, "skipped", "dst_overlap=first", 3),
        (AUTUMN + 30 * MINUTE, "skipped", "dst_overlap=first", 3),
    ]


async def test_delete__right_after_a_gap_tells_of_it(store: Store) -> None:
    job = await make_job(store, SPRING - HOUR, "30 2 * * *", dst_gap="skip")
    await store.transact(
        lambda connection: schedule.skip_owed(connection, job["cronjob_id"], SPRING + HOUR, Reason.DELETED)
    )
    assert await rows_of(store, job) == [(SPRING - 1, "skipped", "dst_gap=skip", 1)]


async def test_tick__at_fires_once_and_the_cronjob_is_completed(store: Store) -> None:
    job = await make_job(store, NOON, "at(2026-12-24T18:00:00)")
    at = parse_iso("2026-12-24T23:00:00Z")
    await tick_all(store, at - 1)
    assert (await read_cronjob(store, job["cronjob_id"])).state == State.ACTIVE
    await tick_all(store, at + DAY)
    row = await read_cronjob(store, job["cronjob_id"])
    assert (row.state, row.next_fire_at, row.state_reason) == (State.COMPLETED, None, None)
    assert (row.version, row.updated_at) == (2, at + DAY)
    assert await rows_of(store, job) == [(at, "pending", None, 1)]
    assert (await Scheduler(store).tick(at + YEAR)).next_due is None


async def test_tick__a_cronjob_whose_years_are_over_is_completed(store: Store) -> None:
    job = await make_job(store, NOON, "cron(0 9 L * ? 2026)")
    await tick_all(store, NOON + 10 * YEAR)
    assert [row[0] for row in await rows_of(store, job)] == [
        parse_iso("2026-11-30T14:00:00Z"),
    ]
    assert (await read_cronjob(store, job["cronjob_id"])).state == State.COMPLETED


async def test_tick__settled_to_its_end_is_completed_too(store: Store) -> None:
    job = await make_job(store, NOON, "at(2026-12-24T18:00:00)")
    await store.transact(
        lambda connection: schedule.record_settled(connection, job["cronjob_id"], NOON + YEAR)
    )
    assert (await read_cronjob(store, job["cronjob_id"])).state == State.COMPLETED


@pytest.mark.parametrize(("text", "period"), [("rate(5 minutes)", 5 * MINUTE), ("@every 90s", 90 * SECOND)])
async def test_tick__intervals_are_counted_from_the_creation_whatever_the_clock_does(
    store: Store, text: str, period: int
) -> None:
    made = AUTUMN - HOUR + 13 * SECOND + 7
    job = await make_job(store, made, text)
    for minute in range(0, 181, 7):
        await tick_all(store, made + minute * MINUTE)
    expected = list(range(made - 7 + period, made + 175 * MINUTE + 1, period))
    assert [row[0] for row in await rows_of(store, job)] == expected
    row = await read_cronjob(store, job["cronjob_id"])
    assert row.next_fire_at == expected[-1] + period
    # The audit knows when it was created.
    janitor = Janitor(store, retention=30 * DAY)
    await janitor.audit(made + 176 * MINUTE)
    assert janitor.done.repaired == 0


async def test_tick__h_spreads_by_the_id_and_stays(store: Store) -> None:
    jobs = [await make_job(store, NOON, "H * * * *", cronjob_id=f"spread-{number}") for number in range(60)]
    await tick_all(store, NOON + 2 * HOUR)
    minutes = set()
    for job in jobs:
        first, second = [row[0] for row in await rows_of(store, job)]
        assert second - first == HOUR
        minutes.add(first % HOUR // MINUTE)
    assert len(minutes) > 25


async def test_tick__seconds(store: Store) -> None:
    job = await make_job(store, NOON, "*/20 * 7 * * *", catch_up=CatchUp.LATEST)
    await tick_all(store, NOON + 45 * SECOND)
    assert [row[0] - NOON for row in await rows_of(store, job)] == [20 * SECOND, 40 * SECOND]
    await tick_all(store, NOON + 3 * MINUTE)
    later = [(row[0] - NOON, row[1], row[3]) for row in await rows_of(store, job)][2:]
    assert later == [
        (60 * SECOND, "missed", 3),
        *[(second * SECOND, "pending", 1) for second in (120, 140, 160, 180)],
    ]


async def test_tick__equal_cronjobs_are_computed_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    account = await make_account(store)
    at = parse_iso("2026-11-24T13:00:00Z")
    rows = [
        cronjob_values(account, cron=cron, timezone=zone, next_fire_at=at, secret=None)
        for cron in ("0 8 * * *", "0 8 * * MON-FRI")
        for zone in (NEW_YORK, "America/Toronto")
        for _ in range(100)
    ]
    await insert_rows(store, "cronjob", rows)
    plans, steps = [], 0
    planned, step = planning.plan, Expression.civil_at_or_after

    def counted_plan(*args: Any, **kwargs: Any) -> planning.Plan:
        plans.append(args)
        return planned(*args, **kwargs)

    def counted_step(self: Expression, second: int) -> int | None:
        nonlocal steps
        steps += 1
        return step(self, second)

    monkeypatch.setattr(planning, "plan", counted_plan)
    monkeypatch.setattr(Expression, "civil_at_or_after", counted_step)
    assert (await Scheduler(store).tick(at)).rows == 400
    assert len(plans) == 4
    assert steps < 20


@pytest.mark.parametrize("back", [HOUR, DAY])
@pytest.mark.parametrize("change", [SPRING, AUTUMN])
@pytest.mark.parametrize(("gap", "overlap"), [(None, None), ("skip", "last"), ("shift", "both")])
async def test_tick__clock_forward_and_back_over_a_change(
    store: Store, change: int, back: int, gap: str | None, overlap: str | None
) -> None:
    """The machine's clock jumps ahead over the change and comes back: nothing twice, nothing left out."""
    made = change - 2 * DAY
    given: dict[str, Any] = {"dst_gap": gap, "dst_overlap": overlap}
    job = await make_job(store, made, "*/30 1-3 * * *", cronjob_id="jumped", **given)
    plain = await make_job(store, made, "*/30 1-3 * * *", cronjob_id="plain", **given)
    janitor = Janitor(store, retention=30 * DAY)
    before = change - HOUR - 1
    await tick_all(store, before)
    await store.transact(lambda connection: _move(connection, plain, change + 10 * YEAR))
    await tick_all(store, before + back + 2 * HOUR)
    await janitor.audit(before)
    await tick_all(store, before)
    await store.transact(lambda connection: _move(connection, plain, None))
    for hour in range(1, 60, 5):
        await tick_all(store, before + hour * HOUR)
        await janitor.audit(before + hour * HOUR)
    assert await rows_of(store, job) == await rows_of(store, plain)
    assert janitor.done.repaired <= 2


def _move(connection: Any, job: dict[str, Any], next_fire_at: int | None) -> None:
    """Put a cron job's next fire time out of the way, or back where it belongs."""
    table = tables.cronjob
    if next_fire_at is None:
        gap, overlap, *_ = read_policies(job["policies"])
        times = timetable(job["cron"], NEW_YORK, dst_gap=gap, dst_overlap=overlap)
        covered = schedule.last_covered(connection, job["cronjob_id"], MAX_INSTANT)
        next_fire_at = times.next(covered or job["created_at"])
    connection.execute(
        table.update().where(table.c.cronjob_id == job["cronjob_id"]).values(next_fire_at=next_fire_at)
    )


@pytest.mark.parametrize("catch_up", CatchUp)
@pytest.mark.parametrize("size", [20, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_tick__a_year_of_downtime_in_new_york(store: Store, catch_up: CatchUp, size: int) -> None:
    account = await make_account(store)
    given = {"timezone": NEW_YORK, "catch_up": catch_up, "misfire_grace": 30 * MINUTE, "secret": None}
    # One in ten is a fixed-time job with the same minutes: of a repeated hour it fires the first.
    rows = [
        cronjob_values(account, cron="0-59 0-23 * * *" if number % 10 == 0 else "* * * * *", **given)
        for number in range(size)
    ]
    await insert_rows(store, "cronjob", rows)
    scheduler, now, ticks = Scheduler(store), NOON + YEAR, 1
    while (await scheduler.tick(now)).more:
        ticks += 1
    assert ticks <= size * 37 // ROWS_PER_TICK + size // 90 + 2
    table = tables.firing
    totals = await read(
        store,
        select(table.c.cronjob_id, table.c.reason, func.sum(table.c.count)).group_by(
            table.c.cronjob_id, table.c.reason
        ),
    )
    by_job: dict[str, Counter[str | None]] = {}
    for cronjob_id, reason, count in totals:
        by_job.setdefault(cronjob_id, Counter())[reason] = int(count)
    minutes = 365 * 24 * 60 + 1
    for row in rows:
        counts = by_job[row["cronjob_id"]]
        assert counts.total() == minutes, "each minute of the year is in one row"
        assert counts["dst_overlap=first"] == (0 if row["cron"] == "* * * * *" else 60)
        assert counts[None] == (31 if catch_up is CatchUp.ALL else 2)
    moved = await read(store, select(func.count()).where(tables.cronjob.c.next_fire_at == now + MINUTE))
    assert moved[0][0] == size
