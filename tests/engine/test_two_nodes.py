"""Two nodes, each with a store of its own on one PostgreSQL, meet at one cron job while a transaction is open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cronally.acknowledgement import Word
from cronally.contract.cronjob_requests import Pause
from cronally.contract.firings import ManualFiring
from cronally.contract.reading import Reading
from cronally.engine import freezing, overlaps
from cronally.engine.dispatcher import Dispatcher
from cronally.firing import firing_id
from cronally.instants import HOUR, MINUTE, SECOND
from cronally.operations.acknowledging import Acknowledging
from cronally.store import Store, cronjobs, leases, open_store, outcomes, pauses
from cronally.store.postgres import PostgresStore
from tests.engine.freezing import World, caller
from tests.engine.owing import dispatcher, owe, owe_more, sent
from tests.support.factories import (
    LINKS,
    NOON,
    Clock,
    ScriptedTarget,
    read_cronjob,
    read_firings,
    vault,
    work_off,
)


@pytest.fixture
async def other(postgres_store: Store, migrated_postgres_url: str, clock: Clock) -> AsyncIterator[Store]:
    """The store of the other node. Both go by one clock."""
    store = await open_store(migrated_postgres_url)
    store.clock = clock  # type: ignore[method-assign]
    yield store
    await store.close()


def engine(store: Store) -> AsyncEngine:
    """For transactions that a test holds open."""
    assert isinstance(store, PostgresStore)
    return store._engine


async def begun(store: Store, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Work that waits for a lock by now."""
    task = asyncio.create_task(work)
    async with engine(store).connect() as watching, asyncio.timeout(30):
        while not (await watching.execute(text("SELECT 1 FROM pg_locks WHERE NOT granted"))).all():
            assert not task.done(), "it did not wait"
            await watching.rollback()
    return task


async def test_run__asked_for_while_another_node_pauses_goes_out_in_the_pause(
    postgres_store: Store, other: Store, target: ScriptedTarget, clock: Clock
) -> None:
    here, there = World(postgres_store, target), World(other, target)
    job = await here.job(next_fire_at=NOON + MINUTE)
    of, cronjob_id = caller(job["account_id"]), job["cronjob_id"]

    def pause(connection: Any) -> None:
        before = cronjobs.lock_cronjob(connection, job["account_id"], cronjob_id)
        assert before is not None
        pauses.pause(connection, before, NOON, until=None, note=None, changed_by=None)

    async with engine(other).begin() as pausing:
        await pausing.run_sync(pause)
        run = here.operations.runs.run_cronjob(of, cronjob_id, Reading(ManualFiring, {}))
        asking = await begun(postgres_store, run)
    asked = await asking
    clock.forward(HOUR)
    await asyncio.gather(work_off(here.node), work_off(there.node))
    assert [message.firing_id for message in target.messages] == [asked.firing_id]
    assert (await read_cronjob(postgres_store, cronjob_id)).state == "paused"

    # And the other way round: the pause finds one that another node is about to make.
    await here.operations.pausing.resume(of, cronjob_id)

    def lock(connection: Any) -> None:
        assert cronjobs.lock_cronjob(connection, job["account_id"], cronjob_id) is not None

    async with engine(other).begin() as running:
        await running.run_sync(lock)
        pausing_too = await begun(
            postgres_store, here.operations.pausing.pause(of, cronjob_id, Reading(Pause, {}))
        )
    assert (await pausing_too).state == "paused"


async def test_freeze__while_another_node_claims_keeps_all_but_what_it_took(
    postgres_store: Store, other: Store, target: ScriptedTarget
) -> None:
    """Whoever freezes waits for no claim; what was claimed before may go out, and nothing after it."""
    here, there = World(postgres_store, target), World(other, target)
    job = await here.job()
    await owe_more(postgres_store, job, [NOON - MINUTE, NOON])

    def claim(connection: Any) -> list[Any]:
        claims = leases.claim_firings(connection, NOON, NOON + MINUTE, {job["account_id"]: 1})
        assert freezing.hold_back(connection, claims, NOON, {"scripted": target}) == []
        return claims

    async with engine(other).begin() as claiming:
        (taken,) = await claiming.run_sync(claim)
        async with asyncio.timeout(30):
            frozen = await here.freeze(job["account_id"], all=True, rule="all")
    await asyncio.gather(work_off(here.node), work_off(there.node))
    assert not target.messages
    assert await here.states(job) == [("sending", None, None), ("pending", "frozen", frozen["freeze_id"])]
    assert taken.scheduled_at == NOON - MINUTE


async def test_lift__while_another_node_holds_lets_that_go_too(
    postgres_store: Store, other: Store, target: ScriptedTarget
) -> None:
    """Whoever lifts waits for the one that holds, so nothing stays held behind him."""
    here, there = World(postgres_store, target), World(other, target)
    job = await here.job()
    await owe_more(postgres_store, job, [NOON - MINUTE, NOON])
    frozen = await here.freeze(job["account_id"], all=True, rule="all")

    def hold(connection: Any) -> None:
        claims = leases.claim_firings(connection, NOON, NOON + MINUTE, {job["account_id"]: 2})
        assert len(freezing.hold_back(connection, claims, NOON, {"scripted": target})) == 2

    async with engine(other).begin() as holding:
        await holding.run_sync(hold)
        lifting = await begun(postgres_store, here.lift(job["account_id"], frozen["freeze_id"]))
    await lifting
    assert await here.states(job) == [("pending", None, None)] * 2
    await asyncio.gather(work_off(here.node), work_off(there.node))
    assert sorted(sent(target)) == [-1, 0]


@pytest.mark.parametrize("policy", ["skip", "queue"])
async def test_overlap__two_claim_at_once_and_one_is_sent(
    postgres_store: Store, other: Store, target: ScriptedTarget, clock: Clock, policy: str
) -> None:
    """The node that comes second cannot see what the first decides, and decides nothing itself."""
    job = await owe(postgres_store, 3, overlap=policy)
    two = dispatcher(postgres_store, target)

    def claim(connection: Any) -> None:
        claims = leases.claim_firings(connection, NOON, NOON + 10 * SECOND, {job["account_id"]: 1})
        assert overlaps.hold_back(connection, claims, NOON, lambda: 0.5) == []

    async with engine(other).begin() as claiming:
        await claiming.run_sync(claim)
        async with asyncio.timeout(30):
            await work_off(two)
        assert not target.messages
    # The first one dies with it: it goes out once its lease has ended, and the rest as the policy says.
    clock.forward(MINUTE)
    await asyncio.gather(work_off(two), work_off(dispatcher(other, target)))
    clock.forward(MINUTE)
    await asyncio.gather(work_off(two), work_off(dispatcher(other, target)))
    rows = await read_firings(postgres_store, job["cronjob_id"])
    delivered = [row.scheduled_at for row in rows if row.state == "delivered"]
    assert [firing_id(job["cronjob_id"], at) for at in delivered] == [
        message.firing_id for message in target.messages
    ]
    assert NOON - 2 * MINUTE in delivered
    assert {(row.state, row.reason) for row in rows} <= {("delivered", None), ("skipped", "overlap")}


async def test_acknowledgement__while_another_node_claims_frees_what_that_lets_wait(
    postgres_store: Store, other: Store, target: ScriptedTarget
) -> None:
    """Who hears the receiver waits for the claim that finds the firing open, and then lets go what waits for it."""
    job = await owe(postgres_store, 1, ack_within=HOUR, overlap="queue")
    here = Dispatcher(postgres_store, vault(), {"scripted": target}, links=LINKS, chance=lambda: 0.5)
    await work_off(here)
    await owe_more(postgres_store, job, [NOON + SECOND])
    claimed: list[Any] = []

    def claim(connection: Any) -> None:
        now = NOON + SECOND
        claimed.extend(leases.claim_firings(connection, now, now + MINUTE, {job["account_id"]: 1}))
        held = overlaps.hold_back(connection, claimed, now, lambda: 0.5)
        assert [record.reason for record in held] == ["earlier_firing"]
        outcomes.record_outcomes(connection, held)

    url = target.messages[0].ack_url
    assert url is not None
    hearing = Acknowledging(postgres_store, vault(), LINKS)
    async with engine(other).begin() as claiming:
        await claiming.run_sync(claim)
        word = hearing.hear(hearing.meant(url.split("/")[4]), Word.DONE, None, b"")
        hearing_it = await begun(postgres_store, word)
    await hearing_it
    _, waiting = await read_firings(postgres_store, job["cronjob_id"])
    assert (waiting.state, waiting.due_at) == ("pending", NOON + SECOND)
