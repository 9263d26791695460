"""Upkeep: what the janitor asks of the database, always a small batch.

Invariant: retention deletes only finished rows; a pending or sending firing stays however old it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Delete,
    Integer,
    bindparam,
    delete,
    exists,
    select,
    text,
    tuple_,
    update,
)

from cronally.clock import zones
from cronally.cronjob import Counted, State
from cronally.store import acknowledgements, answers, batches, links, schedule, tables
from cronally.store.timekeeper import BOUND
from cronally.store.types import Id


@dataclass(frozen=True, slots=True)
class Audited(Counted):
    """An active cron job as the audit finds it."""

    cronjob_id: str
    account_id: str
    cron: str
    timezone: str
    policies: str
    created_at: int
    next_fire_at: int | None
    tzdata: str
    last_covered: int | None
    """The last fire time until now that the ledger covers."""
    settled_at: int
    version: int
    fired: int


_last_covered: Final = schedule.select_last_covered(tables.cronjob.c.cronjob_id).scalar_subquery()
_ACTIVE: Final = (
    select(
        *(
            _last_covered if name == "last_covered" else tables.cronjob.c[name]
            for name in Audited.__dataclass_fields__
        )
    )
    .where(tables.cronjob.c.cronjob_id > bindparam("after"), tables.cronjob.c.state == State.ACTIVE)
    .order_by(tables.cronjob.c.cronjob_id)
    .limit(bindparam("limit"))
)


def list_active_cronjobs(connection: Connection, after: str, limit: int, now: int) -> list[Audited]:
    """Active cron jobs in the order of their ids, from the one after `after`, as they are at `now`."""
    parameters = {"after": after, "limit": limit, "covered_until": now + BOUND}
    return [Audited(*row) for row in connection.execute(_ACTIVE, parameters)]


def repair_next_fire_at(connection: Connection, audited: Audited, next_fire_at: int) -> bool:
    """Set a wrong next fire time right, unless the cron job was changed or ticked since it was read."""
    table = tables.cronjob
    result = connection.execute(
        update(table)
        .where(
            table.c.cronjob_id == audited.cronjob_id,
            table.c.state == State.ACTIVE,
            table.c.version == audited.version,
            table.c.next_fire_at.is_not_distinct_from(audited.next_fire_at),
        )
        .values(next_fire_at=next_fire_at, tzdata=zones.version())
    )
    return result.rowcount == 1


def next_account(connection: Connection, after: str) -> str | None:
    """The account whose id follows `after`."""
    column = tables.account.c.account_id
    return connection.execute(select(column).where(column > after).order_by(column).limit(1)).scalar()


_DELETE_FIRINGS: Final = text(
    """
    DELETE FROM firing WHERE (cronjob_id, scheduled_at, kind) IN (
        SELECT cronjob_id, scheduled_at, kind FROM firing
        WHERE account_id = :account_id AND scheduled_at < :before AND due_at IS NULL
          AND (until_at IS NULL OR until_at < :before)
        ORDER BY scheduled_at LIMIT :limit)
    RETURNING CAST(cronjob_id AS TEXT), scheduled_at, kind
    """
).bindparams(bindparam("account_id", type_=Id()))


def delete_firings(connection: Connection, account_id: str, before: int, limit: int) -> int:
    """Delete up to `limit` finished firings of an account, with their attempts, whose fire time was before."""
    parameters = {"account_id": account_id, "before": before, "limit": limit}
    # Exactly the attempts of what was deleted, whatever another janitor deletes meanwhile.
    keys = [tuple(row) for row in connection.execute(_DELETE_FIRINGS, parameters)]
    if keys:
        connection.execute(_delete_attempts(connection.dialect.name), batches.encode(keys))
        deleted = [(key[0], key[1], key[2]) for key in keys]
        answers.delete_answers(connection, deleted)
        links.delete_links(connection, deleted)
        acknowledgements.delete_acknowledgements(connection, deleted)
    return len(keys)


@cache
def _delete_attempts(dialect: str) -> Delete:
    batch = batches.table(dialect, batches.KEY)
    attempt = tables.attempt
    return delete(attempt).where(tuple_(*(attempt.c[name] for name in batches.KEY)).in_(select(*batch.c)))


_deleted: Final = tables.cronjob
_DELETE_CRONJOBS: Final = delete(_deleted).where(
    _deleted.c.cronjob_id.in_(
        select(_deleted.c.cronjob_id)
        .where(
            _deleted.c.account_id == bindparam("account_id", type_=Id()),
            _deleted.c.purge_at <= bindparam("now", type_=BigInteger()),
            ~exists().where(tables.firing.c.cronjob_id == _deleted.c.cronjob_id),
        )
        .order_by(_deleted.c.purge_at)
        .limit(bindparam("limit", type_=Integer()))
    )
)


def delete_cronjobs(connection: Connection, account_id: str, now: int, limit: int) -> int:
    """Delete up to `limit` deleted cron jobs of an account that need not be kept and have nothing in the ledger."""
    parameters = {"account_id": account_id, "now": now, "limit": limit}
    return connection.execute(_DELETE_CRONJOBS, parameters).rowcount


def delete_idempotency_keys(connection: Connection, until: int, limit: int) -> int:
    """Delete up to `limit` idempotency keys that were used until an instant."""
    table = tables.idempotency_key
    key = (table.c.account_id, table.c.idempotency_key)
    expired = select(*key).where(table.c.created_at <= until).order_by(table.c.created_at).limit(limit)
    return connection.execute(delete(table).where(tuple_(*key).in_(expired))).rowcount


def delete_signups(connection: Connection, before: int) -> int:
    """Delete the counts of sign-ups of minutes before an instant."""
    table = tables.signup
    return connection.execute(delete(table).where(table.c.minute < before)).rowcount
