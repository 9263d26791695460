"""Overlap: a firing that is claimed while an earlier one of its cron job is open is skipped, or waits in a short line.

The table says what an earlier firing in each state does; two dispatchers on one store show that no two of a cron job
are ever on the way together. The walk lets chance mix deliveries, failures, workers that die, and time, and compares
what a claim looks up with a slow look at all rows.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import Connection, event, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from cronally.contract.order import takes_turns
from cronally.cronjob import QUEUED
from cronally.engine.dispatcher import Dispatcher
from cronally.engine.overlaps import ORDER_CHECKED, hold_back
from cronally.engine.verdict import Sent, verdict
from cronally.firing import State, firing_id
from cronally.instants import DAY, HOUR, MINUTE, SECOND
from cronally.store import Store, cronjobs, early, leases, manual, open_store, outcomes, overlap, tables
from cronally.store.claims import Claim, Record
from cronally.store.order import Front
from cronally.store.postgres import PostgresStore
from cronally.targets.target import Delivered, Destination, Message, Outcome, Refused, Retry, Unknown
from tests.engine import owing
from tests.engine.owing import UNWRITTEN, dispatcher, owe_more, schedule, sent
from tests.support.examples import examples
from tests.support.factories import (
    NOON,
    Clock,
    ScriptedTarget,
    analyze,
    explain,
    firing_values,
    insert_rows,
    make_cronjob,
    make_firing,
    read_firings,
    work_off,
)

pytestmark = pytest.mark.sample

LEASE = 30 * SECOND


owe = partial(owing.owe, overlap="skip")
"""A cron job that may not overlap, with so many due firings."""


async def states(store: Store, job: Any) -> Counter[tuple[str, str | None]]:
    return Counter((row.state, row.reason) for row in await read_firings(store, job["cronjob_id"]))


async def claim(store: Store, job: Any, now: int, most: int) -> list[Claim]:
    takes = {job["account_id"]: most}
    return await store.transact(lambda connection: leases.claim_firings(connection, now, now + LEASE, takes))


# One dispatcher


BEFORE = {"scheduled_at": NOON - MINUTE, "created_at": NOON - MINUTE}
OPEN = [
    ({"state": "pending", "due_at": NOON + HOUR, "attempt": 3, "reason": "target_unavailable"}, True),
    ({"state": "pending", "due_at": NOON + HOUR, "reason": "circuit_open"}, True),
    # It waits for its place in the window.
    ({"state": "pending", "due_at": NOON + HOUR, "place_at": NOON + HOUR}, True),
    ({"state": "pending", "due_at": NOON + HOUR, "kind": "manual", "scheduled_at": NOON - 1}, True),
    ({"state": "pending", "due_at": NOON + HOUR, "kind": "manual", "scheduled_at": NOON}, True),
    ({"state": "sending", "due_at": NOON + 1, "attempt": 1, "lease_no": 1}, True),
    ({"state": "delivered", "attempt": 1}, False),
    ({"state": "failed", "attempt": 5, "reason": "target_refused"}, False),
    ({"state": "failed", "reason": "max_age"}, False),
    ({"state": "missed", "reason": "misfire_grace", "count": 3, "until_at": NOON - 1}, False),
    ({"state": "skipped", "reason": "dst_gap=skip"}, False),
    ({"state": "skipped", "reason": "overlap", "behind_at": NOON - HOUR}, False),
    # A later one is not in front.
    ({"state": "pending", "due_at": NOON + HOUR, "scheduled_at": NOON + MINUTE}, False),
]


@pytest.mark.parametrize("policy", ["skip", "queue"])
@pytest.mark.parametrize(("earlier", "is_open"), OPEN)
async def test_claim__what_is_in_front(
    store: Store, target: ScriptedTarget, earlier: dict[str, Any], is_open: bool, policy: str
) -> None:
    job = await owe(store, 1, overlap=policy)
    await make_firing(store, job, **{**BEFORE, **earlier})
    # Those of another cron job are not in front.
    await owe_more(store, await make_cronjob(store, job["account_id"]), [NOON - HOUR])
    one = dispatcher(store, target)
    await work_off(one)
    row = next(
        row
        for row in await read_firings(store, job["cronjob_id"])
        if (row.scheduled_at, row.kind) == (NOON, "scheduled")
    )
    assert (firing_id(job["cronjob_id"], NOON) in {one.firing_id for one in target.messages}) is not is_open
    if not is_open:
        assert (row.state, row.behind_at) == ("delivered", None)
    elif policy == "queue":
        assert (row.state, row.reason, row.attempt) == ("pending", "earlier_firing", 0)
    else:
        in_front = {**BEFORE, **earlier}["scheduled_at"]
        assert (row.state, row.reason, row.attempt) == ("skipped", "overlap", 0)
        assert (row.behind_at, row.due_at, row.finished_at) == (in_front, None, NOON)


async def test_skip__those_that_come_due_while_the_first_is_on_its_way(
    store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    """As after an outage with catch_up=all: what is caught up at once overlaps."""
    job = await owe(store, 5)
    target.hang()
    one = dispatcher(store, target)
    while await one.step() == 0.0:
        pass
    await target.arrived(1)
    rows = await read_firings(store, job["cronjob_id"])
    assert [(row.state, row.reason) for row in rows] == [("sending", None), *[("skipped", "overlap")] * 4]
    assert {row.behind_at for row in rows[1:]} == {NOON - 4 * MINUTE}, "not each the one before it"
    clock.forward(SECOND)
    await owe_more(store, job, [clock.now])
    while await one.step() == 0.0:
        pass
    assert (await read_firings(store, job["cronjob_id"]))[-1].behind_at == NOON - 4 * MINUTE
    target.open.set()
    await one.settled()
    clock.forward(SECOND)
    await owe_more(store, job, [clock.now])
    await work_off(one)
    assert [message.scheduled_at - NOON for message in target.messages] == [-4 * MINUTE, 2 * SECOND]


async def test_skip__a_firing_that_was_attempted_goes_on(
    store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    """Both were attempted before it was asked for; a lost lease is an attempt, too."""
    job = await owe(store, 0)
    await owe_more(store, job, [NOON - MINUTE], attempt=1, lease_no=1, reason="target_unavailable")
    lost = {"state": "sending", "attempt": 1, "lease_no": 1}
    await make_firing(store, job, **lost)
    await work_off(dispatcher(store, target))
    assert sorted(sent(target)) == [-1, 0]
    assert await states(store, job) == {("delivered", None): 2}


@pytest.mark.parametrize("outcome", [Retry("busy"), Refused("not yet", final=False), Unknown("?")])
async def test_skip__a_retry_holds_them_off_until_it_has_ended(
    store: Store, target: ScriptedTarget, clock: Clock, outcome: Outcome
) -> None:
    job = await owe(store, 1, max_age=10 * MINUTE, retry_max_attempts=2)
    target.script = lambda message: outcome if message.scheduled_at == NOON else Delivered("m")
    one = dispatcher(store, target)
    last = None
    for _ in range(12):
        await work_off(one)
        clock.forward(MINUTE)
        rows = await read_firings(store, job["cronjob_id"])
        if last is None and rows[0].due_at is None:
            last = clock.now
        await owe_more(store, job, [clock.now])
    await work_off(one)
    assert last is not None, "it failed"
    assert {time for time in sent(target) if time} == set(range((last - NOON) // MINUTE, 13))


async def test_skip__what_was_sent_early_alone_counts_as_not_attempted(
    store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    job = await owe(store, 1)
    await make_firing(store, job, **BEFORE, state="sending", attempt=1, lease_no=1, due_at=NOON + HOUR)
    again = {"attempt": 1, "lease_no": 1, "due_at": NOON - SECOND, "scheduled_at": NOON - SECOND}
    await make_firing(store, job, **again)
    await work_off(dispatcher(store, target))
    assert await states(store, job) == {("sending", None): 1, ("skipped", "overlap"): 2}
    # It is no end of the search, though it was attempted.
    clock.forward(SECOND)
    await owe_more(store, job, [clock.now])
    await work_off(dispatcher(store, target))
    assert await states(store, job) == {("sending", None): 1, ("skipped", "overlap"): 3}


async def test_queue__ten_wait_and_the_rest_is_skipped(store: Store, target: ScriptedTarget) -> None:
    job = await owe(store, 15, overlap="queue")
    target.hang()
    one = dispatcher(store, target)
    while await one.step() == 0.0:
        pass
    await target.arrived(1)
    rows = await read_firings(store, job["cronjob_id"])
    assert [(row.state, row.reason, row.attempt) for row in rows] == [
        ("sending", None, 1),
        *[("pending", "earlier_firing", 0)] * QUEUED,
        *[("skipped", "queue_full", 0)] * 4,
    ]
    assert {row.behind_at for row in rows[QUEUED + 1 :]} == {rows[QUEUED].scheduled_at}
    target.open.set()
    await one.settled()
    assert one.wake.is_set(), "what was let go need not wait for the next poll"
    await work_off(one)
    assert sent(target) == [*range(-14, -3)], "one after the other, without a tick of the clock"


async def test_queue__one_that_waits_is_not_counted_out_later(
    store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    job = await owe(store, 11, overlap="queue")
    target.script = lambda _message: Retry("busy", after=1800)
    one = dispatcher(store, target)
    await work_off(one)
    for number in range(1, 9):
        # All that waits is looked at again, and more comes.
        clock.forward(int(2 * ORDER_CHECKED * SECOND))
        await owe_more(store, job, [NOON + number * MINUTE])
        await work_off(one)
        assert await states(store, job) == {
            ("pending", "target_unavailable"): 1,
            ("pending", "earlier_firing"): QUEUED,
            ("skipped", "queue_full"): number,
        }


async def test_queue__a_place_that_is_free_again_is_taken(
    store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    job = await owe(store, 12, overlap="queue")
    target.hang()
    one = dispatcher(store, target)
    while await one.step() == 0.0:
        pass
    await target.arrived(1)
    assert (await states(store, job))["skipped", "queue_full"] == 1
    target.open.set()
    await one.settled()
    target.hang()
    while await one.step() == 0.0:
        pass
    await target.arrived(2)
    for _ in range(2):
        clock.forward(SECOND)
        await owe_more(store, job, [clock.now])
        while await one.step() == 0.0:
            pass
    rows = await read_firings(store, job["cronjob_id"])
    assert [row.reason for row in rows[-2:]] == ["earlier_firing", "queue_full"]
    target.open.set()
    await one.settled()


@pytest.mark.parametrize("ordered", [False, True])
async def test_ordered__skip_wins_before_the_first_attempt(
    store: Store, target: ScriptedTarget, ordered: bool
) -> None:
    job = await owe(store, 3, ordered=ordered)
    target.hang()
    one = dispatcher(store, target)
    while await one.step() == 0.0:
        pass
    await target.arrived(1)
    assert await states(store, job) == {("sending", None): 1, ("skipped", "overlap"): 2}
    target.open.set()
    await one.settled()


@pytest.mark.parametrize(
    ("policies", "takes"), [({}, False), ({"overlap": "skip"}, False), ({"overlap": "queue"}, True)]
)
def test_turns__are_taken_in_a_queue(policies: dict[str, Any], takes: bool) -> None:
    assert takes_turns(json.dumps(policies), "{}") is takes
    assert takes_turns(json.dumps({**policies, "ordered": True}), "{}")


async def test_manual__is_skipped_or_waits_as_others_do(
    store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    for policy in ("skip", "queue"):
        job = await owe(store, 1, overlap=policy)
        target.hang()
        one = dispatcher(store, target)
        while await one.step() == 0.0:
            pass
        await ask(store, job, NOON + 1)
        clock.forward(1)
        while await one.step() == 0.0:
            pass
        *_, asked = await read_firings(store, job["cronjob_id"])
        expected = ("skipped", "overlap") if policy == "skip" else ("pending", "earlier_firing")
        assert (asked.kind, asked.state, asked.reason) == ("manual", *expected)
        target.open.set()
        await one.settled()
        await work_off(one)


@pytest.mark.parametrize("unwritten", UNWRITTEN)
async def test_manual__waits_for_a_fire_time_that_no_tick_has_written(
    store: Store, target: ScriptedTarget, clock: Clock, unwritten: str
) -> None:
    job = await owe(store, 0, **UNWRITTEN[unwritten])
    clock.now = NOON + SECOND
    await ask(store, job, clock.now)
    one = dispatcher(store, target)
    await work_off(one)
    assert not target.messages
    await schedule(store)
    target.hang()
    clock.forward(SECOND)
    while await one.step() == 0.0:
        pass
    await target.arrived(1)
    target.open.set()
    await one.settled()
    assert sent(target) == [0]
    assert await states(store, job) == {("delivered", None): 1, ("skipped", "overlap"): 1}


async def ask(store: Store, job: dict[str, Any], at: int) -> None:
    account_id, cronjob_id = job["account_id"], job["cronjob_id"]
    await store.transact(
        lambda connection: manual.insert_manual_firing(connection, account_id, cronjob_id, at, at, None)
    )


async def test_clock_ahead__what_was_skipped_then_fires_at_its_time(
    store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    job = await owe(store, 2)
    target.hang()
    one = dispatcher(store, target)
    while await one.step() == 0.0:
        pass
    ids, before = [job["cronjob_id"]], NOON - HOUR

    def put_right(connection: Connection) -> None:
        early.forget_unsent(connection, ids, before, before)
        early.mark_sent(connection, ids, before, before)

    await store.transact(put_right)
    assert await states(store, job) == {("skipped", "clock_ahead"): 2}
    target.open.set()
    await one.settled()


# What it costs


async def test_claim__without_it_no_statement_more(store: Store, target: ScriptedTarget) -> None:
    async def count(**policies: Any) -> int:
        await owe(store, 3, **policies)
        seen: list[str] = []

        def work(connection: Connection) -> None:
            def record(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
                seen.append(statement)

            claims = leases.claim_firings(connection, NOON, NOON + LEASE, takes)
            assert len(claims) == 3
            event.listen(connection, "before_cursor_execute", record)
            try:
                hold_back(connection, claims, NOON, lambda: 0.5)
            finally:
                event.remove(connection, "before_cursor_execute", record)

        (account_id,) = {row.account_id for row in await read_firings(store) if row.state == "pending"}
        takes = {account_id: 10}
        await store.transact(work)
        return len(seen)

    assert await count(overlap="allow") == 0
    assert await count(overlap="skip") == 3, "lock, look, and remember for what"


@pytest.mark.parametrize("policy", ["skip", "queue"])
async def test_plans__an_index_answers_and_few_rows_are_read(store: Store, policy: str) -> None:
    """However many were skipped since the one in front began, and however long the ledger is."""
    job = await owe(store, 1, overlap=policy)
    open_ = [NOON - number * HOUR for number in range(1, 13)]
    rows = [
        firing_values(job, scheduled_at=at, state="delivered", attempt=1, behind_at=None)
        for at in range(NOON - 40 * HOUR, NOON - 13 * HOUR, MINUTE)
    ]
    for at in open_:
        rows.append(firing_values(job, scheduled_at=at, due_at=NOON + HOUR, behind_at=None))
        rows += [
            firing_values(job, scheduled_at=at + n * MINUTE, state="skipped", behind_at=at)
            for n in range(1, 60)
        ]
    await insert_rows(store, "firing", rows)
    await analyze(store)
    key = (job["cronjob_id"], NOON, "scheduled")
    most = 1 if policy == "skip" else QUEUED + 1

    def ask_for(connection: Connection) -> None:
        found = overlap.list_behind(connection, {key: most})
        assert found == {key: overlap.Behind(Front.OPEN, NOON - HOUR, most)}

    await store.transact(ask_for)
    for plan in await explain(store, ask_for):
        if "firing" in plan:
            assert "pk_firing" in plan or "sqlite_autoindex_firing" in plan, plan
            assert "Seq Scan on firing" not in plan
    if isinstance(store, PostgresStore):
        async with _engine(store).begin() as connection:
            steps = await connection.run_sync(lambda sync: _rows_read(sync, key, most))
        assert steps <= 4 * most + 4


def _rows_read(connection: Connection, key: Any, most: int) -> int:
    """How many rows of the ledger the search reads on PostgreSQL, those that it passes over among them."""
    seen: list[tuple[str, Any]] = []

    def record(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        seen.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", record)
    overlap.list_behind(connection, {key: most})
    event.remove(connection, "before_cursor_execute", record)
    statement, parameters = next(one for one in seen if "WALK" in one[0].upper())
    (plan,) = connection.exec_driver_sql(
        f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters
    ).scalar_one()

    def count(node: dict[str, Any]) -> int:
        own = 0
        if node.get("Relation Name") == "firing":
            own = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        return int(own) + sum(count(child) for child in node.get("Plans", ()))

    return count(plan["Plan"])


async def test_search__goes_past_one_that_was_skipped_for_another_of_the_same_instant(store: Store) -> None:
    """It always goes back, or it would never end."""
    job = await owe(store, 0)
    await make_firing(store, job, kind="manual", due_at=NOON + HOUR)
    await make_firing(store, job, state="skipped", reason="overlap", behind_at=NOON)
    key = (job["cronjob_id"], NOON + MINUTE, "scheduled")
    for most in (1, QUEUED + 1):
        found = await store.transact(partial(overlap.list_behind, asked={key: most}))
        assert found == {key: overlap.Behind(Front.OPEN, NOON, 1)}


# Two claimers


class Watched(ScriptedTarget):
    """A target that takes its time, in turns of the event loop, and sees how many of a cron job are on the way."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self.turns = turns
        self.on_the_way: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    async def send(self, destination: Destination, message: Message) -> Outcome:
        self.on_the_way[message.cronjob_id] += 1
        self.most[message.cronjob_id] = max(
            self.most[message.cronjob_id], self.on_the_way[message.cronjob_id]
        )
        for _ in range(self.turns):
            await asyncio.sleep(0)
        self.on_the_way[message.cronjob_id] -= 1
        return await super().send(destination, message)


@pytest.mark.parametrize("policy", ["skip", "queue"])
@pytest.mark.parametrize("seed", range(2))
async def test_two_dispatchers__never_two_of_a_cronjob_at_once(
    store: Store, clock: Clock, seed: int, policy: str
) -> None:
    jobs = [await owe(store, 4 + number, overlap=policy) for number in range(6)]
    target = Watched(turns=20 * (seed + 1))
    every = [dispatcher(store, target, in_flight=4 + seed) for _ in range(2)]
    step = 0

    async def work(one: Dispatcher) -> None:
        nonlocal step
        while step < 40 or await _open(store):
            one.wake.clear()
            step += 1
            if one is every[0] and step < 40:
                await owe_more(store, jobs[step % 6], [NOON + step * SECOND])
                clock.forward(SECOND)
            elif step >= 40:
                clock.forward(MINUTE // 20)
            if await one.step() != 0.0:
                await one.settled()
                await asyncio.sleep(0)

    async with asyncio.timeout(120):
        await asyncio.gather(*map(work, every))
    for one in every:
        await one.settled()
    for job in jobs:
        rows = await read_firings(store, job["cronjob_id"])
        assert target.most[job["cronjob_id"]] == 1
        delivered = [row for row in rows if row.state == "delivered"]
        assert delivered
        assert len(target.messages) == len({message.firing_id for message in target.messages})
        if policy == "queue":
            times = [m.scheduled_at for m in target.messages if m.cronjob_id == job["cronjob_id"]]
            assert times == sorted(times)
        assert {row.reason for row in rows if row.state == "skipped"} <= {"overlap", "queue_full"}
        assert {row.state for row in rows} <= {"delivered", "skipped"}


async def _open(store: Store) -> int:
    return sum(row.due_at is not None for row in await read_firings(store))


def _engine(store: Store) -> AsyncEngine:
    """For transactions that a test holds open."""
    assert isinstance(store, PostgresStore)
    return store._engine


def _hold(connection: Connection, job: Any, most: int = 1) -> list[Record]:
    """A claim with all that it decides, in a transaction that the test holds open."""
    claims = leases.claim_firings(connection, NOON, NOON + LEASE, {job["account_id"]: most})
    held = hold_back(connection, claims, NOON, lambda: 0.5)
    outcomes.record_outcomes(connection, held)
    return held


async def test_claim__while_another_decides_about_the_cronjob_waits_for_nothing(
    postgres_store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    """Nor does it skip: what the other one does is not known yet."""
    job = await owe(postgres_store, 2)
    async with _engine(postgres_store).begin() as claiming:
        assert await claiming.run_sync(lambda connection: _hold(connection, job)) == []
        one = dispatcher(postgres_store, target)
        async with asyncio.timeout(30):
            assert await one.step() == 0.0
        assert await states(postgres_store, job) == {
            ("pending", None): 1,  # as the open transaction leaves it to be seen
            ("pending", "earlier_firing"): 1,
        }
    clock.forward(SECOND)
    await work_off(one)
    assert await states(postgres_store, job) == {("sending", None): 1, ("skipped", "overlap"): 1}
    assert not target.messages


@pytest.mark.parametrize("locked", ["the cron job", "the firing in front"])
async def test_claim__while_a_tick_or_a_record_holds_what_it_looks_at(
    postgres_store: Store, target: ScriptedTarget, clock: Clock, locked: str
) -> None:
    job = await owe(postgres_store, 1)
    await make_firing(
        postgres_store, job, **BEFORE, state="sending", attempt=1, lease_no=1, due_at=NOON + HOUR
    )
    one = dispatcher(postgres_store, target)
    table = tables.cronjob if locked == "the cron job" else tables.firing
    query = select(table).where(table.c.cronjob_id == job["cronjob_id"]).with_for_update()
    async with _engine(postgres_store).begin() as holding:
        if locked == "the cron job":
            await holding.execute(query)
        else:
            await holding.execute(query.where(tables.firing.c.scheduled_at == NOON - MINUTE))
        async with asyncio.timeout(30):
            assert await one.step() == 0.0
        assert (await states(postgres_store, job))["pending", "earlier_firing"] == 1
    clock.forward(SECOND)
    await work_off(one)
    assert await states(postgres_store, job) == {("sending", None): 1, ("skipped", "overlap"): 1}


async def test_run__is_never_put_before_what_a_claim_has_let_go(postgres_store: Store) -> None:
    """Who asks for a manual firing waits for the claim that decides, and then sees what it took."""
    job = await owe(postgres_store, 1)
    account_id, cronjob_id = job["account_id"], job["cronjob_id"]

    def ask_for(connection: Connection) -> int:
        assert cronjobs.lock_cronjob(connection, account_id, cronjob_id) is not None
        return manual.not_before(connection, cronjob_id, NOON - SECOND)

    async with _engine(postgres_store).begin() as claiming:
        assert await claiming.run_sync(lambda connection: _hold(connection, job)) == []
        asking = asyncio.create_task(postgres_store.transact(ask_for))
        waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        async with _engine(postgres_store).connect() as watching, asyncio.timeout(30):
            while not (await watching.execute(waits)).scalar_one():
                assert not asking.done(), "it did not wait"
                await watching.rollback()
    assert await asking == NOON + 1


async def test_finish__while_one_behind_is_put_in_the_queue_lets_it_go(postgres_store: Store) -> None:
    job = await owe(postgres_store, 2, overlap="queue")
    (first,) = await claim(postgres_store, job, NOON, 1)
    delivered = verdict(first, Sent(NOON, 0, Delivered("m")), 0.5)
    async with _engine(postgres_store).begin() as claiming:
        (waits,) = await claiming.run_sync(lambda connection: _hold(connection, job))
        assert waits.reason == "earlier_firing"
        finishing = asyncio.create_task(
            postgres_store.transact(lambda connection: outcomes.record_outcomes(connection, [delivered]))
        )
        async with _engine(postgres_store).connect() as watching, asyncio.timeout(30):
            while not (await watching.execute(text("SELECT 1 FROM pg_locks WHERE NOT granted"))).all():
                assert not finishing.done(), "it did not wait"
                await watching.rollback()
    assert await finishing == 1
    _, later = await read_firings(postgres_store, job["cronjob_id"])
    assert later.due_at == later.scheduled_at


# The walk


OUTCOMES = st.sampled_from(
    [Delivered("m"), Retry("r"), Unknown("u"), Refused("t", final=False), Refused("t")]
)


class Overlap(RuleBasedStateMachine):
    """A cron job that may not overlap between workers that deliver, fail and die."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.clock = Clock()
        self.count = 0

    def run(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    @initialize(
        policy=st.sampled_from(["skip", "queue"]),
        max_age=st.sampled_from([MINUTE, HOUR, DAY]),
        retries=st.sampled_from([0, 2, 185]),
    )
    def make(self, policy: str, max_age: int, retries: int) -> None:
        self.store: Store = self.run(open_store(f"sqlite:///{Path(self.folder.name) / 'cronally.db'}"))
        self.store.clock = self.clock
        self.policy = policy
        self.job = self.run(owe(self.store, 1, overlap=policy, max_age=max_age, retry_max_attempts=retries))
        self.next = NOON + MINUTE

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.run(self.store.close())
        self.runner.close()
        self.folder.cleanup()

    @rule(count=st.sampled_from([1, 1, 2, 14]))
    def it_fires(self, count: int) -> None:
        times = [self.next + number * MINUTE for number in range(count)]
        self.next += count * MINUTE
        self.clock.now = max(self.clock.now, times[-1])
        self.run(owe_more(self.store, self.job, times))

    @rule(asked_after=st.sampled_from([1, SECOND]))
    def it_is_asked_for(self, asked_after: int) -> None:
        self.clock.forward(asked_after)
        self.next = max(self.next, self.clock.now - self.clock.now % MINUTE + MINUTE)
        self.run(ask(self.store, self.job, self.clock.now))

    @rule(duration=st.sampled_from([SECOND, 10 * SECOND, MINUTE, 20 * MINUTE]))
    def time_passes(self, duration: int) -> None:
        self.clock.forward(duration)

    @rule(outcomes=st.lists(OUTCOMES, min_size=1, max_size=3))
    def dispatcher_works(self, outcomes: list[Outcome]) -> None:
        def answer(_message: Message) -> Outcome:
            self.count += 1
            return outcomes[self.count % len(outcomes)]

        before = self.rows()
        self.run(work_off(dispatcher(self.store, ScriptedTarget(script=answer))))
        self.assert_skipped_for_a_reason(before)

    @rule()
    def worker_claims_and_dies(self) -> None:
        before = self.rows()

        def claim_and_die(connection: Connection) -> None:
            takes = {self.job["account_id"]: 10}
            claims = leases.claim_firings(connection, self.clock.now, self.clock.now + LEASE, takes)
            held = hold_back(connection, claims, self.clock.now, lambda: 0.5)
            outcomes.record_outcomes(connection, held)

        self.run(self.store.transact(claim_and_die))
        self.assert_skipped_for_a_reason(before)

    def rows(self) -> Sequence[Any]:
        return self.run(read_firings(self.store, self.job["cronjob_id"]))  # type: ignore[no-any-return]

    def assert_skipped_for_a_reason(self, before: Sequence[Any]) -> None:
        """What is skipped now had an earlier one that was open before, or ten that waited."""
        was = {(row.scheduled_at, row.kind): row for row in before}
        for row in self.rows():
            key = (row.scheduled_at, row.kind)
            if row.state != State.SKIPPED or was[key].state == State.SKIPPED:
                continue
            earlier = [one for at, one in was.items() if at < key and one.due_at is not None]
            assert len(earlier) > (0 if self.policy == "skip" else QUEUED)
            assert row.reason == ("overlap" if self.policy == "skip" else "queue_full")
            assert was[key].attempt == 0
            assert row.behind_at in {one.scheduled_at for one in earlier}

    @rule()
    def everything_is_worked_off(self) -> None:
        """Nothing waits for ever."""
        self.clock.forward(2 * DAY)
        self.next = max(self.next, self.clock.now - self.clock.now % MINUTE + MINUTE)
        self.run(work_off(dispatcher(self.store, ScriptedTarget())))
        assert all(row.due_at is None for row in self.rows())

    @invariant()
    def only_one_is_attempted(self) -> None:
        if hasattr(self, "store"):
            rows = self.rows()
            begun = [row for row in rows if row.due_at is not None and row.attempt]
            assert len(begun) <= 1
            waiting = [row for row in rows if row.reason == "earlier_firing"]
            assert len(waiting) <= QUEUED

    @invariant()
    def the_search_finds_what_a_look_at_all_rows_finds(self) -> None:
        if not hasattr(self, "store"):
            return
        rows = self.rows()
        for at in {NOON + 100 * DAY, *(row.scheduled_at for row in rows[-3:])}:
            key = (self.job["cronjob_id"], at, "scheduled")
            open_ = [
                row.scheduled_at
                for row in rows
                if row.due_at is not None and (row.scheduled_at, row.kind) < (at, "scheduled")
            ]
            for most in (1, QUEUED + 1):
                found = self.run(self.store.transact(partial(overlap.list_behind, asked={key: most})))
                expected = overlap.Behind(Front.OPEN, max(open_), min(len(open_), most)) if open_ else None
                assert found.get(key) == expected


TestOverlap = Overlap.TestCase
TestOverlap.settings = examples(12, stateful_step_count=20, suppress_health_check=[HealthCheck.too_slow])
