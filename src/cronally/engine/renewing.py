"""Renews the leases of what takes long, for as long as it is being sent.

Invariant: a firing whose request may take longer than a lease is its node's for as long as the node lives and reaches
the database. A node that dies loses it when the lease that it renewed last ends, and a node that lost it to another one
stops sending it as soon as it hears of that. While the database does not answer nobody can claim: what is under way
goes on, and is renewed before this node claims again.

Those that are answered at once cost nothing: a request is `FIRST` seconds old when its lease is renewed for the first
time. From then on the ledger says since when it is being sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Final

from cronally import errors
from cronally.instants import SECOND
from cronally.store import Store, early, renewals
from cronally.store.claims import Claim

FIRST: Final = 1.0
"""Seconds from the beginning of a request to the first renewal of its lease, at most."""
EVERY: Final = early.LEASE / SECOND / 3
"""Seconds from one renewal to the next, at most: a lease lasts no longer than that once a clock has gone back."""
AGAIN: Final = 1.0
"""Seconds until a renewal that failed, or that found a row locked, is tried again, at most."""

_log = logging.getLogger(__name__)


class _Held:
    """A lease that is renewed."""

    __slots__ = ("due", "ends", "lost", "sent_at")

    def __init__(self, sent_at: int, due: float, ends: float, lost: Callable[[], None]) -> None:
        self.sent_at = sent_at
        self.due = due
        self.ends = ends
        self.lost = lost


class Renewing:
    """Of one node. Belongs to one event loop."""

    def __init__(
        self, store: Store, lease: float, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """
        :param lease: seconds that one lasts
        """
        self._store = store
        self._lease = lease
        self._every = min(EVERY, lease / 3)
        self._monotonic = monotonic
        self._held: dict[renewals.Lease, _Held] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def begin(self, claim: Claim, sent_at: int, ends: float, lost: Callable[[], None]) -> None:
        """A request begins whose lease is to be renewed until `end`.

        :param sent_at: an instant
        :param ends: when its lease does, by the monotonic clock
        :param lost: called once if the lease is lost
        """
        due = self._monotonic() + min(FIRST, self._every)
        self._held[_lease_of(claim)] = _Held(sent_at, due, ends, lost)
        self._changed.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._repeat(), name="cronally-renewing")

    def end(self, claim: Claim) -> None:
        """A request has ended, or is being cut off."""
        self._held.pop(_lease_of(claim), None)
        if not self._held:
            self._changed.set()

    @property
    def is_late(self) -> bool:
        """Whether any of these leases may have ended: this node itself might claim what it is sending."""
        if not self._held:
            return False
        now = self._monotonic()
        return any(one.ends <= now for one in self._held.values())

    async def step(self) -> None:
        """Renew all of these leases. Raises what the store does."""
        asked = dict(self._held)
        if not asked:
            return
        started = self._monotonic()
        now = await self._store.clock()
        until = now + int(self._lease * SECOND)
        begun = [(key, number, one.sent_at) for (key, number), one in asked.items()]
        found = await self._store.transact(lambda connection: renewals.renew_leases(connection, begun, until))
        for lease, one in asked.items():
            if self._held.get(lease) is not one:
                continue  # it has ended meanwhile, and may be recorded
            if lease in found.renewed:
                one.due, one.ends = started + self._every, started + self._lease
            elif lease in found.lost:
                del self._held[lease]
                one.lost()
            else:
                one.due = started + min(AGAIN, self._every)

    async def ended(self) -> None:
        """Wait until there is nothing left to renew."""
        while self._task is not None and not self._task.done():
            await asyncio.wait({self._task})

    def stop(self) -> None:
        """Renew no more. What was sent and is not recorded is another worker's when its lease ends."""
        if self._task is not None:
            self._task.cancel()

    async def _repeat(self) -> None:
        failures = 0
        while self._held:
            self._changed.clear()
            delay = min(one.due for one in self._held.values()) - self._monotonic()
            if delay > 0 and await self._is_changed(delay):
                continue
            try:
                await self.step()
                failures = 0
            except Exception as problem:
                failures += 1
                self._tell(problem, failures)
                await self._pause()

    async def _is_changed(self, delay: float) -> bool:
        """Wait; return whether a request began, or the last one ended, meanwhile."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._changed.wait()
                return True
        return False

    async def _pause(self) -> None:
        """After a failure, unless everything has ended."""
        ends = asyncio.get_running_loop().time() + min(AGAIN, self._every)
        while self._held and (left := ends - asyncio.get_running_loop().time()) > 0:
            self._changed.clear()
            await self._is_changed(left)

    def _tell(self, problem: Exception, failures: int) -> None:
        if failures & (failures - 1):
            return  # those whose number is a power of two
        extra = {"count": len(self._held), "failures": failures}
        if isinstance(problem, errors.Unavailable):
            _log.warning("leases wait for the database", extra=extra)
        else:
            _log.error("leases cannot be renewed", extra=extra, exc_info=problem)


def _lease_of(claim: Claim) -> renewals.Lease:
    return claim.key, claim.lease_no
