"""How claims ended: written into the ledger, with all that hangs on it.

Invariant: a worker records with the number of the lease that it claimed with, so one that lost its lease changes
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Connection, Integer, Select, Text, Update, case, func, select, update

from cronally.firing import State
from cronally.store import acknowledgements, batches, dead_letters, manual, order, standings, tables
from cronally.store.answers import record_answers
from cronally.store.attempts import ATTEMPTS_KEPT, record_attempts
from cronally.store.claims import Record


def record_outcomes(connection: Connection, records: Sequence[Record]) -> int:
    """Write how claims ended, each only where its lease still holds; keep the attempts that did not deliver.

    Returns how many firings became due that had waited for one of these, or tell of it.
    """
    if not records:
        return 0
    written, known = _write(connection, records)
    standings.record_standings(connection, records, written, known)
    record_attempts(connection, [_attempt(record) for record in records if record.outcome is not None])
    finished = [record.claim for record in records if record.finished_at is not None]
    sent_own = [claim.firing_id for claim in finished if claim.message is not None]
    if sent_own:
        manual.erase_messages(connection, sent_own)
    acknowledgements.begin(connection, records)
    telling = dead_letters.tell_of_failures(connection, records)
    ordered = [claim.key for claim in finished if claim.ordered]
    freed = order.free_next(connection, ordered) if ordered else 0
    answers = [
        (claim.key, claim.lease_no, claim.account_id, record.sent_at or claim.scheduled_at, record.answer)
        for record in records
        if record.answer is not None and (claim := record.claim)
    ]
    if answers:
        # Last: it holds what all records of an account's answers go through, and what deletes a cron job.
        record_answers(connection, answers, ATTEMPTS_KEPT)
    return telling + freed


def _write(connection: Connection, records: Sequence[Record]) -> tuple[int, set[str]]:
    """How many found their lease, and which of their cron jobs have a row that says that they are not well."""
    rows = batches.encode(_row(record) for record in records)
    if connection.dialect.name == "sqlite":
        written = connection.execute(_finish("sqlite"), rows).rowcount
        return written, standings.list_known(connection, [record.claim.cronjob_id for record in records])
    found = connection.execute(_finish_postgres(), rows).one()
    return found[0], set(found[1] or ())


def _row(record: Record) -> tuple[Any, ...]:
    """Of the batch that `_finish` takes."""
    claim = record.claim
    return (
        *claim.key,
        claim.lease_no,
        record.state,
        record.reason,
        record.due_at,
        _attempts_of(record),
        claim.refusals if record.refusals is None else record.refusals,
        record.sent_at,
        record.duration,
        claim.version,
        record.finished_at,
        record.message_id,
    )


def _attempt(record: Record) -> tuple[Any, ...]:
    """A row of the table of attempts, in the order of its columns."""
    claim = record.claim
    return (
        *claim.key,
        claim.lease_no,
        _attempts_of(record),
        record.sent_at,
        record.duration,
        claim.version,
        record.outcome,
        record.attempt_reason or record.reason,
        record.detail,
    )


def _attempts_of(record: Record) -> int:
    return record.claim.attempt if record.attempt is None else record.attempt


@cache
def _finish(dialect: str) -> Update:
    batch = batches.table(
        dialect,
        {
            **batches.LEASE,
            "state": Text(),
            "reason": Text(),
            "due_at": BigInteger(),
            "attempt": Integer(),
            "refusals": Integer(),
            "sent_at": BigInteger(),
            "duration": BigInteger(),
            "version": Integer(),
            "finished_at": BigInteger(),
            "message_id": Text(),
        },
    )
    firing = tables.firing
    return (
        update(firing)
        .where(batches.same(firing, batch, batches.LEASE), firing.c.state == State.SENDING)
        .values(
            {column.name: column for column in batch.c if column.name not in batches.LEASE}
            # What was given back unsent was last sent by the attempt before, if by any.
            | {name: func.coalesce(batch.c[name], firing.c[name]) for name in ("sent_at", "duration")}
            | {"version": case((batch.c.sent_at.is_(None), firing.c.version), else_=batch.c.version)}
            | {"lost_leases": 0}
        )
    )


@cache
def _finish_postgres() -> Select[Any]:
    """As `_finish`, with the answer of `standings.list_known`: one round trip, for every recorder makes it."""
    finished = _finish("postgresql").returning(tables.firing.c.cronjob_id).cte("finished")
    count = select(func.count()).select_from(finished).scalar_subquery()
    return select(count, standings.KNOWN_POSTGRES)
