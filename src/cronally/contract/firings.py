"""The ledger on the wire: which firings are listed, in which form, and the answer with a firing and its attempts."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal, TypedDict

from cronally.acknowledgement import MAX_BODY, Ack
from cronally.contract.attribute import Attribute, declared
from cronally.contract.calendars import Cause
from cronally.contract.http_requests import HttpBody
from cronally.contract.listing import fields_of
from cronally.contract.sns import SnsMessage
from cronally.contract.tags import ANY, MAX_TAGS, check_wanted
from cronally.contract.values import (
    AN_INSTANT,
    EXAMPLE_INSTANT,
    Cursor,
    Limit,
    Uuid,
    check_cronjob_id,
    check_name,
)
from cronally.contract.writing import Answer
from cronally.firing import Kind, Reason, State
from cronally.instants import DAY, format_duration, parse_duration, parse_iso

MAX_LIMIT_WITH_ATTEMPTS: Final = 20
"""A firing may have 20 attempts, and no page has more than 400."""

_COUNT: Final[dict[str, Any]] = {"minimum": 0}


MAX_AHEAD: Final = DAY
"""How far ahead a firing may be asked for. Microseconds."""


def check_start(text: str) -> int | timedelta:
    """When a firing is asked for: an instant, or how long from now."""
    with suppress(ValueError):
        return timedelta(microseconds=parse_duration(text))
    try:
        return parse_iso(text)
    except ValueError as problem:
        raise ValueError(f"is neither a duration, such as 10m, nor an instant: {problem}") from None


class Start(TypedDict, total=False):
    """When a firing is asked for."""

    at: Annotated[
        datetime | timedelta | str,
        Attribute(
            f"When: an instant, or how long from now, such as 10m; at most {format_duration(MAX_AHEAD)} ahead. Now by"
            " default",
            f"an instant, such as {EXAMPLE_INSTANT}, or a duration, such as 10m",
            example="10m",
            check=check_start,
            min_length=1,
            max_length=64,
        ),
    ]


class ManualFiring(Start, total=False):
    """A firing that is asked for: when, and what it sends in place of the cron job's message."""

    sns_message: SnsMessage
    delivery_http_body: HttpBody


MESSAGES: Final = frozenset(declared(ManualFiring)) - {"at"}
"""The parameters of targets that a firing may have of its own."""


NEWEST: Final = "newest"
OLDEST: Final = "oldest"
CSV: Final = "csv"
JSON_LINES: Final = "jsonl"

_STATE: Final = Attribute("", f"one of {', '.join(State)}")
_REASON: Final = Attribute("", "a reason, such as max_age")


class ChosenByState(TypedDict, total=False):
    """In which states the firings are that are meant."""

    state: Annotated[
        str | list[Annotated[State, _STATE]],
        Attribute(
            "Only those in this state, or in one of several",
            "a state, or several",
            min_length=1,
            max_length=len(State),
        ),
    ]


_ACK: Final = Attribute("", f"one of {', '.join(Ack)}")


class ChosenByAck(TypedDict, total=False):
    """How the acknowledgements of the firings stand that are meant."""

    ack: Annotated[
        str | list[Annotated[Ack, _ACK]],
        Attribute(
            "Only those whose acknowledgement stands so, or in one of several ways",
            "where an acknowledgement stands, or several",
            min_length=1,
            max_length=len(Ack),
        ),
    ]


class ChosenByAll(TypedDict, total=False):
    """Which firings are meant, whatever their state: those for which all of it holds. A filter has no default."""

    reason: Annotated[
        str | list[Annotated[Reason, _REASON]],
        Attribute(
            "Only those with this reason, or with one of several",
            "a reason, or several",
            min_length=1,
            max_length=len(Reason),
        ),
    ]
    kind: Annotated[
        Literal["scheduled", "manual", "dead_letter"],
        Attribute(
            "Only those that were owed (scheduled), asked for (manual), or tell of one that has failed"
            " (dead_letter)",
            f"one of {', '.join(Kind)}",
        ),
    ]
    since: Annotated[
        str | datetime,
        Attribute(
            "Only those whose fire time is this instant or later; of a range row its first",
            AN_INSTANT,
            example=EXAMPLE_INSTANT,
        ),
    ]
    until: Annotated[
        str | datetime,
        Attribute("Only those whose fire time is before this instant", AN_INSTANT, example=EXAMPLE_INSTANT),
    ]


class ChosenFirings(ChosenByState, ChosenByAll, total=False):
    """Which firings are meant: those for which all of it holds. A filter has no default."""


class Ordered(TypedDict, total=False):
    """Which firings are listed first."""

    order: Annotated[
        Literal["newest", "oldest"],
        Attribute("Which come first, by their fire times", f"one of {NEWEST}, {OLDEST}", default=NEWEST),
    ]


class FiringFilters(ChosenFirings, ChosenByAck, Ordered, total=False):
    """Which firings are listed, and which of them first."""


class OfOneFireTime(TypedDict, total=False):
    """Of which fire time the firings are that are listed."""

    scheduled_at: Annotated[
        str | datetime,
        Attribute(
            "Only those of exactly this fire time, of every kind",
            f"an instant, such as {EXAMPLE_INSTANT}",
            example=EXAMPLE_INSTANT,
        ),
    ]


class Paged(TypedDict, total=False):
    """How many firings are listed, from where on, and whether with their attempts."""

    limit: Limit
    cursor: Cursor
    attempts: Annotated[
        bool,
        Attribute(
            "Whether each firing comes with its attempts; `limit` is"
            f" {MAX_LIMIT_WITH_ATTEMPTS} then, or less",
            "whether to show each firing's attempts",
        ),
    ]


class FiringsOfCronjob(FiringFilters, OfOneFireTime, Paged, total=False):
    """Which firings of one cron job are listed."""


class OfCronjobs(TypedDict, total=False):
    """Of which cron jobs of the account the firings are."""

    cronjob_id: Annotated[
        str,
        Attribute(
            "Only the firings of this cron job, which may be deleted",
            "a cron job's id",
            check=check_cronjob_id,
            format="uuid",
        ),
    ]
    name: Annotated[
        str,
        Attribute(
            "Only the firings of cron jobs of exactly this name, which may be several, and deleted",
            "a name",
            check=check_name,
        ),
    ]
    tag: Annotated[
        list[str],
        Attribute(
            f"Only the firings of cron jobs that have this tag now, or each of several; key{ANY} stands for any value"
            " of the key",
            "a tag, or several",
            example=["env=prod"],
            check=check_wanted,
            min_length=1,
            max_length=MAX_TAGS,
        ),
    ]


class FiringPage(FiringsOfCronjob, OfCronjobs, total=False):
    """Which firings of the account are listed."""


class Form(TypedDict, total=False):
    """In which form firings are listed."""

    format: Annotated[
        Literal["json", "csv", "jsonl"],
        Attribute(
            "As what the page is written: JSON, a table (CSV), or a line of JSON a firing",
            f"one of json, {CSV}, {JSON_LINES}",
            default="json",
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class TargetAnswer(Answer):
    """What a target answered to an attempt, as far as it is kept. Durations are milliseconds."""

    status: Annotated[int, Attribute("The HTTP status", minimum=200, maximum=999)]
    headers: Annotated[
        dict[str, str] | None, Attribute("Its headers, what is secret in them as ***", absent=True)
    ] = None
    body: Annotated[str | None, Attribute("The beginning of its body, secrets in it as ***", absent=True)] = (
        None
    )
    encoding: Annotated[
        str | None,
        Attribute("How the body is written here: utf-8, or base64 where it is no text", absent=True),
    ] = None
    cut: Annotated[
        bool | None, Attribute("Whether there is, or may be, more of body or headers", absent=True)
    ] = None
    left_out: Annotated[
        bool | None,
        Attribute(
            "True where headers and body are kept, but had no room on the page: ask for the firing by scheduled_at",
            absent=True,
        ),
    ] = None
    dns_ms: Annotated[
        int | None, Attribute("How long the look-up of the host took", absent=True, **_COUNT)
    ] = None
    connect_ms: Annotated[int | None, Attribute("How long it took to connect", absent=True, **_COUNT)] = None
    tls_ms: Annotated[int | None, Attribute("How long the TLS handshake took", absent=True, **_COUNT)] = None
    first_byte_ms: Annotated[
        int, Attribute("From the last byte of the request to the first of the answer", **_COUNT)
    ]
    whole_ms: Annotated[int, Attribute("From the beginning to the end of what was read", **_COUNT)]


@dataclass(frozen=True, kw_only=True)
class Attempt(Answer):
    """One try to deliver a firing."""

    attempt: Annotated[int, Attribute("From 1", **_COUNT)]
    started_at: Annotated[datetime, Attribute("When it began", example=EXAMPLE_INSTANT)]
    duration_ms: Annotated[int, Attribute("How long it took", **_COUNT)]
    outcome: Annotated[
        str,
        Attribute("How it ended: delivered, retry, unauthorized, refused or unknown", example="delivered"),
    ]
    reason: Annotated[str | Reason | None, Attribute("Why it did not deliver")] = None
    detail: Annotated[str | None, Attribute("What the target said, or what went wrong, as a text")] = None
    answer: Annotated[
        TargetAnswer | None, Attribute("What the target answered, where that is kept", absent=True)
    ] = None


_WHY_IT_EXISTS: Final = Attribute(
    "Why it exists: it was owed (scheduled), asked for (manual), or tells of one that has failed (dead_letter)"
)


@dataclass(frozen=True, kw_only=True)
class OtherFiring(Answer):
    """A firing of another cron job."""

    firing_id: Annotated[str, Attribute("Its id", format="uuid")]
    cronjob_id: Uuid
    scheduled_at: Annotated[datetime, Attribute("Its fire time", example=EXAMPLE_INSTANT)]
    kind: Annotated[str | Kind, _WHY_IT_EXISTS]


@dataclass(frozen=True, kw_only=True)
class Firing(Answer):
    """A row of the ledger: a fire time and what became of it. Instants are aware datetimes in UTC."""

    firing_id: Annotated[str, Attribute("The same over retries; it travels with the message", format="uuid")]
    cronjob_id: Uuid
    cronjob_name: Annotated[str | None, Attribute("What its cron job is called now, or was")] = None
    scheduled_at: Annotated[datetime, Attribute("The fire time", example=EXAMPLE_INSTANT)]
    kind: Annotated[str | Kind, _WHY_IT_EXISTS]
    state: Annotated[str | State, Attribute("Where it stands")]
    reason: Annotated[str | Reason | None, Attribute("Why it is not delivered")] = None
    cause: Cause = None
    count: Annotated[
        int, Attribute("How many fire times it stands for, from scheduled_at to until_at", **_COUNT)
    ]
    until_at: Annotated[
        datetime | None,
        Attribute("The last of them, if they are several", example=EXAMPLE_INSTANT, absent=True),
    ] = None
    attempt: Annotated[int, Attribute("How many attempts there were", **_COUNT)]
    created_at: Annotated[datetime, Attribute("When the ledger got it", example=EXAMPLE_INSTANT)]
    due_at: Annotated[
        datetime | None,
        Attribute("When it may be attempted next, while it is pending", example=EXAMPLE_INSTANT, absent=True),
    ] = None
    sent_at: Annotated[datetime | None, Attribute("When the last attempt began", example=EXAMPLE_INSTANT)] = (
        None
    )
    finished_at: Annotated[datetime | None, Attribute("When it ended", example=EXAMPLE_INSTANT)] = None
    lateness_ms: Annotated[
        int | None, Attribute("From the fire time, or its place in the window, until it was delivered")
    ] = None
    message_id: Annotated[str | None, Attribute("The id that the target gave")] = None
    discarded_at: Annotated[
        datetime | None,
        Attribute(
            "If it failed and was discarded: when; a replay takes that back",
            example=EXAMPLE_INSTANT,
            absent=True,
        ),
    ] = None
    discarded_by: Annotated[
        str | None, Attribute("The API key that discarded it", format="uuid", absent=True)
    ] = None
    discarded_note: Annotated[str | None, Attribute("Why nothing more is to become of it", absent=True)] = (
        None
    )
    ack: Annotated[
        str | Ack | None,
        Attribute(
            "If it was to be acknowledged: where that stands: waiting for the receiver's word, started, acknowledged,"
            " failed, or overdue",
            example="acknowledged",
            absent=True,
        ),
    ] = None
    ack_deadline_at: Annotated[
        datetime | None,
        Attribute(
            "Until when it is to be acknowledged, if it is not yet", example=EXAMPLE_INSTANT, absent=True
        ),
    ] = None
    ack_started_at: Annotated[
        datetime | None,
        Attribute("When the receiver said that it began", example=EXAMPLE_INSTANT, absent=True),
    ] = None
    ack_ended_at: Annotated[
        datetime | None,
        Attribute("When the receiver said how it ended", example=EXAMPLE_INSTANT, absent=True),
    ] = None
    ack_overdue_at: Annotated[
        datetime | None,
        Attribute(
            "If it was not acknowledged in time: since when; it stays where the word came late",
            example=EXAMPLE_INSTANT,
            absent=True,
        ),
    ] = None
    ack_late: Annotated[
        bool | None, Attribute("True where the receiver said how it ended after it was overdue", absent=True)
    ] = None
    ack_duration_ms: Annotated[
        int | None,
        Attribute("From its start, or from when it was sent, until it ended", absent=True, **_COUNT),
    ] = None
    ack_too_fast: Annotated[
        bool | None, Attribute("True where that is less than min_duration", absent=True)
    ] = None
    ack_exit_code: Annotated[int | None, Attribute("The exit code that the receiver gave", absent=True)] = (
        None
    )
    ack_retries: Annotated[
        int | None,
        Attribute("How often it was delivered again for the lack of a word", absent=True, **_COUNT),
    ] = None
    ack_body: Annotated[
        str | None,
        Attribute(
            f"With its attempts: what the receiver sent with its last word, the last {MAX_BODY:,} bytes of it",
            absent=True,
        ),
    ] = None
    ack_body_cut: Annotated[
        bool | None, Attribute("True where the receiver sent more than that", absent=True)
    ] = None
    dead_letter: Annotated[
        OtherFiring | None,
        Attribute("If it has failed, and another firing tells of that: the last one that does", absent=True),
    ] = None
    dead_letter_of: Annotated[
        OtherFiring | None, Attribute("If it tells of one that has failed: which", absent=True)
    ] = None
    attempts: Annotated[
        tuple[Attempt, ...] | None,
        Attribute(
            "If they were asked for, oldest first: the last 20 that did not deliver, and the one that did",
            absent=True,
        ),
    ] = None


FIELDS: Final = fields_of(Firing, "firing_id")


class FiringsOfCronjobQuery(FiringsOfCronjob, Form, total=False):
    """Which firings of one cron job are listed, in which form, and what is shown of each."""

    fields: Annotated[list[str], FIELDS]


class FiringQuery(FiringPage, Form, total=False):
    """Which firings of the account are listed, in which form, and what is shown of each."""

    fields: Annotated[list[str], FIELDS]
