"""What will fire: cron jobs by what decides when and where, for a forecast.

Invariant: nothing of a target leaves here but the parameter that its host goes by, cut behind the host, and no secret.
Messages are read on the way, as they stand beside that parameter: of an account so much at a time as a page has, so
that a transaction is short; of all accounts in the operator's own process.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    text,
    tuple_,
)

from cronally.cronjob import State, Timed
from cronally.store import tables
from cronally.store.rows import Rows
from cronally.store.types import Id

PAGE_BYTES: Final = 512 * 1024
"""What the cron jobs of one page hold together, messages included, unless it is one alone."""
PAGE: Final = 500
"""Cron jobs of an account that one transaction reads."""
_EVERYTHING: Final = 10**9

Position = tuple[int, str]
"""Where the reading stands: `created_at` and id of the last cron job that was read."""
HostBy = Mapping[str, str]
"""The public parameter that a host goes by, by the name of the target."""


@dataclass(slots=True)
class Scheduled(Timed):
    """Cron jobs that fire in the window: one, or all that have the rest in common."""

    cron: str
    timezone: str
    policies: str
    target: str
    address: str | None
    """What the host goes by."""
    since: int
    """It fires at no instant before: when its pause ends; 0 for one that is active."""
    count: int
    cronjob_id: str | None
    created_at: int | None
    account_id: str | None
    """These three only of one cron job."""
    fired: int


_job: Final = tables.cronjob
_UNTIL: Final = bindparam("until", type_=BigInteger())
_FIRES: Final = or_(
    and_(_job.c.state == State.ACTIVE, _job.c.next_fire_at < _UNTIL),
    and_(_job.c.state == State.PAUSED, _job.c.paused_until < _UNTIL),
)
_SINCE: Final = case((_job.c.state == State.PAUSED, _job.c.paused_until), else_=0).label("since")
_ONE: Final = (
    _SINCE,
    literal(1, Integer()).label("count"),
    *(_job.c.cronjob_id, _job.c.created_at, _job.c.account_id, _job.c.fired),
)
# Whether the id or the creation may decide when it fires: what has an H, but not for Thursday, and intervals. And what
# excludes the dates of its account's calendars, or has fired some of the times that it may.
_lower: Final = func.lower(_job.c.cron)
_ALONE: Final = or_(
    _job.c.state == State.PAUSED,
    func.replace(func.replace(_lower, "thu", ""), "@hourly", "").like("%h%"),
    _lower.like("%rate(%"),
    _lower.like("%@every%"),
    _job.c.policies.contains('"exclude"'),
    _job.c.policies.contains('"max_firings"'),
)
_AFTER: Final = tuple_(_job.c.created_at, _job.c.cronjob_id) > tuple_(
    bindparam("after_at", type_=BigInteger()), bindparam("after_id", type_=Id())
)


@cache
def _address(dialect: str, host_by: tuple[tuple[str, str], ...]) -> ColumnElement[Any]:
    """The parameter that the host goes by, cut at the slash behind the host if there is one."""
    cut = _cut_sqlite if dialect == "sqlite" else _cut_postgres
    return case(
        *((_job.c.target == target, cut(_parameter(dialect, name))) for target, name in host_by), else_=null()
    )


def _cut_sqlite(value: ColumnElement[Any]) -> ColumnElement[Any]:
    before = len("https://")
    slash = func.instr(func.substr(value, before + 1).concat("/"), "/")
    return func.substr(value, 1, slash + before - 1)


def _cut_postgres(value: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.coalesce(func.substring(value, "^[^/]*//[^/]*"), value)


def _parameter(dialect: str, name: str) -> ColumnElement[Any]:
    if dialect == "sqlite":
        return func.json_extract(_job.c.destination, f"$.{name}")
    return cast(_job.c.destination, JSON).op("->>", return_type=Text())(name)


def _columns(dialect: str, host_by: HostBy) -> list[ColumnElement[Any]]:
    address = _address(dialect, tuple(sorted(host_by.items()))).label("address")
    return [_job.c.cron, _job.c.timezone, _job.c.policies, _job.c.target, address]


def list_of_account(
    connection: Connection, account_id: str, until: int, after: Position | None, host_by: HostBy
) -> tuple[list[Scheduled], Position | None]:
    """A page of the account's cron jobs that fire before an instant, one each, and where the next page begins."""
    parameters: dict[str, Any] = {"account_id": account_id, "until": until, "limit": PAGE + 1}
    if after is not None:
        parameters |= {"after_at": after[0], "after_id": after[1]}
    count, last = _first(_sizes(after is not None).read(connection, parameters))
    if not count:
        return [], None
    dialect = connection.dialect.name
    rows = _page(dialect, tuple(sorted(host_by.items())), after is not None).read(
        connection, {**parameters, "limit": count}
    )
    return [Scheduled(*row) for row in rows], last


def list_addresses(
    connection: Connection, account_id: str, after: Position | None, host_by: HostBy
) -> tuple[list[tuple[str, str | None]], Position | None]:
    """Of a page of the account's cron jobs, whether they fire or not, the target of each and what its host goes by.

    And where the next page begins.
    """
    parameters: dict[str, Any] = {"account_id": account_id, "limit": PAGE + 1}
    if after is not None:
        parameters |= {"after_at": after[0], "after_id": after[1]}
    count, last = _first(_sizes(after is not None, fires=False).read(connection, parameters))
    if not count:
        return [], None
    rows = _addresses(connection.dialect.name, tuple(sorted(host_by.items())), after is not None).read(
        connection, {**parameters, "limit": count}
    )
    return [(row[0], row[1]) for row in rows], last


def _first(sizes: Sequence[Sequence[Any]]) -> tuple[int, Position | None]:
    """How many of these cron jobs make a page, and which is its last one if there are more."""
    total = count = 0
    for *_, size in sizes[:PAGE]:
        total += size
        if count and total > PAGE_BYTES:
            break
        count += 1
    last = sizes[count - 1] if count and len(sizes) > count else None
    return count, None if last is None else (last[0], last[1])


@cache
def _sizes(after: bool, *, fires: bool = True) -> Rows:
    query = select(_job.c.created_at, _job.c.cronjob_id, _job.c.size)
    return Rows(_of_account(query, after, fires=fires))


@cache
def _page(dialect: str, host_by: tuple[tuple[str, str], ...], after: bool) -> Rows:
    columns = _columns(dialect, dict(host_by))
    return Rows(_of_account(select(*columns, *_ONE), after))


@cache
def _addresses(dialect: str, host_by: tuple[tuple[str, str], ...], after: bool) -> Rows:
    query = select(_job.c.target, _address(dialect, host_by).label("address"))
    return Rows(_of_account(query, after, fires=False))


def _of_account(query: Select[Any], after: bool, *, fires: bool = True) -> Select[Any]:
    # The state is written as in the partial index.
    query = query.where(_job.c.account_id == bindparam("account_id"), text("state <> 'deleted'"))
    if fires:
        query = query.where(_FIRES)
    if after:
        query = query.where(_AFTER)
    return query.order_by(_job.c.created_at, _job.c.cronjob_id).limit(bindparam("limit", type_=Integer()))


# The operator's


@contextmanager
def read_only(connection: Connection) -> Iterator[None]:
    """Let nothing be written in the block, which is all of its transaction."""
    if connection.dialect.name != "sqlite":
        connection.execute(text("SET TRANSACTION READ ONLY"))
        yield
        return
    connection.execute(text("PRAGMA query_only=ON"))
    try:
        yield
    finally:
        connection.execute(text("PRAGMA query_only=OFF"))


def list_grouped(connection: Connection, until: int, host_by: HostBy) -> list[Scheduled]:
    """The cron jobs of all accounts that fire before an instant, those together whose id and creation do not matter."""
    columns = _columns(connection.dialect.name, host_by)
    several = (
        select(*columns, literal(0, BigInteger()).label("since"), func.count().label("count"))
        .where(_FIRES, ~_ALONE)
        .group_by(*(column.name for column in columns))
        .limit(_EVERYTHING)
    )
    alone = select(*columns, *_ONE).where(_FIRES, _ALONE).limit(_EVERYTHING)
    parameters = {"until": until}
    found = [Scheduled(*[*row, None, None, None, 0]) for row in Rows(several).read(connection, parameters)]
    return found + [Scheduled(*row) for row in Rows(alone).read(connection, parameters)]


def list_with(
    connection: Connection,
    until: int,
    crons: Collection[str],
    addresses: Collection[tuple[str, str | None]],
    limit: int,
    host_by: HostBy,
) -> list[Scheduled]:
    """Cron jobs of all accounts with one of these expressions and one of these targets and addresses, one each."""
    *columns, address = _columns(connection.dialect.name, host_by)
    where = or_(
        *(and_(_job.c.target == target, address.is_not_distinct_from(at)) for target, at in addresses)
    )
    query = (
        select(*columns, address, *_ONE)
        .where(_FIRES, _job.c.cron.in_(sorted(crons)), where)
        .order_by(_job.c.cronjob_id)
        .limit(limit)
    )
    return [Scheduled(*row) for row in Rows(query).read(connection, {"until": until})]


def names_of_all(connection: Connection, cronjob_ids: Collection[str]) -> dict[str, str]:
    """The names of cron jobs of any account, by id."""
    query = select(_job.c.cronjob_id, _job.c.name).where(_job.c.cronjob_id.in_(sorted(cronjob_ids)))
    return {row[0]: row[1] for row in connection.execute(query)} if cronjob_ids else {}
