"""Forecasts on the wire: what lies ahead of an account, and which cron jobs to spread."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, TypedDict

from cronally.contract.attribute import Attribute
from cronally.contract.values import EXAMPLE_INSTANT, Uuid, ZoneData
from cronally.contract.writing import Answer

DEFAULT_HOURS: Final = 24
MAX_HOURS: Final = 168


class ForecastRange(TypedDict, total=False):
    """How far a forecast reaches."""

    hours: Annotated[
        int,
        Attribute(
            f"How many hours from now on; {DEFAULT_HOURS} by default",
            "how many hours to look ahead",
            minimum=1,
            maximum=MAX_HOURS,
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class ForecastHost(Answer):
    """What one host gets."""

    host: Annotated[
        str | None, Attribute("The host; null: all others together", example="hooks.example.com")
    ] = None
    firings: Annotated[int, Attribute("How many firings", minimum=0)]
    peak: Annotated[
        int,
        Attribute("The most in one second; of others together, the most that one of them gets", minimum=0),
    ]


@dataclass(frozen=True, kw_only=True)
class ForecastStep(Answer):
    """What fires in one step."""

    at: Annotated[datetime, Attribute("When the step begins", example=EXAMPLE_INSTANT)]
    firings: Annotated[int, Attribute("How many firings", minimum=0)]
    by_host: Annotated[tuple[int, ...], Attribute("The same by host, in the order of `hosts`")]


@dataclass(frozen=True, kw_only=True)
class BusySecond(Answer):
    """A second in which one host gets many firings."""

    at: Annotated[datetime, Attribute("The second", example=EXAMPLE_INSTANT)]
    host: Annotated[str, Attribute("The host", example="hooks.example.com")]
    firings: Annotated[int, Attribute("How many firings", minimum=0)]


@dataclass(frozen=True, kw_only=True)
class SpreadCronjob(Answer):
    """A cron job that may fire at another place of its hour."""

    cronjob_id: Uuid
    name: Annotated[str, Attribute("What the cron job is called")]
    cron: Annotated[str, Attribute("When it fires")]
    instead: Annotated[
        str, Attribute("The same with `H`, which its id chooses the place by", example="H 8 * * *")
    ]


@dataclass(frozen=True, kw_only=True)
class SpreadGain(Answer):
    """What it brings to spread cron jobs of the busiest second."""

    at: Annotated[datetime, Attribute("The busiest second", example=EXAMPLE_INSTANT)]
    host: Annotated[str, Attribute("Its host", example="hooks.example.com")]
    before: Annotated[int, Attribute("The most firings that the host gets in one second", minimum=0)]
    after: Annotated[int, Attribute("The same if all these cron jobs have `instead`", minimum=0)]
    cronjob_count: Annotated[int, Attribute("How many cron jobs that is", minimum=0)]
    cronjobs: Annotated[tuple[SpreadCronjob, ...], Attribute("The first of them")]


@dataclass(frozen=True, kw_only=True)
class Forecast(Answer):
    """What lies ahead by the schedules of the cron jobs; neither retries nor manual firings."""

    computed_at: Annotated[
        datetime,
        Attribute("When it was computed; an answer is kept for ten seconds", example=EXAMPLE_INSTANT),
    ]
    begins_at: Annotated[datetime, Attribute("When the first step begins", example=EXAMPLE_INSTANT)]
    ends_at: Annotated[datetime, Attribute("When the last step ends", example=EXAMPLE_INSTANT)]
    step: Annotated[str, Attribute("How long a step is: 1m, 5m or 15m", example="1m")]
    firings: Annotated[int, Attribute("How many firings altogether", minimum=0)]
    hosts: Annotated[
        tuple[ForecastHost, ...],
        Attribute("The 20 hosts with the most firings, the most first, and the others as one"),
    ]
    steps: Annotated[tuple[ForecastStep, ...], Attribute("Earliest first, without those with no firings")]
    busiest: Annotated[
        tuple[BusySecond, ...], Attribute("The 10 busiest seconds of a host, the busiest first")
    ]
    spread: Annotated[SpreadGain | None, Attribute("Null where nothing is gained by spreading with `H`")] = (
        None
    )
    unreadable: Annotated[
        int, Attribute("Cron jobs that are left out, as this server cannot read their schedule", minimum=0)
    ]
    tzdata: ZoneData
