"""How the firings of a cron job ended in a span of time, counted in the ledger.

Invariant: what is counted is the ledger, when it is asked for, so the two never disagree. An answer counts `COUNTED`
rows at most, the newest, and reads indexes alone: one has all, one what was not delivered, and what is open is looked
for among the account's. Only where that has very much open, the rows themselves are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, BindParameter, Connection, Integer, bindparam, select, text

from cronally.firing import UNDELIVERED, Kind, State
from cronally.store import tables
from cronally.store.types import Id

COUNTED: Final = 12_000
"""So many rows are counted at most: a firing a minute for 7 days, and some more."""
OPEN_LOOKED: Final = 1000
"""Of what an account has open, so much is looked at."""
ACROSS_LOOKED: Final = 100
"""Of what was not delivered before the span, so much is looked at for a range that reaches into it."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many fire times ended how, from an instant on."""

    since: int
    """When the span begins; later than asked for where it would have too many rows."""
    delivered: int
    failed: int
    missed: int
    skipped: int


def count_firings(
    connection: Connection, account_id: str, cronjob_id: str, now: int, begin: tuple[int, int]
) -> tuple[Counts, Counts]:
    """How the firings of a cron job ended in two spans of time until now. The caller has found it in its account.

    :param begin: when they begin, the shorter one first
    """
    of = {"account_id": account_id, "cronjob_id": cronjob_id, "now": now}
    short, long = begin
    beyond: int | None = connection.execute(_BEYOND, {**of, "since": long, "counted": COUNTED}).scalar()
    if beyond is not None:
        long = beyond + 1
        short = max(short, long)
    parameters = {**of, "since": long, "then": short}
    found = connection.execute(_COUNT, {**parameters, "looked": OPEN_LOOKED + 1}).one()
    row: dict[str, int] = {**found._mapping}
    if row["looked"] > OPEN_LOOKED:
        row |= connection.execute(_DELIVERED, parameters).one()._mapping
    else:
        for part in ("0", "1"):
            row[f"delivered_{part}"] = row[f"total_{part}"] - row[f"undelivered_{part}"] - row[f"open_{part}"]
    states = (State.DELIVERED, *UNDELIVERED)
    recent = {state.value: int(row[f"{state}_1"]) for state in states}
    all_ = {state.value: recent[state] + int(row[f"{state}_0"]) for state in states}
    for counted, since in ((recent, short), (all_, long)):
        state, count = _across(connection, cronjob_id, since)
        if count:
            counted[state] += count
    return Counts(short, **recent), Counts(long, **all_)


def _across(connection: Connection, cronjob_id: str, since: int) -> tuple[str, int]:
    """How many fire times from an instant on a range has that begins before it, and in which state they are.

    A range keeps no fire times: they are taken to be as far from each other as they are on average.
    """
    parameters = {"cronjob_id": cronjob_id, "since": since, "looked": ACROSS_LOOKED}
    row = connection.execute(_ACROSS, parameters).first()
    if row is None or row[1] is None or row[1] < since:
        return "", 0
    first, last, count, state = row
    return state, count + -(since - first) * (count - 1) // (last - first)


_firing: Final = tables.firing
_OF_CRONJOB: Final = _firing.c.cronjob_id == bindparam("cronjob_id", type_=Id())
_SINCE: Final = bindparam("since", type_=BigInteger())
_BEYOND: Final = (
    select(_firing.c.scheduled_at)
    .where(
        _OF_CRONJOB,
        _firing.c.scheduled_at >= _SINCE,
        _firing.c.scheduled_at <= bindparam("now", type_=BigInteger()),
    )
    .order_by(_firing.c.scheduled_at.desc())
    .limit(1)
    .offset(bindparam("counted", type_=Integer()))
)
_before: Final = (
    select(_firing.c.kind, _firing.c.state, _firing.c.scheduled_at, _firing.c.until_at, _firing.c.count)
    .where(_OF_CRONJOB, _firing.c.scheduled_at < _SINCE, text(f"({tables.UNDELIVERED})"))
    .order_by(_firing.c.scheduled_at.desc())
    .limit(bindparam("looked", type_=Integer()))
    .subquery()
)
# Rows of fire times do not overlap: the last one that begins before is the only one that can reach beyond.
_ACROSS: Final = (
    select(_before.c.scheduled_at, _before.c.until_at, _before.c.count, _before.c.state)
    .where(_before.c.kind == Kind.SCHEDULED)
    .order_by(_before.c.scheduled_at.desc())
    .limit(1)
)

_SPANS: Final = (
    "cronjob_id = :cronjob_id AND scheduled_at >= :since AND scheduled_at < :then",
    "cronjob_id = :cronjob_id AND scheduled_at >= :then AND scheduled_at <= :now",
)
"""The part of the longer span that the shorter one does not have, and the shorter one."""


def _parts(number: int, span: str) -> str:
    sums = ", ".join(
        f"coalesce(sum(CASE WHEN state = '{state}' THEN count END), 0) AS {state}_{number}"
        for state in UNDELIVERED
    )
    return f"""
        (SELECT count(*) AS total_{number} FROM firing WHERE {span}) t_{number},
        (SELECT count(*) AS undelivered_{number}, {sums} FROM firing
         WHERE {span} AND ({tables.UNDELIVERED})) u_{number}
    """  # noqa: S608 - constants


def _open(number: int, span: str) -> str:
    return f"coalesce(sum(CASE WHEN {span} THEN 1 END), 0) AS open_{number}"


def _of(number: int, span: str) -> str:
    return f"(SELECT count(*) FROM firing WHERE {span} AND state = '{State.DELIVERED}') AS delivered_{number}"  # noqa: S608


def _each(part: Any) -> str:
    return ", ".join(part(number, span) for number, span in enumerate(_SPANS))


_TYPES: Final[Sequence[BindParameter[Any]]] = (
    bindparam("cronjob_id", type_=Id()),
    *[bindparam(name, type_=BigInteger()) for name in ("since", "then", "now")],
)
# One statement: it sees one state of the ledger, or what ends meanwhile would be counted twice or not at all.
_COUNT: Final = text(
    f"""
    SELECT * FROM {_each(_parts)},
        (SELECT count(*) AS looked, {_each(_open)}
         FROM (SELECT cronjob_id, scheduled_at FROM firing
               WHERE account_id = :account_id AND due_at IS NOT NULL ORDER BY due_at LIMIT :looked) found) open
    """  # noqa: S608 - constants
).bindparams(*_TYPES, bindparam("account_id", type_=Id()), bindparam("looked", type_=Integer()))
_DELIVERED: Final = text(f"SELECT {_each(_of)}").bindparams(*_TYPES)
