"""What was refused: counted each time, logged at most every ten seconds for each kind.

Invariant: a flood of refused requests writes no flood of lines, and no line holds anything secret. An address to which
too much is refused is noticed until it has been quiet for 10 to 20 s.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import prometheus_client

LOGGED_EVERY: Final = 10.0
"""Seconds between two lines about the same kind."""
WINDOW: Final = 10.0
MAX_REFUSED: Final = 20
"""More refusals of one address in a window of so many seconds are too many, for that window and the next."""
LINE_FULL: Final = "line_full"
"""What a request is refused for that finds no room in a line."""
MAX_ADDRESSES: Final = 50_000
"""That are counted in a window; those that come later are not."""

_log = logging.getLogger(__name__)


class Refusals:
    """Counts and logs."""

    def __init__(
        self, registry: prometheus_client.CollectorRegistry, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """
        :param clock: seconds, that never go back
        """
        self._total = prometheus_client.Counter(
            "cronally_refused",
            "Requests and connections that were refused or cut, by what for",
            ["what"],
            registry=registry,
        )
        self._clock = clock
        self._logged_at: dict[str, float] = {}
        self._unlogged: Counter[str] = Counter()
        self._window = 0
        self._of_address: Counter[str] = Counter()
        self._before: Counter[str] = Counter()
        """In the window before."""

    def note(self, what: str, address: str, *, at_fault: bool = True) -> None:
        """Count one.

        :param what: a word of a small, fixed set: it is a label
        :param address: the client's, or what limits count it by
        :param at_fault: whether it counts against the address; not where it is refused for what others do
        """
        self._total.labels(what).inc()
        self._unlogged[what] += 1
        now = self._clock()
        self._move(now)
        if at_fault and (len(self._of_address) < MAX_ADDRESSES or address in self._of_address):
            self._of_address[address] += 1
        if now < self._logged_at.get(what, -LOGGED_EVERY) + LOGGED_EVERY:
            return
        self._logged_at[what] = now
        _log.warning("refused", extra={"what": what, "address": address, "count": self._unlogged.pop(what)})

    def too_many(self, address: str, patience: int = 1) -> bool:
        """Whether so much was refused to an address lately that it need not be asked what it wants.

        :param patience: how many times `MAX_REFUSED` it may be
        """
        self._move(self._clock())
        return max(self._of_address[address], self._before[address]) > patience * MAX_REFUSED

    def _move(self, now: float) -> None:
        """Begin a window if the last one is over."""
        window = int(now // WINDOW)
        if window == self._window:
            return
        self._before = self._of_address if window == self._window + 1 else Counter()
        self._of_address = Counter()
        self._window = window
