"""Which claimed firings may go out, and what becomes of those that may not, over both databases."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from cronally.engine import backoff
from cronally.engine.admission import Limits
from cronally.engine.circuits import THRESHOLD
from cronally.engine.dispatcher import AGAIN_LEAST, Dispatcher
from cronally.instants import DAY, MINUTE, SECOND
from cronally.store import Store
from cronally.store.claims import Record
from cronally.targets.target import Delivered, Message, Outcome, Refused, Reply, Retry, Unknown
from tests.support.factories import (
    NOON,
    Clock,
    Monotonic,
    ScriptedTarget,
    account_values,
    cronjob_values,
    firing_values,
    insert_rows,
    name_of,
    read_attempts,
    read_firing,
    read_firings,
    uuid_of,
    vault,
)

pytestmark = pytest.mark.sample


class World:
    """A dispatcher whose clocks stand still, and accounts with a cron job for each host."""

    def __init__(self, store: Store, clock: Clock, monotonic: Monotonic, **limits: Any) -> None:
        self.store, self.clock, self.monotonic = store, clock, monotonic
        self.target = ScriptedTarget(script=self._answer)
        self.silent: set[str] = set()
        """Hosts that do not answer."""
        self.records: list[Record] = []
        self.opened = 0
        self.dispatcher = Dispatcher(
            store,
            vault(),
            {"scripted": self.target},
            Limits(**limits),
            chance=lambda: 0.5,
            monotonic=monotonic,
            observe=self.records.extend,
            opened=self._count,
        )
        self._accounts: set[str] = set()
        self._number = 0

    def _count(self) -> None:
        self.opened += 1

    def _answer(self, message: Message) -> Outcome:
        host = name_of(message.cronjob_id).rpartition("-")[2]
        return Unknown("no answer", reply=Reply.SILENT) if host in self.silent else Delivered(None)

    async def owe(self, account: str, host: str, count: int = 1, **given: Any) -> None:
        """So many due firings of an account's cron job for a host."""
        job = cronjob_values(
            account,
            cronjob_id=f"{account}-{host}",
            next_fire_at=None,
            destination=json.dumps({"to": host}),
            **given,
        )
        if account not in self._accounts:
            await insert_rows(self.store, "account", [account_values(account)])
        if (account + host) not in self._accounts:
            await insert_rows(self.store, "cronjob", [job])
        self._accounts |= {account, account + host}
        rows = []
        for _ in range(count):
            self._number += 1
            at = self.clock.now - self._number
            rows.append(firing_values(job, scheduled_at=at, due_at=at, created_at=self.clock.now))
        await insert_rows(self.store, "firing", rows)

    async def work(self) -> None:
        """Work off what is due, at this instant."""
        busy = True
        while busy:
            claimed = await self.dispatcher.step() == 0.0
            busy = claimed or self.dispatcher._recorder.unwritten > 0
            await self.dispatcher._recorder.flushed()
            if self.target.open.is_set():
                await self.dispatcher.settled()

    def forward(self, seconds: float) -> None:
        self.clock.forward(int(seconds * SECOND))
        self.monotonic.now += seconds

    async def states(self, account: str, host: str) -> list[tuple[str, str | None]]:
        return [
            (row.state, row.reason)
            for row in await read_firings(self.store)
            if name_of(row.cronjob_id) == f"{account}-{host}"
        ]


@pytest.fixture
def world(store: Store, clock: Clock, monotonic: Monotonic) -> Any:
    return lambda **limits: World(store, clock, monotonic, **limits)


async def test_host_limit__of_all_accounts_together_in_flight(world: Any) -> None:
    it = world(in_flight_per_host=8)
    it.target.hang()
    for account in "abc":
        await it.owe(account, "one", 10)
    await it.owe("d", "other", 1)
    await it.work()
    await it.target.arrived(9)
    assert len(it.target.messages) == 6 + 2 + 1, "three quarters, one each for two more, and the other host"
    rows = [row for row in await read_firings(it.store) if row.state == "pending"]
    assert {row.reason for row in rows} == {"host_limit"}
    assert {(row.attempt, row.sent_at) for row in rows} == {(0, None)}
    it.target.open.set()
    await it.dispatcher.settled()


async def test_host_limit__a_second(world: Any) -> None:
    it = world(per_second_per_host=8)
    await it.owe("a", "one", 30)
    counts = []
    for _ in range(60):
        await it.work()
        counts.append(len(it.target.messages))
        it.forward(0.25)
        if counts[-1] == 30:
            break
    seconds = [after - before for before, after in zip([0, *counts[3::4]], counts[3::4], strict=False)]
    assert max(seconds) <= 8
    assert counts[-1] == 30
    assert {state for state, _ in await it.states("a", "one")} == {"delivered"}
    waits = [record for record in it.records if record.state == "pending"]
    assert len(waits) < 3 * 30, "each is told about when to come"


async def test_circuit__opens_and_what_waits_for_it_says_so(world: Any) -> None:
    it = world()
    it.silent.add("dead")
    await it.owe("a", "dead", THRESHOLD + 5)
    await it.work()
    assert it.opened == 1
    sent = len(it.target.messages)
    assert sent <= THRESHOLD + 5
    before = await read_attempts(it.store, "a-dead")
    await it.owe("a", "dead", 1)
    await it.work()
    assert len(it.target.messages) == sent
    assert ("pending", "circuit_open") in await it.states("a", "dead")
    assert await read_attempts(it.store, "a-dead") == before
    # It answers again: the first that is let through closes the circuit.
    it.silent.clear()
    for _ in range(5):
        it.forward(2.0)
        await it.work()
    assert {state for state, _ in await it.states("a", "dead")} == {"delivered"}
    assert it.dispatcher.admission.circuits.open_count == 0


async def test_circuit__of_one_account_does_not_hold_back_another(world: Any) -> None:
    """An account may point its jobs at a path of somebody's host that never answers. That must not harm others."""
    it = world()
    it.target.script = lambda message: (
        Delivered(None)
        if name_of(message.cronjob_id).startswith("good")
        else Unknown("none", reply=Reply.SILENT)
    )
    await it.owe("hostile", "shared", THRESHOLD)
    await it.work()
    assert it.dispatcher.admission.circuits.open_count == 1
    await it.owe("good", "shared")
    await it.work()
    assert await it.states("good", "shared") == [("delivered", None)]
    assert it.dispatcher.admission.circuits.open_count == 1


@pytest.mark.parametrize(
    ("outcome", "opens"),
    [
        (Unknown("no answer: 10 s have passed", reply=Reply.SILENT), 1),
        (Retry("not sent: connection refused", reply=Reply.SILENT), 1),
        (Retry("HTTP 503"), 0),
        (Unknown("cut"), 0),
        (Retry("not sent: too many host names are being looked up", reply=Reply.NOT_ASKED), 0),
    ],
)
async def test_circuit__opens_by_silence_alone(world: Any, outcome: Outcome, opens: int) -> None:
    it = world()
    it.target.script = lambda _message: outcome
    await it.owe("a", "one", THRESHOLD)
    await it.work()
    assert it.opened == opens


@pytest.mark.parametrize(
    "outcome", [Retry("not sent", reply=Reply.NOT_ASKED), Refused("not public", reply=Reply.UNFIT)]
)
async def test_circuit__is_not_closed_by_an_attempt_that_reached_nobody(world: Any, outcome: Outcome) -> None:
    it = world()
    it.silent.add("dead")
    await it.owe("a", "dead", THRESHOLD)
    await it.work()
    assert it.dispatcher.admission.circuits.open_count == 1
    sent = len(it.target.messages)
    it.target.script = lambda _message: outcome
    it.forward(2.0)
    await it.owe("a", "dead")
    await it.work()
    assert len(it.target.messages) > sent
    assert it.dispatcher.admission.circuits.open_count == 1


async def test_shares__what_was_not_asked_of_a_receiver_does_not_make_it_slow(world: Any) -> None:
    it = world()
    it.target.hang()
    it.target.script = lambda _message: Retry("not sent", reply=Reply.NOT_ASKED)
    await it.owe("a", "one")
    await it.work()
    await it.target.arrived(1)
    before = it.dispatcher.admission.rooms().shares.room_of_idle(uuid_of("a"))
    it.forward(4.0)
    it.target.open.set()
    await it.dispatcher.settled()
    assert it.dispatcher.admission.held(uuid_of("a")) == 0
    assert it.dispatcher.admission.rooms().shares.room_of_idle(uuid_of("a")) == before


@pytest.mark.parametrize(
    ("outcome", "quick"),
    [
        (Retry("HTTP 503"), True),
        (Unknown("no answer: the answer came in more than 512 pieces", reply=Reply.UNFIT), False),
        (Retry("not sent: TLS failed", reply=Reply.SILENT), False),
    ],
)
async def test_shares__quick_is_who_answers(world: Any, outcome: Outcome, quick: bool) -> None:
    it = world()
    it.target.script = lambda _message: outcome
    await it.owe("a", "one")
    await it.work()
    assert it.dispatcher.admission.rooms().shares.is_quick(uuid_of("a")) == quick


async def test_put_off__is_claimed_again_when_it_is_due(world: Any) -> None:
    it = world(in_flight_per_host=1)
    it.target.hang()
    await it.owe("a", "one", 1)
    assert await it.dispatcher.step() is None
    await it.owe("b", "one", 1)
    again = await it.dispatcher.step()
    assert again == AGAIN_LEAST
    await it.dispatcher._recorder.flushed()
    it.forward(again)
    assert await it.dispatcher.step() == again, "it was put off for the second time"
    it.target.open.set()
    await it.dispatcher.settled()
    assert await it.dispatcher.step() == again, "it is not due yet"
    it.forward(again)
    assert await it.dispatcher.step() is None
    await it.dispatcher.settled()
    assert await it.states("b", "one") == [("delivered", None)]


async def test_put_off__is_not_forgotten_when_it_is_written_late(world: Any, monkeypatch: Any) -> None:
    """A claim that comes before the record is durable finds nothing: another must follow without a wake-up."""
    it = world(in_flight_per_host=1)
    it.target.hang()
    await it.owe("a", "one", 1)
    await it.dispatcher.step()
    await it.owe("b", "one", 1)
    writable = asyncio.Event()
    write = it.dispatcher._recorder._write

    async def write_later(batch: list[Record]) -> None:
        await writable.wait()
        await write(batch)

    monkeypatch.setattr(it.dispatcher._recorder, "_write", write_later)
    await it.dispatcher.step()
    it.forward(5.0)
    assert await it.dispatcher.step() == AGAIN_LEAST
    writable.set()
    it.target.open.set()
    await it.dispatcher.settled()
    assert await it.dispatcher.step() is None
    await it.dispatcher.settled()
    assert await it.states("b", "one") == [("delivered", None)]


async def test_put_off__burns_no_attempt_and_keeps_what_the_last_one_was(world: Any) -> None:
    it = world()
    it.silent.add("dead")
    await it.owe("a", "dead", THRESHOLD)
    await it.work()
    (row, *_) = await read_firings(it.store)
    assert (row.attempt, row.reason) == (1, "unconfirmed")
    sent_at, duration, version = row.sent_at, row.duration, row.version
    assert sent_at is not None
    it.dispatcher.admission.circuits.begin((uuid_of("a"), "scripted:dead"), it.monotonic.now + 100.0)
    it.forward(5.0)
    await it.work()
    (row, *_) = await read_firings(it.store)
    assert (row.state, row.reason, row.attempt) == ("pending", "circuit_open", 1)
    assert (row.sent_at, row.duration, row.version) == (sent_at, duration, version)


async def test_put_off__is_missed_once_misfire_grace_is_over(world: Any, store: Store, clock: Clock) -> None:
    it = world(in_flight_per_host=1)
    it.target.hang()
    await it.owe("a", "one", 1)
    await it.work()
    await it.owe("b", "one", 1)
    for _ in range(200):
        await it.work()
        ((state, _),) = await it.states("b", "one")
        if state == "missed":
            break
        clock.forward(15 * MINUTE)
    row = await read_firing(store, "b-one")
    assert (row.state, row.reason, row.attempt, row.due_at) == ("missed", "misfire_grace", 0, None)
    assert DAY < row.finished_at - row.scheduled_at <= DAY + 15 * MINUTE
    it.target.open.set()
    await it.dispatcher.settled()


def test_next_claim__waits_half_as_long_again_as_it_has_waited() -> None:
    now, claims, ends = NOON, 0, NOON + DAY
    while now <= ends:
        now, claims = backoff.next_claim_at(now, NOON, ends, 0.0, 0.5), claims + 1
    assert claims < 125
    assert now == ends + 1, "it is looked at when its time is over"
    assert backoff.next_claim_at(now, NOON, ends, 0.0, 0.5) == now
    assert backoff.next_claim_at(NOON, NOON, ends, 0.0, 0.0) == NOON + backoff.PUT_OFF_LEAST * 3 // 4
    assert backoff.next_claim_at(NOON, NOON, ends, 8.0, 0.5) == NOON + 8 * SECOND
    assert backoff.next_claim_at(NOON + 10 * SECOND, NOON, ends, 8.0, 0.5) == NOON + 18 * SECOND
