"""One connection to a host, for one request at a time.

Invariant: what the other side sends is counted where it arrives. A request costs at most `MAX_READS` reads and
`MAX_RECEIVED` bytes, however they are cut up, and ends with an answer, an error or its deadline, which no byte that
arrives puts off. A connection that brings anything between two requests is closed. What came back is held by nothing
once the request has ended: a cycle would keep it until the collector, which counts objects and not bytes, comes.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, cast

from cronally.targets.answer import MAX_BYTES, Answer, AnswerError, AnswerReader, Wanted
from cronally.targets.handshakes import Handshakes
from cronally.targets.tls import TlsSession

MAX_READS: Final = 512
"""Of one answer, and of one handshake. A whole answer of `MAX_ANSWER_BYTES` comes in 50 segments of a usual network;
a host that sends single bytes would be as dear as thousands of others."""
MAX_RECEIVED: Final = 2 * MAX_BYTES
"""Bytes of one answer or one handshake, as they arrive: with those of TLS, and with those after an answer's end."""
BODY_SECONDS: Final = 2.0
"""That are waited, from the head of an answer on, for as much of its body as is to be kept."""


@dataclass(frozen=True, slots=True)
class Opening:
    """How long it took to open a connection, in seconds."""

    dns: float
    connect: float
    tls: float | None
    """None without TLS."""


class Connection(asyncio.Protocol):
    """Opened by `pool.Pool`; the event loop calls the methods of `asyncio.Protocol`."""

    def __init__(self, tls: TlsSession | None, handshakes: Handshakes, account_id: str = "") -> None:
        """
        :param handshakes: does the work of TLS until the connection is established
        :param account_id: whose turn it takes
        """
        self._handshakes = handshakes
        self._account_id = account_id
        self._shaking = 0
        """Steps of the handshake that wait for their turn."""
        self._loop = asyncio.get_running_loop()
        self._tls = tls
        self._transport: asyncio.Transport | None = None
        self._reads = 0
        self._received = 0
        self._reader: AnswerReader | None = None
        self._established: asyncio.Future[None] = self._loop.create_future()
        self._answered: asyncio.Future[Answer] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._ends = 0.0
        """When the deadline is, by the clock of the event loop."""
        self._begun = self._first = 0.0
        """When the request was written, and when the first byte came back; seconds of the monotonic clock."""
        self._failure: OSError | None = None
        """Why it ended while nobody waited for anything. A server of TLS 1.3 may refuse a certificate just then."""
        self.ip = ""
        """What it leads to."""
        self.opening: Opening | None = None
        """Until it was used once."""

    @property
    def first_byte(self) -> float:
        """Seconds from the request to the first byte of what came back."""
        return self._first - self._begun

    @property
    def usable(self) -> bool:
        """Whether a request can be written to it."""
        return self._transport is not None and not self._transport.is_closing() and self._reader is None

    async def established(self) -> None:
        """Wait until a request can be written. Raises OSError; ssl.SSLError among it."""
        try:
            await self._established
        except BaseException:
            # Given up. The future that failed holds the failure, whose traceback would hold the future.
            self._established = self._loop.create_future()
            self._established.cancel()
            raise

    def send(
        self,
        request: bytes,
        *,
        whole: bool,
        seconds: float,
        wanted: Wanted | None = None,
        bodiless: bool = False,
    ) -> asyncio.Future[Answer]:
        """Write a request. From here on it may arrive.

        The future raises TimeoutError, AnswerError, or OSError; when it is cancelled, call `abort`.

        Raises OSError, with nothing written, if the connection was closed; what it failed with, if it did.

        :param whole: whether to wait for the answer's body
        :param seconds: until the deadline
        :param wanted: as of `AnswerReader`; what is wanted of a body is waited for until `BODY_SECONDS` after the head
        :param bodiless: as of `AnswerReader`
        """
        transport = self._transport
        if transport is None or not self.usable:
            failure, self._failure = self._failure, None
            raise failure or ConnectionAbortedError
        if self._tls is not None:
            self._tls.encrypt(request)
            request = self._tls.to_send()
        self._reads = self._received = 0
        self._reader = AnswerReader(whole=whole, wanted=wanted, bodiless=bodiless)
        self._answered = answered = self._loop.create_future()
        self._ends = self._loop.time() + seconds
        self._deadline = self._loop.call_later(seconds, self._fail, TimeoutError())
        self._begun = time.monotonic()
        transport.write(request)
        return answered

    def abort(self) -> None:
        """Close at once, whatever is still to be sent."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._tls is None:
            self._established.set_result(None)
        else:
            self._shake_hands(self._tls, b"")

    def data_received(self, data: bytes) -> None:
        if self._established.cancelled():
            return  # given up, and about to be cut off
        self._reads += 1
        if self._reads == 1:
            self._first = time.monotonic()
        self._received += len(data)
        try:
            if self._reads > MAX_READS:
                raise AnswerError(f"the answer came in more than {MAX_READS} pieces")
            if self._received > MAX_RECEIVED:
                raise AnswerError(f"more than {MAX_RECEIVED} bytes came back")
            if self._tls is not None and (self._shaking or not self._established.done()):
                self._shake_hands(self._tls, data)
            else:
                self._read(data)
        except (AnswerError, ssl.SSLError) as error:
            if self._established.done() and not self._shaking:
                self._flush()  # the alert that says why
            self._fail(error)

    def _shake_hands(self, tls: TlsSession, data: bytes) -> None:
        """Let the next step of the handshake be done when its turn comes."""
        self._shaking += 1
        self._handshakes.add(self._account_id, partial(self._shake, tls, data))

    def _shake(self, tls: TlsSession, data: bytes) -> Callable[[], None]:
        """One step, in another thread: until the connection is established, nobody else touches the session."""
        plain, error = b"", None
        if self._established.done():  # given up: no more work for it
            return partial(self._shaken, tls, plain, b"", error)
        try:
            plain = tls.receive(data)
        except Exception as problem:
            error = problem
        return partial(self._shaken, tls, plain, tls.to_send(), error)

    def _shaken(self, tls: TlsSession, plain: bytes, to_send: bytes, error: Exception | None) -> None:
        self._shaking -= 1
        transport = self._transport
        if transport is None or transport.is_closing() or self._established.done():
            return  # given up, or failed
        if to_send:
            transport.write(to_send)
        if error is not None:
            self._fail(error)
        elif plain or tls.ended:
            self.abort()  # nothing was asked for yet
        elif tls.established and not self._shaking:
            self._established.set_result(None)

    def eof_received(self) -> None:
        """The transport closes itself."""
        self._finish(AnswerError("the connection was cut") if self._tls else None)

    def connection_lost(self, error: Exception | None) -> None:
        if error is None:
            self._finish(None)
        self._fail(error or ConnectionAbortedError())

    def _read(self, data: bytes) -> None:
        tls = self._tls
        if tls is not None:
            data = tls.receive(data)
            self._flush()
        if data:
            if self._reader is None:
                self.abort()
                return
            waited = self._reader.waits_for_body
            self._reader.feed(data)
            self._settle()
            if not waited and self._reader is not None and self._reader.waits_for_body:
                self._wait_for_body()
        if tls is not None and tls.ended:
            self._finish(None)
            self.abort()

    def _flush(self) -> None:
        if self._tls is not None and self._transport is not None and (data := self._tls.to_send()):
            self._transport.write(data)

    def _settle(self) -> None:
        """End the request if there is an answer."""
        reader, answered = self._reader, self._answered
        if reader is None or answered is None or not reader.ready:
            return
        self._reader = self._answered = None
        self._stop_clock()
        if not reader.reusable:
            self.abort()
        if not answered.done():
            answered.set_result(reader.answer)

    def _finish(self, truncated: AnswerError | None) -> None:
        """The other side sends no more.

        :param truncated: what to say of an answer that ends with the connection, if anybody could have cut it
        """
        if self._reader is None:
            return
        try:
            self._reader.finish()
            if truncated is not None:
                raise truncated
        except AnswerError as error:
            self._fail(error)
        else:
            self._settle()

    def _fail(self, error: Exception) -> None:
        if self._reader is not None and self._reader.take_what_came():
            self._settle()
            return
        self._stop_clock()
        self.abort()
        waiting = (self._established, self._answered)
        self._reader = self._answered = None
        # Where it came from holds what was received.
        error.__traceback__ = error.__context__ = None
        told = [future for future in waiting if future is not None and not future.done()]
        for future in told:
            future.set_exception(error)
        if not told and self._failure is None and isinstance(error, ssl.SSLError):
            self._failure = error

    def _wait_for_body(self) -> None:
        """The head is here: bring the deadline forward."""
        self._stop_clock()
        ends = min(self._ends, self._loop.time() + BODY_SECONDS)
        self._deadline = self._loop.call_at(ends, self._fail, TimeoutError())

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
