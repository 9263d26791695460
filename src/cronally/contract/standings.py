"""How a cron job stands, on the wire: its last firing, and how many firings ended how."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

from cronally.contract.attribute import Attribute
from cronally.contract.values import EXAMPLE_INSTANT
from cronally.contract.writing import Answer
from cronally.firing import Kind, Reason, State

_COUNT: Final[dict[str, Any]] = {"minimum": 0}


@dataclass(frozen=True, kw_only=True)
class LastFiring(Answer):
    """The last firing of a cron job: the last one that has ended."""

    firing_id: Annotated[str, Attribute("As in the ledger", format="uuid")]
    scheduled_at: Annotated[datetime, Attribute("The fire time", example=EXAMPLE_INSTANT)]
    kind: Annotated[str | Kind, Attribute("Why it exists: scheduled, manual or dead_letter")]
    state: Annotated[
        str | State,
        Attribute("How it ended; pending, held or sending where none of the 100 newest firings has ended"),
    ]
    reason: Annotated[str | Reason | None, Attribute("Why it is not delivered")] = None
    count: Annotated[int, Attribute("How many fire times it stands for, from scheduled_at on", **_COUNT)]
    finished_at: Annotated[datetime | None, Attribute("When it ended", example=EXAMPLE_INSTANT)] = None
    lateness_ms: Annotated[
        int | None, Attribute("From the fire time, or its place in the window, until it was delivered")
    ] = None


@dataclass(frozen=True, kw_only=True)
class Counts(Answer):
    """How many fire times ended how."""

    since: Annotated[
        datetime,
        Attribute(
            "From when on fire times are counted, a whole minute; of more than 12,000 firings only the newest are",
            example=EXAMPLE_INSTANT,
        ),
    ]
    delivered: Annotated[int, Attribute("How many were delivered", **_COUNT)]
    failed: Annotated[int, Attribute("How many failed", **_COUNT)]
    missed: Annotated[int, Attribute("How many were given up without an attempt", **_COUNT)]
    skipped: Annotated[int, Attribute("How many were skipped", **_COUNT)]
