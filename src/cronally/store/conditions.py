"""Conditions: what stands or is counted of each subject, and what is due to be told of it.

Invariant: whoever reads or writes conditions of an account holds the row of its watch until the transaction ends: so
each of them begins and ends once, whichever node sees it, and no two statements here wait for each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Delete,
    Insert,
    Integer,
    Text,
    and_,
    bindparam,
    case,
    delete,
    func,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeEngine

from cronally.condition import AFTER_TOLD, TOLD_IN, Condition, Name, Phase, Telling
from cronally.store import batches, tables
from cronally.store.rows import Rows
from cronally.store.types import Id

Key = tuple[str, str]
"""A subject and the name of a condition."""

_table: Final = tables.condition
_watch: Final = tables.watch
_told: Final = tables.told
_ACCOUNT: Final = bindparam("account", type_=Id())
_LIMIT: Final = bindparam("limit", type_=Integer())
_NOW: Final = bindparam("now", type_=BigInteger())
_FIELDS: Final = tuple(Condition.__dataclass_fields__)
_STATE: Final = (_table.c.subject, _table.c.name, *(_table.c[name] for name in _FIELDS))


# Whose turn it is


def ensure_watch(connection: Connection, account_id: str) -> None:
    """See to it that what happens to an account is noted from now on."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    connection.execute(insert(_watch).values(account_id=account_id).on_conflict_do_nothing())


_LOCK: Final = (
    select(_watch.c.account_id).where(_watch.c.account_id == _ACCOUNT).with_for_update(skip_locked=True)
)
_DUE: Final = (
    select(_watch.c.account_id).where(_watch.c.due_at <= _NOW).order_by(_watch.c.due_at).limit(_LIMIT)
)
_NEXT: Final = select(func.min(_watch.c.due_at)).where(_watch.c.due_at.is_not(None))
_NEXT_OF: Final = select(
    select(func.min(_table.c.due_at))
    .where(_table.c.account_id == _ACCOUNT, _table.c.due_at.is_not(None))
    .scalar_subquery(),
    select(func.min(_table.c.look_at)).where(_table.c.account_id == _ACCOUNT).scalar_subquery(),
)


def lock_watch(connection: Connection, account_id: str) -> bool:
    """Take an account until the transaction ends; False where another node has it."""
    return connection.execute(_LOCK, {"account": account_id}).first() is not None


def list_due(connection: Connection, now: int, limit: int) -> list[str]:
    """The accounts of which something is due, those first that have waited longest."""
    return list(connection.execute(_DUE, {"now": now, "limit": limit}).scalars())


def next_due(connection: Connection) -> int | None:
    """When something of an account is due next."""
    at: int | None = connection.execute(_NEXT).scalar()
    return at


def record_turn(connection: Connection, account_id: str) -> None:
    """Say when something of an account is due next, as its conditions have it. The caller holds its watch."""
    instants = [at for at in connection.execute(_NEXT_OF, {"account": account_id}).one() if at is not None]
    connection.execute(
        update(_watch)
        .where(_watch.c.account_id == account_id)
        .values(due_at=min(instants) if instants else None)
    )


# What stands


@cache
def _of_subjects(dialect: str) -> Rows:
    batch = batches.table(dialect, {"subject": Id()})
    return Rows(
        select(*_STATE)
        .where(_table.c.account_id == _ACCOUNT, _table.c.subject.in_(select(batch.c.subject)))
        .limit(_LIMIT)
    )


_TO_LOOK_AT: Final = Rows(
    select(*_STATE)
    .where(_table.c.account_id == _ACCOUNT, _table.c.look_at <= _NOW)
    .order_by(_table.c.look_at, _table.c.subject, _table.c.name)
    .limit(_LIMIT)
)


def list_conditions(
    connection: Connection, account_id: str, subjects: Collection[str]
) -> dict[Key, Condition]:
    """What stands or is counted of these subjects of an account."""
    parameters = {"account": account_id, "limit": len(subjects) * len(Name)}
    rows = batches.encode([subject] for subject in subjects)
    return _conditions(_of_subjects(connection.dialect.name).read(connection, {**parameters, **rows}))


def list_to_look_at(connection: Connection, account_id: str, now: int, limit: int) -> dict[Key, Condition]:
    """Those of an account that are to be looked at."""
    return _conditions(_TO_LOOK_AT.read(connection, {"account": account_id, "now": now, "limit": limit}))


def _conditions(rows: Iterable[Any]) -> dict[Key, Condition]:
    return {(row[0], row[1]): Condition(Phase(row[2]), *row[3:]) for row in rows}


def write(
    connection: Connection, account_id: str, changed: Mapping[Key, tuple[Condition | None, int]]
) -> None:
    """Write conditions, each with when it is looked at; delete those that are over."""
    dialect = connection.dialect.name
    rows = [
        (*key, account_id, *(getattr(one, name) for name in _FIELDS), look_at)
        for key, (one, look_at) in changed.items()
        if one is not None
    ]
    over = [key for key, (one, _) in changed.items() if one is None]
    if rows:
        connection.execute(_put(dialect), batches.encode(rows))
    if over:
        connection.execute(_remove(dialect), batches.encode(over))


@cache
def _put(dialect: str) -> Insert:
    columns: dict[str, TypeEngine[Any]] = {
        name: _table.c[name].type for name in ("subject", "name", "account_id", *_FIELDS, "look_at")
    }
    batch = batches.table(dialect, columns)
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    # SQLite takes an ON for that of a join unless there is a WHERE.
    statement = insert(_table).from_select(
        list(columns), select(*batch.c).where(batch.c.subject.is_not(None))
    )
    return statement.on_conflict_do_update(
        index_elements=["subject", "name"],
        set_={name: statement.excluded[name] for name in (*_FIELDS, "look_at")},
    )


@cache
def _remove(dialect: str) -> Delete:
    batch = batches.table(dialect, {"subject": Id(), "name": Text()})
    same = batches.same(_table, batch, ("subject", "name"))
    return delete(_table).where(select(batch.c.subject).where(same).exists())


# What is told


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions that are told together."""

    telling: Telling
    name: str
    cause: str
    rule_id: str
    total: int
    """How many they are, without what is the account's."""
    since: int
    """Of the first of them."""

    @property
    def told_of(self) -> str:
        """What it is told of, by which alerts are kept apart."""
        return f"{self.name} {self.telling} {self.cause} {self.rule_id}"


@dataclass(frozen=True, slots=True)
class Member:
    """One of a group."""

    subject: str
    count: int
    since: int
    last: int
    reason: str | None
    ended_at: int | None


_TELLING: Final = case(*((_table.c.phase.in_(phases), telling) for telling, phases in TOLD_IN.items()))
_IS_DUE: Final = and_(_table.c.account_id == _ACCOUNT, _table.c.due_at <= _NOW)
_due: Final = (
    select(
        _TELLING.label("telling"),
        *(_table.c[name] for name in ("subject", "name", "cause", "rule_id", "since", "due_at")),
    )
    .where(_IS_DUE)
    .subquery()
)
_SAME: Final = tuple(_due.c[name] for name in ("telling", "name", "cause", "rule_id"))
_groups: Final = (
    select(
        *_SAME,
        func.sum(case((_due.c.subject == _ACCOUNT, 0), else_=1)).label("total"),
        func.min(_due.c.since).label("since"),
        func.min(_due.c.due_at).label("due_at"),
    )
    .group_by(*_SAME)
    .subquery()
)
_GROUPS: Final = Rows(
    select(*(column for column in _groups.c if column.name != "due_at"))
    .order_by(_groups.c.due_at, _groups.c.telling, _groups.c.name, _groups.c.cause, _groups.c.rule_id)
    .limit(_LIMIT)
)
_OF_GROUP: Final = and_(
    _IS_DUE,
    _table.c.name == bindparam("of_name", type_=Text()),
    _table.c.cause == bindparam("of_cause", type_=Text()),
    _table.c.rule_id == bindparam("of_rule", type_=Id()),
    _table.c.phase.in_(bindparam("phases", type_=Text(), expanding=True)),
)
_MEMBERS: Final = (
    select(*(_table.c[name] for name in Member.__dataclass_fields__))
    .where(_OF_GROUP, _table.c.subject != _ACCOUNT)
    .order_by(_table.c.since, _table.c.subject)
    .limit(_LIMIT)
)
_OVER: Final = [phase for phase, after in AFTER_TOLD.items() if after is None]
_NEXT_PHASE: Final = case(
    *((_table.c.phase == phase, after) for phase, after in AFTER_TOLD.items() if after is not None),
    else_=_table.c.phase,
)
_TELL: Final = (
    update(_table)
    .where(_OF_GROUP)
    .values(
        phase=_NEXT_PHASE,
        due_at=case(
            (_table.c.phase == Phase.BRIEF, _NOW),
            (
                or_(_table.c.phase == Phase.BEGUN, _table.c.phase == Phase.STANDING),
                bindparam("remind_at", type_=BigInteger()),
            ),
            else_=null(),
        ),
    )
)
_END: Final = delete(_table).where(_OF_GROUP)
_PUT_OFF: Final = update(_table).where(_OF_GROUP).values(due_at=bindparam("later", type_=BigInteger()))


def list_groups(connection: Connection, account_id: str, now: int, limit: int) -> list[Group]:
    """What is due of an account, by what is told together, that first which has waited longest."""
    rows = _GROUPS.read(connection, {"account": account_id, "now": now, "limit": limit})
    return [Group(Telling(row[0]), row[1], row[2], row[3], int(row[4]), row[5]) for row in rows]


def list_members(connection: Connection, account_id: str, group: Group, now: int, limit: int) -> list[Member]:
    """The first of a group."""
    parameters = {**_group(account_id, group, now), "limit": limit}
    return [Member(*row) for row in connection.execute(_MEMBERS, parameters)]


def record_told(
    connection: Connection, account_id: str, group: Group, now: int, remind_at: int | None
) -> None:
    """Say that a group was told of.

    :param remind_at: when those that stand are told of again
    """
    parameters = _group(account_id, group, now)
    if set(TOLD_IN[group.telling]) <= set(_OVER):
        connection.execute(_END, parameters)
    else:
        connection.execute(_TELL, {**parameters, "remind_at": remind_at})


def put_off(connection: Connection, account_id: str, group: Group, now: int, until: int) -> None:
    """Tell a group later."""
    connection.execute(_PUT_OFF, {**_group(account_id, group, now), "later": until})


def drop(connection: Connection, account_id: str, group: Group, now: int) -> None:
    """Forget a group: no rule tells of it any more."""
    connection.execute(_END, _group(account_id, group, now))


def _group(account_id: str, group: Group, now: int) -> dict[str, Any]:
    of = {"of_name": group.name, "of_cause": group.cause, "of_rule": group.rule_id}
    return {"account": account_id, "now": now, "phases": list(TOLD_IN[group.telling]), **of}


def last_told(connection: Connection, account_id: str, told_of: str) -> int | None:
    """When this was last told of an account."""
    at: int | None = connection.execute(
        select(_told.c.told_at).where(_told.c.account_id == account_id, _told.c.told_of == told_of)
    ).scalar()
    return at


def keep_told(connection: Connection, account_id: str, told_of: str, now: int, before: int) -> None:
    """Keep when this was told; forget what was told before an instant."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    connection.execute(delete(_told).where(_told.c.account_id == account_id, _told.c.told_at < before))
    statement = insert(_told).values(account_id=account_id, told_of=told_of, told_at=now)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["account_id", "told_of"], set_={"told_at": now})
    )
