"""Connections whose credentials are refused: what is held, tried and let go, by one node and by two, on both databases.

The walk lets chance change keys, owe firings, move the clock and let two nodes and the janitor work, and checks what
came in at the receiver against what it was told: nothing while a connection is unhealthy but one probe at a time, and
every firing ended once.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, select

from cronally.contract.connection_requests import ConnectionChange
from cronally.contract.cronjob_requests import CronjobChange
from cronally.contract.reading import Reading
from cronally.engine.dispatcher import Dispatcher
from cronally.engine.janitor import Janitor
from cronally.firing import Reason
from cronally.instants import DAY, HOUR, MINUTE, SECOND
from cronally.operations import Caller, Operations
from cronally.store import Store, connection_health, connection_holds, tables
from cronally.store.connection_holds import APART, RELEASED_ROWS
from cronally.targets.target import Delivered, Message, Outcome, Unauthorized
from tests.engine.owing import owe_more
from tests.engine.test_connections import BASE, URL, connect
from tests.engine.test_verdict import claim
from tests.support.factories import (
    CANARY,
    NOON,
    Clock,
    Monotonic,
    ScriptedTarget,
    explain,
    make_cronjob,
    read,
    read_attempts,
    read_firings,
    uuid_of,
    vault,
    work_off,
)

API_KEY = "00000000-0000-4000-8000-00000000000a"
OLD, NEW = "Bearer old", "Bearer new"


@dataclass
class World:
    """A connection, two nodes that send, and a receiver that takes some tokens."""

    store: Store
    clock: Clock
    good: set[str] = field(default_factory=set)
    """The tokens that the receiver takes."""
    forbidden: set[str] = field(default_factory=set)
    """The cron jobs that it answers with 401 whatever their token."""
    log: list[tuple[int, str, bool]] = field(default_factory=list)
    """When what came in, and whether it was taken."""

    async def begin(self, token: str = OLD, previous: str | None = None) -> World:
        former = None if previous is None else {"authorization": previous}
        secret = {"authorization": token}
        self.made = await connect(
            self.store,
            "http",
            {"base_url": BASE, "authentication": "bearer"},
            secret,
            former,
            NOON + 30 * DAY,
        )
        self.account = self.made.account_id
        self.target = ScriptedTarget(script=self.answer, name="http")
        self.nodes = [self.node(), self.node()]
        self.operations = Operations(self.store, vault(), {"http": self.target})
        return self

    def node(self) -> Dispatcher:
        return Dispatcher(
            self.store, vault(), {"http": self.target}, chance=lambda: 0.5, monotonic=Monotonic()
        )

    def answer(self, message: Message) -> Outcome:
        token = self.target.destinations[-1].secret["authorization"]
        taken = token in self.good and message.cronjob_id not in self.forbidden
        self.log.append((self.clock.now, message.firing_id, taken))
        return Delivered(None) if taken else Unauthorized("HTTP 401")

    async def job(self, **given: Any) -> Any:
        destination = json.dumps({"delivery_http_url": URL})
        values = {"next_fire_at": None, "target": "http", "destination": destination, "secret": None}
        return await make_cronjob(
            self.store, self.account, **{**values, "connection_id": self.made.connection_id, **given}
        )

    async def work(self, *, both: bool = False) -> None:
        await asyncio.gather(*[work_off(node) for node in (self.nodes if both else self.nodes[:1])])

    async def tidy(self) -> None:
        await Janitor(self.store, retention=365 * DAY).step()

    async def change(self, token: str, **sent: Any) -> None:
        sent["token"] = token.removeprefix("Bearer ")
        reading = Reading(ConnectionChange, sent)
        await self.operations.connecting.update(
            Caller(self.account, API_KEY, b""), self.made.connection_id, reading
        )

    async def shown(self) -> Any:
        caller = Caller(self.account, API_KEY, b"")
        return await self.operations.connecting.get(caller, self.made.connection_id)

    async def row(self) -> Any:
        (found,) = await read(self.store, select(tables.connection))
        return found

    async def states(self) -> Counter[tuple[str, str | None]]:
        return Counter((row.state, row.reason) for row in await read_firings(self.store))


@pytest.fixture
async def world(store: Store, clock: Clock) -> World:
    return await World(store, clock).begin()


HELD = ("pending", "connection_unhealthy")


async def test_refused__everything_of_the_connection_is_held_and_costs_no_attempt(
    world: World, clock: Clock
) -> None:
    jobs = [await world.job(name=name, retry_max_attempts=0) for name in ("a", "b")]
    await owe_more(world.store, jobs[0], [NOON])
    await world.work()
    assert await world.states() == {HELD: 1}
    shown = await world.shown()
    assert (shown.health, shown.unhealthy_detail) == ("unhealthy", "HTTP 401")
    for at in range(NOON, NOON + 30 * SECOND, 10 * SECOND):
        await owe_more(world.store, jobs[1], [at])
    clock.forward(30 * SECOND)
    await world.work(both=True)
    assert await world.states() == {HELD: 4}
    assert len(world.log) == 1
    rows = await read_firings(world.store, jobs[1]["cronjob_id"])
    assert {(row.attempt, row.cause, row.due_at) for row in rows} == {
        (0, world.made.connection_id, row.scheduled_at + DAY + 1) for row in rows
    }
    (attempt,) = await read_attempts(world.store, jobs[0]["cronjob_id"])
    assert attempt.reason == Reason.TARGET_UNAUTHORIZED
    world.good = {OLD}
    clock.forward(MINUTE)
    await world.tidy()
    await world.work()
    clock.forward(SECOND)
    await world.work()
    assert await world.states() == {("delivered", None): 4}, "though they may not be tried again"
    assert (await world.shown()).health == "ok"


async def test_probe__one_at_a_time_a_minute_at_first_and_an_hour_at_last(world: World, clock: Clock) -> None:
    job = await world.job(max_age=7 * DAY)
    await owe_more(world.store, job, [NOON - SECOND, NOON])
    await world.work()
    assert len(world.log) <= 2, "both were on their way"
    world.log.clear()
    for _ in range(14 * 60):
        clock.forward(MINUTE)
        await connection_probes(world)
        await world.work(both=True)
    times = [(at - NOON) // MINUTE for at, _, _ in world.log]
    gaps = [after - before for before, after in zip([0, *times], times, strict=False)]
    assert gaps[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert set(gaps[7:]) == {60}
    assert await world.states() == {HELD: 2}


async def connection_probes(world: World) -> None:
    await world.store.transact(partial(connection_health.wake_due, now=world.clock.now))


async def test_probe__of_two_nodes_one_takes_it(world: World, clock: Clock) -> None:
    job = await world.job()
    await owe_more(world.store, job, [NOON - MINUTE])
    await world.work()
    await owe_more(world.store, job, [NOON])
    clock.forward(MINUTE)
    for _ in range(2):
        # Each node's janitor wakes one: only the last of them is the probe.
        await connection_probes(world)
    await world.work(both=True)
    assert len(world.log) == 2


async def test_probe__that_had_to_wait_for_a_place_is_sent_when_there_is_one(
    world: World, clock: Clock
) -> None:
    """It was not sent, so nothing is known: the next one is not a minute or an hour away."""
    job = await world.job(max_in_flight=1)
    await owe_more(world.store, job, [NOON])
    await world.work()
    assert await world.states() == {HELD: 1}
    node = world.nodes[0]
    other = claim(cronjob_id=job["cronjob_id"], stored_policies=json.dumps({"max_in_flight": 1}))
    assert node.admission.admit(other) is None
    world.good = {OLD}
    for _ in range(3):
        clock.forward(MINUTE)
        await world.tidy()
        await node.step()
        await node.settled()
        assert await world.states() == {("pending", "cronjob_limit"): 1}
        assert (await world.row()).probes == 1
    node.admission.leave(other)
    clock.forward(2 * MINUTE)
    await world.work()
    assert len(world.log) == 2
    assert await world.states() == {("delivered", None): 1}
    assert (await world.shown()).health == "ok"


async def test_probe__is_of_another_cron_job_each_time(world: World, clock: Clock) -> None:
    """One that is refused for itself does not keep the others held."""
    jobs = [await world.job(name=name) for name in ("a", "b", "c")]
    world.forbidden = {job["cronjob_id"] for job in jobs[:2]}
    world.good = {OLD}
    for place, job in enumerate(jobs):
        await owe_more(world.store, job, [NOON - (3 - place) * HOUR])
    await world.work()
    tried = {firing for _, firing, _ in world.log}
    assert tried
    for _ in range(20):
        clock.forward(MINUTE)
        await world.tidy()
        await world.work()
    assert ("delivered", None) in await world.states()


async def test_forbidden__says_nothing_of_the_connection(world: World) -> None:
    world.target.script = lambda _: Unauthorized("HTTP 403", known=True)
    await owe_more(world.store, await world.job(), [NOON])
    await world.work()
    assert await world.states() == {("pending", "target_unauthorized"): 1}
    assert (await world.shown()).health == "ok"


async def test_former_secrets__go_before_unhealthy(store: Store, clock: Clock) -> None:
    world = await World(store, clock, good={OLD}).begin(NEW, previous=OLD)
    await owe_more(store, await world.job(), [NOON])
    await world.work()
    assert await world.states() == {("pending", "target_unauthorized"): 1}
    assert (await world.shown()).health == "ok"
    world.good = set()
    clock.forward(MINUTE)
    await world.work()
    assert await world.states() == {HELD: 1}, "both are refused"
    world.good = {OLD}
    for _ in range(4):
        clock.forward(MINUTE)
        await world.tidy()
        await world.work()
    assert await world.states() == {("delivered", None): 1}, "they are tried in turn"


async def test_change__of_a_secret_is_tried_at_once_and_lets_go_in_order(world: World, clock: Clock) -> None:
    count = RELEASED_ROWS + 30
    job, other = await world.job(), await world.job(name="b")
    await owe_more(world.store, job, [NOON - HOUR])
    await world.work()
    times = range(NOON - count * SECOND, NOON, SECOND)
    await owe_more(world.store, job, [at for at in times if at // SECOND % 2])
    await owe_more(world.store, other, [at for at in times if not at // SECOND % 2])
    await world.work(both=True)
    assert await world.states() == {HELD: count + 1}
    world.log.clear()
    world.target.messages.clear()
    await world.change("Bearer wrong")
    await world.work()
    assert len(world.log) == 1, "one tried it, and was refused"
    world.good = {NEW}
    await world.change(NEW)
    fired: list[int] = []
    for _ in range(60):
        before = len(world.log)
        await world.work(both=True)
        await world.store.transact(partial(connection_holds.release_left, now=clock.now))
        in_a_second = sorted(message.scheduled_at for message in world.target.messages[before:])
        assert len(in_a_second) <= SECOND // APART + 1
        fired += in_a_second
        clock.forward(SECOND)
    assert await world.states() == {("delivered", None): count + 1}
    assert fired == [NOON - HOUR, *times], "in the order of their fire times"
    assert (await world.row()).release_at is None


async def test_change__what_was_on_its_way_with_the_old_secret_says_nothing(
    world: World, clock: Clock
) -> None:
    await owe_more(world.store, await world.job(), [NOON])
    world.target.hang()
    await world.nodes[0].step()
    await world.target.arrived(1)
    world.good = {NEW}
    await world.change(NEW)
    world.target.open.set()
    await world.nodes[0].settled()
    assert (await world.shown()).health == "ok"
    await world.work()
    assert await world.states() == {("delivered", None): 1}


async def test_age__ends_what_is_held(world: World, clock: Clock) -> None:
    young, old = await world.job(max_age=2 * HOUR), await world.job(max_age=HOUR, misfire_grace=7 * DAY)
    await owe_more(world.store, young, [NOON])
    await owe_more(world.store, old, [NOON])
    await world.work()
    clock.forward(HOUR + 1)
    await work_off(world.nodes[0])
    assert [row.reason for row in await read_firings(world.store, old["cronjob_id"])] == [Reason.MAX_AGE]
    assert [row.state for row in await read_firings(world.store, young["cronjob_id"])] == ["pending"]
    assert await world.states() == {HELD: 1, ("failed", "max_age"): 1}


async def test_other_connection__frees_what_is_held(world: World, clock: Clock) -> None:
    job = await world.job()
    await owe_more(world.store, job, [NOON - MINUTE, NOON])
    await world.work()
    reading = Reading(CronjobChange, {"connection": "default"})
    caller = Caller(world.account, API_KEY, b"")
    await world.operations.editing.change(caller, job["cronjob_id"], reading)
    rows = await read_firings(world.store, job["cronjob_id"])
    assert {(row.state, row.reason, row.cause, row.due_at) for row in rows} == {("pending", None, None, NOON)}


async def test_deleted__is_skipped(world: World) -> None:
    job = await world.job()
    await owe_more(world.store, job, [NOON])
    await world.work()
    await world.operations.delete_cronjob(Caller(world.account, API_KEY, b""), job["cronjob_id"])
    assert await world.states() == {("skipped", "deleted"): 1}


@pytest.mark.parametrize("seed", range(4))
async def test_walk__each_firing_ends_once_and_nothing_goes_out_but_probes(
    world: World, clock: Clock, seed: int
) -> None:
    chance = random.Random(seed)
    jobs = [
        await world.job(name=name, max_age=age)
        for name, age in (("a", 2 * HOUR), ("b", 2 * DAY), ("c", 7 * DAY))
    ]
    token, owed, probed_at = OLD, 0, NOON - HOUR
    for _ in range(60):
        match chance.randrange(6):
            case 0 | 1:
                clock.forward(chance.choice([3, 20, 61, 600, 3600]) * SECOND)
                at = clock.now
                await owe_more(world.store, chance.choice(jobs), range(at - 3 * SECOND, at, SECOND))
                owed += 3
                clock.forward(SECOND)
            case 2:
                world.good = set(chance.sample([OLD, NEW], chance.randrange(3)))
            case 3:
                token = chance.choice([OLD, NEW])
                before = (await world.row()).version
                await world.change(token)
                probed_at = NOON - HOUR if (await world.row()).version > before else probed_at
            case 4:
                await world.tidy()
            case 5:
                clock.forward(chance.choice([10, 60, 300]) * SECOND)
        was = await world.row()
        seen = len(world.log)
        await world.work(both=chance.random() < 0.5)
        came = [taken for _, _, taken in world.log[seen:]]
        if was.unhealthy_since is not None and came:
            assert came == [False] or all(came), "one is refused, or all that follow are taken"
            assert was.probe_at <= clock.now
            assert clock.now - probed_at >= MINUTE or probed_at < NOON
            if came == [False]:
                probed_at = clock.now
        elif was.unhealthy_since is None and False in came:
            probed_at = clock.now
    world.good = {OLD, NEW}
    await world.change(OLD if token == NEW else NEW)
    for _ in range(40):
        await world.work(both=True)
        clock.forward(10 * SECOND)
        await world.tidy()
    ended = await read_firings(world.store)
    assert len(ended) == owed
    taken = Counter(firing for _, firing, was_taken in world.log if was_taken)
    assert set(taken.values()) <= {1}
    states = Counter(row.state for row in ended)
    assert states["delivered"] == len(taken)
    assert states["pending"] == states["sending"] == 0, states
    assert {row.reason for row in ended if row.state == "failed"} <= {"max_age"}
    assert sum(row.state == "missed" for row in ended) == states["missed"]
    assert (await world.shown()).health == "ok"


async def test_verbs__find_rows_by_an_index(world: World) -> None:
    of = uuid_of("conn")
    works = [
        partial(connection_health.wake_due, now=NOON),
        partial(connection_holds.release_left, now=NOON),
        partial(connection_health.wake, connection_id=of, now=NOON),
    ]
    await owe_more(world.store, await world.job(), [NOON])
    await world.work()

    def look(connection: Connection) -> None:
        for work in works:
            work(connection)

    for plan in await explain(world.store, look):
        assert "SCAN firing\n" not in plan, plan
        assert "Seq Scan on firing" not in plan, plan
    assert CANARY not in str(await world.shown())
