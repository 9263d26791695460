"""After the clock was ahead and is back: what was written for the future fires when its time comes.

Invariant: a cron job is gone through once for each return of the clock, whichever node does it; the horizon has how far
that is. Nothing is done before the clock has been back for `SETTLED`: one that is behind for a moment only looks like
one that comes back.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from cronally.cronjob import State
from cronally.firing import CLOCK_CHANGES, Reason
from cronally.instants import SECOND, format_iso
from cronally.store import Signal, Store, early, early_pauses, horizon
from cronally.store.early import Candidate
from cronally.store.horizon import Horizon
from cronally.store.timekeeper import BOUND

SETTLED: Final = 30 * SECOND
"""How long the clock must be back."""
BATCH: Final = 200
"""Cron jobs that one transaction goes through."""
_AWAKE: Final = (State.ACTIVE, State.COMPLETED)
"""What fires again where it was moved on too far."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Marked:
    """What was put right since the process began."""

    firings: int = 0
    """Firings that were sent early."""
    cronjobs: int = 0
    """Cron jobs that had been moved on too far."""


class EarlyRows:
    """Puts right what was written early. Any number may run against one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._since: int | None = None
        self.done = Marked()

    def look(self, found: Horizon | None, now: int) -> None:
        """Notice whether the ledger was written further than to `now`, or another node already puts that right.

        :param found: the horizon as it is in the database
        """
        keeper = self._store.timekeeper
        if found is None or keeper.ahead:
            self._since = None
        elif found.early_after is not None:
            self._since = found.early_since
        elif found.latest_at > now + BOUND:
            # All nodes go back at the same instant, but do not notice it at the same one.
            self._since = now - keeper.steady_for
        elif self._since is not None and self._since < now - keeper.steady_for - BOUND:
            self._since = None  # the clock went on to where it was

    @property
    def waits(self) -> bool:
        """Whether there is something to put right."""
        return self._since is not None

    async def step(self, now: int) -> bool:
        """Put right a batch, if the clock has been back for long enough; return whether there is more to do at once."""
        since = self._since
        if since is None or self._store.timekeeper.steady_for < SETTLED:
            return False
        done = await self._store.transact(lambda connection: _step(connection, since, now))
        self.done.firings += done.firings
        self.done.cronjobs += done.cronjobs
        if done.began:
            _log.warning(
                "the clock was ahead: what was written for the future is marked, and will fire on time",
                extra={"since": format_iso(since), "until": format_iso(done.until)},
            )
        if done.over:
            self._since = None
        if done.over and done.until:
            _log.warning(
                "what was written while the clock was ahead is put right",
                extra={"firings_sent_early": self.done.firings, "cronjobs_moved_back": self.done.cronjobs},
            )
        if done.cronjobs or done.over:
            await self._store.announce(Signal.CRONJOBS)
            await self._store.announce(Signal.FIRINGS)
        return not done.over


@dataclass(frozen=True, slots=True)
class _Step:
    over: bool
    began: bool = False
    until: int = 0
    firings: int = 0
    cronjobs: int = 0


def _step(connection: Connection, since: int, now: int) -> _Step:
    found = horizon.lock_horizon(connection)
    if found is None:
        return _Step(over=True)
    began = found.early_after is None
    if began:
        if found.early_since is not None and abs(since - found.early_since) < SETTLED:
            return _Step(over=True)  # another node did it
        horizon.begin_early(connection, since)
        early.bring_forward(connection, now)
    else:
        since = found.early_since or since
    candidates = early.lock_candidates(connection, found.early_after or "", BATCH)
    ids = [one.cronjob_id for one in candidates]
    marked = moved = 0
    if candidates:
        candidates = early.uncount(connection, candidates, since)
        across = early.forget_unsent(connection, ids, since, now)
        marked = early.mark_sent(connection, ids, since, now)
        still = {one.cronjob_id for one in candidates if one.state not in _AWAKE}
        skipped = {
            of: one
            for of, one in across.items()
            if one.reason == Reason.PAUSED or (of in still and one.reason not in CLOCK_CHANGES)
        }
        paused = early_pauses.put_back(connection, candidates, skipped, since, now)
        early.date_back(connection, ids, now)
        awake = [one for one in candidates if one.cronjob_id not in paused]
        owed = {of: one.scheduled_at for of, one in across.items() if of not in skipped}
        moved = len(paused) + _move_back(connection, awake, owed, since, now)
        horizon.record_early(connection, ids[-1])
    over = len(candidates) < BATCH
    if over:
        horizon.end_early(connection, now)
    return _Step(over, began, found.latest_at, marked, moved)


def _move_back(
    connection: Connection, candidates: Sequence[Candidate], across: dict[str, int], since: int, now: int
) -> int:
    moved = 0
    for one in candidates:
        if one.state not in _AWAKE or one.is_used_up:
            continue
        right = across.get(one.cronjob_id)
        if right is None:
            # A change since the clock came back; one from before that says a later instant, and so does a completion.
            changed = one.state == State.ACTIVE and one.settled_at <= now
            try:
                times = one.timing.timetable(one.cronjob_id, min(one.created_at, now))
                right = times.next(max(since, one.settled_at) if changed else since)
            except Exception:
                # The scheduler sets it aside when it is due.
                _log.debug(
                    "a cron job cannot be moved back", extra={"cronjob_id": one.cronjob_id}, exc_info=True
                )
                continue
        if right is not None and (one.next_fire_at is None or one.next_fire_at > right):
            early.move_back(connection, one, right, now)
            moved += 1
    return moved
