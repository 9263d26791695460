"""A cron job: when it fires, the states that it goes through, and the policies for fire times that came too late."""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cronally.instants import DAY
from cronally.retries import EXPONENTIAL, Delays, read_schedule

if TYPE_CHECKING:
    from cronally.clock.timetable import Timetable


class State(StrEnum):
    """Where a cron job stands. Only an active one has a `next_fire_at`."""

    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    DELETED = "deleted"


class CatchUp(StrEnum):
    """What happens to fire times at which no server ran (older than `ON_TIME`, younger than the grace)."""

    LATEST = "latest"
    """The last of them fires, unless a fire time that is still on time does."""
    ALL = "all"
    SKIP = "skip"


class Overlap(StrEnum):
    """What becomes of a firing while an earlier one of the cron job is not finished."""

    ALLOW = "allow"
    """It is sent."""
    SKIP = "skip"
    """It is skipped, unless it was attempted before."""
    QUEUE = "queue"
    """It waits, unless `QUEUED` of them do."""


class AfterCompletion(StrEnum):
    """What becomes of a cron job that has nothing left to fire."""

    KEEP = "keep"
    """It is deleted after `KEEP_COMPLETED`."""
    DELETE = "delete"
    """It is deleted once its last firing has ended."""


MAX_PAUSE: Final = 3653 * DAY
"""Ten years: how far ahead a pause may say that it ends. Microseconds."""
KEEP_COMPLETED: Final = 30 * DAY
"""Microseconds."""
DEFAULT_CATCH_UP: Final = CatchUp.LATEST
DEFAULT_MISFIRE_GRACE: Final = DAY
DEFAULT_MAX_AGE: Final = DAY
"""Microseconds."""
DEFAULT_RETRY_MAX_ATTEMPTS: Final = 185
DEFAULT_OVERLAP: Final = Overlap.ALLOW
QUEUED: Final = 10
"""Firings of a cron job that wait for an earlier one at once, at most."""
MAX_EXPRESSIONS: Final = 10
"""So many expressions one cron job may have."""
MAX_FIRINGS: Final = 1_000_000_000
NOT_TOLD: Final = "none"
"""Of `dead_letter`: what fails is told by none, whatever the account says."""
_BETWEEN: Final = "\n"
"""What stands between the expressions of one cron job where they are stored: no expression holds it."""


def join_expressions(texts: Iterable[str]) -> str:
    """The expressions of a cron job as one text, as they are stored."""
    return _BETWEEN.join(texts)


def expressions_of(cron: str) -> list[str]:
    """The expressions in a text of `join_expressions`."""
    return cron.split(_BETWEEN)


class Timing(NamedTuple):
    """What decides when a cron job fires, as it is stored."""

    cron: str
    """The expressions, as `join_expressions` joins them, each with single spaces."""
    timezone: str
    """An IANA name."""
    dst_gap: str | None
    """A `DstGap`; None: Debian's rule."""
    dst_overlap: str | None
    """A `DstOverlap`; None: Debian's rule."""
    starts_at: int | None = None
    """The first instant at which it may fire, and what intervals are counted from; None: its creation."""
    ends_at: int | None = None
    """The last instant at which it may fire; None: there is no end."""

    @classmethod
    def of(cls, cron: str, timezone: str, policies: Policies) -> Timing:
        """When a cron job with these policies fires."""
        return cls(
            cron,
            timezone,
            policies.dst_gap,
            policies.dst_overlap,
            policies.starts_at,
            policies.ends_at,
        )

    def timetable(self, key: str | None, anchor: int | None) -> Timetable:
        """The timetable of the cron job with the id `key` that was created at the instant `anchor`.

        Raises InvalidExpression for an expression, ValueError for a zone or a policy.
        """
        # Here, so that the client, which reads states and policies, does not import the parsers.
        from cronally.clock.timetable import timetable

        return timetable(
            self.cron,
            self.timezone,
            dst_gap=self.dst_gap,
            dst_overlap=self.dst_overlap,
            starts_at=self.starts_at,
            ends_at=self.ends_at,
            key=key,
            anchor=anchor,
        )


class Policies(NamedTuple):
    """What planning and sending read of a cron job's policies. The names are those in the JSON that is stored."""

    dst_gap: str | None = None
    """None: Debian's rule."""
    dst_overlap: str | None = None
    """None: Debian's rule."""
    catch_up: str = DEFAULT_CATCH_UP
    misfire_grace: int = DEFAULT_MISFIRE_GRACE
    """Microseconds."""
    max_age: int = DEFAULT_MAX_AGE
    """Microseconds."""
    retry_max_attempts: int = DEFAULT_RETRY_MAX_ATTEMPTS
    """Attempts after the first."""
    ordered: bool = False
    """As it was sent: a FIFO topic keeps the order anyhow (`contract.order`)."""
    overlap: str = DEFAULT_OVERLAP
    window: int = 0
    """Microseconds."""
    starts_at: int | None = None
    ends_at: int | None = None
    """Instants."""
    max_firings: int | None = None
    exclude: tuple[str, ...] | None = None
    """Dates, ranges of dates and names of calendars, in sorted order."""
    retry_schedule: str | Delays = EXPONENTIAL
    """The word, or delays in microseconds, of which the last one repeats."""
    max_in_flight: int | None = None
    max_per_second: int | None = None
    dead_letter: str | None = None
    """The id of the cron job that tells of what has failed, or `NOT_TOLD`; None: the one that the account names."""
    ack_within: int = 0
    """Microseconds from the delivery; 0: no acknowledgement is asked for."""
    ack_retry: int = 0
    min_duration: int = 0
    """Microseconds."""

    @property
    def retry_delays(self) -> Delays:
        """The delays that were listed; none for the exponential schedule."""
        return () if isinstance(self.retry_schedule, str) else self.retry_schedule


def read_object(text: str) -> dict[str, Any] | None:
    """The object in a text of JSON; None where there is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


@lru_cache(maxsize=20_000)
def read_policies(text: str) -> Policies:
    """The policies in a JSON object. Names that are not known are ignored, absent ones have their default.

    Raises nothing, so that one bad row cannot stop a tick: a text that cannot be read comes back as the `dst_gap`,
    which every timetable refuses, and the scheduler sets the cron job aside. Its firings are sent by the defaults.
    """
    found = read_object(text)
    if found is not None:
        excluded = found.get("exclude")
        if type(excluded) is list and all(type(entry) is str for entry in excluded):
            found["exclude"] = tuple(excluded)
        if type(found.get("retry_schedule")) is list:
            found["retry_schedule"] = read_schedule(found["retry_schedule"])
        policies = Policies(**{name: found[name] for name in Policies._fields if name in found})
        if all(type(value) in types for value, types in zip(policies, _TYPES, strict=True)):
            return policies
    return Policies(dst_gap=text)


_TEXT: Final = (str, NoneType)
_NUMBER: Final = (int, NoneType)
_TYPES: Final = (
    *(_TEXT, _TEXT, (str, CatchUp), (int,), (int,), (int,), (bool,)),
    *((str, Overlap), (int,), _NUMBER, _NUMBER, _NUMBER, (tuple, NoneType), (str, tuple)),
    *(_NUMBER, _NUMBER, _TEXT),
    *((int,), (int,), (int,)),
)


class Timed:
    """A row with what decides when a cron job fires, under the names of the table's columns."""

    __slots__ = ()
    cron: str
    timezone: str
    policies: str

    @property
    def timing(self) -> Timing:
        """When it fires, if it is active."""
        return Timing.of(self.cron, self.timezone, read_policies(self.policies))

    @property
    def exclude(self) -> tuple[str, ...]:
        """On which dates it does not fire: dates, ranges and names of calendars."""
        return read_policies(self.policies).exclude or ()


class Counted(Timed):
    """A row of a cron job that says how often it has fired, under the name of the table's column."""

    __slots__ = ()
    fired: int

    @property
    def is_used_up(self) -> bool:
        """Whether it has fired as often as `max_firings` lets it: it has no next fire time, whatever its timetable."""
        most = read_policies(self.policies).max_firings
        return most is not None and self.fired >= most
