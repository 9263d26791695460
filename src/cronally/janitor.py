"""The janitor: audits what should fire, and deletes what need not be kept, in batches between which others work.

Invariant: the audit only ever moves a next fire time to where the expression and the ledger say it belongs; it never
writes to the ledger. A repair is logged and counted, because it means that a clock jumped or a bug bit.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from cronally import cron, errors
from cronally.instants import DAY, MINUTE
from cronally.store import Signal, Store, heartbeats, upkeep
from cronally.store.upkeep import Audited

BATCH = 200
IDEMPOTENCY_KEPT = DAY
SIGNUPS_KEPT = 10 * MINUTE
HEARTBEATS_KEPT = 30 * DAY

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Done:
    """What the janitor has done since it began."""

    audited: int = 0
    repaired: int = 0
    deleted: int = 0


class Janitor:
    """Keeps one store tidy. Any number may run against it; each works through everything in turn."""

    def __init__(self, store: Store, *, retention: int, pause: float = 5.0) -> None:
        """
        :param retention: how long finished firings are kept, in microseconds
        :param pause: seconds between two batches once everything was gone through
        """
        self._store = store
        self._retention = retention
        self._pause = pause
        self._audit_after = ""
        self._account = ""
        self.done = Done()

    async def step(self) -> float | None:
        """Audit a batch of cron jobs, delete a batch of what is no longer kept; return the seconds to pause."""
        now = await self._store.clock()
        whole_audit = await self.audit(now)
        whole_retention = await self.expire(now)
        return self._pause if whole_audit and whole_retention else 0.05

    async def audit(self, now: int) -> bool:
        """Repair the next fire times of the next batch of cron jobs; return whether that was the last batch."""
        after = self._audit_after
        batch = await self._store.transact(
            lambda connection: upkeep.list_active_cronjobs(connection, after, BATCH)
        )
        self.done.audited += len(batch)
        self._audit_after = batch[-1].cronjob_id if len(batch) == BATCH else ""
        wrong = [(audited, right) for audited in batch if (right := _misplaced(audited, now)) is not None]
        for audited, right in wrong:
            if await self._store.transact(partial(_repair, audited, right)):
                self.done.repaired += 1
                _log.warning(
                    "a next fire time was repaired",
                    extra={"cronjob_id": audited.cronjob_id, "was": audited.next_fire_at, "is": right},
                )
        if wrong:
            await self._store.announce(Signal.CRONJOBS)
        return not self._audit_after

    async def expire(self, now: int) -> bool:
        """Delete a batch of finished firings of the account in turn; return whether that was the last account."""
        before = now - self._retention

        def work(connection: Connection) -> tuple[str | None, int]:
            account = upkeep.next_account(connection, self._account)
            if account is None:
                deleted = upkeep.delete_cronjobs(connection, before, BATCH)
                deleted += upkeep.delete_idempotency_keys(connection, now - IDEMPOTENCY_KEPT)
                deleted += upkeep.delete_signups(connection, now - SIGNUPS_KEPT)
                deleted += heartbeats.delete_heartbeats(connection, now - HEARTBEATS_KEPT)
                return None, deleted
            return account, upkeep.delete_firings(connection, account, before, BATCH)

        account, deleted = await self._store.transact(work)
        self.done.deleted += deleted
        if account is None:
            self._account = ""
            return True
        if deleted < BATCH:
            self._account = account
        return False


def _repair(audited: Audited, right: int, connection: Connection) -> bool:
    return upkeep.repair_next_fire_at(connection, audited, right)


def _misplaced(audited: Audited, now: int) -> int | None:
    """Where the next fire time belongs, if it is not set or set later than that."""
    # Nothing is owed from before the cron job was made or last changed, nor what the ledger covers. A change that
    # seems to lie in the future was made while a clock was ahead: it counts as made now.
    since = max(min(audited.updated_at, now), audited.last_covered or 0)
    try:
        expected = cron.expression(audited.cron).next(since)
    except errors.InvalidExpression:
        return None
    if expected is None or (audited.next_fire_at is not None and audited.next_fire_at <= expected):
        return None
    return expected
