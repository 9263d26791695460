"""Lists: of cron jobs and of firings, in parts.

Invariant: a list is read by key, and a cursor holds the key of the last row: what comes or goes meanwhile neither
repeats nor hides other rows.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Connection

from cronally import errors
from cronally.contract.attribute import declared
from cronally.contract.cronjobs import Cronjob as CronjobAnswer
from cronally.contract.cronjobs import CronjobPage, Policies
from cronally.contract.firings import CSV, JSON_LINES, MAX_LIMIT_WITH_ATTEMPTS, OLDEST
from cronally.contract.firings import Firing as FiringAnswer
from cronally.contract.policies import default_policies, stored_value
from cronally.contract.reading import Reading
from cronally.contract.values import DEFAULT_LIMIT, MAX_LIMIT
from cronally.cronjob import State
from cronally.fairness import out_of_turn
from cronally.operations import cursor as cursors
from cronally.operations.answers import firing_answer
from cronally.operations.changes import NO_CRONJOB
from cronally.operations.shown import show_cronjobs
from cronally.operations.standings import Shown, read_counts, read_standings
from cronally.store import Store, ledger, listing
from cronally.store import cronjobs as store
from cronally.store.cronjobs import Chosen as ChosenCronjobs
from cronally.store.cronjobs import Cronjob, Position
from cronally.store.ledger import Attempt
from cronally.store.listing import Chosen, Part

T = TypeVar("T")

PAGE_BYTES: Final = 512 * 1024
"""What the cron jobs of a page may hold together, messages included, unless it is one alone."""

CronjobPart = Callable[[Position | None], Awaitable[tuple[list[CronjobAnswer], Position | None]]]

# The lists that a cursor may belong to.
_CRONJOBS: Final = "cronjobs"
_FIRINGS: Final = "firings"


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


class Lists:
    """Reads lists of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list_cronjobs(self, account_id: str, reading: Reading[CronjobPage]) -> Page[CronjobAnswer]:
        """The account's cron jobs, oldest first: the part that `limit` and `cursor` name; or a page and the rest.

        A page may have fewer than `limit`: it holds `PAGE_BYTES`, or one cron job.
        """
        everything = not reading.values.keys() & {"limit", "cursor"}
        position = _read_cursor(reading, _CRONJOBS, 1)
        reading.raise_complaints()
        defaults = default_policies()
        filters = {
            name: (stored_value(name, value), defaults[name])
            for name, value in reading.sent(declared(Policies)).items()
        }
        by = {name: reading.values.get(name) for name in ("name", "id_prefix", "state")}
        chosen = ChosenCronjobs(**by, policies=filters)
        limit = reading.values.get("limit", DEFAULT_LIMIT)
        after = None if position is None else (position[0], position[1][0])
        part = partial(self._part, account_id, limit, chosen, reading.values.get("counts", False))
        answers, last = await part(after)
        if everything and last is not None:
            return Page(answers, None, _rest(part, last))
        return Page(answers, last and cursors.encode(_CRONJOBS, last))

    async def _part(
        self, account_id: str, limit: int, chosen: ChosenCronjobs, counts: bool, after: Position | None
    ) -> tuple[list[CronjobAnswer], Position | None]:
        """The cron jobs of a page, and where the list goes on; None at its end."""
        now = await self._store.clock()

        def work(connection: Connection) -> tuple[list[Cronjob], list[Shown], bool]:
            sizes = store.list_sizes(connection, account_id, after, limit + 1, chosen)
            total, count = 0, 0
            for size in sizes[:limit]:
                total += size
                if count and total > PAGE_BYTES:
                    break
                count += 1
            more = len(sizes) > count
            cronjobs = store.list_cronjobs(connection, account_id, after, count, chosen) if count else []
            return cronjobs, read_standings(connection, account_id, cronjobs, now), more

        cronjobs, standings, more = await self._store.transact(work)
        if counts:
            for cronjob, shown in zip(cronjobs, standings, strict=True):
                shown |= await self._count(cronjob, now)
        answers = await show_cronjobs(self._store, cronjobs, standings)
        return answers, (cronjobs[-1].created_at, cronjobs[-1].cronjob_id) if more and cronjobs else None

    async def _count(self, cronjob: Cronjob, now: int) -> Shown:
        """The counts of a cron job; others get in before they are read, in the store as in the API's turns."""
        async with out_of_turn():
            pass
        return await self._store.transact(lambda connection: read_counts(connection, cronjob, now))

    async def list_firings(
        self, account_id: str, reading: Reading[Any], named: str | None
    ) -> Page[FiringAnswer]:
        """The account's firings. Raises NotFound for a cron job or a name that is another's or was never there.

        A page may have fewer than `limit`: what is looked at for it is bounded.

        :param named: the cron job in the path, which must not be deleted
        """
        chosen = _chosen(reading)
        cronjob_id = named or reading.values.get("cronjob_id", "")
        listed = f"{_FIRINGS}/{cronjob_id}{'/oldest' if chosen.oldest_first else ''}"
        position = _read_cursor(reading, listed, 2)
        with_attempts: bool = reading.values.get("attempts", False)
        most = MAX_LIMIT_WITH_ATTEMPTS if with_attempts else MAX_LIMIT
        limit = reading.values.get("limit", min(DEFAULT_LIMIT, most))
        if limit > most:
            reading.complain("limit", ValueError(f"is out of range; with attempts=true give {most} at most"))
        if with_attempts and reading.values.get("format") == CSV:
            reading.complain("attempts", ValueError(f"stand in no table; send format={JSON_LINES}, or none"))
        reading.raise_complaints()
        after = None if position is None else (position[0], position[1][0], position[1][1])

        def work(
            connection: Connection,
        ) -> tuple[Part, dict[str, str], dict[ledger.Position, list[Attempt]]]:
            found = _search(connection, account_id, cronjob_id, bool(named), after, limit, chosen)
            ids = {firing.cronjob_id for firing in found.firings}
            names = store.names_of(connection, account_id, ids)
            return (
                found,
                names,
                ledger.list_attempts(connection, account_id, found.firings if with_attempts else []),
            )

        found, names, attempts = await self._store.transact(work)
        items = [
            firing_answer(
                firing,
                names.get(firing.cronjob_id),
                attempts.get(firing.position, ()) if with_attempts else None,
            )
            for firing in found.firings
        ]
        return Page(
            items, found.last and cursors.encode(listed, found.last), searched_until=found.searched_until
        )


def _chosen(reading: Reading[Any]) -> Chosen:
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
    return Chosen(
        since=since,
        until=until,
        states=tuple(sorted(set(values.get("state", ())))),
        reasons=tuple(sorted(set(values.get("reason", ())))),
        kind=values.get("kind"),
        name=values.get("name"),
        oldest_first=values.get("order") == OLDEST,
    )


def _search(
    connection: Connection,
    account_id: str,
    cronjob_id: str,
    is_there: bool,
    after: ledger.Position | None,
    limit: int,
    chosen: Chosen,
) -> Part:
    """The page of a cron job's firings, of those of some that have a name, or of all.

    :param is_there: whether the cron job must not be deleted
    """
    if cronjob_id:
        cronjob = store.get_cronjob(connection, account_id, cronjob_id)
        if cronjob is None or (is_there and cronjob.state == State.DELETED):
            raise errors.NotFound(NO_CRONJOB)
        return listing.list_firings_of_cronjobs(connection, account_id, [cronjob_id], after, limit, chosen)
    if chosen.name is not None:
        cronjob_ids = store.list_named(connection, account_id, chosen.name, listing.MOST_NAMED + 1)
        if not cronjob_ids:
            raise errors.NotFound(NO_CRONJOB)
        if len(cronjob_ids) <= listing.MOST_NAMED:
            one_by_one = replace(chosen, name=None)
            return listing.list_firings_of_cronjobs(
                connection, account_id, cronjob_ids, after, limit, one_by_one
            )
    return listing.list_firings(connection, account_id, after, limit, chosen)


async def _rest(part: CronjobPart, after: Position | None) -> AsyncGenerator[list[CronjobAnswer]]:
    while after is not None:
        answers, after = await part(after)
        yield answers


def _read_cursor(reading: Reading[Any], listed: str, texts: int) -> tuple[int, list[str]] | None:
    cursor = reading.values.get("cursor")
    if cursor is None:
        return None
    position: tuple[int, list[str]] | None = reading.check(
        "cursor", lambda: cursors.decode(listed, texts, cursor)
    )
    return position
