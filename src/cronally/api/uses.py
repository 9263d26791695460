"""When API keys were used: noted in memory, and written for all of them together.

Invariant: bounded, and no request waits for it. A key is written at most once in `NOTED`, as far as this process knows;
what cannot be written is noted by the next request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from cronally import errors
from cronally.instants import MINUTE

NOTED: Final = MINUTE
"""Microseconds."""
DELAY: Final = 2.0
"""Seconds for which uses are gathered."""
KNOWN: Final = 10_000
"""Keys that are remembered; the one that was noted longest ago is forgotten first."""
TOGETHER: Final = 500
"""So many keys one transaction writes."""

_log = logging.getLogger(__name__)


class Uses:
    """Of one process. Belongs to one event loop."""

    def __init__(self, record: Callable[[Mapping[str, int]], Awaitable[None]]) -> None:
        self._record = record
        self._noted: dict[str, int] = {}
        self._waiting: dict[str, int] = {}
        self._writing: asyncio.Task[None] | None = None

    def note(self, api_key: str, now: int) -> None:
        """A key is used.

        :param now: an instant
        """
        noted = self._noted.get(api_key)
        # A clock that went back would never let it be noted again.
        if noted is not None and noted <= now < noted + NOTED:
            return
        self._noted.pop(api_key, None)
        if len(self._noted) >= KNOWN:
            del self._noted[next(iter(self._noted))]
        self._noted[api_key] = self._waiting[api_key] = now
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_soon(), name="key-uses")

    async def _write_soon(self) -> None:
        try:
            await asyncio.sleep(DELAY)
            await self.write()
        finally:
            self._writing = None

    async def write(self) -> None:
        """Write what was noted."""
        waiting, self._waiting = self._waiting, {}
        keys = sorted(waiting)
        for start in range(0, len(keys), TOGETHER):
            some = {key: waiting[key] for key in keys[start : start + TOGETHER]}
            try:
                await self._record(some)
            except errors.CronallyError as problem:
                for key in some:
                    self._noted.pop(key, None)
                _log.info("when keys were used could not be written: %s", problem)
