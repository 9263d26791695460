"""What happens to fire times whose local time is skipped or repeated by a change of the clock.

Invariant: `decide` is the only place that decides this. Firing, counting, previews, explanations and the rows of the
ledger read its decisions. The default is what Debian's cron does. A *fixed-time job* whose local time is skipped
fires at the jump; one whose local time is repeated fires the first time only. A *wildcard job* follows the real
minutes: it does not fire at a local time that is skipped, and fires both times at one that is repeated.

Source: the four cases of `cron.c` of Debian's cron 3.0pl1. It compares the clock with the minute that it ran last.
A clock that is set forward by more than 180 minutes, or back by 180 or more, is a new clock and not daylight saving:
nothing is caught up and nothing is held back. So at most 179 skipped minutes are caught up, and at most 180
repeated minutes are held back.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from cronally.clock.tzif import Change
from cronally.firing import Reason


class DstGap(StrEnum):
    """What happens to a fire time whose local time is skipped."""

    RUN_AT_JUMP = "run_at_jump"
    """It fires at the instant of the jump. All fire times that one gap skips become one firing."""
    SKIP = "skip"
    """It does not fire."""
    SHIFT = "shift"
    """It fires later, by as much as the clock was set forward: 02:30 fires at 03:30."""


class DstOverlap(StrEnum):
    """At which of the two instants with its local time a repeated fire time fires."""

    FIRST = "first"
    LAST = "last"
    BOTH = "both"


class Mark(StrEnum):
    """What a change of the clock does with a fire time."""

    MOVED = "moved"
    """Its local time does not exist on that day, and it fires at another."""
    DOUBLED = "doubled"
    """Its local time comes for the second time, and it fires again."""
    SUPPRESSED = "suppressed"
    """It does not fire."""


_LONGEST_GAP: Final = 3 * 3600 - 1
"""The longest gap, in seconds, that a policy applies to."""

_LONGEST_OVERLAP: Final = 3 * 3600
"""The longest overlap, in seconds, that a policy applies to."""


class Policy(NamedTuple):
    """What is done in a gap and in an overlap."""

    gap: DstGap
    overlap: DstOverlap
    real_gaps: bool
    """The gap was not chosen for a wildcard job: it follows the real minutes."""
    real_overlaps: bool
    """The same for the overlap."""


def policy(wildcard: bool, gap: DstGap | None, overlap: DstOverlap | None) -> Policy:
    """The policy that applies: what was chosen, else what Debian's cron does with such a job."""
    if wildcard:
        return Policy(gap or DstGap.SKIP, overlap or DstOverlap.BOTH, gap is None, overlap is None)
    return Policy(gap or DstGap.RUN_AT_JUMP, overlap or DstOverlap.FIRST, False, False)


class Decision(NamedTuple):
    """What one policy does at one change of the offset. Seconds since 1970; civil seconds are local ones."""

    at: int
    """The instant of the change."""
    before: int
    """The offset before it."""
    offset: int
    """The offset from `at` on."""
    start: int
    """The first civil second that the change skips or repeats."""
    stop: int
    """The civil second after the last that the change skips or repeats."""
    mark: Mark
    """What happens to the fire times in [start, stop): for repeated ones, to one of the two."""
    reason: Reason
    fires_until: int
    """Civil times fire by the offset before the change up to this instant, not included; `at` where all do."""
    fires_from: int
    """Civil times fire by the offset after the change from this instant on; `at` where all do."""
    moved_until: int
    """Moved fire times lie in [at, moved_until); `at` where none is moved."""
    together: bool
    """All moved fire times fire at `at`. Else each fires as if the clock had not changed."""

    def sources(self, first: int, until: int) -> tuple[int, int]:
        """The civil seconds, from and until, that are moved to [first, until), which lies in [at, moved_until)."""
        return (self.start, self.stop) if self.together else (first + self.before, until + self.before)

    def moved(self, civil: int) -> int:
        """The instant at which a skipped civil second fires."""
        return self.at if self.together else civil - self.before

    @property
    def doubled_until(self) -> int:
        """An overlap repeats local times at the instants in [at, doubled_until)."""
        return self.stop - self.offset

    @property
    def suppressed_offset(self) -> int | None:
        """The offset by which what is suppressed would be instants; None in a gap, where nothing is an instant."""
        if self.fires_until < self.at:
            return self.before
        return self.offset if self.fires_from > self.at else None


def decide(change: Change, policy: Policy) -> Decision:
    """What a policy does with the fire times that a change of the offset skips or repeats."""
    at, before, offset = change
    mark, reason = _effect(offset - before, policy)
    fires_until = fires_from = moved_until = at
    length = abs(offset - before)
    match reason:
        case Reason.DST_GAP_RUN_AT_JUMP:
            moved_until = at + 1
        case Reason.DST_GAP_SHIFT:
            moved_until = at + length
        case Reason.DST_OVERLAP_FIRST:
            fires_from = at + length
        case Reason.DST_OVERLAP_LAST:
            fires_until = at - length
    start = at + min(before, offset)
    together = reason is Reason.DST_GAP_RUN_AT_JUMP
    return Decision(
        *change, start, start + length, mark, reason, fires_until, fires_from, moved_until, together
    )


def _effect(forward: int, policy: Policy) -> tuple[Mark, Reason]:
    """:param forward: by how many seconds the clock is set forward; negative where it is set back"""
    if forward > 0 and policy.real_gaps:
        return Mark.SUPPRESSED, Reason.REAL_MINUTES
    if forward > _LONGEST_GAP:
        return Mark.SUPPRESSED, Reason.NEW_CLOCK
    if forward < -_LONGEST_OVERLAP:
        return Mark.DOUBLED, Reason.NEW_CLOCK
    if forward < 0 and policy.real_overlaps:
        return Mark.DOUBLED, Reason.REAL_MINUTES
    return _GAPS[policy.gap] if forward > 0 else _OVERLAPS[policy.overlap]


_GAPS: Final = {
    DstGap.RUN_AT_JUMP: (Mark.MOVED, Reason.DST_GAP_RUN_AT_JUMP),
    DstGap.SKIP: (Mark.SUPPRESSED, Reason.DST_GAP_SKIP),
    DstGap.SHIFT: (Mark.MOVED, Reason.DST_GAP_SHIFT),
}
_OVERLAPS: Final = {
    DstOverlap.FIRST: (Mark.SUPPRESSED, Reason.DST_OVERLAP_FIRST),
    DstOverlap.LAST: (Mark.SUPPRESSED, Reason.DST_OVERLAP_LAST),
    DstOverlap.BOTH: (Mark.DOUBLED, Reason.DST_OVERLAP_BOTH),
}
