"""How accounts stand: active, suspended by the operator, or deleted; read and changed for the operator.

Invariant: `stopped` is NULL exactly while an account is active. It is what a claim and an API key are looked up with,
so a change takes effect with the transaction that makes it. A deleted account may be suspended, too: the deletion
counts. These verbs are the operator's: they take whatever account is meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Select, bindparam, func, or_, select, text, tuple_, update

from cronally.contract.operator import AccountState
from cronally.firing import Reason
from cronally.store import tables
from cronally.store.types import Id


@dataclass(frozen=True, slots=True)
class StoredState:
    """How an account stands. The names are those of the table's columns."""

    account_id: str
    email: str
    created_at: int
    suspended_at: int | None = None
    suspended_note: str | None = None
    deleted_at: int | None = None
    purge_at: int | None = None
    limits: str | None = None
    """JSON: the limits of its own."""

    @property
    def state(self) -> AccountState:
        """Which of the states it is in."""
        if self.deleted_at is not None:
            return AccountState.DELETED if self.purge_at is not None else AccountState.PURGED
        return AccountState.ACTIVE if self.suspended_at is None else AccountState.SUSPENDED

    @property
    def stopped(self) -> Reason | None:
        """Why its firings are skipped; None while they go out."""
        if self.deleted_at is not None:
            return Reason.ACCOUNT_DELETED
        return None if self.suspended_at is None else Reason.SUSPENDED


_account: Final = tables.account
_COLUMNS: Final = tuple(_account.c[name] for name in StoredState.__dataclass_fields__)
_WHERE: Final = {
    None: _account.c.account_id.is_not(None),
    AccountState.ACTIVE: _account.c.stopped.is_(None),
    AccountState.SUSPENDED: _account.c.stopped == Reason.SUSPENDED,
    AccountState.DELETED: _account.c.purge_at.is_not(None),
    AccountState.PURGED: _account.c.deleted_at.is_not(None) & _account.c.purge_at.is_(None),
}
Position = tuple[int, str]
"""Where a list stands: `created_at` and id of the last account that was listed."""


def find_accounts(
    connection: Connection, account_id: str | None, email_key: str, api_key: str | None
) -> list[str]:
    """The ids of the accounts that are meant: by their id, their address without case, or an API key."""
    meant: list[Any] = [_account.c.email_key == email_key]
    if account_id is not None:
        meant.append(_account.c.account_id == account_id)
    if api_key is not None:
        keys = select(tables.api_key.c.account_id).where(tables.api_key.c.api_key == api_key)
        meant.append(_account.c.account_id.in_(keys))
    return list(connection.execute(select(_account.c.account_id).where(or_(*meant))).scalars())


def get_state(connection: Connection, account_id: str) -> StoredState | None:
    """How an account stands."""
    row = connection.execute(_GET, {"account_id": account_id}).one_or_none()
    return None if row is None else StoredState(*row)


def lock_state(connection: Connection, account_id: str) -> StoredState | None:
    """How an account stands; nobody else changes that until the transaction ends."""
    row = connection.execute(_LOCK, {"account_id": account_id}).one_or_none()
    return None if row is None else StoredState(*row)


def record_state(connection: Connection, after: StoredState) -> None:
    """Write how an account stands, whose row the caller has locked."""
    values = {name: getattr(after, name) for name in StoredState.__dataclass_fields__} | {
        "stopped": after.stopped
    }
    connection.execute(update(_account).where(_account.c.account_id == after.account_id).values(values))


def list_states(
    connection: Connection, state: AccountState | None, before: Position | None, limit: int
) -> list[StoredState]:
    """Accounts, newest first, at most `limit` from the one after `before`."""
    statement: Select[Any] = select(*_COLUMNS).where(_WHERE[state])
    if before is not None:
        key = tuple_(_account.c.created_at, _account.c.account_id)
        last = tuple_(bindparam("at", before[0], BigInteger()), bindparam("id", before[1], Id()))
        statement = statement.where(last > key)
    newest = (_account.c.created_at.desc(), _account.c.account_id.desc())
    return [StoredState(*row) for row in connection.execute(statement.order_by(*newest).limit(limit))]


def count_cronjobs(connection: Connection, account_ids: Sequence[str]) -> dict[str, int]:
    """How many cron jobs of these accounts are not deleted; those without one are left out."""
    return {row[0]: row[1] for row in connection.execute(_COUNT, {"account_ids": list(account_ids)})}


_GET: Final = select(*_COLUMNS).where(_account.c.account_id == bindparam("account_id", type_=Id()))
_LOCK: Final = _GET.with_for_update(key_share=True)
_COUNT: Final = (
    select(tables.cronjob.c.account_id, func.count())
    .where(
        tables.cronjob.c.account_id.in_(bindparam("account_ids", type_=Id(), expanding=True)),
        # As in the partial index.
        text("state <> 'deleted'"),
    )
    .group_by(tables.cronjob.c.account_id)
)
