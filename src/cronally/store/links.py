"""Which firing tells of which: what tells of a firing that has failed, and of which failure that was.

Invariant: a link goes with the firing that tells, and outlives the one that it tells of.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final

from sqlalchemy import Connection, Delete, Integer, and_, bindparam, delete, select, tuple_

from cronally.firing import Key, Kind, State
from cronally.store import batches, tables
from cronally.store.ledger import Firing
from cronally.store.rows import Rows
from cronally.store.types import Id

MOST_LINKS: Final = 10_000
"""More than the firings of a page have: each may have failed several times."""

_table: Final = tables.dead_letter
_LIMIT: Final = bindparam("limit", type_=Integer())
_TELLING: Final = tuple(_table.primary_key.columns.keys())
"""Of the key of what tells: its kind goes without saying."""
_OF: Final = tuple(f"of_{name}" for name in batches.LEASE)


@dataclass(frozen=True, slots=True)
class Link:
    """A firing that tells of another one."""

    telling: Key
    of: Key
    of_lease_no: int


def list_links(connection: Connection, account_id: str, firings: Iterable[Firing]) -> list[Link]:
    """What tells of these firings of the account, and what these tell of, in the order in which they failed.

    :param firings: as many as a page has, at most
    """
    # What was sent once and has not failed was never told of.
    keys = [
        (firing.cronjob_id, firing.scheduled_at, firing.kind)
        for firing in firings
        if firing.kind == Kind.DEAD_LETTER or firing.state == State.FAILED or firing.lease_no > 1
    ]
    if not keys:
        return []
    parameters = {**batches.encode(keys), "of_account": account_id, "limit": MOST_LINKS}
    telling, told_by = _links(connection.dialect.name)
    rows = {tuple(row) for rows in (telling, told_by) for row in rows.read(connection, parameters)}
    return [
        Link((row[0], row[1], Kind.DEAD_LETTER), (row[2], row[3], row[4]), row[5])
        for row in sorted(rows, key=lambda row: (row[5], row[0], row[1]))
    ]


@cache
def _links(dialect: str) -> tuple[Rows, Rows]:
    """By what tells, and by what it tells of."""
    batch = batches.table(dialect, batches.KEY)
    columns = select(*(_table.c[name] for name in (*_TELLING, *_OF)))
    account = _table.c.account_id == bindparam("of_account", type_=Id())
    order = (_table.c.of_lease_no.desc(), _table.c.cronjob_id, _table.c.scheduled_at)
    own = and_(batch.c.kind == Kind.DEAD_LETTER.value, batches.same(_table, batch, _TELLING))
    of = and_(*(_table.c[f"of_{name}"] == batch.c[name] for name in batches.KEY))
    by_own, by_of = (
        Rows(columns.join(batch, condition).where(account).order_by(*order).limit(_LIMIT))
        for condition in (own, of)
    )
    return by_own, by_of


def delete_links(connection: Connection, keys: Iterable[Key]) -> None:
    """Delete what is kept of firings that are deleted and told of another one."""
    telling = [key for key in keys if key[2] == Kind.DEAD_LETTER]
    if telling:
        connection.execute(_delete(connection.dialect.name), batches.encode(telling))


@cache
def _delete(dialect: str) -> Delete:
    batch = batches.table(dialect, batches.KEY)
    same = tuple_(*(_table.c[name] for name in _TELLING))
    return delete(_table).where(same.in_(select(*(batch.c[name] for name in _TELLING))))
