"""How what is scarce is shared out among accounts.

Invariant: whatever some accounts do, they leave a quarter to the others: to those that have none of it, one each.
"""

from __future__ import annotations

from collections import Counter


class Taken:
    """How much of what is scarce is taken, and by whom."""

    __slots__ = ("_by", "_total")

    def __init__(self) -> None:
        self._by: Counter[str] = Counter()
        self._total = 0

    def __bool__(self) -> bool:
        return self._total > 0

    def by(self, account_id: str) -> int:
        """How much an account has."""
        return self._by[account_id]

    def admits(self, account_id: str, limit: int) -> bool:
        """Whether an account may take one more, of `limit` altogether."""
        return self._total < limit - limit // 4 or (self._total < limit and not self._by[account_id])

    def take(self, account_id: str) -> None:
        """An account takes one."""
        self._by[account_id] += 1
        self._total += 1

    def give_back(self, account_id: str) -> None:
        """An account gives one back."""
        self._total -= 1
        self._by[account_id] -= 1
        if not self._by[account_id]:
            del self._by[account_id]
