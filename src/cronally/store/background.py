"""Operations in the background: inserted, claimed, recorded, cancelled, listed.

Invariant: an operation changes only while it is running. Who works on it holds a lease, whose number rises at every
claim: a record of a lease that was lost, or of an operation that was cancelled meanwhile, changes nothing. Every verb
but the claim takes the account and touches no other's rows.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    Select,
    Text,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    tuple_,
    update,
)

from cronally.contract.operations import MAX_PROBLEMS, OperationState
from cronally.store import tables
from cronally.store.rows import Rows
from cronally.store.types import Id


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation's row. The names are those of the table's columns."""

    operation_id: str
    account_id: str
    action: str
    parameters: str
    """A JSON object."""
    created_by: str
    """The API key that asked for it."""
    created_at: int
    total: int | None
    state: str = OperationState.RUNNING
    done: int = 0
    failed: int = 0
    problems: str = "[]"
    """JSON: the first of what went wrong."""
    cursor: str | None = None
    """Where it goes on, as its action wrote it."""
    updated_at: int = 0
    finished_at: int | None = None
    leased_until: int = 0
    lease_no: int = 0
    within: str | None = None
    """JSON: the tags that the API key was restricted to; None: it was to none."""


Position = tuple[int, str]
"""Where a list stands: `created_at` and id of the last operation that was listed."""

_table: Final = tables.operation
_COLUMNS: Final = tuple(_table.c[name] for name in Operation.__dataclass_fields__)
# As in the partial index.
_RUNNING: Final = text("state = 'running'")
_OF_ACCOUNT: Final = _table.c.account_id == bindparam("account_id", type_=Id())
_GET: Final = select(*_COLUMNS).where(
    _OF_ACCOUNT, _table.c.operation_id == bindparam("operation_id", type_=Id())
)
_NEWEST_FIRST: Final = (_table.c.created_at.desc(), _table.c.operation_id.desc())
_LIST: Final[Select[Any]] = (
    select(*_COLUMNS).where(_OF_ACCOUNT).order_by(*_NEWEST_FIRST).limit(bindparam("limit", type_=Integer()))
)
_WITHIN: Final = _table.c.within == bindparam("within", type_=Text())
_KEY: Final = tuple_(_table.c.created_at, _table.c.operation_id)
_FIRST: Final = Rows(_LIST)
_LISTED_BEFORE: Final = _LIST.where(
    tuple_(bindparam("before_at", type_=BigInteger()), bindparam("before_id", type_=Id())) > _KEY
)
_BEFORE: Final = Rows(_LISTED_BEFORE)
_FIRST_WITHIN: Final = Rows(_LIST.where(_WITHIN))
_BEFORE_WITHIN: Final = Rows(_LISTED_BEFORE.where(_WITHIN))
_COUNT_RUNNING: Final = select(func.count()).select_from(_table).where(_OF_ACCOUNT, _RUNNING)
# Another node's claim is not waited for: it is an operation that this one need not have. SQLite has one writer.
_CLAIM: Final = (
    select(*_COLUMNS)
    .where(
        _RUNNING,
        _table.c.leased_until <= bindparam("now", type_=BigInteger()),
        _table.c.action.in_(bindparam("actions", type_=Text(), expanding=True)),
    )
    .order_by(_table.c.updated_at, _table.c.operation_id)
    .limit(1)
    .with_for_update(skip_locked=True)
)


def insert_operation(connection: Connection, operation: Operation) -> None:
    """Add an operation to its account. The caller has locked the account, and counted those that run."""
    connection.execute(insert(_table), _values(operation))


def get_operation(connection: Connection, account_id: str, operation_id: str) -> Operation | None:
    """The account's operation."""
    row = connection.execute(_GET, {"account_id": account_id, "operation_id": operation_id}).one_or_none()
    return None if row is None else Operation(*row)


def list_operations(
    connection: Connection, account_id: str, before: Position | None, limit: int, within: str | None = None
) -> list[Operation]:
    """The account's operations, newest first, at most `limit` from the one after `before`.

    :param within: only those of keys that are restricted to these tags; None: all
    """
    parameters: dict[str, Any] = {"account_id": account_id, "limit": limit}
    if within is not None:
        parameters["within"] = within
    if before is None:
        query = _FIRST if within is None else _FIRST_WITHIN
        return [Operation(*row) for row in query.read(connection, parameters)]
    parameters |= {"before_at": before[0], "before_id": before[1]}
    query = _BEFORE if within is None else _BEFORE_WITHIN
    return [Operation(*row) for row in query.read(connection, parameters)]


def count_running(connection: Connection, account_id: str) -> int:
    """How many of the account's operations are running."""
    count: int = connection.execute(_COUNT_RUNNING, {"account_id": account_id}).scalar_one()
    return count


def claim_operation(
    connection: Connection, now: int, lease: int, actions: Collection[str]
) -> Operation | None:
    """Take the running operation that has waited longest and that nobody has, for `lease` microseconds.

    :param actions: what the caller can do; another node may be of a newer version, and can do more
    """
    row = connection.execute(_CLAIM, {"now": now, "actions": sorted(actions)}).one_or_none()
    if row is None:
        return None
    found = Operation(*row)
    values = {"lease_no": found.lease_no + 1, "leased_until": now + lease}
    chosen = _table.c.operation_id == found.operation_id
    connection.execute(update(_table).where(chosen).values(values))
    return Operation(**{**_values(found), **values})


def record_progress(
    connection: Connection,
    claimed: Operation,
    now: int,
    *,
    state: OperationState,
    done: int,
    failed: int,
    problems: Sequence[Mapping[str, Any]],
    cursor: str | None,
    free_at: int,
) -> Operation | None:
    """Record what became of a lease, and give it back; the operation as it stands then.

    None, and nothing changes, if the lease is not the caller's any more.

    :param done: how many more are done; `failed` and `problems` likewise
    :param free_at: when somebody may go on
    """
    recorded = replace(
        claimed,
        state=state,
        done=claimed.done + done,
        failed=claimed.failed + failed,
        problems=encode([*json.loads(claimed.problems), *problems][:MAX_PROBLEMS]),
        cursor=cursor,
        updated_at=now,
        finished_at=None if state == OperationState.RUNNING else now,
        leased_until=free_at,
    )
    result = connection.execute(
        update(_table)
        .where(
            _table.c.account_id == claimed.account_id,
            _table.c.operation_id == claimed.operation_id,
            _table.c.lease_no == claimed.lease_no,
            _RUNNING,
        )
        .values(_values(recorded))
    )
    return recorded if result.rowcount == 1 else None


def cancel_operation(connection: Connection, account_id: str, operation_id: str, now: int) -> None:
    """End an operation of the account, if it is running: who works on it can record nothing more."""
    connection.execute(
        update(_table)
        .where(_table.c.account_id == account_id, _table.c.operation_id == operation_id, _RUNNING)
        .values(state=OperationState.CANCELLED, updated_at=now, finished_at=now, cursor=None)
    )


def delete_operations(connection: Connection, account_id: str, before: int, limit: int) -> int:
    """Delete up to `limit` operations of an account that ended before an instant."""
    ended = (
        select(_table.c.operation_id)
        # Only an operation that was made before can have ended before.
        .where(
            _table.c.account_id == account_id,
            _table.c.created_at < before,
            _table.c.finished_at < before,
        )
        .order_by(_table.c.created_at)
        .limit(limit)
    )
    return connection.execute(delete(_table).where(_table.c.operation_id.in_(ended))).rowcount


def forget_operations(connection: Connection, account_id: str, keep: int) -> None:
    """Delete what has ended of an account, but for its newest `keep` operations."""
    last = _LIST.with_only_columns(_table.c.created_at, _table.c.operation_id).offset(keep)
    row = connection.execute(last, {"account_id": account_id, "limit": 1}).one_or_none()
    if row is not None:
        older = tuple_(bindparam("at", row[0], BigInteger()), bindparam("id", row[1], Id())) >= _KEY
        ended = _table.c.finished_at.is_not(None)
        connection.execute(delete(_table).where(_table.c.account_id == account_id, older, ended))


def encode(value: Any) -> str:
    """JSON as it is stored in `parameters` and `problems`."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)


def _values(operation: Operation) -> dict[str, Any]:
    return {name: getattr(operation, name) for name in Operation.__dataclass_fields__}
