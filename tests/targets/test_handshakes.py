"""The work of handshakes beside the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import cast

import pytest

from cronally.targets.answer import AnswerError
from cronally.targets.connection import MAX_READS, Connection
from cronally.targets.handshakes import Handshakes
from cronally.targets.tls import TlsSession


class Work:
    """Steps that say in which order they ran, and where. The first one waits until all have been added."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.then: list[str] = []
        self.threads: set[int] = set()
        self.begun = threading.Event()
        self.added = threading.Event()
        self.all = asyncio.Event()
        self.count = 0

    def step(self, name: str) -> Callable[[], Callable[[], None]]:
        self.count += 1

        def run() -> Callable[[], None]:
            self.begun.set()
            self.added.wait(60)
            self.threads.add(threading.get_ident())
            self.done.append(name)
            return lambda: self._end(name)

        return run

    def _end(self, name: str) -> None:
        assert threading.current_thread() is threading.main_thread()
        self.then.append(name)
        if len(self.then) == self.count:
            self.all.set()


async def test_accounts__take_turns_in_one_thread_beside_the_event_loop() -> None:
    work = Work()
    those = Handshakes()
    # The first of `a` may have begun before there is anything of the others.
    for name in ("a0", "a1", "a2", "b0", "c0", "b1"):
        those.add(name[0], work.step(name))
    work.added.set()
    await work.all.wait()
    assert work.done == work.then
    assert work.done[0] == "a0"
    assert sorted(work.done[1:4]) == ["a1", "b0", "c0"]
    assert sorted(work.done[4:]) == ["a2", "b1"]
    assert work.threads.isdisjoint({threading.get_ident()})
    assert len(work.threads) == 1
    those.close()


async def test_close__runs_no_more_and_refuses_none() -> None:
    work = Work()
    those = Handshakes()
    those.add("a", work.step("a0"))
    those.add("a", work.step("a1"))
    await asyncio.to_thread(work.begun.wait, 60)
    those.close()
    those.add("a", work.step("a2"))
    work.count = 1
    work.added.set()
    await work.all.wait()
    assert work.done == ["a0"]


class OtherThreadsOnly:
    """A session that nobody may touch in the event loop's thread."""

    established = False
    ended = False

    def receive(self, _data: bytes) -> bytes:
        assert threading.current_thread() is not threading.main_thread()
        return b""

    def to_send(self) -> bytes:
        assert threading.current_thread() is not threading.main_thread()
        return b""


@pytest.mark.parametrize("given_up", [False, True])
async def test_connection__leaves_the_session_to_the_thread_until_it_is_established(given_up: bool) -> None:
    """Whatever comes in the middle of a handshake: too many pieces, or more after the request was given up."""
    those = Handshakes()
    accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    server = await asyncio.start_server(lambda _, writer: accepted.put_nowait(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    session = cast("TlsSession", OtherThreadsOnly())
    loop = asyncio.get_running_loop()
    transport, made = await loop.create_connection(lambda: Connection(session, those), "127.0.0.1", port)
    if given_up:
        waiting = asyncio.create_task(made.established())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    for _ in range(MAX_READS + 1):
        made.data_received(b"x")
    if not given_up:
        with pytest.raises(AnswerError, match="pieces"):
            await made.established()
    transport.close()
    those.close()
    writer = await accepted.get()
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    server.close()
    await server.wait_closed()
