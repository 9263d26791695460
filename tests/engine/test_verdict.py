"""The verdict as a table, and the whole life of a firing as a state machine over the real store."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cronally.cronjob import DEFAULT_RETRY_MAX_ATTEMPTS, CatchUp
from cronally.engine.dispatcher import Dispatcher
from cronally.engine.scheduler import Scheduler
from cronally.engine.verdict import MAX_LOST_LEASES, MAX_TEXT, Sent, release, verdict
from cronally.firing import Reason, State
from cronally.instants import DAY, HOUR, MINUTE, SECOND
from cronally.store import Store, leases, open_store, outcomes, schedule
from cronally.store.claims import Claim
from cronally.targets.target import Delivered, Outcome, Refused, Repeated, Retry, Unauthorized, Unknown
from tests.support.examples import examples
from tests.support.factories import (
    NOON,
    Clock,
    Monotonic,
    ScriptedTarget,
    make_cronjob,
    read_attempts,
    read_firing,
    vault,
)

TERMINAL = frozenset({State.DELIVERED, State.FAILED, State.MISSED, State.SKIPPED})


def claim(**given: Any) -> Claim:
    return Claim(
        **{
            "cronjob_id": "c",
            "scheduled_at": NOON,
            "kind": "scheduled",
            "account_id": "a",
            "attempt": 1,
            "lease_no": 4,
            "lost_leases": 0,
            "created_at": NOON,
            "cronjob_state": "active",
            "version": 2,
            "name": "Reports",
            "target": "scripted",
            "destination": "{}",
            "secret": None,
            "size": 2,
            **given,
        }
    )


REASONS: dict[type[Outcome], Reason | None] = {
    Delivered: None,
    Retry: Reason.TARGET_UNAVAILABLE,
    Unauthorized: Reason.TARGET_UNAUTHORIZED,
    Refused: Reason.TARGET_REFUSED,
    Unknown: Reason.UNCONFIRMED,
    Repeated: Reason.REPEATED,
}
SENT = NOON + SECOND
ENDED = SENT + 300


@pytest.mark.parametrize(
    ("outcome", "attempt", "state", "due_in", "kept"),
    [
        (Delivered("m"), 1, State.DELIVERED, None, None),
        (Delivered(None), 186, State.DELIVERED, None, None),
        (Retry("r"), 1, State.PENDING, SECOND, "retry"),
        (Retry("r"), 185, State.PENDING, 450 * SECOND, "retry"),
        (Retry("r"), 186, State.FAILED, None, "retry"),
        (Retry("r", after=10.0), 1, State.PENDING, 11 * SECOND, "retry"),
        (Unknown("u"), 2, State.PENDING, 2 * SECOND, "unknown"),
        (Unknown("u"), 186, State.FAILED, None, "unknown"),
        (Unauthorized("k"), 1, State.PENDING, int(7.2 * SECOND), "unauthorized"),
        (Unauthorized("k"), 4, State.PENDING, int(460.8 * SECOND), "unauthorized"),
        (Unauthorized("k"), 5, State.FAILED, None, "unauthorized"),
        (Refused("t", final=False), 4, State.PENDING, int(460.8 * SECOND), "refused"),
        (Refused("t", final=False), 5, State.FAILED, None, "refused"),
        (Refused("t"), 1, State.FAILED, None, "refused"),
    ],
)
def test_verdict__table(
    outcome: Outcome, attempt: int, state: State, due_in: int | None, kept: str | None
) -> None:
    short = isinstance(outcome, Unauthorized | Refused)
    made = claim(attempt=attempt, refusals=attempt - 1 if short else 0)
    record = verdict(made, Sent(SENT, 300, outcome), chance=0.5)
    assert record.state is state
    assert record.due_at == (None if due_in is None else ENDED + due_in)
    assert record.finished_at == (ENDED if state in TERMINAL else None)
    assert (record.sent_at, record.duration, record.outcome) == (SENT, 300, kept)
    assert record.attempt is None, "the claim's own number"
    assert record.reason == REASONS[type(outcome)]
    assert record.detail == (None if isinstance(outcome, Delivered) else outcome.detail)
    assert record.message_id == (outcome.message_id if isinstance(outcome, Delivered) else None)


def test_reason__is_one_for_each_outcome_that_does_not_deliver() -> None:
    assert set(get_args(Outcome)) == REASONS.keys()
    assert len(set(REASONS.values())) == len(REASONS)


@pytest.mark.parametrize("reason", [Reason.UNSENDABLE, Reason.ATTEMPT_FAILED])
def test_reason__of_what_is_not_the_targets_fault(reason: Reason) -> None:
    record = verdict(claim(), Sent(SENT, 0, Retry("r"), reason), 0.5)
    assert (record.reason, record.outcome, record.detail) == (reason, "retry", "r")


def test_verdict__age_counts_from_the_rows_insertion() -> None:
    late = Sent(NOON + DAY, 0, Retry("r"))
    assert verdict(claim(), late, 0.5).state is State.FAILED
    assert verdict(claim(created_at=NOON + HOUR), late, 0.5).state is State.PENDING


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("a\0b", "a\N{REPLACEMENT CHARACTER}b"),
        ("\udcff", "?"),
        ("x" * 5000, "x" * MAX_TEXT),
        ("\U0001f552", "\U0001f552"),
    ],
)
def test_verdict__keeps_what_both_databases_can_hold(said: str, kept: str) -> None:
    assert verdict(claim(), Sent(SENT, 0, Retry(said)), 0.5).detail == kept
    assert verdict(claim(), Sent(SENT, 0, Delivered(said)), 0.5).message_id == kept


def test_release__burns_no_attempt() -> None:
    record = release(claim(attempt=3), SENT)
    assert (record.state, record.due_at, record.attempt) == (State.PENDING, SENT, 2)
    assert (record.outcome, record.reason, record.detail) == (None, None, None)
    assert (record.sent_at, record.finished_at) == (None, None)


OUTCOMES = st.sampled_from(
    [Delivered("m"), Retry("r"), Retry("r", 30.0), Unknown("u"), Unauthorized("k"), Refused("t", final=False)]
)

ARROWS = {
    (State.PENDING, State.SENDING),
    (State.SENDING, State.SENDING),  # a lease that ended
    (State.SENDING, State.PENDING),
    (State.SENDING, State.DELIVERED),
    (State.SENDING, State.FAILED),
    (State.SENDING, State.SKIPPED),
    (State.PENDING, State.SKIPPED),
    # Claimed and closed in one transaction.
    (State.PENDING, State.FAILED),
    (State.PENDING, State.MISSED),
    # One rule of the machine may go several ways along the arrows.
    (State.PENDING, State.DELIVERED),
    (State.PENDING, State.PENDING),
}


class LifeOfAFiring(RuleBasedStateMachine):
    """A firing between workers that deliver, fail, die and come back too late, and a tenant who deletes."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.clock = Clock()
        self.monotonic = Monotonic()
        self.lost: list[Claim] = []
        """Claims of workers that died or hang: they may still come back and record."""

    @initialize()
    def fire(self) -> None:
        self.store: Store = self.run(open_store(f"sqlite:///{Path(self.folder.name) / 'cronally.db'}"))
        self.store.clock = self.clock
        self.job = self.run(make_cronjob(self.store, catch_up=CatchUp.LATEST))
        self.run(Scheduler(self.store).tick(NOON))
        self.run(self.store.transact(self._stop_ticking))
        self.row = self.read()
        assert self.row.state == State.PENDING

    def _stop_ticking(self, connection: Any) -> None:
        connection.exec_driver_sql("UPDATE cronjob SET next_fire_at = NULL")

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.run(self.store.close())
        self.runner.close()
        self.folder.cleanup()

    def run(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    def read(self) -> Any:
        return self.run(read_firing(self.store, self.job["cronjob_id"]))

    @rule(seconds=st.integers(1, 120))
    def time_passes(self, seconds: int) -> None:
        self.clock.forward(seconds * SECOND)

    @rule()
    def time_passes_until_it_is_due(self) -> None:
        if self.row.due_at is not None:
            self.clock.now = max(self.clock.now, self.row.due_at)

    @rule(outcome=OUTCOMES)
    def dispatcher_works(self, outcome: Outcome) -> None:
        target = ScriptedTarget(script=lambda _message: outcome)

        async def work() -> None:
            dispatcher = Dispatcher(
                self.store, vault(), {"scripted": target}, chance=lambda: 0.5, monotonic=self.monotonic
            )
            await dispatcher.step()
            await dispatcher.settled()
            assert dispatcher.in_flight == 0

        due = self.row.due_at is not None and self.row.due_at <= self.clock.now
        deleted = self.row.state in (State.PENDING, State.SENDING) and self.deleted
        self.run(work())
        poison = self.row.state == State.SENDING and self.row.lost_leases + 1 >= MAX_LOST_LEASES
        assert len(target.messages) == (1 if due and not deleted and not poison else 0)

    @rule()
    def worker_claims_and_dies(self) -> None:
        claims = self.run(self.store.transact(self._claim))
        assert len(claims) == (self.row.due_at is not None and self.row.due_at <= self.clock.now)
        self.lost += claims

    def _claim(self, connection: Any) -> list[Claim]:
        now = self.clock.now
        return leases.claim_firings(connection, now, now + MINUTE, {self.job["account_id"]: 10})

    @precondition(lambda self: self.lost)
    @rule(outcome=OUTCOMES, which=st.integers(0, 100), give_up=st.booleans())
    def lost_worker_comes_back(self, outcome: Outcome, which: int, give_up: bool) -> None:
        old = self.lost[which % len(self.lost)]
        sent = Sent(self.clock.now, 0, outcome)
        record = release(old, self.clock.now) if give_up else verdict(old, sent, 0.5)
        before = self.read()
        self.run(self.store.transact(lambda connection: outcomes.record_outcomes(connection, [record])))
        if old.lease_no != before.lease_no or before.state != State.SENDING:
            assert self.read() == before, "the fence holds"

    @rule()
    def tenant_deletes(self) -> None:
        self.run(self.store.transact(self._delete))

    def _delete(self, connection: Any) -> None:
        schedule.skip_owed(connection, self.job["cronjob_id"], self.clock.now, Reason.DELETED)
        connection.exec_driver_sql("UPDATE cronjob SET state = 'deleted', secret = NULL, purge_at = 0")

    @property
    def deleted(self) -> bool:
        return bool(
            self.run(
                self.store.transact(
                    lambda connection: connection.exec_driver_sql(
                        "SELECT state = 'deleted' FROM cronjob"
                    ).scalar()
                )
            )
        )

    @invariant()
    def only_along_the_arrows(self) -> None:
        if not hasattr(self, "store"):
            return
        before, after = self.row, self.read()
        self.row = after
        if after == before:
            return
        assert State(before.state) not in TERMINAL, "what is finished stays as it is"
        assert (State(before.state), State(after.state)) in ARROWS
        assert after.lease_no >= before.lease_no
        # Every lease burns an attempt but one that is released.
        assert before.attempt - 1 <= after.attempt <= after.lease_no
        if after.lease_no > before.lease_no and after.state != State.SKIPPED:
            assert after.attempt >= before.attempt
        assert after.attempt <= 1 + DEFAULT_RETRY_MAX_ATTEMPTS
        assert (after.due_at is None) == (State(after.state) in TERMINAL)
        assert (after.finished_at is None) == (State(after.state) not in TERMINAL)
        assert after.reason is not None or after.state not in (State.FAILED, State.SKIPPED)
        assert (after.scheduled_at, after.created_at, after.count) == (NOON, NOON, 1)
        attempts = self.run(read_attempts(self.store, self.job["cronjob_id"]))
        assert len({row.lease_no for row in attempts}) == len(attempts) <= after.lease_no


TestLifeOfAFiring = LifeOfAFiring.TestCase
TestLifeOfAFiring.settings = examples(
    10,
    stateful_step_count=25,
    suppress_health_check=[HealthCheck.too_slow],
)
