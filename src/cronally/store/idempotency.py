"""Idempotency keys: which cron job, manual firing or operation a key of an account made.

Invariant: the key's row is written in the transaction that inserts what it made, by someone who holds the account's
row lock: a parallel request with the same key waits, then finds the row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from cronally.instants import DAY
from cronally.store import tables

KEPT: Final = DAY
"""How long a key stands for what it made. Microseconds."""

_USED: Final = select(
    tables.idempotency_key.c.cronjob_id,
    tables.idempotency_key.c.digest,
    tables.idempotency_key.c.scheduled_at,
).where(
    tables.idempotency_key.c.account_id == bindparam("account_id"),
    tables.idempotency_key.c.idempotency_key == bindparam("idempotency_key"),
    tables.idempotency_key.c.created_at > bindparam("since"),
)


@dataclass(frozen=True, slots=True)
class Used:
    """What an idempotency key was used for."""

    cronjob_id: str
    """The cron job; or the id of the operation that it made."""
    digest: str
    """Of the parameters, as the caller of `record_used` wrote it."""
    scheduled_at: int | None = None
    """The fire time of the manual firing that it made; None where it made the cron job."""


def get_used(connection: Connection, account_id: str, idempotency_key: str, since: int) -> Used | None:
    """What the key was used for after `since`."""
    parameters = {"account_id": account_id, "idempotency_key": idempotency_key, "since": since}
    row = connection.execute(_USED, parameters).one_or_none()
    return None if row is None else Used(*row)


def record_used(connection: Connection, account_id: str, idempotency_key: str, used: Used, now: int) -> None:
    """Say what the key was used for; replaces what is too old for `get_used`."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    changed = {
        "digest": used.digest,
        "cronjob_id": used.cronjob_id,
        "scheduled_at": used.scheduled_at,
        "created_at": now,
    }
    statement = dialect.insert(tables.idempotency_key).values(
        account_id=account_id, idempotency_key=idempotency_key, **changed
    )
    connection.execute(
        statement.on_conflict_do_update(index_elements=["account_id", "idempotency_key"], set_=changed)
    )
