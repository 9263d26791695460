"""Cron jobs that owe several firings, and a dispatcher for them: what the tests of order and of overlap begin with."""

from __future__ import annotations

from typing import Any

from cronally.engine.admission import Limits
from cronally.engine.dispatcher import Dispatcher
from cronally.engine.scheduler import Scheduler
from cronally.instants import MINUTE, SECOND
from cronally.store import Store
from tests.support.factories import NOON, ScriptedTarget, firing_values, insert_rows, make_cronjob, vault

UNWRITTEN: dict[str, dict[str, Any]] = {
    "due": {"next_fire_at": NOON},
    "a pause has ended": {
        "next_fire_at": None,
        "state": "paused",
        **dict.fromkeys(("paused_at", "settled_at"), NOON - SECOND),
        **dict.fromkeys(("paused_until", "wake_at"), NOON),
    },
}
"""Cron jobs that owe noon, which no tick has written."""


def dispatcher(store: Store, target: ScriptedTarget, **limits: Any) -> Dispatcher:
    return Dispatcher(store, vault(), {"scripted": target}, Limits(**limits), chance=lambda: 0.5)


async def owe(store: Store, count: int, **given: Any) -> dict[str, Any]:
    """A cron job with so many due firings, a minute apart up to noon."""
    job = await make_cronjob(store, **{"next_fire_at": None, **given})
    await owe_more(store, job, range(NOON - (count - 1) * MINUTE, NOON + 1, MINUTE))
    return job


async def owe_more(store: Store, job: Any, times: Any, **given: Any) -> None:
    """More due firings of a cron job, at these fire times."""
    rows = [firing_values(job, scheduled_at=at, due_at=at, created_at=at, **given) for at in times]
    await insert_rows(store, "firing", rows)


def sent(target: ScriptedTarget) -> list[int]:
    """The fire times that were sent, in minutes from noon."""
    return [(message.scheduled_at - NOON) // MINUTE for message in target.messages]


async def schedule(store: Store) -> None:
    """Write all that is owed."""
    scheduler = Scheduler(store)
    while await scheduler.step() == 0.0:
        pass
