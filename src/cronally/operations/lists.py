"""Lists: of cron jobs and of firings, in parts.

Invariant: a list is read by key, and a cursor holds the key of the last row: what comes or goes meanwhile neither
repeats nor hides other rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Connection

from cronally import errors
from cronally.contract import cronjobs as cronjob_contract
from cronally.contract.attribute import declared
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
from cronally.store import Store, cronjobs, ledger
from cronally.store.cronjobs import Cronjob
from cronally.store.ledger import Attempt, Firing

T = TypeVar("T")

# The lists that a cursor may belong to.
_CRONJOBS: Final = "cronjobs"
_FIRINGS: Final = "firings"


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list."""

    items: list[T]
    next_cursor: str | None
    """Where the list goes on; None at its end."""


class Lists:
    """Reads lists of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list_cronjobs(
        self, account_id: str, reading: Reading[CronjobPage]
    ) -> Page[cronjob_contract.Cronjob]:
        """The account's cron jobs, oldest first: all of them, or the part that `limit` and `cursor` name."""
        everything = not reading.values.keys() & {"limit", "cursor"}
        position = _read_cursor(reading, _CRONJOBS, 1)
        reading.raise_complaints()
        limit = MAX_LIMIT if everything else reading.values.get("limit", DEFAULT_LIMIT)
        defaults = default_policies()
        filters = {
            name: (stored_value(name, value), defaults[name])
            for name, value in reading.sent(declared(Policies)).items()
        }
        after = None if position is None else (position[0], position[1][0])
        items: list[Cronjob] = []
        more = True
        while more:
            part = await self._store.transact(
                partial(
                    cronjobs.list_cronjobs,
                    account_id=account_id,
                    after=after,
                    limit=limit + 1,
                    filters=filters,
                )
            )
            items += part[:limit]
            more = len(part) > limit
            if not (more and everything):
                break
            after = (items[-1].created_at, items[-1].cronjob_id)
        last = (items[-1].created_at, items[-1].cronjob_id) if more else None
        return Page([cronjob_answer(cronjob) for cronjob in items], last and cursors.encode(_CRONJOBS, last))

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

        def work(connection: Connection) -> tuple[list[Firing], dict[ledger.Position, list[Attempt]]]:
            if not cronjob_id:
                firings = ledger.list_firings(connection, account_id, before, limit + 1)
            else:
                cronjob = cronjobs.get_cronjob(connection, account_id, cronjob_id)
                if cronjob is None or (named and cronjob.state == State.DELETED):
                    raise errors.NotFound(NO_CRONJOB)
                firings = ledger.list_firings_of_cronjob(
                    connection, account_id, cronjob_id, before, limit + 1
                )
            tried = firings[:limit] if with_attempts else []
            return firings, ledger.list_attempts(connection, account_id, tried)

        firings, attempts = await self._store.transact(work)
        items = [
            firing_answer(firing, attempts.get(firing.position, ()) if with_attempts else None)
            for firing in firings[:limit]
        ]
        more = len(firings) > limit
        return Page(items, cursors.encode(listed, firings[limit - 1].position) if more else None)


def _read_cursor(reading: Reading[Any], listed: str, texts: int) -> tuple[int, list[str]] | None:
    cursor = reading.values.get("cursor")
    if cursor is None:
        return None
    position: tuple[int, list[str]] | None = reading.check(
        "cursor", lambda: cursors.decode(listed, texts, cursor)
    )
    return position
