"""Cron jobs listed by a policy: by its value, and by its default where a cron job was stored without it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import Connection, update

from cronally.store import Store, cronjobs, selection, tables
from cronally.store.selection import Position
from tests.support.factories import make_account, make_cronjob


async def store_policy(store: Store, row: dict[str, Any], value: Any) -> None:
    """Store a cron job as a later version would, with a policy that this one does not have."""
    policies = json.dumps({**json.loads(row["policies"]), "later": value})
    table = tables.cronjob

    def work(connection: Connection) -> None:
        of_row = table.c.cronjob_id == row["cronjob_id"]
        connection.execute(update(table).where(of_row).values(policies=policies))

    await store.transact(work)


class Listed:
    """Four cron jobs of an account: with the value, with another, without the policy, with the value."""

    def __init__(self, store: Store, account_id: str, ids: list[str]) -> None:
        self.store = store
        self.account_id = account_id
        self.ids = ids

    @classmethod
    async def make(cls, store: Store, value: Any, other: Any) -> Listed:
        account_id = await make_account(store)
        made = [await make_cronjob(store, account_id, created_at=at) for at in range(4)]
        for row, stored in ((made[0], value), (made[1], other), (made[3], value)):
            await store_policy(store, row, stored)
        return cls(store, account_id, [row["cronjob_id"] for row in made])

    async def by(self, value: Any, default: Any, limit: int = 10, after: Position | None = None) -> list[int]:
        """Which of them have the value."""
        chosen = selection.Chosen(policies={"later": (value, default)})
        rows = await self.store.transact(
            lambda connection: selection.list_keys(connection, self.account_id, after, limit, chosen)
        )
        return [self.ids.index(row.cronjob_id) for row in rows]


@pytest.mark.parametrize(
    ("value", "other"),
    [
        ("a 'text' with ü and a\nline", "another"),
        ("true", "false"),
        (9, 5),
        (0, 1),
        (1_800_000_000_000_000, 60_000_000),
        (True, False),
        (False, True),
        (["a", "b"], ["a"]),
        ([], ["a"]),
        ({"name": "value"}, {"name": "other"}),
    ],
)
async def test_list_cronjobs__filters_by_a_policy_of_any_type(store: Store, value: Any, other: Any) -> None:
    listed = await Listed.make(store, value, other)
    assert await listed.by(value, other) == [0, 3]
    assert await listed.by(other, other) == [1, 2]
    assert await listed.by(value, value) == [0, 2, 3]
    assert await listed.by(None, None) == [2]
    assert await listed.by("none of them", other) == []


async def test_list_cronjobs__a_part_of_those_with_a_policy(store: Store) -> None:
    listed = await Listed.make(store, 9, 5)
    assert await listed.by(9, 5, limit=1) == [0]
    assert await listed.by(9, 5, after=(0, listed.ids[0])) == [3]


async def test_list_cronjobs__policies_that_are_no_object_have_the_defaults(store: Store) -> None:
    listed = await Listed.make(store, 9, 5)
    row = await make_cronjob(store, listed.account_id, policies="[1]")
    listed.ids.append(row["cronjob_id"])
    assert await listed.by(5, 5) == [1, 2, 4]


async def test_list_cronjobs__by_name_and_by_the_beginning_of_an_id(store: Store) -> None:
    account_id, other = await make_account(store), await make_account(store)
    ids = ["0b7e1d52-0000-4000-8000-000000000000", "0b7e1d52-ffff-4fff-8fff-ffffffffffff"]
    ids += ["0b7e1d53-0000-4000-8000-000000000000", "ffffffff-ffff-4fff-8fff-ffffffffffff"]
    for at, (cronjob_id, name) in enumerate(zip(ids, ("a", "A", "a", "ü%_"), strict=True)):
        await make_cronjob(store, account_id, created_at=at, cronjob_id=cronjob_id, name=name)
    await make_cronjob(store, other, name="a")

    async def found(**chosen: Any) -> list[int]:
        rows = await store.transact(
            lambda connection: selection.list_keys(
                connection, account_id, None, 10, selection.Chosen(**chosen)
            )
        )
        return [ids.index(row.cronjob_id) for row in rows]

    assert await found(name="a") == [0, 2]
    assert await found(name="A") == [1]
    assert await found(name="ü%_") == [3]
    assert await found(name="%") == []
    assert await found(id_prefix="0b7e1d5") == [0, 1, 2]
    assert await found(id_prefix="0b7e1d52-") == [0, 1]
    assert await found(id_prefix=ids[1]) == [1]
    assert await found(id_prefix="f") == [3]
    assert await found(id_prefix="e") == []
    assert await found(name="a", id_prefix="0b7e1d52") == [0]
    assert await found(state="completed") == []
    assert await found(name="a", state="active") == [0, 2]


async def test_names_of__knows_the_accounts_alone(store: Store) -> None:
    account_id, other = await make_account(store), await make_account(store)
    mine, deleted = [await make_cronjob(store, account_id, name=name) for name in ("mine", "gone")]
    theirs = await make_cronjob(store, other, name="theirs")
    ids = [row["cronjob_id"] for row in (mine, deleted, theirs)]
    names = await store.transact(lambda connection: cronjobs.names_of(connection, account_id, ids))
    assert names == {ids[0]: "mine", ids[1]: "gone"}
    assert await store.transact(lambda connection: cronjobs.names_of(connection, account_id, [])) == {}
