"""Cron jobs listed by a policy: by its value, and by its default where a cron job was stored without it."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, update

from cronally.store import Store, cronjobs, tables
from cronally.store.cronjobs import Position
from tests.support.factories import make_account, make_cronjob


async def store_policy(store: Store, row: dict[str, Any], priority: int) -> None:
    """Store a cron job as a later version would, with a policy that this one does not have."""
    policies = json.dumps({**json.loads(row["policies"]), "priority": priority})
    table = tables.cronjob

    def work(connection: Connection) -> None:
        of_row = table.c.cronjob_id == row["cronjob_id"]
        connection.execute(update(table).where(of_row).values(policies=policies))

    await store.transact(work)


async def test_list_cronjobs__filters_by_a_policy(store: Store) -> None:
    account_id = await make_account(store)
    made = [await make_cronjob(store, account_id, created_at=at) for at in range(4)]
    for number, priority in ((0, 9), (1, 5), (3, 9)):
        await store_policy(store, made[number], priority)
    ids = [row["cronjob_id"] for row in made]

    async def listed(value: int, limit: int = 10, after: Position | None = None) -> list[str]:
        filters = {"priority": (value, 5)}
        rows = await store.transact(
            lambda connection: cronjobs.list_cronjobs(connection, account_id, after, limit, filters)
        )
        return [row.cronjob_id for row in rows]

    assert await listed(9) == [ids[0], ids[3]]
    assert await listed(5) == [ids[1], ids[2]]
    assert await listed(1) == []
    assert await listed(9, limit=1) == [ids[0]]
    assert await listed(9, after=(0, ids[0])) == [ids[3]]
