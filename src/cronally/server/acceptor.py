"""Accepts connections: many at a time, and goes on when the process has run out of file descriptors.

Invariant: one turn of the event loop accepts up to `AT_ONCE` connections. The loop's own server accepts one in a turn
(libuv since 1.45), so that a few hundred clients that connect again and again let everybody wait for seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable
from typing import Final

AT_ONCE: Final = 64
PAUSE: Final = 1.0
"""Seconds before it is tried again when a connection could not be accepted."""
HELD: Final = 512
"""Connections of blocked addresses that are held before they are closed. More are closed at once."""
UNREAD: Final = 4096
"""Bytes that the kernel keeps of what one of them sends, about; what came before it was accepted stays."""
HOLD: Final = 1.0
"""Seconds. Who waits for the end of a connection before it opens the next one comes once in this time: accepting and
closing at once took 30 % of the CPU time of the API's thread under attack."""


class Acceptor:
    """Accepts on one listening socket, as an `asyncio.Server` does for uvicorn."""

    def __init__(
        self,
        listening: socket.socket,
        make_protocol: Callable[[], asyncio.Protocol],
        failed: Callable[[OSError], None],
        blocked: Callable[[str], bool] = lambda peer: False,
    ) -> None:
        """
        :param blocked: whether connections from an address are closed, with nothing read
        :param failed: called when a connection could not be accepted, at most once in `PAUSE`
        """
        self._listening = listening
        self._make_protocol = make_protocol
        self._failed = failed
        self._blocked = blocked
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[object]] = set()
        self._resume: asyncio.TimerHandle | None = None
        self._held: deque[socket.socket] = deque()
        listening.setblocking(False)
        self._start()

    def close(self) -> None:
        """Accept nothing more. The socket is the caller's to close."""
        if self._resume is not None:
            self._resume.cancel()
        self._loop.remove_reader(self._listening)
        while self._held:
            self._let_go()

    async def wait_closed(self) -> None:
        """Wait until what was accepted has a protocol."""
        if self._opening:
            await asyncio.wait(self._opening)

    def _start(self) -> None:
        self._resume = None
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                opened, peer = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as problem:
                # Out of file descriptors or memory: the socket stays readable, so looking again at once would spin.
                self._failed(problem)
                self._loop.remove_reader(self._listening)
                self._resume = self._loop.call_later(PAUSE, self._start)
                return
            if isinstance(peer, tuple) and self._blocked(peer[0]):
                self._hold(opened)
            else:
                self._open(opened)

    def _hold(self, opened: socket.socket) -> None:
        """Keep a connection that nothing is read from for a while, and close it."""
        if len(self._held) < HELD:
            # What it sends meanwhile stays in the kernel, whose memory counts for the process.
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UNREAD)
            self._held.append(opened)
            self._loop.call_later(HOLD, self._let_go)
        else:
            opened.close()

    def _let_go(self) -> None:
        """Close the one that was held longest."""
        if self._held:
            self._held.popleft().close()

    def _open(self, opened: socket.socket) -> None:
        opened.setblocking(False)
        with contextlib.suppress(OSError):  # a Unix socket has no such option
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task: asyncio.Task[object] = self._loop.create_task(
            self._loop.connect_accepted_socket(self._make_protocol, opened)
        )
        self._opening.add(task)
        task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[object]) -> None:
        self._opening.discard(task)
        if not task.cancelled() and isinstance(problem := task.exception(), OSError):
            self._failed(problem)
