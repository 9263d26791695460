"""Freezes on the wire: everything that a selector names stands still until an instant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final, Literal, TypedDict

from cronally.contract.attribute import Attribute
from cronally.contract.firings import check_start
from cronally.contract.tags import ANY, check_wanted
from cronally.contract.values import EXAMPLE_INSTANT, Uuid, check_note
from cronally.contract.writing import Answer
from cronally.instants import DAY, format_duration

MAX_FREEZE: Final = 7 * DAY
"""How far ahead the end of a freeze may lie. Microseconds."""
MAX_IN_FORCE: Final = 20
"""So many freezes of an account may be in force."""
MAX_LISTED: Final = 100
"""So many of an account's freezes are listed."""
MAX_HOST: Final = 255


class Selector(StrEnum):
    """By what a freeze chooses the firings that it keeps from going."""

    ACCOUNT = "account"
    TAG = "tag"
    HOST = "host"


class Rule(StrEnum):
    """What becomes of what falls due in a freeze."""

    SKIP = "skip"
    LATEST = "latest"
    ALL = "all"


def check_tag(text: str) -> str:
    """The tag that a freeze goes by."""
    check_wanted([text])
    return text


_SKIP, _LATEST, _ALL = Rule.SKIP.value, Rule.LATEST.value, Rule.ALL.value


class _Ending(TypedDict):
    until: Annotated[
        datetime | timedelta | str,
        Attribute(
            f"When it ends by itself: an instant, or how long from now, such as 2h; at most"
            f" {format_duration(MAX_FREEZE)} ahead. What falls due at this very instant fires",
            f"an instant, such as {EXAMPLE_INSTANT}, or a duration, such as 2h",
            example="2h",
            check=check_start,
            min_length=1,
            max_length=64,
        ),
    ]


class NewFreeze(_Ending, total=False):
    """What is to stand still (a tag, a host or all), until when, and what becomes of what falls due."""

    tag: Annotated[
        str,
        Attribute(
            f"Freeze the cron jobs with this tag; key{ANY} stands for any value of the key",
            "a tag",
            example="env=prod",
            check=check_tag,
            min_length=1,
            max_length=256,
        ),
    ]
    host: Annotated[
        str,
        Attribute(
            "Freeze what is sent to this host, whatever the port and the path",
            "a host, such as hooks.example.com",
            example="hooks.example.com",
            min_length=1,
            max_length=MAX_HOST,
        ),
    ]
    all: Annotated[bool, Attribute("Freeze the whole account", "true, or a tag or a host")]
    note: Annotated[
        str,
        Attribute(
            "Why, for people",
            "why it is frozen",
            example="deploying",
            check=check_note,
            min_length=1,
            max_length=256,
        ),
    ]
    rule: Annotated[
        Literal["skip", "latest", "all"],
        Attribute(
            f"What becomes of what falls due in the freeze: it is skipped ({_SKIP}); it is held, and goes out at the"
            f" end of the freeze ({_ALL}); or of each cron job only its last fire time is held ({_LATEST})",
            f"one of {', '.join(Rule)}",
            default=Rule.SKIP.value,
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class Freeze(Answer):
    """A freeze: nothing of what it is for is sent while it is in force."""

    freeze_id: Uuid
    selector: Annotated[
        str | Selector, Attribute("What it is for: the whole account, a tag or a host", example="tag")
    ]
    tag: Annotated[str | None, Attribute("The tag, if it is for one", example="env=prod", absent=True)] = None
    host: Annotated[
        str | None, Attribute("The host, if it is for one", example="hooks.example.com", absent=True)
    ] = None
    rule: Annotated[str | Rule, Attribute("What becomes of what falls due in it: skip, latest or all")]
    note: Annotated[str | None, Attribute("Why, for people", example="deploying")] = None
    in_force: Annotated[bool, Attribute("Whether it keeps firings from going now")]
    cronjobs: Annotated[
        int | None,
        Attribute("If it is in force: how many cron jobs it is for now", minimum=0, absent=True),
    ] = None
    created_at: Annotated[datetime, Attribute("From when on it was in force", example=EXAMPLE_INSTANT)]
    created_by: Annotated[str, Attribute("The API key that asked for it", format="uuid")]
    until: Annotated[datetime, Attribute("When it ends, or was to end, by itself", example=EXAMPLE_INSTANT)]
    lifted_at: Annotated[
        datetime | None, Attribute("When it was lifted, if that was before its end", example=EXAMPLE_INSTANT)
    ] = None
    lifted_by: Annotated[str | None, Attribute("The API key that lifted it", format="uuid")] = None
