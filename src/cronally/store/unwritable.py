"""What a database that answers would not write lately: its disk is full, or it is read-only.

Invariant: it is learnt from work that was done anyway, so nobody can cause a write by asking.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from cronally import errors

LATELY: Final = 30.0
"""Seconds. Each process writes more often: its heartbeats."""


class Reason(StrEnum):
    """Why a database cannot be written: the message of an `errors.Unavailable`."""

    FULL = "The database cannot be written: its disk is full."
    READ_ONLY = "The database cannot be written: it is read-only."
    OTHER = "The database cannot be written right now; try again in a moment."


class Unwritable:
    """Remembers the last refusal. Safe to share between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """
        :param clock: seconds, that never go back
        """
        self._clock = clock
        self._last: tuple[float, Reason] | None = None

    def note(self, problem: errors.Unavailable) -> None:
        """Remember why work failed, if it was for one of the reasons here."""
        with contextlib.suppress(ValueError):
            self._last = (self._clock(), Reason(problem.message))

    def lately(self) -> Reason | None:
        """Why something could not be written in the last `LATELY` seconds; None if everything could.

        A small write may succeed where a large one does not, so a success takes nothing back.
        """
        last = self._last
        return last[1] if last is not None and self._clock() - last[0] < LATELY else None
