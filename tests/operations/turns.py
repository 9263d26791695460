"""Whose turn it is, counted."""

from __future__ import annotations


class CountedTurns:
    """An asker that counts how often it gives back what it holds."""

    def __init__(self, asker: str) -> None:
        self.asker = asker
        self.settled = self.taken = 0

    def count(self, seconds: float) -> None:
        assert seconds >= 0

    def settle(self) -> None:
        self.settled += 1

    async def take(self) -> None:
        self.taken += 1
