"""What an account stores is bounded, whatever it does how often: rows and bytes are counted, in every table."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from cronally import errors
from cronally.engine.janitor import Janitor
from cronally.engine.scheduler import Scheduler
from cronally.instants import DAY, MINUTE, SECOND, format_iso
from cronally.operations import Caller, Operations
from cronally.operations.quotas import MAX_VERSIONS
from cronally.store import Store, accounts, removal, tables, upkeep
from cronally.store.database import Work
from cronally.targets.target import Target
from tests.operations.conftest import sign_up
from tests.operations.parameters import SNS
from tests.operations.tenant import Tenants
from tests.support import factories
from tests.support.factories import (
    NOON,
    Clock,
    analyze,
    cronjob_values,
    explain,
    insert_rows,
    make_account,
    read,
    read_cronjob,
)

pytestmark = pytest.mark.sample

RETENTION = 5 * DAY
LIVE = 2
DELETED = LIVE * (5 + 2)

ONCE = {**SNS, "cron": "at(2026-11-24T12:00:30)"}


@pytest.fixture
def operations(store: Store, targets: dict[str, Target]) -> Tenants:
    return Tenants(
        Operations(
            store, factories.vault(), targets, max_cronjobs=LIVE, retention=RETENTION, max_bytes=10_000
        )
    )


async def rows(store: Store) -> dict[str, int]:
    """How many rows there are of everything that requests may add to."""
    counted = {}
    for table in (tables.cronjob, tables.cronjob_version, tables.firing, tables.idempotency_key):
        ((counted[table.name],),) = await read(store, select(func.count()).select_from(table))
    return counted


async def expire(store: Store, now: int) -> None:
    janitor = Janitor(store, retention=RETENTION)
    while not await janitor.expire(now):
        pass


async def fill(operations: Tenants, caller: Caller, sent: dict[str, str]) -> int:
    """Create and delete until that is refused; how often it went well."""
    for number in range(1000):
        try:
            made = await operations.create_cronjob(
                caller.account_id, sent, idempotency_key=f"{uuid4()}{'k' * 200}"
            )
        except errors.Forbidden:
            return number
        await operations.delete_cronjob(caller.account_id, made["cronjob_id"])
    raise AssertionError("it is never refused")


async def test_create_and_delete__fills_no_table(
    operations: Tenants, caller: Caller, store: Store, clock: Clock
) -> None:
    large = {**SNS, "sns_message": "m" * 9000}
    assert await fill(operations, caller, large) == DELETED
    full = {"cronjob": DELETED, "cronjob_version": 2 * DELETED, "firing": 0, "idempotency_key": DELETED}
    assert await rows(store) == full
    assert await fill(operations, caller, large) == 0
    assert await rows(store) == full
    kept = await read(store, select(tables.cronjob.c.destination, tables.cronjob.c.secret))
    assert all(len(row.destination) <= removal.KEPT_BYTES and row.secret is None for row in kept)
    with pytest.raises(errors.Forbidden) as caught:
        await operations.create_cronjob(caller.account_id, SNS)
    # What to do, and when it gets better.
    assert f"{DELETED} deleted cron jobs" in caught.value.message
    assert f"the first of them until {format_iso(NOON + DAY)};" in caught.value.message
    assert "change cron jobs instead" in caught.value.message
    # No firing: nothing speaks of them but their idempotency keys, for a day.
    await expire(store, clock.forward(DAY - 1))
    assert (await rows(store))["cronjob"] == DELETED
    await expire(store, clock.forward(1))
    assert await rows(store) == dict.fromkeys(full, 0)
    assert await fill(operations, caller, large) == DELETED


async def test_create_and_delete__what_fired_counts_as_long_as_the_ledger_is_kept(
    operations: Tenants, caller: Caller, store: Store, clock: Clock
) -> None:
    scheduler = Scheduler(store)
    made = await operations.create_cronjob(caller.account_id, ONCE)
    clock.forward(MINUTE)
    await scheduler.tick(clock.now)
    await operations.delete_cronjob(caller.account_id, made["cronjob_id"])
    assert (await read_cronjob(store, made["cronjob_id"])).purge_at == clock.now + RETENTION
    assert await fill(operations, caller, SNS) == DELETED - 1
    await expire(store, clock.forward(RETENTION - 1))
    assert await rows(store) == {"cronjob": 1, "cronjob_version": 3, "firing": 0, "idempotency_key": 0}
    await expire(store, clock.forward(1))
    assert not any((await rows(store)).values())


async def test_create_and_delete__who_makes_everything_anew_each_day_goes_on(
    operations: Tenants, caller: Caller, store: Store, clock: Clock
) -> None:
    scheduler = Scheduler(store)
    live: list[dict[str, Any]] = []
    for _ in range(3 * RETENTION // DAY):
        for old in live:
            await operations.delete_cronjob(caller.account_id, old["cronjob_id"])
        live = [await operations.create_cronjob(caller.account_id, SNS) for _ in range(LIVE)]
        clock.forward(DAY)
        while (await scheduler.tick(clock.now)).more:
            pass
        await expire(store, clock.now)
    assert (await rows(store))["cronjob"] <= LIVE + DELETED


async def test_quota__another_account_has_its_own(operations: Tenants, caller: Caller, store: Store) -> None:
    await fill(operations, caller, SNS)
    other = await sign_up(operations, "other@example.com")
    assert await fill(operations, other, SNS) == DELETED


async def change_until_refused(operations: Tenants, caller: Caller, cronjob_id: str) -> int:
    for number in range(1000):
        try:
            await operations.update_cronjob(
                caller.account_id, cronjob_id, {"name": f"No. {number}", "cron": f"{number % 60} 8 * * *"}
            )
        except errors.RateLimited as problem:
            refused = problem
            break
    assert refused.retry_after is not None
    assert 0 < refused.retry_after <= MAX_VERSIONS * 60 + 1
    assert f"changed {MAX_VERSIONS} times in the last 100m" in refused.message
    return number


async def test_update__fills_no_table(
    operations: Tenants, caller: Caller, store: Store, clock: Clock
) -> None:
    made = await operations.create_cronjob(caller.account_id, SNS)
    cronjob_id = made["cronjob_id"]
    # The first version is a change, too.
    assert await change_until_refused(operations, caller, cronjob_id) == MAX_VERSIONS - 1
    assert (await rows(store))["cronjob_version"] == MAX_VERSIONS
    clock.forward(MAX_VERSIONS * MINUTE)
    assert await change_until_refused(operations, caller, cronjob_id) == MAX_VERSIONS
    assert (await rows(store))["cronjob_version"] == MAX_VERSIONS
    # The last ones are kept.
    version = tables.cronjob_version.c.version
    ((last, first),) = await read(store, select(func.max(version), func.min(version)))
    assert (last, first) == (2 * MAX_VERSIONS, MAX_VERSIONS + 1)
    await operations.delete_cronjob(caller.account_id, cronjob_id)
    assert (await rows(store))["cronjob_version"] == removal.MAX_VERSIONS


async def test_update__an_empty_one_and_one_from_time_to_time_are_no_matter(
    operations: Tenants, caller: Caller, clock: Clock
) -> None:
    made = await operations.create_cronjob(caller.account_id, SNS)
    for number in range(MAX_VERSIONS + 10):
        await operations.update_cronjob(caller.account_id, made["cronjob_id"], {})
        clock.forward(MINUTE)
        await operations.update_cronjob(caller.account_id, made["cronjob_id"], {"name": f"No. {number}"})


async def test_update__a_clock_that_was_ahead_locks_nobody_out(
    operations: Tenants, caller: Caller, clock: Clock
) -> None:
    clock.forward(365 * DAY)
    made = await operations.create_cronjob(caller.account_id, SNS)
    await change_until_refused(operations, caller, made["cronjob_id"])
    clock.forward(-365 * DAY)
    await operations.update_cronjob(caller.account_id, made["cronjob_id"], {"name": "Back"})


async def test_update__brings_no_more_firings_than_the_interval_allows(
    operations: Tenants, caller: Caller, store: Store, clock: Clock
) -> None:
    """Each change moves the fire time to the next second, and whoever is refused comes back after a minute."""
    scheduler = Scheduler(store)
    made = await operations.create_cronjob(caller.account_id, SNS)
    for _ in range(5 * MAX_VERSIONS):
        second = clock.forward(SECOND) // SECOND % 60
        sent = {"cron": f"{(second + 1) % 60} * * * * *"}
        try:
            await operations.update_cronjob(caller.account_id, made["cronjob_id"], sent)
        except errors.RateLimited:
            clock.forward(59 * SECOND)
        await scheduler.tick(clock.now)
    elapsed = (clock.now - NOON) // MINUTE
    assert elapsed > MAX_VERSIONS, "the first changes are forgotten, and others follow"
    assert MAX_VERSIONS < (await rows(store))["firing"] <= 2 * elapsed + 2 * MAX_VERSIONS


async def test_update__that_makes_it_larger_is_weighed_whatever_grows(
    operations: Tenants, caller: Caller
) -> None:
    await operations.create_cronjob(caller.account_id, {**SNS, "sns_message": "m" * 8600})
    made = await operations.create_cronjob(caller.account_id, {**SNS, "sns_message": "m" * 500})
    with pytest.raises(errors.Forbidden, match="10,000 bytes"):
        await operations.update_cronjob(caller.account_id, made["cronjob_id"], {"name": "n" * 256})
    await operations.update_cronjob(
        caller.account_id, made["cronjob_id"], {"name": "n" * 256, "sns_message": "m"}
    )


async def test_counts__are_answered_by_an_index_alone(store: Store) -> None:
    mine = await make_account(store)
    for account_id, count in ((mine, 300), (await make_account(store), 3000)):
        for state in ("active", "deleted"):
            given = {"state": state, "secret": None, "next_fire_at": None}
            await insert_rows(store, "cronjob", [cronjob_values(account_id, **given) for _ in range(count)])
    await analyze(store)
    counts: list[tuple[Work[Any], Any, str]] = [
        (partial(accounts.count_cronjobs, account_id=mine), 300, "ix_cronjob_listed"),
        (
            partial(accounts.count_bytes, account_id=mine),
            300 * cronjob_values(mine)["size"],
            "ix_cronjob_listed",
        ),
        (partial(accounts.count_deleted, account_id=mine), (300, NOON + DAY), "ix_cronjob_purged"),
    ]
    for work, count, index in counts:
        assert await store.transact(work) == count
        (plan,) = await explain(store, work)
        assert index in plan, plan
        assert "COVERING INDEX" in plan or "Index Only Scan" in plan or "Bitmap Index Scan" in plan, plan
    delete = partial(upkeep.delete_cronjobs, account_id=mine, now=NOON + DAY, limit=100)
    (plan,) = await explain(store, delete)
    assert "ix_cronjob_purged" in plan, plan
    assert "SCAN" not in plan, plan


async def test_turn__is_the_number_of_others_that_the_account_has(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    """By which a tick takes accounts in turn: deleting the first does not let the next ones all be first."""
    first = await operations.create_cronjob(caller.account_id, SNS)
    await operations.create_cronjob(caller.account_id, SNS)
    await operations.delete_cronjob(caller.account_id, first["cronjob_id"])
    await operations.create_cronjob(caller.account_id, SNS)
    other = await sign_up(operations, "turn@example.com")
    await operations.create_cronjob(other.account_id, SNS)
    found = await read(
        store,
        select(tables.cronjob.c.account_id, tables.cronjob.c.turn).where(tables.cronjob.c.state != "deleted"),
    )
    assert sorted(turn for account, turn in found if account == caller.account_id) == [1, 1]
    assert [turn for account, turn in found if account == other.account_id] == [0]
