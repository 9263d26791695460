"""A cron job in an answer.

Invariant: a secret is never in it. The keys of its policies and of its targets are declared where those are, and stand
between its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from cronally.contract.attribute import Attribute
from cronally.contract.aws import ShownAws
from cronally.contract.http import ShownHttp, ShownHttpLast
from cronally.contract.policies import ShownPolicies
from cronally.contract.sns import ShownSns
from cronally.contract.standings import Counts, LastFiring
from cronally.contract.targets import DELIVERY_TYPE
from cronally.contract.used_connections import UsedConnection
from cronally.contract.values import EXAMPLE_INSTANT, Sentence, Uuid
from cronally.contract.verification import Verification
from cronally.contract.writing import Answer
from cronally.cronjob import State
from cronally.standing import Health


class Outcome(StrEnum):
    """What putting a cron job by its name has come to."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


_Warning = Annotated[str, Attribute("A sentence for people")]
_Tag = Annotated[str, Attribute("A word or key=value")]


@dataclass(frozen=True, kw_only=True)
class _Timing(Answer):
    """What it is called, when it fires and where it stands."""

    account_id: Uuid
    cronjob_id: Uuid
    name: Annotated[str, Attribute("What the cron job is called")]
    tags: Annotated[tuple[_Tag, ...], Attribute("What it is grouped by, sorted")] = ()
    cron: Annotated[
        str | tuple[str, ...],
        Attribute("When it fires: its expression, or a list where it has several", one_or_more=True),
    ]
    timezone: Annotated[str, Attribute("The IANA name of its time zone")]
    dst_gap: Annotated[str | None, Attribute("As it was sent; null: what Debian's cron does")] = None
    dst_overlap: Annotated[str | None, Attribute("As it was sent; null: what Debian's cron does")] = None
    schedule: Sentence = None
    deleted: Annotated[bool, Attribute("Whether it was deleted")]
    state: Annotated[str | State, Attribute("Where it stands")]
    state_reason: Annotated[
        str | None,
        Attribute("Why the server paused it, or that new zone data moved its next fire time", absent=True),
    ] = None
    paused_at: Annotated[
        datetime | None,
        Attribute("If it was paused with an API key: since when", example=EXAMPLE_INSTANT, absent=True),
    ] = None
    paused_until: Annotated[
        datetime | None, Attribute("When it resumes by itself", example=EXAMPLE_INSTANT, absent=True)
    ] = None
    paused_by: Annotated[str | None, Attribute("The API key that paused it", format="uuid", absent=True)] = (
        None
    )
    paused_note: Annotated[str | None, Attribute("Why it is paused", absent=True)] = None
    frozen_until: Annotated[
        datetime | None, Attribute("If a freeze holds it: until when", example=EXAMPLE_INSTANT, absent=True)
    ] = None
    frozen_by: Annotated[str | None, Attribute("The freeze that does", format="uuid", absent=True)] = None
    next_fire_at: Annotated[
        datetime | None,
        Attribute(
            "The next fire time that is not excluded. Null unless it is active, and where nothing that is left fires",
            example=EXAMPLE_INSTANT,
        ),
    ] = None
    tzdata: Annotated[str, Attribute("The version of the zone data by which next_fire_at was computed")]


@dataclass(frozen=True, kw_only=True)
class _Written(Answer):
    """By whom and when it was written, and what it uses."""

    created_at: Annotated[datetime, Attribute("When it was created", example=EXAMPLE_INSTANT)]
    updated_at: Annotated[datetime, Attribute("When it was last changed", example=EXAMPLE_INSTANT)]
    updated_by: Annotated[
        str | None, Attribute("The API key that last changed it; null: the server itself", format="uuid")
    ] = None
    version: Annotated[int, Attribute("Rises with every change", minimum=0)]
    delivery_type: Annotated[str, DELIVERY_TYPE]
    connection: Annotated[
        UsedConnection | None, Attribute("The connection that it uses, if it uses one", absent=True)
    ] = None


# The keys of an answer come in the order of the bases, from the last to the first, and then its own.
@dataclass(frozen=True, kw_only=True)
class Cronjob(ShownHttpLast, ShownAws, ShownHttp, ShownSns, _Written, ShownPolicies, _Timing):
    """A cron job. Instants are aware datetimes in UTC; a secret is never in an answer."""

    warnings: Annotated[
        tuple[_Warning, ...] | None,
        Attribute("When it was created or changed: what may be wrong with it all the same", absent=True),
    ] = None
    verification: Annotated[
        Verification | None,
        Attribute("When it was created or changed with verify: what became of the test message", absent=True),
    ] = None
    last_firing: Annotated[
        LastFiring | None,
        Attribute("When it is shown or listed: its last firing, if there is one", absent=True),
    ] = None
    health: Annotated[
        str | Health | None,
        Attribute(
            "When it is shown or listed: by its last firings, failing, late (delivered more than a minute after the"
            " fire time, or its place in the window), new (none has ended yet) or ok",
            absent=True,
        ),
    ] = None
    health_since: Annotated[
        datetime | None,
        Attribute(
            "If it is failing or late: the fire time of the first firing in the row that ended so",
            example=EXAMPLE_INSTANT,
            absent=True,
        ),
    ] = None
    in_a_row: Annotated[
        int | None,
        Attribute(
            "If it is failing or late: how many firings in a row ended so, up to the last",
            minimum=1,
            absent=True,
        ),
    ] = None
    counts_24h: Annotated[
        Counts | None,
        Attribute(
            "When it is shown, or listed with counts: how the fire times of the last 24 hours ended",
            absent=True,
        ),
    ] = None
    counts_7d: Annotated[Counts | None, Attribute("The same for those of the last 7 days", absent=True)] = (
        None
    )
    outcome: Annotated[
        str | Outcome | None,
        Attribute(
            "When it was put by its name: whether it was created, changed or left as it is",
            example="created",
            absent=True,
        ),
    ] = None
