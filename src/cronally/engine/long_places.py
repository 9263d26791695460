"""The places of requests that may take long: longer than a request of the server usually may, by their own timeout.

Invariant: they hold these places and no others, so no number of them keeps an ordinary request from going. An account
has a quarter of them at most, and the last quarter is for accounts that hold none, one each (`fairness`).
"""

from __future__ import annotations

from cronally.fairness import Taken
from cronally.store.claims import Claim


class LongPlaces:
    """Of one node. Belongs to one event loop."""

    def __init__(self, places: int) -> None:
        """
        :param places: requests at once; 0 if none is to take long
        """
        self.places = places
        self._each = max(1, places // 4)
        self._taken = Taken()
        self._seconds: dict[int, float] = {}
        """That each of those that hold a place may take, by the identity of its claim."""

    def __len__(self) -> int:
        """How many places are held."""
        return len(self._seconds)

    def admits(self, account_id: str) -> bool:
        """Whether an account may take a place."""
        return self._taken.by(account_id) < self._each and self._taken.admits(account_id, self.places)

    def begin(self, claim: Claim, seconds: float) -> None:
        """A claim takes a place, for a request that may take so long."""
        self._taken.take(claim.account_id)
        self._seconds[id(claim)] = seconds

    def end(self, claim: Claim) -> None:
        """A claim gives its place back."""
        del self._seconds[id(claim)]
        self._taken.give_back(claim.account_id)

    def seconds(self, claim: Claim) -> float | None:
        """That the request of a claim may take; None for one that holds no place here."""
        return self._seconds.get(id(claim))
