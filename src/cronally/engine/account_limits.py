"""How many firings accounts may have in flight that have a limit of their own, as one node knows it.

Invariant: what is known is at most a step old, and a firing asks no database: an account whose limit cannot be read has
the server's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

from cronally.store import Store, accounts

POLL: Final = 5.0
"""Seconds between two steps: as long a new limit may take to count."""


class AccountLimits:
    """Of one node. Belongs to one event loop."""

    def __init__(self, store: Store, tell: Callable[[Mapping[str, int]], None]) -> None:
        """
        :param tell: is told in each step which accounts may have how many in flight
        """
        self._store = store
        self._tell = tell

    async def step(self) -> float | None:
        """Read the limits that accounts have of their own."""
        own = await self._store.read(accounts.list_limits)
        caps = {account_id: json.loads(limits).get("in_flight") for account_id, limits in own.items()}
        self._tell({account_id: cap for account_id, cap in caps.items() if type(cap) is int and cap > 0})
        return None
