"""Operations on the wire: work on many things in the background, its progress and its result."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, TypedDict

from cronally.contract.attribute import Attribute
from cronally.contract.values import EXAMPLE_INSTANT, Cursor, Limit, Uuid
from cronally.contract.writing import Answer

MAX_PROBLEMS: Final = 20
"""So many of the things that went wrong are told, the first ones."""


class OperationState(StrEnum):
    """Where an operation stands. Only a running one changes."""

    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"
    """It ended before its end, by an error of the server."""


class OperationPage(TypedDict, total=False):
    """Which operations are listed, newest first."""

    limit: Limit
    cursor: Cursor


@dataclass(frozen=True, kw_only=True)
class Problem(Answer):
    """What went wrong with one thing that an operation went through."""

    cronjob_id: Annotated[str | None, Attribute("The cron job", format="uuid", absent=True)] = None
    name: Annotated[str | None, Attribute("What the cron job is called", absent=True)] = None
    problem: Annotated[str, Attribute("What went wrong, as a text")]


@dataclass(frozen=True, kw_only=True)
class Operation(Answer):
    """Work on many things. Where it is much it goes on in the background, item by item."""

    operation_id: Uuid
    action: Annotated[str, Attribute("What it does", example="pause")]
    filters: Annotated[
        dict[str, str] | None,
        Attribute("Which cron jobs or firings it is for, as they were sent", absent=True),
    ] = None
    parameters: Annotated[
        dict[str, str] | None, Attribute("What else was sent, as it was sent", absent=True)
    ] = None
    state: Annotated[
        str | OperationState,
        Attribute("Where it stands: running, completed, cancelled or failed", example="completed"),
    ]
    total: Annotated[
        int | None,
        Attribute("How many it was for when it began; null where that is not known", minimum=0),
    ] = None
    done: Annotated[int, Attribute("How many are done", minimum=0)]
    failed: Annotated[int, Attribute("How many could not be done", minimum=0)]
    problems: Annotated[
        tuple[Annotated[Problem, Attribute("What went wrong with one of them")], ...],
        Attribute(f"What went wrong with the first {MAX_PROBLEMS} that could not be done"),
    ]
    created_by: Annotated[str, Attribute("The API key that asked for it", format="uuid")]
    created_at: Annotated[datetime, Attribute("When it was asked for", example=EXAMPLE_INSTANT)]
    updated_at: Annotated[datetime, Attribute("When it last went on", example=EXAMPLE_INSTANT)]
    finished_at: Annotated[
        datetime | None, Attribute("When it ended; null while it is running", example=EXAMPLE_INSTANT)
    ] = None
