"""Acknowledgements of firings: asked for with the message, heard, overdue, delivered again, on one node and on two."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, select

from cronally import errors
from cronally.acknowledgement import Ack, Acknowledgement, Word
from cronally.engine.acknowledging import Acknowledging
from cronally.engine.admission import Limits
from cronally.engine.dispatcher import Dispatcher
from cronally.instants import DAY, MINUTE, SECOND
from cronally.operations.acknowledging import Acknowledging as Hearing
from cronally.store import Store, acknowledgements, cronjobs, open_store, reopening, tables
from cronally.targets.target import Refused, Retry
from tests.engine.owing import owe, owe_more, sent
from tests.support.examples import examples
from tests.support.factories import (
    LINKS,
    NOON,
    Clock,
    ScriptedTarget,
    make_cronjob,
    make_firing,
    read,
    read_attempts,
    read_firing,
    read_firings,
    vault,
    work_off,
)
from tests.support.statements import sent_by

T = TypeVar("T")
WITHIN = 60 * SECOND


def node(store: Store, target: ScriptedTarget) -> Dispatcher:
    return Dispatcher(store, vault(), {"scripted": target}, Limits(), links=LINKS, chance=lambda: 0.5)


def token(target: ScriptedTarget, place: int = -1) -> str:
    url = target.messages[place].ack_url
    assert url is not None
    return url.split("/")[4]


async def say(
    store: Store, of: str, word: Word, exit_code: int | None = None, body: bytes = b"", links: Any = LINKS
) -> str:
    hearing = Hearing(store, vault(), links)
    return str((await hearing.hear(hearing.meant(of), word, exit_code, body)).received)


async def ack_of(store: Store, job: Any) -> Acknowledgement | None:
    """That of the only firing of a cron job."""
    row = await read_firing(store, job["cronjob_id"])
    key = (row.cronjob_id, row.scheduled_at, row.kind)
    found = await store.transact(
        lambda connection: acknowledgements.list_acknowledgements(connection, job["account_id"], [key])
    )
    return found.get(key)


async def delivered(store: Store, target: ScriptedTarget, **given: Any) -> dict[str, Any]:
    """A cron job whose firing of noon was delivered, to be acknowledged in a minute."""
    job = await make_cronjob(store, next_fire_at=None, **{"ack_within": WITHIN, **given})
    await make_firing(store, job)
    await work_off(node(store, target))
    return job


# What is asked for


async def test_message__carries_a_url_where_an_acknowledgement_is_asked_for(
    store: Store, target: ScriptedTarget
) -> None:
    job = await delivered(store, target)
    plain = await make_cronjob(store, next_fire_at=None)
    await make_firing(store, plain)
    await work_off(node(store, target))
    assert LINKS.read(token(target, 0)) == ((job["cronjob_id"], NOON, "scheduled"), 0)
    assert target.messages[1].ack_url is None
    assert "ack" not in repr(target.messages[0])
    rows = await read(store, select(tables.acknowledgement.c.cronjob_id))
    assert [row[0] for row in rows] == [job["cronjob_id"]]


async def test_send__without_a_public_url_waits_for_the_operator(
    store: Store, target: ScriptedTarget
) -> None:
    job = await make_cronjob(store, next_fire_at=None, ack_within=WITHIN)
    await make_firing(store, job)
    await work_off(Dispatcher(store, vault(), {"scripted": target}, Limits(), chance=lambda: 0.5))
    assert not target.messages
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.reason) == ("pending", "unsendable")
    (attempt,) = await read_attempts(store, job["cronjob_id"])
    assert "CRONALLY_PUBLIC_URL" in attempt.detail


@pytest.mark.turns
async def test_record__of_what_nobody_acknowledges_costs_no_statement(
    store: Store, target: ScriptedTarget
) -> None:
    async def statements(**policies: Any) -> list[str]:
        job = await make_cronjob(store, next_fire_at=None, **policies)
        await owe_more(store, job, range(NOON - 9 * MINUTE, NOON + 1, MINUTE))
        with sent_by(store) as found:
            await work_off(node(store, target))
        return found

    without, with_ack = await statements(), await statements(ack_within=WITHIN)
    again = await statements()
    assert sorted(without) == sorted(again)
    # Ten firings are one read and one write.
    assert len(with_ack) - len(without) == 2
    assert not [one for one in without if "acknowledgement" in one]


# What is said


async def test_word__before_the_delivery_is_recorded_is_kept(store: Store, target: ScriptedTarget) -> None:
    """A receiver may be faster than the record of what it got."""
    job = await make_cronjob(store, next_fire_at=None, ack_within=WITHIN)
    await make_firing(store, job)
    target.hang()
    dispatcher = node(store, target)
    await dispatcher.step()
    await target.arrived(1)
    assert await say(store, token(target), Word.START) == "start"
    assert await say(store, token(target), Word.DONE) == "done"
    target.open.set()
    await dispatcher.settled()
    found = await ack_of(store, job)
    assert found is not None
    assert (found.ack, found.started_at, found.deadline_at) == (Ack.ACKNOWLEDGED, NOON, None)
    assert found.delivered_at is not None
    assert (await read_firing(store, job["cronjob_id"])).state == "delivered"


async def test_word__of_an_attempt_that_did_not_deliver_counts_too(
    store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    """It was not confirmed, and had arrived."""
    job = await make_cronjob(store, next_fire_at=None, ack_within=WITHIN)
    await make_firing(store, job)
    target.script = lambda _message: Retry("busy")
    await work_off(node(store, target))
    await say(store, token(target), Word.DONE)
    clock.forward(DAY // 2)
    target.script = ScriptedTarget().script
    await work_off(node(store, target))
    assert token(target, 0) == token(target, 1)
    found = await ack_of(store, job)
    assert found is not None
    assert (found.ack, found.ended_at) == (Ack.ACKNOWLEDGED, NOON)


async def test_body__is_kept_sealed_the_end_of_it_and_the_newest_of_the_account(
    store: Store, target: ScriptedTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acknowledgements, "BODIES_KEPT", 1)
    first = await delivered(store, target)
    await say(store, token(target), Word.FAIL, 3, b"x" * 20_000 + b"the end")
    bodies = await read(store, select(tables.acknowledgement_body))
    assert [(one.cut, one.cronjob_id) for one in bodies] == [(1, first["cronjob_id"])]
    assert b"the end" not in bodies[0].secret
    assert len(bodies[0].secret) < 11_000
    for minute in (1, 2):
        job = await make_cronjob(store, first["account_id"], next_fire_at=None, ack_within=WITHIN)
        await make_firing(store, job)
        await work_off(node(store, target))
        store.clock.now = NOON + minute * MINUTE  # type: ignore[attr-defined]
        await say(store, token(target), Word.LOG, None, b"more")
    kept = await read(store, select(tables.acknowledgement_body.c.received_at))
    assert sorted(row[0] for row in kept) == [NOON + MINUTE, NOON + 2 * MINUTE]


async def test_body__of_a_deleted_cron_job_is_not_kept(store: Store, target: ScriptedTarget) -> None:
    job = await delivered(store, target)
    await store.transact(
        lambda connection: (
            connection.execute(
                tables.cronjob.update().values(state="deleted", next_fire_at=None, purge_at=NOON)
            )
            and None
        )
    )
    await say(store, token(target), Word.DONE, None, b"secret")
    assert not await read(store, select(tables.acknowledgement_body))
    found = await ack_of(store, job)
    assert found is not None
    assert found.ack is Ack.ACKNOWLEDGED


async def test_word__of_a_firing_that_is_gone_is_as_unknown_as_a_forged_one(
    store: Store, target: ScriptedTarget
) -> None:
    await delivered(store, target)
    await store.transact(lambda connection: connection.execute(delete(tables.firing)) and None)
    with pytest.raises(errors.NotFound) as gone:
        await say(store, token(target), Word.DONE)
    with pytest.raises(errors.NotFound) as forged:
        await say(store, "A" * 60, Word.DONE)
    assert str(gone.value) == str(forged.value)


async def test_word__of_a_test_message_asks_no_database(store: Store) -> None:
    url = LINKS.of_nothing
    assert url is not None
    with sent_by(store) as statements:
        assert await say(store, url.split("/")[4], Word.DONE) == "done"
    assert not statements


# Time goes by


async def test_overdue__is_delivered_again_as_the_same_firing(
    store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    job = await delivered(store, target, ack_retry=1, retry_max_attempts=0)
    step = Acknowledging(store)
    first = await ack_of(store, job)
    assert first is not None
    assert first.deadline_at is not None
    clock.now = first.deadline_at - 1
    await step.step()
    assert (await read_firing(store, job["cronjob_id"])).state == "delivered"
    clock.now = first.deadline_at
    await step.step()
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.due_at, row.attempt) == ("pending", clock.now, 1)
    await work_off(node(store, target))
    assert [message.attempt for message in target.messages] == [1, 2]
    assert len({message.firing_id for message in target.messages}) == 1
    (attempt,) = await read_attempts(store, job["cronjob_id"])
    assert (attempt.outcome, attempt.reason) == ("delivered", "unacknowledged")
    # The receiver may still answer to the first.
    await say(store, token(target, 0), Word.DONE)
    found = await ack_of(store, job)
    assert found is not None
    assert (found.ack, found.retries, found.is_late) == (Ack.ACKNOWLEDGED, 1, False)


async def test_overdue__after_a_retry_that_failed(store: Store, target: ScriptedTarget, clock: Clock) -> None:
    job = await delivered(store, target, ack_retry=5)
    target.script = lambda _message: Refused("no such topic")
    for _ in range(3):
        clock.forward(2 * MINUTE)
        await Acknowledging(store).step()
        await work_off(node(store, target))
    assert (await read_firing(store, job["cronjob_id"])).state == "failed"
    found = await ack_of(store, job)
    assert found is not None
    assert (found.ack, found.retries) == (Ack.OVERDUE, 1)


@pytest.mark.parametrize("given", [{"own_message": 1}, {}])
async def test_overdue__is_not_delivered_again_without_its_message_or_its_cron_job(
    store: Store, target: ScriptedTarget, clock: Clock, given: dict[str, Any]
) -> None:
    job = await make_cronjob(store, next_fire_at=None, ack_within=WITHIN, ack_retry=1)
    await make_firing(store, job, **given)
    await work_off(node(store, target))
    if not given:
        gone = tables.cronjob.update().values(state="deleted", next_fire_at=None, purge_at=NOON)
        await store.transact(lambda connection: connection.execute(gone) and None)
    clock.forward(2 * MINUTE)
    await Acknowledging(store).step()
    found = await ack_of(store, job)
    assert found is not None
    assert found.ack is Ack.OVERDUE


async def test_step__ends_a_batch_and_says_when_the_next_is_due(
    store: Store, target: ScriptedTarget, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cronally.engine.acknowledging.BATCH", 2)
    assert await Acknowledging(store).step() is None
    job = await make_cronjob(store, next_fire_at=None, ack_within=WITHIN)
    await owe_more(store, job, range(NOON - 2 * MINUTE, NOON + 1, MINUTE))
    await work_off(node(store, target))
    waits = await Acknowledging(store).step()
    assert waits is not None
    assert waits > 30
    clock.forward(2 * MINUTE)
    assert await Acknowledging(store).step() == 0.0
    assert await Acknowledging(store).step() is None
    acks = await read(store, select(tables.acknowledgement.c.ack))
    assert [row[0] for row in acks] == ["overdue"] * 3


# What waits for it


async def test_queue__waits_until_it_is_acknowledged(
    store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    job = await owe(store, 3, ack_within=10 * MINUTE, overlap="queue")
    dispatcher = node(store, target)
    await work_off(dispatcher)
    assert sent(target) == [-2]
    clock.forward(2 * MINUTE)
    await work_off(dispatcher)
    assert sent(target) == [-2]
    await say(store, token(target), Word.START)
    await work_off(dispatcher)
    assert sent(target) == [-2]
    await say(store, token(target), Word.DONE)
    await work_off(dispatcher)
    assert sent(target) == [-2, -1]
    clock.forward(11 * MINUTE)
    await Acknowledging(store).step()
    await work_off(dispatcher)
    assert sent(target) == [-2, -1, 0]
    assert [row.state for row in await read_firings(store, job["cronjob_id"])] == ["delivered"] * 3


async def test_skip__goes_by_what_is_not_acknowledged(
    store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    job = await owe(store, 1, ack_within=10 * MINUTE, overlap="skip")
    dispatcher = node(store, target)
    await work_off(dispatcher)
    await owe_more(store, job, [NOON + MINUTE])
    clock.forward(MINUTE)
    await work_off(dispatcher)
    await say(store, token(target), Word.FAIL, 1)
    await owe_more(store, job, [NOON + 2 * MINUTE])
    clock.forward(MINUTE)
    await work_off(dispatcher)
    assert sent(target) == [0, 2]
    rows = await read_firings(store, job["cronjob_id"])
    assert [(row.state, row.reason, row.behind_at) for row in rows] == [
        ("delivered", None, None),
        ("skipped", "overlap", NOON),
        ("delivered", None, None),
    ]


# By chance, on two nodes


@dataclass
class Model:
    """What is to be seen of an acknowledgement, computed anew from all that happened since the last replay."""

    retry: int
    history: list[tuple[int, str, Any]] = field(default_factory=list)

    def expected(self) -> tuple[str, int | None, int | None, int] | None:
        """Where it stands, when it ended, when it was overdue, and how often it was delivered again."""
        done = min((at for at, what, _ in self.history if what == "done"), default=None)
        fail = min((at for at, what, _ in self.history if what == "fail"), default=None)
        ended = done if fail is None or (done is not None and done <= fail) else fail
        delivered, again, overdue, started = None, 0, None, False
        for at, what, _ in self.history:
            if what == "delivered":
                delivered = at
            elif what == "start" and (ended is None or at < ended):
                started = True
            elif what == "end" and overdue is None and (ended is None or at < ended):
                if delivered is None or at < delivered + WITHIN:
                    continue
                if again < self.retry:
                    again, delivered, started = again + 1, None, False
                else:
                    overdue = at
        if not any(what == "delivered" for _, what, _ in self.history):
            return None
        if done is not None:
            return "acknowledged", done, overdue, again
        if fail is not None:
            return "failed", fail, overdue, again
        if overdue is not None:
            return "overdue", None, overdue, again
        return ("started" if started else "waiting"), None, None, again


class World:
    """Two nodes on one database, on which one example follows the other. SQLite has one store for both."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self.clock = Clock()
        self.stores = [self.run(open_store(url)) for _ in range(2 if url.startswith("postgresql") else 1)]
        for store in self.stores:
            store.clock = self.clock  # type: ignore[method-assign]
        self.target = ScriptedTarget()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def both(self, make: Any) -> None:
        """Do the same on both nodes at once."""

        async def together() -> None:
            await asyncio.gather(*[make(self.stores[number % len(self.stores)]) for number in range(2)])

        self.run(together())

    def begin(self, retry: int) -> None:
        self.clock.now = NOON
        self.target = ScriptedTarget()
        self.run(self.stores[0].transact(_forget))
        self.job = self.run(
            make_cronjob(self.stores[0], next_fire_at=None, ack_within=WITHIN, ack_retry=retry)
        )
        self.run(make_firing(self.stores[0], self.job))
        self.model = Model(retry)
        self.first_of_chain = 0

    def do(self, step: str, number: int) -> None:
        self.clock.forward(SECOND)
        count = len(self.target.messages)
        if step == "forward":
            self.clock.forward(35 * SECOND)
        elif step == "deliver":
            self.both(lambda store: work_off(node(store, self.target)))
            if len(self.target.messages) > count:
                self.model.history.append((self._finished(), "delivered", None))
        elif step == "end":
            self.both(lambda store: Acknowledging(store).step())
            self.model.history.append((self.clock.now, "end", None))
        elif step == "replay":
            if self.run(self._replay()):
                self.model.history.clear()
                self.first_of_chain = count
        elif count:
            place = number % count
            self.both(
                lambda store: say(store, token(self.target, place), Word(step), 7 if step == "fail" else None)
            )
            if place >= self.first_of_chain:
                self.model.history.append((self.clock.now, step, None))
        self.check()

    def _finished(self) -> int:
        return int(self.run(read_firing(self.stores[0], self.job["cronjob_id"])).finished_at)

    async def _replay(self) -> bool:
        def work(connection: Connection) -> bool:
            cronjobs.lock_cronjob(connection, self.job["account_id"], self.job["cronjob_id"])
            row = reopening.get_row(connection, self.job["cronjob_id"], NOON, "scheduled")
            if row is None or row.state != "delivered":
                return False
            reopening.reopen(connection, row, self.clock.now)
            return True

        return await self.stores[0].transact(work)

    def check(self) -> None:
        found = self.run(ack_of(self.stores[0], self.job))
        seen = None if found is None else (found.ack.value, found.ended_at, found.overdue_at, found.retries)
        assert seen == self.model.expected(), self.model.history

    def close(self) -> None:
        for store in self.stores:
            self.run(store.close())
        self._runner.close()


def _forget(connection: Connection) -> None:
    for name in ("acknowledgement", "acknowledgement_body", "attempt", "firing", "cronjob"):
        connection.execute(delete(tables.metadata.tables[name]))


@pytest.fixture
def world(migrated_url: str) -> Iterator[World]:
    world = World(migrated_url)
    yield world
    world.close()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "deliver",
                "deliver",
                "forward",
                "forward",
                "end",
                "end",
                "replay",
                "start",
                "done",
                "fail",
                "log",
            ]
        ),
        st.integers(0, 5),
    ),
    min_size=1,
    max_size=14,
)


@pytest.mark.turns
def test_acknowledgements__by_chance_on_two_nodes(world: World) -> None:
    @settings(examples(40), suppress_health_check=[*HealthCheck])
    @given(st.integers(0, 2), STEPS)
    def check(retry: int, steps: Sequence[tuple[str, int]]) -> None:
        world.begin(retry)
        for step, number in [("deliver", 0), *steps]:
            world.do(step, number)

    check()
