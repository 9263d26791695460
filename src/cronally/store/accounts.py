"""Accounts.

Invariant: an address belongs to one account, whatever its case.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, and_, bindparam, func, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from cronally.instants import MINUTE
from cronally.store import discards, tables
from cronally.store.types import Id


@dataclass(frozen=True, slots=True)
class Account:
    """An account as it stands."""

    account_id: str
    email: str
    created_at: int
    cronjob_count: int
    """Cron jobs that are not deleted."""
    dead_letters: int = 0
    """Of its last `discards.COUNTED` rows that were not delivered."""
    dead_letter: str | None = None
    """The id of the cron job that tells of what has failed of those that name none."""
    limits: str | None = None
    """JSON: the limits of its own."""
    secret_hidden_at: int | None = None
    """From when on the secret that the sign-up made is shown no more."""
    signature_v1_refused_at: int | None = None
    """Since when it refuses requests that are signed by version 1."""
    email_confirmed_at: int | None = None
    """When its address was shown to be its owner's."""
    new_email: str | None = None
    """The address that it is to have, if it is to have another one: as of `email_changes`."""
    asked_at: int | None = None
    confirmed_at: int | None = None
    agreed_at: int | None = None
    applies_at: int | None = None


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose an address is."""

    account_id: str
    email: str
    confirmed_at: int | None
    """When it was shown to be its owner's."""


# The state is written as in the partial index, which then answers alone.
_LIVE: Final = and_(tables.cronjob.c.account_id == bindparam("account_id"), text("state <> 'deleted'"))
_COUNT: Final = select(func.count()).select_from(tables.cronjob).where(_LIVE)
_BYTES: Final = select(func.coalesce(func.sum(tables.cronjob.c.size), 0)).where(_LIVE)
_DELETED: Final = select(func.count(), func.min(tables.cronjob.c.purge_at)).where(
    tables.cronjob.c.account_id == bindparam("account_id"), tables.cronjob.c.purge_at.is_not(None)
)
_change: Final = tables.email_change
_ACCOUNT_AND_CHANGE: Final = select(
    tables.account.c.account_id,
    tables.account.c.email,
    tables.account.c.created_at,
    _COUNT.scalar_subquery(),
    discards.COUNT.scalar_subquery(),
    tables.account.c.dead_letter,
    tables.account.c.limits,
    tables.account.c.secret_hidden_at,
    tables.account.c.signature_v1_refused_at,
    tables.account.c.email_confirmed_at,
    *(_change.c[name] for name in ("email", "asked_at", "confirmed_at", "agreed_at", "applies_at")),
)
_ACCOUNT: Final = _ACCOUNT_AND_CHANGE.select_from(
    tables.account.outerjoin(_change, _change.c.account_id == tables.account.c.account_id)
).where(tables.account.c.account_id == bindparam("account_id"))
_OWNER: Final = select(
    tables.account.c.account_id, tables.account.c.email, tables.account.c.email_confirmed_at
).where(tables.account.c.email_key == bindparam("key"))
_DEAD_LETTERS: Final = select(tables.account.c.account_id, tables.account.c.dead_letter).where(
    tables.account.c.account_id.in_(bindparam("account_ids", type_=Id(), expanding=True)),
    tables.account.c.dead_letter.is_not(None),
)
_LIMITS: Final = select(tables.account.c.limits).where(tables.account.c.account_id == bindparam("account_id"))
# As in the partial index.
_OWN_LIMITS: Final = select(tables.account.c.account_id, tables.account.c.limits).where(
    text("limits IS NOT NULL")
)
_LOCK: Final = (
    select(tables.account.c.account_id)
    .where(tables.account.c.account_id == bindparam("account_id"))
    # Not against foreign keys that point here: only creators wait for one another.
    .with_for_update(key_share=True)
)


def insert_account(
    connection: Connection,
    account_id: str,
    email: str,
    email_key: str,
    now: int,
    email_confirmed_at: int | None = None,
) -> bool:
    """Add an account; False when the address has one already. Waits for another that is adding the same address.

    :param email_key: the address without case
    :param email_confirmed_at: when its owner has shown that it is theirs
    """
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = (
        dialect.insert(tables.account)
        .values(
            account_id=account_id,
            email=email,
            email_key=email_key,
            created_at=now,
            email_confirmed_at=email_confirmed_at,
        )
        .on_conflict_do_nothing(index_elements=["email_key"])
    )
    return connection.execute(statement).rowcount == 1


def get_account(connection: Connection, account_id: str) -> Account | None:
    """The account, with the number of its cron jobs and of its dead letters. One statement, for `Store.read`."""
    row = connection.execute(_ACCOUNT, {"account_id": account_id, "of_account": account_id}).one_or_none()
    return None if row is None else Account(*row)


def get_limits(connection: Connection, account_id: str) -> str | None:
    """JSON: the limits of an account's own; None where it has none."""
    limits: str | None = connection.execute(_LIMITS, {"account_id": account_id}).scalar()
    return limits


def list_limits(connection: Connection) -> dict[str, str]:
    """Of the accounts that have limits of their own: these, as JSON. One statement, for `Store.read`."""
    return {row.account_id: row.limits for row in connection.execute(_OWN_LIMITS)}


def record_signature_v1(connection: Connection, account_id: str, refused_at: int | None) -> None:
    """Say since when the account refuses requests that are signed by version 1; None: it takes them."""
    table = tables.account
    changed = update(table).where(table.c.account_id == account_id)
    connection.execute(changed.values(signature_v1_refused_at=refused_at))


def get_owner(connection: Connection, email_key: str) -> Owner | None:
    """The account that an address, without case, belongs to."""
    row = connection.execute(_OWNER, {"key": email_key}).one_or_none()
    return None if row is None else Owner(*row)


def record_confirmed(connection: Connection, account_id: str, email_key: str, now: int) -> bool:
    """Say that the address of an account was shown to be its owner's; False if it has another one by now."""
    table = tables.account
    here = (table.c.account_id == account_id, table.c.email_key == email_key)
    return connection.execute(update(table).where(*here).values(email_confirmed_at=now)).rowcount == 1


def record_dead_letter(connection: Connection, account_id: str, cronjob_id: str | None) -> None:
    """Say which cron job tells of what has failed of those of the account that name none."""
    table = tables.account
    connection.execute(update(table).where(table.c.account_id == account_id).values(dead_letter=cronjob_id))


def hide_secret(connection: Connection, account_id: str, now: int) -> None:
    """Show the secret that the sign-up made no more. What was said first stays."""
    table = tables.account
    chosen = (table.c.account_id == account_id, table.c.secret_hidden_at.is_(None))
    connection.execute(update(table).where(*chosen).values(secret_hidden_at=now))


def list_dead_letters(connection: Connection, account_ids: Collection[str]) -> dict[str, str]:
    """Of those of these accounts that name a cron job that tells of what has failed: its id."""
    found = connection.execute(_DEAD_LETTERS, {"account_ids": sorted(account_ids)})
    return {row.account_id: row.dead_letter for row in found}


def lock_account(connection: Connection, account_id: str) -> None:
    """Let no other transaction add to this account until the transaction ends."""
    connection.execute(_LOCK, {"account_id": account_id})


def lock_pace(connection: Connection, account_id: str, now: int) -> int:
    """When the next of an account's firings of the past may be made due, now or later.

    Locks the account. What lies further ahead than anybody may make it was written by a clock that was ahead.
    """
    lock_account(connection, account_id)
    paced_at: int | None = connection.execute(_PACED, {"account_id": account_id}).scalar()
    return now if paced_at is None or not now < paced_at <= now + MINUTE else paced_at


def record_pace(connection: Connection, account_id: str, paced_at: int) -> None:
    """Say when the next of an account's firings of the past may be made due. The caller has locked the account."""
    table = tables.account
    connection.execute(update(table).where(table.c.account_id == account_id).values(paced_at=paced_at))


_PACED: Final = select(tables.account.c.paced_at).where(
    tables.account.c.account_id == bindparam("account_id")
)


def count_cronjobs(connection: Connection, account_id: str) -> int:
    """How many cron jobs of the account are not deleted."""
    count: int = connection.execute(_COUNT, {"account_id": account_id}).scalar_one()
    return count


def count_bytes(connection: Connection, account_id: str) -> int:
    """How many bytes the cron jobs of the account that are not deleted hold, messages included."""
    count: int = connection.execute(_BYTES, {"account_id": account_id}).scalar_one()
    return count


def count_deleted(connection: Connection, account_id: str) -> tuple[int, int | None]:
    """How many deleted cron jobs of the account are kept, and from when on the first of them need not be."""
    count, first = connection.execute(_DELETED, {"account_id": account_id}).one()
    return count, first
