"""Manual firings in the engine: one id over crashes, one delivery by several nodes, and the order among fire times."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, text

from cronally.contract.firings import ManualFiring
from cronally.contract.reading import Reading
from cronally.cronjob import KEEP_COMPLETED
from cronally.engine.admission import Limits
from cronally.engine.dispatcher import Dispatcher
from cronally.firing import Kind, State, firing_id
from cronally.instants import HOUR, MINUTE, SECOND
from cronally.operations import Caller, Operations
from cronally.server import keys
from cronally.store import Store, cronjobs, leases, manual, open_store, outcomes, removal, tables
from cronally.store.claims import Claim, Record
from cronally.store.manual import OwnMessage
from cronally.store.postgres import PostgresStore
from cronally.targets.target import Delivered, Refused, Retry
from cronally.vault import SealContext, SealingKey, Vault
from tests.engine.owing import UNWRITTEN, schedule
from tests.support.factories import (
    NOON,
    Clock,
    ScriptedTarget,
    make_cronjob,
    make_firing,
    read,
    read_firing,
    read_firings,
    vault,
    work_off,
)

LEASE = 30 * SECOND
OWN = "own"


async def ask(
    store: Store, job: dict[str, Any], at: int = NOON, message: str | None = None, size: int = 9
) -> str:
    """A manual firing with this fire time; its id."""
    account_id, cronjob_id = job["account_id"], job["cronjob_id"]
    key = firing_id(cronjob_id, at, Kind.MANUAL)
    own = None
    if message is not None:
        place = SealContext(account_id, "firing_message", "secret", key)
        own = OwnMessage(
            vault().seal(json.dumps({"scripted_topic": message, "other": 1}).encode(), place), size
        )
    await store.transact(
        lambda connection: manual.insert_manual_firing(connection, account_id, cronjob_id, at, at, own)
    )
    return key


def dispatcher(store: Store, target: ScriptedTarget, vault_: Vault | None = None) -> Dispatcher:
    return Dispatcher(store, vault_ or vault(), {"scripted": target}, Limits(), chance=lambda: 0.5)


async def claims(store: Store, job: dict[str, Any], now: int, most: int = 10) -> list[Claim]:
    def claim(connection: Connection) -> list[Claim]:
        return leases.claim_firings(connection, now, now + LEASE, {job["account_id"]: most})

    return await store.transact(claim)


async def messages(store: Store) -> int:
    ((count,),) = await read(store, select(func.count()).select_from(tables.firing_message))
    return int(count)


def topics(target: ScriptedTarget) -> Sequence[Any]:
    return [destination.public["scripted_topic"] for destination in target.destinations]


async def test_message__replaces_what_the_destination_has_and_adds_nothing(store: Store) -> None:
    job = await make_cronjob(store)
    await ask(store, job, message=OWN)
    await ask(store, job, NOON + 1)
    await make_firing(store, job)
    target, store.clock = ScriptedTarget(), Clock(NOON + 1)  # type: ignore[method-assign]
    await work_off(dispatcher(store, target))
    assert sorted(topics(target)) == [OWN, "reports", "reports"]
    assert all(destination.public.keys() == {"scripted_topic"} for destination in target.destinations)
    assert await messages(store) == 0


async def test_claim__counts_the_message_and_shows_it_nowhere(store: Store) -> None:
    job = await make_cronjob(store)
    await ask(store, job, message=OWN, size=5000)
    await make_firing(store, job)
    own, other = sorted(await claims(store, job, NOON), key=lambda claim: claim.kind)
    assert (own.size, other.size) == (job["size"] + 5000, job["size"])
    assert own.message is not None
    assert other.message is None
    assert "message" not in repr(own)


async def test_claim__takes_no_more_once_messages_are_large(store: Store) -> None:
    job = await make_cronjob(store)
    for number in range(3):
        await ask(store, job, NOON + number, OWN, size=leases.CLAIM_BYTES)
    assert len(await claims(store, job, NOON + 9)) == 1


async def test_crash__after_the_commit_it_is_delivered_with_the_same_id(store: Store, clock: Clock) -> None:
    """A worker that claimed it died, before or after it sent."""
    job = await make_cronjob(store)
    key = await ask(store, job, message=OWN)
    (lost,) = await claims(store, job, NOON)
    assert await messages(store) == 1
    clock.now = NOON + LEASE
    target = ScriptedTarget()
    await work_off(dispatcher(store, target))
    assert [(message.firing_id, message.attempt) for message in target.messages] == [(key, 2)]
    assert topics(target) == [OWN]
    # The dead one comes back: what it says changes nothing.
    late = Record(lost, State.FAILED, finished_at=NOON)
    await store.transact(lambda connection: outcomes.record_outcomes(connection, [late]))
    assert (await read_firing(store, job["cronjob_id"])).state == "delivered"


async def test_late_record__does_not_erase_the_message_of_who_has_it_now(store: Store) -> None:
    job = await make_cronjob(store)
    await ask(store, job, message=OWN)
    (lost,) = await claims(store, job, NOON)
    (held,) = await claims(store, job, NOON + LEASE)
    late = Record(lost, State.FAILED, finished_at=NOON)
    await store.transact(lambda connection: outcomes.record_outcomes(connection, [late]))
    assert await messages(store) == 1
    done = Record(held, State.DELIVERED, finished_at=NOON)
    await store.transact(lambda connection: outcomes.record_outcomes(connection, [done]))
    assert await messages(store) == 0


async def test_two_nodes__deliver_each_once(postgres_store: Store, migrated_postgres_url: str) -> None:
    job = await make_cronjob(postgres_store)
    asked = [await ask(postgres_store, job, NOON + number, f"own-{number}") for number in range(40)]
    other_store = await open_store(migrated_postgres_url)
    target = ScriptedTarget()
    try:
        for store in (postgres_store, other_store):
            store.clock = Clock(NOON + MINUTE)  # type: ignore[method-assign]
        both = [dispatcher(store, target) for store in (postgres_store, other_store)]
        await asyncio.gather(*map(work_off, both))
    finally:
        await other_store.close()
    assert sorted(message.firing_id for message in target.messages) == sorted(asked)
    assert sorted(topics(target)) == sorted(f"own-{number}" for number in range(40))
    assert await messages(postgres_store) == 0


async def test_two_nodes__one_key_makes_one_firing(postgres_store: Store, migrated_postgres_url: str) -> None:
    job = await make_cronjob(postgres_store)
    other_store = await open_store(migrated_postgres_url)
    caller, target = Caller(job["account_id"], "key", b""), ScriptedTarget()

    async def run(store: Store, number: int) -> str:
        runs = Operations(store, vault(), {"scripted": target}).runs
        reading = Reading(ManualFiring, {})
        made = await runs.run_cronjob(caller, job["cronjob_id"], reading, idempotency_key=f"key-{number % 2}")
        return made.firing_id

    try:
        other_store.clock = Clock()  # type: ignore[method-assign]
        stores = (postgres_store, other_store)
        made = await asyncio.gather(*[run(stores[number // 2 % 2], number) for number in range(12)])
    finally:
        await other_store.close()
    assert len(set(made)) == len(await read_firings(postgres_store)) == 2


async def test_rekey__seals_messages_that_wait_anew(store: Store) -> None:
    job = await make_cronjob(store)
    await ask(store, job, message=OWN)
    both = Vault([SealingKey("k2", bytes([9]) * 32), SealingKey("k1", bytes([7]) * 32)])
    assert await keys.rekey(store, both) == 2
    target = ScriptedTarget()
    await work_off(dispatcher(store, target, vault("k2", 9)))
    assert topics(target) == [OWN]


# Order


def sent(target: ScriptedTarget) -> list[tuple[int, bool]]:
    """Minutes after noon of each message, and whether it is a manual firing's."""
    return [
        (
            (message.scheduled_at - NOON) // MINUTE,
            message.firing_id != firing_id(message.cronjob_id, message.scheduled_at),
        )
        for message in target.messages
    ]


@pytest.mark.parametrize("outcome", [Delivered("m"), Refused("no")])
async def test_order__a_manual_firing_waits_and_is_waited_for(
    store: Store, clock: Clock, outcome: Delivered | Refused
) -> None:
    job = await make_cronjob(store, ordered=True, next_fire_at=NOON + HOUR)
    for minute in (0, 2):
        await make_firing(store, job, scheduled_at=NOON + minute * MINUTE, due_at=NOON + minute * MINUTE)
    await ask(store, job, NOON + MINUTE)
    clock.now = NOON + 2 * MINUTE
    target = ScriptedTarget(script=lambda _message: outcome)
    await work_off(dispatcher(store, target))
    assert sent(target) == [(0, False), (1, True), (2, False)]


@pytest.mark.parametrize("unwritten", UNWRITTEN)
async def test_order__waits_for_fire_times_that_no_tick_has_written(
    store: Store, clock: Clock, unwritten: str
) -> None:
    """After an outage: were it sent first, those behind it would not look for those in front of it any more."""
    job = await make_cronjob(store, ordered=True, catch_up="all", **UNWRITTEN[unwritten])
    await ask(store, job, NOON + 2 * MINUTE + SECOND)
    clock.now = NOON + 4 * MINUTE
    target = ScriptedTarget()
    one = dispatcher(store, target)
    await work_off(one)
    assert not target.messages
    await schedule(store)
    target.script = lambda message: Retry("busy") if message.scheduled_at == NOON else Delivered("m")
    clock.forward(SECOND)
    await work_off(one)
    assert sent(target) == [(0, False)], "the others wait"
    target.script = lambda _message: Delivered("m")
    clock.forward(HOUR)
    await work_off(one)
    assert sent(target) == [(0, False), (0, False), (1, False), (2, False), (2, True), (3, False), (4, False)]


async def test_order__without_it_nothing_waits(store: Store, clock: Clock) -> None:
    job = await make_cronjob(store, next_fire_at=NOON)
    await ask(store, job, NOON + SECOND)
    clock.now = NOON + SECOND
    target = ScriptedTarget()
    await work_off(dispatcher(store, target))
    assert sent(target) == [(0, True)]


async def test_asked_by_a_slower_clock__comes_after_what_was_sent(store: Store) -> None:
    job = await make_cronjob(store, ordered=True, next_fire_at=NOON + HOUR)
    await make_firing(store, job, scheduled_at=NOON + 5, state="delivered", lease_no=1)
    await make_firing(store, job, scheduled_at=NOON + 9, due_at=NOON + 9)
    await make_firing(store, job, scheduled_at=NOON + HOUR, state="delivered", lease_no=1)
    earliest = await store.transact(lambda connection: manual.not_before(connection, job["cronjob_id"], NOON))
    assert earliest == NOON + 6


async def test_completed__asked_to_fire_while_the_janitor_looks_is_not_deleted(postgres_store: Store) -> None:
    job = await make_cronjob(
        postgres_store, state="completed", next_fire_at=None, updated_at=NOON - KEEP_COMPLETED
    )
    account_id, cronjob_id = job["account_id"], job["cronjob_id"]
    assert isinstance(postgres_store, PostgresStore)

    def ask_for(connection: Connection) -> None:
        assert cronjobs.lock_cronjob(connection, account_id, cronjob_id) is not None
        manual.insert_manual_firing(connection, account_id, cronjob_id, NOON, NOON, None)

    waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    async with postgres_store._engine.begin() as asking:
        await asking.run_sync(ask_for)
        deleting = asyncio.create_task(
            postgres_store.transact(
                lambda connection: removal.delete_completed(
                    connection, account_id, NOON, 10, retention=HOUR, told=[]
                )
            )
        )
        async with asyncio.timeout(30):
            while not (await asking.execute(waits)).scalar_one():
                pass
    assert await deleting == 0
    assert (await read_firing(postgres_store, cronjob_id)).state == "pending"
