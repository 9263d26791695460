"""The cron job that tells of what fails of all those of an account that name none."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import pytest
from sqlalchemy import delete

from cronally import errors
from cronally.cronjob import KEEP_COMPLETED, NOT_TOLD
from cronally.engine.admission import Limits
from cronally.engine.dispatcher import Dispatcher
from cronally.firing import Kind, Reason, State
from cronally.instants import DAY, MINUTE, SECOND
from cronally.operations import Caller
from cronally.store import Store, accounts, leases, outcomes, removal, tables
from cronally.store.claims import Record
from cronally.targets.target import Delivered, Refused
from tests.operations.conftest import sign_up
from tests.operations.tenant import Tenants
from tests.operations.test_telling import create
from tests.support.factories import (
    NOON,
    Clock,
    ScriptedTarget,
    make_account,
    make_cronjob,
    make_firing,
    read_firings,
    uuid_of,
    vault,
    work_off,
)
from tests.support.statements import sent_by

HTTP: dict[str, Any] = {"target": "http", "destination": "{}", "next_fire_at": None}


def dispatcher(store: Store, target: ScriptedTarget) -> Dispatcher:
    return Dispatcher(store, vault(), {"http": target}, Limits(), monotonic=lambda: 0.0)


async def name_one(store: Store, account_id: str, cronjob_id: str | None) -> None:
    await store.transact(lambda c: accounts.record_dead_letter(c, account_id, cronjob_id))


async def told(store: Store) -> Counter[tuple[str, str]]:
    """By whom something was told, and how that ended."""
    return Counter(
        (row.cronjob_id, row.state) for row in await read_firings(store) if row.kind == Kind.DEAD_LETTER
    )


# How it is named


async def test_change__names_one_by_name_or_id(operations: Tenants, caller: Caller) -> None:
    assert (await operations.get_account(caller))["dead_letter"] is None
    tells = (await create(operations, caller, "tells"))["cronjob_id"]
    for named in (tells, tells.upper(), "tells"):
        shown = await operations.update_account(caller, {"dead_letter": named})
        assert shown == await operations.get_account(caller)
        assert shown["dead_letter"] == tells
        assert await operations.update_account(caller, {}) == shown, "what is not sent stays"
        none = "default" if named == "tells" else "none"
        assert (await operations.update_account(caller, {"dead_letter": none}))["dead_letter"] is None


async def test_change__of_what_cannot_be_it(operations: Tenants, caller: Caller) -> None:
    stranger = await sign_up(operations, "stranger@example.com")
    theirs = await create(operations, stranger, "theirs")
    gone = await create(operations, caller, "gone", delivery_http_method="get")

    async def refused(named: str) -> str:
        with pytest.raises(errors.InvalidRequest) as caught:
            await operations.update_account(caller, {"dead_letter": named})
        assert caught.value.fields.keys() == {"dead_letter"}
        return str(caught.value.fields["dead_letter"])

    for named in ("theirs", theirs["cronjob_id"], "00000000-0000-4000-8000-000000000001"):
        assert "there is not" in await refused(named)
    assert "GET" in await refused("gone")
    await operations.delete_cronjob(caller.account_id, gone["cronjob_id"])
    assert "there is not" in await refused(gone["cronjob_id"])
    for _ in range(2):
        await create(operations, caller, "twice")
    assert "several" in await refused("twice")
    assert (await operations.get_account(stranger))["dead_letter"] is None


async def test_cronjob__says_none_and_default(operations: Tenants, caller: Caller) -> None:
    made = await create(operations, caller, "fails", dead_letter="none")
    assert made["dead_letter"] == NOT_TOLD
    changed = await operations.update_cronjob(caller.account_id, made["cronjob_id"], {"name": "other"})
    assert changed["dead_letter"] == NOT_TOLD
    sent = {"dead_letter": "default"}
    changed = await operations.update_cronjob(caller.account_id, made["cronjob_id"], sent)
    assert changed["dead_letter"] is None


# What it tells of


async def test_failures__are_told_by_the_own_one_or_by_the_accounts(store: Store, clock: Clock) -> None:
    tells = await make_cronjob(store, **HTTP)
    own, plain, silent = [
        await make_cronjob(store, tells["account_id"], **HTTP, **given)
        for given in ({"dead_letter": uuid_of("teller")}, {}, {"dead_letter": NOT_TOLD})
    ]
    teller = await make_cronjob(store, tells["account_id"], **HTTP, cronjob_id="teller")
    strange = await make_cronjob(store, **HTTP)
    await name_one(store, tells["account_id"], tells["cronjob_id"])
    for job in (tells, own, plain, silent, strange):
        await make_firing(store, job)
    refuses = ScriptedTarget(script=lambda _message: Refused("no"))
    await work_off(dispatcher(store, refuses))
    # The one that tells has failed as well, and does not tell of that.
    assert await told(store) == {
        (tells["cronjob_id"], State.FAILED): 1,
        (teller["cronjob_id"], State.FAILED): 1,
    }


@pytest.mark.parametrize("own", [None, "a", "b", "c", NOT_TOLD])
@pytest.mark.sample
async def test_names__that_go_in_circles_end(store: Store, clock: Clock, own: str | None) -> None:
    """Whatever names what: each failure is told once at most, and what tells is told by none."""
    account_id = await make_account(store)
    circle = {"a": "b", "b": "a", "c": own}
    for name, named in circle.items():
        given = {} if named is None else {"dead_letter": named if named == NOT_TOLD else uuid_of(named)}
        job = await make_cronjob(store, account_id, cronjob_id=name, **HTTP, **given)
        await make_firing(store, job)
    await name_one(store, account_id, uuid_of("c"))
    node = dispatcher(store, ScriptedTarget(script=lambda _message: Refused("no")))
    for _ in range(3):
        await work_off(node)
        clock.forward(SECOND)
    tellers = [named for name, named in circle.items() if named not in (None, NOT_TOLD, name)]
    assert await told(store) == Counter((uuid_of(name or ""), "failed") for name in tellers)


async def test_account_of_another__whose_id_stands_there_is_not_told(store: Store, clock: Clock) -> None:
    """Nothing writes that; should it stand there, what fails goes to no other account."""
    theirs, job = await make_cronjob(store, **HTTP), await make_cronjob(store, **HTTP)
    await name_one(store, job["account_id"], theirs["cronjob_id"])
    await make_firing(store, job)
    await work_off(dispatcher(store, ScriptedTarget(script=lambda _message: Refused("no"))))
    assert not await told(store)


@pytest.mark.parametrize("set_before_the_record", [True, False])
async def test_instant__that_decides_is_that_of_the_record(
    store: Store, clock: Clock, set_before_the_record: bool
) -> None:
    tells = await make_cronjob(store, **HTTP)
    job = await make_cronjob(store, tells["account_id"], **HTTP)
    await make_firing(store, job)
    if not set_before_the_record:
        await name_one(store, job["account_id"], tells["cronjob_id"])
    takes = {job["account_id"]: 10}
    (claim,) = await store.transact(lambda c: leases.claim_firings(c, NOON, NOON + MINUTE, takes))
    await name_one(store, job["account_id"], tells["cronjob_id"] if set_before_the_record else None)
    record = Record(claim, State.FAILED, Reason.TARGET_REFUSED, finished_at=NOON)
    freed = [await store.transact(lambda c: outcomes.record_outcomes(c, [record])) for _ in range(2)]
    assert freed == [int(set_before_the_record), 0]
    assert sum((await told(store)).values()) == int(set_before_the_record)


async def test_statements__of_the_account_are_for_failures_alone(store: Store, clock: Clock) -> None:
    """What is delivered costs none, and what fails costs one for all that is recorded with it."""
    jobs = [await make_cronjob(store, **HTTP) for _ in range(2)]
    jobs += [await make_cronjob(store, jobs[0]["account_id"], **HTTP)]
    for state, count in ((State.DELIVERED, 0), (State.FAILED, 1)):
        for job in jobs:
            await make_firing(store, job)
        takes = {job["account_id"]: 10 for job in jobs}
        claim = partial(leases.claim_firings, now=NOON, leased_until=NOON + MINUTE, takes=takes)
        claims = await store.transact(claim)
        assert len(claims) == 3
        records = [
            Record(claim, state, None if count == 0 else Reason.TARGET_REFUSED, finished_at=NOON)
            for claim in claims
        ]
        with sent_by(store) as sent:
            await store.transact(partial(outcomes.record_outcomes, records=records))
        assert sum("FROM account" in one for one in sent) == count, sent
        await store.transact(lambda c: c.execute(delete(tables.firing)) and None)


# What becomes of it


async def test_deleted__leads_nowhere_and_may_be_named_no_more(
    operations: Tenants, caller: Caller, store: Store, clock: Clock
) -> None:
    tells = await create(operations, caller, "tells")
    fails = await create(operations, caller, "fails")
    await operations.update_account(caller, {"dead_letter": "tells"})
    await operations.delete_cronjob(caller.account_id, tells["cronjob_id"])
    assert (await operations.get_account(caller))["dead_letter"] == tells["cronjob_id"]
    at = clock.now
    await make_firing(store, fails, account_id=caller.account_id, scheduled_at=at, due_at=at, created_at=at)
    await work_off(dispatcher(store, ScriptedTarget(script=lambda _message: Refused("no"))))
    assert not await told(store)


async def test_completed__that_the_account_names_is_not_deleted(store: Store, clock: Clock) -> None:
    values: dict[str, Any] = {"state": "completed", "next_fire_at": None, "updated_at": NOON - KEEP_COMPLETED}
    tells = await make_cronjob(store, **values)
    account_id = tells["account_id"]
    await make_cronjob(store, account_id, dead_letter=NOT_TOLD)
    await name_one(store, account_id, tells["cronjob_id"])
    tidy = partial(removal.delete_completed, account_id=account_id, now=NOON, limit=1, retention=DAY, told=[])
    assert await store.transact(tidy) == 0
    await name_one(store, account_id, None)
    assert await store.transact(tidy) == 1


async def test_delivered__is_told_by_none(store: Store, clock: Clock) -> None:
    tells = await make_cronjob(store, **HTTP)
    await name_one(store, tells["account_id"], tells["cronjob_id"])
    await make_firing(store, await make_cronjob(store, tells["account_id"], **HTTP))
    await work_off(dispatcher(store, ScriptedTarget(script=lambda _message: Delivered(None))))
    assert not await told(store)
