"""What happens to a fire time that a change of the clock leaves out, or brings twice: the choices and their names.

Invariant: the default is what Debian's cron does. A *fixed-time job* that falls into a gap fires at the jump, and in
a repeated hour it fires the first time only; a *wildcard job* follows the real minutes: it fires at none that does
not exist, and at all that do.

Source: the four cases of `cron.c` of Debian's cron 3.0pl1. It counts in minutes from the last one it was awake:
forward by more than 180, or back by 180 or more, is a new clock rather than daylight saving, and so is
nothing to make up for. A jump leaves the minute before it and lands on the one after: 179 skipped minutes are the
most that are caught up, 180 repeated ones the most that are held back.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class DstGap(StrEnum):
    """What becomes of a fire time whose local time is skipped."""

    RUN_AT_JUMP = "run_at_jump"
    """It fires at the instant of the jump; all that one gap skips are one firing."""
    SKIP = "skip"
    """It does not fire."""
    SHIFT = "shift"
    """It fires as much later as the clock was set forward: 02:30 at 03:30."""


class DstOverlap(StrEnum):
    """At which of the two instants that have its local time a fire time fires."""

    FIRST = "first"
    LAST = "last"
    BOTH = "both"


LONGEST_GAP: Final = 3 * 3600 - 1
"""A gap of more seconds is not made up for."""

LONGEST_OVERLAP: Final = 3 * 3600
"""Of an overlap of more seconds nothing is held back."""


def policy(wildcard: bool, gap: DstGap | None, overlap: DstOverlap | None) -> tuple[DstGap, DstOverlap]:
    """What applies: what was chosen, else what Debian's cron does with such a job."""
    if wildcard:
        return gap or DstGap.SKIP, overlap or DstOverlap.BOTH
    return gap or DstGap.RUN_AT_JUMP, overlap or DstOverlap.FIRST
