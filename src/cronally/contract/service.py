"""The service on the wire: errors, and whether the server is well."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal

from cronally.contract.attribute import Attribute
from cronally.contract.values import EXAMPLE_INSTANT, ZoneData
from cronally.contract.writing import Answer

MAX_NOTICE: Final = 200
"""Characters of a notice."""


@dataclass(frozen=True, kw_only=True)
class Failure(Answer):
    """What went wrong."""

    code: Annotated[str, Attribute("For programs", example="invalid_request")]
    message: Annotated[str, Attribute("For people; says what to do")]
    fields: Annotated[dict[str, str], Attribute("What is wrong with each parameter")]
    server_time: Annotated[
        datetime | None, Attribute("With 401: the time of the server", example=EXAMPLE_INSTANT, absent=True)
    ] = None
    error_id: Annotated[
        str | None, Attribute("With 500: finds the error in the server's log", absent=True)
    ] = None


@dataclass(frozen=True, kw_only=True)
class Error(Answer):
    """The envelope of every answer that is not a success."""

    status: Annotated[Literal["error"], Attribute("")] = "error"
    error: Annotated[Failure, Attribute("What went wrong")]


@dataclass(frozen=True, kw_only=True)
class Health(Answer):
    """That the process lives."""

    version: Annotated[str, Attribute("The server's version")]


@dataclass(frozen=True, kw_only=True)
class Readiness(Answer):
    """How the engine stands, over all nodes."""

    database: Annotated[Literal["answers"], Attribute("That the database answers")] = "answers"
    now: Annotated[datetime, Attribute("The time of the database", example=EXAMPLE_INSTANT)]
    last_tick_at: Annotated[
        datetime | None, Attribute("When any scheduler last ticked", example=EXAMPLE_INSTANT)
    ] = None
    last_tick_age_ms: Annotated[int | None, Attribute("How long ago that was", minimum=0)] = None
    oldest_due_at: Annotated[
        datetime | None, Attribute("Since when the oldest firing has been due", example=EXAMPLE_INSTANT)
    ] = None
    oldest_due_age_ms: Annotated[int | None, Attribute("How long ago that was", minimum=0)] = None
    tzdata: Annotated[ZoneData, Attribute("The version of this node's zone data", example="2026f")]
    newest_tzdata: Annotated[
        str | None, Attribute("The newest version that any node of this database had")
    ] = None
    warning: Annotated[
        str | None,
        Attribute(
            "Where this node's zone data are older: it does not tick; or where the clock has jumped ahead and is not"
            " believed yet",
            absent=True,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Status(Answer):
    """What the server's operator has to tell."""

    notice: Annotated[str | None, Attribute("The operator's notice; null: there is none")] = None
    since: Annotated[datetime | None, Attribute("Since when it stands", example=EXAMPLE_INSTANT)] = None
    until: Annotated[
        datetime | None, Attribute("When it ends by itself; null: it does not", example=EXAMPLE_INSTANT)
    ] = None
