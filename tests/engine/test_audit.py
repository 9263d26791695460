"""What the server does by itself is in the audit log of the account: a row for each state that it changes."""

from __future__ import annotations

from functools import partial

import pytest

from cronally.audit_chain import Row, Who
from cronally.cronjob import State
from cronally.engine.janitor import Janitor
from cronally.engine.scheduler import Scheduler
from cronally.instants import DAY, HOUR, MINUTE
from cronally.store import Store, audit, tables
from tests.support.factories import NOON, Clock, make_account, make_cronjob

pytestmark = pytest.mark.sample


async def log(store: Store, account_id: str) -> list[Row]:
    part = await store.transact(partial(audit.list_audit, account_id=account_id, before=None, limit=100))
    return part.rows[::-1]


def told(row: Row) -> dict[str, tuple[str | None, str | None]]:
    assert (row.entry.who, row.entry.action, row.entry.api_key) == (Who.SERVER, "cronjob.state", None)
    return {change.name: (change.before, change.after) for change in row.entry.changes}


async def test_tick__tells_of_what_it_completes_and_sets_aside_alone(store: Store, clock: Clock) -> None:
    mine, other = await make_account(store), await make_account(store)
    last = await make_cronjob(store, mine, cron="at(2026-11-24T12:00:00)")
    wrong = await make_cronjob(store, other, policies="[]")
    goes_on = [await make_cronjob(store, one) for one in (mine, other)]
    tick = await Scheduler(store).tick(NOON)
    assert tick.cronjobs == 3
    (row,) = await log(store, mine)
    assert (row.entry.cronjob_id, told(row)) == (last["cronjob_id"], {"state": ("active", "completed")})
    (row,) = await log(store, other)
    assert row.entry.cronjob_id == wrong["cronjob_id"]
    assert told(row)["state"] == ("active", "paused")
    assert "Cannot be scheduled" in str(told(row)["state_reason"][1])
    assert len(goes_on) == 2


async def test_wake__tells_of_a_pause_that_ends(store: Store, clock: Clock) -> None:
    account = await make_account(store)
    await make_cronjob(
        store,
        account,
        state=State.PAUSED,
        next_fire_at=None,
        paused_at=NOON - HOUR,
        paused_until=NOON,
        paused_by="x",
        paused_note=None,
    )
    await store.transact(
        lambda connection: connection.execute(tables.cronjob.update().values(wake_at=NOON)) and None
    )
    assert await Scheduler(store).look(NOON + MINUTE) == 1
    (row,) = await log(store, account)
    assert told(row) == {"state": ("paused", "active")}


async def test_janitor__tells_of_what_it_deletes_and_keeps_the_chain(store: Store, clock: Clock) -> None:
    account = await make_account(store)
    await make_cronjob(store, account, state=State.COMPLETED, next_fire_at=None, updated_at=NOON - 90 * DAY)
    janitor = Janitor(store, retention=DAY, audit_retention=10 * DAY)
    while not await janitor.expire(NOON):
        pass
    (row,) = await log(store, account)
    assert told(row)["state"] == ("completed", "deleted")
    assert await janitor.expire_logs(NOON + 9 * DAY)
    assert await log(store, account) == [row]
    assert await janitor.expire_logs(NOON + 11 * DAY)
    assert not await log(store, account)
    ends = await store.transact(partial(audit.get_ends, account_id=account))
    assert (ends.anchor_number, ends.anchor, ends.number) == (1, row.hash, 1)
