"""Replay and backfill on the wire: what is to go once more, at which pace, and what a trial run shows.

Invariant: a replay is of rows of the ledger, a backfill of fire times. Nothing here has a message of its own: what is
sent is what the cron job has, or had in a version.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypedDict

from cronally.contract.attribute import Attribute
from cronally.contract.firings import NEWEST, OLDEST, ChosenFirings, Firing, OfCronjobs
from cronally.contract.operations import MAX_PROBLEMS, Problem
from cronally.contract.values import AN_INSTANT, EXAMPLE_INSTANT
from cronally.contract.writing import Answer
from cronally.firing import Kind

MOST: Final = 10_000
"""So many firings one request may make or replay."""
MAX_PER_MINUTE: Final = 600
DEFAULT_PER_MINUTE: Final = 60
SHOWN: Final = 20
"""So many of them a trial run shows, the first ones."""


class Pace(TypedDict, total=False):
    """How quickly firings are made due, and which first."""

    max_per_minute: Annotated[
        int,
        Attribute(
            "How many a minute are made due, evenly",
            "how many a minute",
            minimum=1,
            maximum=MAX_PER_MINUTE,
            default=DEFAULT_PER_MINUTE,
        ),
    ]
    order: Annotated[
        Literal["oldest", "newest"],
        Attribute("Which come first, by their fire times", f"one of {OLDEST}, {NEWEST}", default=OLDEST),
    ]


class _Trial(TypedDict, total=False):
    dry_run: Annotated[
        bool,
        Attribute("Whether nothing is changed, and it is only said what would be", "true or false"),
    ]


PACE: Final = frozenset(Pace.__annotations__)

_From = TypedDict(
    "_From",
    {
        "from": Annotated[
            str | datetime,
            Attribute(
                "The first fire time, or an instant before it; not from before the ledger is kept",
                AN_INSTANT,
                example=EXAMPLE_INSTANT,
            ),
        ]
    },
)


class _To(TypedDict, total=False):
    to: Annotated[
        str | datetime,
        Attribute(
            "The last fire time, or an instant after it, not in the future; now by default",
            AN_INSTANT,
            example=EXAMPLE_INSTANT,
        ),
    ]


class BackfillOptions(Pace, total=False):
    """By what a cron job makes up for fire times, and how quickly."""

    version: Annotated[
        int,
        Attribute(
            "By which version of the cron job the fire times are; by default as it is now",
            "the number of a version",
            minimum=1,
            maximum=2**31 - 1,
        ),
    ]


class Backfill(_From, _To, BackfillOptions, _Trial):
    """Which fire times of the past a cron job is to make up for."""


AsNowOrThen = Literal["now", "then"]

_As = TypedDict(
    "_As",
    {
        "as": Annotated[
            AsNowOrThen,
            Attribute(
                "Whether message and address are those of the cron job now, or those that its last attempt was sent by",
                "now or then",
                default="now",
            ),
        ]
    },
    total=False,
)


class OfFireTime(TypedDict, total=False):
    """Which of the firings of one fire time is meant."""

    kind: Annotated[
        Literal["scheduled", "manual", "dead_letter"],
        Attribute(
            "The one that was owed (scheduled), was asked for (manual), or tells of one that has failed"
            " (dead_letter)",
            f"one of {', '.join(Kind)}",
            default=Kind.SCHEDULED.value,
        ),
    ]


class Replay(_As, OfFireTime, total=False):
    """Which of the firings of one fire time is to go once more."""


class ReplayOptions(ChosenFirings, OfCronjobs, Pace, total=False):
    """Which firings are to go once more, and how quickly. Without `state`, those that failed."""


class ReplayMany(ReplayOptions, _As, _Trial, total=False):
    """Which firings are to go once more, or whether it is only said which. Without `state`, those that failed."""


_COUNT: Final[dict[str, Any]] = {"minimum": 0}


@dataclass(frozen=True, kw_only=True)
class BackfillTrial(Answer):
    """What a backfill would do: the answer to `dry_run`."""

    fire_times: Annotated[int, Attribute("How many fire times the range has", **_COUNT)]
    to_insert: Annotated[int, Attribute("How many of them the ledger does not have", **_COUNT)]
    to_revive: Annotated[int, Attribute("How many were missed or skipped", **_COUNT)]
    delivered: Annotated[int, Attribute("How many are delivered, and stay so", **_COUNT)]
    failed: Annotated[int, Attribute("How many failed, and stay so: a replay sends them again", **_COUNT)]
    on_the_way: Annotated[int, Attribute("How many are on their way", **_COUNT)]
    first: Annotated[
        tuple[Annotated[datetime, Attribute("A fire time", example=EXAMPLE_INSTANT)], ...],
        Attribute(f"The first {SHOWN} fire times that would be made up for"),
    ]


@dataclass(frozen=True, kw_only=True)
class ReplayTrial(Answer):
    """What a replay would be for: the answer to `dry_run`."""

    total: Annotated[int, Attribute("How many firings", **_COUNT)]
    firings: Annotated[
        tuple[Annotated[Firing, Attribute("One of them")], ...], Attribute(f"The first {SHOWN} of them")
    ]
    failed: Annotated[
        int | None,
        Attribute("How many of them cannot be sent as they were; with as=then", **_COUNT, absent=True),
    ] = None
    problems: Annotated[
        tuple[Annotated[Problem, Attribute("Why one of them cannot be sent as it was")], ...] | None,
        Attribute(f"Why the first {MAX_PROBLEMS} of those cannot; with as=then", absent=True),
    ] = None
