"""Following a firing, or an operation, to its end: when to ask again, and whether what is found is news.

Invariant: it is never asked twice at once, and whoever is told to slow down does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Final, Generic, Protocol, TypeVar

FIRST_PAUSE: Final = 0.2
MAX_PAUSE: Final = 5.0
"""Seconds between two questions: at first, and in the end."""


class Ends(Protocol):
    """What can be followed."""

    @property
    def finished_at(self) -> datetime | None:
        """When it ended."""


T = TypeVar("T", bound=Ends)


class Following(Generic[T]):
    """What is known of a thing that is followed."""

    def __init__(self, first: T, timeout: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        """
        :param timeout: seconds; None for no end
        :param clock: seconds, that never go back
        """
        self._known = first
        self._told = False
        """Whether anything was found yet: the first one found is news, for it has its attempts, if it is a firing."""
        self._clock = clock
        self._ends = None if timeout is None else clock() + timeout
        self._next = FIRST_PAUSE

    def pause(self) -> float | None:
        """Seconds until it is to be asked for again; None when it has ended, or the time is over."""
        if self._told and self._known.finished_at is not None:
            return None
        pause, self._next = self._next, min(MAX_PAUSE, self._next * 1.5)
        if self._ends is None:
            return pause
        left = self._ends - self._clock()
        return None if left <= 0 else min(pause, left)

    def slow_down(self, seconds: int | None) -> None:
        """Wait for so long, at least, before the next question."""
        self._next = max(self._next, float(seconds or MAX_PAUSE))

    def has_changed(self, found: T) -> bool:
        """Whether it is other, as it was found, than it was."""
        changed = found != self._known or not self._told
        self._known, self._told = found, True
        return changed
