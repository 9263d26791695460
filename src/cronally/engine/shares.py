"""How many of a node's places in flight an account may hold: fewer, the longer its targets take to answer.

Invariant: an account holds no more than it has earned, and may always hold one. A quick answer earns a place more; a
slow one, or none, halves what it has, down to `cap / seconds**2` (additive increase, multiplicative decrease). Accounts
that have earned less than their cap hold three quarters of the places at most together, and what is left of them is for
accounts that hold none, one each.

So what accounts can keep from others that send to targets that never answer is a place each, once they are known.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Final

FIRST: Final = 10
"""Places that an account has earned before anything is known of it: as many as go out in one request."""
MAX_KNOWN: Final = 10_000
"""Accounts that are remembered: those that sent last."""


class Shares:
    """Of the places of one node. Its event loop writes; a claim may read in another thread."""

    def __init__(self, places: int, cap: int, first: int | None = None) -> None:
        """
        :param places: firings that the node sends at once
        :param cap: firings of one account that it sends at once, at most
        :param first: how many of an account that nothing is known of; as many as the cap by default
        """
        self._places = places
        self._cap = cap
        self._first = cap if first is None else min(first, cap)
        self._earned: OrderedDict[str, int] = OrderedDict()

    def ended(self, account_id: str, seconds: float) -> None:
        """A request of an account took so long, whatever came of it."""
        earned = self.earned(account_id)
        ceiling = self._cap if seconds <= 1.0 else max(1, int(self._cap / seconds**2))
        self._earned[account_id] = earned + 1 if earned < ceiling else max(ceiling, earned // 2)
        self._earned.move_to_end(account_id)
        if len(self._earned) > MAX_KNOWN:
            self._earned.popitem(last=False)

    def earned(self, account_id: str) -> int:
        """How many places an account may hold."""
        return self._earned.get(account_id, self._first)

    def trusts(self, account_id: str) -> bool:
        """Whether an account has earned all that its cap allows."""
        return self.earned(account_id) >= self._cap

    def common(self, sending: int) -> int:
        """How many more places accounts that are not trusted may fill, when so many are filled; none: one each."""
        return max(0, self._places - self._places // 4 - sending)

    def room_of(self, account_id: str, in_flight: Counter[str], sending: int) -> int:
        """How many more places an account may take.

        :param in_flight: what each account holds
        :param sending: what all of them hold
        """
        held = in_flight[account_id]
        if self.common(sending) or self.trusts(account_id):
            return max(0, self.earned(account_id) - held)
        return 0 if held else 1
