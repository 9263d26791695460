"""Lists: of cron jobs and of firings, in parts.

Invariant: a list is read by key, and a cursor holds the key of the last row: what comes or goes meanwhile neither
repeats nor hides other rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Connection

from cronally import errors
from cronally.contract.attribute import declared
from cronally.contract.cronjobs import Cronjob as CronjobAnswer
from cronally.contract.cronjobs import CronjobFilters, CronjobQuery, Policies
from cronally.contract.firings import MAX_LIMIT_WITH_ATTEMPTS
from cronally.contract.firings import Firing as FiringAnswer
from cronally.contract.listing import CREATED
from cronally.contract.policies import default_policies, stored_value
from cronally.contract.reading import Reading
from cronally.contract.values import DEFAULT_LIMIT, MAX_LIMIT
from cronally.cronjob import State
from cronally.operations import cursor as cursors
from cronally.operations.answers import cronjob_answer, firing_answer
from cronally.operations.changes import NO_CRONJOB
from cronally.store import Store, ledger, selection
from cronally.store import cronjobs as store
from cronally.store.cronjobs import Cronjob
from cronally.store.ledger import Attempt, Firing
from cronally.store.selection import Chosen, Key, Order, Position

T = TypeVar("T")

PAGE_BYTES: Final = 512 * 1024
"""What the cron jobs of a page may hold together, messages included, unless it is one alone."""

MAX_KEYS: Final = 1000
"""So many keys are read at once where all cron jobs are asked for: to sort them is what takes long."""

# The lists that a cursor may belong to.
_CRONJOBS: Final = "cronjobs"
_FIRINGS: Final = "firings"
_SORTED_BY: Final[Mapping[str, Callable[[object], bool]]] = {
    "name": cursors.is_text,
    "next_fire": cursors.is_instant_or_none,
}
"""From which values a list goes on, where it is not sorted by instants."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list."""

    items: list[T]
    next_cursor: str | None
    """Where the list goes on; None at its end."""
    rest: AsyncGenerator[list[T]] | None = None
    """Where more was asked for than one page: what follows, a page at a time, each read when it is asked for."""
    only: Collection[str] | None = None
    """The keys that were asked for; None: all."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which cron jobs a request asks for, and how many of them at a time."""

    account_id: str
    chosen: Chosen
    order: Order
    limit: int
    """Of a page."""
    keys: int
    """How many keys to read at once."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a list stands."""

    after: Position | None
    keys: Sequence[Key] = ()
    """Those that follow, as far as they were read."""
    goes_on: bool = False
    """Whether there were more behind these."""


class Lists:
    """Reads lists of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list_cronjobs(self, account_id: str, reading: Reading[CronjobQuery]) -> Page[CronjobAnswer]:
        """The account's cron jobs: the part that `limit` and `cursor` name; or a page and the rest.

        A page may have fewer than `limit`: it holds `PAGE_BYTES`, or one cron job.
        """
        everything = not reading.values.keys() & {"limit", "cursor"}
        chosen, order = read_chosen(reading), _read_order(reading)
        listed = _listed(reading, order)
        position = _read_cursor(reading, listed, 1, _SORTED_BY.get(order.by, cursors.is_instant))
        reading.raise_complaints()
        limit = reading.values.get("limit", DEFAULT_LIMIT)
        asked = _Asked(account_id, chosen, order, limit, MAX_KEYS if everything else limit)
        only = reading.values.get("fields")
        cronjobs, place = await self._part(
            asked, _Place(None if position is None else (position[0], position[1][0]))
        )
        answers = [cronjob_answer(cronjob, only=only) for cronjob in cronjobs]
        if everything and place is not None:
            return Page(answers, None, self._rest(asked, place, only), only)
        cursor = None if place is None or place.after is None else cursors.encode(listed, place.after)
        return Page(answers, cursor, only=only)

    async def _part(self, asked: _Asked, place: _Place) -> tuple[list[Cronjob], _Place | None]:
        """The cron jobs of a page, and where the list goes on; None at its end."""

        def work(connection: Connection) -> tuple[list[Cronjob], _Place | None]:
            keys, goes_on = place.keys, place.goes_on
            if keys:
                # Since they were read each may have become larger.
                ids = [key.cronjob_id for key in keys[: asked.limit]]
                sizes = store.sizes_of(connection, asked.account_id, ids)
                sizes_now = [sizes.get(cronjob_id, 0) for cronjob_id in ids]
            else:
                found = selection.list_keys(
                    connection, asked.account_id, place.after, asked.keys + 1, asked.chosen, asked.order
                )
                keys, goes_on = found[: asked.keys], len(found) > asked.keys
                sizes_now = [key.size for key in keys[: asked.limit]]
            count = _that_fit(sizes_now)
            ids = [key.cronjob_id for key in keys[:count]]
            cronjobs = store.list_cronjobs(connection, asked.account_id, ids)
            if len(keys) == count and not goes_on:
                return cronjobs, None
            return cronjobs, _Place(keys[count - 1].position, keys[count:], goes_on)

        return await self._store.transact(work)

    async def _rest(
        self, asked: _Asked, place: _Place | None, only: Collection[str] | None
    ) -> AsyncGenerator[list[CronjobAnswer]]:
        while place is not None:
            cronjobs, place = await self._part(asked, place)
            yield [cronjob_answer(cronjob, only=only) for cronjob in cronjobs]

    async def list_firings(
        self, account_id: str, reading: Reading[Any], named: str | None
    ) -> Page[FiringAnswer]:
        """The account's firings, newest first. Raises NotFound for a cron job that is another's or was never there.

        :param named: the cron job in the path, which must not be deleted
        """
        cronjob_id = named or reading.values.get("cronjob_id", "")
        listed = f"{_FIRINGS}/{cronjob_id}"
        position = _read_cursor(reading, listed, 2)
        with_attempts: bool = reading.values.get("attempts", False)
        most = MAX_LIMIT_WITH_ATTEMPTS if with_attempts else MAX_LIMIT
        limit = reading.values.get("limit", min(DEFAULT_LIMIT, most))
        if limit > most:
            reading.complain("limit", ValueError(f"is out of range; with attempts=true give {most} at most"))
        reading.raise_complaints()
        before = None if position is None else (position[0], position[1][0], position[1][1])
        only = reading.values.get("fields")
        at = reading.values.get("scheduled_at")

        def work(
            connection: Connection,
        ) -> tuple[list[Firing], dict[str, str], dict[ledger.Position, list[Attempt]]]:
            if not cronjob_id:
                firings = ledger.list_firings(connection, account_id, before, limit + 1, at)
            else:
                cronjob = store.get_cronjob(connection, account_id, cronjob_id)
                if cronjob is None or (named and cronjob.state == State.DELETED):
                    raise errors.NotFound(NO_CRONJOB)
                firings = ledger.list_firings_of_cronjob(
                    connection, account_id, cronjob_id, before, limit + 1, at
                )
            listed = firings[:limit]
            has_names = only is None or "cronjob_name" in only
            ids = {firing.cronjob_id for firing in listed} if has_names else set()
            names = store.names_of(connection, account_id, ids)
            return (
                firings,
                names,
                ledger.list_attempts(connection, account_id, listed if with_attempts else []),
            )

        firings, names, attempts = await self._store.transact(work)
        items = [
            firing_answer(
                firing,
                names.get(firing.cronjob_id),
                attempts.get(firing.position, ()) if with_attempts else None,
            )
            for firing in firings[:limit]
        ]
        more = len(firings) > limit
        return Page(items, cursors.encode(listed, firings[limit - 1].position) if more else None, only=only)


def read_chosen(reading: Reading[Any]) -> Chosen:
    """Which cron jobs the filters of a request choose; complaints where they choose none by themselves."""
    values, defaults = reading.values, default_policies()
    since, until = values.get("next_fire_from"), values.get("next_fire_until")
    if since is not None and until is not None and until <= since:
        reading.complain("next_fire_until", ValueError("is not later than next_fire_from; give a later one"))
    return Chosen(
        **{name: values.get(name) for name in ("name", "name_prefix", "id_prefix", "state")},
        target=values.get("delivery_type"),
        next_fire_from=since,
        next_fire_until=until,
        tags=tuple(values.get("tag", ())),
        policies={
            name: (stored_value(name, value), defaults[name])
            for name, value in reading.sent(declared(Policies)).items()
        },
    )


def _read_order(reading: Reading[Any]) -> Order:
    sort: str = reading.values.get("sort", CREATED)
    return Order(sort.removeprefix("-"), sort.startswith("-"))


def _listed(reading: Reading[Any], order: Order) -> str:
    """What a cursor says it belongs to: the filters and the order, too long to be written out."""
    filters = reading.sent(declared(CronjobFilters))
    if not filters and order == selection.OLDEST_FIRST:
        return _CRONJOBS
    written = json.dumps([order, filters], sort_keys=True)
    return f"{_CRONJOBS}/{hashlib.sha256(written.encode()).hexdigest()[:16]}"


def _that_fit(sizes: Sequence[int]) -> int:
    """How many of these a page has room for; one in any case."""
    total = 0
    for count, size in enumerate(sizes):
        total += size
        if count and total > PAGE_BYTES:
            return count
    return len(sizes)


def _read_cursor(
    reading: Reading[Any],
    listed: str,
    texts: int,
    first: Callable[[object], bool] = cursors.is_instant,
) -> tuple[Any, list[str]] | None:
    cursor = reading.values.get("cursor")
    if cursor is None:
        return None
    position: tuple[Any, list[str]] | None = reading.check(
        "cursor", lambda: cursors.decode(listed, texts, cursor, first)
    )
    return position
