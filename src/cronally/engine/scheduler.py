"""The scheduler: due cron jobs become firings in the ledger, and are moved on, in one transaction.

Invariant: due is `next_fire_at <= now`, asked of the database at every tick; nothing about what is due lives in
memory. A cron job that cannot be ticked is set aside with a reason, and the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from cronally import failpoints
from cronally import plan as planning
from cronally.audit_chain import Entry
from cronally.clock import zones
from cronally.cronjob import State
from cronally.engine.early import EarlyRows
from cronally.instants import MIN_INSTANT, MINUTE, SECOND
from cronally.plan import Plan, Schedule
from cronally.role import Role
from cronally.store import (
    Signal,
    Store,
    audit_states,
    heartbeats,
    horizon,
    outages,
    pauses,
    schedule,
    zonedata,
)
from cronally.store.audit import record_audit
from cronally.store.horizon import Horizon
from cronally.store.schedule import Advance, DueCronjob

CRONJOBS_PER_TICK: Final = 500
ROWS_PER_TICK: Final = 500
"""At most so many ledger rows in one transaction."""
PLANS_PER_TICK: Final = 200
"""At most so many different plans in one transaction: on SQLite what fires and what is asked for waits for it."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tick:
    """What one tick did."""

    cronjobs: int
    """How many cron jobs were moved on."""
    rows: int
    """How many rows the ledger got."""
    more: bool
    """Whether it stopped at a limit: tick again at once."""
    next_due: int | None
    """The earliest next fire time that is left."""
    next_wake: int | None = None
    """When the next cron job that stands still must be looked at."""


CONTENDED: Final = 0.02
"""Seconds to wait when everything that is due is in another node's hands."""


WAKES: Final = 50
"""Cron jobs that stand still of which one transaction looks at so many at most."""
HEARTBEAT: Final = 5 * SECOND
"""How often a node says that it ticks."""


class Outdated(Exception):
    """Another node has newer zone data: it knows better when things fire."""


class Scheduler:
    """Ticks. Any number may run against one store."""

    def __init__(
        self,
        store: Store,
        *,
        node: str = "alone",
        on_time: int = MINUTE,
        observe: Callable[[Tick], None] = lambda _tick: None,
    ) -> None:
        """
        :param node: a name of this process that no other one has, for its heartbeat
        :param on_time: fire times up to this old are always all fired, in microseconds
        :param observe: called with every tick
        """
        self._store = store
        self._observe = observe
        self._node = node
        self._on_time = on_time
        self.early = EarlyRows(store)
        self._started_at: int | None = None
        self._beat_at = 0
        self._warned_at = 0  # when the log last got that this node is outdated
        self.wake = store.subscribe(Signal.CRONJOBS)
        """Set when a cron job may be due earlier than the last step could know."""

    async def step(self) -> float | None:
        """Tick once; return the seconds until the next fire time (0 to go on at once), None if there is none.

        A node whose zone data are older than another's does not tick.
        """
        now = await self._store.clock()
        if not 0 <= now - self._beat_at < outages.LEAST:
            # Before the tick writes what was missed: alerts know then why.
            await self._store.transact(lambda connection: outages.note_outage(connection, now))
        try:
            tick = await self.tick(now)
        except Outdated as newest:
            if not 0 <= now - self._warned_at < MINUTE:
                self._warned_at = now
                _log.error(
                    "this node does not tick: another one has newer zone data; upgrade this one",
                    extra={"tzdata": zones.version(), "newest": str(newest)},
                )
            return None
        if not 0 <= now - self._beat_at < HEARTBEAT:
            await self._beat(now)
        if self.early.waits and await self.early.step(now):
            return 0.0
        woken = 0
        if tick.next_wake is not None and tick.next_wake <= now:
            woken = await self.look(now)
        if tick.more or woken:
            return 0.0
        instants = [at for at in (tick.next_due, tick.next_wake) if at is not None]
        if not instants:
            return None
        return max((min(instants) - now) / SECOND, CONTENDED if min(instants) <= now else 0.0)

    async def tick(self, now: int) -> Tick:
        """Move every cron job that is due at `now` on, up to the limits of one transaction.

        Raises Outdated, and changes nothing, when another node has newer zone data.
        """
        tick = await self._store.transact(lambda connection: self._tick(connection, now))
        if tick.rows:
            failpoints.reach("tick.after_commit")
            await self._store.announce(Signal.FIRINGS)
        self._observe(tick)
        return tick

    async def look(self, now: int) -> int:
        """Look at cron jobs that stand still and must be looked at, up to `WAKES`; return how many there were."""
        woken = await self._store.transact(lambda connection: self._look(connection, now))
        if woken:
            failpoints.reach("wake.after_commit")
        return woken

    def _look(self, connection: Connection, now: int) -> int:
        if _newer_zone_data(connection) is not None:
            return 0
        woken = pauses.wake(connection, now, WAKES)
        if woken:
            failpoints.reach("wake.before_commit")
        return woken

    async def _beat(self, now: int) -> None:
        started_at = self._started_at = self._started_at or now
        found = await self._store.transact(lambda connection: self._record_beat(connection, started_at, now))
        self._beat_at = now
        self.early.look(found, now)

    def _record_beat(self, connection: Connection, started_at: int, now: int) -> Horizon | None:
        heartbeats.record_heartbeat(connection, self._node, Role.SCHEDULER, started_at, now)
        horizon.extend_horizon(connection, now)
        return horizon.get_horizon(connection)

    def _tick(self, connection: Connection, now: int) -> Tick:
        if (newest := _newer_zone_data(connection)) is not None:
            raise Outdated(newest)
        if not 0 <= now - self._beat_at < HEARTBEAT:
            # Before the cron jobs are locked, in the order of `early`: each would wait for the other.
            horizon.extend_horizon(connection, now)
        due = self._claim(connection, now)
        if due:
            failpoints.reach("tick.after_select")
        # At :00 thousands of cron jobs share a schedule: each distinct one is computed once, from when the first of
        # them was changed on. Nobody makes a tick search years in which there was no such cron job.
        since: dict[Schedule, int] = {}
        for job in due:
            since[job.schedule] = min(job.settled_at, since.get(job.schedule, job.settled_at))
        plans: dict[Schedule, Plan | Exception] = {}
        advances: list[Advance] = []
        told: list[Entry] = []
        rows = set_aside = planned = 0
        for job in due:
            if rows >= ROWS_PER_TICK or planned >= PLANS_PER_TICK:
                break
            room = ROWS_PER_TICK - rows
            plan = plans.get(job.schedule)
            if plan is None or (isinstance(plan, Plan) and len(plan.entries) > room):
                planned += 1
                plan = plans[job.schedule] = self._plan(job.schedule, now, since[job.schedule], room)
            if isinstance(plan, Exception):
                _log.error("a cron job is set aside", extra={"cronjob_id": job.cronjob_id}, exc_info=plan)
                schedule.set_aside(connection, job, now, plan)
                aside = (State.ACTIVE, State.PAUSED, schedule.cannot_be_scheduled(plan))
                told.append(audit_states.of_cronjob(job.account_id, job.cronjob_id, now, *aside))
                rows += 1
                set_aside += 1
                continue
            if planning.suppressed_until_a_change(plan, job.schedule, job.settled_at):
                # Rare: what was suppressed before the cron job was changed is in the ledger already.
                planned += 1
                plan = planning.plan(
                    job.schedule, now, since=job.settled_at, on_time=self._on_time, limit=len(plan.entries)
                )
            advances.append(
                Advance(job.cronjob_id, job.account_id, plan.entries, plan.next_fire_at, job.window)
            )
            rows += len(plan.entries)
        written = schedule.record_advances(connection, now, advances)
        told += [
            audit_states.of_cronjob(one.account_id, one.cronjob_id, now, State.ACTIVE, State.COMPLETED)
            for one in advances
            if one.next_fire_at is None
        ]
        if told:
            record_audit(connection, *told)
        if advances:
            failpoints.reach("tick.before_commit")
        # Whatever stopped at a limit is still due. What is due although nothing was claimed is in another node's
        # hands at this moment: no reason to ask again at once.
        next_due, next_wake = schedule.next_due(connection)
        more = bool(due) and next_due is not None and next_due <= now
        return Tick(len(advances), written + set_aside, more, next_due, next_wake)

    def _plan(self, schedule: Schedule, now: int, since: int, room: int) -> Plan | Exception:
        """The plan of a schedule, or why there is none."""
        limit = min(planning.ROWS_PER_TICK, room)
        try:
            return planning.plan(schedule, now, since=since, on_time=self._on_time, limit=limit)
        except Exception as problem:
            return problem

    def _claim(self, connection: Connection, now: int) -> list[DueCronjob]:
        """The cron jobs of one tick: those that are on time first, so that no account's backlog delays the others."""
        fresh = now - self._on_time
        due = schedule.claim_due_cronjobs(connection, fresh, now + 1, CRONJOBS_PER_TICK)
        if len(due) < CRONJOBS_PER_TICK:
            due += schedule.claim_due_cronjobs(connection, MIN_INSTANT, fresh, CRONJOBS_PER_TICK - len(due))
        return due


def _newer_zone_data(connection: Connection) -> str | None:
    """The version of another node's zone data, if they are newer than these."""
    newest = zonedata.newest_version(connection)
    return newest if newest is not None and newest > zones.version() else None
