"""The work of TLS handshakes, in small portions between everything else that the event loop does.

Invariant: in one turn of the event loop, handshakes take `PORTION` seconds, and what is begun then is ended. Accounts
take turns, step by step. A handshake costs about a millisecond, thirty times as much as a request: hundreds that arrive
together, of hosts that close each connection, would delay all other firings by as many milliseconds.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

PORTION: Final = 0.005
"""Seconds."""


class Handshakes:
    """Steps of handshakes that wait for their turn. Belongs to one event loop."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """
        :param clock: seconds
        """
        self._clock = clock
        self._waiting: OrderedDict[str, deque[Callable[[], None]]] = OrderedDict()
        """The steps of each account, which is next first."""
        self._planned = False

    def add(self, account_id: str, step: Callable[[], None]) -> None:
        """Run a step when its turn comes; those of one account run in the order in which they were added.

        :param step: must not raise
        """
        self._waiting.setdefault(account_id, deque()).append(step)
        self._plan()

    def _plan(self) -> None:
        if not self._planned and self._waiting:
            self._planned = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        self._planned = False
        ends = self._clock() + PORTION
        while self._waiting:
            account_id, steps = next(iter(self._waiting.items()))
            step = steps.popleft()
            if steps:
                self._waiting.move_to_end(account_id)
            else:
                del self._waiting[account_id]
            step()
            if self._clock() >= ends:
                break
        self._plan()
