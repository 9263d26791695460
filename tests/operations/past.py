"""What the tests of replay and backfill share: parts of operations, and a dispatcher that delivers by a script."""

from __future__ import annotations

import json
from functools import partial

from sqlalchemy import select

from cronally.engine.dispatcher import Dispatcher
from cronally.instants import MINUTE, SECOND
from cronally.operations.background import ITEMS, Background, Running
from cronally.store import Store, background, tables
from tests.operations.tenant import Tenants
from tests.support.factories import Clock, ScriptedTarget, read, vault, work_off


async def step(operations: Tenants, store: Store, clock: Clock, *, crashes: bool = False) -> float | None:
    """Let the background do a part.

    :param crashes: whether it is done once before by a process that dies before it records that
    """
    actions = operations.operations.actions
    if crashes:
        claim = partial(background.claim_operation, now=clock.now, lease=0, actions=actions.keys())
        claimed = await store.transact(claim)
        if claimed is not None:
            stored = json.loads(claimed.parameters)
            given = (claimed.operation_id, claimed.account_id, claimed.created_by, claimed.created_at)
            await actions[claimed.action].part(Running(*given, stored, claimed.cursor), ITEMS)
    return await Background(store, actions).step()


async def finish(operations: Tenants, store: Store, clock: Clock, *, crashes: bool = False) -> None:
    """Let the background do all that there is, while the time goes on."""
    table = tables.operation
    running = select(table.c.operation_id).where(table.c.finished_at.is_(None))
    while await read(store, running):
        if await step(operations, store, clock, crashes=crashes) is None:
            clock.forward(SECOND)
    clock.forward(MINUTE)


async def dispatch(store: Store, target: ScriptedTarget) -> None:
    """Send all that is due."""
    await work_off(Dispatcher(store, vault(), {"scripted": target}, chance=lambda: 0.5))
