"""At which pace firings of the past are made due: so many a minute of a request, and so many of an account.

Invariant: pure, and decided here alone, for one firing as for many. Two that one request makes due are an interval
apart, and two of an account `APART`. So of an account `MAX_PER_MINUTE` are made due in any minute, whatever asks for
them and whatever ended a process between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cronally.contract.replays import DEFAULT_PER_MINUTE, MAX_PER_MINUTE
from cronally.instants import MINUTE, SECOND

APART: Final = MINUTE // MAX_PER_MINUTE
AHEAD: Final = 5 * SECOND
"""So far ahead firings are made due: whoever cancels the rest finds few of them waiting."""
BURST: Final = 30 * SECOND
"""So far ahead the pace of an account may be for firings that are replayed one by one."""
MAX_AT_ONCE: Final = BURST // APART
"""So many of them may be asked for at once."""


class Pacer:
    """The pace in one transaction."""

    def __init__(self, now: int, interval: int, next_due: int, paced_at: int) -> None:
        """
        :param interval: between two of the request
        :param next_due: when the next of the request may be due
        :param paced_at: the same of the account, as `accounts.lock_pace` has it
        """
        self.now = now
        self._interval = interval
        # What a clock that was ahead has written holds nothing.
        self.next_due = max(next_due, now) if next_due <= now + AHEAD + interval else now
        self.paced_at = paced_at

    @property
    def due(self) -> int:
        """When the next one is due."""
        return max(self.next_due, self.paced_at)

    @property
    def is_full(self) -> bool:
        """Whether no other is made due yet."""
        return self.due > self.now + AHEAD

    @property
    def is_spent(self) -> bool:
        """Whether no other is taken that is asked for alone."""
        return self.due >= self.now + BURST

    @property
    def wait(self) -> float | None:
        """Seconds until there is room for another; None if there is."""
        return (self.due - AHEAD - self.now) / SECOND if self.is_full else None

    def take(self) -> int:
        """When one that is made now is due."""
        due = self.due
        self.next_due, self.paced_at = due + self._interval, due + APART
        return due

    def has_made(self, owed_at: int, since: int) -> bool:
        """Whether a part may have made due, since an instant, what is owed at another one.

        It goes not so far ahead. What a freeze has held is owed at the end of that, also once it is skipped.
        """
        return since <= owed_at <= self.now + AHEAD + self._interval

    def pass_by(self, owed_at: int) -> None:
        """Leave room behind one that was made before, in a part that is done again."""
        self.next_due = max(self.next_due, owed_at + self._interval)


def interval_of(parameters: Mapping[str, Any]) -> int:
    """How far apart the firings of a request are.

    :param parameters: as they were sent, and can be used
    """
    return MINUTE // int(parameters.get("max_per_minute", DEFAULT_PER_MINUTE))
