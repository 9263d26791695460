"""Which readings of the store's clock are believed: a jump forward has to last before anything goes by it.

Invariant: the time to go by never advances by more than what has passed in truth and `BOUND` in one step, unless the
clock has stood by its jump for `PATIENCE`, another node goes by it already, or this process has just started. A clock
that goes back is followed at once: nothing fires early by that. Safe to be used by several threads.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cronally.instants import MINUTE, SECOND, format_iso

BOUND: Final = 2 * SECOND
"""A step of the clock that is followed without a question: NTP's are shorter than a second, a leap second is one."""
PATIENCE: Final = 15 * MINUTE
"""How long a clock has to stand by a jump forward until it is believed: NTP corrects its own mistakes sooner."""

_log = logging.getLogger(__name__)


def elapsed() -> int:
    """Microseconds that have passed since some instant, the time that the machine slept among them.

    Linux's monotonic clock stands still while a machine is suspended, and the wall clock does not; its boot-time clock
    counts both. On macOS the monotonic clock of the C library counts both, too.
    """
    return time.clock_gettime_ns(_ELAPSED) // 1000


_ELAPSED: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A jump forward that is not believed yet."""

    offset: int
    since: int


@dataclass(frozen=True, slots=True)
class _Left:
    """What the clock went by before it went back."""

    offset: int
    at: int


class Timekeeper:
    """Compares the readings of one clock with the time that passes in this process.

    What is kept of a clock is its offset: its reading less the time that has passed by `elapsed`. It is the same for
    as long as the clock runs as time does.
    """

    def __init__(self, elapsed: Callable[[], int] = elapsed) -> None:
        """
        :param elapsed: microseconds since any instant, the same until the process ends; never goes back
        """
        self._elapsed = elapsed
        self._lock = threading.Lock()
        self._known = False  # whether the clock was ever asked
        self._offset = 0
        self._began = 0
        self._doubt: _Doubt | None = None
        self._left: _Left | None = None
        self._leapt_at: int | None = None
        self._told_at: int | None = None
        self.jumps = 0
        """How many jumps forward were not believed at first."""

    def elapsed(self) -> int:
        """Microseconds that have passed since some instant."""
        return self._elapsed()

    def judge(self, reading: int, before: int) -> int:
        """The instant to go by, which is the reading or earlier.

        :param reading: the instant by the clock
        :param before: what `elapsed` was before the clock was asked
        """
        with self._lock:
            after = self._elapsed()
            # The clock was read at some time between the two: a slow answer is no jump.
            least, most = reading - after, reading - before
            if not self._known:
                self._known = True
                self._begin(least, after)
                return reading
            if least > self._offset + BOUND and not self._returns(least, after):
                return self._hold(reading, least, before, after)
            if self._doubt is not None:
                self._doubt = None
                _log.warning("the clock is back: nothing went by its jump")
            if most < self._offset - BOUND:
                self._go_back(reading, most, after)
            else:
                self._offset = min(max(self._offset, least), most)
            return reading

    def time(self) -> int | None:
        """The instant to go by, without asking the clock; None before it was asked once."""
        return self._offset + self._elapsed() if self._known else None

    @property
    def ahead(self) -> int:
        """By how many microseconds the clock is ahead of the time that is gone by; 0 while it is believed."""
        doubt = self._doubt
        return 0 if doubt is None else doubt.offset - self._offset

    @property
    def steady_for(self) -> int:
        """Microseconds since the process started, or the clock last went back or leapt."""
        return self._elapsed() - self._began

    @property
    def since_leap(self) -> float:
        """Seconds since the time to go by last leapt forward."""
        return math.inf if self._leapt_at is None else (self._elapsed() - self._leapt_at) / SECOND

    def believe(self, why: str) -> None:
        """Go by the clock as it stands.

        :param why: for the log
        """
        with self._lock:
            if self._doubt is not None:
                self._believe(self._doubt, why, self._elapsed())

    def hold_at(self, now: int) -> None:
        """Go by another time than the clock, which is ahead of it, for other nodes do.

        :param now: the instant by those
        """
        with self._lock:
            after = self._elapsed()
            if self._known and self._offset > now - after + BOUND:
                self._doubt = _Doubt(self._offset, after)
                self._offset, self._began = now - after, after
                self._tell(self._doubt.offset + after)

    def _begin(self, offset: int, after: int) -> None:
        self._offset, self._began = offset, after

    def _returns(self, offset: int, after: int) -> bool:
        """Whether the clock only goes back to where it was for long and until lately: it was behind for a moment."""
        left = self._left
        if left is None or after - left.at > PATIENCE or offset > left.offset + BOUND:
            return False
        self._left = None
        self._begin(offset, after)
        _log.warning("the clock was behind for a moment, and is back")
        return True

    def _hold(self, reading: int, offset: int, before: int, after: int) -> int:
        doubt = self._doubt
        if doubt is None or abs(offset - doubt.offset) > BOUND:
            self.jumps += doubt is None
            self._doubt = _Doubt(offset, after)
            self._tell(reading)
        elif after - doubt.since >= PATIENCE:
            self._believe(doubt, "it has stood by it for long", after)
            return reading
        return self._offset + before

    def _tell(self, reading: int) -> None:
        now = self._elapsed()
        # One that jumps all the time is told once a minute.
        if self._told_at is not None and now - self._told_at < MINUTE:
            return
        self._told_at = now
        _log.error(
            "the clock has jumped ahead, and is not believed yet",
            extra={
                "clock": format_iso(reading),
                "time": format_iso(self._offset + now),
                "ahead_seconds": self.ahead // SECOND,
                "believed_after_seconds": PATIENCE // SECOND,
            },
        )

    def _believe(self, doubt: _Doubt, why: str, after: int) -> None:
        _log.warning(
            "the clock's jump is believed", extra={"ahead_seconds": self.ahead // SECOND, "why": why}
        )
        self._offset, self._began, self._leapt_at = doubt.offset, after, after
        self._doubt = self._left = None

    def _go_back(self, reading: int, offset: int, after: int) -> None:
        _log.warning(
            "the clock went back",
            extra={"clock": format_iso(reading), "seconds": (self._offset - offset) // SECOND},
        )
        if after - self._began >= PATIENCE:
            self._left = _Left(self._offset, after)
        self._begin(offset, after)
