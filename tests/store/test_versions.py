"""The history of cron jobs: a row for each version, whoever raised it, for as long as the ledger needs it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, select

from cronally.cronjob import State
from cronally.engine.janitor import Janitor
from cronally.engine.scheduler import Scheduler
from cronally.instants import DAY, HOUR, MINUTE
from cronally.store import Store, cronjobs, tables, upkeep, versions
from cronally.store.cronjobs import Cronjob
from tests.support.factories import (
    NOON,
    account_values,
    cronjob_of,
    cronjob_values,
    explain,
    insert_rows,
    make_account,
    make_cronjob,
    make_firing,
    read,
)

_table = tables.cronjob_version
KEPT = 30 * DAY


async def kept(store: Store, job: dict[str, Any]) -> list[int]:
    """Which versions of a cron job are kept."""
    query = (
        select(_table.c.version).where(_table.c.cronjob_id == job["cronjob_id"]).order_by(_table.c.version)
    )
    return [version for (version,) in await read(store, query)]


async def insert_versions(store: Store, job: dict[str, Any], *changed_at: int) -> None:
    """Versions of a cron job, from 1 on, that began at these instants."""
    same = {name: job[name] for name in ("cronjob_id", "cron", "timezone", "policies", "state")}
    rows = [
        {**same, "version": number, "changed_at": at, "state_reason": None, "changed_by": None}
        for number, at in enumerate(changed_at, 1)
    ]
    await insert_rows(store, "cronjob_version", rows)


async def expire(store: Store, now: int) -> None:
    janitor = Janitor(store, retention=KEPT)
    while not await janitor.expire(now):
        pass


async def make(store: Store, **given: Any) -> Cronjob:
    """A cron job that went the way of the API."""
    values = cronjob_values(await make_account(store), secret=None, **given)
    cronjob = cronjob_of(values)
    await store.transact(partial(cronjobs.insert_cronjob, cronjob=cronjob, secret=None))
    return cronjob


def at(cronjob: Cronjob, instant: int) -> Any:
    return partial(in_force, cronjob_id=cronjob.cronjob_id, instant=instant)


def in_force(connection: Connection, cronjob_id: str, instant: int) -> versions.Version | None:
    history = versions.list_versions(connection, cronjob_id)
    place = versions.in_force(history, instant)
    return None if place is None else history[place]


async def test_versions__insert_and_update_keep_what_the_cronjob_was(store: Store) -> None:
    first = await make(store, cron="0 8 * * *", updated_by="key-1")
    second = replace(
        first,
        cron="0 9 * * *",
        policies='{"catch_up":"all"}',
        version=2,
        updated_at=NOON,
        updated_by="key-2",
    )
    await store.transact(partial(cronjobs.update_cronjob, cronjob=second))
    made = first.updated_at
    assert await store.transact(at(first, made)) is None
    for instant, cronjob in ((made + 1, first), (NOON, first), (NOON + 1, second), (NOON + DAY, second)):
        found = await store.transact(at(first, instant))
        assert found == versions.Version(
            cronjob.version,
            cronjob.cron,
            cronjob.timezone,
            cronjob.policies,
            cronjob.state,
            cronjob.state_reason,
            cronjob.updated_at,
            cronjob.updated_by,
        )
        assert found.timing == cronjob.timing
    history = await store.transact(partial(versions.list_versions, cronjob_id=first.cronjob_id))
    assert [one.cron for one in history] == ["0 8 * * *", "0 9 * * *"]


async def test_versions__the_scheduler_keeps_what_it_sets_aside_and_completes(store: Store) -> None:
    bad, once = await make(store, cron="61 * * * *"), await make(store, cron="at(2026-11-24T12:00:00)")
    going_on = await make(store)
    await Scheduler(store).tick(NOON)
    for cronjob, state in ((bad, State.PAUSED), (once, State.COMPLETED)):
        found = await store.transact(at(cronjob, NOON + 1))
        assert (found.version, found.state, found.changed_at, found.changed_by) == (2, state, NOON, None)
    assert "minute" in (await store.transact(at(bad, NOON + 1))).state_reason
    assert (await store.transact(at(going_on, NOON + 1))).version == 1


async def test_versions__a_version_that_is_written_twice_in_one_transaction_is_the_last(store: Store) -> None:
    """As a change does whose settling completes the cron job."""
    first = await make(store)

    def work(connection: Connection) -> None:
        for state in (State.COMPLETED, State.ACTIVE):
            cronjobs.update_cronjob(connection, replace(first, state=state, version=2, updated_at=NOON))

    await store.transact(work)
    assert (await store.transact(at(first, NOON + 1))).state == State.ACTIVE


async def test_versions__a_clock_that_was_set_back(store: Store) -> None:
    job = await make_cronjob(store, version=3)
    await insert_versions(store, job, NOON, NOON + DAY, NOON + HOUR)
    get = partial(in_force, cronjob_id=job["cronjob_id"])
    for instant, version in ((NOON + MINUTE, 1), (NOON + 2 * HOUR, 3), (NOON + 2 * DAY, 3)):
        found = await store.transact(partial(get, instant=instant))
        assert found is not None
        assert found.version == version


async def test_retention__keeps_versions_while_the_ledger_needs_them(store: Store) -> None:
    now = NOON + KEPT
    old = [NOON - 3 * DAY, NOON - 2 * DAY, NOON - DAY]
    idle = await make_cronjob(store, version=3)
    await insert_versions(store, idle, *old)
    recent = await make_cronjob(store, version=4)
    await insert_versions(store, recent, *old, NOON)
    # A pending firing stays however old it is, and so does what the cron job was then.
    owing = await make_cronjob(store, version=3)
    await insert_versions(store, owing, *old)
    await make_firing(store, owing, scheduled_at=NOON - 2 * DAY, state="pending")
    settled = await make_cronjob(store, version=3)
    await insert_versions(store, settled, *old)
    await make_firing(store, settled, scheduled_at=NOON - 2 * DAY + 1, state="pending")
    finished = await make_cronjob(store, version=3)
    await insert_versions(store, finished, *old)
    await make_firing(store, finished, scheduled_at=NOON - 2 * DAY, state="delivered")
    await expire(store, now)
    assert await kept(store, idle) == [3]
    assert await kept(store, recent) == [3, 4]
    assert await kept(store, owing) == [1, 2, 3]
    assert await kept(store, settled) == [2, 3]
    assert await kept(store, finished) == [3]


async def test_retention__a_deleted_cronjob_takes_its_versions_along(store: Store) -> None:
    job = await make_cronjob(store, state="deleted", next_fire_at=None, version=2)
    await insert_versions(store, job, NOON - HOUR, NOON - MINUTE)
    delete = partial(upkeep.delete_cronjobs, account_id=job["account_id"], now=job["purge_at"], limit=10)
    assert await store.transact(delete) == 1
    assert await kept(store, job) == []


async def test_delete_versions__goes_through_all_in_batches(store: Store) -> None:
    account = account_values()
    await insert_rows(store, "account", [account])
    jobs = [await make_cronjob(store, account["account_id"], version=3) for _ in range(5)]
    for job in jobs:
        await insert_versions(store, job, NOON - 3 * DAY, NOON - 2 * DAY, NOON - DAY)
    after: str | None = ""
    rounds = deleted = 0
    while after is not None:
        walk = partial(versions.delete_versions, after=after, before=NOON, limit=4)
        after, count = await store.transact(walk)
        deleted += count
        rounds += 1
    assert (rounds, deleted) == (3, 10)
    assert [await kept(store, job) for job in jobs] == [[3]] * 5


async def test_delete_versions__reads_by_keys(store: Store) -> None:
    for _ in range(3):
        await insert_versions(store, await make_cronjob(store), NOON)
    for plan in await explain(
        store, partial(versions.delete_versions, after="", before=NOON + DAY, limit=100)
    ):
        assert "SCAN firing" not in plan
        assert "SCAN newer" not in plan
