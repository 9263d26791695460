"""What was refused: counted each time, logged at most every ten seconds for each kind.

Invariant: a flood of refused requests writes no flood of lines, and no line holds anything secret.
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

    def note(self, what: str, address: str) -> None:
        """Count one.

        :param what: a word of a small, fixed set: it is a label
        :param address: the client's, or what limits count it by
        """
        self._total.labels(what).inc()
        self._unlogged[what] += 1
        now = self._clock()
        if now < self._logged_at.get(what, -LOGGED_EVERY) + LOGGED_EVERY:
            return
        self._logged_at[what] = now
        _log.warning("refused", extra={"what": what, "address": address, "count": self._unlogged.pop(what)})
