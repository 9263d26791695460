"""The parts of a server process: each runs until it is stopped, and one that ends by itself is started again.

Invariant: no part can end the others. How often a part was started again stands in the log and in `/metrics`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter

PAUSE_FIRST: Final = 0.5
PAUSE_CEILING: Final = 30.0
"""Seconds before a part that ended is started again: the first time, and after many times in a row."""
RECOVERED: Final = 60.0
"""Seconds after which a part that runs again counts as well."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """Something that runs beside others."""

    name: str
    run: Callable[[], Awaitable[None]]
    """Runs until `stop`; may be called again after it has ended."""
    stop: Callable[[], None]


class Supervisor:
    """Runs parts. Belongs to one event loop."""

    def __init__(self, parts: Sequence[Part], registry: CollectorRegistry) -> None:
        self._parts = parts
        self._stopping = asyncio.Event()
        self._restarts = Counter(
            "cronally_part_restarts",
            "Parts that ended by themselves and were started again",
            ["part"],
            registry=registry,
        )
        for part in parts:
            self._restarts.labels(part.name)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start every part."""
        self._tasks = [asyncio.create_task(self._keep(part), name=part.name) for part in self._parts]

    async def stop(self, grace: float) -> None:
        """Stop every part; cancel what has not ended after `grace` seconds."""
        self._stopping.set()
        for part in self._parts:
            part.stop()
        if not self._tasks:
            return
        _, stuck = await asyncio.wait(self._tasks, timeout=grace)
        for task in stuck:
            _log.error("a part did not stop", extra={"part": task.get_name()})
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, part: Part) -> None:
        loop = asyncio.get_running_loop()
        times = 0
        while not self._stopping.is_set():
            started = loop.time()
            problem: Exception | None = None
            try:
                await part.run()
            except Exception as raised:
                problem = raised
            if self._stopping.is_set():
                return
            times = 1 if loop.time() - started >= RECOVERED else times + 1
            pause = min(PAUSE_CEILING, PAUSE_FIRST * 2.0 ** min(times - 1, 10))
            _log.error(
                "a part ended by itself and is started again",
                extra={"part": part.name, "times": times, "pause_s": pause},
                exc_info=problem,
            )
            self._restarts.labels(part.name).inc()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
