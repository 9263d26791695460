"""The audit logs of accounts: a row is added in the transaction of what it tells of.

Invariant: the row `audit_chain` of an account is its log's lock, and the last lock that a transaction takes: after
`record_audit` it takes no other one, so it waits for nobody who waits for it. Of several accounts it takes them in the
order of their ids. Where a log ends is kept apart from its rows: the last of them cannot be missing unseen.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
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
    update,
)

from cronally.audit_chain import Change, Ends, Entry, Row, Who, first_hash, hash_of
from cronally.store import tables
from cronally.store.rows import Rows
from cronally.store.types import Id

MOST_READ: Final = 2000
"""Rows that are looked at for a page."""
MAX_NUMBER: Final = 2**63 - 1
ACCOUNTS: Final = 50
"""Accounts whose oldest row one transaction looks at."""

_table: Final = tables.audit
_chain: Final = tables.audit_chain
_ACCOUNT: Final = bindparam("account", type_=Id())

_NEXT: Final = text(
    """
    INSERT INTO audit_chain (account_id, number, hash, anchor_number, anchor)
    VALUES (:account_id, 1, :first, 0, :first)
    ON CONFLICT (account_id) DO UPDATE SET number = audit_chain.number + 1
    RETURNING number, hash
    """
).bindparams(bindparam("account_id", type_=Id()))
_MOVE: Final = update(_chain).where(_chain.c.account_id == _ACCOUNT).values(hash=bindparam("last"))
_INSERT: Final = insert(_table)
_ENDS: Final = select(_chain.c.anchor_number, _chain.c.anchor, _chain.c.number, _chain.c.hash).where(
    _chain.c.account_id == _ACCOUNT
)
_OLDEST: Final = (
    select(
        _chain.c.account_id,
        select(_table.c.at)
        .where(_table.c.account_id == _chain.c.account_id, _table.c.number == _chain.c.anchor_number + 1)
        .scalar_subquery(),
    )
    .where(_chain.c.account_id > bindparam("after", type_=Id()))
    .order_by(_chain.c.account_id)
    .limit(bindparam("limit", type_=Integer()))
)
_OLD: Final = (
    select(_table.c.number, _table.c.at, _table.c.hash)
    .where(_table.c.account_id == _ACCOUNT)
    .order_by(_table.c.number)
    .limit(bindparam("limit", type_=Integer()))
)
_TO: Final = bindparam("to", type_=BigInteger())
_ANCHOR: Final = (
    update(_chain)
    .where(_chain.c.account_id == _ACCOUNT)
    .values(anchor_number=_TO, anchor=bindparam("anchor_hash", type_=Text()))
)
_DELETE: Final = delete(_table).where(_table.c.account_id == _ACCOUNT, _table.c.number <= _TO)
_SHOWN: Final = (
    *(_table.c.number, _table.c.at, _table.c.who, _table.c.action, _table.c.subject, _table.c.subject_id),
    *(_table.c.changes, _table.c.cronjob_id, _table.c.api_key, _table.c.address, _table.c.request_id),
    *(_table.c.count, _table.c.previous, _table.c.hash),
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which rows are listed. Where nothing is chosen, all are."""

    since: int | None = None
    """An instant, included."""
    until: int | None = None
    """An instant, excluded."""
    cronjob_id: str | None = None
    action: str | None = None
    who: str | None = None
    api_key: str | None = None

    @property
    def looked_up(self) -> dict[str, Any]:
        """What an index finds."""
        return self._chosen("since", "until", "cronjob_id")

    @property
    def filters(self) -> dict[str, Any]:
        """What is to be looked for in each row."""
        return self._chosen("action", "who", "api_key")

    def _chosen(self, *names: str) -> dict[str, Any]:
        return {name: value for name in names if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class Part:
    """A page of a log."""

    rows: list[Row]
    last: int | None
    """The number of the row before which the log goes on; None at its end."""


_EVERYTHING: Final = Chosen()


def record_audit(connection: Connection, *entries: Entry) -> None:
    """Add what was done to the logs of the accounts: the last thing that a transaction does, in one call.

    Entries of one account are in the order that they are given in.
    """
    for entry in sorted(entries, key=lambda entry: entry.account_id):
        known = {"account_id": entry.account_id, "first": first_hash(entry.account_id)}
        number, previous = connection.execute(_NEXT, known).one()
        own = hash_of(number, entry, previous)
        connection.execute(_INSERT, _values(Row(number, entry, previous, own)))
        connection.execute(_MOVE, {"account": entry.account_id, "last": own})


def get_ends(connection: Connection, account_id: str) -> Ends:
    """Where the account's log begins and ends."""
    row = connection.execute(_ENDS, {"account": account_id}).one_or_none()
    if row is None:
        first = first_hash(account_id)
        return Ends(0, first, 0, first)
    return Ends(*row)


def list_audit(
    connection: Connection, account_id: str, before: int | None, limit: int, chosen: Chosen = _EVERYTHING
) -> Part:
    """Rows of the account's log, newest first, at most `limit` from the one before the row `before`.

    Looks at `MOST_READ` rows for a page at most, so a page may have fewer and still go on.
    """
    parameters: dict[str, Any] = {
        "account": account_id,
        "before": MAX_NUMBER if before is None else before,
        "most": MOST_READ,
        "limit": limit + 1,
        **chosen.looked_up,
        **chosen.filters,
    }
    searched = _search(tuple(chosen.looked_up), tuple(chosen.filters))
    found = [_row(account_id, each) for each in searched.read(connection, parameters)]
    if len(found) > limit:
        return Part(found[:limit], found[limit - 1].number)
    if not chosen.filters:
        return Part(found, None)
    count, last = connection.execute(_end(tuple(chosen.looked_up)), parameters).one()
    return Part(found, last if count == MOST_READ else None)


def delete_audit(connection: Connection, after: str, old: int, limit: int) -> tuple[str | None, int]:
    """Delete up to `limit` rows from before `old` of the accounts behind `after`; the hash of the last of each is kept.

    Return which account is done, None for all, and how many rows that were. A transaction of its own.
    """
    deleted = 0
    oldest = connection.execute(_OLDEST, {"after": after, "limit": ACCOUNTS}).all()
    for account_id, at in oldest:
        if at is not None and at < old:
            parameters = {"account": account_id, "old": old, "limit": limit - deleted}
            gone = connection.execute(_OLD, parameters).all()
            # Only the oldest in a row: a clock that was behind does not tear a gap.
            gone = [*takewhile(lambda row: row.at < old, gone)]
            last = gone[-1]
            anchored = {"account": account_id, "to": last.number, "anchor_hash": last.hash}
            connection.execute(_ANCHOR, anchored)
            deleted += connection.execute(_DELETE, anchored).rowcount
            if deleted >= limit:
                return after, deleted
        after = account_id
    return (after if len(oldest) == ACCOUNTS else None), deleted


@cache
def _search(looked_up: tuple[str, ...], filters: tuple[str, ...]) -> Rows:
    """The rows that are chosen, newest first."""
    inner = _looked_up(looked_up)
    if not filters:
        return Rows(inner.limit(bindparam("limit", type_=Integer())))
    of = inner.limit(bindparam("most", type_=Integer())).subquery("searched")
    wanted = (of.c[name] == bindparam(name, type_=of.c[name].type) for name in filters)
    query = select(*of.c).where(*wanted).order_by(of.c.number.desc())
    return Rows(query.limit(bindparam("limit", type_=Integer())))


@cache
def _end(looked_up: tuple[str, ...]) -> Select[int, Any]:
    """How many rows a search has looked at, and the number of the last."""
    of = _looked_up(looked_up).limit(bindparam("most", type_=Integer())).subquery("searched")
    return select(func.count(), func.min(of.c.number))


def _looked_up(by: tuple[str, ...]) -> Select[Any]:
    conditions = {
        "since": _table.c.at >= bindparam("since", type_=BigInteger()),
        "until": _table.c.at < bindparam("until", type_=BigInteger()),
        "cronjob_id": _table.c.cronjob_id == bindparam("cronjob_id", type_=Id()),
    }
    below = _table.c.number < bindparam("before", type_=BigInteger())
    chosen = (conditions[name] for name in by)
    return (
        select(*_SHOWN)
        .where(_table.c.account_id == _ACCOUNT, below, *chosen)
        .order_by(_table.c.number.desc())
    )


def _row(account_id: str, found: Sequence[Any]) -> Row:
    number, at, who, action, subject, subject_id, changes, cronjob_id, *rest = found
    api_key, address, request_id, count, previous, own = rest
    entry = Entry(
        account_id,
        at,
        Who(who),
        action,
        subject,
        subject_id,
        tuple(Change(*each) for each in json.loads(changes)),
        cronjob_id,
        api_key,
        address,
        request_id,
        count,
    )
    return Row(number, entry, previous, own)


def _values(row: Row) -> dict[str, Any]:
    entry = row.entry
    changes = [[change.name, change.before, change.after] for change in entry.changes]
    return {
        "account_id": entry.account_id,
        "number": row.number,
        "at": entry.at,
        "who": str(entry.who),
        "action": str(entry.action),
        "subject": str(entry.subject),
        "subject_id": entry.subject_id,
        "changes": json.dumps(changes, separators=(",", ":"), ensure_ascii=False),
        "cronjob_id": entry.cronjob_id,
        "api_key": entry.api_key,
        "address": entry.address,
        "request_id": entry.request_id,
        "count": entry.count,
        "previous": row.previous,
        "hash": row.hash,
    }
