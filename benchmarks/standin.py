"""A local stand-in that answers as SNS does, as cheaply as Python can, and remembers what it received.

Invariant: every message that it took is in its records once, in the order of arrival. It checks nothing:
keys and signatures are proved against moto in the tests; here the receiver must cost little beside the sender.

    with Standin() as standin:
        ...  # publish to standin.url
        receipts = standin.receipts()

It is a process of its own, which ends when its parent closes its standard input: at the latest with the parent.
"""

from __future__ import annotations

import argparse
import asyncio
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self, cast
from urllib.parse import unquote

import uvloop

_RECORD: Final = struct.Struct("<36s36sIq")
_ID: Final = b"cronally-firing-id"
_SCHEDULED_AT: Final = b"cronally-scheduled-at"
_ATTEMPT: Final = b"cronally-attempt"
_VALUE: Final = b"StringValue="
_MEMBER: Final = b"&PublishBatchRequestEntries.member.%d.Id="
_XML: Final = (
    b'<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>'
    b"%08x-0000-4000-8000-000000000000</MessageId></PublishResult><ResponseMetadata><RequestId>"
    b"%08x-0000-4000-8000-000000000001</RequestId></ResponseMetadata></PublishResponse>\n"
)
_BATCH_XML: Final = (
    b'<PublishBatchResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishBatchResult><Failed/><Successful>'
    b"%b</Successful></PublishBatchResult><ResponseMetadata><RequestId>%08x-0000-4000-8000-000000000001</RequestId>"
    b"</ResponseMetadata></PublishBatchResponse>\n"
)
_MEMBER_XML: Final = b"<member><MessageId>%08x-0000-4000-8000-000000000000</MessageId><Id>%b</Id></member>"
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n"
_ANSWER: Final = _HEAD % len(_XML % (0, 0)) + _XML


class Receipt(NamedTuple):
    """One message that the stand-in took."""

    firing_id: str
    scheduled_at: str
    """The fire time as it was sent: ISO 8601."""
    attempt: int
    received_at: int
    """Microseconds since 1970."""


class _Records:
    """What was received, 84 bytes a message."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.count = 0
        self.requests = 0

    def add(self, body: bytes) -> int:
        """Keep a message; returns how many there are now."""
        self.data += _RECORD.pack(
            _value(body, _ID),
            _value(body, _SCHEDULED_AT),
            int(_value(body, _ATTEMPT) or 0),
            time.time_ns() // 1000,
        )
        self.count += 1
        return self.count


def _members(body: bytes) -> Iterator[bytes]:
    """The entries of a batch."""
    start, number = body.find(_MEMBER % 1), 1
    while start >= 0:
        number += 1
        end = body.find(_MEMBER % number, start)
        yield body[start : end if end >= 0 else len(body)]
        start = end


def _value(body: bytes, name: bytes) -> bytes:
    start = body.find(name)
    if start < 0:
        return b""
    start = body.find(_VALUE, start) + len(_VALUE)
    end = body.find(b"&", start)
    return body[start : end if end >= 0 else len(body)]


class _Connection(asyncio.Protocol):
    def __init__(self, records: _Records, latency: float) -> None:
        self._records = records
        self._latency = latency
        self._received = b""
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        while True:
            end = received.find(b"\r\n\r\n")
            if end < 0:
                break
            head = received[:end].lower()
            start = head.find(b"content-length:")
            length = int(head[start + 15 :].split(b"\r\n", 1)[0]) if start >= 0 else 0
            end += 4 + length
            if len(received) < end:
                break
            self._answer(head, received[end - length : end])
            received = received[end:]
        self._received = received

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"post / "):
            answer = self._take(body)
            if self._latency:
                asyncio.get_running_loop().call_later(self._latency, self._transport.write, answer)
                return
        elif head.startswith(b"get /receipts "):
            answer = _control(bytes(self._records.data))
        elif head.startswith(b"get /count "):
            answer = _control(b"%d" % self._records.count)
        elif head.startswith(b"get /requests "):
            answer = _control(b"%d" % self._records.requests)
        elif head.startswith(b"post /reset "):
            self._records.data.clear()
            self._records.count = self._records.requests = 0
            answer = _control(b"")
        else:
            answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        self._transport.write(answer)

    def _take(self, body: bytes) -> bytes:
        """Keep what a request brings; the answer."""
        records = self._records
        records.requests += 1
        if not body.startswith(b"Action=PublishBatch&"):
            number = records.add(body)
            return _ANSWER % (number, number)
        members = b"".join(
            _MEMBER_XML % (records.add(member), _value(member, _ID)) for member in _members(body)
        )
        content = _BATCH_XML % (members, records.requests)
        return _HEAD % len(content) + content


def _control(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def _serve(port: int, latency: float) -> None:
    loop = asyncio.get_running_loop()
    records = _Records()
    server = await loop.create_server(
        lambda: _Connection(records, latency), "127.0.0.1", port, backlog=1024, reuse_address=True
    )
    stopped = asyncio.Event()

    def wait_for_parent() -> None:
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(stopped.set)

    threading.Thread(target=wait_for_parent, daemon=True).start()
    print(server.sockets[0].getsockname()[1], flush=True)
    await stopped.wait()
    server.close()


class Standin:
    """Runs the stand-in as a process of its own."""

    def __init__(self, *, latency: float = 0.0) -> None:
        """
        :param latency: seconds from a request to its answer
        """
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), "--latency", str(latency)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        port = self._process.stdout.readline().strip().decode()
        if not port.isdigit():
            raise RuntimeError("the stand-in did not start; its error stands above")
        self.url = f"http://127.0.0.1:{port}"

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def receipts(self) -> list[Receipt]:
        """All that was received since the start or the last `reset`, in order."""
        data = self._control("/receipts")
        return [
            Receipt(
                firing_id.rstrip(b"\0").decode(),
                unquote(scheduled_at.rstrip(b"\0").decode()),
                attempt,
                received_at,
            )
            for firing_id, scheduled_at, attempt, received_at in _RECORD.iter_unpack(data)
        ]

    def count(self) -> int:
        """How many messages were received."""
        return int(self._control("/count"))

    def requests(self) -> int:
        """How many requests brought them."""
        return int(self._control("/requests"))

    def reset(self) -> None:
        """Forget what was received."""
        self._control("/reset", method="POST")

    def _control(self, path: str, method: str = "GET") -> bytes:
        request = urllib.request.Request(self.url + path, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as answer:
            body: bytes = answer.read()
        return body

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=10)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def main(arguments: Iterable[str] | None = None) -> None:
    """Serve until standard input ends; print the port first."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="0: any free one, printed at the start")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds from a request to its answer")
    options = parser.parse_args(list(arguments) if arguments is not None else None)
    uvloop.run(_serve(options.port, options.latency))


if __name__ == "__main__":
    main()
