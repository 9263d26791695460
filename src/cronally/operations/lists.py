"""Lists: of cron jobs and of firings, in parts.

Invariant: a list is read by key, and a cursor holds the key of the last row: what comes or goes meanwhile neither
repeats nor hides other rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Connection

from cronally import errors
from cronally.contract.attribute import declared
from cronally.contract.cronjob_requests import CronjobQuery
from cronally.contract.cronjobs import Cronjob as CronjobAnswer
from cronally.contract.firings import CSV, JSON_LINES, MAX_LIMIT_WITH_ATTEMPTS, OLDEST
from cronally.contract.firings import Firing as FiringAnswer
from cronally.contract.listing import CREATED, CronjobFilters
from cronally.contract.policies import Policies
from cronally.contract.reading import Reading
from cronally.contract.stored_policies import default_policies, stored_value
from cronally.contract.values import DEFAULT_LIMIT, MAX_LIMIT
from cronally.fairness import out_of_turn
from cronally.firing import State as FiringState
from cronally.operations import cursor as cursors
from cronally.operations.answers import firing_answer
from cronally.operations.caller import Caller
from cronally.operations.existing import NO_CRONJOB, existing, existing_or_deleted
from cronally.operations.permissions import has_one
from cronally.operations.restricting import within
from cronally.operations.shown import show_cronjobs
from cronally.operations.standings import COUNTS, STANDING, Shown, read_counts, read_standings
from cronally.operations.target_answers import read_answers, shown_answers
from cronally.store import Store, ledger, listing, selection
from cronally.store import cronjobs as store
from cronally.store.answers import Answer as StoredAnswer
from cronally.store.cronjobs import Cronjob
from cronally.store.ledger import Attempt
from cronally.store.links import Link, list_links
from cronally.store.selection import Chosen, Key, Order, Position
from cronally.targets.target import Target
from cronally.vault import Vault

T = TypeVar("T")

PAGE_BYTES: Final = 512 * 1024
"""What the cron jobs of a page may hold together, messages included, unless it is one alone; operations likewise."""

MAX_KEYS: Final = 1000
"""So many keys are read at once where all cron jobs are asked for: to sort them is what takes long."""

# The lists that a cursor may belong to.
_CRONJOBS: Final = "cronjobs"
_FIRINGS: Final = "firings"
_DEAD_LETTERS: Final = "dead letters"
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
    searched_until: int | None = None
    """An instant: the fire time up to which firings were searched, where that ended before the page was full."""
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
    only: frozenset[str] | None
    """The keys that are shown of each; None: all."""
    counts: bool
    """Whether the firings of each are counted."""

    def shows(self, names: Collection[str]) -> bool:
        """Whether any of these keys is shown."""
        return self.only is None or not self.only.isdisjoint(names)


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

    def __init__(self, store: Store, vault: Vault, targets: Mapping[str, Target]) -> None:
        self._store = store
        self._vault = vault
        self._targets = targets

    async def list_cronjobs(self, caller: Caller, reading: Reading[CronjobQuery]) -> Page[CronjobAnswer]:
        """The account's cron jobs: the part that `limit` and `cursor` name; or a page and the rest.

        A page may have fewer than `limit`: it holds `PAGE_BYTES`, or one cron job.
        """
        everything = not reading.values.keys() & {"limit", "cursor"}
        chosen, order = within(read_chosen(reading), caller), _read_order(reading)
        listed = _listed(reading, order)
        position = read_cursor(reading, listed, 1, _SORTED_BY.get(order.by, cursors.is_instant))
        reading.raise_complaints()
        limit = reading.values.get("limit", DEFAULT_LIMIT)
        only = reading.values.get("fields")
        asked = _Asked(
            caller.account_id,
            chosen,
            order,
            limit,
            keys=MAX_KEYS if everything else limit,
            only=only,
            counts=reading.values.get("counts", False),
        )
        after = None if position is None else (position[0], position[1][0])
        answers, place = await self._part(asked, _Place(after))
        if everything and place is not None:
            return Page(answers, None, self._rest(asked, place), only=only)
        cursor = None if place is None or place.after is None else cursors.encode(listed, place.after)
        return Page(answers, cursor, only=only)

    async def _part(self, asked: _Asked, place: _Place) -> tuple[list[CronjobAnswer], _Place | None]:
        """The cron jobs of a page, and where the list goes on; None at its end."""
        now = await self._store.clock()

        def work(connection: Connection) -> tuple[list[Cronjob], list[Shown], _Place | None]:
            cronjobs, follows = _read_part(connection, asked, place, now)
            if not asked.shows(STANDING):
                return cronjobs, [{} for _ in cronjobs], follows
            standings = read_standings(connection, asked.account_id, cronjobs, now, self._targets)
            return cronjobs, standings, follows

        cronjobs, standings, follows = await self._store.transact(work)
        if asked.counts and asked.shows(COUNTS):
            for cronjob, shown in zip(cronjobs, standings, strict=True):
                shown |= await self._count(cronjob, now)
        return await show_cronjobs(self._store, cronjobs, standings, asked.only), follows

    async def _rest(self, asked: _Asked, place: _Place | None) -> AsyncGenerator[list[CronjobAnswer]]:
        while place is not None:
            answers, place = await self._part(asked, place)
            yield answers

    async def _count(self, cronjob: Cronjob, now: int) -> Shown:
        """The counts of a cron job; others get in before they are read, in the store as in the API's turns."""
        async with out_of_turn():
            pass
        return await self._store.transact(lambda connection: read_counts(connection, cronjob, now))

    async def list_firings(
        self, caller: Caller, reading: Reading[Any], named: str | None, *, dead_letters: bool = False
    ) -> Page[FiringAnswer]:
        """The account's firings. Raises NotFound for a cron job or a name that is another's or was never there.

        A page may have fewer than `limit`: what is looked at for it is bounded.

        :param named: the cron job in the path, which must not be deleted
        :param dead_letters: whether only those are meant that have failed and are not discarded
        """
        account_id, chosen = caller.account_id, replace(choose_firings(reading), within=caller.tags)
        if dead_letters:
            chosen = replace(chosen, states=(FiringState.FAILED.value,), discarded=False)
        cronjob_id = named or reading.values.get("cronjob_id", "")
        kind = _DEAD_LETTERS if dead_letters else _FIRINGS
        listed = f"{kind}/{cronjob_id}{'/oldest' if chosen.oldest_first else ''}"
        position = read_cursor(reading, listed, 2)
        with_attempts: bool = reading.values.get("attempts", False)
        most = MAX_LIMIT_WITH_ATTEMPTS if with_attempts else MAX_LIMIT
        limit = reading.values.get("limit", min(DEFAULT_LIMIT, most))
        if limit > most:
            reading.complain("limit", ValueError(f"is out of range; with attempts=true give {most} at most"))
        if with_attempts and reading.values.get("format") == CSV:
            reading.complain("attempts", ValueError(f"stand in no table; send format={JSON_LINES}, or none"))
        only = reading.values.get("fields")
        if only is not None and reading.values.get("format") == CSV:
            reading.complain("fields", ValueError(f"choose no columns; send format={JSON_LINES}, or none"))
        reading.raise_complaints()
        after = None if position is None else (position[0], position[1][0], position[1][1])

        def work(
            connection: Connection,
        ) -> tuple[
            listing.Part,
            dict[str, str],
            dict[ledger.Position, list[Attempt]],
            Mapping[str, StoredAnswer],
            list[Link],
        ]:
            found = search_firings(connection, account_id, cronjob_id, bool(named), after, limit, chosen)
            has_names = only is None or "cronjob_name" in only
            ids = {firing.cronjob_id for firing in found.firings} if has_names else set()
            names = store.names_of(connection, account_id, ids)
            tried = found.firings if with_attempts else []
            attempts = ledger.list_attempts(connection, account_id, tried)
            links = list_links(connection, account_id, found.firings)
            return found, names, attempts, read_answers(connection, account_id, tried, attempts), links

        found, names, attempts, kept, links = await self._store.transact(work)
        answers = shown_answers(self._vault, account_id, kept)
        items = [
            firing_answer(
                firing,
                names.get(firing.cronjob_id),
                attempts.get(firing.position, ()) if with_attempts else None,
                answers,
                links,
            )
            for firing in found.firings
        ]
        cursor = found.last and cursors.encode(listed, found.last)
        return Page(items, cursor, searched_until=found.searched_until, only=only)


def _read_part(
    connection: Connection, asked: _Asked, place: _Place, now: int
) -> tuple[list[Cronjob], _Place | None]:
    """The rows of a page, and where the list goes on; None at its end."""
    keys, goes_on = place.keys, place.goes_on
    if keys:
        # Since they were read each may have become larger.
        ids = [key.cronjob_id for key in keys[: asked.limit]]
        sizes = store.sizes_of(connection, asked.account_id, ids)
        sizes_now = [sizes.get(cronjob_id, 0) for cronjob_id in ids]
    else:
        found = selection.list_keys(
            connection, asked.account_id, place.after, asked.keys + 1, asked.chosen, asked.order, now
        )
        keys, goes_on = found[: asked.keys], len(found) > asked.keys
        sizes_now = [key.size for key in keys[: asked.limit]]
    count = that_fit(sizes_now)
    cronjobs = store.list_cronjobs(connection, asked.account_id, [key.cronjob_id for key in keys[:count]])
    if len(keys) == count and not goes_on:
        return cronjobs, None
    return cronjobs, _Place(keys[count - 1].position, keys[count:], goes_on)


def choose_firings(reading: Reading[Any]) -> listing.Chosen:
    """Which firings are asked for, and which of them first."""
    values = reading.values
    since, until, at = (values.get(name) for name in ("since", "until", "scheduled_at"))
    if since is not None and until is not None and until <= since:
        reading.complain("until", ValueError("is not later than since; give a later one"))
    if "name" in values and "cronjob_id" in values:
        reading.complain("name", ValueError("goes with no cronjob_id; send one of them"))
    if at is not None:
        since = at if since is None else max(since, at)
        until = at + 1 if until is None else min(until, at + 1)
    return listing.Chosen(
        since=since,
        until=until,
        states=tuple(sorted(set(values.get("state", ())))),
        reasons=tuple(sorted(set(values.get("reason", ())))),
        kind=values.get("kind"),
        name=values.get("name"),
        tags=tuple(values.get("tag", ())),
        oldest_first=values.get("order") == OLDEST,
    )


def search_firings(
    connection: Connection,
    account_id: str,
    cronjob_id: str,
    is_there: bool,
    after: ledger.Position | None,
    limit: int,
    chosen: listing.Chosen,
) -> listing.Part:
    """The page of a cron job's firings, of those of some that have a name, or of all.

    :param is_there: whether the cron job must not be deleted
    """
    if cronjob_id:
        find = existing if is_there else existing_or_deleted
        if not has_one(chosen.within, json.loads(find(connection, account_id, cronjob_id).tags)):
            raise errors.NotFound(NO_CRONJOB)
        return listing.list_firings_of_cronjobs(connection, account_id, [cronjob_id], after, limit, chosen)
    if chosen.name is not None:
        cronjob_ids = _named(connection, account_id, chosen)
        if not cronjob_ids:
            raise errors.NotFound(NO_CRONJOB)
        if len(cronjob_ids) <= listing.MOST_NAMED:
            one_by_one = replace(chosen, name=None)
            return listing.list_firings_of_cronjobs(
                connection, account_id, cronjob_ids, after, limit, one_by_one
            )
    return listing.list_firings(connection, account_id, after, limit, chosen)


def _named(connection: Connection, account_id: str, chosen: listing.Chosen) -> list[str]:
    """The ids of the cron jobs of a name, deleted or not; more than `listing.MOST_NAMED` of many."""
    found = store.list_named(connection, account_id, chosen.name or "", listing.MOST_NAMED + 1)
    if not chosen.within or len(found) > listing.MOST_NAMED:
        return found
    jobs = [store.get_cronjob(connection, account_id, each) for each in found]
    return [job.cronjob_id for job in jobs if job and has_one(chosen.within, json.loads(job.tags))]


def read_chosen(reading: Reading[Any]) -> Chosen:
    """Which cron jobs the filters of a request choose; complaints where they choose none by themselves."""
    values, defaults = reading.values, default_policies()
    since, until = values.get("next_fire_from"), values.get("next_fire_until")
    if since is not None and until is not None and until <= since:
        reading.complain("next_fire_until", ValueError("is not later than next_fire_from; give a later one"))
    return Chosen(
        name=values.get("name"),
        name_prefix=values.get("name_prefix"),
        id_prefix=values.get("id_prefix"),
        state=values.get("state"),
        health=values.get("health"),
        target=values.get("delivery_type"),
        next_fire_from=since,
        next_fire_until=until,
        tags=tuple(values.get("tag", ())),
        connection=values.get("connection"),
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


def that_fit(sizes: Sequence[int]) -> int:
    """How many of these a page has room for; one in any case."""
    total = 0
    for count, size in enumerate(sizes):
        total += size
        if count and total > PAGE_BYTES:
            return count
    return len(sizes)


def read_cursor(
    reading: Reading[Any],
    listed: str,
    texts: int,
    first: Callable[[object], bool] = cursors.is_instant,
) -> tuple[Any, list[str]] | None:
    """Where a list goes on: the position in the cursor that was sent. Complains of one that is none of this list."""
    cursor = reading.values.get("cursor")
    if cursor is None:
        return None
    position: tuple[Any, list[str]] | None = reading.check(
        "cursor", lambda: cursors.decode(listed, texts, cursor, first)
    )
    return position
