"""The sender: what goes out together, and what becomes of each firing when that fails in every way."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally import failpoints
from cronally.engine.admission import Admission, Limits
from cronally.engine.dispatcher import Dispatcher
from cronally.engine.renewing import Renewing
from cronally.engine.sender import Lease, Sender
from cronally.firing import Reason, State
from cronally.instants import SECOND
from cronally.store import Store
from cronally.store.claims import Claim, Record
from cronally.targets.target import (
    BatchTarget,
    Delivered,
    Outcome,
    Refused,
    Retry,
    Sending,
    Unauthorized,
    Unknown,
)
from tests.support.factories import (
    NOON,
    Monotonic,
    ScriptedTarget,
    cronjob_values,
    deliver,
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

BatchScript = Callable[[Sequence[Sending]], Sequence[Outcome] | None]


def deliver_all(sendings: Sequence[Sending]) -> Sequence[Outcome]:
    """The script that delivers every batch."""
    return [deliver(message) for _, message in sendings]


@dataclass
class BatchingTarget(ScriptedTarget):
    """A target that takes up to ten firings with one topic at once, but none of the topic `alone`."""

    batch_script: BatchScript = deliver_all
    requests: list[list[str]] = field(default_factory=list)
    """The cron jobs of each request of `send_batch`."""

    def batches(self, sendings: Sequence[Sending]) -> list[list[int]]:
        places: dict[str, list[int]] = {}
        for place, (destination, _) in enumerate(sendings):
            places.setdefault(destination.public["scripted_topic"], []).append(place)
        return [
            of_topic[start : start + size]
            for topic, of_topic in places.items()
            for size in [1 if topic == "alone" else 10]
            for start in range(0, len(of_topic), size)
        ]

    async def send_batch(self, sendings: Sequence[Sending]) -> Sequence[Outcome] | None:
        self.requests.append([message.cronjob_id for _, message in sendings])
        async with self._arrived:
            self.messages += [message for _, message in sendings]
            self.destinations += [destination for destination, _ in sendings]
            self._arrived.notify_all()
        await self.open.wait()
        return self.batch_script(sendings)


@pytest.fixture
def target() -> BatchingTarget:
    return BatchingTarget()


@pytest.fixture
def dispatcher(store: Store, target: BatchingTarget, monotonic: Monotonic) -> Dispatcher:
    return Dispatcher(store, vault(), {"scripted": target}, chance=lambda: 0.5, monotonic=monotonic)


def topic(name: str) -> dict[str, str]:
    return {"destination": json.dumps({"scripted_topic": name})}


async def make_due(store: Store, count: int, account: str | None = None, **values: Any) -> list[str]:
    """Due firings of so many cron jobs of one account."""
    account = account or await make_account(store)
    jobs = [await make_cronjob(store, account, **values) for _ in range(count)]
    for job in jobs:
        await make_firing(store, job)
    return [str(job["cronjob_id"]) for job in jobs]


async def states(store: Store) -> Counter[str]:
    return Counter(row.state for row in await read_firings(store))


def test_target__that_batches_is_known_by_its_methods(target: BatchingTarget) -> None:
    assert isinstance(target, BatchTarget)
    assert not isinstance(ScriptedTarget(), BatchTarget)


async def test_batch__each_firing_has_its_own_record(
    store: Store, dispatcher: Dispatcher, target: BatchingTarget, monotonic: Monotonic
) -> None:
    jobs = await make_due(store, 25)

    def answer(sendings: Sequence[Sending]) -> Sequence[Outcome]:
        monotonic.now += 0.25
        return deliver_all(sendings)

    target.batch_script = answer
    await work_off(dispatcher)
    assert [len(request) for request in target.requests] == [10, 10, 5]
    assert sorted(job for request in target.requests for job in request) == sorted(jobs)
    rows = await read_firings(store)
    for row, message in zip(rows, sorted(target.messages, key=lambda one: one.cronjob_id), strict=True):
        assert row.cronjob_id == message.cronjob_id
        assert (row.state, row.attempt) == ("delivered", 1)
        assert row.message_id == f"sns-{message.firing_id[:8]}"
        assert row.duration == SECOND // 4
    assert dispatcher.in_flight == 0


async def test_batch__never_of_two_accounts_or_two_topics(
    store: Store, dispatcher: Dispatcher, target: BatchingTarget
) -> None:
    groups = [
        await make_due(store, 3, account, **topic(name))
        for account in (await make_account(store), await make_account(store))
        for name in ("a", "b")
    ]
    await work_off(dispatcher)
    assert sorted(map(sorted, target.requests)) == sorted(map(sorted, groups))


async def test_batch__what_stands_alone_goes_out_as_ever(
    store: Store, dispatcher: Dispatcher, target: BatchingTarget
) -> None:
    await make_due(store, 3, **topic("alone"))
    await make_due(store, 1)
    await work_off(dispatcher)
    assert not target.requests
    assert len(target.messages) == 4
    assert await states(store) == {"delivered": 4}


async def test_batch__outcomes_of_every_kind(
    store: Store, dispatcher: Dispatcher, target: BatchingTarget
) -> None:
    jobs = await make_due(store, 5)
    outcomes: dict[str, Outcome] = dict(
        zip(
            jobs,
            [Delivered("m"), Retry("busy"), Unauthorized("keys"), Refused("no"), Unknown("cut")],
            strict=True,
        )
    )
    target.batch_script = lambda sendings: [outcomes[message.cronjob_id] for _, message in sendings]
    await work_off(dispatcher)
    rows = [await read_firing(store, job) for job in jobs]
    assert [(row.state, row.reason) for row in rows] == [
        ("delivered", None),
        ("pending", Reason.TARGET_UNAVAILABLE),
        ("pending", Reason.TARGET_UNAUTHORIZED),
        ("failed", Reason.TARGET_REFUSED),
        ("pending", Reason.UNCONFIRMED),
    ]
    kinds = [
        [(attempt.outcome, attempt.detail) for attempt in await read_attempts(store, job)] for job in jobs
    ]
    assert kinds == [
        [],
        [("retry", "busy")],
        [("unauthorized", "keys")],
        [("refused", "no")],
        [("unknown", "cut")],
    ]


async def test_batch__that_is_refused_goes_out_one_by_one_in_the_same_attempt(
    store: Store, dispatcher: Dispatcher, target: BatchingTarget
) -> None:
    await make_due(store, 12)
    target.batch_script = lambda _sendings: None
    await work_off(dispatcher)
    assert [len(request) for request in target.requests] == [10, 2]
    assert len(target.messages) == 12 + 12
    assert {message.attempt for message in target.messages} == {1}
    assert {(row.state, row.attempt, row.lease_no) for row in await read_firings(store)} == {
        ("delivered", 1, 1)
    }
    assert dispatcher.in_flight == 0


async def test_batch__that_is_refused_late_is_sent_under_no_lease_that_ends_too_soon(
    store: Store, dispatcher: Dispatcher, target: BatchingTarget, monotonic: Monotonic
) -> None:
    await make_due(store, 3)

    def refuse(_sendings: Sequence[Sending]) -> None:
        monotonic.now += 51.0  # the lease is 60 s, a request may take 10 s

    target.batch_script = refuse
    await dispatcher.step()
    await dispatcher.settled()
    assert len(target.messages) == 3
    assert {(row.state, row.attempt) for row in await read_firings(store)} == {("pending", 0)}


async def test_batch__that_is_refused_during_a_stop_is_given_back(
    store: Store, dispatcher: Dispatcher, target: BatchingTarget
) -> None:
    await make_due(store, 3)
    refused = asyncio.Event()

    async def stubborn(_sendings: Sequence[Sending]) -> None:
        """One that answers although it was cancelled."""
        try:
            await target.open.wait()
        except asyncio.CancelledError:
            refused.set()

    target.hang()
    target.send_batch = stubborn  # type: ignore[method-assign, assignment]
    await dispatcher.step()
    await asyncio.sleep(0)
    await dispatcher.stop(0.0)
    assert refused.is_set()
    assert not target.messages
    assert {(row.state, row.attempt) for row in await read_firings(store)} == {("pending", 0)}
    assert dispatcher.in_flight == 0


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(lambda _sendings: [Delivered("a")], id="too-few"),
        pytest.param(lambda sendings: [Delivered("a")] * (len(sendings) + 1), id="too-many"),
        pytest.param(lambda _sendings: 1 / 0, id="raises"),
        pytest.param(lambda sendings: ["nonsense"] * len(sendings), id="nonsense"),
    ],
)
async def test_target__that_breaks_its_promise_costs_each_one_attempt(
    store: Store, dispatcher: Dispatcher, target: BatchingTarget, script: BatchScript
) -> None:
    await make_due(store, 3)
    target.batch_script = script
    await work_off(dispatcher)
    rows = await read_firings(store)
    assert {(row.state, row.attempt) for row in rows} == {("pending", 1)}
    assert {row.reason for row in rows} == {Reason.ATTEMPT_FAILED}
    assert all("Cronally failed while it sent this" in detail for detail in await read_details(store))
    assert dispatcher.in_flight == 0


async def test_target__that_cannot_put_together_gets_each_alone(
    store: Store,
    dispatcher: Dispatcher,
    target: BatchingTarget,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await make_due(store, 3)
    monkeypatch.setattr(target, "batches", lambda _sendings: 1 / 0)
    await work_off(dispatcher)
    assert await states(store) == {"delivered": 3}
    assert "could not be put together" in caplog.text


async def test_secret__that_does_not_open_leaves_the_others_together(
    store: Store, dispatcher: Dispatcher, target: BatchingTarget
) -> None:
    account = await make_account(store)
    good = await make_due(store, 4, account)
    (bad,) = await make_due(store, 1, account, secret=b"moved from another row")
    await work_off(dispatcher)
    assert sorted(target.requests[0]) == sorted(good)
    assert (await read_firing(store, bad)).state == "pending"
    assert await states(store) == {"delivered": 4, "pending": 1}


async def test_lease__nearly_over_releases_the_whole_batch(
    store: Store,
    dispatcher: Dispatcher,
    target: BatchingTarget,
    monotonic: Monotonic,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await make_due(store, 3)
    transact = store.transact

    async def slowly(work: Any) -> Any:
        result = await transact(work)
        monotonic.now += 50.0
        return result

    monkeypatch.setattr(store, "transact", slowly)
    await dispatcher.step()
    monkeypatch.undo()
    await dispatcher.settled()
    assert not target.messages
    assert {(row.state, row.attempt) for row in await read_firings(store)} == {("pending", 0)}


async def test_lease__batch_that_outlasts_it_is_cut_off(store: Store, target: BatchingTarget) -> None:
    await make_due(store, 3)
    target.request_timeout = 0.01
    target.hang()
    # A claim on a busy machine takes a good part of a shorter one, and what is left of it is not enough to begin.
    dispatcher = Dispatcher(store, vault(), {"scripted": target}, Limits(lease=1.0))
    await work_off(dispatcher)
    rows = await read_firings(store)
    assert {(row.state, row.attempt) for row in rows} == {("pending", 1)}
    assert {row.reason for row in rows} == {Reason.UNCONFIRMED}
    assert await read_details(store) == {"The target took longer than the lease."}


async def test_stop__cuts_off_a_batch_and_records_each(
    store: Store, dispatcher: Dispatcher, target: BatchingTarget
) -> None:
    await make_due(store, 3)
    target.hang()
    await dispatcher.step()
    await target.arrived(3)
    await dispatcher.stop(0.0)
    rows = await read_firings(store)
    assert {(row.state, row.attempt) for row in rows} == {("pending", 1)}
    assert {row.reason for row in rows} == {Reason.UNCONFIRMED}
    assert await read_details(store) == {"The server was stopped while it sent this."}
    assert dispatcher.in_flight == 0


async def test_stop__waits_for_those_of_a_refused_batch_too(
    store: Store, dispatcher: Dispatcher, target: BatchingTarget
) -> None:
    await make_due(store, 3)
    target.batch_script = lambda _sendings: None
    target.hang()
    await dispatcher.step()
    await target.arrived(3)
    stopping = asyncio.create_task(dispatcher.stop(30.0))
    await asyncio.sleep(0)
    target.open.set()
    await stopping
    assert await states(store) == {"delivered": 3}


async def test_cap__counts_firings_not_requests(store: Store, target: BatchingTarget) -> None:
    await make_due(store, 30)
    target.hang()
    dispatcher = Dispatcher(
        store, vault(), {"scripted": target}, Limits(in_flight=100, in_flight_per_account=23)
    )
    while await dispatcher.step() == 0.0:
        pass
    await target.arrived(23)
    assert dispatcher.in_flight == len(target.messages) == 23
    assert await states(store) == {"sending": 23, "pending": 7}
    target.open.set()
    await dispatcher.settled()


async def test_failpoints__are_reached_once_a_request(
    store: Store, dispatcher: Dispatcher, target: BatchingTarget
) -> None:
    reached: list[str] = []
    await make_due(store, 20)
    try:
        for point in ("send.before", "send.after"):
            failpoints.arm(point, lambda point=point: reached.append(point))  # type: ignore[misc]
        await work_off(dispatcher)
    finally:
        failpoints.disarm()
    assert Counter(reached) == {"send.before": 2, "send.after": 2}


class _Kept:
    """A recorder that keeps what is handed in."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def add(self, record: Record) -> None:
        self.records.append(record)


RESULTS = st.sampled_from(
    [Delivered("m"), Retry("busy"), Unauthorized("keys"), Refused("no"), Unknown("cut"), "nonsense"]
)
ANSWERS = st.lists(RESULTS, max_size=12) | st.sampled_from([None, RuntimeError("broken"), "full"])


@given(
    firings=st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from(["one", "two", "alone"]),
            st.sampled_from(["scripted"] * 6 + ["pigeon", "sealed"]),
        ),
        max_size=40,
    ),
    answers=st.lists(ANSWERS, max_size=20),
    slow=st.booleans(),
)
def test_sender__every_firing_gets_exactly_one_record(
    firings: list[tuple[str, str, str]], answers: list[Any], slow: bool
) -> None:
    """Whatever targets answer, whoever breaks a promise, and whenever the lease runs out or the server stops."""
    waiting = list(answers)
    monotonic = Monotonic()

    def answer(sendings: Sequence[Sending]) -> Any:
        monotonic.now += 3.0
        found = waiting.pop() if waiting else "full"
        if isinstance(found, Exception):
            raise found
        return deliver_all(sendings) if found == "full" else found

    def answer_one(message: Any) -> Any:
        (outcome,) = (answer([(None, message)]) or [Retry("alone")])[:1] or [Retry("empty")]  # type: ignore[list-item]
        return outcome

    claims = []
    for number, (account, name, kind) in enumerate(firings):
        row = cronjob_values(f"account-{account}", **topic(name))
        if kind == "sealed":
            row["secret"] = b"not ours"
        target_name = "pigeon" if kind == "pigeon" else "scripted"
        claims.append(
            Claim(
                row["cronjob_id"], NOON + number, "scheduled", row["account_id"], 1, 1, 0, NOON, "active",
                1, "name", target_name, row["destination"], row["secret"], row["size"],
            )
        )  # fmt: skip

    async def run() -> list[Record]:
        kept = _Kept()
        target = BatchingTarget(script=answer_one, batch_script=answer)
        admission = Admission({"scripted": target}, Limits(), monotonic=monotonic)
        assert [admission.admit(claim) for claim in claims] == [None] * len(claims)
        sender = Sender(
            vault(),
            {"scripted": target},
            kept,  # type: ignore[arg-type]
            admission,
            lambda: None,
            renewing=Renewing(kept, 60.0, monotonic=monotonic),  # type: ignore[arg-type]
            chance=lambda: 0.5,
            monotonic=monotonic,
        )
        if slow:
            target.hang()
        lease = Lease(NOON, monotonic.now, monotonic.now + 60.0)
        sender.begin(claims, lease)
        sender.end_with(lease)
        assert admission.sending + len(kept.records) == len(claims)
        if slow:
            await asyncio.sleep(0)
            await sender.stop(0.0)
        await sender.settled()
        assert admission.sending == 0
        assert not any(admission.held(claim.account_id) for claim in claims)
        return kept.records

    records = asyncio.run(run())
    keys = Counter((record.claim.cronjob_id, record.claim.scheduled_at) for record in records)
    assert keys == {(claim.cronjob_id, claim.scheduled_at): 1 for claim in claims}
    for record in records:
        assert (record.due_at is None) == (record.state in (State.DELIVERED, State.FAILED))
