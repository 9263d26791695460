"""A tenant's calendars: named lists of dates that cron jobs may exclude.

Invariant: every verb takes the account and touches no other's rows. Who puts or deletes a calendar, or lets a cron job
name another one, has locked the account: so no cron job names a calendar that there is not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    String,
    Text,
    and_,
    bindparam,
    cast,
    delete,
    exists,
    func,
    insert,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from cronally.clock.dates import names_in
from cronally.clock.exclusion import Exclusion
from cronally.cronjob import read_policies
from cronally.store import batches, tables
from cronally.store.rows import Rows
from cronally.store.types import Id


@dataclass(frozen=True, slots=True)
class Calendar:
    """A calendar's row. The names are those of the table's columns."""

    account_id: str
    name: str
    dates: str
    """JSON: a list of dates and ranges of dates, sorted."""
    count: int
    """How many they are."""
    created_at: int
    updated_at: int

    @property
    def size(self) -> int:
        """Bytes of what a tenant sent."""
        return len(self.name.encode()) + len(self.dates.encode())


_table: Final = tables.calendar
_cronjob: Final = tables.cronjob
_OF: Final = _table.c.account_id == bindparam("account", type_=Id())
_NAMED: Final = and_(_OF, _table.c.name == bindparam("named", type_=Text()))
_COLUMNS: Final = tuple(_table.c[name] for name in Calendar.__dataclass_fields__)
_GET: Final = select(*_COLUMNS).where(_NAMED)
_NAMES: Final = select(_table.c.name).where(_OF).order_by(_table.c.name)
_LIMIT: Final = bindparam("limit", type_=Integer())
_LIST: Final = Rows(
    select(
        *(literal_column("''").label("dates") if column.name == "dates" else column for column in _COLUMNS)
    )
    .where(_OF)
    .order_by(_table.c.name)
    .limit(_LIMIT)
)
_BYTES: Final = select(func.coalesce(func.sum(_table.c.size), 0)).where(_OF)
_DELETE: Final = delete(_table).where(_NAMED)


def get_calendar(connection: Connection, account_id: str, name: str) -> Calendar | None:
    """The account's calendar of a name."""
    row = connection.execute(_GET, {"account": account_id, "named": name}).one_or_none()
    return None if row is None else Calendar(*row)


def list_calendars(connection: Connection, account_id: str, limit: int) -> list[Calendar]:
    """The account's calendars by name, at most `limit`, without their dates."""
    rows = _LIST.read(connection, {"account": account_id, "limit": limit})
    return [Calendar(*row) for row in rows]


def list_names(connection: Connection, account_id: str) -> list[str]:
    """The names of the account's calendars, sorted."""
    return list(connection.execute(_NAMES, {"account": account_id}).scalars())


def insert_calendar(connection: Connection, calendar: Calendar) -> None:
    """Add a calendar. The caller has locked the account."""
    connection.execute(insert(_table).values(_values(calendar)))


def replace_calendar(connection: Connection, calendar: Calendar) -> None:
    """Write a calendar over the one of its name. The caller has locked the account."""
    same = (_table.c.account_id == calendar.account_id, _table.c.name == calendar.name)
    connection.execute(update(_table).where(*same).values(_values(calendar)))


def delete_calendar(connection: Connection, account_id: str, name: str) -> None:
    """Delete a calendar. The caller has locked the account, and no cron job names it."""
    connection.execute(_DELETE, {"account": account_id, "named": name})


def count_bytes(connection: Connection, account_id: str) -> int:
    """How many bytes the account's calendars hold."""
    return int(connection.execute(_BYTES, {"account": account_id}).scalar_one())


def list_users(connection: Connection, account_id: str, name: str, limit: int) -> list[tuple[str, str]]:
    """Id and name of up to `limit` cron jobs of the account that exclude a calendar and are not deleted.

    It goes through the account's cron jobs, which are counted.
    """
    parameters = {"account": account_id, "named": name, "limit": limit}
    rows = connection.execute(_users(connection.dialect.name), parameters)
    return [(cronjob_id, called) for cronjob_id, called in rows]


@cache
def _users(dialect: str) -> Select[Any]:
    named = bindparam("named", type_=Text())
    excludes: ColumnElement[Any]
    if dialect == "sqlite":
        each = func.json_each(_cronjob.c.policies, "$.exclude").table_valued("value")
        excludes = exists(select(1).select_from(each).where(each.c.value == named))
    else:
        held = cast(_cronjob.c.policies, JSONB).op("->", return_type=JSONB())("exclude")
        excludes = func.jsonb_exists(held, cast(named, String))
    return (
        select(_cronjob.c.cronjob_id, _cronjob.c.name)
        # As in the partial index.
        .where(_cronjob.c.account_id == bindparam("account", type_=Id()), text("state <> 'deleted'"))
        # Few cron jobs exclude anything: only their JSON is looked into.
        .where(_cronjob.c.policies.contains('"exclude"'), excludes)
        .order_by(_cronjob.c.created_at, _cronjob.c.cronjob_id)
        .limit(_LIMIT)
    )


Dates = Mapping[str, str]
"""What calendars of one account hold, JSON, by their names."""


def count_within(users: Iterable[tuple[str, str]], most: int) -> int:
    """How many of the first of these cron jobs exclude up to `most` calendars together; the first one anyhow.

    :param users: as of `read_dates`
    """
    wanted: set[tuple[str, str]] = set()
    count = 0
    for account_id, policies in users:
        wanted.update(_named(account_id, policies))
        if count and len(wanted) > most:
            break
        count += 1
    return count


def _named(account_id: str, policies: str) -> list[tuple[str, str]]:
    """The keys of the calendars that a cron job excludes."""
    if '"exclude"' not in policies:
        return []
    return [(account_id, name) for name in names_in(read_policies(policies).exclude)]


def read_dates(connection: Connection, users: Iterable[tuple[str, str]]) -> dict[str, Dates]:
    """The calendars that cron jobs exclude, of each account that has any: one query, and none where nobody does.

    :param users: the account and the policies, as they are stored, of each cron job
    """
    wanted = {calendar for account_id, policies in users for calendar in _named(account_id, policies)}
    found: dict[str, dict[str, str]] = {}
    if wanted:
        parameters = {**batches.encode(sorted(wanted)), "limit": len(wanted)}
        for account_id, name, dates in _dates(connection.dialect.name).read(connection, parameters):
            found.setdefault(account_id, {})[name] = dates
    return {**found}


@cache
def _dates(dialect: str) -> Rows:
    batch = batches.table(dialect, {"account_id": Id(), "name": Text()})
    same = and_(_table.c.account_id == batch.c.account_id, _table.c.name == batch.c.name)
    columns = (_table.c.account_id, _table.c.name, _table.c.dates)
    return Rows(select(*columns).select_from(batch.join(_table, same)).limit(_LIMIT))


def read_exclusion(connection: Connection, account_id: str, policies: str) -> Exclusion | None:
    """What one cron job excludes.

    :param policies: JSON, as it is stored
    """
    dates = read_dates(connection, [(account_id, policies)])
    return Exclusion.of(read_policies(policies).exclude, dates.get(account_id, {}))


def _values(calendar: Calendar) -> dict[str, Any]:
    names: Collection[str] = Calendar.__dataclass_fields__
    return {name: getattr(calendar, name) for name in names} | {"size": calendar.size}
