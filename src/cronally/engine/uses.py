"""When connections were used: noted in memory, and written once in a while with the records of firings.

Invariant: bounded. A connection is due to be written at most once in `USE_NOTED`, as far as this node knows, so a batch
of records costs a statement more only then.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from cronally.firing import Reason
from cronally.store.claims import Record
from cronally.store.connections import USE_NOTED

_KNOWN: Final = 10_000
"""Connections that are remembered; the one that was written longest ago is forgotten first."""


class Uses:
    """Of one node."""

    def __init__(self) -> None:
        self._written: dict[str, int] = {}

    def due(self, records: Iterable[Record]) -> dict[str, int]:
        """The connections that these used and that are to be written, with the last instant of each."""
        found: dict[str, int] = {}
        for record in records:
            used, at = record.claim.connection_id, record.sent_at
            if used is None or at is None or Reason.UNSENDABLE in (record.reason, record.attempt_reason):
                continue
            if at < self._written.get(used, 0) + USE_NOTED:
                continue
            found[used] = max(at, found.get(used, 0))
        return found

    def written(self, uses: dict[str, int]) -> None:
        """These stand in the database now."""
        for used, at in uses.items():
            self._written.pop(used, None)
            if len(self._written) >= _KNOWN:
                del self._written[next(iter(self._written))]
            self._written[used] = at
