"""`/healthz`: the process lives. `/readyz`: the database answers, and how the engine stands.

Invariant: however often strangers ask, the database is asked at most once a second.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from cronally import __version__, errors
from cronally.api.answers import success
from cronally.instants import format_iso
from cronally.operations import Health, Operations

KEPT_FOR: Final = 1.0
"""Seconds that an answer is given again."""
PATIENCE: Final = 2.0
"""Seconds after which a database that has not answered counts as one that does not."""


async def get_healthz(_request: Request) -> Response:
    """Whether the process lives."""
    return success({"version": __version__})


class Readiness:
    """`GET /readyz`."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._asking: asyncio.Task[Health] | None = None
        self._asked_at = 0.0

    async def __call__(self, _request: Request) -> Response:
        now = time.monotonic()
        if self._asking is None or (self._asking.done() and now - self._asked_at >= KEPT_FOR):
            self._asking = asyncio.create_task(self._operations.get_health(), name="readyz")
            self._asked_at = now
        # Everybody waits for the same question; whoever goes away does not take it along.
        await asyncio.wait({self._asking}, timeout=PATIENCE)
        if not self._asking.done() or self._asking.exception() is not None:
            raise errors.Unavailable()
        return success(_answer(self._asking.result()))


def _answer(health: Health) -> dict[str, Any]:
    answer: dict[str, Any] = {"database": "answers", "now": format_iso(health.now)}
    for name, at in (("last_tick", health.ticked_at), ("oldest_due", health.oldest_due_at)):
        if name == "oldest_due" and at is not None and at > health.now:
            at = None  # open, but waiting for a retry or under lease
        answer[f"{name}_at"] = None if at is None else format_iso(at)
        answer[f"{name}_age_ms"] = None if at is None else max(0, health.now - at) // 1000
    answer |= {"tzdata": health.tzdata, "newest_tzdata": health.newest_tzdata}
    if health.newest_tzdata is not None and health.tzdata < health.newest_tzdata:
        answer["warning"] = (
            f"This node's zone data ({health.tzdata}) are older than the database's ({health.newest_tzdata}):"
            " it does not tick; upgrade it."
        )
    return answer
