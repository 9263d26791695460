"""Dead letters: the firings that have failed and that nobody has discarded. They are listed, counted and discarded.

Invariant: to discard changes nothing of what became of a firing: the row stays `failed`, with its reason and its
attempts, and says by whom, when and why it was discarded. A replay takes that back.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

from sqlalchemy import Connection

from cronally import errors
from cronally.contract.bulk import ALL, DRY_RUN
from cronally.contract.dead_letters import MOST, NOTE, DeadLetterQuery, Discard, Discarded, DiscardMany
from cronally.contract.firings import Firing as FiringAnswer
from cronally.contract.reading import Reading
from cronally.fairness import out_of_turn
from cronally.firing import Kind
from cronally.firing import State as FiringState
from cronally.operations.answers import firing_answer
from cronally.operations.caller import Caller
from cronally.operations.existing import existing
from cronally.operations.lists import Lists, Page, choose_firings, search_firings
from cronally.operations.replayable import NO_FIRING, OPEN
from cronally.store import Store, cronjobs, discards, ledger, listing
from cronally.store.ledger import Firing, Position

PAGE: Final = 500
"""So many firings one transaction discards."""
MOST_PAGES: Final = 100
"""So many transactions look for the dead letters of one request, each at `listing.MOST_READ` rows."""


class DeadLetters:
    """Works on the dead letters of one store."""

    def __init__(self, store: Store, lists: Lists) -> None:
        self._store = store
        self._lists = lists

    async def list_dead_letters(
        self, caller: Caller, reading: Reading[DeadLetterQuery]
    ) -> Page[FiringAnswer]:
        """A page of the account's dead letters, as of `Lists.list_firings`."""
        return await self._lists.list_firings(caller, reading, None, dead_letters=True)

    async def discard_firing(
        self, caller: Caller, cronjob_id: str, scheduled_at: int, reading: Reading[Discard]
    ) -> FiringAnswer:
        """Discard one dead letter, of a cron job that may be deleted. One that is discarded keeps what it says.

        Raises NotFound, Conflict for a firing that is on its way, and InvalidRequest for one that has not failed.
        """
        reading.raise_complaints()
        now = await self._store.clock()
        kind = reading.values.get("kind", Kind.SCHEDULED.value)
        work = partial(
            _discard,
            caller=caller,
            key=(cronjob_id, scheduled_at, kind),
            now=now,
            note=reading.values[NOTE],
        )
        firing, name = await self._store.transact(work)
        return firing_answer(firing, name, None)

    async def discard_firings(self, caller: Caller, reading: Reading[DiscardMany]) -> Discarded:
        """Discard the dead letters that filters select, up to `MOST` of them; with `dry_run` count them.

        Raises InvalidRequest, and NotFound for a cron job or a name that was never there.
        """
        filters = reading.parameters.keys() - {NOTE, DRY_RUN, ALL}
        if not filters and not reading.complaints and not reading.values.get(ALL):
            reading.complain(
                ALL, ValueError("is needed where there is no filter: send all=true, or since, say")
            )
        if filters and reading.values.get(ALL):
            reading.complain(ALL, ValueError("goes with no filter; send one or the other"))
        chosen = replace(
            choose_firings(reading),
            states=(FiringState.FAILED.value,),
            discarded=False,
            within=caller.tags,
        )
        reading.raise_complaints()
        now = await self._store.clock()
        cronjob_id = reading.values.get("cronjob_id", "")
        note = None if reading.values.get(DRY_RUN) else reading.values[NOTE]
        total, after = 0, None
        for _ in range(MOST_PAGES):
            work = partial(
                _discard_page,
                caller=caller,
                cronjob_id=cronjob_id,
                chosen=chosen,
                after=after,
                limit=min(PAGE, MOST - total),
                now=now,
                note=note,
            )
            count, after = await self._store.transact(work)
            total += count
            if after is None or total >= MOST:
                return Discarded(total=total, more=after is not None)
            async with out_of_turn():
                pass
        raise errors.InvalidRequest(
            "The ledger has too many firings to look through for these; select a shorter time, by since and until."
        )


def _discard(
    connection: Connection, *, caller: Caller, key: tuple[str, int, str], now: int, note: str
) -> tuple[Firing, str | None]:
    """A dead letter as it is when it is discarded, and the name of its cron job."""
    discards.discard(connection, caller.account_id, [key], now, caller.api_key, note)
    firing = ledger.get_firing(connection, caller.account_id, *key)
    if firing is None:
        existing(connection, caller.account_id, key[0])
        raise errors.NotFound(NO_FIRING)
    if firing.state in OPEN:
        raise errors.Conflict("It is on its way; only what has failed is discarded.")
    if firing.state != FiringState.FAILED:
        raise errors.InvalidRequest(f"It is {firing.state}; only what has failed is discarded.")
    names = cronjobs.names_of(connection, caller.account_id, {key[0]})
    return firing, names.get(key[0])


def _discard_page(
    connection: Connection,
    *,
    caller: Caller,
    cronjob_id: str,
    chosen: listing.Chosen,
    after: Position | None,
    limit: int,
    now: int,
    note: str | None,
) -> tuple[int, Position | None]:
    """Discard a page of dead letters, or count it; how many those are, and where the list goes on.

    :param note: None to count
    """
    page = search_firings(connection, caller.account_id, cronjob_id, False, after, limit, chosen)
    if note is None:
        return len(page.firings), page.last
    keys = [(firing.cronjob_id, firing.scheduled_at, firing.kind) for firing in page.firings]
    return (
        discards.discard(connection, caller.account_id, keys, now, caller.api_key, note),
        page.last,
    )
