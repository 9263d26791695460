"""The claim: fair over accounts, within their caps, fenced by lease numbers, on the partial index."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from cronally.engine.admission import Limits
from cronally.engine.claiming import ACCOUNTS_PER_CLAIM, SHARE
from cronally.engine.dispatcher import SCARCE, Dispatcher
from cronally.engine.shares import FIRST
from cronally.firing import Reason, State
from cronally.instants import DAY, MINUTE, SECOND
from cronally.store import Store, leases, open_store, outcomes
from cronally.store.claims import Claim, Record
from cronally.targets.target import Delivered, Destination, Message, Outcome
from tests.support.factories import (
    NOON,
    Clock,
    Monotonic,
    ScriptedTarget,
    account_values,
    analyze,
    cronjob_values,
    explain,
    firing_values,
    insert_rows,
    make_account,
    make_cronjob,
    make_firing,
    name_of,
    read_attempts,
    read_firing,
    read_firings,
    uuid_of,
    vault,
    work_off,
)

LEASE = MINUTE
HOSTILE_WORLD: dict[str, Any] = {
    "in_flight": 512,
    "in_flight_per_account": 64,
    "first": FIRST,
    "reserve": 128,
}
"""The limits of a server."""


async def make_backlog(store: Store, sizes: dict[str, int]) -> None:
    """Accounts with so many due firings each, a minute apart, of one cron job."""
    await insert_rows(store, "account", [account_values(account) for account in sizes])
    jobs = {
        account: cronjob_values(account, cronjob_id=f"of-{account}", next_fire_at=None) for account in sizes
    }
    await insert_rows(store, "cronjob", jobs.values())
    rows = [
        firing_values(jobs[account], scheduled_at=NOON - n * MINUTE, due_at=NOON - n * MINUTE)
        for account, size in sizes.items()
        for n in range(size)
    ]
    await insert_rows(store, "firing", rows)


async def claim(store: Store, account: str, now: int = NOON, each: int = 10) -> list[Claim]:
    return await store.transact(
        lambda connection: leases.claim_firings(connection, now, now + LEASE, {uuid_of(account): each})
    )


async def claim_one(store: Store, account: str, now: int = NOON) -> Claim:
    (only,) = await claim(store, account, now)
    return only


async def record(store: Store, *records: Record) -> None:
    await store.transact(lambda connection: outcomes.record_outcomes(connection, records))


async def due_accounts(store: Store, after: str = "", limit: int = 100, now: int = NOON) -> list[str]:
    after = after and uuid_of(after)
    found = await store.transact(lambda connection: leases.accounts_with_due(connection, now, after, limit))
    return [name_of(account) for account in found]


def hanging(
    store: Store, *, monotonic: Callable[[], float] = time.monotonic, **limits: Any
) -> tuple[Dispatcher, ScriptedTarget]:
    """A dispatcher whose target answers nothing until it is opened."""
    target = ScriptedTarget()
    target.hang()
    dispatcher = Dispatcher(
        store,
        vault(),
        {"scripted": target},
        Limits(**limits),
        chance=lambda: 0.5,
        monotonic=monotonic,
    )
    return dispatcher, target


async def make_firings(store: Store, account: str, count: int) -> None:
    """So many more due firings of an account that `make_backlog` made, a second apart."""
    job = {"cronjob_id": f"of-{account}", "account_id": account}
    rows = [
        firing_values(job, scheduled_at=NOON - n * SECOND, due_at=NOON - n * SECOND)
        for n in range(1, count + 1)
    ]
    await insert_rows(store, "firing", rows)


async def finish(dispatcher: Dispatcher, target: ScriptedTarget) -> None:
    target.open.set()
    await dispatcher.settled()


def per_account(target: ScriptedTarget) -> Counter[str]:
    return accounts_of(target.messages)


def accounts_of(messages: list[Message]) -> Counter[str]:
    """The names of the accounts, by what `make_backlog` calls their cron jobs."""
    return Counter(name_of(message.cronjob_id).removeprefix("of-") for message in messages)


async def test_accounts__those_with_due_firings_in_order(store: Store) -> None:
    await make_backlog(store, {"a": 1, "b": 3, "c": 0, "d": 2})
    late = await make_cronjob(store, await make_account(store, "e"))
    await make_firing(store, late, due_at=NOON + 1)
    done = await make_cronjob(store, await make_account(store, "f"))
    await make_firing(store, done, state="delivered")
    assert await due_accounts(store) == ["a", "b", "d"]
    assert await due_accounts(store, after="a") == ["b", "d"]
    assert await due_accounts(store, after="bb", limit=1) == ["d"]
    assert await due_accounts(store, after="d") == []
    assert await due_accounts(store, now=NOON + 1) == ["a", "b", "d", "e"]


async def test_claim__leases_the_longest_due_first(store: Store) -> None:
    await make_backlog(store, {"a": 5})
    claims = await claim(store, "a", each=2)
    assert {item.scheduled_at for item in claims} == {NOON - 4 * MINUTE, NOON - 3 * MINUTE}
    for row in await read_firings(store):
        leased = row.scheduled_at <= NOON - 3 * MINUTE
        assert (row.state, row.attempt, row.lease_no) == (("sending", 1, 1) if leased else ("pending", 0, 0))
        assert row.due_at == (NOON + LEASE if leased else row.scheduled_at)


async def test_claim__brings_what_sending_needs(store: Store) -> None:
    job = await make_cronjob(store, name="Näme", version=7)
    await make_firing(store, job, kind="manual", created_at=NOON - SECOND)
    only = await claim_one(store, job["account_id"])
    assert only == Claim(
        cronjob_id=job["cronjob_id"],
        scheduled_at=NOON,
        kind="manual",
        account_id=job["account_id"],
        attempt=1,
        lease_no=1,
        lost_leases=0,
        created_at=NOON - SECOND,
        cronjob_state="active",
        version=7,
        name="Näme",
        target="scripted",
        destination=job["destination"],
        secret=job["secret"],
        size=job["size"],
    )
    assert job["secret"].hex() not in repr(only)


async def test_claim__cronjob_without_a_secret(store: Store) -> None:
    job = await make_cronjob(store, secret=None)
    await make_firing(store, job)
    assert (await claim_one(store, job["account_id"])).secret is None


async def test_claim__nothing_that_is_not_due_yet(store: Store) -> None:
    job = await make_cronjob(store)
    await make_firing(store, job, due_at=NOON + 1)
    assert await claim(store, job["account_id"]) == []
    assert len(await claim(store, job["account_id"], now=NOON + 1)) == 1


async def test_lease__is_exclusive_until_it_ends(store: Store) -> None:
    job = await make_cronjob(store)
    await make_firing(store, job)
    first = await claim_one(store, job["account_id"])
    assert await claim(store, job["account_id"], NOON + LEASE - 1) == []
    second = await claim_one(store, job["account_id"], NOON + LEASE)
    assert (first.lease_no, second.lease_no) == (1, 2)
    assert (first.attempt, second.attempt) == (1, 2)
    assert (first.lost_leases, second.lost_leases) == (0, 1)


async def test_fence__stale_worker_changes_nothing(store: Store) -> None:
    job = await make_cronjob(store)
    await make_firing(store, job)
    stale = await claim_one(store, job["account_id"])
    holder = await claim_one(store, job["account_id"], NOON + LEASE)
    before = await read_firing(store, job["cronjob_id"])
    for state in (State.DELIVERED, State.FAILED):
        await record(
            store,
            Record(stale, state, Reason.UNCONFIRMED, sent_at=1, duration=1, finished_at=1, message_id="m"),
        )
    await record(store, Record(stale, State.PENDING, Reason.UNCONFIRMED, due_at=1))
    assert await read_firing(store, job["cronjob_id"]) == before
    await record(store, Record(holder, State.DELIVERED, finished_at=NOON, message_id="right"))
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.message_id, row.due_at, row.lost_leases) == ("delivered", "right", None, 0)
    # And nobody reopens what is finished.
    await record(store, Record(holder, State.PENDING, Reason.UNCONFIRMED, due_at=NOON))
    assert (await read_firing(store, job["cronjob_id"])).state == "delivered"


async def test_record__many_at_once_each_by_its_own_fence(store: Store) -> None:
    await make_backlog(store, {"a": 300})
    claims = await claim(store, "a", each=300)
    assert len(claims) == 300
    await record(
        store,
        *[
            Record(item, State.DELIVERED, finished_at=NOON, message_id=str(number))
            if number % 3
            else Record(
                item,
                State.PENDING,
                Reason.TARGET_UNAVAILABLE,
                due_at=NOON + 1,
                sent_at=NOON,
                duration=5,
                outcome="retry",
                detail=Reason.TARGET_UNAVAILABLE,
            )
            for number, item in enumerate(claims)
        ],
    )
    rows = await read_firings(store)
    assert Counter(row.state for row in rows) == {"delivered": 200, "pending": 100}
    assert all((row.due_at is None) == (row.state == "delivered") for row in rows)
    assert len(await read_attempts(store, "of-a")) == 100


async def test_record__text_of_every_kind(store: Store) -> None:
    job = await make_cronjob(store)
    await make_firing(store, job)
    item = await claim_one(store, job["account_id"])
    strange = "quote ' \" back\\slash \n tab\t {json} [1] \U0001f552 \x01 %s :name $1"
    failed = Record(
        item,
        State.FAILED,
        Reason.TARGET_UNAVAILABLE,
        sent_at=NOON,
        duration=0,
        finished_at=NOON,
        message_id=strange,
        outcome="retry",
        detail=strange,
    )
    await record(store, failed)
    assert (await read_firing(store, job["cronjob_id"])).message_id == strange
    (attempt,) = await read_attempts(store, job["cronjob_id"])
    assert (attempt.detail, attempt.outcome, attempt.attempt, attempt.version) == (strange, "retry", 1, 1)


async def test_fairness__thousands_of_one_account_do_not_crowd_out_the_others(store: Store) -> None:
    small = {f"small-{n:02}": 2 for n in range(30)}
    await make_backlog(store, {"big": 3000, **small})
    dispatcher, target = hanging(store, in_flight=128, in_flight_per_account=64)
    assert await dispatcher.step() == 0.0
    await target.arrived(2 * 30 + SHARE)
    counts = per_account(target)
    assert all(counts[account] == 2 for account in small)
    assert counts["big"] == SHARE
    # What is left of the room goes to who has more.
    assert await dispatcher.step() is None
    await target.arrived(2 * 30 + 64)
    assert per_account(target)["big"] == 64
    await finish(dispatcher, target)


async def test_fairness__many_with_a_backlog_get_a_share_each_in_turn(store: Store) -> None:
    """A claim serves as many accounts as it has room for shares; the next one goes on after the last of them."""
    await make_backlog(store, {f"account-{n:02}": 50 for n in range(40)})
    dispatcher, target = hanging(store, in_flight=64)
    served: list[Counter[str]] = []
    for _ in range(7):
        target.hang()
        already = len(target.messages)
        assert await dispatcher.step() == SCARCE
        await target.arrived(already + 64)
        served.append(accounts_of(target.messages[already:]))
        await finish(dispatcher, target)
    # Six shares and what was left of the room for the seventh, which then has to wait for its next turn.
    assert sorted(served[0].items()) == [(f"account-{n:02}", SHARE) for n in range(6)] + [("account-06", 4)]
    assert min(served[1]) == "account-07"
    assert len(per_account(target)) == 40, "all had their turn before anybody's third"
    assert max(per_account(target).values()) <= 2 * SHARE


async def test_fairness__room_is_used_up_by_accounts_with_one_firing_each(store: Store) -> None:
    await make_backlog(store, {f"account-{n:03}": 1 for n in range(ACCOUNTS_PER_CLAIM)})
    dispatcher, target = hanging(store, in_flight=ACCOUNTS_PER_CLAIM)
    assert await dispatcher.step() == 0.0
    await target.arrived(ACCOUNTS_PER_CLAIM)
    await finish(dispatcher, target)


async def test_cap__accounts_with_little_room_are_served_in_their_turn(store: Store) -> None:
    await make_backlog(store, dict.fromkeys("abcde", 30))
    dispatcher, target = hanging(store, in_flight=40, in_flight_per_account=12)
    assert await dispatcher.step() == SCARCE
    await target.arrived(40)
    assert per_account(target) == {"a": 10, "b": 10, "c": 10, "d": 10}
    await finish(dispatcher, target)
    # Now one of them has room for two only, and another one for as many as come to it.
    target.hang()
    claimed = await claim(store, "a")
    assert [dispatcher.admission.admit(item) for item in claimed] == [None] * 10
    already = len(target.messages)
    assert await dispatcher.step() == SCARCE
    await target.arrived(already + 30)
    found = accounts_of(target.messages[already:])
    assert found == {"e": 10, "b": 10, "c": 10}, "who holds fewest goes first"
    for item in claimed:
        dispatcher.admission.leave(item)
    await finish(dispatcher, target)


async def test_fairness__accounts_take_turns(store: Store) -> None:
    await make_backlog(store, {f"account-{n}": 50 for n in range(5)})
    dispatcher, target = hanging(store, in_flight=2, in_flight_per_account=2)
    served = []
    for _ in range(5):
        target.hang()
        already = len(target.messages)
        await dispatcher.step()
        await target.arrived(already + 2)
        served += [name_of(message.cronjob_id)[-1] for message in target.messages[already:]]
        await finish(dispatcher, target)
    assert Counter(served) == {str(n): 2 for n in range(5)}
    assert served[:4] != served[2:6]


async def test_fairness__more_accounts_than_one_claim_takes(store: Store) -> None:
    accounts = {f"account-{n:03}": 1 for n in range(ACCOUNTS_PER_CLAIM * 2 + 5)}
    await make_backlog(store, accounts)
    dispatcher, target = hanging(store, in_flight=1000)
    wanted = [await dispatcher.step() for _ in range(3)]
    assert wanted == [0.0, 0.0, None]
    await target.arrived(len(accounts))
    assert per_account(target) == accounts
    await finish(dispatcher, target)


async def test_fairness__a_hundred_accounts_whose_targets_hang_leave_a_place(store: Store) -> None:
    hostile = {f"hostile-{n:03}": 10 for n in range(100)}
    await make_backlog(store, hostile)
    dispatcher, target = hanging(store, **HOSTILE_WORLD)
    await drain(dispatcher)
    held = [dispatcher.admission.held(uuid_of(account)) for account in hostile]
    assert min(held) == 1, "each has one at least"
    assert 256 <= sum(held) <= 256 + 100, "half of the places together, and one each of the rest"
    await make_backlog(store, {"bystander": 20})
    await dispatcher.step()
    await target.arrived(sum(held) + 1)
    assert per_account(target)["bystander"] == 1
    await finish(dispatcher, target)


async def test_fairness__who_is_known_to_answer_may_take_what_others_may_not(store: Store) -> None:
    dispatcher, target = hanging(store, **HOSTILE_WORLD)
    await make_backlog(store, {"good": 1})
    target.open.set()
    await drain(dispatcher)
    await dispatcher.settled()
    target.hang()
    await make_backlog(store, {f"hostile-{n:03}": 10 for n in range(60)})
    await drain(dispatcher)
    await make_firings(store, "good", 100)
    await drain(dispatcher)
    await target.arrived(1 + dispatcher.admission.sending)
    assert per_account(target)["good"] == 1 + 64
    await finish(dispatcher, target)


async def test_fairness__accounts_that_answered_and_then_hang_leave_a_place_too(store: Store) -> None:
    """Quick for a while, and then all of their targets hang at once: they fill three quarters, and one each."""
    dispatcher, target = hanging(store, **HOSTILE_WORLD)
    hostile = {f"hostile-{n:03}": 1 for n in range(20)}
    await make_backlog(store, hostile)
    target.open.set()
    await drain(dispatcher)
    await dispatcher.settled()
    target.hang()
    for account in hostile:
        await make_firings(store, account, 100)
    await drain(dispatcher)
    assert 384 <= dispatcher.admission.sending <= 384 + 20
    await make_backlog(store, {"bystander": 3})
    await drain(dispatcher)
    await target.arrived(20 + dispatcher.admission.sending)
    assert per_account(target)["bystander"] == 1
    await finish(dispatcher, target)


class HangingForHostile(ScriptedTarget):
    """A target that answers all accounts but those whose names begin with `hostile`, once it hangs."""

    async def send(self, destination: Destination, message: Message) -> Outcome:
        if name_of(message.cronjob_id).startswith("of-hostile"):
            return await super().send(destination, message)
        self.messages.append(message)
        return Delivered(None)


async def test_wake__while_fewer_places_are_free_than_are_worth_a_claim(store: Store) -> None:
    """Whoever has more to send than there are places goes on when its own are free, not at the next poll."""
    target = HangingForHostile()
    dispatcher = Dispatcher(store, vault(), {"scripted": target}, Limits(**HOSTILE_WORLD))
    hostile = {f"hostile-{n}": 64 for n in range(5)} | {"hostile-5": 20}
    await make_backlog(store, dict.fromkeys([*hostile, "zealous"], 1))
    await drain(dispatcher)
    await dispatcher.settled()
    target.hang()
    for account, count in hostile.items():
        await make_firings(store, account, count)
    await drain(dispatcher)
    assert dispatcher.admission.sending == 340
    await make_firings(store, "zealous", 100)
    dispatcher.wake.set()
    async with asyncio.timeout(60):
        while any(row.state == "pending" for row in await read_firings(store, "of-zealous")):
            await dispatcher.wake.wait()
            dispatcher.wake.clear()
            await drain(dispatcher)
    await finish(dispatcher, target)


async def test_fairness__places_go_round_the_receivers_of_an_account(
    store: Store, monotonic: Monotonic
) -> None:
    """A cron job whose target hangs does not starve the account's others, and what waits for it says why."""
    await insert_rows(store, "account", [account_values("a")])
    jobs = [
        cronjob_values("a", cronjob_id=f"of-{to}", next_fire_at=None, destination=json.dumps({"to": to}))
        for to in ("hanging", "healthy")
    ]
    await insert_rows(store, "cronjob", jobs)
    rows = [firing_values(jobs[0], scheduled_at=NOON - n * SECOND, due_at=NOON) for n in range(1, 131)]
    await insert_rows(store, "firing", rows)
    dispatcher, target = hanging(store, **HOSTILE_WORLD, monotonic=monotonic)
    await drain(dispatcher)
    assert dispatcher.admission.sending == FIRST
    monotonic.now += 2.0
    await insert_rows(store, "firing", [firing_values(jobs[1], scheduled_at=NOON, due_at=NOON)])
    await drain(dispatcher)
    await target.arrived(FIRST + 1)
    assert per_account(target) == {"hanging": FIRST, "healthy": 1}
    await dispatcher._recorder.flushed()
    waiting = [row for row in await read_firings(store) if row.state == "pending"]
    assert {row.reason for row in waiting} == {"account_limit"}
    assert {row.attempt for row in waiting} == {0}
    assert all(row.due_at > NOON for row in waiting)
    await finish(dispatcher, target)


async def test_cap__capped_account_is_left_untouched(store: Store) -> None:
    await make_backlog(store, {"a": 10, "b": 1})
    dispatcher, target = hanging(store, in_flight=100, in_flight_per_account=3)
    while await dispatcher.step() == 0.0:
        pass
    await target.arrived(4)
    assert per_account(target) == {"a": 3, "b": 1}
    rows = [row for row in await read_firings(store, "of-a") if row.state == "pending"]
    assert len(rows) == 7
    assert all((row.attempt, row.lease_no, row.due_at) == (0, 0, row.scheduled_at) for row in rows)
    # A place that becomes free wakes the dispatcher.
    dispatcher.wake.clear()
    await finish(dispatcher, target)
    assert dispatcher.wake.is_set()
    while await dispatcher.step() == 0.0:
        pass
    await dispatcher.settled()
    assert {row.state for row in await read_firings(store)} <= {"delivered", "pending"}


async def test_cap__pages_of_capped_accounts_do_not_hide_the_others(store: Store) -> None:
    """Every account of several pages of the claim is at its cap, and one behind them has a firing."""
    capped = {f"capped-{n:03}": 2 for n in range(ACCOUNTS_PER_CLAIM * 2 + 3)}
    await make_backlog(store, capped)
    dispatcher, target = hanging(store, in_flight=1000, in_flight_per_account=1)
    while await dispatcher.step() == 0.0:
        pass
    await target.arrived(len(capped))
    await make_backlog(store, {"zz-late": 1, "aa-late": 1})
    await dispatcher.step()
    await target.arrived(len(capped) + 2)
    assert per_account(target)["zz-late"] == per_account(target)["aa-late"] == 1
    await finish(dispatcher, target)


async def test_cap__account_with_some_room_gets_what_fits(store: Store) -> None:
    await make_backlog(store, {"a": 10})
    dispatcher, target = hanging(store, in_flight=100, in_flight_per_account=4)
    await dispatcher.step()
    await target.arrived(4)
    assert await dispatcher.step() is None
    assert dispatcher.in_flight == 4
    await finish(dispatcher, target)


async def test_cap__node_is_full(store: Store) -> None:
    await make_backlog(store, {"a": 10, "b": 10})
    dispatcher, target = hanging(store, in_flight=4)
    assert await dispatcher.step() == SCARCE
    await target.arrived(4)
    assert await dispatcher.step() == SCARCE, (
        "it looks again, at little cost: places may come free one by one"
    )
    assert len(target.messages) == 4
    dispatcher.wake.clear()
    await finish(dispatcher, target)
    assert dispatcher.wake.is_set(), "whoever waited for places is woken"


async def test_wake__places_that_become_free_during_the_claim_are_not_missed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a capped account's firings are recorded after the claim looked, before it answers."""
    await make_backlog(store, {"a": 2})
    dispatcher, target = hanging(store, in_flight=100, in_flight_per_account=1)
    await dispatcher.step()
    await target.arrived(1)
    dispatcher.wake.clear()
    transact = store.transact

    async def slowly(work: Any) -> Any:
        result = await transact(work)
        monkeypatch.undo()
        await finish(dispatcher, target)
        return result

    monkeypatch.setattr(store, "transact", slowly)
    assert await dispatcher.step() is None
    assert dispatcher.wake.is_set()


async def test_claim__is_a_unit_of_work_that_may_run_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a deadlock: the transaction is rolled back and run from its start; nobody is skipped."""
    await make_backlog(store, {f"account-{n}": 1 for n in range(4)})
    dispatcher, target = hanging(store, in_flight=2)
    transact = store.transact

    async def twice(work: Any) -> Any:
        class Again(Exception):
            pass

        def first(connection: Any) -> None:
            work(connection)
            raise Again

        with pytest.raises(Again):
            await transact(first)
        return await transact(work)

    monkeypatch.setattr(store, "transact", twice)
    await dispatcher.step()
    await target.arrived(2)
    monkeypatch.undo()
    assert [name_of(message.cronjob_id) for message in target.messages] == ["of-account-0", "of-account-1"]
    await finish(dispatcher, target)


async def test_claim__two_dispatchers_claim_different_firings(
    postgres_store: Store, migrated_postgres_url: str
) -> None:
    await make_backlog(postgres_store, {f"account-{n}": 100 for n in range(5)})
    other_store = await open_store(migrated_postgres_url)
    try:
        here, target = hanging(postgres_store, in_flight=1000, in_flight_per_account=1000)
        there = Dispatcher(
            other_store,
            vault(),
            {"scripted": target},
            Limits(in_flight=1000, in_flight_per_account=1000),
        )
        other_store.clock = Clock()  # type: ignore[method-assign]
        await asyncio.gather(drain(here), drain(there))
        await target.arrived(500)
        target.open.set()
        await here.settled()
        await there.settled()
    finally:
        await other_store.close()
    ids = Counter(message.firing_id for message in target.messages)
    assert len(ids) == 500
    assert set(ids.values()) == {1}


async def drain(dispatcher: Dispatcher) -> None:
    while await dispatcher.step() == 0.0:
        pass


async def test_lost_leases__five_in_a_row_and_it_is_failed(
    store: Store, clock: Clock, monotonic: Monotonic
) -> None:
    job = await make_cronjob(store)
    await make_firing(store, job)
    for number in range(1, 6):
        item = await claim_one(store, job["account_id"], clock.now)  # a worker that dies of it
        assert (item.lost_leases, item.attempt) == (number - 1, number)
        clock.forward(LEASE)
    target = ScriptedTarget()
    dispatcher = Dispatcher(store, vault(), {"scripted": target}, monotonic=monotonic)
    assert await dispatcher.step() == 0.0
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.reason, row.due_at, row.finished_at) == ("failed", "worker_lost", None, clock.now)
    assert row.attempt == 5, "five tries may have reached the target"
    assert not target.messages
    assert dispatcher.in_flight == 0
    assert await dispatcher.step() is None


async def test_lost_leases__a_record_between_them_starts_the_count_again(store: Store, clock: Clock) -> None:
    job = await make_cronjob(store)
    await make_firing(store, job)
    for _ in range(4):
        await claim_one(store, job["account_id"], clock.now)
        clock.forward(LEASE)
    item = await claim_one(store, job["account_id"], clock.now)
    await record(store, Record(item, State.PENDING, Reason.TARGET_UNAVAILABLE, due_at=clock.now))
    item = await claim_one(store, job["account_id"], clock.now)
    assert (item.lost_leases, item.attempt, item.lease_no) == (0, 6, 6)


async def test_claim__pages_of_poison_do_not_hide_the_others(store: Store) -> None:
    await make_backlog(store, {"a": 0})
    job = {"cronjob_id": "of-a", "account_id": "a"}
    await insert_rows(
        store,
        "firing",
        [
            firing_values(job, scheduled_at=NOON - n, state="sending", lost_leases=4, lease_no=5, attempt=5)
            for n in range(1, 20)
        ],
    )
    await make_firing(store, job, due_at=NOON, scheduled_at=NOON)
    target = ScriptedTarget()
    await work_off(Dispatcher(store, vault(), {"scripted": target}, Limits(in_flight=8)))
    assert len(target.messages) == 1
    assert Counter(row.state for row in await read_firings(store)) == {"failed": 19, "delivered": 1}


async def test_deleted__pending_firing_is_skipped_unsent(store: Store) -> None:
    job = await make_cronjob(store, state="deleted", next_fire_at=None, secret=None)
    await make_firing(store, job, attempt=2, lease_no=2)
    target = ScriptedTarget()
    dispatcher = Dispatcher(store, vault(), {"scripted": target})
    assert await dispatcher.step() == 0.0
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.reason, row.attempt, row.finished_at) == ("skipped", "deleted", 2, NOON)
    assert not target.messages


async def test_claim__uses_the_indexes_with_thousands_of_rows(store: Store) -> None:
    """Whatever is finished or in the future costs nothing."""
    await make_backlog(store, {f"account-{n:02}": 20 for n in range(40)})
    done = await make_cronjob(store, await make_account(store, "done"))
    for chunk in range(5):
        await insert_rows(
            store,
            "firing",
            [
                firing_values(done, scheduled_at=NOON - (chunk * 2000 + n) * SECOND, state="delivered")
                for n in range(2000)
            ],
        )
    await analyze(store)

    def work(connection: Any) -> None:
        accounts = leases.accounts_with_due(connection, NOON, "", 64)
        claims = leases.claim_firings(connection, NOON, NOON + DAY, dict.fromkeys(accounts, 8))
        assert len(claims) == 320
        outcomes.record_outcomes(connection, [Record(claims[0], State.DELIVERED, finished_at=NOON)])

    plans = await explain(store, work)
    assert len(plans) >= 3
    for lines in plans:
        assert "Seq Scan on firing" not in lines, lines
        assert "SCAN firing" not in lines, lines
        assert "SCAN f\n" not in lines, lines
        assert "SCAN g\n" not in lines, lines
    assert "ix_firing_due" in plans[0]
    assert "ix_firing_due" in plans[1]


async def test_window__who_is_passed_over_for_it_is_claimed_when_it_has_room(
    store: Store, monotonic: Monotonic
) -> None:
    """The account has places, but the node does not keep up with more sends: it is not left to the next poll."""
    await make_backlog(store, {"a": 10})
    dispatcher, target = hanging(store, in_flight=100, monotonic=monotonic)
    dispatcher.admission.window.size = 4
    assert await dispatcher.step() == SCARCE
    await target.arrived(4)
    assert await dispatcher.step() == SCARCE
    assert len(target.messages) == 4
    await make_backlog(store, {"late": 3})
    await dispatcher.step()
    await target.arrived(7)
    assert per_account(target) == {"a": 4, "late": 3}, (
        "the little of an account that holds none, all the same"
    )
    dispatcher.wake.clear()
    await finish(dispatcher, target)
    assert dispatcher.wake.is_set()
