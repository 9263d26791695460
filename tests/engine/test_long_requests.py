"""Requests that may take long: their places, what they leave alone, and what becomes of them, over both databases."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import update

from cronally.engine.circuits import THRESHOLD
from cronally.firing import Reason
from cronally.instants import HOUR, MINUTE, SECOND
from cronally.operations.explanation_text import of_row
from cronally.store import Store, connections, ledger, tables
from cronally.store.connections import StoredConnection
from cronally.targets.egress import Egress
from cronally.targets.http.target import HttpTarget
from cronally.targets.target import Reply, Unknown
from tests.engine.long_requests import MINUTES, TIMEOUT, PatientTarget, claim_all, node, owe
from tests.engine.test_limits import claim
from tests.support import scripted
from tests.support.factories import (
    NOON,
    Clock,
    Monotonic,
    make_account,
    make_firing,
    read_attempts,
    read_firing,
    read_firings,
    uuid_of,
    work_off,
)
from tests.support.scripted import ScriptedServer, answer

SILENT = Unknown("no answer: 600 s have passed", reply=Reply.SILENT)


@pytest.fixture
def target() -> PatientTarget:
    return PatientTarget()


class World:
    """Two nodes over one store, each with a target of its own, by one clock."""

    def __init__(self, store: Store, clock: Clock, *, request_timeout: float = 10.0, **limits: Any) -> None:
        self.store, self.clock, self.monotonic = store, clock, Monotonic()
        self.target = PatientTarget(request_timeout=request_timeout)
        self.other_target = PatientTarget(request_timeout=request_timeout)
        self.node = node(store, self.target, self.monotonic, **limits)
        self.other = node(store, self.other_target, self.monotonic, **limits)

    def forward(self, seconds: float) -> None:
        self.clock.forward(int(seconds * SECOND))
        self.monotonic.now += seconds

    async def begin(self, **given: Any) -> dict[str, Any]:
        """A cron job whose request is under way, and hangs."""
        self.target.hang()
        (job,) = await owe(self.store, **given)
        await claim_all(self.node)
        await self.target.arrived(1)
        return job

    async def end(self) -> None:
        for one in (self.target, self.other_target):
            one.open.set()
        await self.node.settled()
        await self.other.settled()


@pytest.fixture
async def world(store: Store, clock: Clock) -> AsyncIterator[World]:
    made = World(store, clock)
    yield made
    await made.end()


# Places


@pytest.fixture
async def receivers() -> AsyncIterator[tuple[ScriptedServer, ScriptedServer]]:
    """A receiver that never answers, and one that does at once. They are one host."""
    async with ScriptedServer(scripted.hang) as hanging, ScriptedServer(answer(200)) as quick:
        yield hanging, quick


async def test_places__hanging_ones_take_none_of_others(
    store: Store, monotonic: Monotonic, receivers: tuple[ScriptedServer, ScriptedServer]
) -> None:
    """A hundred of one account hang, on real sockets: what else it and others send goes out at this very instant."""
    hanging, quick = receivers
    target = HttpTarget(egress=Egress(["127.0.0.0/8"]), longest=900, connections=16 + 64)
    dispatcher = node(store, target, monotonic, in_flight=64, in_flight_per_account=8)
    accounts = [await make_account(store) for _ in range(7)]
    slow, others = accounts[0], accounts[1:]

    def to(server: ScriptedServer, **more: Any) -> dict[str, Any]:
        public = {"delivery_http_method": "post", "delivery_http_url": server.url, **more}
        return {"target": "http", "destination": json.dumps(public), "secret": None}

    await owe(store, slow, 100, **to(hanging, delivery_http_timeout=60 * SECOND))
    await claim_all(dispatcher)
    while len(hanging.requests) < 4:
        hanging.arrived.clear()
        await hanging.arrived.wait()
    found = Counter((row.state, row.reason) for row in await read_firings(store))
    assert found == {("sending", None): 4, ("pending", "long_limit"): 96}, "a quarter is one account's"
    assert len(dispatcher.admission.long) == 4

    for account in accounts:
        await owe(store, account, 4, **to(quick))
    for account in others:
        await owe(store, account, 10, **to(hanging, delivery_http_timeout=60 * SECOND))
    await work_off_ordinary(dispatcher, quick, 4 * len(accounts))
    assert len(quick.requests) == 4 * len(accounts)
    while len(hanging.requests) < 4 + 4 + 4 + 4:
        hanging.arrived.clear()
        await hanging.arrived.wait()
    held = Counter(
        row.account_id for row in await read_firings(store) if row.state == "sending" and not row.reason
    )
    assert sum(held.values()) == 16, "all places for these are taken"
    assert len(held) > 4, "the last quarter is for accounts that hold none"
    assert max(held.values()) == 4
    await dispatcher.stop(0.0)
    await target.close()


async def work_off_ordinary(dispatcher: Any, quick: ScriptedServer, count: int) -> None:
    """Until so many were answered; the clock stands still."""
    while len(quick.requests) < count or dispatcher.admission.sending:
        await claim_all(dispatcher)
        if dispatcher.admission.sending:
            await asyncio.sleep(0)


@pytest.mark.parametrize("places", [0, 1, 2, 5])
async def test_places__few_or_none(store: Store, clock: Clock, places: int) -> None:
    world = World(store, clock, long=places)
    world.target.hang()
    await owe(store, count=5)
    await claim_all(world.node)
    await world.target.arrived(1)
    seconds = [destination.seconds for destination in world.target.destinations]
    if places:
        assert seconds == [MINUTES], "an account has a quarter, and one at least"
    else:
        assert seconds == [None] * 5, "without places they are as others, and take no longer"
        assert len(world.node.admission.long) == 0
    await world.end()


async def test_place__is_given_back(world: World, store: Store) -> None:
    for number in range(1, 9):
        (job,) = await owe(store)
        await work_off(world.node)
        assert (await read_firing(store, job["cronjob_id"])).state == "delivered"
        assert len(world.target.messages) == number
    assert len(world.node.admission.long) == 0
    assert world.node.in_flight == 0


# What they leave alone


async def test_slow_ones__do_not_make_their_account_slow(store: Store, monotonic: Monotonic) -> None:
    target = PatientTarget()
    admission = node(store, target, monotonic, in_flight_per_account=64, long=4).admission
    long = [
        claim(cronjob_id=str(n), destination=json.dumps({"to": "x", TIMEOUT: 60 * SECOND})) for n in range(50)
    ]
    usual = [claim(cronjob_id=f"usual-{n}", destination=json.dumps({"to": "x"})) for n in range(64)]
    for one in long[:THRESHOLD]:
        assert admission.admit(one) is None
        admission.learn(one, 60.0, SILENT)
        admission.leave(one)
    wait = admission.admit(long[20])
    assert wait is not None
    assert wait.reason is Reason.CIRCUIT_OPEN, "ten were not answered: the circuit is theirs"
    assert [admission.admit(one) for one in usual] == [None] * 64
    assert admission.held("a") == 64
    monotonic.now += 2.0
    assert admission.admit(long[21]) is None, "one tries"
    wait = admission.admit(long[22])
    assert wait is not None
    assert wait.reason is Reason.LONG_LIMIT
    admission.leave(long[21])
    assert (wait := admission.admit(long[22])) is not None, "it did not say yet what came of it"
    assert wait.reason is Reason.CIRCUIT_OPEN
    # A request that may take minutes is no reason to wait for minutes.
    monotonic.now += target.request_timeout
    assert admission.admit(long[23]) is None


async def test_usual_ones__that_hang_do_not_keep_them(store: Store, monotonic: Monotonic) -> None:
    admission = node(store, PatientTarget(), monotonic, in_flight=64, in_flight_per_account=4).admission
    usual = [claim(cronjob_id=f"usual-{n}", destination=json.dumps({"to": "x"})) for n in range(5)]
    assert [admission.admit(one) is None for one in usual] == [True] * 4 + [False]
    places = {"a": 0}
    wait = admission.admit(usual[4], places)
    assert wait is not None
    assert wait.reason is Reason.ACCOUNT_LIMIT
    assert admission.admit(claim(destination=json.dumps({"to": "x", TIMEOUT: 60 * SECOND})), places) is None
    assert (admission.sending, len(admission.long), places) == (4, 1, {"a": 0})


async def test_host_limit__counts_them_in_the_second_in_which_they_begin(
    store: Store, monotonic: Monotonic
) -> None:
    limits = {"in_flight_per_host": 4, "per_second_per_host": 8}
    admission = node(store, PatientTarget(), monotonic, **limits).admission
    for number in range(4):
        hanging = claim(cronjob_id=f"long-{number}", destination=json.dumps({"to": "x", TIMEOUT: MINUTE}))
        assert admission.admit(hanging) is None
    usual = [claim(cronjob_id=f"usual-{n}", destination=json.dumps({"to": "x"})) for n in range(4)]
    assert [admission.admit(one) is None for one in usual] == [True, True, False, False], (
        "six of eight a second"
    )
    monotonic.now += 1.0
    assert [admission.admit(one) is None for one in usual[2:]] == [True, False], "three of four at once"


async def test_cronjob_limit__holds(world: World, store: Store) -> None:
    world.target.hang()
    account = await make_account(store)
    (job,) = await owe(store, account, max_in_flight=1)
    await make_firing(store, job, scheduled_at=NOON - MINUTE, due_at=NOON - MINUTE)
    await claim_all(world.node)
    rows = await read_firings(store, job["cronjob_id"])
    assert [(row.state, row.reason) for row in rows] == [("sending", None), ("pending", "cronjob_limit")]


# The lease


async def test_lease__is_renewed_until_the_answer_comes(world: World, store: Store) -> None:
    job = await world.begin()
    for _ in range(25):
        world.forward(20)
        await world.node.renewing.step()
        await claim_all(world.other)
        await claim_all(world.node)
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.lease_no, row.sent_at, row.duration) == ("sending", 1, NOON, None)
    assert row.due_at == NOON + (500 + 60) * SECOND
    (shown,) = await store.transact(
        lambda connection: ledger.list_until(connection, job["account_id"], job["cronjob_id"], NOON, 1)
    )
    said = of_row(shown, None, None)
    assert said == "Due: attempt 1 is on its way, since 2026-11-24T12:00:00Z.", "why says since when"
    world.target.open.set()
    await world.node.settled()
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.attempt, row.sent_at, row.duration) == ("delivered", 1, NOON, 500 * SECOND)
    assert [len(world.target.messages), len(world.other_target.messages)] == [1, 0]
    assert not await read_attempts(store, job["cronjob_id"])


async def test_lease__of_a_node_that_died_is_another_ones_when_it_ends(world: World, store: Store) -> None:
    job = await world.begin()
    world.forward(20)
    await world.node.renewing.step()
    world.node.renewing.stop()
    world.forward(59.9)
    await claim_all(world.other)
    assert not world.other_target.messages, "a lease lasts from its last renewal on"
    world.forward(0.2)
    world.other_target.hang()
    await claim_all(world.other)
    await world.other_target.arrived(1)
    (first,), (second,) = world.target.messages, world.other_target.messages
    assert (second.firing_id, second.attempt) == (first.firing_id, 2)

    # It was not dead, only still: it hears that its lease is lost, and neither renews nor records.
    before = await read_firing(store, job["cronjob_id"])
    await world.node.renewing.step()
    await world.node.settled()
    assert await read_firing(store, job["cronjob_id"]) == before
    (told,) = await read_attempts(store, job["cronjob_id"])
    assert (told.lease_no, told.outcome, told.detail) == (
        1,
        "unknown",
        "The lease was lost while this was sent.",
    )
    assert len(world.node.admission.long) == 0

    world.forward(30)
    await world.other.renewing.step()
    world.other_target.open.set()
    await world.other.settled()
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.attempt, row.lease_no, row.lost_leases) == ("delivered", 2, 2, 0)
    assert (row.sent_at - NOON, row.duration) == (80_100_000, 30 * SECOND)


async def test_lease__that_ended_while_the_database_was_away_is_renewed_before_anything_is_claimed(
    world: World, store: Store
) -> None:
    job = await world.begin()
    world.node.renewing.stop()
    world.forward(300)
    await claim_all(world.node)
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.lease_no, row.due_at) == ("sending", 1, NOON + 360 * SECOND)
    await claim_all(world.other)
    assert [len(world.target.messages), len(world.other_target.messages)] == [1, 0]


async def test_lease__of_what_is_answered_at_once_costs_no_statement(
    world: World, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(world.node.renewing, "step", asked.append)
    await owe(store, count=3)
    await work_off(world.node)
    assert len(world.target.messages) == 3
    assert not asked


async def test_lease__too_short_for_the_writing_of_a_request_is_given_back(
    world: World, store: Store
) -> None:
    (job,) = await owe(store)
    clock = store.clock

    async def slow() -> int:
        world.monotonic.now += 51.0  # the lease is 60 s, and a request is written within 10 s
        return await clock()

    store.clock = slow  # type: ignore[method-assign]
    await world.node.step()
    await world.node.settled()
    store.clock = clock  # type: ignore[method-assign]
    assert not world.target.messages
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.attempt) == ("pending", 0)
    world.forward(MINUTES)
    await work_off(world.node)
    assert (await read_firing(store, job["cronjob_id"])).state == "delivered"


async def test_target__that_keeps_no_time_is_cut_off(store: Store, clock: Clock) -> None:
    world = World(store, clock, request_timeout=0.01, lease=0.05)
    job = await world.begin(seconds=0.02)
    await world.node.settled()
    (told,) = await read_attempts(store, job["cronjob_id"])
    assert told.detail == "The target took longer than the lease."


async def test_stop__gives_it_up_after_the_grace(world: World, store: Store) -> None:
    job = await world.begin()
    await world.node.stop(0.0)
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.reason, row.attempt) == ("pending", "unconfirmed", 1)
    (told,) = await read_attempts(store, job["cronjob_id"])
    assert told.detail == "The server was stopped while it sent this."
    assert world.node.in_flight == 0


# Policies


@pytest.mark.parametrize(
    ("overlap", "then"), [("skip", ("skipped", "overlap")), ("queue", ("pending", "earlier_firing"))]
)
async def test_overlap__holds_for_as_long_as_it_takes(
    world: World, store: Store, overlap: str, then: tuple[str, str]
) -> None:
    job = await world.begin(overlap=overlap)
    for _ in range(10):
        world.forward(30)
        await world.node.renewing.step()
    now = world.clock.now
    await make_firing(store, job, scheduled_at=now, due_at=now, created_at=now)
    await claim_all(world.other)
    first, second = await read_firings(store, job["cronjob_id"])
    assert (first.state, (second.state, second.reason)) == ("sending", then)
    await world.end()
    first, second = await read_firings(store, job["cronjob_id"])
    assert first.state == "delivered"
    if overlap == "queue":
        assert second.due_at == now, "it is due at once"


async def test_max_age__ends_it_after_an_attempt_that_took_longer(world: World, store: Store) -> None:
    world.target.script = lambda _: SILENT
    job = await world.begin(max_age=5 * MINUTE)
    for _ in range(10):
        world.forward(60)
        await world.node.renewing.step()
    await world.end()
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.reason, row.attempt) == ("failed", "max_age", 1)
    assert row.duration == 10 * MINUTE


# The timeout of a connection


async def test_connection__whose_timeout_is_long_and_changes(store: Store, monotonic: Monotonic) -> None:
    account = await make_account(store)
    public = {"base_url": "https://a.example/v1", "timeout": MINUTES * SECOND}
    made = StoredConnection(uuid_of("conn"), account, "c", "http", json.dumps(public), 1, NOON, NOON, "key")
    await store.transact(lambda connection: connections.insert_connection(connection, made, None))
    target = PatientTarget(name="http")
    dispatcher = node(store, target, monotonic)
    urls = {"delivery_http_url": "https://a.example/v1/x"}
    given: dict[str, Any] = {"target": "http", "secret": None, "connection_id": made.connection_id}
    (job,) = await owe(store, account, destination=json.dumps(urls), **given)
    await owe(store, account, destination=json.dumps({**urls, TIMEOUT: 5 * SECOND}), **given)
    await work_off(dispatcher)
    found = {sent.public[TIMEOUT]: sent.seconds for sent in target.destinations}
    assert found == {MINUTES * SECOND: MINUTES, 5 * SECOND: None}, "that of a cron job goes before"

    def shorten(connection: Any) -> None:
        parameters = json.dumps({**public, "timeout": 5 * SECOND})
        connection.execute(update(tables.connection).values(parameters=parameters, version=2))

    await store.transact(shorten)
    await make_firing(store, job, scheduled_at=NOON - HOUR, due_at=NOON - HOUR)
    await work_off(dispatcher)
    assert target.destinations[-1].seconds is None
