"""What is told of a firing that has failed: read when the firing that tells of it is claimed.

Invariant: it is what the failed firing was sent as, or would have been, as far as that is kept; of its attempts as many
as are kept of one firing, the last ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from sqlalchemy import Connection, Integer, and_, bindparam, case, func, select

from cronally.clock.zones import UTC
from cronally.cronjob import State as CronjobState
from cronally.firing import Key, Kind
from cronally.store import batches, former, tables
from cronally.store.attempts import ATTEMPTS_KEPT
from cronally.store.rows import Rows

_table: Final = tables.dead_letter
_job: Final = tables.cronjob
_LIMIT: Final = bindparam("limit", type_=Integer())
_TELLING: Final = tuple(_table.primary_key.columns.keys())
"""Of the key of what tells: its kind goes without saying."""


@dataclass(frozen=True, slots=True)
class Try:
    """An attempt of a firing that has failed. The names are those of the table's columns."""

    attempt: int
    started_at: int
    duration: int
    """Microseconds."""
    outcome: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Told:
    """What is to be told of a firing that has failed."""

    key: Key
    reason: str
    """Why it failed."""
    name: str | None
    """Of its cron job; None where that is not kept."""
    target: str | None
    """Where it was sent to; None where that is not kept."""
    destination: str
    """JSON of the public parameters that it was sent by; an empty text where they are not kept."""
    timezone: str
    attempt: int
    """How many attempts it had."""
    own_message: bool
    """Whether it sent a message of its own, which is erased when it ends."""
    attempts: tuple[Try, ...] = field(default=(), repr=False)


def size_of(firing: str) -> str:
    """SQL: bytes of what a firing tells of another one; NULL for one that tells of none.

    :param firing: the alias of its row
    """
    return f"""CASE WHEN {firing}.kind = '{Kind.DEAD_LETTER}' THEN (
        SELECT d.size FROM dead_letter d
        WHERE d.cronjob_id = {firing}.cronjob_id AND d.scheduled_at = {firing}.scheduled_at) END"""  # noqa: S608


def list_told(connection: Connection, telling: Sequence[Key]) -> dict[Key, Told]:
    """What these firings, of the kind that tells of a failure, are to tell, by their keys."""
    dialect = connection.dialect.name
    rows = _told(dialect).read(connection, {**batches.encode(telling), "limit": len(telling)})
    keys = [(row[2], row[3], row[4]) for row in rows]
    tries: dict[Key, list[Try]] = {}
    parameters = {**batches.encode(keys), "limit": 2 * ATTEMPTS_KEPT * len(keys)}
    for row in _tries(dialect).read(connection, parameters) if keys else ():
        tries.setdefault((row[0], row[1], row[2]), []).append(Try(*row[3:]))
    told: dict[Key, Told] = {}
    sent: dict[tuple[str, int], tuple[str | None, str]] = {}
    for row, key in zip(rows, keys, strict=True):
        reason, name, timezone, version, attempt, own_message, target, destination = row[5:]
        if target is None:
            if (key[0], version) not in sent:
                sent[key[0], version] = former.get_sent(connection, key[0], version) or (None, "")
            target, destination = sent[key[0], version]
        told[row[0], row[1], Kind.DEAD_LETTER] = Told(
            key,
            reason,
            name,
            target,
            destination,
            timezone,
            attempt,
            bool(own_message),
            tuple(tries.get(key, ())[-ATTEMPTS_KEPT:]),
        )
    return told


@cache
def _told(dialect: str) -> Rows:
    batch = batches.table(dialect, batches.KEY)
    firing, version = tables.firing, tables.cronjob_version
    of = {name: _table.c[f"of_{name}"] for name in batches.KEY}
    # What was never attempted would have been sent as its cron job is.
    sent_as = func.coalesce(firing.c.version, _job.c.version)
    is_current = and_(sent_as == _job.c.version, _job.c.state != CronjobState.DELETED)
    return Rows(
        select(
            *(_table.c[name] for name in _TELLING),
            *of.values(),
            _table.c.reason,
            _job.c.name,
            func.coalesce(version.c.timezone, _job.c.timezone, UTC),
            sent_as,
            func.coalesce(firing.c.attempt, 0),
            func.coalesce(firing.c.own_message, 0),
            case((is_current, _job.c.target)),
            case((is_current, _job.c.destination)),
        )
        .join(batch, batches.same(_table, batch, _TELLING))
        .outerjoin(firing, and_(*(firing.c[name] == of[name] for name in batches.KEY)))
        .outerjoin(_job, _job.c.cronjob_id == _table.c.of_cronjob_id)
        .outerjoin(version, and_(version.c.cronjob_id == _job.c.cronjob_id, version.c.version == sent_as))
        .limit(_LIMIT)
    )


@cache
def _tries(dialect: str) -> Rows:
    batch = batches.table(dialect, batches.KEY)
    attempt = tables.attempt
    return Rows(
        select(*(attempt.c[name] for name in (*batches.KEY, *Try.__dataclass_fields__)))
        .join(batch, batches.same(attempt, batch, batches.KEY))
        .order_by(attempt.c.lease_no)
        .limit(_LIMIT)
    )
