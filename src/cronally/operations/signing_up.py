"""How often an address may ask for an account.

Invariant: every ask is counted in the database, which all nodes share, until its address has used its minute up. From
then on this process refuses by itself: who floods writes nothing.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Final

from cronally import errors
from cronally.instants import MINUTE, SECOND
from cronally.store import Store, signups
from cronally.wire import Limit

REMEMBERED: Final = 10_000
"""Addresses that have used their minute up. Of more, the first ones are asked about in the database again."""


class SignupLimit:
    """Counts sign-ups."""

    def __init__(
        self, store: Store, per_minute: int, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """
        :param per_minute: how many one address may ask for
        """
        self._store = store
        self._per_minute = per_minute
        self._monotonic = monotonic
        self._used_up: OrderedDict[str, float] = OrderedDict()
        """When the minute of each address ends."""

    async def count(self, address: str) -> None:
        """Count that an address asks for an account. Raises RateLimited when it asks too often.

        :param address: an IPv4 address or an IPv6 /64, as text
        """
        left = self._used_up.get(address, 0.0) - self._monotonic()
        if left > 0:
            raise self._refusal(math.ceil(left))
        self._used_up.pop(address, None)
        now = await self._store.clock()
        minute = now - now % MINUTE
        count = partial(signups.count_signup, address=address, minute=minute)
        if await self._store.transact(count) > self._per_minute:
            seconds = (minute + MINUTE - now) // SECOND + 1
            self._used_up[address] = self._monotonic() + seconds
            if len(self._used_up) > REMEMBERED:
                self._used_up.popitem(last=False)
            raise self._refusal(seconds)

    def _refusal(self, seconds: int) -> errors.RateLimited:
        limit = Limit("sign-ups", self._per_minute, MINUTE // SECOND)
        return errors.RateLimited(retry_after=seconds, limit=limit)
