"""Repeats a step for as long as the process runs: sleeps until there is work, wakes early, never dies.

Invariant: a step that raises is logged and run again after a pause; only `stop` ends the loop, and it ends between
two steps, never inside one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final

from cronally import errors

PAUSE_FIRST: Final = 0.1
PAUSE_CEILING: Final = 5.0
"""Seconds of pause after a first failed step, and after many in a row; never longer than the loop polls."""
TOLD_EACH: Final = 64
"""Of failures in a row, the log gets those whose number is a power of two, and each one that this divides,
and each that is of another kind than the one before."""

_log = logging.getLogger(__name__)


class Loop:
    """One repeated step."""

    def __init__(
        self,
        name: str,
        step: Callable[[], Awaitable[float | None]],
        *,
        poll: float,
        wake: asyncio.Event | None = None,
    ) -> None:
        """
        :param step: returns the seconds after which it wants to run again; 0 for at once, None for at the next poll
        :param poll: the longest sleep, in seconds
        :param wake: ends a sleep when set
        """
        self.name = name
        self._step = step
        self._poll = poll
        self._wake = asyncio.Event() if wake is None else wake
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """End the loop after the step that runs now."""
        self._stopped.set()
        self._wake.set()

    async def run(self) -> None:
        """Repeat the step until `stop`."""
        failures = 0
        kind: type[Exception] | None = None
        while not self._stopped.is_set():
            self._wake.clear()
            try:
                wanted = await self._step()
            except Exception as problem:
                failures += 1
                if failures & (failures - 1) == 0 or failures % TOLD_EACH == 0 or type(problem) is not kind:
                    self._tell(problem, failures)
                kind = type(problem)
                await self._pause(failures)
                continue
            if failures:
                _log.warning("goes on after failures", extra={"loop": self.name, "failures": failures})
            failures, kind = 0, None
            if self._stopped.is_set():
                return
            delay = self._poll if wanted is None else min(wanted, self._poll)
            if delay > 0:
                await self._sleep(delay)
            else:
                await asyncio.sleep(0)

    def _tell(self, problem: Exception, failures: int) -> None:
        extra = {"loop": self.name, "failures": failures}
        if isinstance(problem, errors.Unavailable):
            _log.warning("the database does not answer", extra=extra)
        else:
            _log.error("a step failed", extra=extra, exc_info=problem)

    async def _pause(self, failures: int) -> None:
        """Wait after a failed step. No signal wakes it: a step that fails would run as often as others call."""
        seconds = min(PAUSE_CEILING, self._poll, PAUSE_FIRST * 2 ** min(failures, 10))
        # Jitter: nodes that lost one database do not come back as one.
        seconds *= random.uniform(0.5, 1.0)  # noqa: S311 - not cryptographic
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopped.wait()

    async def _sleep(self, seconds: float) -> None:
        timer = asyncio.get_running_loop().call_later(seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()
