"""What targets answered to attempts, as far as it is kept: written beside the attempt, sealed, a bounded part of it.

Invariant: an answer belongs to one lease of one firing, and its id is a pure function of both. Of an account never more
is kept than its row of `answer_count` says, and no more than `KEPT_BYTES`: what is added is counted in the same
transaction, and when there is too much the oldest are deleted and all is counted anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final
from uuid import UUID, uuid5

from sqlalchemy import (
    BigInteger,
    Connection,
    Delete,
    Integer,
    bindparam,
    delete,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from cronally.cronjob import State
from cronally.firing import Key, firing_id
from cronally.store import batches, tables
from cronally.store.rows import Rows
from cronally.store.types import Id

KEPT_BYTES: Final = 16 * 1024 * 1024
"""Of one account."""
_LEFT_BYTES: Final = KEPT_BYTES // 4 * 3
"""That are left when there is too much: so it is counted once for many answers."""
ROW_BYTES: Final = 1024
"""That a row counts for beside what is sealed in it: what it takes in the table and its indexes, rounded up. An account
has a bounded number of rows, too."""
PAGE_BYTES: Final = 512 * 1024
"""Of what is sealed that is read at once: all answers of one firing, or those of the newest attempts of a page."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a target answered to one attempt. Durations are microseconds; None for a part that there was not."""

    status: int
    dns: int | None
    connect: int | None
    tls: int | None
    first_byte: int
    whole: int
    secret: bytes | None = field(repr=False)
    """Its headers and what is kept of its body, sealed; None where it was left out of a page."""


_answer: Final = tables.answer
_count: Final = tables.answer_count
_SHOWN: Final = tuple(name for name in Answer.__dataclass_fields__ if name != "secret")


def answer_id(key: Key, lease_no: int) -> str:
    """The id of the answer to the attempt of a firing that was made under a lease."""
    return str(uuid5(UUID(firing_id(*key)), str(lease_no)))


def record_answers(
    connection: Connection, answers: Sequence[tuple[Key, int, str, int, Answer]], leases_kept: int
) -> None:
    """Write answers, and delete those that they push out. Of a cron job that was deleted meanwhile none is kept.

    :param answers: each with the key of its firing, the number of the lease, the account, and when the attempt began
    :param leases_kept: of how many leases of a firing answers are kept
    """
    rows = [
        {
            "answer_id": answer_id(key, lease_no),
            **dict(zip(("cronjob_id", "scheduled_at", "kind"), key, strict=True)),
            "account_id": account_id,
            "started_at": started_at,
            **{name: getattr(answer, name) for name in Answer.__dataclass_fields__},
            "size": len(answer.secret or b"") + ROW_BYTES,
        }
        for key, lease_no, account_id, started_at, answer in answers
    ]
    added: dict[str, int] = {}
    for row in rows:
        added[row["account_id"]] = added.get(row["account_id"], 0) + row["size"]
    # In the order of their ids: two nodes that record for the same accounts do not wait for each other in a circle.
    full = [one for one in sorted(added) if _add(connection, one, added[one]) > KEPT_BYTES]
    # Only now: who deletes one of the cron jobs holds the count of its account until that can be seen here.
    ids = sorted({row["cronjob_id"] for row in rows})
    deleted = {row[0] for row in _DELETED.read(connection, {"ids": ids, "limit": len(ids)})}
    rows = [row for row in rows if row["cronjob_id"] not in deleted]
    if rows:
        insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        connection.execute(insert(_answer).on_conflict_do_nothing(), rows)
    spent = [
        answer_id(key, lease_no - leases_kept) for key, lease_no, *_ in answers if lease_no > leases_kept
    ]
    if spent:
        connection.execute(_DELETE_BY_ID, {"ids": spent})
    for account_id in full:
        _delete_oldest(connection, account_id)


def _add(connection: Connection, account_id: str, size: int) -> int:
    """Count bytes of an account, and keep others from counting there until the transaction ends; how many it has."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    one = insert(_count).values(account_id=account_id, bytes=size)
    counted = one.on_conflict_do_update(
        index_elements=["account_id"], set_={"bytes": _count.c.bytes + one.excluded.bytes}
    )
    total: int = connection.execute(counted.returning(_count.c.bytes)).scalar_one()
    return total


_cronjob: Final = tables.cronjob
_DELETED: Final = Rows(
    select(_cronjob.c.cronjob_id)
    .where(
        _cronjob.c.cronjob_id.in_(bindparam("ids", type_=Id(), expanding=True)),
        _cronjob.c.state == State.DELETED,
    )
    .limit(bindparam("limit", type_=Integer()))
)
_DELETE_BY_ID: Final = delete(_answer).where(_answer.c.answer_id.in_(bindparam("ids", expanding=True)))
_OF: Final = _answer.c.account_id == bindparam("of", type_=Id())
_newer: Final = (
    select(
        _answer.c.answer_id,
        func.sum(_answer.c.size)
        .over(order_by=(_answer.c.started_at.desc(), _answer.c.answer_id), rows=(None, 0))
        .label("newer"),
    )
    .where(_OF)
    .subquery()
)
_DELETE_OLDEST: Final = delete(_answer).where(
    _answer.c.answer_id.in_(
        select(_newer.c.answer_id).where(_newer.c.newer > bindparam("left", type_=BigInteger()))
    )
)
_COUNT_ANEW: Final = (
    update(_count)
    .where(_count.c.account_id == bindparam("of", type_=Id()))
    .values(bytes=select(func.coalesce(func.sum(_answer.c.size), 0)).where(_OF).scalar_subquery())
)


def _delete_oldest(connection: Connection, account_id: str) -> None:
    connection.execute(_DELETE_OLDEST, {"of": account_id, "left": _LEFT_BYTES})
    connection.execute(_COUNT_ANEW, {"of": account_id})


def delete_answers(connection: Connection, keys: Iterable[Key]) -> None:
    """Delete the answers to all attempts of firings."""
    connection.execute(_delete_of_firings(connection.dialect.name), batches.encode(keys))


@cache
def _delete_of_firings(dialect: str) -> Delete:
    batch = batches.table(dialect, batches.KEY)
    return delete(_answer).where(tuple_(*(_answer.c[name] for name in batches.KEY)).in_(select(*batch.c)))


_DELETE_OF_CRONJOB: Final = delete(_answer).where(_answer.c.cronjob_id == bindparam("of", type_=Id()))


def erase_answers_of(connection: Connection, account_id: str, cronjob_id: str) -> None:
    """Forget what was answered to a cron job, which is deleted. The caller holds its row lock, and needs no other one.

    An answer that is being recorded is waited for, and one that is recorded later finds the cron job deleted.
    """
    _add(connection, account_id, 0)
    connection.execute(_DELETE_OF_CRONJOB, {"of": cronjob_id})


_IDS: Final = (
    _answer.c.account_id == bindparam("account_id", type_=Id()),
    _answer.c.answer_id.in_(bindparam("ids", type_=Id(), expanding=True)),
)
_LIMIT: Final = bindparam("limit", type_=Integer())
_LIST: Final = Rows(
    select(_answer.c.answer_id, _answer.c.size, *(_answer.c[name] for name in _SHOWN))
    .where(*_IDS)
    .order_by(_answer.c.started_at.desc(), _answer.c.answer_id)
    .limit(_LIMIT)
)


@cache
def _read_sealed(dialect: str) -> Rows:
    in_hex = func.hex(_answer.c.secret) if dialect == "sqlite" else func.encode(_answer.c.secret, "hex")
    return Rows(select(_answer.c.answer_id, in_hex).where(*_IDS).limit(_LIMIT))


def list_answers(connection: Connection, account_id: str, ids: Sequence[str]) -> Mapping[str, Answer]:
    """The answers of an account with these ids, as far as there are any.

    What is sealed comes with the newest of them, as far as that is `PAGE_BYTES` together.

    :param ids: as many as a page with attempts has
    """
    if not ids:
        return {}
    parameters = {"account_id": account_id, "ids": list(ids), "limit": len(ids)}
    found = _LIST.read(connection, parameters)
    room, whole = PAGE_BYTES, []
    for one, size, *_ in found:
        room -= size - ROW_BYTES
        if room < 0:
            break
        whole.append(one)
    sealed: dict[str, bytes] = {}
    if whole:
        parameters = {"account_id": account_id, "ids": whole, "limit": len(whole)}
        read = _read_sealed(connection.dialect.name).read(connection, parameters)
        sealed = {row[0]: bytes.fromhex(row[1]) for row in read}
    return {
        row[0]: Answer(**dict(zip(_SHOWN, row[2:], strict=True)), secret=sealed.get(row[0])) for row in found
    }
