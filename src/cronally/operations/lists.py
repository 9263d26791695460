"""Lists: of cron jobs and of firings, in parts.

Invariant: a list is read by key, and a cursor holds the key of the last row: what comes or goes meanwhile neither
repeats nor hides other rows.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Connection

from cronally import errors
from cronally.contract.attribute import declared
from cronally.contract.cronjobs import Cronjob as CronjobAnswer
from cronally.contract.cronjobs import CronjobPage, Policies
from cronally.contract.firings import MAX_LIMIT_WITH_ATTEMPTS
from cronally.contract.firings import Firing as FiringAnswer
from cronally.contract.policies import default_policies, stored_value
from cronally.contract.reading import Reading
from cronally.contract.values import DEFAULT_LIMIT, MAX_LIMIT
from cronally.cronjob import State
from cronally.operations import cursor as cursors
from cronally.operations.answers import cronjob_answer, firing_answer
from cronally.operations.changes import NO_CRONJOB
from cronally.store import Store, ledger
from cronally.store import cronjobs as store
from cronally.store.cronjobs import Chosen, Cronjob, Position
from cronally.store.ledger import Attempt, Firing

T = TypeVar("T")

PAGE_BYTES: Final = 512 * 1024
"""What the cron jobs of a page may hold together, messages included, unless it is one alone."""

Part = Callable[[Position | None], Awaitable[tuple[list[Cronjob], Position | None]]]

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


class Lists:
    """Reads lists of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list_cronjobs(self, account_id: str, reading: Reading[CronjobPage]) -> Page[CronjobAnswer]:
        """The account's cron jobs, oldest first: the part that `limit` and `cursor` name; or a page and the rest.

        A page may have fewer than `limit`: it holds `PAGE_BYTES`, or one cron job.
        """
        everything = not reading.values.keys() & {"limit", "cursor"}
        position = read_cursor(reading, _CRONJOBS, 1)
        reading.raise_complaints()
        chosen = chosen_by(reading)
        limit = reading.values.get("limit", DEFAULT_LIMIT)
        after = None if position is None else (position[0], position[1][0])
        part = partial(self._part, account_id, limit, chosen)
        cronjobs, last = await part(after)
        answers = [cronjob_answer(cronjob) for cronjob in cronjobs]
        if everything and last is not None:
            return Page(answers, None, _rest(part, last))
        return Page(answers, last and cursors.encode(_CRONJOBS, last))

    async def _part(
        self, account_id: str, limit: int, chosen: Chosen, after: Position | None
    ) -> tuple[list[Cronjob], Position | None]:
        """The cron jobs of a page, and where the list goes on; None at its end."""

        def work(connection: Connection) -> tuple[list[Cronjob], bool]:
            sizes = store.list_sizes(connection, account_id, after, limit + 1, chosen)
            total, count = 0, 0
            for size in sizes[:limit]:
                total += size
                if count and total > PAGE_BYTES:
                    break
                count += 1
            more = len(sizes) > count
            return store.list_cronjobs(connection, account_id, after, count, chosen) if count else [], more

        cronjobs, more = await self._store.transact(work)
        return cronjobs, (cronjobs[-1].created_at, cronjobs[-1].cronjob_id) if more and cronjobs else None

    async def list_firings(
        self, account_id: str, reading: Reading[Any], named: str | None
    ) -> Page[FiringAnswer]:
        """The account's firings, newest first. Raises NotFound for a cron job that is another's or was never there.

        :param named: the cron job in the path, which must not be deleted
        """
        cronjob_id = named or reading.values.get("cronjob_id", "")
        listed = f"{_FIRINGS}/{cronjob_id}"
        position = read_cursor(reading, listed, 2)
        with_attempts: bool = reading.values.get("attempts", False)
        most = MAX_LIMIT_WITH_ATTEMPTS if with_attempts else MAX_LIMIT
        limit = reading.values.get("limit", min(DEFAULT_LIMIT, most))
        if limit > most:
            reading.complain("limit", ValueError(f"is out of range; with attempts=true give {most} at most"))
        reading.raise_complaints()
        before = None if position is None else (position[0], position[1][0], position[1][1])
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
            names = store.names_of(connection, account_id, {firing.cronjob_id for firing in listed})
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
        return Page(items, cursors.encode(listed, firings[limit - 1].position) if more else None)


def chosen_by(reading: Reading[Any]) -> Chosen:
    """Which cron jobs the filters name that were sent."""
    defaults = default_policies()
    filters = {
        name: (stored_value(name, value), defaults[name])
        for name, value in reading.sent(declared(Policies)).items()
    }
    by = {name: reading.values.get(name) for name in ("name", "id_prefix", "state")}
    return Chosen(**by, policies=filters)


async def _rest(part: Part, after: Position | None) -> AsyncGenerator[list[CronjobAnswer]]:
    while after is not None:
        cronjobs, after = await part(after)
        yield [cronjob_answer(cronjob) for cronjob in cronjobs]


def read_cursor(reading: Reading[Any], listed: str, texts: int) -> tuple[int, list[str]] | None:
    """Where a list goes on: the position in the cursor that was sent. Complains of one that is none of this list."""
    cursor = reading.values.get("cursor")
    if cursor is None:
        return None
    position: tuple[int, list[str]] | None = reading.check(
        "cursor", lambda: cursors.decode(listed, texts, cursor)
    )
    return position
