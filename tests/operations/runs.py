"""What the tests of manual firings share: an SNS that takes what it is sent, and a cron job that goes there."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select, update

from cronally.engine.dispatcher import Dispatcher
from cronally.operations import Caller
from cronally.store import Store, tables
from cronally.targets.target import Target
from tests.operations.parameters import SNS
from tests.operations.tenant import Json, Tenants
from tests.support.factories import (
    CANARY,
    Clock,
    read,
    read_firings,
    vault,
    work_off,
)

OWN = f"only this once: {CANARY} \N{SNOWMAN}"


@pytest.fixture
async def job(operations: Tenants, caller: Caller) -> Json:
    return await operations.create_cronjob(caller.account_id, SNS)


async def deliver(store: Store, targets: dict[str, Target]) -> None:
    await work_off(Dispatcher(store, vault(), targets, chance=lambda: 0.5))


async def deliver_all(store: Store, targets: dict[str, Target], clock: Clock, rounds: int) -> None:
    """Try what is due, and what is due after that, until nothing is; so many rounds at most."""
    dispatcher = Dispatcher(store, vault(), targets, chance=lambda: 0.5)
    for _ in range(rounds):
        await work_off(dispatcher)
        due = [row.due_at for row in await read_firings(store) if row.due_at is not None]
        if not due:
            return
        clock.now = max(clock.now, *due)


async def check_ended(store: Store, asked: int) -> None:
    """Whether the ledger has so many firings, and each has ended: with a reason unless it was delivered."""
    rows = await read_firings(store)
    assert len(rows) == asked
    for row in rows:
        assert row.state in ("delivered", "failed")
        assert (row.reason is None) == (row.state == "delivered")


async def messages(store: Store) -> int:
    ((count,),) = await read(store, select(func.count()).select_from(tables.firing_message))
    return int(count)


async def set_state(store: Store, cronjob_id: str, state: str, **values: Any) -> None:
    table = tables.cronjob
    change = update(table).where(table.c.cronjob_id == cronjob_id).values(state=state, **values)
    await store.transact(lambda connection: connection.execute(change) and None)
