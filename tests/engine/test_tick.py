"""The tick: rows and `next_fire_at` in one transaction, within limits, whoever else ticks."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator

import pytest
from sqlalchemy import func, select, text

from cronally import failpoints
from cronally import plan as planning
from cronally.clock import preview
from cronally.cronjob import CatchUp, State
from cronally.engine.scheduler import (
    CONTENDED,
    CRONJOBS_PER_TICK,
    PLANS_PER_TICK,
    ROWS_PER_TICK,
    Scheduler,
)
from cronally.firing import Reason
from cronally.instants import DAY, HOUR, MINUTE, SECOND
from cronally.store import Signal, Store, calendars, open_store, schedule, tables
from cronally.store.heartbeats import get_health
from tests.support.factories import (
    NOON,
    Clock,
    analyze,
    cronjob_values,
    explain,
    insert_rows,
    make_account,
    make_cronjob,
    read,
    read_cronjob,
    read_firing,
    read_firings,
)

YEAR = 365 * DAY


class Killed(BaseException):
    """What a failpoint raises here instead of killing the process."""


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.disarm()


def kill(point: str) -> None:
    def raise_killed() -> None:
        raise Killed

    failpoints.arm(point, raise_killed)


async def make_cronjobs(store: Store, count: int, **given: object) -> list[str]:
    account = await make_account(store)
    rows = [cronjob_values(account, secret=None, **given) for _ in range(count)]
    await insert_rows(store, "cronjob", rows)
    return [row["cronjob_id"] for row in rows]


async def tick_all(scheduler: Scheduler, now: int) -> int:
    """Tick until nothing is due; return how many ticks it took."""
    for ticks in range(1, 100_000):
        if not (await scheduler.tick(now)).more:
            return ticks
    raise AssertionError("the ticks do not end")


async def assert_covered(store: Store, cronjob_id: str, first: int, now: int) -> None:
    """The ledger of a minutely cron job covers every minute of [first, now] once."""
    minutes: list[int] = []
    for row in await read_firings(store, cronjob_id):
        minutes += range(row.scheduled_at, (row.until_at or row.scheduled_at) + 1, MINUTE)
        assert row.count == ((row.until_at or row.scheduled_at) - row.scheduled_at) // MINUTE + 1
    assert minutes == list(range(first, now + 1, MINUTE))
    assert (await read_cronjob(store, cronjob_id)).next_fire_at == now // MINUTE * MINUTE + MINUTE


async def test_tick__writes_a_pending_row_and_moves_on(store: Store) -> None:
    job = await make_cronjob(store)
    tick = await Scheduler(store).tick(NOON + 3 * SECOND)
    assert (tick.cronjobs, tick.rows, tick.more, tick.next_due) == (1, 1, False, NOON + MINUTE)
    row = await read_firing(store, job["cronjob_id"])
    assert (row.scheduled_at, row.kind, row.state, row.account_id) == (
        NOON,
        "scheduled",
        "pending",
        job["account_id"],
    )
    assert (row.due_at, row.attempt, row.lease_no, row.created_at) == (NOON, 0, 0, NOON + 3 * SECOND)
    assert row.finished_at is row.reason is row.until_at is None
    assert (await read_cronjob(store, job["cronjob_id"])).next_fire_at == NOON + MINUTE


async def test_tick__nothing_early(store: Store) -> None:
    job = await make_cronjob(store)
    tick = await Scheduler(store).tick(NOON - 1)
    assert (tick.cronjobs, tick.rows, tick.more, tick.next_due) == (0, 0, False, NOON)
    assert not await read_firings(store, job["cronjob_id"])


async def test_tick__same_instant_twice(store: Store) -> None:
    job = await make_cronjob(store)
    scheduler = Scheduler(store)
    await scheduler.tick(NOON)
    tick = await scheduler.tick(NOON)
    assert (tick.cronjobs, tick.rows) == (0, 0)
    assert len(await read_firings(store, job["cronjob_id"])) == 1


async def test_tick__clock_forward_by_a_day_and_back(store: Store) -> None:
    job = await make_cronjob(store)
    scheduler = Scheduler(store)
    await tick_all(scheduler, NOON)
    await tick_all(scheduler, NOON + DAY)
    assert (await scheduler.tick(NOON + MINUTE)).rows == 0
    await assert_covered(store, job["cronjob_id"], NOON, NOON + DAY)


async def test_tick__cronjobs_that_are_not_active_do_not_fire(store: Store) -> None:
    for state in (State.PAUSED, State.COMPLETED, State.DELETED):
        await make_cronjob(store, state=state, next_fire_at=None)
    tick = await Scheduler(store).tick(NOON + YEAR)
    assert (tick.cronjobs, tick.next_due) == (0, None)


@pytest.mark.parametrize("point", ["tick.after_select", "tick.before_commit"])
async def test_tick__killed_before_the_commit_leaves_nothing(store: Store, point: str) -> None:
    jobs = await make_cronjobs(store, 3)
    kill(point)
    with pytest.raises(Killed):
        await Scheduler(store).tick(NOON)
    assert not await read_firings(store)
    for job in jobs:
        assert (await read_cronjob(store, job)).next_fire_at == NOON
    failpoints.disarm()
    await Scheduler(store).tick(NOON)
    assert len(await read_firings(store)) == 3


async def test_tick__killed_after_the_commit_leaves_everything(store: Store) -> None:
    job = await make_cronjob(store)
    kill("tick.after_commit")
    with pytest.raises(Killed):
        await Scheduler(store).tick(NOON)
    failpoints.disarm()
    await Scheduler(store).tick(NOON)
    await assert_covered(store, job["cronjob_id"], NOON, NOON)


async def test_tick__failed_statement_leaves_nothing(store: Store) -> None:
    await make_cronjobs(store, 3)
    ddl = {
        "sqlite": "CREATE TRIGGER broken BEFORE UPDATE ON cronjob BEGIN SELECT RAISE(ABORT, 'broken'); END",
        "postgresql": "ALTER TABLE cronjob ADD CONSTRAINT broken CHECK (next_fire_at <= 1) NOT VALID",
    }
    await store.transact(lambda connection: connection.execute(text(ddl[connection.dialect.name])) and None)
    with pytest.raises(Exception, match="broken"):
        await Scheduler(store).tick(NOON)
    assert not await read_firings(store)


async def test_tick__takes_500_cronjobs_at_a_time(store: Store) -> None:
    await make_cronjobs(store, CRONJOBS_PER_TICK + 10)
    scheduler = Scheduler(store)
    first = await scheduler.tick(NOON)
    assert (first.cronjobs, first.rows, first.more) == (500, 500, True)
    second = await scheduler.tick(NOON)
    assert (second.cronjobs, second.rows, second.more) == (10, 10, False)


async def test_tick__writes_100_rows_a_cronjob_and_500_in_all(store: Store) -> None:
    now = NOON + 2 * HOUR
    jobs = await make_cronjobs(store, 7, catch_up=CatchUp.ALL)
    scheduler = Scheduler(store)
    first = await scheduler.tick(now)
    assert (first.cronjobs, first.rows, first.more) == (5, ROWS_PER_TICK, True)
    assert set(Counter(row.cronjob_id for row in await read_firings(store)).values()) == {100}
    assert await tick_all(scheduler, now) == 2  # 200 of the others' first hundreds, 7 x 21 that were left
    for job in jobs:
        await assert_covered(store, job, NOON, now)


async def test_tick__last_cronjob_within_the_limit_gets_what_is_left(store: Store) -> None:
    now = NOON + 59 * MINUTE
    jobs = await make_cronjobs(store, 9, catch_up=CatchUp.ALL)
    scheduler = Scheduler(store)
    first = await scheduler.tick(now)
    assert first.rows == ROWS_PER_TICK
    counts = Counter(row.cronjob_id for row in await read_firings(store))
    assert sorted(counts.values()) == [20] + [60] * 8
    await tick_all(scheduler, now)
    for job in jobs:
        await assert_covered(store, job, NOON, now)


async def test_tick__bad_cronjob_is_set_aside_and_the_others_go_on(store: Store) -> None:
    bad = await make_cronjob(store, cron="61 * * * *")
    odd = await make_cronjob(store, catch_up="sometimes", next_fire_at=NOON - HOUR)
    garbled = await make_cronjob(store, policies='["catch_up"]')
    good = await make_cronjob(store)
    tick = await Scheduler(store).tick(NOON)
    assert (tick.cronjobs, tick.more) == (1, False)
    assert (await read_firing(store, good["cronjob_id"])).state == "pending"
    for job, at, why in ((bad, NOON, "minute"), (odd, NOON - HOUR, "sometimes"), (garbled, NOON, "catch_up")):
        row = await read_cronjob(store, job["cronjob_id"])
        assert (row.state, row.next_fire_at, row.version, row.updated_at) == (State.PAUSED, None, 2, NOON)
        assert row.state_reason.startswith("Cannot be scheduled: ")
        assert why in row.state_reason
        # Never nothing: the fire time that was stored has its row.
        skipped = await read_firing(store, job["cronjob_id"])
        assert (skipped.scheduled_at, skipped.state, skipped.reason) == (at, "skipped", "set_aside")
        assert skipped.finished_at == NOON


async def test_tick__a_page_of_bad_cronjobs_does_not_hide_a_good_one(store: Store) -> None:
    await make_cronjobs(store, CRONJOBS_PER_TICK, cron="61 * * * *", next_fire_at=NOON - SECOND)
    good = await make_cronjob(store)
    scheduler = Scheduler(store)
    assert (await scheduler.tick(NOON)).more
    await scheduler.tick(NOON)
    assert await read_firing(store, good["cronjob_id"])


async def test_tick__somebody_elses_backlog_does_not_delay_what_is_on_time(store: Store) -> None:
    await make_cronjobs(store, 100, catch_up=CatchUp.ALL, next_fire_at=NOON - 5 * HOUR)
    punctual = await make_cronjob(store)
    scheduler = Scheduler(store)
    assert (await scheduler.tick(NOON)).more
    assert (await read_firing(store, punctual["cronjob_id"])).scheduled_at == NOON


async def test_tick__equal_schedules_are_planned_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await make_cronjobs(store, 50)
    calls = []
    planned = planning.plan

    def counted(*args: object, **kwargs: object) -> planning.Plan:
        calls.append(args)
        return planned(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(planning, "plan", counted)
    assert (await Scheduler(store).tick(NOON)).rows == 50
    assert len(calls) == 1


@pytest.mark.parametrize("catch_up", CatchUp)
@pytest.mark.parametrize("size", [20, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_tick__year_of_downtime_of_minutely_cronjobs(
    store: Store, catch_up: CatchUp, size: int
) -> None:
    grace = 30 * MINUTE
    jobs = await make_cronjobs(store, size, catch_up=catch_up, misfire_grace=grace)
    now = NOON + YEAR
    ticks = await tick_all(Scheduler(store), now)
    owed = 365 * 24 * 60 + 1
    # Minutes within the grace: 31 of them, the last two on time.
    reasons: dict[CatchUp, list[tuple[str | None, int]]] = {
        CatchUp.ALL: [(Reason.MISFIRE_GRACE, owed - 31), *[(None, 1)] * 31],
        CatchUp.SKIP: [(Reason.MISFIRE_GRACE, owed - 31), (Reason.CATCH_UP_SKIP, 29), (None, 1), (None, 1)],
        CatchUp.LATEST: [
            (Reason.MISFIRE_GRACE, owed - 31),
            (Reason.CATCH_UP_LATEST, 29),
            (None, 1),
            (None, 1),
        ],
    }
    expected = reasons[catch_up]
    assert ticks <= size * len(expected) // ROWS_PER_TICK + size // 100 + 2
    table = tables.firing
    totals = await read(
        store,
        select(table.c.cronjob_id, func.sum(table.c.count), func.count()).group_by(table.c.cronjob_id),
    )
    assert len(totals) == size
    assert {(int(row[1]), row[2]) for row in totals} == {(owed, len(expected))}
    rows = await read_firings(store, jobs[0])
    assert [(row.reason, row.count) for row in rows] == expected
    assert all(row.finished_at == now for row in rows if row.reason)
    undone = await read(store, select(tables.cronjob).where(tables.cronjob.c.next_fire_at != now + MINUTE))
    assert not undone


async def test_tick__two_schedulers_on_one_store(store: Store) -> None:
    jobs = await make_cronjobs(store, 30, catch_up=CatchUp.ALL, next_fire_at=NOON - HOUR)
    one, two = Scheduler(store, node="one"), Scheduler(store, node="two")
    ticks = await asyncio.gather(tick_all(one, NOON), tick_all(two, NOON))
    assert sum(ticks) >= 4
    for job in jobs:
        await assert_covered(store, job, NOON - HOUR, NOON)


async def test_tick__two_nodes_at_once_on_postgres(postgres_store: Store, migrated_postgres_url: str) -> None:
    jobs = await make_cronjobs(postgres_store, 700)
    other = await open_store(migrated_postgres_url)
    try:
        here, there = await asyncio.gather(
            tick_together(Scheduler(postgres_store, node="here"), NOON),
            tick_together(Scheduler(other, node="there"), NOON),
        )
    finally:
        await other.close()
    assert here + there == len(jobs)
    rows = await read_firings(postgres_store)
    assert sorted(row.cronjob_id for row in rows) == sorted(jobs)


async def tick_together(scheduler: Scheduler, now: int) -> int:
    """Tick until nothing is due, by anybody; return how many cron jobs this scheduler moved."""
    moved = 0
    while True:
        tick = await scheduler.tick(now)
        moved += tick.cronjobs
        if tick.next_due is None or tick.next_due > now:
            return moved
        await asyncio.sleep(0)


async def test_tick__cronjobs_locked_elsewhere_are_left_to_the_other(
    postgres_store: Store, migrated_postgres_url: str
) -> None:
    mine = await make_cronjob(postgres_store)
    theirs = await make_cronjob(postgres_store)
    locked, released = asyncio.Event(), asyncio.Event()
    other = await open_store(migrated_postgres_url)
    engine = other._engine  # type: ignore[attr-defined]

    async def hold() -> None:
        async with engine.connect() as connection:
            await connection.execute(
                text("SELECT 1 FROM cronjob WHERE cronjob_id = :id FOR UPDATE"), {"id": theirs["cronjob_id"]}
            )
            locked.set()
            await released.wait()

    holder = asyncio.create_task(hold())
    try:
        await locked.wait()
        scheduler = Scheduler(postgres_store)
        tick = await scheduler.tick(NOON)
        assert tick.cronjobs == 1
        assert await read_firings(postgres_store, mine["cronjob_id"])
        assert not await read_firings(postgres_store, theirs["cronjob_id"])
        # Nothing to claim, but something due: wait a moment instead of asking on and on.
        assert await scheduler.step() == CONTENDED
        released.set()
        await holder
        assert (await scheduler.tick(NOON)).cronjobs == 1
    finally:
        released.set()
        await asyncio.gather(holder, return_exceptions=True)
        await other.close()


async def test_step__sleeps_until_the_next_fire_time(store: Store, clock: Clock) -> None:
    await make_cronjob(store)
    scheduler = Scheduler(store)
    clock.now = NOON - 1500 * 1000
    assert await scheduler.step() == 1.5
    clock.now = NOON
    assert await scheduler.step() == 60.0
    assert len(await read_firings(store)) == 1


async def test_step__nothing_to_do(store: Store) -> None:
    assert await Scheduler(store).step() is None


async def test_step__goes_on_at_once_while_there_is_more(store: Store) -> None:
    await make_cronjobs(store, CRONJOBS_PER_TICK + 1)
    scheduler = Scheduler(store)
    assert await scheduler.step() == 0.0
    assert await scheduler.step() == 60.0


async def test_step__announces_firings(store: Store) -> None:
    await make_cronjob(store)
    woken = store.subscribe(Signal.FIRINGS)
    scheduler = Scheduler(store)
    await scheduler.tick(NOON - 1)
    assert not woken.is_set()
    await scheduler.tick(NOON)
    assert woken.is_set()


async def test_step__beats_every_five_seconds_and_after_a_clock_that_went_back(
    store: Store, clock: Clock
) -> None:
    scheduler = Scheduler(store, node="n1")

    async def beat() -> int | None:
        await scheduler.step()
        return (await store.transact(get_health)).ticked_at

    assert await beat() == NOON
    clock.forward(4 * SECOND)
    assert await beat() == NOON
    clock.forward(SECOND)
    assert await beat() == NOON + 5 * SECOND
    clock.forward(-HOUR)
    # It is the node's own row: what counts is when it was awake last.
    assert await beat() == NOON + 5 * SECOND - HOUR


async def test_claim__uses_the_partial_index(store: Store) -> None:
    await make_cronjobs(store, 3000, next_fire_at=NOON + DAY)
    await make_cronjobs(store, 2000, state=State.PAUSED, next_fire_at=None)
    await analyze(store)
    plans = await explain(
        store,
        lambda connection: (
            schedule.claim_due_cronjobs(connection, 0, NOON, 500),
            schedule.next_due(connection),
        ),
    )
    assert len(plans) == 2
    for lines in plans:
        assert "ix_cronjob_due" in lines
        assert "SCAN cronjob\n" not in lines
        assert "Seq Scan" not in lines


async def test_tick__accounts_take_turns_at_one_instant(store: Store, clock: Clock) -> None:
    """A tick does not write all of one account's rows before the first of another's, whoever was there first."""
    many, few = await make_account(store, "many"), await make_account(store, "few")
    rows = [
        cronjob_values(account, secret=None, turn=turn)
        for account, count in ((many, CRONJOBS_PER_TICK), (few, 3))
        for turn in range(count)
    ]
    rows.append(cronjob_values(few, secret=None, turn=2 * CRONJOBS_PER_TICK, next_fire_at=NOON - MINUTE))
    await insert_rows(store, "cronjob", rows)
    scheduler = Scheduler(store, node="a", on_time=MINUTE)
    tick = await scheduler.tick(clock.now)
    assert tick.more
    found = Counter(row.account_id for row in await read_firings(store))
    # What was due earlier goes first whatever its turn, with the fire times it is owed.
    assert found[few] >= 4
    assert found[many] >= CRONJOBS_PER_TICK - 5


async def test_tick__makes_so_many_plans_at_most(store: Store) -> None:
    """Who gives each cron job a grace of its own makes each a schedule of its own."""
    account = await make_account(store)
    count = PLANS_PER_TICK + 50
    rows = [cronjob_values(account, secret=None, misfire_grace=MINUTE + at * SECOND) for at in range(count)]
    await insert_rows(store, "cronjob", rows)
    scheduler = Scheduler(store)
    first = await scheduler.tick(NOON)
    assert (first.cronjobs, first.more) == (PLANS_PER_TICK, True)
    second = await scheduler.tick(NOON)
    assert (second.cronjobs, second.more) == (50, False)
    assert len(await read_firings(store)) == count


async def test_tick__searches_no_years_before_a_cron_job_was_there(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`at()` has no fire time before: a search for what the clock suppressed would begin in 1970."""
    searched: list[int] = []
    found = preview.suppressed

    def noted(times: object, after: int, until: int) -> object:
        searched.append(after)
        return found(times, after, until)  # type: ignore[arg-type]

    monkeypatch.setattr(planning, "suppressed", noted)
    account = await make_account(store)
    for at, changed in enumerate((NOON - DAY, NOON - HOUR)):
        await make_cronjob(
            store,
            account,
            cron="at(2026-11-24T07:00:00)",
            timezone="America/Toronto",
            created_at=NOON - 2 * DAY,
            updated_at=changed,
            next_fire_at=NOON,
            misfire_grace=DAY + at * SECOND,
        )
    assert (await Scheduler(store).tick(NOON)).rows == 2
    assert searched == [NOON - DAY, NOON - HOUR]


async def test_tick__reads_so_many_calendars_at_once(store: Store) -> None:
    """Who excludes few or none is not held up by more than a tick; who excludes many comes in the next ones."""
    account = await make_account(store)
    names = [f"calendar-{number}" for number in range(schedule.CALENDARS + 5)]
    shown = {"account_id": account, "dates": '["2026-11-24"]', "count": 1, "size": 30}
    times = {"created_at": NOON, "updated_at": NOON}
    await insert_rows(store, "calendar", [{**shown, **times, "name": name} for name in names])
    excluded = [*([name] for name in names), names[:10]]
    jobs = [cronjob_values(account, exclude=one, secret=None, turn=turn) for turn, one in enumerate(excluded)]
    await insert_rows(store, "cronjob", jobs)
    scheduler = Scheduler(store)
    first = await scheduler.tick(NOON)
    assert (first.cronjobs, first.more) == (schedule.CALENDARS, True)
    second = await scheduler.tick(NOON)
    assert (second.cronjobs, second.more) == (6, False)
    assert {(row.reason, row.count) for row in await read_firings(store)} == {(Reason.EXCLUDED, 1)}


def test_count_within__the_first_always_goes() -> None:
    def exclude(*names: str) -> tuple[str, str]:
        return ("account", json.dumps({"exclude": names}))

    both, another = exclude("a", "b", "2026-11-24"), exclude("c")
    assert calendars.count_within([both, both, ("account", "{}"), another], 1) == 1
    assert calendars.count_within([both, both, ("account", "{}"), another], 2) == 3
    assert calendars.count_within([both, another, another], 3) == 3
    assert calendars.count_within([], 1) == 0
