"""Dead letters on the wire: firings that have failed and are not discarded, and what is said when they are.

Invariant: a dead letter is a row of the ledger; it has no table and no form of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, TypedDict

from cronally.contract.attribute import Attribute
from cronally.contract.firings import FIELDS, ChosenByAll, Form, OfCronjobs, Ordered, Paged
from cronally.contract.replays import OfFireTime
from cronally.contract.values import check_note
from cronally.contract.writing import Answer

MOST: Final = 10_000
"""So many dead letters one request discards."""
NOTE: Final = "note"

Note = Annotated[
    str,
    Attribute(
        "Why nothing more is to become of it, for people",
        "why it is discarded",
        example="made up for by hand",
        check=check_note,
        min_length=1,
        max_length=256,
    ),
]


class DeadLetters(ChosenByAll, OfCronjobs, Ordered, total=False):
    """Which dead letters of the account are meant, and which of them first."""


class DeadLetterPage(DeadLetters, Paged, total=False):
    """Which dead letters of the account are listed."""


class DeadLetterQuery(DeadLetterPage, Form, total=False):
    """Which dead letters of the account are listed, in which form, and what is shown of each."""

    fields: Annotated[list[str], FIELDS]


class _Noted(TypedDict):
    note: Note


class Discard(_Noted, OfFireTime):
    """Which of the firings of one fire time is discarded, and why."""


class DeadLetterFilters(ChosenByAll, OfCronjobs, total=False):
    """Which dead letters are meant: those for which all of it holds."""

    all: Annotated[
        bool,
        Attribute("Every dead letter of the account; needed where no filter is sent", "true, or a filter"),
    ]


class _Trial(TypedDict, total=False):
    dry_run: Annotated[
        bool, Attribute("Whether nothing is changed, and it is only said how many they are", "true or false")
    ]


class DiscardMany(_Noted, DeadLetterFilters, _Trial):
    """Which dead letters are discarded, and why."""


@dataclass(frozen=True, kw_only=True)
class Discarded(Answer):
    """What a request for many has done, or would do."""

    total: Annotated[int, Attribute(f"How many dead letters, {MOST:,} at most", minimum=0)]
    more: Annotated[bool, Attribute("Whether there are more like that: the same request again discards them")]
