"""The janitor: audits what should fire, and deletes what need not be kept, in batches between which others work.

Invariant: the audit only ever moves a next fire time to where the timetable and the ledger say it belongs. A repair
is logged and counted, because it means that a clock jumped or a bug bit; so is what new zone data move. Nothing is
deleted for its age within a day of a leap of the clock or an outage, or an hour of a short one (`horizon`).
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import Connection

from cronally.clock import zones
from cronally.engine import recompute
from cronally.instants import DAY, MINUTE, SECOND
from cronally.store import (
    Signal,
    Store,
    alerts,
    background,
    connection_health,
    connection_holds,
    connections,
    freezes,
    heartbeats,
    horizon,
    idempotency,
    mail_counts,
    removal,
    upkeep,
    versions,
    zonedata,
)
from cronally.store.upkeep import Audited

AUDITED: Final = 500
"""Cron jobs that one transaction reads: 100,000 are gone through in a quarter of an hour."""
AT_ONCE: Final = 10
"""Of these so many between two turns of the event loop."""
BATCH: Final = 500
"""Rows that one transaction deletes: up to 10,000 a second while it is behind, more than a node delivers."""
ACCOUNTS: Final = 50
"""Accounts that one transaction goes through while they have nothing to delete."""
COMPLETED: Final = 50
"""Completed cron jobs of one account that one transaction deletes."""
VERSIONS: Final = 2000
"""Versions of cron jobs that one transaction looks at."""
PAUSE: Final = 4.0
PAUSE_BEHIND: Final = 0.05
PAUSE_DONE: Final = 60.0
"""Seconds between two batches; the same while there is more to delete at once; the same after everything was gone
through. The janitor is in no hurry: what fires must not wait for it."""
LOG_CLEARED: Final = 30 * SECOND
"""How often at most the store's log is cleared of what was erased. Microseconds."""
SIGNUPS_KEPT: Final = 10 * MINUTE
MAIL_COUNTS_KEPT: Final = 2 * DAY
HEARTBEATS_KEPT: Final = 30 * DAY
OPERATIONS_KEPT: Final = 7 * DAY
FREEZES_KEPT: Final = 30 * DAY
"""After they have ended; so are operations."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Done:
    """What the janitor has done since it began."""

    audited: int = 0
    repaired: int = 0
    moved: int = 0
    """Next fire times that new zone data moved."""
    deleted: int = 0


class Janitor:
    """Keeps one store tidy. Any number may run against it; each works through everything in turn."""

    def __init__(self, store: Store, *, retention: int) -> None:
        """
        :param retention: how long finished firings are kept, in microseconds
        """
        self._store = store
        self._retention = retention
        self._audit_after = ""
        self._versions_after: str | None = None  # None: it goes through accounts
        self._account = ""
        # Whether these zone data were applied to every cron job; None: not asked yet.
        self._applied: bool | None = None
        self._cleared_at: int | None = None
        self.done = Done()

    async def step(self) -> float | None:
        """Audit a batch, delete a batch of what is no longer kept, clear the log; return the seconds to pause.

        And let go what a freeze holds that was lifted, or a connection that is well again; and try one that is not.
        """
        now = await self._store.clock()
        if self._applied is None:
            version = zones.version()
            self._applied = not await self._store.transact(partial(zonedata.is_unapplied, version=version))
        released = await self._store.transact(partial(freezes.release_left, now=now))
        released += await self._store.transact(partial(connection_holds.release_left, now=now))
        released += await self._store.transact(partial(connection_health.wake_due, now=now))
        if released:
            await self._store.announce(Signal.FIRINGS)
        whole_audit = await self.audit(now)
        deleted = self.done.deleted
        whole_retention = not await self._may_delete(now) or await self.expire(now)
        # A clock that was set back must not keep the log.
        if self._cleared_at is None or not 0 <= now - self._cleared_at < LOG_CLEARED:
            await self._store.clear_log()
            self._cleared_at = now
        if released or self.done.deleted - deleted >= BATCH or not (self._applied or whole_audit):
            return PAUSE_BEHIND
        return PAUSE_DONE if whole_audit and whole_retention else PAUSE

    async def _may_delete(self, now: int) -> bool:
        """Whether time has gone on as it should for a day: a clock that is ahead makes everything old."""
        found = await self._store.transact(horizon.get_horizon)
        return found is not None and found.may_delete(now)

    async def audit(self, now: int) -> bool:
        """Repair the next fire times of the next batch of cron jobs; return whether that was the last batch.

        None of this while another node has newer zone data: it knows better.
        """
        after = self._audit_after
        newest, batch = await self._store.transact(
            lambda connection: (
                zonedata.newest_version(connection),
                upkeep.list_active_cronjobs(connection, after, AUDITED, now),
            )
        )
        if newest is not None and newest > zones.version():
            return True
        outdated = [one for one in batch if recompute.is_outdated(one.timezone, one.tzdata)]
        moved = await recompute.recompute(
            self._store, [(one.account_id, one.cronjob_id) for one in outdated], now
        )
        self.done.moved += len(moved)
        self.done.audited += len(batch)
        self._audit_after = batch[-1].cronjob_id if len(batch) == AUDITED else ""
        kept_since = now - self._retention
        wrong = []
        for number, audited in enumerate(batch, 1):
            right = None
            if not recompute.is_outdated(audited.timezone, audited.tzdata):
                right = _misplaced(audited, now, kept_since)
            if right is not None:
                wrong.append((audited, right))
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)  # an expression may take a millisecond, and what fires shares the loop
        for audited, right in wrong:
            if await self._store.transact(partial(_repair, audited, right)):
                self.done.repaired += 1
                _log.warning(
                    "a next fire time was repaired",
                    extra={"cronjob_id": audited.cronjob_id, "was": audited.next_fire_at, "is": right},
                )
        if wrong or moved:
            await self._store.announce(Signal.CRONJOBS)
        if not self._audit_after and not self._applied:
            version = zones.version()
            await self._store.transact(partial(zonedata.record_applied, version=version, now=now))
            self._applied = True
        return not self._audit_after

    async def expire(self, now: int) -> bool:
        """Delete a batch of what the ledger no longer holds; return whether that was the last batch.

        Finished firings go first, account by account, then versions of cron jobs that no firing needs any more.
        """
        before = now - self._retention
        if self._versions_after is None:
            after = self._account
            account, deleted = await self._store.transact(
                lambda connection: _expire(connection, after, now, before)
            )
            self.done.deleted += deleted
            self._account = account or ""
            self._versions_after = "" if account is None else None
            return False
        gone_through = self._versions_after
        self._versions_after, deleted = await self._store.transact(
            lambda connection: versions.delete_versions(connection, gone_through, before, VERSIONS)
        )
        self.done.deleted += deleted
        return self._versions_after is None


def _expire(connection: Connection, after: str, now: int, before: int) -> tuple[str | None, int]:
    """Delete up to a batch, from the account after `after`; return which one is done, None for all, and how many."""
    deleted = 0
    for _ in range(ACCOUNTS):
        account = upkeep.next_account(connection, after)
        if account is None:
            deleted += upkeep.delete_idempotency_keys(connection, now - idempotency.KEPT, BATCH)
            if deleted >= BATCH:
                return after, deleted
            deleted += upkeep.delete_signups(connection, now - SIGNUPS_KEPT)
            deleted += connections.erase_ended(connection, now)
            deleted += mail_counts.delete_counts(connection, now - MAIL_COUNTS_KEPT)
            deleted += heartbeats.delete_heartbeats(connection, now - HEARTBEATS_KEPT)
            return None, deleted
        deleted += upkeep.delete_firings(connection, account, before, BATCH - deleted)
        if deleted < BATCH:
            deleted += upkeep.delete_cronjobs(connection, account, now, BATCH - deleted)
        if deleted < BATCH:
            limit = min(COMPLETED, BATCH - deleted)
            deleted += removal.delete_completed(connection, account, now, limit, retention=now - before)
        if deleted < BATCH:
            ended_before = now - OPERATIONS_KEPT
            deleted += background.delete_operations(connection, account, ended_before, BATCH - deleted)
        if deleted < BATCH:
            deleted += freezes.delete_freezes(connection, account, now - FREEZES_KEPT, BATCH - deleted)
        if deleted < BATCH:
            deleted += alerts.delete_alerts(connection, account, before, BATCH - deleted)
        if deleted >= BATCH:
            # There may be more of this account: it is not done yet.
            return after, deleted
        after = account
    return after, deleted


def _repair(audited: Audited, right: int, connection: Connection) -> bool:
    return upkeep.repair_next_fire_at(connection, audited, right)


def _misplaced(audited: Audited, now: int, kept_since: int) -> int | None:
    """Where the next fire time belongs, if it is not set or set later than that."""
    if audited.is_used_up:
        return None
    # Nothing is owed from before the cron job was made or last changed, nor what the ledger covers, nor what it covered
    # and retention has deleted: of a yearly cron job there is no row left for eleven months. A change that seems to
    # lie in the future was made while a clock was ahead: it counts as made now.
    since = max(min(audited.settled_at, now), audited.last_covered or 0, kept_since)
    try:
        expected = audited.timing.timetable(audited.cronjob_id, audited.created_at).next(since)
    except Exception:
        # The scheduler sets it aside when it is due; the audit of the others goes on.
        _log.debug("a cron job cannot be audited", extra={"cronjob_id": audited.cronjob_id}, exc_info=True)
        return None
    if expected is None or (audited.next_fire_at is not None and audited.next_fire_at <= expected):
        return None
    return expected
