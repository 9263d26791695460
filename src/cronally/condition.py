"""Conditions: what may be wrong with a cron job or a connection, and how one begins, is told, and ends.

Invariant: pure. Whatever happens in whatever order, what is told of a condition is a beginning and an end in turn, and
a reminder only between them. What ends before its beginning was told is told with both, or, in quiet hours, with
neither; what begins again before its end was told has not ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from cronally.instants import DAY, MINUTE, SECOND

GATHERED: Final = 10 * SECOND
"""How long what begins, or ends, waits for others with the same cause. Microseconds."""
APART: Final = 5 * MINUTE
"""How far apart alerts of one kind with the same cause are at least: those that join a storm are told together."""
LOOKED: Final = MINUTE
"""How often what nothing announces the end of is looked at."""
NEAR: Final = 4
"""A pause of the server's own is told of when all but one in so many of the days of it are over."""


class Name(StrEnum):
    """What may be wrong."""

    FAILING = "failing"
    """Of a cron job: its last firings, as many as a rule says, failed."""
    LATE = "late"
    """Of a cron job: its last firing was delivered later than a rule allows."""
    MISSED = "missed"
    """Of a cron job: fire times were given up; nothing was delivered since."""
    HELD = "held"
    """Of a connection: its credentials are refused, and what uses it is held."""
    OVERDUE = "overdue"
    """Of a cron job: a firing was not acknowledged in time; none was acknowledged since."""
    ACK_FAILED = "ack_failed"
    """Of a cron job: the receiver said that the work of a firing failed; none was acknowledged since."""
    PAUSED_BY_SERVER = "paused_by_server"
    """Of a cron job: the server paused it. Before that: it counts how near that is."""


class Phase(StrEnum):
    """How far a condition has come."""

    COUNTING = "counting"
    """It is none yet: failures are counted."""
    WARNED = "warned"
    """It is none yet, and its owner was told that it will be."""
    STOPPING = "stopping"
    """It is none yet: the server is to pause the cron job."""
    BEGUN = "begun"
    """It stands, and its beginning is to be told."""
    BRIEF = "brief"
    """It has ended, and its beginning and its end are to be told."""
    STANDING = "standing"
    """It stands, and its beginning was told."""
    ENDED = "ended"
    """It has ended, and its end is to be told."""


STANDS: Final = (Phase.BEGUN, Phase.STANDING)
NONE_YET: Final = (Phase.COUNTING, Phase.WARNED, Phase.STOPPING)


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition of one subject, or what is counted of one that may come."""

    phase: Phase
    since: int
    """The fire time, or the instant, of the first that it counts."""
    count: int
    """How many firings, or fire times, say so."""
    last: int
    """When it was last said."""
    reason: str | None = None
    """What the last one said."""
    ended_at: int | None = None
    due_at: int | None = None
    """When its beginning, its end or a reminder is to be told."""
    cause: str = ""
    """What else may be so for the same reason."""
    rule_id: str | None = None
    """The rule by which it began, which says where it is told."""


@dataclass(frozen=True, slots=True)
class Said:
    """What something that happened says for a condition."""

    at: int
    """When it happened."""
    since: int
    """The fire time that it happened to; the same instant where it happened to none."""
    reason: str | None = None
    count: int = 1
    """How many fire times it happened to."""


def after_more(before: Condition | None, said: Said, most: int, cause: str, rule_id: str) -> Condition:
    """A condition after one more thing that speaks for it.

    :param most: how many of them in a row make it one
    """
    if before is None or before.phase is Phase.ENDED or before.phase is Phase.BRIEF:
        if before is not None:
            # It has not ended: what was told of it stays true, and so does what is to be told.
            back = Phase.STANDING if before.phase is Phase.ENDED else Phase.BEGUN
            due_at = None if back is Phase.STANDING else before.due_at
            before = replace(before, phase=back, ended_at=None, due_at=due_at)
        else:
            before = Condition(Phase.COUNTING, said.since, 0, said.at)
    after = replace(before, count=before.count + said.count, last=said.at, reason=said.reason)
    if before.phase is not Phase.COUNTING or after.count < most:
        return after
    return replace(after, phase=Phase.BEGUN, due_at=said.at + GATHERED, cause=cause, rule_id=rule_id)


def after_end(before: Condition | None, at: int, *, quiet: bool) -> Condition | None:
    """A condition after something that speaks against it; None: there is none.

    :param quiet: whether it happened in the quiet hours of its rule
    """
    if before is None or before.phase in NONE_YET:
        return None
    if before.phase is Phase.BEGUN:
        return None if quiet else replace(before, phase=Phase.BRIEF, ended_at=at)
    if before.phase is Phase.STANDING:
        return replace(before, phase=Phase.ENDED, ended_at=at, due_at=at + GATHERED)
    return before


AFTER_TOLD: Final[Mapping[Phase, Phase | None]] = {
    Phase.WARNED: Phase.WARNED,
    Phase.STOPPING: Phase.STOPPING,
    Phase.BEGUN: Phase.STANDING,
    Phase.BRIEF: Phase.ENDED,
    Phase.STANDING: Phase.STANDING,
    Phase.ENDED: None,
}
"""What becomes of a condition once what was due of it is told; None: it is over. The end of a brief one is due next."""


class Telling(StrEnum):
    """What is told of conditions. What stands in one group is told in one alert, where it has one cause."""

    WARNING = "warning"
    BEGINNING = "beginning"
    REMINDER = "reminder"
    END = "end"


TOLD_IN: Final[Mapping[Telling, tuple[Phase, ...]]] = {
    Telling.BEGINNING: (Phase.BEGUN, Phase.BRIEF),
    Telling.END: (Phase.ENDED,),
    Telling.WARNING: (Phase.WARNED, Phase.STOPPING),
    Telling.REMINDER: (Phase.STANDING,),
}
"""The phases in which it is due. A beginning goes before the end that follows it."""


@dataclass(frozen=True, slots=True)
class PauseAfter:
    """When the server pauses a cron job that does nothing but fail."""

    failures: int | None = None
    """After so many in a row."""
    span: int | None = None
    """After so long without another outcome. Microseconds."""

    def is_reached(self, counted: Condition) -> bool:
        """Whether that is so."""
        if self.failures is not None:
            return counted.count >= self.failures
        return self.span is not None and counted.last - counted.since >= self.span

    def is_near(self, counted: Condition) -> bool:
        """Whether that may soon be so: one failure before it, or when a quarter of the time is left."""
        if self.failures is not None:
            return counted.count >= self.failures - 1
        return self.span is not None and counted.last - counted.since >= self.span - self.span // NEAR


def read_pause_after(text: str | None) -> PauseAfter | None:
    """The policy as it is stored: a number of failures, or of days as `7d`. None for what is neither."""
    if not text:
        return None
    if text.isdecimal():
        return PauseAfter(failures=int(text))
    number, unit = text[:-1], text[-1]
    return PauseAfter(span=int(number) * DAY) if unit == "d" and number.isdecimal() else None


def after_failure(before: Condition | None, said: Said, policy: PauseAfter) -> Condition:
    """What is counted towards a pause after one more failure.

    Nobody's cron job is paused without having been warned of at an earlier failure.
    """
    # A pause is counted from when firings ended: what is sent late may have a fire time of last week.
    before = before or Condition(Phase.COUNTING, said.at, 0, said.at)
    if before.phase not in NONE_YET:
        return before
    after = replace(before, count=before.count + 1, last=said.at, reason=said.reason)
    reached = policy.is_reached(after)
    if before.phase is Phase.COUNTING and (reached or policy.is_near(after)):
        return replace(after, phase=Phase.WARNED)
    return replace(after, phase=Phase.STOPPING) if before.phase is Phase.WARNED and reached else after
