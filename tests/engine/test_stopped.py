"""Accounts that stand still: what falls due is skipped with the reason, and nothing of it is sent, by any node."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from cronally.contract.operator import AccountState
from cronally.firing import Kind
from cronally.instants import HOUR, MINUTE
from cronally.operations.overseeing import Overseeing
from cronally.store import Store, background, tables
from cronally.store.background import Operation
from tests.engine.freezing import World
from tests.engine.owing import dispatcher, owe_more, sent
from tests.support.factories import (
    NOON,
    Clock,
    ScriptedTarget,
    insert_rows,
    make_account,
    make_firing,
    read_firings,
    vault,
    work_off,
)
from tests.support.statements import sent_by


@pytest.fixture
def world(store: Store, target: ScriptedTarget) -> World:
    return World(store, target)


@pytest.fixture
def overseeing(world: World) -> Overseeing:
    return Overseeing(world.store, vault(), world.operations.limits)


async def set_deleted(store: Store, account_id: str) -> None:
    values = {"stopped": "account_deleted", "deleted_at": NOON, "purge_at": NOON + HOUR}
    table = tables.account
    await store.transact(
        lambda connection: (
            connection.execute(update(table).where(table.c.account_id == account_id).values(values)) and None
        )
    )


async def test_suspended__what_falls_due_is_skipped_and_others_fire(
    world: World, overseeing: Overseeing, clock: Clock
) -> None:
    job, other = await world.job(), await world.job()
    await overseeing.suspend(job["account_id"], "unpaid")
    for one in (job, other):
        await owe_more(world.store, one, [NOON])
    await work_off(world.node)
    assert await world.states(job) == [("skipped", "suspended", None)]
    assert [message.cronjob_id for message in world.target.messages] == [other["cronjob_id"]]
    await overseeing.resume(job["account_id"])
    await owe_more(world.store, job, [clock.forward(MINUTE)])
    await work_off(world.node)
    assert [state for state, _, _ in await world.states(job)] == ["skipped", "delivered"]


async def test_suspended__on_one_node_and_nothing_goes_out_on_the_other(
    world: World, overseeing: Overseeing, clock: Clock
) -> None:
    job = await world.job()
    other = dispatcher(world.store, world.target)
    for number, node in enumerate((world.node, other, world.node, other)):
        suspended = number % 2 == 0
        await (
            overseeing.suspend(job["account_id"], "x") if suspended else overseeing.resume(job["account_id"])
        )
        at = clock.forward(MINUTE)
        await owe_more(world.store, job, [at])
        await work_off(node)
        assert (at in [message.scheduled_at for message in world.target.messages]) is not suspended


@pytest.mark.parametrize("kind", [Kind.SCHEDULED, Kind.MANUAL, Kind.DEAD_LETTER])
async def test_stopped__of_every_kind(world: World, kind: str) -> None:
    job = await world.job()
    await set_deleted(world.store, job["account_id"])
    await make_firing(world.store, job, kind=kind, due_at=NOON, scheduled_at=NOON)
    await work_off(world.node)
    assert await world.states(job) == [("skipped", "account_deleted", None)]
    assert not world.target.messages


async def test_suspended__counts_for_more_than_a_freeze_and_a_retry_is_skipped_too(
    world: World, overseeing: Overseeing
) -> None:
    job = await world.job()
    await world.freeze(job["account_id"], all=True, rule="all")
    await overseeing.suspend(job["account_id"], "unpaid")
    await make_firing(world.store, job, due_at=NOON, scheduled_at=NOON, attempt=2)
    await work_off(world.node)
    (row,) = await read_firings(world.store, job["cronjob_id"])
    assert (row.state, row.reason, row.attempt) == ("skipped", "suspended", 2)


async def test_suspended__what_waits_for_later_goes_out_if_it_is_resumed_before(
    world: World, overseeing: Overseeing, clock: Clock
) -> None:
    job = await world.job()
    await make_firing(world.store, job, due_at=NOON + MINUTE, scheduled_at=NOON, attempt=1)
    await overseeing.suspend(job["account_id"], "unpaid")
    await work_off(world.node)
    await overseeing.resume(job["account_id"])
    clock.forward(MINUTE)
    await work_off(world.node)
    assert sent(world.target) == [0]


async def test_claim__asks_no_more_where_nobody_is_suspended_or_where_somebody_is(
    world: World, overseeing: Overseeing, clock: Clock
) -> None:
    """Of a claim that sends everything, the statements; and of one of which an account is suspended elsewhere."""
    job, other = await world.job(), await world.job()

    async def statements() -> int:
        await owe_more(world.store, job, [clock.forward(MINUTE)])
        with sent_by(world.store) as asked:
            await work_off(world.node)
        return len(asked)

    await statements()  # the first claim goes round from the beginning
    before = await statements()
    await overseeing.suspend(other["account_id"], "unpaid")
    assert await statements() == before


async def test_suspended__its_operations_wait(world: World, overseeing: Overseeing) -> None:
    account = await make_account(world.store)
    await insert_rows(
        world.store,
        "operation",
        [
            {name: getattr(made, name) for name in Operation.__dataclass_fields__}
            for made in [
                Operation(
                    "00000000-0000-4000-8000-000000000001",
                    account,
                    "pause",
                    "{}",
                    "key",
                    NOON,
                    1,
                    leased_until=0,
                )
            ]
        ],
    )

    async def claim() -> Operation | None:
        return await world.store.transact(
            lambda connection: background.claim_operation(connection, NOON, MINUTE, ["pause"])
        )

    await overseeing.suspend(account, "unpaid")
    assert await claim() is None
    await overseeing.resume(account)
    assert await claim() is not None


async def test_states__of_the_rows_are_what_the_operator_is_told(
    world: World, overseeing: Overseeing
) -> None:
    account = await make_account(world.store)

    async def stopped() -> str | None:
        rows = select(tables.account.c.stopped).where(tables.account.c.account_id == account)
        return await world.store.transact(lambda connection: connection.execute(rows).scalar())

    assert (await overseeing.get_account(account)).state == AccountState.ACTIVE
    assert (await overseeing.suspend(account, "unpaid")).state == AccountState.SUSPENDED
    assert await stopped() == "suspended"
    assert (await overseeing.resume(account)).state == AccountState.ACTIVE
    assert await stopped() is None
