"""API keys: inserted, found, changed, replaced, revoked, and when they were used.

Invariant: the secret of a revoked key is erased, and it is never found by who authenticates. Every verb but that takes
the account and touches no other's rows. What changes keys is called under the account's lock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, bindparam, delete, insert, or_, select, update

from cronally.contract.keys import SIGNUP_NAME, Scope
from cronally.store import tables
from cronally.store.types import Id

_AS_JSON: Final = ("scopes", "tags", "networks")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key's row. The names are those of the table's columns."""

    api_key: str
    account_id: str
    secret: bytes | None = field(repr=False)
    """Sealed; None once it is revoked."""
    created_at: int
    revoked_at: int | None = None
    name: str = SIGNUP_NAME
    scopes: tuple[str, ...] = tuple(scope.value for scope in Scope)
    tags: tuple[str, ...] = ()
    """It is for cron jobs with one of these; for all where there is none."""
    networks: tuple[str, ...] = ()
    by_signup: bool = False
    created_by: str | None = None
    expires_at: int | None = None
    last_used_at: int | None = None
    replaced_by: str | None = None

    def is_live(self, now: int) -> bool:
        """Whether it can be used."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


_table: Final = tables.api_key
_COLUMNS: Final = tuple(_table.c[name] for name in ApiKey.__dataclass_fields__)
_OF_ACCOUNT: Final = _table.c.account_id == bindparam("account_id", type_=Id())
_LIVE: Final = select(*_COLUMNS).where(
    _table.c.api_key == bindparam("api_key"), _table.c.revoked_at.is_(None)
)
_ALL: Final = select(*_COLUMNS).where(_OF_ACCOUNT).order_by(_table.c.created_at, _table.c.api_key)
# Whoever works on a key has it for a moment: the next time says when it was used. SQLite has one writer.
_USED: Final = (
    select(_table.c.api_key)
    .where(_table.c.api_key.in_(bindparam("api_keys", expanding=True)))
    .with_for_update(skip_locked=True)
)


def insert_api_key(connection: Connection, key: ApiKey) -> None:
    """Add an API key to its account."""
    connection.execute(insert(_table), _values(key))


def get_live(connection: Connection, api_key: str) -> ApiKey | None:
    """The API key, unless it is unknown or revoked; it may have expired. One statement, for `Store.read`."""
    row = connection.execute(_LIVE, {"api_key": api_key}).one_or_none()
    return None if row is None else _read(row)


def list_keys(connection: Connection, account_id: str) -> list[ApiKey]:
    """All API keys of the account, those that have ended as well, in the order in which they were made."""
    return [_read(row) for row in connection.execute(_ALL, {"account_id": account_id})]


def update_key(connection: Connection, key: ApiKey) -> None:
    """Write what may change of a key: its name, what it may do, its end, and what has replaced it."""
    values = _values(key)
    changes = {name: values[name] for name in ("name", *_AS_JSON, "expires_at", "replaced_by")}
    connection.execute(update(_table).where(*_is(key)).values(changes))


def revoke_key(connection: Connection, key: ApiKey, now: int) -> ApiKey:
    """End a key and erase its secret; it as it is then."""
    ended = replace(key, revoked_at=now, secret=None)
    chosen = (*_is(key), _table.c.revoked_at.is_(None))
    connection.execute(update(_table).where(*chosen).values(revoked_at=now, secret=None))
    return ended


def delete_key(connection: Connection, key: ApiKey) -> None:
    """Forget a key."""
    connection.execute(delete(_table).where(*_is(key)))


def record_uses(connection: Connection, uses: Mapping[str, int]) -> None:
    """Say when keys were used last."""
    free = connection.execute(_USED, {"api_keys": sorted(uses)}).scalars().all()
    last = _table.c.last_used_at
    at = bindparam("used_at", type_=BigInteger())
    later = or_(last.is_(None), last < at)
    statement = update(_table).where(_table.c.api_key == bindparam("used"), later).values(last_used_at=at)
    if free:
        connection.execute(statement, [{"used": each, "used_at": uses[each]} for each in free])


def _is(key: ApiKey) -> tuple[Any, ...]:
    return (_table.c.account_id == key.account_id, _table.c.api_key == key.api_key)


def _values(key: ApiKey) -> dict[str, Any]:
    values = {name: getattr(key, name) for name in ApiKey.__dataclass_fields__}
    return values | {name: json.dumps(values[name], separators=(",", ":")) for name in _AS_JSON}


def _read(row: Any) -> ApiKey:
    values = dict(row._mapping)
    return ApiKey(**{**values, **{name: tuple(json.loads(values[name])) for name in _AS_JSON}})
