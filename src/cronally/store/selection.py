"""Which cron jobs of an account are chosen, and in which order: their keys, from which pages are made.

Invariant: a list is read by key, and no more than keys and sizes are read of what is not listed. In the order in which
cron jobs were made an index has the keys sorted; every other order and every filter reads the account's rows and keeps
the first `limit`, so no index has to follow each tick for it (docs/design/lists.md).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Text,
    and_,
    bindparam,
    case,
    cast,
    collate,
    exists,
    func,
    or_,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB

from cronally import wire
from cronally.contract.tags import ANY
from cronally.instants import MAX_INSTANT
from cronally.standing import Health
from cronally.store import tables
from cronally.store.connections import chosen_by
from cronally.store.last_firings import LOOKED
from cronally.store.rows import Rows
from cronally.store.types import Id

Value = int | str | None
"""By what a cron job is sorted; None is last."""
Position = tuple[Value, str]
"""Where a list stands: the value and the id of the last cron job that was listed."""
Filters = Mapping[str, tuple[Any, Any]]
"""By which policies a list is filtered: of each the value, and the default of a cron job that was stored without the
policy, both as they are stored; None where none is stored."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which cron jobs are listed: those for which all of it holds."""

    name: str | None = None
    name_prefix: str | None = None
    id_prefix: str | None = None
    """The beginning of a UUID."""
    state: str | None = None
    health: str | None = None
    target: str | None = None
    next_fire_from: int | None = None
    """An instant, included."""
    next_fire_until: int | None = None
    """An instant, excluded."""
    tags: tuple[str, ...] = ()
    """Of one that ends with `=*` the value may be any."""
    policies: Filters = field(default_factory=dict)
    made_until: int | None = None
    """An instant, included."""
    connection: str | None = None
    """The id or the name of the connection that they use."""
    within: tuple[str, ...] = ()
    """As `tags`, but one of them is enough."""


class Order(NamedTuple):
    """By what a list is sorted, and then by id in the same direction."""

    by: str = "created"
    """A name of `_COLUMNS`."""
    descending: bool = False


class Key(NamedTuple):
    """What a page is made from."""

    value: Value
    cronjob_id: str
    size: int
    """How many bytes the cron job holds."""

    @property
    def position(self) -> Position:
        """Where a list stands behind it."""
        return self.value, self.cronjob_id


@dataclass(frozen=True, slots=True)
class Brief:
    """What is told of a cron job among many. The names are those of the table's columns."""

    created_at: int
    cronjob_id: str
    name: str
    state: str

    @property
    def position(self) -> tuple[int, str]:
        """Where a list goes on after it."""
        return self.created_at, self.cronjob_id


ALL: Final = Chosen()
OLDEST_FIRST: Final = Order()
_NO_LIMIT: Final = 2**31 - 1

_table: Final = tables.cronjob
_COLUMNS: Final = {
    "created": _table.c.created_at,
    "name": _table.c.name,
    "next_fire": _table.c.next_fire_at,
    "updated": _table.c.updated_at,
}
_FIRST_ID: Final = wire.NIL_UUID
_LAST_ID: Final = _FIRST_ID.replace("0", "f")


def _parameter(name: str, type_: Any) -> ColumnElement[Any]:
    return bindparam(name, type_=type_)


_BY: Final[Mapping[str, ColumnElement[bool]]] = {
    "name": _table.c.name == _parameter("name", Text()),
    # Not LIKE, which SQLite compares without case.
    "name_prefix": func.substr(_table.c.name, 1, func.length(_parameter("name_prefix", Text())))
    == _parameter("name_prefix", Text()),
    "id_prefix": _table.c.cronjob_id.between(_parameter("first_id", Id()), _parameter("last_id", Id())),
    "state": _table.c.state == _parameter("state", Text()),
    "target": _table.c.target == _parameter("target", Text()),
    "next_fire_from": _table.c.next_fire_at >= _parameter("next_fire_from", BigInteger()),
    "made_until": _table.c.created_at <= _parameter("made_until", BigInteger()),
    "connection": chosen_by(),
    "next_fire_until": _table.c.next_fire_at < _parameter("next_fire_until", BigInteger()),
}
"""What each filter asks for, with parameters of its name."""

# As `cronally.store.last_firings` looks for one that has ended: at the newest, and at the oldest.
_HAS_ENDED: Final = f"""(
    EXISTS (SELECT 1 FROM (SELECT due_at FROM firing WHERE firing.cronjob_id = cronjob.cronjob_id
                           AND scheduled_at <= :now ORDER BY scheduled_at DESC, kind DESC LIMIT {LOOKED}) newest
            WHERE due_at IS NULL)
    OR EXISTS (SELECT 1 FROM (SELECT due_at FROM firing WHERE firing.cronjob_id = cronjob.cronjob_id
                              AND scheduled_at <= :now ORDER BY scheduled_at, kind LIMIT 1) oldest
               WHERE due_at IS NULL))"""  # noqa: S608 - constants
_UNWELL: Final = exists().where(tables.standing.c.cronjob_id == _table.c.cronjob_id)
_IN_THIS_WAY: Final = _UNWELL.where(tables.standing.c.health == _parameter("health", Text()))
_HEALTH: Final[Mapping[str, ColumnElement[bool]]] = {
    Health.FAILING: _IN_THIS_WAY,
    Health.LATE: _IN_THIS_WAY,
    Health.NEW: and_(~_UNWELL, text(f"NOT {_HAS_ENDED}")),
    Health.OK: and_(~_UNWELL, text(_HAS_ENDED)),
}
"""What each health asks for."""


def list_keys(
    connection: Connection,
    account_id: str,
    after: Position | None,
    limit: int,
    chosen: Chosen = ALL,
    order: Order = OLDEST_FIRST,
    now: int = MAX_INSTANT,
) -> list[Key]:
    """The keys of the account's cron jobs that are not deleted, at most `limit` from the one after `after`.

    :param now: an instant: the health is read from firings whose fire time has come
    """
    query, parameters = _prepare(connection, account_id, after, limit, chosen, order, now, None)
    return [Key(*row) for row in query.read(connection, parameters)]


def list_briefs(
    connection: Connection,
    account_id: str,
    after: tuple[int, str] | None,
    limit: int,
    chosen: Chosen,
    now: int = MAX_INSTANT,
) -> list[Brief]:
    """Of those cron jobs what is told of each among many, oldest first."""
    names = tuple(Brief.__dataclass_fields__)
    query, parameters = _prepare(connection, account_id, after, limit, chosen, OLDEST_FIRST, now, names)
    return [Brief(*row) for row in query.read(connection, parameters)]


def count_chosen(connection: Connection, account_id: str, chosen: Chosen, now: int = MAX_INSTANT) -> int:
    """How many cron jobs of the account are chosen that are not deleted."""
    query, parameters = _prepare(
        connection, account_id, None, _NO_LIMIT, chosen, OLDEST_FIRST, now, ("cronjob_id",)
    )
    return query.count(connection, parameters)


def _prepare(
    connection: Connection,
    account_id: str,
    after: Position | None,
    limit: int,
    chosen: Chosen,
    order: Order,
    now: int,
    columns: tuple[str, ...] | None,
) -> tuple[Rows, dict[str, Any]]:
    """The query for a part of a list, and its parameters.

    :param columns: what is wanted of each row; None: its key
    """
    parameters: dict[str, Any] = {"account_id": account_id, "limit": limit}
    parameters |= {"health": chosen.health, "now": now}
    parameters |= {name: getattr(chosen, name) for name in _BY}
    if chosen.id_prefix is not None:
        shortest = len(chosen.id_prefix)
        parameters |= {
            "first_id": chosen.id_prefix + _FIRST_ID[shortest:],
            "last_id": chosen.id_prefix + _LAST_ID[shortest:],
        }
    for place, tag in enumerate(chosen.tags):
        parameters[f"tag_{place}"] = tag_text(tag)
    for place, tag in enumerate(chosen.within):
        parameters[f"within_{place}"] = tag_text(tag)
    for name, (value, default) in chosen.policies.items():
        parameters |= {f"policy_{name}": _object(name, value), f"default_{name}": _object(name, default)}
    if chosen.connection is not None:
        parameters["connection_id"] = chosen.connection
    if after is not None:
        parameters |= {"after_value": after[0], "after_id": after[1]}
    query = _query(
        connection.dialect.name,
        order,
        None if after is None else after[0] is not None,
        frozenset(name for name in _BY if parameters[name] is not None),
        chosen.health,
        len(chosen.tags),
        len(chosen.within),
        tuple(sorted(chosen.policies)),
        columns,
    )
    return query, parameters


# So many, and no more: who asks chooses the filters.
@lru_cache(maxsize=256)
def _query(
    dialect: str,
    order: Order,
    after: bool | None,
    by: frozenset[str],
    health: str | None,
    tags: int,
    within: int,
    policies: tuple[str, ...],
    columns: tuple[str, ...] | None,
) -> Rows:
    """The query for a part of a list.

    :param after: whether the position that the list goes on from has a value; None: it begins
    :param by: the names of the filters in `_BY`
    :param health: a name of `_HEALTH`; None: any
    :param tags: by how many tags the rows are filtered
    :param within: of how many others one is enough
    :param policies: those that the rows are filtered by, each with a parameter of its name
    :param columns: what is wanted of the rows; None: their keys
    """
    value: ColumnElement[Any] = _COLUMNS[order.by]
    if order.by == "name" and dialect != "sqlite":
        value = collate(value, "C")  # the order of SQLite, and of no locale
    wanted = [_BY[name] for name in _BY if name in by]
    if health is not None:
        wanted.append(_HEALTH[health])
    wanted += [_has_tag(dialect, f"tag_{place}") for place in range(tags)]
    if within:
        wanted.append(or_(*[_has_tag(dialect, f"within_{place}") for place in range(within)]))
    wanted += [_has_policy(dialect, name) for name in policies]
    if after is not None:
        wanted.append(_follows(value, order, after))
    key = (_COLUMNS[order.by], _table.c.cronjob_id, _table.c.size)
    wanted_of_each = key if columns is None else [_table.c[name] for name in columns]
    return Rows(
        select(*wanted_of_each)
        # The state is written as in the partial index, which alone answers where nothing else is asked for.
        .where(_table.c.account_id == bindparam("account_id"), text("state <> 'deleted'"), *wanted)
        .order_by(*_sorted(value, order))
        .limit(bindparam("limit", type_=Integer()))
    )


def _sorted(value: ColumnElement[Any], order: Order) -> Iterator[ColumnElement[Any]]:
    if order.by == "next_fire":
        yield value.is_(None)
    for column in (value, _table.c.cronjob_id):
        yield column.desc() if order.descending else column


def _follows(value: ColumnElement[Any], order: Order, after: bool) -> ColumnElement[bool]:
    """Whether a row comes after the position. One without a value comes after all that have one."""
    after_id = _parameter("after_id", Id())
    if not after:
        own_id = _table.c.cronjob_id
        return value.is_(None) & (own_id < after_id if order.descending else own_id > after_id)
    type_ = Text() if order.by == "name" else BigInteger()
    row, place = tuple_(value, _table.c.cronjob_id), tuple_(_parameter("after_value", type_), after_id)
    behind = row < place if order.descending else row > place
    return or_(behind, value.is_(None)) if order.by == "next_fire" else behind


def _has_tag(dialect: str, name: str) -> ColumnElement[bool]:
    return has_text(dialect, _table.c.tags, _parameter(name, Text()))


def has_text(dialect: str, tags: Any, wanted: Any) -> ColumnElement[bool]:
    """Whether tags, in JSON, hold a text of `tag_text`: no tag has the quotes that stand around each in JSON."""
    find = func.instr if dialect == "sqlite" else func.strpos
    found: ColumnElement[bool] = find(tags, wanted) > 0
    return found


def tag_text(tag: str) -> str:
    """What stands in the JSON of tags where there is a tag, or one that it asks for."""
    return f'"{tag.removesuffix(ANY)}=' if tag.endswith(ANY) else f'"{tag}"'


def _has_policy(dialect: str, name: str) -> ColumnElement[bool]:
    stored = _policy(dialect, _table.c.policies, name)
    default = _policy(dialect, _parameter(f"default_{name}", Text()), name)
    wanted = _policy(dialect, _parameter(f"policy_{name}", Text()), name)
    return func.coalesce(stored, default).is_not_distinct_from(wanted)


def _policy(dialect: str, policies: ColumnElement[Any], name: str) -> ColumnElement[Any]:
    """The value of a policy in a JSON object; NULL where it is not there."""
    if dialect != "sqlite":
        return cast(policies, JSONB).op("->", return_type=JSONB())(name)
    kind = func.json_type(policies, f"$.{name}")
    # `json_extract` makes 1 and 0 of true and false.
    return case(
        (kind.in_(("true", "false")), kind), else_=cast(func.json_extract(policies, f"$.{name}"), Text())
    )


def _object(name: str, value: Any) -> str:
    return "{}" if value is None else json.dumps({name: value})
