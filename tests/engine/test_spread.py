"""Windows: a firing starts at its place, never before, and how late it is counts from there."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import update

from cronally import plan as planning
from cronally import spread
from cronally.engine.admission import Limits
from cronally.engine.dispatcher import Dispatcher
from cronally.engine.lateness import age_ends, grace_ends
from cronally.engine.metrics import Metrics
from cronally.engine.scheduler import Scheduler
from cronally.firing import Reason, State
from cronally.instants import DAY, HOUR, MINUTE, SECOND
from cronally.store import Store, early, leases, outcomes, schedule, tables
from cronally.store.claims import Record
from cronally.targets.target import Delivered, Retry
from tests.support.factories import (
    NOON,
    Clock,
    Monotonic,
    ScriptedTarget,
    encode_policies,
    make_account,
    make_cronjob,
    make_firing,
    read_firing,
    read_firings,
    uuid_of,
    vault,
    work_off,
)

pytestmark = pytest.mark.sample

WINDOW = 10 * MINUTE


def dispatcher(store: Store, target: ScriptedTarget, **given: Any) -> Dispatcher:
    return Dispatcher(store, vault(), {"scripted": target}, Limits(), chance=lambda: 0.5, **given)


def place_at(job: Any, at: int = NOON, window: int = WINDOW) -> int:
    return at + spread.place(job["cronjob_id"], at, window)


async def hourly(store: Store, account: str | None = None, **given: Any) -> dict[str, Any]:
    """A cron job with a window, whose fire time is noon."""
    return await make_cronjob(store, account, **{"cron": "0 * * * *", "window": WINDOW, **given})


async def test_tick__writes_the_place_of_each_cronjob_by_one_plan(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[planning.Schedule] = []
    plan = planning.plan

    def count(schedule: planning.Schedule, *given: Any, **named: Any) -> planning.Plan:
        planned.append(schedule)
        return plan(schedule, *given, **named)

    monkeypatch.setattr(planning, "plan", count)
    account = await make_account(store)
    jobs = [await hourly(store, account, window=window) for window in (0, WINDOW, WINDOW, DAY)]
    await Scheduler(store).tick(NOON)
    assert len(planned) == 1
    rows = [await read_firing(store, job["cronjob_id"]) for job in jobs]
    assert [row.scheduled_at for row in rows] == [NOON] * 4
    assert (rows[0].due_at, rows[0].place_at) == (NOON, None)
    for job, row, window in zip(jobs[1:], rows[1:], (WINDOW, WINDOW, DAY), strict=True):
        assert row.due_at == row.place_at == place_at(job, window=window)
    assert len({row.due_at for row in rows}) == 4


async def test_dispatcher__sends_at_the_place_and_asks_for_nothing_before(
    store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    job = await hourly(store)
    await Scheduler(store).tick(NOON)
    one = dispatcher(store, target)
    starts = place_at(job)
    assert starts > NOON + SECOND
    for instant in (NOON, (NOON + starts) // 2, starts - 1):
        clock.now = instant
        assert await one.step() is None, "it sleeps until the next poll: no spinning"
        assert not target.messages
    assert (await read_firing(store, job["cronjob_id"])).lease_no == 0
    clock.now = starts
    await work_off(one)
    (message,) = target.messages
    assert message.scheduled_at == NOON, "the message has the fire time"


async def test_dispatcher__a_herd_spreads_over_the_window(
    store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    account = await make_account(store)
    jobs = [await hourly(store, account) for _ in range(20)]
    await Scheduler(store).tick(NOON)
    one = dispatcher(store, target)
    started: dict[str, int] = {}
    for _ in range(WINDOW // (30 * SECOND) + 1):
        await work_off(one)
        started |= {message.cronjob_id: clock.now for message in target.messages[len(started) :]}
        clock.forward(30 * SECOND)
    assert started.keys() == {job["cronjob_id"] for job in jobs}
    for job in jobs:
        assert 0 <= started[job["cronjob_id"]] - place_at(job) <= 30 * SECOND
    assert len(set(started.values())) > 5


async def test_lateness__counts_from_the_place(
    store: Store, target: ScriptedTarget, clock: Clock, monotonic: Monotonic
) -> None:
    job = await hourly(store)
    await Scheduler(store).tick(NOON)
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    clock.now = place_at(job) + SECOND
    await work_off(dispatcher(store, target, observe=metrics.observe_records, monotonic=monotonic))
    assert registry.get_sample_value("cronally_lateness_seconds_count") == 1
    assert registry.get_sample_value("cronally_lateness_seconds_sum") == pytest.approx(1)


@pytest.mark.parametrize(
    ("after_its_place", "attempt", "ends"),
    [
        (HOUR, 0, None),
        (HOUR + 1, 0, ("missed", "misfire_grace")),
        (2 * HOUR, 1, None),
        (2 * HOUR + 1, 1, ("failed", "max_age")),
    ],
)
async def test_limits__count_from_the_place(
    store: Store,
    target: ScriptedTarget,
    clock: Clock,
    after_its_place: int,
    attempt: int,
    ends: tuple[str, str] | None,
) -> None:
    starts = NOON + 7 * MINUTE
    job = await hourly(store, misfire_grace=HOUR, max_age=2 * HOUR, next_fire_at=None)
    await make_firing(store, job, place_at=starts, due_at=starts, attempt=attempt, lease_no=attempt)
    clock.now = starts + after_its_place
    takes = {job["account_id"]: 1}
    (claim,) = await store.transact(lambda c: leases.claim_firings(c, clock.now, clock.now + 1, takes))
    assert claim.due_since == starts
    assert (grace_ends(claim), age_ends(claim)) == (starts + HOUR, starts + 2 * HOUR)
    released = Record(claim, State.PENDING, due_at=clock.now, attempt=attempt)
    await store.transact(lambda c: outcomes.record_outcomes(c, [released]))
    await work_off(dispatcher(store, target))
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.reason) == (ends or ("delivered", None))


async def test_retries__have_all_of_their_age_after_the_place(
    store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    job = await hourly(store, window=DAY, max_age=MINUTE)
    await Scheduler(store).tick(NOON)
    target.script = lambda message: Retry("busy") if message.attempt == 1 else Delivered("m")
    clock.now = place_at(job, window=DAY)
    one = dispatcher(store, target)
    await work_off(one)
    clock.forward(30 * SECOND)
    await work_off(one)
    assert (await read_firing(store, job["cronjob_id"])).state == "delivered"


async def test_catch_up__starts_at_its_place_or_at_once_if_that_has_passed(
    store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    job = await make_cronjob(store, cron="* * * * *", window=5 * MINUTE, catch_up="all", misfire_grace=HOUR)
    clock.now = NOON + 10 * MINUTE
    await Scheduler(store).tick(clock.now)
    times = [NOON + number * MINUTE for number in range(11)]
    passed = [at for at in times if place_at(job, at, 5 * MINUTE) <= clock.now]
    await work_off(dispatcher(store, target))
    assert sorted(message.scheduled_at for message in target.messages) == passed
    rows = await read_firings(store, job["cronjob_id"])
    assert [row.due_at for row in rows if row.due_at] == [
        place_at(job, at, 5 * MINUTE) for at in times if at not in passed
    ]


async def test_change__applies_to_fire_times_that_are_not_in_the_ledger(
    store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    job = await hourly(store, window=DAY, misfire_grace=MINUTE)
    await Scheduler(store).tick(NOON)
    clock.now = NOON + HOUR
    table = tables.cronjob
    await store.transact(
        lambda connection: (
            connection.execute(
                update(table)
                .where(table.c.cronjob_id == job["cronjob_id"])
                .values(policies=encode_policies(window=0, misfire_grace=MINUTE))
            )
            and None
        )
    )
    await Scheduler(store).tick(clock.now)
    old, new = await read_firings(store, job["cronjob_id"])
    assert (old.due_at, new.due_at) == (place_at(job, window=DAY), NOON + HOUR)
    clock.now = old.due_at
    await work_off(dispatcher(store, target))
    assert NOON in {message.scheduled_at for message in target.messages}, "not missed for its fire time"


async def test_change__settles_what_fell_due_before_with_its_place(store: Store) -> None:
    job = await hourly(store)
    assert await store.transact(
        lambda connection: schedule.record_settled(connection, job["cronjob_id"], NOON + SECOND)
    )
    row = await read_firing(store, job["cronjob_id"])
    assert row.due_at == row.place_at == place_at(job)


def inverted() -> tuple[str, int]:
    """The id of a cron job whose firing at noon starts after that of a minute later has, and when the first starts."""
    for number in range(1000):
        cronjob_id = uuid_of(f"inverted-{number}")
        first = spread.place(cronjob_id, NOON, WINDOW)
        if first > MINUTE + spread.place(cronjob_id, NOON + MINUTE, WINDOW) + MINUTE:
            return cronjob_id, NOON + first
    raise AssertionError("no place is later than another")


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        ({}, [1, 0]),
        ({"ordered": True}, [0, 1]),
        ({"overlap": "queue"}, [0, 1]),
        ({"overlap": "skip"}, [0]),
    ],
)
async def test_window__longer_than_the_interval_may_turn_the_order_round(
    store: Store, target: ScriptedTarget, clock: Clock, policies: dict[str, Any], expected: list[int]
) -> None:
    cronjob_id, starts = inverted()
    job = await make_cronjob(store, cronjob_id=cronjob_id, window=WINDOW, **policies)
    for at in (NOON, NOON + MINUTE):
        await Scheduler(store).tick(at)
    one = dispatcher(store, target)
    clock.now = NOON + MINUTE
    while clock.now < starts + 2 * MINUTE:
        clock.forward(SECOND)
        assert not any(message.scheduled_at == NOON for message in target.messages) or clock.now > starts
        await work_off(one)
    assert [(message.scheduled_at - NOON) // MINUTE for message in target.messages] == expected
    if policies.get("overlap") == "skip":
        *_, later = await read_firings(store, job["cronjob_id"])
        assert (later.state, later.reason, later.behind_at) == ("skipped", Reason.OVERLAP, NOON)


async def test_clock_ahead__nothing_is_brought_forward_before_its_place(store: Store) -> None:
    """What a clock that was ahead put off is due at once, but for what waits for its place."""
    job = await hourly(store, next_fire_at=None)
    starts = NOON + 7 * MINUTE
    await make_firing(store, job, place_at=starts, due_at=starts)
    late = {"place_at": starts, "due_at": NOON + DAY, "attempt": 1, "lease_no": 1}
    await make_firing(store, job, scheduled_at=NOON - HOUR, **late)
    await make_firing(store, job, scheduled_at=NOON - 2 * HOUR, **{**late, "place_at": NOON - HOUR})
    await store.transact(lambda connection: early.bring_forward(connection, NOON))
    rows = await read_firings(store, job["cronjob_id"])
    assert [row.due_at for row in rows] == [NOON, starts, starts]


async def test_delete__skips_what_waits_for_its_place(store: Store) -> None:
    job = await hourly(store)
    await Scheduler(store).tick(NOON)
    await store.transact(
        lambda connection: schedule.skip_owed(connection, job["cronjob_id"], NOON + 1, Reason.DELETED)
    )
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.reason, row.due_at) == ("skipped", "deleted", None)
