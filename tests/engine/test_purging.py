"""Deleted accounts: nothing is lost while they can be restored, and afterwards nothing is left but the ledger."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from sqlalchemy import BigInteger, Connection, Integer, LargeBinary, Table, select, text

from cronally import errors
from cronally.contract.operator import AccountState
from cronally.engine.janitor import Janitor
from cronally.instants import DAY, HOUR, MINUTE
from cronally.operations.closing import Closing
from cronally.operations.overseeing import Overseeing
from cronally.store import Store, audit, purging, tables
from tests.engine.freezing import World
from tests.engine.owing import owe_more
from tests.support.factories import (
    NOON,
    Clock,
    ScriptedTarget,
    insert_rows,
    make_firing,
    read,
    read_firings,
    uuid_of,
    vault,
    work_off,
)

GRACE = 7 * DAY
RETENTION = 30 * DAY


class Accounts(World):
    """A world, its operator, and its janitor."""

    def __init__(self, store: Store, target: ScriptedTarget) -> None:
        super().__init__(store, target)
        self.overseeing = Overseeing(store, vault(), self.operations.limits)
        self.closing = Closing(store, GRACE, self.overseeing)
        self.janitor = Janitor(store, retention=RETENTION)

    async def tidy(self, now: int, *, aged: bool = True) -> None:
        def work(connection: Connection) -> bool:
            return purging.purge(connection, now, retention=RETENTION, aged=aged)

        while await self.store.transact(work):
            pass


@pytest.fixture
def world(store: Store, target: ScriptedTarget) -> Accounts:
    return Accounts(store, target)


async def furnish(store: Store, account: str) -> None:
    """A row in every table that may hold something of an account, but for those that hold its cron jobs."""
    mine = {"account_id": account}
    connection_id = uuid_of(f"c of the account {account}")
    rows: dict[str, dict[str, Any]] = {
        "connection": {
            "connection_id": connection_id,
            "name": "keys",
            "kind": "aws",
            "parameters": "{}",
            "secret": b"sealed",
            "size": 1,
            "version": 1,
            "created_at": NOON,
            "updated_at": NOON,
            "updated_by": "key",
        },
        "connection_previous": {
            "connection_id": connection_id,
            "secret": b"sealed",
            "until": NOON + 90 * DAY,
        },
        "api_key": {
            "api_key": f"key-{account}",
            "secret": b"sealed",
            "created_at": NOON,
            "name": "made",
            **dict.fromkeys(("scopes", "tags", "networks"), "[]"),
            "by_signup": False,
        },
        "calendar": {
            "name": "c",
            "dates": "[]",
            "count": 0,
            "size": 1,
            "created_at": NOON,
            "updated_at": NOON,
        },
        "freeze": {
            "freeze_id": uuid_of(f"f of the account {account}"),
            "selector": "tag",
            "value": "x",
            "rule": "all",
            "created_at": NOON,
            "until": NOON + DAY,
            "created_by": "key",
        },
        "host_proof": {"host": "h", "path": "p", "text": "t", "created_at": NOON},
        "operation": {
            "operation_id": uuid_of(f"o of the account {account}"),
            "action": "pause",
            "parameters": "{}",
            "created_by": "key",
            "state": "running",
            "done": 0,
            "failed": 0,
            "problems": "[]",
            "created_at": NOON,
            "updated_at": NOON,
            "leased_until": 0,
            "lease_no": 0,
        },
        "idempotency_key": {
            "idempotency_key": "k",
            "digest": "d",
            "cronjob_id": uuid_of("j"),
            "created_at": NOON,
        },
        "answer": {
            "answer_id": uuid_of(f"a of the account {account}"),
            "cronjob_id": uuid_of("gone"),
            "scheduled_at": NOON,
            "kind": "scheduled",
            "started_at": NOON,
            "status": 200,
            "first_byte": 1,
            "whole": 1,
            "secret": b"sealed",
            "size": 1,
        },
        "answer_count": {"bytes": 1},
        "firing_message": {
            "firing_id": uuid_of(f"m of the account {account}"),
            "cronjob_id": uuid_of(f"g of the account {account}"),
            "scheduled_at": NOON,
            "secret": b"sealed",
            "size": 1,
        },
    }
    for table in reversed(purging.ERASED):
        values = rows.get(table.name) or {**least(table, account), **ALLOWED.get(table.name, {})}
        await insert_rows(store, table.name, [mine | values])


ALLOWED: Final[dict[str, dict[str, Any]]] = {
    "rule": {"scope": "account"},
    "alert_delivery": {"state": "pending", "due_at": NOON},
}
"""What a constraint wants of a row."""


def least(table: Table, account: str) -> dict[str, Any]:
    """The least that a row of a table needs, for tables in which no value matters here."""
    found: dict[str, Any] = {}
    for column in table.columns:
        counted = column.primary_key and isinstance(column.type, BigInteger) and len(table.primary_key) == 1
        if column.name != "account_id" and not column.nullable and not counted:
            found[column.name] = (
                NOON
                if isinstance(column.type, BigInteger)
                else 1
                if isinstance(column.type, Integer)
                else b"sealed"
                if isinstance(column.type, LargeBinary)
                else uuid_of(f"{column.name} of the account {account}")
            )
    return found


def test_tables__are_erased_kept_or_without_an_account() -> None:
    """A new table that holds something of accounts has to say what becomes of it."""
    of_accounts = {
        table.name
        for table in tables.metadata.sorted_tables
        if any(column.name == "account_id" for column in table.columns)
    }
    assert of_accounts == {
        table.name for table in (*purging.ERASED, *purging.KEPT, *purging.OF_LEDGER, *purging.OF_AUDIT)
    }


async def rows_of(store: Store, account: str) -> dict[str, int]:
    """How many rows each table has of an account."""
    found = {}
    for table in (*purging.ERASED, *purging.KEPT):
        rows = await read(store, select(text("1")).select_from(table).where(table.c.account_id == account))
        found[table.name] = len(rows)
    return {name: count for name, count in found.items() if count}


async def test_deleted__skips_and_restored_is_what_it_was(world: Accounts, clock: Clock) -> None:
    job = await world.job()
    account = job["account_id"]
    await furnish(world.store, account)
    before = await rows_of(world.store, account)
    deleted = await world.closing.delete(account)
    assert deleted.state == AccountState.DELETED
    await owe_more(world.store, job, [NOON])
    await work_off(world.node)
    assert await world.states(job) == [("skipped", "account_deleted", None)]
    await world.tidy(clock.forward(GRACE - 1))
    assert await rows_of(world.store, account) == before | {"firing": 1}
    assert (await world.closing.restore(account)).state == AccountState.ACTIVE
    await owe_more(world.store, job, [clock.forward(MINUTE)])
    await work_off(world.node)
    assert len(world.target.messages) == 1


async def test_purged__nothing_is_left_but_the_ledger_and_that_goes_with_its_time(
    world: Accounts, clock: Clock
) -> None:
    job, other = await world.job(), await world.job()
    account = job["account_id"]
    for one in (account, other["account_id"]):
        await furnish(world.store, one)
    untouched = await rows_of(world.store, other["account_id"])
    await make_firing(world.store, job, state="delivered", due_at=None, finished_at=NOON)
    await owe_more(world.store, job, [NOON + HOUR])
    await world.closing.delete(account)
    await world.tidy(clock.forward(GRACE))
    assert await rows_of(world.store, account) == {"account": 1, "cronjob": 1, "firing": 2}
    assert await rows_of(world.store, other["account_id"]) == untouched
    (row,) = await read(
        world.store, select(tables.cronjob).where(tables.cronjob.c.cronjob_id == job["cronjob_id"])
    )
    assert (row.state, row.secret, row.state_reason) == ("deleted", None, purging.STATE_REASON)
    assert [one.state for one in await read_firings(world.store, job["cronjob_id"])] == [
        "delivered",
        "skipped",
    ]
    kept = await world.overseeing.get_account(account)
    assert (kept.state, kept.email, kept.own_limits) == (AccountState.PURGED, "", [])
    for change in (
        world.closing.restore(account),
        world.closing.delete(account),
        world.closing.delete(account, at_once=True),
        world.overseeing.suspend(account, "x"),
        world.overseeing.resume(account),
        world.overseeing.make_key(account),
        world.overseeing.limit(account, {"in_flight": 1}),
    ):
        with pytest.raises(errors.Conflict):
            await change
    # The ledger is kept as long as any, and with it that there was an account.
    await work_through(world, clock, RETENTION - GRACE - 1)
    assert (await world.overseeing.get_account(account)).state == AccountState.PURGED
    await work_through(world, clock, GRACE + 2 * DAY)
    assert (await world.overseeing.get_account(account)).state == AccountState.PURGED, "it has its audit log"
    told = await world.store.transact(lambda connection: audit.list_audit(connection, account, None, 10))
    assert [(row.entry.who, row.entry.action) for row in told.rows] == [
        ("server", "account.purge"),
        ("operator", "account.delete"),
    ]
    await world.store.transact(lambda connection: audit.delete_audit(connection, "", clock.now, 10))
    await work_through(world, clock, 0)
    with pytest.raises(errors.NotFound):
        await world.overseeing.get_account(account)
    assert await rows_of(world.store, account) == {}
    assert (await world.overseeing.get_account(other["account_id"])).state == AccountState.ACTIVE


async def work_through(world: Accounts, clock: Clock, duration: int) -> None:
    """Let time pass, and the janitor go through everything once."""
    now = clock.forward(duration)
    while not await world.janitor.expire(now):
        pass


async def test_purged__many_cron_jobs_in_parts(world: Accounts, clock: Clock) -> None:
    first = await world.job()
    for _ in range(2 * purging.CRONJOBS):
        await world.job(first["account_id"])
    await world.closing.delete(first["account_id"], at_once=True)
    await world.tidy(clock.now, aged=False)
    states = await read(world.store, select(tables.cronjob.c.state, tables.cronjob.c.secret).distinct())
    assert states == [("deleted", None)]


async def test_clock_that_is_not_believed__destroys_nothing_for_its_age(
    world: Accounts, clock: Clock
) -> None:
    job = await world.job()
    await world.closing.delete(job["account_id"])
    await world.tidy(clock.forward(GRACE), aged=False)
    assert (await world.overseeing.get_account(job["account_id"])).state == AccountState.DELETED


async def test_restored_too_late__is_refused_before_anything_is_destroyed(
    world: Accounts, clock: Clock
) -> None:
    job = await world.job()
    await world.closing.delete(job["account_id"])
    clock.forward(GRACE)
    with pytest.raises(errors.Conflict, match="is over"):
        await world.closing.restore(job["account_id"])


async def test_deleted_at_once__also_after_it_was_deleted(world: Accounts, clock: Clock) -> None:
    job = await world.job()
    await world.closing.delete(job["account_id"])
    with pytest.raises(errors.Conflict, match="--now"):
        await world.closing.delete(job["account_id"])
    clock.forward(HOUR)
    await world.closing.delete(job["account_id"], at_once=True)
    await world.tidy(clock.now, aged=False)
    assert (await world.overseeing.get_account(job["account_id"])).state == AccountState.PURGED


async def test_restored__of_a_suspended_account_it_is_suspended_still(world: Accounts) -> None:
    job = await world.job()
    await world.overseeing.suspend(job["account_id"], "unpaid")
    await world.closing.delete(job["account_id"])
    restored = await world.closing.restore(job["account_id"])
    assert (restored.state, restored.reason) == (AccountState.SUSPENDED, "unpaid")


async def test_janitor__does_it(world: Accounts, clock: Clock) -> None:
    job = await world.job()
    await world.closing.delete(job["account_id"], at_once=True)
    for _ in range(3):
        await world.janitor.step()
    assert (await world.overseeing.get_account(job["account_id"])).state == AccountState.PURGED
    assert json.loads(job["destination"])
