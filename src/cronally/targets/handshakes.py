"""The work of TLS handshakes, in a thread beside the event loop, accounts in turn.

Invariant: no step of a handshake runs in the event loop, one runs at a time, and those of one account run in the order
in which they were added. A handshake costs about a millisecond, thirty times as much as a request, most of it in
OpenSSL, which lets other threads run meanwhile. In the event loop, hundreds of handshakes that are due together, of
hosts that close each connection, would delay all other firings by as many milliseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from cronally.fairness import Rotation

Step = Callable[[], Callable[[], None]]
"""Runs in the thread, must not raise, and returns what is then to be done in the event loop."""


class Handshakes:
    """Steps of handshakes that wait for their turn. Belongs to one event loop."""

    def __init__(self, thread: str = "cronally-handshakes") -> None:
        """
        :param thread: its name
        """
        self._lock = threading.Lock()
        self._waiting: Rotation[Step] = Rotation()
        self._thread = ThreadPoolExecutor(1, thread)

    def add(self, account_id: str, step: Step) -> None:
        """Run a step when its turn comes."""
        with self._lock:
            self._waiting.add(account_id, step)
        with contextlib.suppress(RuntimeError):  # closed: whoever waits for it is about to be cut off
            self._thread.submit(self._run_next, asyncio.get_running_loop())

    def close(self) -> None:
        """Run no more of them."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _run_next(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            step = self._waiting.take()
        then = step()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing waits any more
            loop.call_soon_threadsafe(then)
