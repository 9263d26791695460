"""A tenant's cron jobs: inserted, read, listed, changed.

Invariant: every verb takes the account and touches no other's rows. A sealed secret comes out of `get_secret` alone;
a deleted cron job keeps its row, without its secret, for as long as the ledger speaks of it. `size` is written with
every row, so that what an account stores is counted by an index.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    Text,
    Update,
    bindparam,
    case,
    cast,
    func,
    insert,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from cronally import wire
from cronally.cronjob import Timed
from cronally.store import tables, versions
from cronally.store.rows import Rows
from cronally.store.types import Id


@dataclass(frozen=True, slots=True)
class Cronjob(Timed):
    """A cron job's row. The names are those of the table's columns."""

    cronjob_id: str
    account_id: str
    name: str
    cron: str
    timezone: str
    """An IANA name."""
    policies: str
    """A JSON object, as `cronally.cronjob.read_policies` reads it."""
    state: str
    state_reason: str | None
    version: int
    created_at: int
    updated_at: int
    settled_at: int
    """Until then the ledger has everything, what was suppressed too: a change of when it fires settles first."""
    updated_by: str | None
    """The API key that changed it last; None: the server itself."""
    next_fire_at: int | None
    tzdata: str
    """The version of the zone data by which `next_fire_at` was computed."""
    target: str
    destination: str
    """JSON of the target's public parameters."""
    purge_at: int | None = None
    """From when on it need not be kept; set if and only if it is deleted."""
    paused_at: int | None = None
    """Since when its owner has it paused."""
    paused_until: int | None = None
    """When it resumes by itself."""
    paused_by: str | None = None
    """The API key that paused it."""
    paused_note: str | None = None
    wake_at: int | None = None
    """When the scheduler must look at it, though it has no next fire time."""

    @property
    def size(self) -> int:
        """Bytes of what a tenant sent."""
        return sum(len(text.encode()) for text in (self.name, self.cron, self.policies, self.destination))


Position = tuple[int, str]
"""Where a list stands: `created_at` and id of the last cron job that was listed."""
Filters = Mapping[str, tuple[Any, Any]]
"""By which policies a list is filtered: of each the value, and the default of a cron job that was stored without the
policy, both as they are stored; None where none is stored."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which cron jobs are listed."""

    name: str | None = None
    id_prefix: str | None = None
    """The beginning of a UUID."""
    state: str | None = None
    policies: Filters = field(default_factory=dict)
    made_until: int | None = None
    """Only those that were made until then."""


_ALL: Final = Chosen()
_NO_LIMIT: Final = 2**31 - 1

_table: Final = tables.cronjob
_ALL_COLUMNS: Final = tuple(Cronjob.__dataclass_fields__)
_COLUMNS: Final[tuple[ColumnElement[Any], ...]] = tuple(_table.c[name] for name in _ALL_COLUMNS)
_GET: Final = select(*_COLUMNS).where(
    _table.c.account_id == bindparam("account_id"), _table.c.cronjob_id == bindparam("cronjob_id")
)
_NAMES: Final = Rows(
    select(_table.c.cronjob_id, _table.c.name)
    .where(
        _table.c.account_id == bindparam("account_id"),
        _table.c.cronjob_id.in_(bindparam("cronjob_ids", type_=Id(), expanding=True)),
    )
    .limit(bindparam("limit", type_=Integer()))
)
_FIRST_ID: Final = wire.NIL_UUID
_LAST_ID: Final = _FIRST_ID.replace("0", "f")
# Against the tick and other changes, but not against what only points at the row.
_LOCK: Final = _GET.with_for_update(key_share=True)
_AFTER: Final = tuple_(_table.c.created_at, _table.c.cronjob_id) > tuple_(
    bindparam("after_at", type_=BigInteger()), bindparam("after_id", type_=Id())
)


_BRIEF: Final = ("created_at", "cronjob_id", "name", "state")


@dataclass(frozen=True, slots=True)
class Brief:
    """What is told of a cron job among many."""

    created_at: int
    cronjob_id: str
    name: str
    state: str

    @property
    def position(self) -> Position:
        """Where a list goes on after it."""
        return (self.created_at, self.cronjob_id)


@cache
def _listing(
    dialect: str, after: bool, by: frozenset[str], policies: tuple[str, ...], columns: tuple[str, ...]
) -> Rows:
    """The query for a part of a list.

    :param by: what else they are filtered by: `name`, `id_prefix`, `state`, `made_until`
    :param policies: those that the rows are filtered by, each with a parameter of its name
    :param columns: what is wanted of the rows
    """
    query: Select[Any] = (
        select(*(_table.c[name] for name in columns))
        # The state is written as in the partial index, which alone answers for sizes.
        .where(_table.c.account_id == bindparam("account_id"), text("state <> 'deleted'"))
        .order_by(_table.c.created_at, _table.c.cronjob_id)
        .limit(bindparam("limit", type_=Integer()))
    )
    if after:
        query = query.where(_AFTER)
    if "name" in by:
        query = query.where(_table.c.name == bindparam("name", type_=Text()))
    if "state" in by:
        query = query.where(_table.c.state == bindparam("state", type_=Text()))
    if "made_until" in by:
        query = query.where(_table.c.created_at <= bindparam("made_until", type_=BigInteger()))
    if "id_prefix" in by:
        first, last = bindparam("first_id", type_=Id()), bindparam("last_id", type_=Id())
        query = query.where(_table.c.cronjob_id.between(first, last))
    for name in policies:
        stored = _policy(dialect, _table.c.policies, name)
        default = _policy(dialect, bindparam(f"default_{name}", type_=Text()), name)
        wanted = _policy(dialect, bindparam(f"policy_{name}", type_=Text()), name)
        query = query.where(func.coalesce(stored, default).is_not_distinct_from(wanted))
    return Rows(query)


def _policy(dialect: str, policies: ColumnElement[Any], name: str) -> ColumnElement[Any]:
    """The value of a policy in a JSON object; NULL where it is not there."""
    if dialect != "sqlite":
        return cast(policies, JSONB).op("->", return_type=JSONB())(name)
    kind = func.json_type(policies, f"$.{name}")
    # `json_extract` makes 1 and 0 of true and false.
    return case(
        (kind.in_(("true", "false")), kind), else_=cast(func.json_extract(policies, f"$.{name}"), Text())
    )


def insert_cronjob(connection: Connection, cronjob: Cronjob, secret: bytes | None, turn: int = 0) -> None:
    """Add a cron job to its account.

    :param secret: sealed; None for a target without secrets
    :param turn: how many others the account has
    """
    connection.execute(insert(_table), {**_values(cronjob), "secret": secret, "turn": turn})
    versions.record_versions(connection, [cronjob.cronjob_id])


def get_cronjob(connection: Connection, account_id: str, cronjob_id: str) -> Cronjob | None:
    """The account's cron job, deleted or not."""
    return _one(connection, _GET, account_id, cronjob_id)


def lock_cronjob(connection: Connection, account_id: str, cronjob_id: str) -> Cronjob | None:
    """The account's cron job, deleted or not; no other transaction ticks or changes it until the transaction ends."""
    return _one(connection, _LOCK, account_id, cronjob_id)


def list_cronjobs(
    connection: Connection,
    account_id: str,
    after: Position | None,
    limit: int,
    chosen: Chosen = _ALL,
) -> list[Cronjob]:
    """The account's cron jobs that are not deleted, oldest first, at most `limit` from the one after `after`."""
    listing, parameters = _chosen(connection, account_id, after, limit, chosen, _ALL_COLUMNS)
    return [Cronjob(*row) for row in listing.read(connection, parameters)]


def list_sizes(
    connection: Connection,
    account_id: str,
    after: Position | None,
    limit: int,
    chosen: Chosen = _ALL,
) -> list[int]:
    """Of those that `list_cronjobs` would list, how many bytes each holds."""
    listing, parameters = _chosen(connection, account_id, after, limit, chosen, ("size",))
    return [size for (size,) in listing.read(connection, parameters)]


def list_briefs(
    connection: Connection, account_id: str, after: Position | None, limit: int, chosen: Chosen
) -> list[Brief]:
    """Of those that `list_cronjobs` would list, what is told of each among many."""
    listing, parameters = _chosen(connection, account_id, after, limit, chosen, _BRIEF)
    return [Brief(*row) for row in listing.read(connection, parameters)]


def count_chosen(connection: Connection, account_id: str, chosen: Chosen) -> int:
    """How many cron jobs of the account `list_cronjobs` would list."""
    listing, parameters = _chosen(connection, account_id, None, _NO_LIMIT, chosen, ("cronjob_id",))
    return listing.count(connection, parameters)


def _chosen(
    connection: Connection,
    account_id: str,
    after: Position | None,
    limit: int,
    chosen: Chosen,
    columns: tuple[str, ...],
) -> tuple[Rows, dict[str, Any]]:
    """The query for a part of a list, and its parameters."""
    parameters: dict[str, Any] = {"account_id": account_id, "limit": limit}
    by = {name for name in ("name", "state", "id_prefix", "made_until") if getattr(chosen, name) is not None}
    parameters |= {"name": chosen.name, "state": chosen.state, "made_until": chosen.made_until}
    if chosen.id_prefix is not None:
        shortest = len(chosen.id_prefix)
        parameters |= {
            "first_id": chosen.id_prefix + _FIRST_ID[shortest:],
            "last_id": chosen.id_prefix + _LAST_ID[shortest:],
        }
    for name, (value, default) in chosen.policies.items():
        parameters |= {f"policy_{name}": _object(name, value), f"default_{name}": _object(name, default)}
    if after is not None:
        parameters |= {"after_at": after[0], "after_id": after[1]}
    filters = tuple(sorted(chosen.policies))
    return _listing(connection.dialect.name, after is not None, frozenset(by), filters, columns), parameters


def _object(name: str, value: Any) -> str:
    return "{}" if value is None else json.dumps({name: value})


def names_of(connection: Connection, account_id: str, cronjob_ids: Collection[str]) -> dict[str, str]:
    """The names of cron jobs of the account, by id, deleted or not.

    :param cronjob_ids: as many as a page of firings has, at most
    """
    parameters = {"account_id": account_id, "cronjob_ids": sorted(cronjob_ids), "limit": len(cronjob_ids)}
    return {row[0]: row[1] for row in _NAMES.read(connection, parameters)} if cronjob_ids else {}


def update_cronjob(connection: Connection, cronjob: Cronjob) -> None:
    """Write a cron job with a new version over its row; its secret stays. The caller holds its row lock."""
    connection.execute(_update(cronjob).values(_values(cronjob)))
    versions.record_versions(connection, [cronjob.cronjob_id])


def confirm_next_fire_at(connection: Connection, cronjob: Cronjob, tzdata: str) -> None:
    """Say that a next fire time is right by another version of the zone data. The caller holds the row lock."""
    connection.execute(_update(cronjob).values(tzdata=tzdata))


def get_secret(connection: Connection, cronjob: Cronjob) -> bytes | None:
    """What is sealed of a cron job; None if nothing is."""
    chosen = (_table.c.account_id == cronjob.account_id, _table.c.cronjob_id == cronjob.cronjob_id)
    return connection.execute(select(_table.c.secret).where(*chosen)).scalar_one_or_none()


def replace_secret(connection: Connection, cronjob: Cronjob, secret: bytes | None) -> None:
    """Put another sealed secret in a cron job's row, or none. The caller holds its row lock."""
    connection.execute(_update(cronjob).values(secret=secret))


def _update(cronjob: Cronjob) -> Update:
    return update(_table).where(
        _table.c.account_id == cronjob.account_id, _table.c.cronjob_id == cronjob.cronjob_id
    )


def _values(cronjob: Cronjob) -> dict[str, Any]:
    return {name: getattr(cronjob, name) for name in Cronjob.__dataclass_fields__} | {"size": cronjob.size}


def _one(connection: Connection, statement: Select[Any], account_id: str, cronjob_id: str) -> Cronjob | None:
    row = connection.execute(statement, {"account_id": account_id, "cronjob_id": cronjob_id}).one_or_none()
    return None if row is None else Cronjob(*row)
