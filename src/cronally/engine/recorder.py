"""The recorder: what came of firings, written in batches as they come in.

Invariant: a record is added once and written until it is durable; while one batch is being committed the next one
gathers, so a busy node writes many records a transaction and a quiet one writes each at once.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection

from cronally import errors, failpoints
from cronally.audit_chain import Entry
from cronally.engine.uses import Uses
from cronally.store import Store, connection_health, connections, outcomes
from cronally.store.audit import record_audit
from cronally.store.claims import Record

BATCH: Final = 500
PAUSE_CEILING: Final = 2.0
"""Seconds between two tries to reach a database that does not answer."""

_log = logging.getLogger(__name__)


class Recorder:
    """Writes records to one store."""

    def __init__(self, store: Store, recorded: Callable[[list[Record], int], None]) -> None:
        """
        :param recorded: called with each batch once it is durable (or was given up as unwritable), and with how many
            firings became due that had waited for those of the batch
        """
        self._store = store
        self._recorded = recorded
        self._waiting: list[Record] = []
        self._writing = 0
        self._uses = Uses()
        self._writer: asyncio.Task[None] | None = None
        self.blocked = False
        """Whether records wait for a database that does not answer."""

    @property
    def unwritten(self) -> int:
        """Records that were added and are not durable yet."""
        return len(self._waiting) + self._writing

    def add(self, record: Record) -> None:
        """Add a record."""
        self._waiting.append(record)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all(), name="cronally-recorder")

    async def flushed(self) -> None:
        """Wait until everything that was added is durable."""
        while self._writer is not None:
            await asyncio.shield(self._writer)

    def abandon(self) -> None:
        """Give up what is not durable yet."""
        if self._writer is not None:
            self._writer.cancel()

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                self._writing = len(batch)
                freed = await self._write(batch)
                self._writing = 0
                self.blocked = False
                failpoints.reach("record.after_commit")
                try:
                    self._recorded(batch, freed)
                except Exception:
                    # The batch is durable already: what waits must not suffer for a mistake of the callback.
                    _log.exception("the callback for durable records failed")
        finally:
            self._writer = None
            self._writing = 0

    async def _write(self, batch: list[Record]) -> int:
        """Returns how many firings became due that had waited for these."""
        pause, uses = 0.05, self._uses.due(batch)
        while True:
            try:
                freed = await self._store.transact(lambda connection: _record(connection, batch, uses))
                self._uses.written(uses)
                return freed
            except errors.Unavailable:
                self.blocked = True
                _log.warning("records wait for the database", extra={"count": len(batch)})
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - not cryptographic
                pause = min(2 * pause, PAUSE_CEILING)
            except Exception:
                if len(batch) == 1:
                    # Its lease will end, and after five such leases it is failed: visible, and no loop for ever.
                    _log.exception(
                        "a record cannot be written", extra={"cronjob_id": batch[0].claim.cronjob_id}
                    )
                    return 0
                # One of them cannot be written: the others must not suffer for it.
                return sum([await self._write([record]) for record in batch])


def _record(connection: Connection, batch: list[Record], uses: dict[str, int]) -> int:
    freed = outcomes.record_outcomes(connection, batch)
    told: list[Entry] = []
    freed += connection_health.record_outcomes(connection, batch, told)
    if uses:
        connections.record_uses(connection, uses)
    if told:
        record_audit(connection, *told)
    failpoints.reach("record.before_commit")
    return freed
