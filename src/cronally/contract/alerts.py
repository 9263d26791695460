"""Alerts on the wire: what an account was told, and what became of it with each channel.

Invariant: the names are those of the JSON that a channel of the kind `http` gets.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal, TypedDict

from cronally.alert import MAX_AFFECTED, Event, Reason, State
from cronally.contract.attribute import Attribute
from cronally.contract.channels import check_meant
from cronally.contract.values import AN_INSTANT, EXAMPLE_INSTANT, Cursor, Limit, Uuid
from cronally.contract.writing import Answer

_MAX_CONDITION: Final = 64


class AlertFilters(TypedDict, total=False):
    """Which alerts are listed: those for which all of it holds."""

    condition: Annotated[
        str,
        Attribute(
            "Only those of this condition",
            "the name of a condition, such as failure",
            example="failure",
            min_length=1,
            max_length=_MAX_CONDITION,
        ),
    ]
    event: Annotated[
        Literal["began", "ended", "reminder", "test", "digest", "notice"],
        Attribute("Only those that say this of their condition", f"one of {', '.join(Event)}"),
    ]
    state: Annotated[
        Literal["pending", "sending", "delivered", "failed", "skipped"],
        Attribute("Only those that stand so with one of their channels", f"one of {', '.join(State)}"),
    ]
    channel: Annotated[
        str,
        Attribute(
            "Only those that went, or go, to this channel, by name or id; by the id of one that is deleted, too",
            "the name or the id of a channel",
            check=check_meant,
            min_length=1,
            max_length=64,
        ),
    ]
    since: Annotated[
        str | datetime,
        Attribute("Only those of this instant or later", AN_INSTANT, example=EXAMPLE_INSTANT),
    ]
    until: Annotated[
        str | datetime, Attribute("Only those from before this instant", AN_INSTANT, example=EXAMPLE_INSTANT)
    ]


class AlertPage(AlertFilters, total=False):
    """Which alerts are listed, the newest first."""

    limit: Limit
    cursor: Cursor


@dataclass(frozen=True, kw_only=True)
class AlertedCronjob(Answer):
    """A cron job that an alert is about."""

    cronjob_id: Uuid
    name: Annotated[str, Attribute("What it was called", example="Reports")]


@dataclass(frozen=True, kw_only=True)
class AlertDelivery(Answer):
    """What became of an alert with one channel."""

    channel_id: Uuid
    name: Annotated[str, Attribute("What the channel was called", example="on-call")]
    kind: Annotated[str, Attribute("What the channel is", example="email")]
    state: Annotated[
        str | State,
        Attribute("pending, sending, delivered, failed or skipped", example="delivered"),
    ]
    reason: Annotated[
        str | Reason | None,
        Attribute("Why it did not reach the channel, or not yet; null if it did", example="refused"),
    ] = None
    reason_text: Annotated[
        str | None, Attribute("The same for people", example="the receiver refuses it", absent=True)
    ] = None
    detail: Annotated[str | None, Attribute("What was said last", example="HTTP 404")] = None
    attempts: Annotated[int, Attribute("How often it was tried", minimum=0)]
    next_attempt_at: Annotated[
        datetime | None, Attribute("When it is tried next", example=EXAMPLE_INSTANT)
    ] = None
    finished_at: Annotated[datetime | None, Attribute("When that ended", example=EXAMPLE_INSTANT)] = None


_Line = Annotated[str, Attribute("A line of the text")]


@dataclass(frozen=True, kw_only=True)
class Alert(Answer):
    """One message to the account: a condition began or ended."""

    alert_id: Annotated[
        str,
        Attribute(
            "The same with each channel and each try: who remembers ids sees each alert once", format="uuid"
        ),
    ]
    condition: Annotated[str, Attribute("What it is about", example="failure")]
    event: Annotated[
        str | Event,
        Attribute("What it says of that: began, ended, reminder, test, digest or notice", example="began"),
    ]
    subject_kind: Annotated[str, Attribute("What the condition is one of", example="cronjob")]
    subject_id: Annotated[str, Attribute("Which one: its id or its name")]
    title: Annotated[str, Attribute("What it says in one line", example="Reports failed")]
    lines: Annotated[tuple[_Line, ...], Attribute("The rest of its text", example=("HTTP 503",))] = ()
    cronjobs: Annotated[
        tuple[AlertedCronjob, ...],
        Attribute(f"The cron jobs that it is about, up to {MAX_AFFECTED} of them"),
    ] = ()
    cronjob_count: Annotated[int, Attribute("How many these are in all", minimum=0)] = 0
    created_at: Annotated[datetime, Attribute("When it was made", example=EXAMPLE_INSTANT)]
    deliveries: Annotated[
        tuple[AlertDelivery, ...], Attribute("What became of it with each of its channels, by name")
    ] = ()
