"""Quiet hours: the part of each day, by the clocks of a zone, in which nobody wants to be told anything.

Invariant: pure. They begin and end by local time: where a change of the clock skips an end, they end at the jump; where
it repeats one, they end the first time and come back for as long as the local time is within them again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from cronally.clock import zones
from cronally.instants import SECOND

_FORM: Final = re.compile("([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")
_MINUTE: Final = 60
_DAY: Final = 86400
EXPECTED: Final = "quiet hours are written like 22:00-07:00"


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From when until when."""

    start: int
    end: int
    """Seconds since the midnight of the clock on the wall; the end is not within them."""
    timezone: str

    @classmethod
    def parse(cls, text: str, timezone: str) -> QuietHours:
        """Those of a text such as `22:00-07:00`. Raises ValueError with a sentence."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError(EXPECTED)
        hour, minute, end_hour, end_minute = map(int, match.groups())
        start, end = (hour * 60 + minute) * _MINUTE, (end_hour * 60 + end_minute) * _MINUTE
        if start == end:
            raise ValueError(f"quiet hours end at another time than they begin; {EXPECTED}")
        return cls(start, end, timezone)

    def until(self, now: int) -> int | None:
        """When the quiet hours end that an instant lies in; None outside of them."""
        zone = zones.zone(self.timezone)
        second = at = now // SECOND
        while True:
            span = zone.span(at)
            left = self._left((at + span.offset) % _DAY)
            if left == 0:
                return None if at == second else at * SECOND
            # No further than the offset goes: behind it another local time holds.
            at = min(at + left, span.stop)

    def _left(self, local: int) -> int:
        """How many seconds are left of them at a local time; 0 outside of them."""
        passed, length = (local - self.start) % _DAY, (self.end - self.start) % _DAY
        return length - passed if passed < length else 0
