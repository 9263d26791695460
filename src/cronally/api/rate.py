"""How much a client may ask for in a minute: an address for what needs no account, an account for everything else.

Invariant: the counts live in this process, for a minute, and are bounded: a flood of askers costs no more memory
than a full table. Many nodes admit as many times more: what is guarded is each node's own CPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from cronally import errors
from cronally.wire import Limit

MINUTE: Final = 60
"""Seconds."""
MAX_ASKERS: Final = 50_000
"""Those that come later in a minute share one count."""

_OTHERS: Final = "others"


def per_minute(name: str, quota: int, unit: str | None = None) -> Limit:
    """The limit of so many a minute."""
    return Limit(name, quota, MINUTE, unit)


class Rate:
    """Counts what askers use of one limit: requests, or seconds."""

    def __init__(
        self, limit: Limit, message: str | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """
        :param limit: how much one asker may use in a window
        :param message: what to say to one that has, `{}` is how much it may use; the error's own by default
        :param clock: seconds, that never go back
        """
        self._limit = limit
        self._message = message
        self._clock = clock
        self._began_at = clock()
        self._used: dict[str, float] = {}

    def count(self, asker: str, quota: int | None = None) -> None:
        """Count a request. Raises RateLimited when the asker asks too often.

        :param asker: an IPv4 address or an IPv6 /64 as text, or the id of an account
        :param quota: how much this one may use, where that is not what every asker may
        """
        limit = self._limit if quota is None else self._limit._replace(quota=quota)
        if self.spend(asker, 1) > limit.quota:
            self._refuse(limit)

    def check(self, asker: str, quota: int | None = None) -> None:
        """Raises RateLimited when the asker has used as much as it may.

        :param quota: as in `count`
        """
        self._forget()
        limit = self._limit if quota is None else self._limit._replace(quota=quota)
        if self._used.get(self._name(asker), 0) >= limit.quota:
            self._refuse(limit)

    def spend(self, asker: str, amount: float) -> float:
        """Count what the asker has used; return how much that is in this window."""
        self._forget()
        name = self._name(asker)
        used = self._used[name] = self._used.get(name, 0) + amount
        return used

    def _name(self, asker: str) -> str:
        return asker if asker in self._used or len(self._used) < MAX_ASKERS else _OTHERS

    def _forget(self) -> float:
        """Begin a new window if it is time; return how old the window is."""
        since = self._clock() - self._began_at
        if since >= self._limit.window:
            self._began_at += since - since % self._limit.window
            since %= self._limit.window
            self._used.clear()
        return since

    def _refuse(self, limit: Limit) -> None:
        retry_after = int(limit.window - self._forget()) + 1
        message = None if self._message is None else self._message.format(limit.quota)
        raise errors.RateLimited(message, retry_after=retry_after, limit=limit)
