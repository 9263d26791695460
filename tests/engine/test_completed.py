"""Cron jobs that have nothing left to fire: kept for a while or deleted at once, and never for ever."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import Connection, select

from cronally.cronjob import KEEP_COMPLETED
from cronally.engine.janitor import Janitor
from cronally.engine.scheduler import Scheduler
from cronally.instants import DAY, MINUTE
from cronally.store import Store, accounts, tables
from tests.support.factories import NOON, insert_rows, make_account, make_cronjob, make_firing, read_cronjob

RETENTION = 10 * DAY


async def expire_all(store: Store, now: int) -> Janitor:
    """A whole round of retention."""
    janitor = Janitor(store, retention=RETENTION)
    while not await janitor.expire(now):
        pass
    return janitor


async def completed(store: Store, account_id: str, at: int, **policies: Any) -> dict[str, Any]:
    return await make_cronjob(
        store,
        account_id,
        cron="at(2026-11-24T12:00:00)",
        state="completed",
        updated_at=at,
        next_fire_at=None,
        policies=json.dumps(policies, separators=(",", ":"), sort_keys=True),
        secret=b"sealed",
    )


async def state_of(store: Store, row: dict[str, Any]) -> str:
    return str((await read_cronjob(store, row["cronjob_id"])).state)


@pytest.mark.parametrize(
    ("policies", "after", "reason"),
    [
        ({}, KEEP_COMPLETED, "Deleted 30d after it was completed."),
        ({"after_completion": "keep"}, KEEP_COMPLETED, "Deleted 30d after it was completed."),
        (
            {"after_completion": "delete"},
            0,
            "Deleted when it was completed, as after_completion=delete says.",
        ),
        (
            {"catch_up": "all", "after_completion": "delete", "dst_gap": "skip"},
            0,
            "Deleted when it was completed",
        ),
    ],
)
async def test_completed__is_deleted_with_a_reason(
    store: Store, policies: dict[str, Any], after: int, reason: str
) -> None:
    account_id = await make_account(store)
    row = await completed(store, account_id, NOON, **policies)
    if after:
        await expire_all(store, NOON + after - 1)
        assert await state_of(store, row) == "completed"
    await expire_all(store, NOON + after)
    found = await read_cronjob(store, row["cronjob_id"])
    assert (found.state, found.version, found.updated_at) == ("deleted", row["version"] + 1, NOON + after)
    assert found.state_reason.startswith(reason)
    assert (found.secret, found.updated_by) == (None, None)
    assert found.purge_at == NOON + after + DAY
    version = await store.transact(lambda connection: connection.execute(_versions(row)).all())
    assert ("deleted", found.state_reason) in [(each.state, each.state_reason) for each in version]
    # It counts no more.
    assert await store.transact(lambda connection: accounts.count_cronjobs(connection, account_id)) == 0
    await expire_all(store, NOON + after + DAY)
    assert await store.transact(lambda connection: connection.execute(_cronjobs(row)).all()) == []


async def test_completed__what_is_on_its_way_ends_first(store: Store) -> None:
    row = await completed(store, await make_account(store), NOON, after_completion="delete")
    firing = await make_firing(store, row, state="pending", due_at=NOON + MINUTE)
    await expire_all(store, NOON + 40 * DAY)
    assert await state_of(store, row) == "completed"

    def deliver(connection: Connection) -> None:
        table = tables.firing
        connection.execute(
            table.update()
            .where(table.c.cronjob_id == firing["cronjob_id"])
            .values(state="delivered", due_at=None, finished_at=NOON)
        )

    await store.transact(deliver)
    await expire_all(store, NOON + MINUTE)
    found = await read_cronjob(store, row["cronjob_id"])
    assert (found.state, found.purge_at) == ("deleted", NOON + MINUTE + RETENTION)


@pytest.mark.parametrize("state", ["active", "paused"])
async def test_completed__others_are_left_alone(store: Store, state: str) -> None:
    row = await make_cronjob(
        store, state=state, updated_at=NOON, policies='{"after_completion":"delete"}', next_fire_at=None
    )
    other = await completed(store, await make_account(store), NOON, after_completion="keep")
    await expire_all(store, NOON + DAY)
    assert [await state_of(store, each) for each in (row, other)] == [state, "completed"]


async def test_completed__many_are_deleted_in_batches(store: Store) -> None:
    account_id = await make_account(store)
    first = await completed(store, account_id, NOON, after_completion="delete")
    columns = [column.name for column in tables.cronjob.columns if column.name in first]
    rows = [{name: first[name] for name in columns} for _ in range(120)]
    for number, row in enumerate(rows):
        row["cronjob_id"] = f"00000000-0000-4000-8000-{number:012d}"
    await insert_rows(store, "cronjob", rows)
    await expire_all(store, NOON)
    await expire_all(store, NOON)
    await expire_all(store, NOON)
    assert await store.transact(lambda connection: accounts.count_cronjobs(connection, account_id)) == 0


async def test_completed__by_a_tick_is_deleted_after_its_firing(store: Store) -> None:
    row = await make_cronjob(
        store, cron="at(2026-11-24T12:00:00)", policies='{"after_completion":"delete"}', next_fire_at=NOON
    )
    await Scheduler(store).tick(NOON)
    assert await state_of(store, row) == "completed"
    await expire_all(store, NOON + MINUTE)
    assert await state_of(store, row) == "completed"  # its firing is pending


def _versions(row: dict[str, Any]) -> Any:
    table = tables.cronjob_version
    return select(table).where(table.c.cronjob_id == row["cronjob_id"])


def _cronjobs(row: dict[str, Any]) -> Any:
    return select(tables.cronjob).where(tables.cronjob.c.cronjob_id == row["cronjob_id"])
