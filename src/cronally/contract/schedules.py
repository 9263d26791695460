"""Schedules on the wire: previews of expressions and cron jobs, and the explanation of an instant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, TypedDict

from cronally.clock.civil import Civil, is_civil, parse_civil
from cronally.clock.dst import Mark
from cronally.contract.attribute import Attribute
from cronally.contract.calendars import Cause, ExcludeDates
from cronally.contract.finding import Finding
from cronally.contract.firings import Firing
from cronally.contract.policies import DstGapPolicy, DstOverlapPolicy
from cronally.contract.reading import read_instant
from cronally.contract.values import (
    AN_INSTANT,
    DEFAULT_COUNT,
    EXAMPLE_INSTANT,
    EXAMPLE_LOCAL,
    MAX_COUNT,
    EndsAt,
    Expression,
    LocalTime,
    Sentence,
    StartsAt,
    Timezone,
    Uuid,
    ZoneData,
    check_spread_id,
)
from cronally.contract.writing import Answer
from cronally.firing import Reason


class Window(TypedDict, total=False):
    """Which fire times are shown."""

    after: Annotated[
        str | datetime,
        Attribute("Fire times later than this instant; now by default", AN_INSTANT, example=EXAMPLE_INSTANT),
    ]
    count: Annotated[
        int,
        Attribute(
            f"How many; {DEFAULT_COUNT} by default",
            "how many fire times to show",
            minimum=1,
            maximum=MAX_COUNT,
        ),
    ]


class PreviewOptions(Window, total=False):
    """What a preview of an expression may have beside it."""

    timezone: Timezone
    dst_gap: DstGapPolicy
    dst_overlap: DstOverlapPolicy
    starts_at: StartsAt
    ends_at: EndsAt
    exclude: ExcludeDates
    id: Annotated[
        str,
        Attribute(
            "The id of the cron job, by which `H` is spread",
            "a cron job's id",
            check=check_spread_id,
            pattern="^[0-9A-Za-z-]{1,100}$",
            min_length=1,
            max_length=100,
        ),
    ]


class ExpressionPreview(PreviewOptions):
    """A preview of an expression, as of a cron job that is created at `after` or now."""

    cron: Expression


def check_moment(text: str) -> int | Civil:
    """The instant that a text names, or the local time that it is without an offset. Raises ValueError."""
    if is_civil(text):
        try:
            return parse_civil(text)
        except ValueError as problem:
            raise ValueError(f"is no local time: {problem}") from None
    try:
        return read_instant(text)
    except ValueError as problem:
        raise ValueError(f"{problem}; or, for the cron job's local time, like {EXAMPLE_LOCAL}") from None


class Question(TypedDict):
    """Which instant is explained."""

    at: Annotated[
        datetime | str,
        Attribute(
            "The instant, to the second; without `Z` or an offset, as"
            f" {EXAMPLE_LOCAL}, it is a local time in the time zone that the cron job has now",
            f"{AN_INSTANT}, or a local time, such as {EXAMPLE_LOCAL}",
            example=EXAMPLE_INSTANT,
            check=check_moment,
            max_length=32,
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class FireTime(Answer):
    """A fire time that lies ahead."""

    scheduled_at: Annotated[datetime, Attribute("The fire time", example=EXAMPLE_INSTANT)]
    local: LocalTime
    mark: Annotated[
        str | Mark | None, Attribute("What a change of the clock made of it, if it did", absent=True)
    ] = None
    reason: Annotated[str | Reason | None, Attribute("Why", example="dst_gap=run_at_jump", absent=True)] = (
        None
    )
    instead_of: Annotated[
        str | None,
        Attribute("If it was moved: the local time, which does not exist, that it stands for", absent=True),
    ] = None
    count: Annotated[
        int | None, Attribute("If it was moved: how many fire times it stands for", minimum=0, absent=True)
    ] = None
    due_at: Annotated[
        datetime | None,
        Attribute("Of a cron job with a window: when it starts", example="2026-11-24T08:03:12Z", absent=True),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Suppressed(Answer):
    """Fire times that one change of the clock leaves out."""

    scheduled_at: Annotated[
        datetime,
        Attribute("When the first would fire; in a gap, when the clock jumps", example=EXAMPLE_INSTANT),
    ]
    until_at: Annotated[datetime, Attribute("When the last would fire", example=EXAMPLE_INSTANT)]
    local: LocalTime
    until_local: Annotated[str, Attribute("The local time of the last", example="2026-03-08T03:00:00-04:00")]
    count: Annotated[int, Attribute("How many one change of the clock leaves out", minimum=0)]
    mark: Annotated[Literal["suppressed"], Attribute("What a change of the clock made of them")] = (
        "suppressed"
    )
    reason: Annotated[str | Reason, Attribute("Why", example="dst_overlap=first")]


@dataclass(frozen=True, kw_only=True)
class Excluded(Answer):
    """Fire times one after the other that one entry of `exclude` leaves out."""

    scheduled_at: Annotated[datetime, Attribute("When the first would fire", example=EXAMPLE_INSTANT)]
    until_at: Annotated[datetime, Attribute("When the last would fire", example=EXAMPLE_INSTANT)]
    local: LocalTime
    until_local: Annotated[str, Attribute("The local time of the last", example="2026-03-08T03:00:00-04:00")]
    count: Annotated[int, Attribute("How many they are", minimum=0)]
    reason: Annotated[str | Reason, Attribute("Why", example="excluded")]
    cause: Annotated[
        str,
        Attribute("The name of the calendar, or the date or the range as it was written", example="holidays"),
    ]


@dataclass(frozen=True, kw_only=True)
class Preview(Answer):
    """What an expression will fire."""

    expression: Annotated[
        str | tuple[str, ...],
        Attribute("With single spaces; a list where there are several", one_or_more=True),
    ]
    timezone: Annotated[str, Attribute("The IANA name of its time zone")]
    dst_gap: Annotated[str | None, Attribute("As it was sent; null: what Debian's cron does")] = None
    dst_overlap: Annotated[str | None, Attribute("As it was sent; null: what Debian's cron does")] = None
    starts_at: Annotated[
        datetime | None, Attribute("The first instant at which it may fire", example="2026-12-01T00:00:00Z")
    ] = None
    ends_at: Annotated[
        datetime | None, Attribute("The last instant at which it may fire", example="2026-12-31T23:59:59Z")
    ] = None
    schedule: Sentence = None
    notes: Annotated[
        tuple[str, ...],
        Attribute("What it does that may not be expected of such an expression; a sentence each"),
    ] = ()
    tzdata: ZoneData
    after: Annotated[datetime, Attribute("Fire times are later than this", example=EXAMPLE_INSTANT)]
    fire_times: Annotated[tuple[FireTime, ...], Attribute("Earliest first")] = ()
    suppressed: Annotated[
        tuple[Suppressed, ...], Attribute("What changes of the clock leave out before the last of them")
    ] = ()
    excluded: Annotated[tuple[Excluded, ...], Attribute("What is excluded before the last of them")] = ()
    complete: Annotated[
        bool,
        Attribute("Whether the search went on until it had found as many as asked for, or all there are"),
    ] = True
    until: Annotated[
        datetime | None,
        Attribute(
            "Unless it is complete: all until this instant is shown; ask again with it as `after`",
            example=EXAMPLE_INSTANT,
            absent=True,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class CronjobPreview(Preview):
    """What a cron job will fire."""

    cronjob_id: Uuid
    state: Annotated[str, Attribute("Where it stands: only an active one fires")]


@dataclass(frozen=True, kw_only=True)
class Explanation(Answer):
    """Why a cron job did or did not fire at an instant."""

    cronjob_id: Uuid
    at: Annotated[datetime, Attribute("The instant that was asked about", example=EXAMPLE_INSTANT)]
    local: Annotated[
        str | None,
        Attribute(
            "Its local time, in the zone that the cron job had then", example="2026-03-08T03:00:00-04:00"
        ),
    ] = None
    finding: Annotated[str | Finding, Attribute("What is found at the instant, for programs")]
    sentence: Annotated[str, Attribute("The same for people")]
    reason: Annotated[str | Reason | None, Attribute("Why, in the words of the ledger and the policies")] = (
        None
    )
    cause: Cause = None
    mark: Annotated[str | Mark | None, Attribute("What a change of the clock made of it")] = None
    instead_at: Annotated[datetime | None, Attribute("What fired instead", example=EXAMPLE_INSTANT)] = None
    previous_at: Annotated[datetime | None, Attribute("The fire time before", example=EXAMPLE_INSTANT)] = None
    next_at: Annotated[datetime | None, Attribute("The fire time after", example=EXAMPLE_INSTANT)] = None
    firing: Annotated[Firing | None, Attribute("The row of the ledger that covers it")] = None
    manual: Annotated[
        tuple[Firing, ...] | None,
        Attribute(
            "Manual firings of that second, up to 5, if there are any; they stand for no fire time",
            absent=True,
        ),
    ] = None
    state: Annotated[str, Attribute("Where the cron job stood at that instant")]
    version: Annotated[int, Attribute("Its version at that instant", minimum=0)]
    timezone: Annotated[str, Attribute("The IANA name of the time zone that it had then")]
    tzdata: ZoneData
