"""What one thread does that must not wait goes before what another thread does.

Python's threads share one interpreter, and a thread that wants it while another one is busy waits for the switch
interval, each time that it comes back from a call of SQLite: hundreds of times in a transaction. A transaction of the
engine that takes 5 ms took 50 ms beside an API that was never idle. So the busy thread stands still meanwhile.

Invariant: who gives way stands still for `LONGEST` at a time, and for half of the time altogether.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

LONGEST: Final = 0.01
"""Seconds."""


class Precedence:
    """Between two threads."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """
        :param clock: seconds, that never go back
        """
        self._clock = clock
        self._over = threading.Event()
        self._over.set()
        self._again = 0.0
        """When who gives way does so again."""

    def begin(self) -> None:
        """Something that must not wait begins, or is asked for."""
        self._over.clear()

    def end(self) -> None:
        """Nothing that must not wait is left."""
        self._over.set()

    def give_way(self) -> None:
        """Let what must not wait be done first. Always called by the same thread."""
        if self._over.is_set():
            return
        began = self._clock()
        if began < self._again:
            return
        self._over.wait(LONGEST)
        ended = self._clock()
        self._again = ended + (ended - began)
