"""Order: a later firing of a cron job that keeps it is not sent before the earlier one is finished.

The table says what an earlier firing in each state does to a later one, on both databases. The walk lets chance mix
deliveries, failures, workers that die or come back too late, and time; two dispatchers at once show that a finish and
a claim do not miss each other. After every step holds what order means.
"""

from __future__ import annotations

import asyncio
import json
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Connection, Update, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from cronally.contract.order import is_fifo, keeps_order
from cronally.engine.dispatcher import Dispatcher
from cronally.engine.overlaps import ORDER_CHECKED
from cronally.engine.verdict import Sent, put_off, verdict
from cronally.firing import Reason, State, firing_id
from cronally.instants import DAY, HOUR, MINUTE, SECOND
from cronally.store import Store, leases, open_store, order, outcomes, tables
from cronally.store.postgres import PostgresStore
from cronally.targets.target import Delivered, Message, Outcome, Refused, Retry, Unknown
from tests.engine import owing
from tests.engine.owing import dispatcher, owe_more, sent
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

FIFO = {"sns_topic": "arn:aws:sns:eu-west-1:123456789012:t.fifo", "sns_message": "m"}


owe = partial(owing.owe, ordered=True)
"""A cron job that keeps its order, with so many due firings."""


async def assert_in_order(store: Store, job: Any) -> None:
    """What was attempted has nothing open in front of it."""
    rows = await read_firings(store, job["cronjob_id"])
    for place, row in enumerate(rows):
        if row.attempt or row.state == State.SENDING:
            assert all(earlier.due_at is None for earlier in rows[:place]), rows


@pytest.mark.parametrize(
    ("policies", "destination", "kept"),
    [
        ({}, {}, False),
        ({"ordered": True}, {}, True),
        ({"ordered": False}, FIFO, True),
        ({}, FIFO, True),
        ({}, {**FIFO, "sns_topic": "arn:aws:sns:eu-west-1:123456789012:fifo"}, False),
        # Nothing that is written into another parameter makes a topic.
        ({}, {"sns_message": '"sns_topic":"x.fifo"', "sns_topic": "arn:aws:sns:a:1:t"}, False),
        ({}, {"sns_message": '\\","sns_topic":"x.fifo"', "sns_topic": "arn:aws:sns:a:1:t"}, False),
        ({}, {"delivery_http_url": "https://example.com/x.fifo"}, False),
    ],
)
def test_order__is_kept_where_it_is_asked_for_and_on_fifo_topics(
    policies: dict[str, Any], destination: dict[str, str], kept: bool
) -> None:
    for separators in ((",", ":"), (", ", ": ")):
        texts = [json.dumps(each, separators=separators) for each in (policies, destination)]
        assert keeps_order(*texts) is kept
    assert is_fifo(json.dumps(destination)) is destination.get("sns_topic", "").endswith(".fifo")


async def test_claim__one_firing_of_a_cronjob_at_a_time(store: Store, target: ScriptedTarget) -> None:
    job = await owe(store, 5)
    target.hang()
    one = dispatcher(store, target)
    while await one.step() == 0.0:
        pass
    await target.arrived(1)
    assert sent(target) == [-4]
    rows = await read_firings(store, job["cronjob_id"])
    assert [(row.state, row.reason, row.attempt) for row in rows] == [
        ("sending", None, 1),
        *[("pending", "earlier_firing", 0)] * 4,
    ]
    assert all(row.due_at >= NOON + ORDER_CHECKED / 2 * SECOND for row in rows[1:])
    target.open.set()
    await one.settled()
    assert one.wake.is_set(), "what was let go need not wait for the next poll"
    await work_off(one)
    assert sent(target) == [-4, -3, -2, -1, 0], "without a tick of the clock"


async def test_claim__without_order_nothing_waits(store: Store, target: ScriptedTarget) -> None:
    await owe(store, 5, ordered=False)
    target.hang()
    one = dispatcher(store, target)
    await one.step()
    await target.arrived(5)
    target.open.set()
    await one.settled()


async def test_claim__a_fifo_topic_keeps_the_order(store: Store, target: ScriptedTarget) -> None:
    await owe(store, 3, ordered=False, destination=json.dumps(FIFO))
    target.hang()
    one = dispatcher(store, target)
    await one.step()
    await target.arrived(1)
    assert one.in_flight == 1
    target.open.set()
    await work_off(one)
    assert sent(target) == [-2, -1, 0]


async def test_claim__other_cronjobs_of_the_account_go_on(store: Store, target: ScriptedTarget) -> None:
    job = await owe(store, 30)
    other = await make_cronjob(store, job["account_id"])
    await make_firing(store, other)
    target.hang()
    one = dispatcher(store, target)
    while await one.step() == 0.0:
        pass
    await target.arrived(2)
    assert {message.cronjob_id for message in target.messages} == {job["cronjob_id"], other["cronjob_id"]}
    target.open.set()
    await one.settled()


BEFORE = {"scheduled_at": NOON - MINUTE, "created_at": NOON - MINUTE}


@pytest.mark.parametrize(
    ("earlier", "waits"),
    [
        ({"state": "pending", "due_at": NOON + HOUR, "attempt": 3, "reason": "target_unavailable"}, True),
        ({"state": "pending", "due_at": NOON + HOUR, "reason": "circuit_open"}, True),
        ({"state": "pending", "due_at": NOON + HOUR, "kind": "manual", "scheduled_at": NOON - 1}, True),
        ({"state": "sending", "due_at": NOON + 1, "attempt": 1, "lease_no": 1}, True),
        ({"state": "delivered", "attempt": 1}, False),
        ({"state": "failed", "attempt": 5, "reason": "target_refused"}, False),
        ({"state": "failed", "reason": "max_age"}, False),
        ({"state": "missed", "reason": "misfire_grace", "count": 3, "until_at": NOON - 1}, False),
        ({"state": "skipped", "reason": "dst_gap=skip"}, False),
        # A later one is not in front.
        ({"state": "pending", "due_at": NOON + HOUR, "scheduled_at": NOON + MINUTE}, False),
    ],
)
async def test_claim__what_is_in_front(
    store: Store, target: ScriptedTarget, earlier: dict[str, Any], waits: bool
) -> None:
    job = await owe(store, 1)
    await make_firing(store, job, **{**BEFORE, **earlier})
    # Finished without an attempt: it says nothing of those in front of it.
    await make_firing(store, job, scheduled_at=NOON - SECOND, state="skipped", reason="dst_gap=skip")
    # Those of another cron job are not in front.
    await owe_more(store, await make_cronjob(store, job["account_id"]), [NOON - HOUR])
    await work_off(dispatcher(store, target))
    assert (firing_id(job["cronjob_id"], NOON) in {one.firing_id for one in target.messages}) is not waits


@pytest.mark.parametrize(
    ("outcome", "state"),
    [(Delivered("m"), "delivered"), (Refused("no"), "failed")],
)
async def test_finish__lets_the_next_one_go(
    store: Store, target: ScriptedTarget, outcome: Outcome, state: str
) -> None:
    job = await owe(store, 2)
    target.script = lambda message: outcome if message.scheduled_at < NOON else Delivered("m")
    await work_off(dispatcher(store, target))
    rows = await read_firings(store, job["cronjob_id"])
    assert [row.state for row in rows] == [state, "delivered"]
    assert sent(target) == [-1, 0]


@pytest.mark.parametrize("outcome", [Retry("busy"), Unknown("?"), Refused("not yet", final=False)])
async def test_retry__holds_the_later_ones_until_the_age_ends(
    store: Store, target: ScriptedTarget, clock: Clock, outcome: Outcome
) -> None:
    job = await owe(store, 3, max_age=10 * MINUTE)
    target.script = lambda message: outcome
    one = dispatcher(store, target)
    for _ in range(16):
        await work_off(one)
        await assert_in_order(store, job)
        clock.forward(MINUTE)
    assert sent(target) == sorted(sent(target))
    rows = await read_firings(store, job["cronjob_id"])
    assert [row.state for row in rows] == ["failed"] * 3
    for row in rows:
        assert row.finished_at <= row.scheduled_at + 11 * MINUTE


async def test_age__of_one_that_never_got_its_turn(
    store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    job = await owe(store, 2, max_age=MINUTE)
    target.hang()
    one = dispatcher(store, target)
    await one.step()
    await target.arrived(1)
    clock.forward(MINUTE + 1)
    await one.step()
    _, later = await read_firings(store, job["cronjob_id"])
    assert (later.state, later.reason, later.attempt) == ("failed", "max_age", 0)
    target.open.set()
    await one.settled()


async def test_lease__of_a_dead_worker_holds_the_later_ones(
    store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    job = await owe(store, 2)
    account = job["account_id"]
    lost = await store.transact(
        lambda connection: leases.claim_firings(connection, NOON, NOON + MINUTE, {account: 1})
    )
    assert [claim.scheduled_at for claim in lost] == [NOON - MINUTE]
    one = dispatcher(store, target)
    await work_off(one)
    assert sent(target) == []
    clock.forward(MINUTE)
    await work_off(one)
    assert sent(target) == [-1, 0]


async def test_order__asked_for_while_one_is_sent(store: Store, target: ScriptedTarget, clock: Clock) -> None:
    """The worker that sends it does not know: what waits is looked at after a while all the same."""
    job = await owe(store, 2, ordered=False)
    target.hang()
    one = dispatcher(store, target, in_flight_per_account=1, first=1)
    await one.step()
    await target.arrived(1)
    await store.transact(lambda connection: _order(connection, job))
    two = dispatcher(store, other := ScriptedTarget())
    await work_off(two)
    assert other.messages == []
    target.open.set()
    await one.settled()
    clock.forward(int(ORDER_CHECKED * 1.25 * SECOND))
    await work_off(two)
    assert sent(other) == [0]


def _order(connection: Connection, job: Any) -> None:
    table = tables.cronjob
    connection.execute(
        update(table).where(table.c.cronjob_id == job["cronjob_id"]).values(policies='{"ordered":true}')
    )


async def test_order__no_longer_asked_for_lets_all_go_in_parts(
    store: Store, target: ScriptedTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order, "FREED_ROWS", 2)
    job = await owe(store, 4)
    target.script = lambda _message: Retry("busy")
    await work_off(dispatcher(store, target))
    waiting = [row.due_at != row.scheduled_at for row in await read_firings(store, job["cronjob_id"])]
    parts = 1
    while not await store.transact(lambda connection: order.free(connection, job["cronjob_id"])):
        parts += 1
    assert parts == 1 + sum(waiting[1:]) // 2
    first, *later = await read_firings(store, job["cronjob_id"])
    assert first.reason == "target_unavailable"
    assert first.due_at > NOON
    assert all(row.due_at == row.scheduled_at for row in later)


@pytest.mark.parametrize("seed", range(4))
async def test_two_dispatchers__a_finish_and_a_claim_do_not_miss_each_other(store: Store, seed: int) -> None:
    """No poll and no clock helps: what is not let go by the finish in front of it is never sent."""
    jobs = [await owe(store, 12) for _ in range(6)]
    log: list[Message] = []

    def take(message: Message) -> Outcome:
        log.append(message)
        return Delivered("m")

    every = [dispatcher(store, ScriptedTarget(script=take), in_flight=4 + seed) for _ in range(2)]

    async def work(one: Dispatcher) -> None:
        while len(log) < 12 * len(jobs):
            one.wake.clear()
            if await one.step() != 0.0:
                await one.settled()
                await asyncio.sleep(0)

    async with asyncio.timeout(60):
        await asyncio.gather(*map(work, every))
    for one in every:
        await one.settled()
    for job in jobs:
        times = [message.scheduled_at for message in log if message.cronjob_id == job["cronjob_id"]]
        assert times == sorted(times)
        assert len(set(times)) == len(times) == 12


def _engine(store: Store) -> AsyncEngine:
    """For transactions that a test holds open."""
    assert isinstance(store, PostgresStore)
    return store._engine


def _finish(job: Any) -> Update:
    table = tables.firing
    return (
        update(table)
        .where(table.c.cronjob_id == job["cronjob_id"], table.c.scheduled_at == NOON - MINUTE)
        .values(state=State.DELIVERED, due_at=None, attempt=1, finished_at=NOON)
    )


async def test_claim__while_the_one_in_front_is_being_finished(
    postgres_store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    """It does not wait for that transaction, and is not put off for long: the finish cannot see it yet."""
    job = await owe(postgres_store, 2)
    async with _engine(postgres_store).begin() as finishing:
        await finishing.execute(_finish(job))
        one = dispatcher(postgres_store, target)
        assert await one.step() == 0.0
        _, later = await read_firings(postgres_store, job["cronjob_id"])
        assert (later.state, later.reason, later.attempt) == ("pending", "earlier_firing", 0)
        assert later.due_at <= NOON + SECOND
    clock.forward(SECOND)
    await work_off(one)
    assert sent(target) == [0]


async def test_finish__while_the_one_behind_is_being_put_off(
    postgres_store: Store, target: ScriptedTarget
) -> None:
    """It waits for that transaction, and sees what waits then."""
    job = await owe(postgres_store, 2)
    account = {job["account_id"]: 1}
    (first,) = await postgres_store.transact(
        lambda connection: leases.claim_firings(connection, NOON, NOON + MINUTE, account)
    )
    (second,) = await postgres_store.transact(
        lambda connection: leases.claim_firings(connection, NOON, NOON + MINUTE, account)
    )
    delivered = verdict(first, Sent(NOON, 0, Delivered("m")), 0.5)
    waits = put_off(second, NOON, Reason.EARLIER_FIRING, ORDER_CHECKED, 0.5)

    def hold(connection: Connection) -> None:
        assert order.list_blocked(connection, [second.key]) == {second.key: order.Front.OPEN}
        outcomes.record_outcomes(connection, [waits])

    async with _engine(postgres_store).begin() as claiming:
        await claiming.run_sync(hold)
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


async def test_plans__an_index_answers_however_long_the_ledger_is(store: Store) -> None:
    job = await owe(store, 1)
    times = range(NOON - 3000 * MINUTE, NOON - MINUTE, MINUTE)
    await owe_more(store, job, ())
    rows = [firing_values(job, scheduled_at=at, state="delivered", attempt=1) for at in times]
    await insert_rows(store, "firing", rows)
    await analyze(store)
    key = (job["cronjob_id"], NOON, "scheduled")

    def ask(connection: Connection) -> None:
        order.list_blocked(connection, [key])
        order.free_next(connection, [key])

    for plan in await explain(store, ask):
        assert "pk_firing" in plan or "sqlite_autoindex_firing" in plan, plan
        assert "Seq Scan on firing" not in plan
        assert "SCAN f" not in plan.replace("SCAN firing", "SCAN f") or "autoindex" in plan


OUTCOMES = st.sampled_from(
    [Delivered("m"), Retry("r"), Unknown("u"), Refused("t", final=False), Refused("t")]
)


class Order(RuleBasedStateMachine):
    """A cron job that keeps its order between workers that deliver, fail, die and come back too late."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.clock = Clock()
        self.first_sent: dict[int, int] = {}
        """By fire time: the place of its first sending among all sendings."""
        self.count = 0

    def run(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    @initialize(max_age=st.sampled_from([MINUTE, HOUR, DAY]), retries=st.sampled_from([0, 2, 185]))
    def make(self, max_age: int, retries: int) -> None:
        self.store: Store = self.run(open_store(f"sqlite:///{Path(self.folder.name) / 'cronally.db'}"))
        self.store.clock = self.clock
        self.job = self.run(owe(self.store, 3, max_age=max_age, retry_max_attempts=retries))
        self.next = NOON + MINUTE

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.run(self.store.close())
        self.runner.close()
        self.folder.cleanup()

    @rule()
    def it_fires(self) -> None:
        at, self.next = self.next, self.next + MINUTE
        self.clock.now = max(self.clock.now, at)
        self.run(owe_more(self.store, self.job, [at]))

    @rule(duration=st.sampled_from([SECOND, 10 * SECOND, MINUTE, 20 * MINUTE]))
    def time_passes(self, duration: int) -> None:
        self.clock.forward(duration)

    @rule(outcomes=st.lists(OUTCOMES, min_size=1, max_size=3))
    def dispatcher_works(self, outcomes: list[Outcome]) -> None:
        def answer(message: Message) -> Outcome:
            self.note(message.scheduled_at)
            return outcomes[self.count % len(outcomes)]

        self.run(work_off(dispatcher(self.store, ScriptedTarget(script=answer))))

    def note(self, scheduled_at: int) -> None:
        self.count += 1
        self.first_sent.setdefault(scheduled_at, self.count)

    @rule()
    def worker_claims_and_dies(self) -> None:
        """By way of a dispatcher: it is that which keeps the order."""
        target = ScriptedTarget()
        target.hang()
        one = dispatcher(self.store, target)

        async def claim_and_die() -> None:
            while await one.step() == 0.0:
                pass
            for _ in range(10):
                await asyncio.sleep(0)
            for task in list(one._sender._tasks):
                task.remove_done_callback(one._sender._ended)
                task.cancel()
                one._recorder.add = lambda _record: None  # type: ignore[method-assign, assignment]
            await asyncio.sleep(0)

        self.run(claim_and_die())
        for message in target.messages:
            self.note(message.scheduled_at)

    @precondition(lambda self: self.first_sent)
    @rule()
    def everything_is_worked_off(self) -> None:
        """Nothing waits for ever."""
        self.clock.forward(2 * DAY)
        self.run(work_off(dispatcher(self.store, ScriptedTarget())))
        rows = self.run(read_firings(self.store, self.job["cronjob_id"]))
        assert all(row.due_at is None for row in rows)

    @invariant()
    def order_is_kept(self) -> None:
        if hasattr(self, "store"):
            self.run(assert_in_order(self.store, self.job))
            first = [place for _, place in sorted(self.first_sent.items())]
            assert first == sorted(first)


TestOrder = Order.TestCase
TestOrder.settings = examples(8, stateful_step_count=20, suppress_health_check=[HealthCheck.too_slow])
