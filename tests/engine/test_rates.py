"""How much is sent of one cron job, and with one connection, at once and in a second: the counts against a model, and
the engine on both databases, with real requests to a real receiver."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.engine import rates
from cronally.engine.admission import Admission, Limits, Wait
from cronally.engine.dispatcher import Dispatcher
from cronally.engine.rates import Rates
from cronally.firing import Reason
from cronally.instants import SECOND
from cronally.store import Store, connections
from cronally.store.claims import Claim
from cronally.targets.build import build_targets
from cronally.targets.egress import Egress
from cronally.targets.target import Target
from tests.engine.owing import owe_more
from tests.engine.test_admission import World, world
from tests.engine.test_connections import connect, owe
from tests.engine.test_verdict import claim
from tests.support.examples import examples
from tests.support.factories import (
    NOON,
    Clock,
    Monotonic,
    ScriptedTarget,
    make_cronjob,
    read_firings,
    vault,
)
from tests.support.scripted import ScriptedServer, answer

__all__ = ["world"]

pytestmark = pytest.mark.sample


class Node:
    """What one node lets go, by the limits of cron jobs and connections alone."""

    def __init__(self) -> None:
        limits = Limits(in_flight=10_000, in_flight_per_account=10_000)
        self.monotonic = Monotonic()
        self.monotonic.now = 0.0
        self.kept: list[Claim] = []
        """A claim is known by its identity, for as long as it is sent."""
        self.admission = Admission({"scripted": ScriptedTarget()}, limits, monotonic=self.monotonic)

    def admit(self, made: Claim, now: float = 0.0) -> Wait | None:
        self.monotonic.now = now
        self.kept.append(made)
        return self.admission.admit(made)

    def send(self, made: Claim, count: int, now: float = 0.0) -> list[Claim]:
        """Send as many as are allowed, one after the other: those that were."""
        sent: list[Claim] = []
        while len(sent) < count:
            another = again(made)
            if self.admit(another, now) is not None:
                break
            sent.append(another)
        return sent


def again(made: Claim) -> Claim:
    """Another claim of the same cron job and connection."""
    return Claim(*made)


def limited(cronjob_id: str = "c", **policies: int) -> Claim:
    return claim(cronjob_id=cronjob_id, stored_policies=json.dumps(policies))


def connected(
    connection_id: str, cronjob_id: str = "c", policies: str = "{}", version: int = 1, **public: Any
) -> Claim:
    return claim(
        cronjob_id=cronjob_id,
        stored_policies=policies,
        connection_id=connection_id,
        connection_version=version,
        connection_parameters=json.dumps(public),
    )


def test_in_flight__of_each_cron_job_by_itself() -> None:
    node = Node()
    one, other = limited("one", max_in_flight=3), limited("other", max_in_flight=1)
    sent = node.send(one, 10)
    assert (len(sent), len(node.send(other, 10))) == (3, 1)
    assert len(node.send(limited("free"), 1000)) == 1000
    node.admission.leave(sent[0])
    assert (len(node.send(one, 10)), len(node.send(other, 10))) == (1, 0)
    assert not node.send(one, 10, now=1000.0), "time frees no place"
    assert node.admit(again(one)) == Wait(Reason.CRONJOB_LIMIT, 0.0)


def test_in_flight__of_a_connection_whatever_the_cron_job() -> None:
    node = Node()
    sent = [
        *node.send(connected("k", "one", max_in_flight=3), 2),
        *node.send(connected("k", "two", max_in_flight=3), 9),
    ]
    assert len(sent) == 3
    assert node.admit(connected("k", "three", max_in_flight=3)) == Wait(Reason.CONNECTION_LIMIT, 0.0)
    assert len(node.send(connected("other", "one", max_in_flight=1), 9)) == 1
    assert len(node.send(connected("free"), 100)) == 100
    node.admission.leave(sent[0])
    assert len(node.send(connected("k", "three", max_in_flight=3), 9)) == 1


def test_limits__of_cron_job_and_connection_hold_together() -> None:
    node = Node()
    own = connected("k", "one", '{"max_in_flight":2}', max_in_flight=3)
    assert len(node.send(own, 9)) == 2
    assert node.admit(again(own)) == Wait(Reason.CRONJOB_LIMIT, 0.0)
    assert len(node.send(connected("k", "two", max_in_flight=3), 9)) == 1
    assert node.admit(connected("k", "two", max_in_flight=3)) == Wait(Reason.CONNECTION_LIMIT, 0.0)


def test_connection__a_change_holds_for_the_next_claim() -> None:
    node = Node()
    sent = node.send(connected("k", max_in_flight=1), 9)
    assert len(sent) == 1
    sent += node.send(connected("k", version=2, max_in_flight=3), 9)
    assert len(sent) == 3
    sent += node.send(connected("k", version=3), 50)
    assert len(sent) == 53, "without a limit none is counted"
    for one in sent:
        node.admission.leave(one)
    assert len(node.send(connected("k", version=2, max_in_flight=3), 9)) == 3, (
        "each left what it was counted in"
    )


@pytest.mark.parametrize(
    "parameters", [None, "", "[]", "{", '{"max_in_flight":"2"}', '{"max_per_second":null}']
)
def test_connection__what_cannot_be_read_limits_nothing(parameters: str | None) -> None:
    made = claim(connection_id="k", connection_version=1, connection_parameters=parameters)
    assert len(Node().send(made, 50)) == 50


def test_connection__what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "CONNECTIONS_CACHED", 3)
    those = Rates()
    for number in range(20):
        assert those.limits(connected("k", version=number, max_in_flight=1))
    assert [version for _, version in those._connections] == [17, 18, 19]


def test_per_second__and_each_is_told_to_come_in_turn() -> None:
    node, one = Node(), limited(max_per_second=4)
    assert len(node.send(one, 100, now=7.5)) == 4
    told = [node.admit(again(one), 7.9) for _ in range(7)]
    assert told == [Wait(Reason.CRONJOB_LIMIT, n / 4) for n in range(2, 9)], "one was told by `send`"
    assert len(node.send(one, 100, now=8.0)) == 4
    assert node.admit(again(one), 8.0) == Wait(Reason.CRONJOB_LIMIT, (8 - 4 + 1 + 1) / 4)
    assert len(node.send(one, 100, now=100.0)) == 4


def test_memory__idle_cron_jobs_are_forgotten_and_busy_ones_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "PRUNED_AT", 3)
    node = Node()
    busy = limited("busy", max_in_flight=1)
    assert len(node.send(busy, 5)) == 1
    for number in range(20):
        (sent,) = node.send(limited(str(number), max_in_flight=1), 5, now=number + 1.0)
        node.admission.leave(sent)
    assert len(node.admission._rates._known) <= 4
    assert not node.send(busy, 5, now=100.0)
    assert len(node.admission._limited) == 1


NUMBERS = st.none() | st.integers(1, 5)


@examples(100)
@given(
    st.fixed_dictionaries({name: st.tuples(NUMBERS, NUMBERS) for name in ("a", "b", "k")}),
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "end"]), st.integers(0, 60), st.integers(0, 700)), max_size=80
    ),
)
def test_limits__hold_whatever_comes(
    numbers: dict[str, tuple[int | None, int | None]], steps: list[tuple[str, int, int]]
) -> None:
    """Two cron jobs use one connection. The model looks through all that was sent, each time anew."""
    node, now = Node(), 0
    sent: list[tuple[str, int, Claim]] = []
    """What began: of which cron job, in which second."""
    open_: list[tuple[str, Claim]] = []

    def allowed(key: str, members: tuple[str, ...]) -> bool:
        most, per_second = numbers[key]
        here = sum(who in members for who, _ in open_)
        begun = sum(who in members and second == now // 1000 for who, second, _ in sent)
        return (most is None or here < most) and (per_second is None or begun < per_second)

    names = ("max_in_flight", "max_per_second")
    shared: dict[str, Any] = dict(zip(names, numbers["k"], strict=True))
    for step, place, milliseconds in steps:
        now += milliseconds
        if step == "end":
            if open_:
                node.admission.leave(open_.pop(place % len(open_))[1])
            continue
        made = connected("k", step, json.dumps(dict(zip(names, numbers[step], strict=True))), **shared)
        wait = node.admit(made, now / 1000)
        reason = None
        if not allowed(step, (step,)):
            reason = Reason.CRONJOB_LIMIT
        elif not allowed("k", ("a", "b")):
            reason = Reason.CONNECTION_LIMIT
        assert (wait and wait.reason) == reason
        if wait is None:
            sent.append((step, now // 1000, made))
            open_.append((step, made))


async def test_engine__sends_so_many_at_once_and_the_others_wait(world: Any) -> None:
    it: World = world()
    it.target.hang()
    await it.owe("a", "one", 6, policies='{"max_in_flight":2}')
    await it.owe("a", "other", 2)
    await it.work()
    await it.target.arrived(4)
    states = Counter(await it.states("a", "one"))
    assert states == {("sending", None): 2, ("pending", "cronjob_limit"): 4}
    rows = [row for row in await read_firings(it.store) if row.state == "pending"]
    assert {(row.attempt, row.sent_at) for row in rows} == {(0, None)}, "no attempt was burned"
    it.target.open.set()
    await it.dispatcher.settled()
    for _ in range(40):
        it.forward(0.2)
        await it.work()
    assert Counter(await it.states("a", "one")) == {("delivered", None): 6}


async def test_engine__sends_so_many_a_second(world: Any) -> None:
    it: World = world()
    await it.owe("a", "one", 12, policies='{"max_per_second":3}')
    counts = []
    for _ in range(30):
        before = len(it.target.messages)
        await it.work()
        counts.append(len(it.target.messages) - before)
        it.forward(1.0)
    assert max(counts) == 3
    assert sum(counts) == 12
    assert counts[0] == 3
    assert Counter(await it.states("a", "one")) == {("delivered", None): 12}


class Receiver(ScriptedServer):
    """Answers when it is told to, and counts how many requests it has at once, and in each second of the clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(self._take)
        self._clock = clock
        self.at_once = self.most_at_once = 0
        self.seconds: Counter[int] = Counter()
        self.open = asyncio.Event()
        self.came = asyncio.Condition()

    async def _take(self, writer: asyncio.StreamWriter) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.seconds[self._clock.now // SECOND] += 1
        async with self.came:
            self.came.notify_all()
        await self.open.wait()
        self.at_once -= 1
        await answer(200)(writer)

    async def holds(self, count: int) -> None:
        async with self.came:
            await self.came.wait_for(lambda: self.at_once >= count)


class Sending:
    """A node with the real targets, and an `http` connection of three cron jobs."""

    def __init__(self, store: Store, clock: Clock, receiver: Receiver, targets: dict[str, Target]) -> None:
        self.store, self.clock, self.receiver = store, clock, receiver
        self.monotonic = Monotonic()
        self.node = Dispatcher(store, vault(), targets, chance=lambda: 0.5, monotonic=self.monotonic)

    async def owe(self, count: int, **public: Any) -> None:
        self.made = await connect(self.store, "http", {"base_url": self.receiver.url, **public}, {})
        for name in ("one", "two", "three"):
            destination = {"delivery_http_url": f"{self.receiver.url}/{name}", "delivery_http_method": "post"}
            job = await owe(self.store, self.made, "http", name=name, destination=destination)
            await owe_more(self.store, job, [NOON - number for number in range(1, count)])

    async def step(self) -> None:
        """Claim what is due at this instant; what is put off is recorded."""
        while await self.node.step() == 0.0:
            await self.node._recorder.flushed()
        await self.node._recorder.flushed()

    def forward(self, seconds: float) -> None:
        self.clock.forward(int(seconds * SECOND))
        self.monotonic.now += seconds

    async def states(self) -> Counter[tuple[str, str | None]]:
        return Counter((row.state, row.reason) for row in await read_firings(self.store))


@pytest.fixture
async def sending(store: Store, clock: Clock) -> AsyncIterator[Sending]:
    targets = build_targets(egress=Egress(["127.0.0.0/8"]))
    async with Receiver(clock) as receiver:
        yield Sending(store, clock, receiver, {"http": targets["http"]})
        receiver.open.set()
        for target in targets.values():
            await target.close()


async def test_connection__a_receiver_gets_so_many_at_once(sending: Sending) -> None:
    it = sending
    await it.owe(5, max_in_flight=4)
    await it.step()
    await it.receiver.holds(4)
    assert await it.states() == {("sending", None): 4, ("pending", "connection_limit"): 11}
    for _ in range(3):
        it.forward(1.0)
        await it.step()
    assert it.receiver.at_once == 4, "what came again waits again"
    it.receiver.open.set()
    for _ in range(60):
        await it.node.settled()
        it.forward(0.5)
        await it.step()
    await it.node.settled()
    assert await it.states() == {("delivered", None): 15}
    assert (it.receiver.most_at_once, len(it.receiver.requests)) == (4, 15)
    assert {row.attempt for row in await read_firings(it.store)} == {1}, "waiting burns no attempt"


async def test_connection__a_receiver_gets_so_many_a_second(sending: Sending) -> None:
    it = sending
    it.receiver.open.set()
    await it.owe(5, max_per_second=4)
    for _ in range(200):
        await it.step()
        await it.node.settled()
        it.forward(0.25)
    assert await it.states() == {("delivered", None): 15}
    assert max(it.receiver.seconds.values()) == 4
    assert sum(it.receiver.seconds.values()) == 15


async def test_connection__a_changed_limit_holds_for_the_next_claim(sending: Sending) -> None:
    it = sending
    await it.owe(2, max_in_flight=1)
    await it.step()
    await it.receiver.holds(1)
    changed = connections.StoredConnection(
        **{
            **{name: getattr(it.made, name) for name in connections.StoredConnection.__dataclass_fields__},
            "version": 2,
            "parameters": json.dumps({"base_url": it.receiver.url, "max_in_flight": 3}),
        }
    )
    await it.store.transact(lambda connection: connections.replace_connection(connection, changed, None))
    it.forward(1.0)
    await it.step()
    await it.receiver.holds(3)
    assert (await it.states())["sending", None] == 3


async def test_connection__what_has_none_waits_for_nothing(store: Store, clock: Clock) -> None:
    """A limited connection of one cron job is nothing to another one of the account."""
    made = await connect(store, "aws", {"aws_access_key_id": "AKIA", "max_in_flight": 1}, {})
    target = ScriptedTarget(name="sns")
    target.hang()
    node = Dispatcher(store, vault(), {"sns": target}, chance=lambda: 0.5, monotonic=Monotonic())
    job = await owe(store, made, "sns", name="shared")
    await owe_more(store, job, [NOON - 1, NOON - 2])
    free = await make_cronjob(
        store, made.account_id, name="free", target="sns", destination='{"sns_topic":"t"}', secret=None
    )
    await owe_more(store, free, [NOON - 1, NOON - 2])
    await node.step()
    await target.arrived(3)
    states: dict[str, Counter[str]] = defaultdict(Counter)
    for row in await read_firings(store):
        states[row.cronjob_id][row.state] += 1
    assert states[free["cronjob_id"]] == {"sending": 2}
    assert states[job["cronjob_id"]]["sending"] == 1
    target.open.set()
    await node.settled()
