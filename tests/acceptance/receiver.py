"""The receiving end: answers as SNS does, as each test tells it to, and keeps every request with its own clock.

Invariant: a message stands in `requests` from the moment its request was read whole, before anything is decided about
the answer; so whatever a server believes, here is what reached the other side. It checks no signature: the tests of the
main path do that, against moto.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl
from uuid import uuid4

_XML: Final = (
    '<PublishResponse xmlns="https://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>{}</MessageId>'
    "</PublishResult><ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata></PublishResponse>"
)
_BATCH_XML: Final = (
    '<PublishBatchResponse xmlns="https://sns.amazonaws.com/doc/2010-03-31/"><PublishBatchResult><Failed/><Successful>'
    "{}</Successful></PublishBatchResult><ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata>"
    "</PublishBatchResponse>"
)
_MEMBER_XML: Final = "<member><MessageId>{}</MessageId><Id>{}</Id></member>"
_ERROR: Final = (
    '<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type><Code>{}</Code>'
    "<Message>{}</Message></Error><RequestId>00000000-0000-4000-8000-000000000000</RequestId></ErrorResponse>"
)


@dataclass(frozen=True)
class Publish:
    """One message as it arrived, alone or with others."""

    received_at: int
    """Microseconds since 1970, by the receiver's clock, when it had been read whole."""
    topic: str
    message: str
    attributes: dict[str, str]
    authorization: str
    message_id: str
    """The id that the receiver gives it, or would give it."""
    together: int
    """How many messages its request brought."""

    @property
    def firing_id(self) -> str:
        return self.attributes["cronally-firing-id"]

    @property
    def attempt(self) -> int:
        return int(self.attributes["cronally-attempt"])


Answer = Callable[[Publish], Awaitable[bytes | None]]
"""Decides what is sent back; None cuts the connection. Asked once a request: what it says of the first message of a
batch goes for all of it."""


def accept_after(seconds: float) -> Answer:
    """Take it, and say so after a while."""

    async def answer(publish: Publish) -> bytes:
        if seconds:
            await asyncio.sleep(seconds)
        return response(200, _XML.format(publish.message_id, uuid4()))

    return answer


accept: Final = accept_after(0)


def refuse(status: int, code: str, message: str) -> Answer:
    """Answer as AWS does when it does not take a message."""

    async def answer(_publish: Publish) -> bytes:
        return response(status, _ERROR.format(code, message))

    return answer


async def hang(_publish: Publish) -> bytes:
    """Never answer."""
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


async def cut(_publish: Publish) -> None:
    """Close the connection in place of an answer."""
    return


def response(status: int, body: str) -> bytes:
    """An answer of HTTP."""
    content = body.encode()
    head = f"HTTP/1.1 {status} Status\r\nContent-Type: text/xml\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


class Receiver:
    """A stand-in for SNS on a thread of its own. Made by `receiver`."""

    def __init__(self) -> None:
        self.answer: Answer = accept
        """What is done about every message, unless `answers` knows its topic."""
        self.answers: dict[str, Answer] = {}
        """By topic."""
        self._requests: list[Publish] = []
        self._changed = threading.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    @property
    def requests(self) -> list[Publish]:
        """Everything that arrived so far, in order."""
        with self._changed:
            return list(self._requests)

    def counts(self) -> Counter[str]:
        """How often each firing id arrived."""
        return Counter(publish.firing_id for publish in self.requests)

    def wait_until(self, enough: Callable[[list[Publish]], object], *, seconds: float = 60.0) -> None:
        """Return as soon as `enough` says so of what arrived; asked anew at every arrival."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not enough(self._requests):
                left = deadline - time.monotonic()
                assert left > 0, f"not enough arrived in {seconds} s: {len(self._requests)} requests"
                self._changed.wait(left)

    async def accept_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side closes it."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while (messages := await _read(reader)) is not None:
                with self._changed:
                    self._requests += messages
                    self._changed.notify_all()
                answer = await self.answers.get(messages[0].topic, self.answer)(messages[0])
                if answer is None:
                    break
                if len(messages) > 1 and answer.startswith(b"HTTP/1.1 200 "):
                    answer = _taken(messages)
                writer.write(answer)
                await writer.drain()
        except (OSError, asyncio.CancelledError):
            pass  # a server that was killed closes no connection; the end of the test does
        finally:
            writer.close()

    async def close(self) -> None:
        """End every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _taken(messages: Sequence[Publish]) -> bytes:
    """The answer to a batch that is taken whole."""
    members = "".join(_MEMBER_XML.format(publish.message_id, publish.firing_id) for publish in messages)
    return response(200, _BATCH_XML.format(members, uuid4()))


async def _read(reader: asyncio.StreamReader) -> list[Publish] | None:
    """The messages of one request."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    except (asyncio.IncompleteReadError, OSError):
        return None
    received_at = time.time_ns() // 1000
    form = dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))
    prefixes = list(_prefixes(form))
    assert len(prefixes) <= 10, "more than SNS takes at once"
    return [
        Publish(
            received_at,
            form["TopicArn"],
            form[f"{prefix}Message"],
            dict(_attributes(form, prefix)),
            headers.get("authorization", ""),
            str(uuid4()),
            len(prefixes),
        )
        for prefix in prefixes
    ]


def _prefixes(form: Mapping[str, str]) -> Iterator[str]:
    """What stands before the fields of each message of a request."""
    if form["Action"] == "Publish":
        yield ""
        return
    assert form["Action"] == "PublishBatch"
    number = 1
    while (entry := form.get(f"PublishBatchRequestEntries.member.{number}.Id")) is not None:
        prefix = f"PublishBatchRequestEntries.member.{number}."
        yield prefix
        # As it is sent here: the id of an entry is that of its firing.
        assert entry == dict(_attributes(form, prefix))["cronally-firing-id"]
        number += 1


def _attributes(form: Mapping[str, str], prefix: str) -> Iterator[tuple[str, str]]:
    number = 1
    while (name := form.get(f"{prefix}MessageAttributes.entry.{number}.Name")) is not None:
        yield name, form[f"{prefix}MessageAttributes.entry.{number}.Value.StringValue"]
        number += 1


@contextlib.contextmanager
def receiver() -> Iterator[Receiver]:
    """Run a receiver for the length of the block."""
    made = Receiver()
    ready = threading.Event()
    stop: Callable[[], object] = ready.set

    async def serve() -> None:
        nonlocal stop
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(made.accept_connection, "127.0.0.1", 0, backlog=1024)
        made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        stop = lambda: loop.call_soon_threadsafe(stopped.set)  # noqa: E731
        ready.set()
        await stopped.wait()
        server.close()
        await made.close()
        await server.wait_closed()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="receiver")
    thread.start()
    ready.wait()
    try:
        yield made
    finally:
        stop()
        thread.join()
