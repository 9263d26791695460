"""The policies of a cron job: what holds for its firings, each as it is sent and as it is shown.

Invariant: pure. A policy that stands in `Policies` and in `ShownPolicies` is stored, shown and changed, and is an
option of the CLI and a parameter of the client, without a line elsewhere. A filter in `CronjobFilters` that is named
as a policy filters by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, TypedDict

from cronally.acknowledgement import MAX_RETRIES
from cronally.clock.dst import DstGap, DstOverlap
from cronally.condition import read_pause_after
from cronally.contract.attribute import DEFAULT, Attribute
from cronally.contract.calendars import EXCLUDE, Exclude
from cronally.contract.values import MAX_NAME, EndsAt, StartsAt, check_name
from cronally.contract.writing import Answer
from cronally.cronjob import (
    DEFAULT_CATCH_UP,
    DEFAULT_MAX_AGE,
    DEFAULT_MISFIRE_GRACE,
    DEFAULT_OVERLAP,
    DEFAULT_RETRY_MAX_ATTEMPTS,
    MAX_FIRINGS,
    NOT_TOLD,
    QUEUED,
    AfterCompletion,
    CatchUp,
    Overlap,
)
from cronally.instants import DAY, MINUTE, format_duration
from cronally.retries import EXPONENTIAL, JITTER, MAX_DELAYS, check_schedule

MAX_FAILURES: Final = 1000
MAX_FAILING: Final = 90 * DAY
MAX_PAUSE_AFTER: Final = 8


def check_pause_after(text: str) -> str:
    """After how many failures, or days of them, a cron job is paused, as it is stored."""
    wanted = read_pause_after(text) if text.isascii() and len(text) <= MAX_PAUSE_AFTER else None
    if text == DEFAULT:
        return text
    if wanted is None:
        raise ValueError(
            "is neither a number of failures, such as 20, nor a number of days, such as 7d; give one"
        )
    if wanted.failures is not None:
        if not 2 <= wanted.failures <= MAX_FAILURES:
            raise ValueError(f"is out of range; give 2 to {MAX_FAILURES:,} failures")
        return str(wanted.failures)
    days = (wanted.span or 0) // DAY
    if not 1 <= days <= MAX_FAILING // DAY:
        raise ValueError(f"is out of range; give 1d to {format_duration(MAX_FAILING)}")
    return f"{days}d"


DstGapPolicy = Annotated[
    Literal["run_at_jump", "skip", "shift", "default"],
    Attribute(
        "What becomes of a fire time whose local time is skipped: it fires at the jump (run_at_jump), not at all"
        " (skip) or as much later (shift); by default what Debian's cron does",
        f"one of {', '.join([*DstGap, DEFAULT])}",
        default=DEFAULT,
    ),
]
DstOverlapPolicy = Annotated[
    Literal["first", "last", "both", "default"],
    Attribute(
        "When it fires where its local time comes twice: the first time, the last time or both; by default what"
        " Debian's cron does",
        f"one of {', '.join([*DstOverlap, DEFAULT])}",
        default=DEFAULT,
    ),
]
_CATCH_UP: Final = Attribute(
    "What becomes of fire times at which no server ran, younger than misfire_grace: the last one fires (latest),"
    " all do, or none (skip)",
    f"one of {', '.join(CatchUp)}",
    default=DEFAULT_CATCH_UP.value,
)
_MISFIRE_GRACE: Final = Attribute(
    "How late a first attempt is still useful, from 1m to 30d",
    "how late a first attempt is still useful, such as 24h",
    example="24h",
    default=DEFAULT_MISFIRE_GRACE,
    minimum=MINUTE,
    maximum=30 * DAY,
)
_MAX_AGE: Final = Attribute(
    "How old a firing may be at an attempt, from 1m to 7d: from its fire time, or from when it was caught up",
    "how old a firing may be at an attempt, such as 24h",
    example="24h",
    default=DEFAULT_MAX_AGE,
    minimum=MINUTE,
    maximum=7 * DAY,
)
_RETRY_MAX_ATTEMPTS: Final = Attribute(
    "How many attempts may follow the first, from 0 to 185",
    "how many attempts may follow the first, from 0 to 185",
    default=DEFAULT_RETRY_MAX_ATTEMPTS,
    minimum=0,
    maximum=185,
)
_ORDERED: Final = Attribute(
    "Whether a firing waits until the earlier ones of the cron job are finished; on a FIFO topic it always does",
    "true or false",
    default=False,
)
_AFTER_COMPLETION: Final = Attribute(
    "What becomes of the cron job when nothing is left to fire: it is kept for 30 days (keep), or deleted once its last"
    " firing has ended (delete)",
    f"one of {', '.join(AfterCompletion)}",
    default=AfterCompletion.KEEP.value,
)
_OVERLAP: Final = Attribute(
    "What becomes of a firing while an earlier one of the cron job is not finished, or with ack_within not"
    f" acknowledged: it is sent (allow), is skipped (skip) or waits (queue), {QUEUED} of them at most",
    f"one of {', '.join(Overlap)}",
    default=DEFAULT_OVERLAP.value,
)
_WINDOW: Final = Attribute(
    "How much later than its fire time a firing may start, up to 24h: at a place that is always the same for this cron"
    " job and fire time, so that cron jobs with the same fire time spread",
    "how much later than its fire time a firing may start, such as 10m",
    example="10m",
    default=0,
    minimum=0,
    maximum=DAY,
)
_MAX_FIRINGS: Final = Attribute(
    "How many of its fire times are handed to its target before it is completed, counted from its creation; those that"
    " are missed, or skipped as they fall due, and manual firings do not count, and those that a freeze or an earlier"
    " firing keeps from going do; by default there is no limit",
    "how many fire times it is to have, or default",
    example=10,
    default=DEFAULT,
    minimum=1,
    maximum=MAX_FIRINGS,
)
_RETRY_SCHEDULE: Final = Attribute(
    "How far apart attempts are: exponential, as in EventBridge Scheduler, with full jitter; or the delays before the"
    f" retries, up to {MAX_DELAYS} of 1s to 24h, of which the last one repeats, and up to {JITTER:.0%} more by chance",
    "exponential, or delays such as 10s,1m,10m,1h",
    example=("10s", "1m", "10m", "1h"),
    default=EXPONENTIAL,
    check=check_schedule,
    min_length=1,
    max_length=MAX_DELAYS,
    one_or_more=True,
)
_Delay = Annotated[str, Attribute("", "exponential, or a delay such as 10s", max_length=1000)]
_MAX_IN_FLIGHT: Final = Attribute(
    "How many of its firings a server sends at once; more of them wait. By default there is no limit of its own",
    "how many firings at once, or default",
    example=4,
    default=DEFAULT,
    minimum=1,
    maximum=1000,
)
_MAX_PER_SECOND: Final = Attribute(
    "How many of its firings a server begins to send in a second; more of them wait. By default there is no limit of"
    " its own",
    "how many firings a second, or default",
    example=10,
    default=DEFAULT,
    minimum=1,
    maximum=1000,
)
_DEAD_LETTER: Final = Attribute(
    "The cron job that tells of each firing that has failed, by its name or id: its target gets the reason, the"
    f" attempts and the message; or {NOT_TOLD}: nothing is told. By default the one that the account names tells, if"
    " it names one",
    f"the name or the id of another cron job, {NOT_TOLD} or default",
    example="tell the owner",
    default=DEFAULT,
    check=check_name,
    min_length=1,
    max_length=MAX_NAME,
)
_ACK_WITHIN: Final = Attribute(
    "In what time after it was delivered a firing is to be acknowledged by its receiver, up to 7d; with its message"
    " goes the URL for that. By default no acknowledgement is asked for (0s)",
    "in what time after its delivery a firing is to be acknowledged, such as 15m, or 0s",
    example="15m",
    default=0,
    minimum=0,
    maximum=7 * DAY,
)
_ACK_RETRY: Final = Attribute(
    "How often a firing is delivered again that is not acknowledged in time, from 0 to"
    f" {MAX_RETRIES}; after that it is overdue",
    f"how often to deliver again what is not acknowledged, from 0 to {MAX_RETRIES}",
    default=0,
    minimum=0,
    maximum=MAX_RETRIES,
)
_MIN_DURATION: Final = Attribute(
    "How long the work of a firing takes at least, less than ack_within: one that is acknowledged sooner is marked as"
    " too fast. By default none is (0s)",
    "how long the work takes at least, such as 30s",
    example="30s",
    default=0,
    minimum=0,
    maximum=7 * DAY,
)


_PAUSE_AFTER: Final = Attribute(
    "When the server pauses the cron job: after so many failures in a row, 2 to 1000, such as 20; or after so many days"
    " of nothing but failures, 1d to 90d, such as 7d. Rules with on_paused_by_server warn of it before. By default it"
    " never does",
    "a number of failures, a number of days such as 7d, or default",
    example="7d",
    default=DEFAULT,
    check=check_pause_after,
    min_length=1,
    max_length=8,
)


class Policies(TypedDict, total=False):
    """What holds for every firing of a cron job, beside its expression and its time zone."""

    dst_gap: DstGapPolicy
    dst_overlap: DstOverlapPolicy
    catch_up: Annotated[Literal["latest", "all", "skip"], _CATCH_UP]
    misfire_grace: Annotated[str | timedelta, _MISFIRE_GRACE]
    max_age: Annotated[str | timedelta, _MAX_AGE]
    retry_max_attempts: Annotated[int, _RETRY_MAX_ATTEMPTS]
    ordered: Annotated[bool, _ORDERED]
    after_completion: Annotated[Literal["keep", "delete"], _AFTER_COMPLETION]
    overlap: Annotated[Literal["allow", "skip", "queue"], _OVERLAP]
    window: Annotated[str | timedelta, _WINDOW]
    starts_at: StartsAt
    ends_at: EndsAt
    max_firings: Annotated[Literal["default"] | int, _MAX_FIRINGS]
    exclude: Exclude
    retry_schedule: Annotated[str | list[_Delay], _RETRY_SCHEDULE]
    max_in_flight: Annotated[Literal["default"] | int, _MAX_IN_FLIGHT]
    max_per_second: Annotated[Literal["default"] | int, _MAX_PER_SECOND]
    dead_letter: Annotated[str, _DEAD_LETTER]
    ack_within: Annotated[str | timedelta, _ACK_WITHIN]
    ack_retry: Annotated[int, _ACK_RETRY]
    min_duration: Annotated[str | timedelta, _MIN_DURATION]
    pause_after: Annotated[str, _PAUSE_AFTER]


@dataclass(frozen=True, kw_only=True)
class ShownPolicies(Answer):
    """The policies of a cron job in an answer, and what they have come to. Those for changes of the clock stand beside
    its time zone."""

    catch_up: Annotated[str, _CATCH_UP]
    misfire_grace: Annotated[str, _MISFIRE_GRACE]
    max_age: Annotated[str, _MAX_AGE]
    retry_max_attempts: Annotated[int, _RETRY_MAX_ATTEMPTS]
    ordered: Annotated[bool, _ORDERED]
    after_completion: Annotated[str, _AFTER_COMPLETION]
    overlap: Annotated[str, _OVERLAP]
    window: Annotated[str, _WINDOW]
    starts_at: Annotated[
        datetime | None, Attribute("The first instant at which it may fire", example="2026-12-01T00:00:00Z")
    ] = None
    ends_at: Annotated[
        datetime | None, Attribute("The last instant at which it may fire", example="2026-12-31T23:59:59Z")
    ] = None
    max_firings: Annotated[
        int | None, Attribute("How many of its fire times are handed to its target at most", minimum=1)
    ] = None
    fired: Annotated[
        int,
        Attribute("How many of its fire times were handed to its target since it was created", minimum=0),
    ] = 0
    exclude: Annotated[tuple[str, ...], EXCLUDE] = ()
    retry_schedule: Annotated[str | tuple[_Delay, ...], _RETRY_SCHEDULE] = EXPONENTIAL
    retries: Annotated[
        str | None,
        Attribute(
            "How a firing is tried again that its target did not take, in words: what retry_schedule,"
            " retry_max_attempts and max_age come to",
            example="up to 26 more attempts in 24 h: after 10 s, 1 min, 10 min, 1 h, then every 1 h",
        ),
    ] = None
    max_in_flight: Annotated[
        int | None, Attribute("How many of its firings a server sends at once at most", minimum=1)
    ] = None
    max_per_second: Annotated[
        int | None,
        Attribute("How many of its firings a server begins to send in a second at most", minimum=1),
    ] = None
    dead_letter: Annotated[
        str | None,
        Attribute(
            f"The id of the cron job that tells of what has failed, or {NOT_TOLD}; null: the one that the account"
            " names",
            example="f4b0bd0c-3e0a-4b8b-9d0e-0b6a8c1c9a54",
        ),
    ] = None
    ack_within: Annotated[str, _ACK_WITHIN] = "0s"
    ack_retry: Annotated[int, _ACK_RETRY] = 0
    min_duration: Annotated[str, _MIN_DURATION] = "0s"
    pause_after: Annotated[str | None, _PAUSE_AFTER] = None
