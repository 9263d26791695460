"""The scheduler looks at cron jobs that stand still: few at once, each by one node, and in time."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.util import await_only

from cronally.cronjob import State
from cronally.engine.scheduler import CONTENDED, WAKES, Scheduler
from cronally.instants import DAY, HOUR, MINUTE, SECOND
from cronally.store import Store, cronjobs, open_store, pauses, schedule, tables
from cronally.store.zonedata import record_version
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
    read_firings,
)

SINCE = NOON - HOUR


def paused(**given: Any) -> dict[str, Any]:
    """What a cron job has that is paused since an hour before noon."""
    return {
        "state": State.PAUSED,
        "next_fire_at": None,
        "updated_at": SINCE,
        "paused_at": SINCE,
        "wake_at": given.get("paused_until", NOON),
        **given,
    }


async def make_paused(store: Store, count: int, **given: Any) -> None:
    account = await make_account(store)
    await insert_rows(store, "cronjob", [cronjob_values(account, **paused(**given)) for _ in range(count)])


async def test_step__an_end_is_not_slept_over(store: Store, clock: Clock) -> None:
    await make_cronjob(store, **paused(paused_until=NOON + 10 * SECOND, cron="30 * * * *"))
    clock.now = NOON
    assert await Scheduler(store).step() == 10.0
    clock.now = NOON + 10 * SECOND
    scheduler = Scheduler(store)
    assert await scheduler.step() == 0.0
    assert await scheduler.step() == 30 * 60 - 10
    clock.now = NOON + 30 * MINUTE
    await scheduler.step()
    assert [(row.scheduled_at, row.state) for row in await read_firings(store)] == [
        (NOON - 30 * MINUTE, "skipped"),
        (NOON + 30 * MINUTE, "pending"),
    ]


async def test_step__fires_what_is_due_at_the_end_at_once(store: Store, clock: Clock) -> None:
    await make_cronjob(store, **paused(paused_until=NOON))
    scheduler = Scheduler(store)
    while await scheduler.step() == 0.0:
        pass
    assert [(row.scheduled_at, row.until_at, row.reason, row.count) for row in await read_firings(store)] == [
        (SINCE + MINUTE, NOON - MINUTE, "paused", 59),
        (NOON, None, None, 1),
    ]


async def test_look__few_at_once(store: Store, clock: Clock) -> None:
    await make_paused(store, WAKES + 1)
    scheduler = Scheduler(store)
    assert [await scheduler.look(NOON) for _ in range(3)] == [WAKES, 1, 0]
    assert {row.wake_at for row in await read(store, select(tables.cronjob.c.wake_at))} == {NOON + DAY}
    assert {row.count for row in await read_firings(store)} == {60}


async def test_look__what_is_due_is_not_delayed_by_many(store: Store, clock: Clock) -> None:
    """One transaction ticks, and another one looks."""
    await make_paused(store, WAKES + 1)
    job = await make_cronjob(store)
    assert await Scheduler(store).step() == 0.0
    assert await read_firings(store, job["cronjob_id"])
    assert len(await read_firings(store)) == WAKES + 1


async def test_look__one_that_cannot_be_read_does_not_stop_the_others(store: Store) -> None:
    given = {"paused_until": NOON}
    await make_cronjob(store, cronjob_id="bad", **paused(timezone="Mars/Olympus", wake_at=NOON - 2, **given))
    await make_cronjob(store, cronjob_id="worse", **paused(policies="[]", wake_at=NOON - 1, **given))
    await make_cronjob(store, cronjob_id="good", **paused(**given))
    assert await Scheduler(store).look(NOON) == 3
    for name, state in {"bad": "paused", "worse": "paused", "good": "active"}.items():
        row = await read_cronjob(store, name)
        assert (row.state, row.state_reason is None, row.wake_at) == (state, state == "active", None)


async def test_look__one_that_is_not_paused_is_not_looked_at_again(store: Store) -> None:
    """A row that no code of ours writes must not keep the scheduler busy for ever."""
    await make_cronjob(store, wake_at=NOON)
    scheduler = Scheduler(store)
    assert [await scheduler.look(NOON), await scheduler.look(NOON)] == [1, 0]


async def test_look__not_with_older_zone_data(store: Store) -> None:
    await make_paused(store, 1, paused_until=NOON)
    await store.transact(lambda connection: record_version(connection, "9999z", NOON))
    assert await Scheduler(store).look(NOON) == 0


async def test_next_wake__is_found_by_its_index(store: Store) -> None:
    await make_paused(store, 300, wake_at=NOON + DAY)
    await analyze(store)

    def work(connection: Connection) -> None:
        schedule.next_due(connection)
        pauses.wake(connection, NOON, WAKES)

    for plan in await explain(store, work):
        assert "ix_cronjob_wake_at" in plan, plan


async def test_look__two_nodes_look_at_each_once(postgres_store: Store, migrated_postgres_url: str) -> None:
    await make_paused(postgres_store, 2 * WAKES, paused_until=NOON)
    other = await open_store(migrated_postgres_url)

    async def all_of(store: Store) -> int:
        scheduler, looked = Scheduler(store), 0
        while found := await scheduler.look(NOON):
            looked += found
        return looked

    try:
        assert sum(await asyncio.gather(all_of(postgres_store), all_of(other))) == 2 * WAKES
    finally:
        await other.close()
    versions = await read(postgres_store, select(tables.cronjob.c.version, tables.cronjob.c.state))
    assert set(versions) == {(2, "active")}
    assert [(row.count, row.reason) for row in await read_firings(postgres_store)] == [(59, "paused")] * 100


async def test_look__one_that_its_owner_changes_is_left_to_him(
    postgres_store: Store, migrated_postgres_url: str, clock: Clock
) -> None:
    job = await make_cronjob(postgres_store, **paused(paused_until=NOON))
    other = await open_store(migrated_postgres_url)
    locked, go = asyncio.Event(), asyncio.Event()

    def hold(connection: Connection) -> None:
        cronjobs.lock_cronjob(connection, job["account_id"], job["cronjob_id"])
        locked.set()
        _wait(connection, go)

    try:
        holding = asyncio.create_task(other.transact(hold))
        await locked.wait()
        assert await Scheduler(postgres_store).step() == CONTENDED
        go.set()
        await holding
    finally:
        await other.close()
    assert await Scheduler(postgres_store).step() == 0.0
    assert (await read_cronjob(postgres_store, job["cronjob_id"])).state == "active"


async def test_pause__during_a_tick_of_another_node(
    postgres_store: Store, migrated_postgres_url: str
) -> None:
    """The tick holds the row; the pause finds what it wrote."""
    job = await make_cronjob(postgres_store)
    other = await open_store(migrated_postgres_url)
    ticked, go = asyncio.Event(), asyncio.Event()
    scheduler = Scheduler(other)

    def tick(connection: Connection) -> None:
        scheduler._tick(connection, NOON)
        ticked.set()
        _wait(connection, go)

    def pause(connection: Connection) -> None:
        before = cronjobs.lock_cronjob(connection, job["account_id"], job["cronjob_id"])
        assert before is not None
        assert schedule.record_settled(connection, job["cronjob_id"], NOON + MINUTE)
        before = cronjobs.lock_cronjob(connection, job["account_id"], job["cronjob_id"])
        assert before is not None
        pauses.pause(connection, before, NOON + MINUTE, until=None, note=None, changed_by=None)

    try:
        ticking = asyncio.create_task(other.transact(tick))
        await ticked.wait()
        pausing = asyncio.create_task(postgres_store.transact(pause))
        await asyncio.sleep(0)
        assert not pausing.done()
        go.set()
        await asyncio.gather(ticking, pausing)
        assert (await Scheduler(other).tick(NOON + HOUR)).rows == 0
    finally:
        await other.close()
    rows = await read_firings(postgres_store, job["cronjob_id"])
    assert [(row.scheduled_at, row.state) for row in rows] == [
        (NOON, "pending"),
        (NOON + MINUTE, "pending"),
    ]
    assert (await read_cronjob(postgres_store, job["cronjob_id"])).state == "paused"


def _wait(connection: Connection, event: asyncio.Event) -> None:
    """Wait in a unit of work, which runs in a greenlet of the event loop on PostgreSQL."""
    await_only(event.wait())
