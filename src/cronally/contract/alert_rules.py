"""Rules of alerts on the wire: what an account is told of, for which cron jobs, when and where.

Invariant: what a rule says stands in `RuleSettings` once, and is sent, stored and shown under one name.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, TypedDict

from cronally import quiet_hours
from cronally.alert_rules import Scope
from cronally.clock import zones
from cronally.contract.attribute import DEFAULT, Attribute
from cronally.contract.tags import ANY, check_wanted
from cronally.contract.values import EXAMPLE_INSTANT, MAX_NAME, Uuid, check_name, check_timezone
from cronally.contract.writing import Answer
from cronally.instants import DAY, MINUTE

MAX_CHANNELS: Final = 20
_SAYS_NOTHING: Final = "by default the rule says nothing of it, and a less specific one decides"
_BOOL: Final = "true, false or default"


def check_tag(text: str) -> str:
    """The tag that a rule is for."""
    check_wanted([text])
    return text


def check_quiet_hours(text: str) -> str:
    """Quiet hours, by their form."""
    if text != DEFAULT:
        try:
            quiet_hours.QuietHours.parse(text, zones.UTC)
        except ValueError as problem:
            raise ValueError(f"cannot be read: {problem}") from None
    return text


_ON_FAILURE: Final = Attribute(
    f"Tell when a firing has failed, and when the next one is delivered; {_SAYS_NOTHING}",
    _BOOL,
    default=DEFAULT,
)
_AFTER_FAILURES: Final = Attribute(
    "Tell when so many firings in a row have failed, in place of the first",
    "how many failures in a row, or default",
    example=3,
    default=DEFAULT,
    minimum=1,
    maximum=1000,
)
_ON_LATE: Final = Attribute(
    f"Tell when a firing is delivered so much later than it was due, from 1m to 7d; {_SAYS_NOTHING}",
    "a duration such as 5m, or default",
    example="5m",
    default=DEFAULT,
    minimum=MINUTE,
    maximum=7 * DAY,
)
_ON_MISSED: Final = Attribute(
    f"Tell when fire times are missed, and, of a rule of the account, when no server ran; {_SAYS_NOTHING}",
    _BOOL,
    default=DEFAULT,
)
_ON_HELD: Final = Attribute(
    f"Tell when the credentials of a connection are refused, and its firings are held; {_SAYS_NOTHING}",
    _BOOL,
    default=DEFAULT,
)
_ON_OVERDUE: Final = Attribute(
    "Tell when a firing is not acknowledged within its cron job's ack_within, and when one is acknowledged again;"
    f" {_SAYS_NOTHING}",
    _BOOL,
    default=DEFAULT,
)
_ON_ACK_FAILED: Final = Attribute(
    "Tell when a receiver says that the work of a firing failed, and when one is acknowledged again;"
    f" {_SAYS_NOTHING}",
    _BOOL,
    default=DEFAULT,
)
_ON_PAUSED: Final = Attribute(
    "Tell when the server pauses a cron job: after its pause_after, of which it warns before, or as it cannot read its"
    f" schedule; {_SAYS_NOTHING}",
    _BOOL,
    default=DEFAULT,
)
_ON_RECOVERY: Final = Attribute(
    "Tell when what was told of has ended, too",
    "true or false",
    default=True,
)
_QUIET_HOURS: Final = Attribute(
    "When nothing is told: from when until when of each day, by the clocks of timezone. What begins in them is told at"
    " their end if it still stands",
    f"{quiet_hours.EXPECTED.removeprefix('quiet hours are written like ')}, or default for none",
    example="22:00-07:00",
    default=DEFAULT,
    check=check_quiet_hours,
    max_length=64,
)
_TIMEZONE: Final = Attribute(
    "The IANA name of the time zone of quiet_hours",
    "an IANA name, such as Europe/Berlin",
    example="Europe/Berlin",
    default=zones.UTC,
    check=check_timezone,
    min_length=1,
    max_length=64,
)
_REMIND_EVERY: Final = Attribute(
    "Tell again of what still stands, each time that so long has passed, from 5m to 30d",
    "a duration such as 4h, or default for never",
    example="4h",
    default=DEFAULT,
    minimum=5 * MINUTE,
    maximum=30 * DAY,
)
_CHANNELS: Final = Attribute(
    "The channels that are told, by their names or ids; without them all that the account has at the time. An empty"
    " text takes them away",
    "names or ids of channels",
    example=["ops"],
    max_length=MAX_CHANNELS,
    may_be_empty=True,
    also="channel",
)


class RuleSettings(TypedDict, total=False):
    """What a rule says."""

    on_failure: Annotated[Literal["default"] | bool, _ON_FAILURE]
    after_failures: Annotated[Literal["default"] | int, _AFTER_FAILURES]
    on_late: Annotated[str | timedelta, _ON_LATE]
    on_missed: Annotated[Literal["default"] | bool, _ON_MISSED]
    on_held: Annotated[Literal["default"] | bool, _ON_HELD]
    on_overdue: Annotated[Literal["default"] | bool, _ON_OVERDUE]
    on_ack_failed: Annotated[Literal["default"] | bool, _ON_ACK_FAILED]
    on_paused_by_server: Annotated[Literal["default"] | bool, _ON_PAUSED]
    on_recovery: Annotated[bool, _ON_RECOVERY]
    quiet_hours: Annotated[str, _QUIET_HOURS]
    timezone: Annotated[str, _TIMEZONE]
    remind_every: Annotated[str | timedelta, _REMIND_EVERY]
    channels: Annotated[list[str], _CHANNELS]


class NewAlertRule(RuleSettings, total=False):
    """A new rule: for a cron job, for a tag, or without both for the whole account."""

    cronjob: Annotated[
        str,
        Attribute(
            "The cron job that it is for, by its name or id",
            "the name or the id of a cron job",
            example="Reports",
            check=check_name,
            min_length=1,
            max_length=MAX_NAME,
        ),
    ]
    tag: Annotated[
        str,
        Attribute(
            f"The tag whose cron jobs it is for; key{ANY} stands for any value of the key",
            "a tag",
            example="env=prod",
            check=check_tag,
            min_length=1,
            max_length=256,
        ),
    ]


class AlertRuleChange(RuleSettings, total=False):
    """A change of a rule: what is not sent stays. What it is for stays."""


_Channel = Annotated[str, Attribute("The id of a channel")]


@dataclass(frozen=True, kw_only=True)
class AlertRule(Answer):
    """A rule. What it says nothing of is null."""

    rule_id: Uuid
    scope: Annotated[
        str | Scope, Attribute("What it is for: the account, a tag or a cron job", example="tag")
    ]
    tag: Annotated[str | None, Attribute("The tag, if it is for one", example="env=prod", absent=True)] = None
    cronjob_id: Annotated[
        str | None, Attribute("The cron job, if it is for one", format="uuid", absent=True)
    ] = None
    on_failure: Annotated[bool | None, _ON_FAILURE] = None
    after_failures: Annotated[int | None, _AFTER_FAILURES] = None
    on_late: Annotated[str | None, _ON_LATE] = None
    on_missed: Annotated[bool | None, _ON_MISSED] = None
    on_held: Annotated[bool | None, _ON_HELD] = None
    on_overdue: Annotated[bool | None, _ON_OVERDUE] = None
    on_ack_failed: Annotated[bool | None, _ON_ACK_FAILED] = None
    on_paused_by_server: Annotated[bool | None, _ON_PAUSED] = None
    on_recovery: Annotated[bool, _ON_RECOVERY] = True
    quiet_hours: Annotated[str | None, _QUIET_HOURS] = None
    timezone: Annotated[str, _TIMEZONE] = zones.UTC
    remind_every: Annotated[str | None, _REMIND_EVERY] = None
    channels: Annotated[
        tuple[_Channel, ...], Attribute("The ids of the channels that are told; none: all of the account")
    ] = ()
    created_at: Annotated[datetime, Attribute("When it was made", example=EXAMPLE_INSTANT)]
    updated_at: Annotated[datetime, Attribute("When it was last changed", example=EXAMPLE_INSTANT)]
    updated_by: Annotated[str, Attribute("The API key that last changed it", format="uuid")]
