"""An answer that is recorded while its cron job is deleted: none stays, whichever of the two comes first, and where.

Two real transactions: at each statement of the one the other begins, and goes on until it has ended or waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, event, select, text
from sqlalchemy.util import await_only

from cronally.firing import Reason, State
from cronally.instants import DAY, MINUTE
from cronally.store import Store, answers, cronjobs, leases, open_store, outcomes, removal, tables
from cronally.store.answers import Answer
from cronally.store.claims import Record
from tests.support.factories import NOON, Clock, make_account, make_cronjob, make_firing, read

ANSWER = Answer(500, None, 1, None, 2, 3, b"sealed")
MOST = 40
"""More statements than either transaction has."""
Work = Callable[[Connection], Any]


@pytest.fixture
async def shared(migrated_postgres_url: str, clock: Clock) -> AsyncIterator[Store]:
    store = await open_store(migrated_postgres_url)
    yield store
    await store.close()


@pytest.mark.parametrize("has_answers", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("first", ["record", "deletion"])
async def test_answer__of_a_cron_job_that_is_deleted_meanwhile(
    shared: Store, first: str, has_answers: bool
) -> None:
    """Of the first answer of an account, too, where no row is there yet that one could wait for."""
    for statement in range(MOST):
        recording, deleting, job = await _two(shared, has_answers=has_answers)
        one, other = (recording, deleting) if first == "record" else (deleting, recording)
        reached = await _interleave(shared, one, other, statement)
        answer, cronjob = tables.answer, tables.cronjob
        kept = select(answer.c.answer_id).where(answer.c.cronjob_id == job["cronjob_id"])
        assert await read(shared, kept) == [], statement
        state = select(cronjob.c.state).where(cronjob.c.cronjob_id == job["cronjob_id"])
        assert [row.state for row in await read(shared, state)] == ["deleted"]
        if not reached:
            break
    assert 5 <= statement < MOST - 1, "each of the statements of the one"


async def _two(store: Store, *, has_answers: bool) -> tuple[Work, Work, dict[str, Any]]:
    """The record of an attempt that was answered, and the deletion of its cron job; each runs once."""
    account_id = await make_account(store)
    ticked = {"next_fire_at": NOON + MINUTE, "settled_at": NOON}
    job = await make_cronjob(store, account_id, target="http", destination="{}", **ticked)
    await make_firing(store, job)
    if has_answers:
        key = (job["cronjob_id"], NOON - DAY, "scheduled")
        before = partial(
            answers.record_answers, answers=[(key, 1, account_id, NOON - DAY, ANSWER)], leases_kept=20
        )
        await store.transact(before)
    claim = partial(leases.claim_firings, now=NOON, leased_until=NOON + MINUTE, takes={account_id: 1})
    (claimed,) = await store.transact(claim)
    record = Record(
        claimed,
        State.PENDING,
        Reason.TARGET_UNAVAILABLE,
        due_at=NOON + MINUTE,
        sent_at=NOON,
        duration=1,
        outcome="retry",
        detail="HTTP 500",
        answer=ANSWER,
    )

    def delete(connection: Connection) -> None:
        before = cronjobs.lock_cronjob(connection, account_id, job["cronjob_id"])
        assert before is not None
        removal.delete(connection, before, NOON, retention=DAY, changed_by=None)

    return _once(partial(outcomes.record_outcomes, records=[record])), _once(delete), job


def _once(work: Work) -> Work:
    """The work, which must not run again: neither of the two waits for the other in a circle."""
    runs: list[None] = []

    def run(connection: Connection) -> None:
        assert not runs, "a deadlock"
        runs.append(None)
        work(connection)

    return run


async def _interleave(store: Store, one: Work, other: Work, statement: int) -> bool:
    """Let the other begin before a statement of the one, or before its commit; whether it has so many."""
    tasks: list[asyncio.Task[Any]] = []

    async def begin() -> None:
        tasks.append(asyncio.create_task(store.transact(other)))
        while not tasks[0].done() and not await store.read(_waits):
            pass

    def run(connection: Connection) -> None:
        left = [statement]

        def step(*_: Any) -> None:
            if left[0] == 0:
                await_only(begin())
            left[0] -= 1

        event.listen(connection, "before_cursor_execute", step)
        try:
            one(connection)
        finally:
            event.remove(connection, "before_cursor_execute", step)
        if not tasks and left[0] == 0:
            await_only(begin())

    await store.transact(run)
    if not tasks:
        await store.transact(other)
        return False
    await tasks[0]
    return True


_WAITING = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


def _waits(connection: Connection) -> bool:
    """Whether a transaction waits for another one."""
    return bool(connection.execute(_WAITING).scalar_one())
