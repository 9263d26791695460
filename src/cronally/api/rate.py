"""How often a client may ask: an address for what needs no account, an account for everything else.

Invariant: the counts live in this process, for a minute, and are bounded: a flood of askers costs no more memory
than a full table. Many nodes admit as many times more: what is guarded is each node's own CPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from cronally import errors

MINUTE: Final = 60.0
MAX_ASKERS: Final = 50_000
"""Those that come later in a minute share one count."""

_OTHERS: Final = "others"


class Rate:
    """Counts asks by asker."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        """
        :param per_minute: how many asks of one asker are admitted in a minute
        :param clock: seconds, that never go back
        """
        self._per_minute = per_minute
        self._clock = clock
        self._began_at = clock()
        self._asked: dict[str, int] = {}

    def count(self, asker: str) -> None:
        """Count an ask. Raises RateLimited when the asker asks too often.

        :param asker: an IPv4 address or an IPv6 /64 as text, or the id of an account
        """
        since = self._clock() - self._began_at
        if since >= MINUTE:
            self._began_at += since - since % MINUTE
            since %= MINUTE
            self._asked.clear()
        if asker not in self._asked and len(self._asked) >= MAX_ASKERS:
            asker = _OTHERS
        asked = self._asked[asker] = self._asked.get(asker, 0) + 1
        if asked > self._per_minute:
            raise errors.RateLimited(retry_after=int(MINUTE - since) + 1)
