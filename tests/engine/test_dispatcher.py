"""The dispatcher: what each outcome makes of a firing, and what it does when target, secret or database fail it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from cronally import errors, failpoints
from cronally.cronjob import DEFAULT_RETRY_MAX_ATTEMPTS
from cronally.engine import dispatcher as dispatcher_module
from cronally.engine import recorder, sender
from cronally.engine.admission import Limits
from cronally.engine.dispatcher import Dispatcher
from cronally.engine.verdict import verdict
from cronally.firing import Reason, firing_id
from cronally.instants import DAY, HOUR, MINUTE, SECOND
from cronally.store import Signal, Store
from cronally.store.attempts import ATTEMPTS_KEPT
from cronally.targets.target import (
    Delivered,
    Destination,
    Message,
    Outcome,
    Refused,
    Retry,
    Unauthorized,
    Unknown,
)
from tests.support.factories import (
    CANARY,
    NOON,
    Clock,
    Monotonic,
    ScriptedTarget,
    make_account,
    make_cronjob,
    make_firing,
    read_attempts,
    read_details,
    read_firing,
    read_firings,
    vault,
    work_off,
)


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.disarm()


class Killed(BaseException):
    """What a failpoint raises here instead of killing the process."""


Make = Callable[..., Dispatcher]


@pytest.fixture
def make(store: Store, target: ScriptedTarget, monotonic: Monotonic) -> Make:
    """Makes dispatchers over the store and the scripted target; half the jitter, a clock that stands still."""

    def dispatcher(**given: Any) -> Dispatcher:
        return Dispatcher(
            store,
            given.get("vault", vault()),
            given.get("targets", {"scripted": target}),
            given.get("limits", Limits()),
            chance=lambda: 0.5,
            monotonic=monotonic,
            observe=given.get("observe", lambda _records: None),
        )

    return dispatcher


async def test_delivered__is_recorded(
    store: Store, make: Make, target: ScriptedTarget, monotonic: Monotonic
) -> None:
    job = await make_cronjob(store, name="Näme", version=3)
    await make_firing(store, job)

    def answer(message: Message) -> Outcome:
        monotonic.now += 0.25
        return Delivered("id-of-sns")

    target.script = answer
    await work_off(make())
    assert target.messages == [
        Message(firing_id(job["cronjob_id"], NOON), job["cronjob_id"], "Näme", NOON, attempt=1)
    ]
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.message_id, row.attempt, row.version) == ("delivered", "id-of-sns", 1, 3)
    assert (row.sent_at, row.duration, row.finished_at) == (NOON, SECOND // 4, NOON + SECOND // 4)
    assert row.due_at is row.reason is None
    assert not await read_attempts(store, job["cronjob_id"])


async def test_destination__is_opened_just_before_the_send(
    store: Store, make: Make, target: ScriptedTarget
) -> None:
    job = await make_cronjob(store)
    await make_firing(store, job)
    await work_off(make())
    assert target.destinations == [
        Destination("scripted", {"scripted_topic": "reports"}, {"scripted_secret": CANARY}, job["account_id"])
    ]
    assert CANARY not in repr(target.destinations)


@pytest.mark.parametrize(
    ("outcome", "reason", "wait"),
    [
        (Retry("busy"), Reason.TARGET_UNAVAILABLE, SECOND),
        (Unknown("cut"), Reason.UNCONFIRMED, SECOND),
        (Retry("busy", after=90.0), Reason.TARGET_UNAVAILABLE, 91 * SECOND),
        (Retry("busy", after=1e12), Reason.TARGET_UNAVAILABLE, HOUR + SECOND),
        (Retry("busy", after=float("nan")), Reason.TARGET_UNAVAILABLE, SECOND),
        (Retry("busy", after=-5.0), Reason.TARGET_UNAVAILABLE, SECOND),
        (Unauthorized("keys"), Reason.TARGET_UNAUTHORIZED, int(7.2 * SECOND)),
        (Refused("topic", final=False), Reason.TARGET_REFUSED, int(7.2 * SECOND)),
    ],
)
async def test_retry__waits_as_backoff_says(
    store: Store, make: Make, target: ScriptedTarget, outcome: Outcome, reason: Reason, wait: int
) -> None:
    job = await make_cronjob(store)
    await make_firing(store, job)
    target.script = lambda _message: outcome
    await work_off(make())
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.reason, row.attempt, row.due_at) == (
        "pending",
        reason,
        1,
        NOON + wait,
    )
    assert row.finished_at is None
    (attempt,) = await read_attempts(store, job["cronjob_id"])
    assert (attempt.outcome, attempt.reason) == (type(outcome).__name__.lower(), row.reason)
    assert attempt.detail == outcome.detail  # type: ignore[union-attr]
    assert (attempt.attempt, attempt.started_at, attempt.lease_no) == (1, NOON, 1)


async def test_retry__then_delivered_keeps_both_and_one_id(
    store: Store, make: Make, target: ScriptedTarget, clock: Clock
) -> None:
    job = await make_cronjob(store)
    await make_firing(store, job)
    dispatcher = make()
    target.script = lambda message: Delivered("at last") if message.attempt == 3 else Unknown("cut")
    for _ in range(3):
        await work_off(dispatcher)
        clock.forward(MINUTE)
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.attempt, row.reason, row.message_id) == ("delivered", 3, None, "at last")
    assert [attempt.attempt for attempt in await read_attempts(store, job["cronjob_id"])] == [1, 2]
    assert [message.attempt for message in target.messages] == [1, 2, 3]
    assert len({message.firing_id for message in target.messages}) == 1


async def test_retry__never_early(store: Store, make: Make, target: ScriptedTarget, clock: Clock) -> None:
    job = await make_cronjob(store)
    await make_firing(store, job)
    target.script = lambda _message: Retry("busy", after=60.0)
    dispatcher = make()
    await work_off(dispatcher)
    clock.forward(60 * SECOND)
    await work_off(dispatcher)
    assert len(target.messages) == 1
    clock.forward(SECOND)
    await work_off(dispatcher)
    assert len(target.messages) == 2


@pytest.mark.parametrize("outcome", [Unauthorized("keys"), Refused("topic", final=False)])
async def test_refusal_that_may_pass__is_failed_after_five_tries_in_ten_minutes(
    store: Store, make: Make, target: ScriptedTarget, clock: Clock, outcome: Outcome
) -> None:
    job = await make_cronjob(store)
    await make_firing(store, job)
    target.script = lambda _message: outcome
    dispatcher = make()
    for _ in range(20):
        await work_off(dispatcher)
        row = await read_firing(store, job["cronjob_id"])
        if row.state == "failed":
            break
        clock.now = row.due_at
    assert (row.state, row.attempt, row.finished_at) == ("failed", 5, clock.now)
    assert len(target.messages) == 5
    assert 9 * MINUTE < clock.now - NOON < 11 * MINUTE
    assert len(await read_attempts(store, job["cronjob_id"])) == 5


async def test_refused__is_failed_at_once(store: Store, make: Make, target: ScriptedTarget) -> None:
    job = await make_cronjob(store)
    await make_firing(store, job)
    target.script = lambda _message: Refused("InvalidParameter: no")
    await work_off(make())
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.reason, row.attempt) == ("failed", Reason.TARGET_REFUSED, 1)
    assert (row.due_at, row.finished_at) == (None, NOON)
    (attempt,) = await read_attempts(store, job["cronjob_id"])
    assert (attempt.reason, attempt.detail) == (Reason.TARGET_REFUSED, "InvalidParameter: no")


async def test_retry__ends_with_the_age(
    store: Store, make: Make, target: ScriptedTarget, clock: Clock
) -> None:
    job = await make_cronjob(store)
    fired = NOON - DAY
    await make_firing(store, job, scheduled_at=fired, created_at=fired, attempt=1, lease_no=1)
    target.script = lambda _message: Retry("busy")
    await work_off(make())
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.reason, row.attempt) == ("failed", "max_age", 2)
    (attempt,) = await read_attempts(store, job["cronjob_id"])
    assert attempt.reason == "target_unavailable"


async def test_attempts__the_last_are_kept(
    store: Store, make: Make, target: ScriptedTarget, clock: Clock
) -> None:
    job = await make_cronjob(store)
    await make_firing(store, job)
    target.script = lambda _message: Retry("busy")
    dispatcher = make()
    for _ in range(ATTEMPTS_KEPT + 3):
        await work_off(dispatcher)
        clock.forward(HOUR)
    kept = [attempt.attempt for attempt in await read_attempts(store, job["cronjob_id"])]
    assert kept == list(range(4, ATTEMPTS_KEPT + 4))


async def test_retry__ends_with_the_attempts(store: Store, make: Make, target: ScriptedTarget) -> None:
    job = await make_cronjob(store)
    last = 1 + DEFAULT_RETRY_MAX_ATTEMPTS
    await make_firing(store, job, attempt=last - 1, lease_no=last - 1)
    target.script = lambda _message: Retry("busy")
    await work_off(make())
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.attempt) == ("failed", last)


async def test_lease__nearly_over_is_released_unsent(
    store: Store, make: Make, target: ScriptedTarget, monotonic: Monotonic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim took so long that a request would outlast the lease."""
    job = await make_cronjob(store)
    await make_firing(store, job)
    transact = store.transact

    async def slowly(work: Any) -> Any:
        result = await transact(work)
        monotonic.now += 50.0  # the lease is 60 s, a request may take 10 s
        return result

    dispatcher = make()
    monkeypatch.setattr(store, "transact", slowly)
    await dispatcher.step()
    monkeypatch.undo()
    await dispatcher.settled()
    assert not target.messages
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.attempt, row.lease_no, row.lost_leases) == ("pending", 0, 1, 0)
    assert row.due_at == NOON + 50 * SECOND
    assert not await read_attempts(store, job["cronjob_id"])


async def test_lease__just_long_enough_is_sent(
    store: Store, make: Make, target: ScriptedTarget, monotonic: Monotonic, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_firing(store, await make_cronjob(store))
    transact = store.transact

    async def slowly(work: Any) -> Any:
        result = await transact(work)
        monotonic.now += 49.999
        return result

    dispatcher = make()
    monkeypatch.setattr(store, "transact", slowly)
    await dispatcher.step()
    monkeypatch.undo()
    await dispatcher.settled()
    assert len(target.messages) == 1


async def test_lease__target_that_outlasts_it_is_cut_off(
    store: Store, make: Make, target: ScriptedTarget, caplog: pytest.LogCaptureFixture
) -> None:
    """A target that breaks its promise must not hold a place for ever, nor send when others may."""
    job = await make_cronjob(store)
    await make_firing(store, job)
    target.request_timeout = 0.01
    target.hang()
    await work_off(make(limits=Limits(lease=1.0)))
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.reason) == ("pending", Reason.UNCONFIRMED)
    assert await read_details(store) == {"The target took longer than the lease."}
    assert "longer than the lease" in caplog.text


def test_limits__lease_must_outlast_a_request(target: ScriptedTarget) -> None:
    with pytest.raises(ValueError, match="ends before a request does"):
        Dispatcher(_NoStore(), vault(), {"scripted": target}, Limits(lease=10.0))  # type: ignore[arg-type]


class _NoStore:
    def subscribe(self, signal: Signal) -> asyncio.Event:
        return asyncio.Event()

    async def transact(self, work: Any) -> Any:
        raise AssertionError


@pytest.mark.parametrize(
    "problem", [RuntimeError(f"with {CANARY}"), TimeoutError(), KeyError("x"), asyncio.InvalidStateError()]
)
async def test_target__that_raises_costs_one_attempt(
    store: Store, make: Make, target: ScriptedTarget, problem: Exception
) -> None:
    job = await make_cronjob(store)
    await make_firing(store, job)

    def answer(_message: Message) -> Outcome:
        raise problem

    target.script = answer
    dispatcher = make()
    await work_off(dispatcher)
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.attempt) == ("pending", 1)
    assert row.reason == Reason.ATTEMPT_FAILED
    assert await read_details(store) == {f"Cronally failed while it sent this ({type(problem).__name__})."}
    assert dispatcher.in_flight == 0


async def test_target__that_answers_nonsense_costs_one_attempt(
    store: Store, make: Make, target: ScriptedTarget
) -> None:
    job = await make_cronjob(store)
    await make_firing(store, job)
    target.script = lambda _message: None  # type: ignore[assignment, return-value]
    dispatcher = make()
    await work_off(dispatcher)
    assert (await read_firing(store, job["cronjob_id"])).state == "pending"
    assert dispatcher.in_flight == 0


async def test_target__unknown_is_retried(store: Store, make: Make) -> None:
    job = await make_cronjob(store, target="pigeon")
    await make_firing(store, job)
    await work_off(make())
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.reason) == ("pending", Reason.UNSENDABLE)
    assert await read_details(store) == {"No target pigeon."}


async def test_secret__that_does_not_open_is_retried(
    store: Store, make: Make, target: ScriptedTarget, clock: Clock
) -> None:
    job = await make_cronjob(store)
    await make_firing(store, job)
    await work_off(make(vault=vault("k2", 9)))
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.reason) == ("pending", Reason.UNSENDABLE)
    (detail,) = await read_details(store)
    assert "the sealing key k1 is missing" in detail
    assert not target.messages
    # Once the key is there, it goes out.
    clock.forward(MINUTE)
    await work_off(make())
    assert (await read_firing(store, job["cronjob_id"])).state == "delivered"


async def test_secret__of_another_row_does_not_open(store: Store, make: Make, target: ScriptedTarget) -> None:
    """Sealed bytes that somebody moved from one tenant's row to another's."""
    victim = await make_cronjob(store)
    thief = await make_cronjob(store, secret=victim["secret"])
    await make_firing(store, thief)
    await work_off(make())
    assert not target.messages
    assert (await read_firing(store, thief["cronjob_id"])).reason == Reason.UNSENDABLE
    (detail,) = await read_details(store)
    assert "does not open" in detail


async def test_destination__that_cannot_be_read_is_retried_and_frees_its_place(
    store: Store, make: Make, target: ScriptedTarget
) -> None:
    job = await make_cronjob(store, destination="{no json")
    await make_firing(store, job)
    dispatcher = make()
    await work_off(dispatcher)
    assert (await read_firing(store, job["cronjob_id"])).state == "pending"
    assert dispatcher.in_flight == 0
    assert not target.messages


async def test_secret__is_in_no_log_and_no_repr(
    store: Store, make: Make, target: ScriptedTarget, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    jobs = [await make_cronjob(store) for _ in range(3)]
    for job in jobs:
        await make_firing(store, job)

    def answer(message: Message) -> Outcome:
        if message.cronjob_id == jobs[0]["cronjob_id"]:
            raise RuntimeError("broken")
        return Retry("busy") if message.cronjob_id == jobs[1]["cronjob_id"] else Delivered("x")

    target.script = answer
    dispatcher = make()
    records: list[Any] = []
    await work_off(make(observe=records.extend))
    await work_off(dispatcher)
    seen = [caplog.text, repr(records), repr(dispatcher), repr(vars(dispatcher))]
    seen += [repr(row) for row in await read_firings(store)]
    assert len(records) == 3
    assert "an attempt failed" in caplog.text
    assert all(CANARY not in text for text in seen)


async def test_stop__waits_for_what_is_in_flight(store: Store, make: Make, target: ScriptedTarget) -> None:
    job = await make_cronjob(store)
    await make_firing(store, job)
    target.hang()
    dispatcher = make()
    await dispatcher.step()
    await target.arrived(1)
    stopping = asyncio.create_task(dispatcher.stop(30.0))
    await asyncio.sleep(0)
    target.open.set()
    await stopping
    assert (await read_firing(store, job["cronjob_id"])).state == "delivered"


async def test_stop__cuts_off_what_hangs_and_records_it(
    store: Store, make: Make, target: ScriptedTarget
) -> None:
    job = await make_cronjob(store)
    await make_firing(store, job)
    target.hang()
    dispatcher = make()
    await dispatcher.step()
    await target.arrived(1)
    await dispatcher.stop(0.0)
    row = await read_firing(store, job["cronjob_id"])
    # It may have arrived: the attempt counts.
    assert (row.state, row.attempt) == ("pending", 1)
    assert row.reason == Reason.UNCONFIRMED
    assert await read_details(store) == {"The server was stopped while it sent this."}
    assert dispatcher.in_flight == 0


async def test_stop__right_after_the_claim_leaves_nothing_leased(
    store: Store, make: Make, target: ScriptedTarget
) -> None:
    for _ in range(20):
        await make_firing(store, await make_cronjob(store))
    target.hang()
    dispatcher = make()
    await dispatcher.step()
    await dispatcher.stop(0.0)
    assert Counter(row.state for row in await read_firings(store)) == {"pending": 20}


async def test_stop__of_sends_that_have_not_begun_ends(
    store: Store, make: Make, target: ScriptedTarget
) -> None:
    await make_firing(store, await make_cronjob(store))
    dispatcher = make()
    await dispatcher.step()
    await dispatcher.stop(0.0)
    assert not target.messages
    assert dispatcher.in_flight == 0
    (row,) = await read_firings(store)
    assert (row.state, row.attempt) == ("pending", 0), "released, and no attempt burned"


async def test_stop__nothing_in_flight(make: Make) -> None:
    await make().stop(10.0)


async def test_stop__ends_although_the_database_is_gone(
    store: Store,
    make: Make,
    target: ScriptedTarget,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    job = await make_cronjob(store)
    await make_firing(store, job)
    monkeypatch.setattr(dispatcher_module, "LAST_RECORDS", 0.05)
    target.hang()
    dispatcher = make()
    await dispatcher.step()
    await target.arrived(1)
    outage = Outage(store, monkeypatch)
    target.open.set()
    await dispatcher.stop(5.0)
    assert "not recorded" in caplog.text
    outage.over()
    # The lease ends by itself.
    assert (await read_firing(store, job["cronjob_id"])).state == "sending"


class Outage:
    """A database that does not answer, until it is over."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tries = 0
        self.tried = asyncio.Event()
        self._patch = monkeypatch
        self._store = store
        self._transact: Callable[[Any], Awaitable[Any]] = store.transact
        monkeypatch.setattr(store, "transact", self._refuse)

    async def _refuse(self, work: Any) -> Any:
        self.tries += 1
        self.tried.set()
        raise errors.Unavailable

    def over(self) -> None:
        self._patch.setattr(self._store, "transact", self._transact)


async def test_outage__records_wait_and_arrive_and_places_stay_taken(
    store: Store, make: Make, target: ScriptedTarget, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await make_account(store)
    jobs = [await make_cronjob(store, account) for _ in range(3)]
    for job in jobs:
        await make_firing(store, job)
    target.hang()
    dispatcher = make(limits=Limits(in_flight=100, in_flight_per_account=2))
    await dispatcher.step()
    await target.arrived(2)
    outage = Outage(store, monkeypatch)
    target.open.set()
    await outage.tried.wait()
    assert dispatcher.in_flight == 2
    outage.over()
    # The records come first: their leases have ended meanwhile, and a claim would send them again.
    clock.forward(HOUR)
    dispatcher.wake.clear()
    assert await dispatcher.step() is None
    await dispatcher.settled()
    assert dispatcher.in_flight == 0
    assert dispatcher.wake.is_set()
    assert Counter(row.state for row in await read_firings(store)) == {"delivered": 2, "pending": 1}
    await work_off(dispatcher)
    assert len(target.messages) == 3


async def test_outage__while_claiming_is_the_loops_business(
    store: Store, make: Make, target: ScriptedTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_firing(store, await make_cronjob(store))
    dispatcher = make()
    outage = Outage(store, monkeypatch)
    with pytest.raises(errors.Unavailable):
        await dispatcher.step()
    outage.over()
    await work_off(dispatcher)
    assert len(target.messages) == 1


@pytest.mark.parametrize("text", ["a\0b", "\ud800 half", "x" * 100_000, "", "'; DROP TABLE firing; --"])
async def test_record__whatever_the_target_says_is_kept(
    store: Store, make: Make, target: ScriptedTarget, text: str
) -> None:
    jobs = [await make_cronjob(store) for _ in range(3)]
    for job in jobs:
        await make_firing(store, job)
    outcomes: dict[str, Outcome] = {
        jobs[0]["cronjob_id"]: Retry(text),
        jobs[1]["cronjob_id"]: Delivered(text),
        jobs[2]["cronjob_id"]: Refused(text),
    }
    target.script = lambda message: outcomes[message.cronjob_id]
    await work_off(make())
    states = [(await read_firing(store, job["cronjob_id"])).state for job in jobs]
    assert states == ["pending", "delivered", "failed"]


async def test_record__that_cannot_be_written_does_not_hurt_the_others(
    store: Store,
    make: Make,
    target: ScriptedTarget,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    jobs = [await make_cronjob(store) for _ in range(5)]
    for job in jobs:
        await make_firing(store, job)

    def unwritable(claim: Any, sent: Any, chance: float) -> Any:
        record = verdict(claim, sent, chance)
        return replace(record, message_id="\0\ud800") if claim.cronjob_id == jobs[2]["cronjob_id"] else record

    monkeypatch.setattr(sender, "verdict", unwritable)
    dispatcher = make()
    await work_off(dispatcher)
    states = [(await read_firing(store, job["cronjob_id"])).state for job in jobs]
    assert states == ["delivered", "delivered", "sending", "delivered", "delivered"]
    assert dispatcher.in_flight == 0, "its place is free; its lease ends by itself"
    assert "a record cannot be written" in caplog.text


async def test_recorder__batches_what_comes_in_during_a_commit(
    store: Store, make: Make, target: ScriptedTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await make_account(store)
    for _ in range(40):
        await make_firing(store, await make_cronjob(store, account))
    batches: list[int] = []
    target.hang()
    dispatcher = make(observe=lambda records: batches.append(len(records)))
    await dispatcher.step()
    await target.arrived(40)
    target.open.set()
    await dispatcher.settled()
    assert sum(batches) == 40
    assert len(batches) <= 2, "the first at once, the others together"


async def test_recorder__observer_that_raises_loses_no_record(
    store: Store, make: Make, target: ScriptedTarget, caplog: pytest.LogCaptureFixture
) -> None:
    def observe(_records: Any) -> None:
        raise LookupError("metrics")

    dispatcher = make(observe=observe)
    for _ in range(3):
        await make_firing(store, await make_cronjob(store))
        await work_off(dispatcher)
    assert Counter(row.state for row in await read_firings(store)) == {"delivered": 3}
    assert dispatcher.in_flight == 0


@pytest.mark.parametrize("point", ["claim.before_commit", "record.before_commit"])
async def test_kill__before_a_commit_loses_nothing(
    store: Store, make: Make, target: ScriptedTarget, point: str, clock: Clock
) -> None:
    job = await make_cronjob(store)
    await make_firing(store, job)

    def kill() -> None:
        raise Killed

    failpoints.arm(point, kill)
    dead = make()
    with contextlib.suppress(Killed):
        await dead.step()
        await dead.settled()
    failpoints.disarm()
    row = await read_firing(store, job["cronjob_id"])
    assert row.state == ("pending" if point == "claim.before_commit" else "sending")
    clock.forward(MINUTE)
    await work_off(make())
    row = await read_firing(store, job["cronjob_id"])
    assert row.state == "delivered"
    assert {message.firing_id for message in target.messages} == {firing_id(job["cronjob_id"], NOON)}
    assert len(target.messages) == (1 if point == "claim.before_commit" else 2)


async def test_step__nothing_to_claim(make: Make) -> None:
    assert await make().step() is None


async def test_wake__is_that_of_new_firings(store: Store, make: Make) -> None:
    dispatcher = make()
    await store.announce(Signal.FIRINGS)
    assert dispatcher.wake.is_set()


def test_recorder__pauses_are_bounded() -> None:
    assert recorder.PAUSE_CEILING <= 5.0
