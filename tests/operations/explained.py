"""A cron job in a zone, real ticks over it, and questions about its instants."""

from __future__ import annotations

from typing import Any

from cronally.clock.timetable import Timetable
from cronally.cronjob import Timing, read_policies
from cronally.engine.scheduler import Scheduler
from cronally.instants import parse_iso
from cronally.operations import Caller
from cronally.store import Store
from tests.operations.parameters import SNS
from tests.operations.tenant import Tenants
from tests.support.factories import Clock, read_cronjob

NEW_YORK = "America/New_York"


class Explained:
    """One cron job, its server, and its tenant."""

    def __init__(self, operations: Tenants, caller: Caller, store: Store, clock: Clock) -> None:
        self._operations = operations
        self._account_id = caller.account_id
        self._store = store
        self._clock = clock
        self._scheduler = Scheduler(store)
        self.cronjob_id = ""

    async def create(self, cron: str | list[str], at: str, **parameters: Any) -> dict[str, Any]:
        """Create the cron job at an instant."""
        self._clock.now = parse_iso(at)
        answer = await self._operations.create_cronjob(self._account_id, {**SNS, "cron": cron, **parameters})
        self.cronjob_id = answer["cronjob_id"]
        return answer

    async def tick(self, until: str | int) -> None:
        """Be awake at an instant, and not since the last one."""
        self._clock.now = until if isinstance(until, int) else parse_iso(until)
        while (await self._scheduler.tick(self._clock.now)).more:
            pass

    async def awake(self, until: str | int) -> None:
        """Be awake at every fire time until an instant."""
        end = until if isinstance(until, int) else parse_iso(until)
        while True:
            row = await read_cronjob(self._store, self.cronjob_id)
            if row.next_fire_at is None or row.next_fire_at > end:
                await self.tick(end)
                return
            await self.tick(row.next_fire_at)

    async def change(self, at: str, **parameters: Any) -> dict[str, Any]:
        self._clock.now = parse_iso(at)
        return await self._operations.update_cronjob(self._account_id, self.cronjob_id, parameters)

    async def pause(self, at: str, **parameters: str) -> dict[str, Any]:
        self._clock.now = parse_iso(at)
        return await self._operations.pause_cronjob(self._account_id, self.cronjob_id, parameters)

    async def resume(self, at: str) -> dict[str, Any]:
        self._clock.now = parse_iso(at)
        return await self._operations.resume_cronjob(self._account_id, self.cronjob_id)

    async def look(self, at: str) -> int:
        """Let a scheduler look at what stands still."""
        self._clock.now = parse_iso(at)
        return await self._scheduler.look(self._clock.now)

    async def delete(self, at: str) -> None:
        self._clock.now = parse_iso(at)
        await self._operations.delete_cronjob(self._account_id, self.cronjob_id)

    async def ask(self, at: str, now: str | None = None) -> dict[str, Any]:
        """What is found at an instant."""
        if now is not None:
            self._clock.now = parse_iso(now)
        return await self._operations.explain_cronjob(self._account_id, self.cronjob_id, {"at": at})

    async def table(self) -> Timetable:
        row = await read_cronjob(self._store, self.cronjob_id)
        timing = Timing.of(row.cron, row.timezone, read_policies(row.policies))
        return timing.timetable(row.cronjob_id, row.created_at)
