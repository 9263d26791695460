"""Firings listed by what they are, a page at a time, in either direction.

Invariant: a page reads a bounded number of rows, `MOST_READ`, however few of them are wanted. Where that ends the
search before the page is full, the page says how far it went, and the next one goes on from there. Lists are read by
key, never by offset, so a page costs the same however deep it lies, and rows that come in meanwhile neither repeat nor
hide others. Every verb takes the account and reads no other's rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    case,
    or_,
    select,
    text,
    tuple_,
)

from cronally.firing import Reason, State
from cronally.store import tables
from cronally.store.ledger import COLUMNS, Firing, Position
from cronally.store.rows import Rows
from cronally.store.selection import has_text, tag_text
from cronally.store.types import Id

MOST_READ: Final = 2000
"""Rows that are looked at for a page; measured in docs/design/searches.md."""
MOST_NAMED: Final = 10
"""Cron jobs of which each has a search of its own for a page. What may be read is shared out among them."""

_INDEXED: Final = frozenset({State.FAILED, State.MISSED})
# Word for word as in the index, or SQLite does not see that it holds all that is asked for.
_IN_INDEX: Final = text(tables.WENT_WRONG)
_AFTER_EVERY_KIND: Final = "~"

_WITHIN: Final = "within_"
"""What the names of those filters begin with of which one is enough."""

_firing: Final = tables.firing
_cronjob: Final = tables.cronjob
_KEY: Final = (_firing.c.scheduled_at, _firing.c.cronjob_id, _firing.c.kind)
_KEY_OF_CRONJOB: Final = (_firing.c.scheduled_at, _firing.c.kind)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which firings are listed, and which of them first. Where nothing is chosen, all are."""

    since: int | None = None
    """An instant, included. Fire times are compared with it, of a range row the first."""
    until: int | None = None
    """An instant, excluded."""
    states: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    kind: str | None = None
    name: str | None = None
    """Of their cron jobs."""
    tags: tuple[str, ...] = ()
    """Of their cron jobs, as those have them now. Of one that ends with `=*` the value may be any."""
    within: tuple[str, ...] = ()
    """As `tags`, but one of them is enough."""
    oldest_first: bool = False
    discarded: bool | None = None
    """False: without the dead letters that were discarded; nothing else ever is."""

    @property
    def filters(self) -> dict[str, Any]:
        """What is to be looked for in each row, by the names of the parameters."""
        by = {"states": self.states, "reasons": self.reasons, "kind": self.kind, "name": self.name}
        tags = {f"tag_{place}": tag_text(tag) for place, tag in enumerate(self.tags)}
        found = {name: value for name, value in by.items() if value} | tags
        found |= {f"{_WITHIN}{place}": tag_text(tag) for place, tag in enumerate(self.within)}
        return found if self.discarded is None else found | {"discarded": self.discarded}


@dataclass(frozen=True, slots=True)
class Part:
    """A page of a list."""

    firings: list[Firing]
    last: Position | None
    """Where the list goes on; None at its end."""
    searched_until: int | None = None
    """The fire time at which the search ended before the page was full."""


_ALL: Final = Chosen()


def list_firings(
    connection: Connection, account_id: str, after: Position | None, limit: int, chosen: Chosen = _ALL
) -> Part:
    """The account's firings, at most `limit` from the one after `after`."""
    return _part([_search(connection, account_id, None, after, limit, chosen, MOST_READ)], limit, chosen)


def list_firings_of_cronjobs(
    connection: Connection,
    account_id: str,
    cronjob_ids: Sequence[str],
    after: Position | None,
    limit: int,
    chosen: Chosen = _ALL,
) -> Part:
    """The firings of some of the account's cron jobs, as `list_firings`.

    :param cronjob_ids: from one to `MOST_NAMED`
    """
    share = MOST_READ // len(cronjob_ids)
    found = [
        _search(connection, account_id, each, _start_of(each, after, chosen), limit, chosen, share)
        for each in cronjob_ids
    ]
    return _part(found, limit, chosen)


@dataclass(frozen=True, slots=True)
class _Found:
    """What one search found."""

    firings: list[Firing]
    """One more than the page takes, if there are so many."""
    end: Position | None
    """The last row that was looked at; None where nothing follows, or what follows `firings` was not looked for."""


def _part(found: Sequence[_Found], limit: int, chosen: Chosen) -> Part:
    """The page that searches make together: it ends where the first of them ended."""
    nearest = min if chosen.oldest_first else max
    end = nearest((each.end for each in found if each.end is not None), default=None)
    firings = [firing for each in found for firing in each.firings]
    firings.sort(key=lambda firing: firing.position, reverse=not chosen.oldest_first)
    if end is not None:
        firings = [firing for firing in firings if nearest(firing.position, end) == firing.position]
    if len(firings) > limit:
        return Part(firings[:limit], firings[limit - 1].position)
    return Part(firings, end, None if end is None else end[0])


def _start_of(cronjob_id: str, after: Position | None, chosen: Chosen) -> Position | None:
    """A position in the account's list as one in the list of a cron job."""
    if after is None or cronjob_id == after[1]:
        return after
    # What it has at this very fire time stands, as a whole, before the position or behind it.
    is_behind = (cronjob_id > after[1]) == chosen.oldest_first
    return (after[0], cronjob_id, "" if is_behind == chosen.oldest_first else _AFTER_EVERY_KIND)


def _search(
    connection: Connection,
    account_id: str,
    cronjob_id: str | None,
    after: Position | None,
    limit: int,
    chosen: Chosen,
    most: int,
) -> _Found:
    """Search the account's firings, or those of one cron job, behind a position; look at `most` rows."""
    parameters: dict[str, Any] = {"account_id": account_id}
    dialect = connection.dialect.name
    if cronjob_id is not None:
        parameters["cronjob_id"] = cronjob_id
    _narrow(parameters, "since", chosen.since)
    _narrow(parameters, "until", chosen.until)
    if after is not None:
        parameters |= {"after_at": after[0], "after_id": after[1], "after_kind": after[2]}
        # Implied by the position, and what the index can start from.
        _narrow(parameters, *(("since", after[0]) if chosen.oldest_first else ("until", after[0] + 1)))
    indexed = cronjob_id is None and len(chosen.states) > 0 and _INDEXED.issuperset(chosen.states)
    filters, end = chosen.filters, None
    if indexed and len(chosen.states) == len(_INDEXED):
        del filters["states"]
    if filters:
        # Before the rows are read: one that is deleted meanwhile must not let the page go further than was read.
        queries = _queries(frozenset(parameters), (), indexed, chosen.oldest_first, dialect)
        rows = queries[1].read(connection, {**parameters, "limit": 1, "offset": most - 1})
        if rows:
            end = (rows[0][0], rows[0][1], rows[0][2])
            parameters |= {"end_at": end[0], "end_id": end[1], "end_kind": end[2]}
            _narrow(parameters, *(("until", end[0] + 1) if chosen.oldest_first else ("since", end[0])))
    queries = _queries(frozenset(parameters), tuple(sorted(filters)), indexed, chosen.oldest_first, dialect)
    rows = queries[0].read(connection, {**parameters, **filters, "limit": limit + 1})
    firings = [Firing(*row) for row in rows]
    return _Found(firings, None if len(firings) > limit else end)


def _narrow(parameters: dict[str, Any], name: str, value: int | None) -> None:
    """Add a bound, if it is the closer one."""
    if value is not None:
        closer = max if name == "since" else min
        parameters[name] = closer(parameters.get(name, value), value)


@lru_cache(maxsize=256)
def _queries(
    bounds: frozenset[str], filters: tuple[str, ...], indexed: bool, oldest_first: bool, dialect: str
) -> tuple[Rows, Rows]:
    """The query for rows, and the one for the key of the row at a place.

    :param bounds: the parameters that say where the search begins and ends
    :param indexed: whether the rows are all in the index of what was not delivered
    """
    of_cronjob = "cronjob_id" in bounds
    key = _KEY_OF_CRONJOB if of_cronjob else _KEY
    wanted = [_firing.c.account_id == bindparam("account_id")]
    if of_cronjob:
        wanted.append(_firing.c.cronjob_id == bindparam("cronjob_id"))
    if "since" in bounds:
        wanted.append(_firing.c.scheduled_at >= bindparam("since", type_=BigInteger()))
    if "until" in bounds:
        wanted.append(_firing.c.scheduled_at < bindparam("until", type_=BigInteger()))
    if indexed:
        wanted.append(_IN_INDEX)  # type: ignore[arg-type]
    places = [name for name in ("after", "end") if f"{name}_at" in bounds]
    wanted += [~_beside(name, key, oldest_first) for name in places]
    order = [column if oldest_first else column.desc() for column in key]
    limit = bindparam("limit", type_=Integer())
    keys = (
        select(*_KEY)
        .where(*wanted)
        .order_by(*order)
        .limit(limit)
        .offset(bindparam("offset", type_=Integer()))
    )
    each = [_filter(name, dialect) for name in filters if not name.startswith(_WITHIN)]
    one_of = [_filter(name, dialect) for name in filters if name.startswith(_WITHIN)]
    rows: Select[Any] = select(*COLUMNS).where(*wanted, *each, *([or_(*one_of)] if one_of else ()))
    return Rows(rows.order_by(*order).limit(limit)), Rows(keys)


def _beside(name: str, key: Sequence[ColumnElement[Any]], oldest_first: bool) -> ColumnElement[bool]:
    """Of the rows at the fire time of `after` or `end`, those that are not wanted: before the one, behind the other.

    Said so, PostgreSQL's planner sees that they are few. Where the whole keys are compared it takes what is left for a
    few rows, and may read all of them, and those of other accounts, by the primary key before it sorts them.
    """
    types = {"id": Id(), "kind": Text()} if len(key) == len(_KEY) else {"kind": Text()}
    row = tuple_(*key[1:])
    place = tuple_(*[bindparam(f"{name}_{part}", type_=type_) for part, type_ in types.items()])
    if name == "after":
        others = row <= place if oldest_first else row >= place
    else:
        others = row > place if oldest_first else row < place
    return and_(key[0] == bindparam(f"{name}_at", type_=BigInteger()), others)


def _filter(name: str, dialect: str) -> Any:
    match name:
        case "states":
            # As another text: PostgreSQL's planner shall not see that it is in the index of a cron job's failures,
            # where it would go through those of all accounts.
            held = _firing.c.reason.is_not_distinct_from(Reason.CONNECTION_UNHEALTHY)
            state = case((and_(_firing.c.state == State.PENDING, held), State.HELD), else_=_firing.c.state)
            return state.concat("").in_(bindparam(name, expanding=True))
        case "reasons":
            return _firing.c.reason.in_(bindparam(name, expanding=True))
        case "discarded":
            return _firing.c.discarded_at.is_not(None) == bindparam(name, type_=Boolean())
        case "kind":
            return _firing.c.kind == bindparam(name, type_=Text())
    # By the key of each row's cron job, however many have the name. As a value: PostgreSQL makes a join of an EXISTS,
    # and begins it where it likes.
    column = _cronjob.c.name if name == "name" else _cronjob.c.tags
    value = select(column).where(_cronjob.c.cronjob_id == _firing.c.cronjob_id).scalar_subquery()
    if name == "name":
        return value == bindparam(name, type_=Text())
    return has_text(dialect, value, bindparam(name, type_=Text()))
