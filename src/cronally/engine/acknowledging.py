"""The step that looks at acknowledgements whose time is over: they are overdue, or their firings go once more.

Invariant: level-triggered, like every step: what is due is in the database. Any number of nodes may run it.
"""

from __future__ import annotations

import logging
from typing import Final

from sqlalchemy import Connection

from cronally import failpoints
from cronally.instants import SECOND
from cronally.store import Signal, Store, deadlines
from cronally.store.deadlines import Due

BATCH: Final = 200
"""Acknowledgements that one transaction looks at."""
POLL: Final = 2.0
"""Seconds after which it looks again, if nothing is due before: so much later than its time one may be overdue."""

_log = logging.getLogger(__name__)


class Acknowledging:
    """Ends the time of acknowledgements in one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def step(self) -> float | None:
        """Look at a batch; return 0 if there may be more, the seconds until the next one is due, or None."""
        now = await self._store.clock()

        def work(connection: Connection) -> tuple[Due, int | None]:
            return deadlines.end_time(connection, now, BATCH), deadlines.next_deadline(connection)

        due, following = await self._store.transact(work)
        if due.overdue or due.again:
            failpoints.reach("acknowledge.after_commit")
            _log.info("acknowledgements were not in time", extra={"overdue": due.overdue, "again": due.again})
        if due.again or due.freed:
            await self._store.announce(Signal.FIRINGS)
        if due.more:
            return 0.0
        # What another transaction holds is due all the same.
        return None if following is None else max(0.1, (following - now) / SECOND)
