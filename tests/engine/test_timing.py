"""`max_firings`, bounds and several expressions in the engine: what ticks count, and what else asks for a fire time."""

from __future__ import annotations

from typing import Any

import pytest

from cronally.cronjob import CatchUp, State, join_expressions
from cronally.engine.janitor import Janitor
from cronally.engine.scheduler import Scheduler
from cronally.firing import Reason
from cronally.instants import DAY, HOUR, MINUTE
from cronally.store import Store, pauses, schedule
from cronally.store.cronjobs import get_cronjob
from tests.engine.test_early import AHEAD, NOW, World, play, put_right
from tests.support.factories import (
    NOON,
    ScriptedTarget,
    make_cronjob,
    make_firing,
    read_cronjob,
    read_firings,
)

pytestmark = pytest.mark.sample


async def tick_all(store: Store, now: int) -> None:
    while (await Scheduler(store).tick(now)).more:
        pass


async def test_tick__counts_what_it_hands_over(store: Store) -> None:
    job = await make_cronjob(store, catch_up=CatchUp.LATEST)
    await tick_all(store, NOON + HOUR)
    row = await read_cronjob(store, job["cronjob_id"])
    pending = [one for one in await read_firings(store, job["cronjob_id"]) if one.state == "pending"]
    assert row.fired == len(pending) == 2, "a minute is on time, the hour before is missed"
    await tick_all(store, NOON + HOUR + MINUTE)
    assert (await read_cronjob(store, job["cronjob_id"])).fired == 3


async def test_tick__completes_with_the_last_of_max_firings(store: Store) -> None:
    ten = await make_cronjob(store, catch_up=CatchUp.ALL, max_firings=10, fired=3)
    other = await make_cronjob(store, catch_up=CatchUp.ALL)
    many = await make_cronjob(store, catch_up=CatchUp.ALL, max_firings=150)
    await tick_all(store, NOON + 3 * HOUR)
    assert len(await read_firings(store, ten["cronjob_id"])) == 7
    assert len(await read_firings(store, many["cronjob_id"])) == 150
    assert len(await read_firings(store, other["cronjob_id"])) == 181
    for job, fired in ((ten, 10), (many, 150)):
        row = await read_cronjob(store, job["cronjob_id"])
        assert (row.state, row.next_fire_at, row.fired) == (State.COMPLETED, None, fired)
    assert (await read_cronjob(store, other["cronjob_id"])).state == State.ACTIVE


async def test_tick__ends_at_the_end(store: Store) -> None:
    texts = join_expressions(["*/20 * * * *", "@every 35m"])
    job = await make_cronjob(
        store, cron=texts, starts_at=NOON, ends_at=NOON + 70 * MINUTE, catch_up=CatchUp.ALL
    )
    await tick_all(store, NOON + 3 * HOUR)
    rows = await read_firings(store, job["cronjob_id"])
    assert [(row.scheduled_at - NOON) // MINUTE for row in rows] == [0, 20, 35, 40, 60, 70]
    row = await read_cronjob(store, job["cronjob_id"])
    assert (row.state, row.next_fire_at, row.fired) == (State.COMPLETED, None, 6)


async def test_change__settles_no_more_than_is_left(store: Store) -> None:
    job = await make_cronjob(store, catch_up=CatchUp.ALL, max_firings=5)
    done = await store.transact(
        lambda connection: schedule.record_settled(connection, job["cronjob_id"], NOON + HOUR)
    )
    assert done
    row = await read_cronjob(store, job["cronjob_id"])
    assert (row.state, row.fired) == (State.COMPLETED, 5)


@pytest.mark.parametrize(
    "given",
    [
        {"state": State.COMPLETED, "next_fire_at": None, "max_firings": 3, "fired": 3},
        {"state": State.ACTIVE, "next_fire_at": None, "max_firings": 3, "fired": 4},
        {"state": State.ACTIVE, "next_fire_at": None, "ends_at": NOON},
    ],
)
async def test_audit__does_not_wake_what_has_fired_enough_or_has_ended(
    store: Store, given: dict[str, Any]
) -> None:
    job = await make_cronjob(store, **given)
    await make_firing(store, job, scheduled_at=NOON, state="delivered")
    janitor = Janitor(store, retention=30 * DAY)
    await janitor.audit(NOON + HOUR)
    assert janitor.done.repaired == 0
    assert (await read_cronjob(store, job["cronjob_id"])).next_fire_at is None


async def test_audit__repairs_one_that_has_something_left(store: Store) -> None:
    job = await make_cronjob(store, next_fire_at=None, max_firings=3, fired=2, starts_at=NOON + DAY)
    janitor = Janitor(store, retention=30 * DAY)
    await janitor.audit(NOON + HOUR)
    assert (await read_cronjob(store, job["cronjob_id"])).next_fire_at == NOON + DAY


async def test_resume__of_one_that_has_fired_enough_completes_it(store: Store) -> None:
    """`max_firings` was lowered while it was paused."""
    given: dict[str, Any] = {
        "state": State.PAUSED,
        "next_fire_at": None,
        "paused_at": NOON,
        "wake_at": NOON + DAY,
    }
    job = await make_cronjob(store, max_firings=2, fired=2, **given)
    before = await store.transact(
        lambda connection: get_cronjob(connection, job["account_id"], job["cronjob_id"])
    )
    assert before is not None
    after = await store.transact(
        lambda connection: pauses.resume(connection, before, NOON + HOUR, changed_by=None)
    )
    assert (after.state, after.next_fire_at) == (State.COMPLETED, None)
    assert not await read_firings(store, job["cronjob_id"])


async def test_put_right__what_was_handed_over_early_is_counted_once(store: Store) -> None:
    job = await make_cronjob(store, next_fire_at=AHEAD, max_firings=100, fired=9)
    at = NOON + MINUTE
    rows: list[dict[str, Any]] = [
        {"scheduled_at": at, "state": "delivered", "lease_no": 1, "attempt": 1},
        {"scheduled_at": at + MINUTE, "state": "failed", "lease_no": 1, "attempt": 1},
        {"scheduled_at": at + 2 * MINUTE},
        {"scheduled_at": at + 3 * MINUTE, "state": "sending", "lease_no": 1},
        # What a tick gave up, what was suppressed, and what was counted when it was marked before.
        {"scheduled_at": at + 4 * MINUTE, "state": "missed", "reason": Reason.MISFIRE_GRACE, "count": 9},
        {"scheduled_at": at + HOUR, "state": "skipped", "reason": Reason.DST_OVERLAP_FIRST},
        {"scheduled_at": at + 2 * HOUR, "state": "delivered", "reason": Reason.CLOCK_AHEAD, "lease_no": 1},
        {"scheduled_at": at + 3 * HOUR, "kind": "manual", "state": "delivered", "lease_no": 1},
        # It was handed over, and waited too long for its first attempt.
        {"scheduled_at": at + 4 * HOUR, "state": "missed", "finished_at": NOON + 1, "lease_no": 1},
        # They were handed over, and did not go for another one.
        {"scheduled_at": at + 5 * HOUR, "state": "skipped", "reason": Reason.OVERLAP, "lease_no": 1},
        {"scheduled_at": at + 6 * HOUR, "state": "skipped", "reason": Reason.QUEUE_FULL, "lease_no": 1},
        {"scheduled_at": at + 7 * HOUR, "state": "skipped", "reason": Reason.EXCLUDED},
    ]
    for given in rows:
        await make_firing(store, job, **given)
    await put_right(store)
    row = await read_cronjob(store, job["cronjob_id"])
    assert (row.fired, row.next_fire_at) == (9 - 7, at)


async def test_put_right__what_had_fired_enough_before_stays_completed(store: Store) -> None:
    given: dict[str, Any] = {"state": State.COMPLETED, "next_fire_at": None, "max_firings": 2, "fired": 2}
    before = await make_cronjob(store, **given)
    for at in (NOON - 2 * MINUTE, NOON - MINUTE):
        await make_firing(store, before, scheduled_at=at, state="delivered", lease_no=1)
    early = await make_cronjob(store, **given)
    for at in (NOON - MINUTE, NOON + MINUTE):
        await make_firing(store, early, scheduled_at=at, state="delivered", lease_no=1)
    await put_right(store, NOW)
    assert (await read_cronjob(store, before["cronjob_id"])).state == State.COMPLETED
    row = await read_cronjob(store, early["cronjob_id"])
    assert (row.state, row.fired, row.next_fire_at) == (State.ACTIVE, 1, NOON + MINUTE)


async def test_clock__ahead_for_a_while_uses_nothing_up(store: Store, target: ScriptedTarget) -> None:
    job = await make_cronjob(store, max_firings=12)
    world = World(store, target)
    await play(world, [(0, 4 * MINUTE, False), (HOUR, 2 * MINUTE, True), (0, 14 * MINUTE, False)])
    row = await read_cronjob(store, job["cronjob_id"])
    assert (row.state, row.fired) == (State.COMPLETED, 12)
    rows = await read_firings(store, job["cronjob_id"])
    on_time = [one for one in rows if one.state == "delivered" and one.reason is None]
    assert len(on_time) == 12
    assert max(one.scheduled_at for one in on_time) <= world.true
