"""What `cronally doctor` finds: how each part stands on which a server stands, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from cronally.contract.attribute import Attribute
from cronally.contract.writing import Answer


class Verdict(StrEnum):
    """How a part stands."""

    OK = "ok"
    WARNING = "warning"
    """It works, and will not always."""
    FAILED = "failed"
    UNKNOWN = "unknown"
    """It could not be looked at."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis(Answer):
    """What a look at one part has found."""

    check: Annotated[str, Attribute("What was looked at", example="clock")]
    verdict: Annotated[Verdict, Attribute("How it stands")]
    detail: Annotated[str, Attribute("What was found")]
    advice: Annotated[str | None, Attribute("What to do; null: nothing")] = None
