"""One request for many cron jobs on the wire: which ones, what is to become of them, and what a trial run shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, TypedDict

from cronally.contract.attribute import Attribute
from cronally.contract.cronjob_requests import Pause
from cronally.contract.firings import Start
from cronally.contract.listing import CronjobFilters
from cronally.contract.policies import Policies
from cronally.contract.values import Timezone, Uuid
from cronally.contract.writing import Answer
from cronally.cronjob import State

ALL: Final = "all"
DRY_RUN: Final = "dry_run"
AT_ONCE: Final = 100
"""Up to so many cron jobs the request itself goes through; more of them the background."""
MAX_SHOWN: Final = 100
"""So many of the cron jobs a trial run shows, the oldest ones."""


class Selecting(CronjobFilters, total=False):
    """Which cron jobs a request is for: those that a list with these filters would show."""

    all: Annotated[
        bool,
        Attribute("Every cron job of the account; needed where no filter is sent", "true, or a filter"),
    ]


class Trial(TypedDict, total=False):
    """Whether it is only said what would be done."""

    dry_run: Annotated[
        bool,
        Attribute(
            "Whether nothing is changed, and it is only said which cron jobs it is for", "true or false"
        ),
    ]


class PauseMany(Pause, Trial, total=False):
    """How long cron jobs are to stand still, and why."""


class ResumeMany(Trial, total=False):
    """Cron jobs are to fire again."""


class RunMany(Start, Trial, total=False):
    """Each cron job is to fire once; its message is its own."""


class DeleteMany(Trial, total=False):
    """Cron jobs are to be deleted."""


class Change(Policies, total=False):
    """What may be changed of many cron jobs at a time."""

    timezone: Timezone


class ChangeMany(Change, Trial, total=False):
    """What is to be other of cron jobs: policies, and the time zone. What is not sent stays."""


BULK: Final[dict[str, type[Any]]] = {
    "pause": PauseMany,
    "resume": ResumeMany,
    "run": RunMany,
    "delete": DeleteMany,
    "change": ChangeMany,
}
"""What can be done with many cron jobs, by the last part of the path, and what is sent."""


@dataclass(frozen=True, kw_only=True)
class Selected(Answer):
    """A cron job that a request is for."""

    cronjob_id: Uuid
    name: Annotated[str, Attribute("What it is called")]
    state: Annotated[str | State, Attribute("Where it stands")]


@dataclass(frozen=True, kw_only=True)
class Selection(Answer):
    """What a request would be for: the answer to `dry_run`."""

    total: Annotated[int, Attribute("How many cron jobs", minimum=0)]
    cronjobs: Annotated[
        tuple[Annotated[Selected, Attribute("One of them")], ...],
        Attribute(f"The oldest {MAX_SHOWN} of them"),
    ]
