"""What an edit or a deletion settles, and what the ledger is said to cover."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection

from cronally.cronjob import CatchUp
from cronally.firing import Reason
from cronally.instants import DAY, HOUR, MINUTE
from cronally.store import Store, schedule
from tests.support.factories import NOON, make_cronjob, make_firing, read_cronjob, read_firing, read_firings


async def settle(store: Store, job: dict[str, Any], now: int) -> None:
    while not await store.transact(
        lambda connection: schedule.record_settled(connection, job["cronjob_id"], now)
    ):
        pass


async def skip_owed(store: Store, job: dict[str, Any], now: int, reason: Reason = Reason.DELETED) -> None:
    await store.transact(lambda connection: schedule.skip_owed(connection, job["cronjob_id"], now, reason))


async def test_settle__writes_what_ticks_would(store: Store) -> None:
    job = await make_cronjob(store, catch_up=CatchUp.ALL)
    now = NOON + 5 * HOUR
    await settle(store, job, now)
    rows = await read_firings(store, job["cronjob_id"])
    assert [row.scheduled_at for row in rows] == list(range(NOON, now + 1, MINUTE))
    assert {row.state for row in rows} == {"pending"}
    assert (await read_cronjob(store, job["cronjob_id"])).next_fire_at == now + MINUTE


async def test_settle__nothing_due(store: Store) -> None:
    job = await make_cronjob(store)
    await settle(store, job, NOON - 1)
    assert not await read_firings(store)
    assert (await read_cronjob(store, job["cronjob_id"])).next_fire_at == NOON


async def test_settle__touches_no_other_cronjob(store: Store) -> None:
    job, other = await make_cronjob(store), await make_cronjob(store)
    await settle(store, job, NOON + HOUR)
    assert not await read_firings(store, other["cronjob_id"])
    assert (await read_cronjob(store, other["cronjob_id"])).next_fire_at == NOON


async def test_settle__unreadable_expression_skips_the_fire_time_that_is_stored(store: Store) -> None:
    job = await make_cronjob(store, cron="61 * * * *")
    await settle(store, job, NOON + HOUR)
    row = await read_firing(store, job["cronjob_id"])
    assert (row.scheduled_at, row.state, row.reason) == (NOON, "skipped", "set_aside")
    assert (await read_cronjob(store, job["cronjob_id"])).next_fire_at is None


async def test_skip_owed__one_row_for_what_is_owed_and_pending_ones_with_it(store: Store) -> None:
    job = await make_cronjob(store)
    await make_firing(store, job, scheduled_at=NOON - 3 * MINUTE, state="delivered")
    await make_firing(store, job, scheduled_at=NOON - 2 * MINUTE, state="sending")
    await make_firing(store, job, scheduled_at=NOON - MINUTE, attempt=2)
    now = NOON + 9 * MINUTE
    await skip_owed(store, job, now)
    delivered, sending, pending, owed = await read_firings(store, job["cronjob_id"])
    assert (delivered.state, sending.state) == ("delivered", "sending"), "what is being sent may still arrive"
    assert (pending.state, pending.reason, pending.due_at, pending.finished_at) == (
        "skipped",
        "deleted",
        None,
        now,
    )
    assert (owed.state, owed.reason, owed.scheduled_at, owed.until_at, owed.count) == (
        "skipped",
        "deleted",
        NOON,
        now,
        10,
    )
    assert (await read_cronjob(store, job["cronjob_id"])).next_fire_at is None


@pytest.mark.parametrize("cron", ["* * * * *", "61 * * * *"])
async def test_skip_owed__nothing_owed_changes_no_schedule(store: Store, cron: str) -> None:
    job = await make_cronjob(store, cron=cron)
    await skip_owed(store, job, NOON - 1)
    assert not await read_firings(store)


async def test_skip_owed__unreadable_expression(store: Store) -> None:
    job = await make_cronjob(store, cron="61 * * * *")
    await skip_owed(store, job, NOON + HOUR)
    assert (await read_firing(store, job["cronjob_id"])).scheduled_at == NOON


async def test_last_covered__is_that_of_the_expression_alone(store: Store) -> None:
    job = await make_cronjob(store)

    def covered(connection: Connection) -> int | None:
        return schedule.last_covered(connection, job["cronjob_id"], NOON)

    assert await store.transact(covered) is None
    await make_firing(store, job, scheduled_at=NOON, kind="manual")
    assert await store.transact(covered) is None
    await make_firing(store, job, scheduled_at=NOON - DAY, state="missed", until_at=NOON - HOUR, count=9)
    assert await store.transact(covered) == NOON - HOUR
    await make_firing(store, job, scheduled_at=NOON - MINUTE, state="pending")
    assert await store.transact(covered) == NOON - MINUTE


async def test_record_advances__a_row_that_is_there_stays_as_it_is(store: Store) -> None:
    """The ledger's key is the second lock: what was delivered is not owed again."""
    job = await make_cronjob(store)
    await make_firing(store, job, scheduled_at=NOON, state="delivered", message_id="first")
    await settle(store, job, NOON)
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.message_id) == ("delivered", "first")
    assert (await read_cronjob(store, job["cronjob_id"])).next_fire_at == NOON + MINUTE
