"""Uvicorn's protocol with bounds: on a request's head and the time that it takes to arrive, on the pieces of its body,
on the requests that wait, and, with `connections`, on what waits to be read.

Invariant: no more than 16 KiB of a head, and one read beyond, are ever held. Trailers are dropped. What does not become
a request is answered in JSON and the connection closed, gently enough that the client can read the answer: we stop
writing, but read on for a while, because closing a socket with unread bytes makes the kernel reset it and discard what
was sent.
"""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from collections import deque
from typing import Any, Final, cast

import httptools
from starlette.types import Scope
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from cronally import errors
from cronally.api import exchange
from cronally.api.answers import raw_failure
from cronally.api.connections import Connections
from cronally.api.turns import give_up

MAX_HEAD: Final = 16 * 1024
"""Bytes of request line and headers together."""
HEAD_TIMEOUT: Final = 10.0
"""Seconds that a head may take from its first byte."""
SMALL_PIECES: Final = 256
PIECE: Final = 512
"""A body may come in so many small pieces (chunks, or reads), and in one more for so many of its bytes: no less than a
segment of TCP holds."""
AWAITED_BYTES: Final = 16 * 1024
"""The application is woken for so much of a body, and for its end."""
MAX_PIPELINED: Final = 8
"""Requests that a client may send before it has the answer to the first."""
MAX_DISCARDED: Final = 1024 * 1024
DISCARD_TIMEOUT: Final = 3.0
"""How many bytes, and for how many seconds, are read and dropped after the last answer."""

_TOO_LARGE: Final = raw_failure(errors.HeadersTooLarge())
_MALFORMED: Final = raw_failure(
    errors.InvalidRequest(
        "This is no HTTP/1.1 request; check the request line, the headers and the body's framing."
    )
)
_VERSION: Final = raw_failure(errors.HttpVersionNotSupported())
_PIECES: Final = raw_failure(
    errors.InvalidRequest(
        f"The body comes in too many small pieces; send it in pieces of {PIECE} bytes or more."
    )
)
_PIPELINED: Final = raw_failure(
    errors.InvalidRequest(
        f"More than {MAX_PIPELINED} requests wait on this connection; read the answers first."
    )
)
_BUSY: Final = raw_failure(
    errors.Unavailable(
        "There are too many connections, from this address or altogether; close some, or try later."
    )
)
_FULL: Final = raw_failure(
    errors.Unavailable("Too many large bodies are arriving; send this one again later.")
)


class BoundedProtocol(HttpToolsProtocol):
    """Made by uvicorn for each connection, as `app.protocol_of` says."""

    def __init__(self, *arguments: Any, connections: Connections, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._bounds = connections
        # Uvicorn goes by whether anybody would hear it, which a logger below the root always finds.
        self.access_log = self.config.access_log
        # Of the head that is arriving, and how many arrived whole.
        self._head = 0
        self._heads = 0
        self._in_body = False
        # Of the body that is arriving, wanted or not.
        self._pieces = 0
        self._arrived = 0
        self._discarded = 0
        # The bytes of the body of each request that is not answered, the first one first.
        self._bodies: deque[int] = deque()
        # What is wrong with what the parser is at.
        self._problem = _MALFORMED, "malformed"
        # The request at work; `cycle` is the last one that was parsed, others wait in `pipeline`.
        self._begun: RequestResponseCycle | None = None
        # Nothing more is parsed; and what to say, once what came before is answered.
        self._refused = False
        self._farewell: bytes | None = None
        self._timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not self._bounds.admit(self, self.client[0] if self.client else None):
            # At once: what is refused here is not counted, and must not be kept.
            self._refused = True
            self.transport.write(_BUSY)
            self.transport.close()
            return
        # Who connects and says nothing is let go like who says nothing more.
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self._unset_timer()
        self._bounds.leave(self)
        super().connection_lost(exc)
        for cycle in (self._begun, *(waiting for waiting, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
                give_up(cast("Scope", cycle.scope))
        self.pipeline.clear()

    @property
    def idle(self) -> bool:
        """Whether it is open for a next request and nothing of one has come."""
        return self.timeout_keep_alive_task is not None and not self._head

    def pause_writing(self) -> None:
        super().pause_writing()
        self._bounds.unread(self)

    def data_received(self, data: bytes) -> None:
        unwanted = self._refused or (self._in_body and self.cycle.response_complete)
        if unwanted:
            # It gets a bound, and no more time than it has.
            self._discarded += len(data)
            if self._discarded > MAX_DISCARDED:
                self.transport.close()
                return
        else:
            self._discarded = 0
            self._unset_keepalive_if_required()
        while data and not self._refused:
            room = len(data) if self._in_body else MAX_HEAD + 1 - self._head
            piece, data = data[:room], data[room:]
            self._feed(piece)
        if self._in_body and not self._refused and not self._fits():
            self._refuse(_FULL, "bodies")

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """A client may stop sending (as `nc` does) and still wait for what it asked."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body:
            return None
        if self._farewell is None:
            cycle.keep_alive = False
        return True

    def shutdown(self) -> None:
        if self._refused:
            self.transport.close()
        super().shutdown()

    # What the parser calls.

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MAX_PIPELINED:
            self._stop(_PIPELINED)
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_body:  # otherwise a trailer
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._pieces = self._arrived = 0
        self._head = 0
        self._heads += 1
        self._unset_timer()
        if b"#" in self.url:
            self._stop(_MALFORMED)
        if self.parser.get_http_version() >= "2":
            self._stop(_VERSION)
        if not self.url.startswith(b"/"):
            self._name_host()
        cast("Scope", self.scope)[exchange.KEY] = self
        super().on_headers_complete()
        self._in_body = True
        self._bodies.append(0)

    def on_body(self, body: bytes) -> None:
        # Called for each piece, so it is kept short: what all bodies hold is looked at once for each read.
        self._pieces += 1
        self._arrived += len(body)
        if self._pieces > SMALL_PIECES + self._arrived // PIECE:
            self._stop(_PIECES)
        cycle = self.cycle
        if cycle.response_complete:
            return
        # An answer that begins before the body has arrived is one to a body that nobody wants.
        if not cycle.response_started:
            self._bodies[-1] += len(body)
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        if len(cycle.body) > AWAITED_BYTES:
            cycle.message_event.set()

    def on_message_complete(self) -> None:
        # Here, not behind the read: what is complete stays.
        if not self.cycle.response_complete and not self._fits():
            self._stop(_FULL, "bodies")
        self._in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._bodies.popleft()
        self._bounds.holds(self, sum(self._bodies))
        super().on_response_complete()
        if self._farewell is not None and (self.cycle.response_complete and not self.pipeline):
            self._say_farewell()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._begun = cycle
        super()._start_asgi_task(cycle, app)

    def lengthen(self, size: int) -> None:
        cycle = self._begun
        assert cycle is not None  # noqa: S101 - it is what asks
        # Uvicorn would send chunks, which HTTP/1.0 has not.
        cycle.chunked_encoding = False
        cycle.expected_content_length += size

    def drop_body(self) -> None:
        self._bodies[0] = 0
        self._fits()

    def cut_body(self) -> bool:
        """Answer that there is no room for the body that is arriving, and drop it; False if none is."""
        if self._refused or not self._in_body or self.cycle.response_complete:
            return False
        self._refuse(_FULL, "bodies")
        return True

    def _fits(self) -> bool:
        """Whether there is room for what all bodies of this connection hold."""
        return self._bounds.holds(self, sum(self._bodies))

    def _feed(self, data: bytes) -> None:
        heads, in_body = self._heads, self._in_body
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # No other protocol is spoken here, and the parser reads nothing after such a request.
            self._refused = True
            self.cycle.keep_alive = False
            return
        except httptools.HttpParserError:
            self._refuse(*self._problem)
            return
        if self._in_body:
            return
        if in_body or self._heads != heads:
            # What this piece may hold of a next head is not counted here; `limits` counts every head exactly.
            self._head = 0
            return
        self._head += len(data)
        if self._head > MAX_HEAD:
            self._refuse(_TOO_LARGE)
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_TIMEOUT, self.transport.close)

    def _name_host(self) -> None:
        """A target with a host names the host that is meant, whatever the Host header says (RFC 9112, 3.2.2)."""
        scheme, _, rest = self.url.partition(b"://")
        if scheme.isalpha():
            host = rest.replace(b"?", b"/").partition(b"/")[0].rpartition(b"@")[2]
            self.headers[:] = [(name, host if name == b"host" else value) for name, value in self.headers]

    def _stop(self, problem: bytes, what: str = "malformed") -> None:
        """Stop the parser in the middle of what it has; `_feed` answers with the problem."""
        self._problem = problem, what
        raise ValueError

    def _refuse(self, answer: bytes, what: str = "malformed") -> None:
        """Parse nothing more; answer when what was asked before is answered, and close."""
        self._refused = True
        self._unset_timer()
        # There is no room for a body because of what others send.
        self._bounds.refused(what, self.client[0] if self.client else None, at_fault=what != "bodies")
        cycle = self.cycle
        if self._in_body and self._bodies:
            self._bodies[-1] = 0
            self._bounds.holds(self, sum(self._bodies))
            cycle.body = bytearray()
        if self._in_body and cycle.response_complete:
            # It was answered before its body went wrong.
            self.transport.close()
        elif cycle is None or cycle.response_complete:
            self._farewell = answer
            self._say_farewell()
        elif not cycle.more_body:
            self._farewell = answer
        elif self.pipeline:
            # The request whose body broke off has not begun; those before it are answered.
            self.pipeline.popleft()
            self._bodies.pop()
            self.cycle = self.pipeline[0][0] if self.pipeline else cast("RequestResponseCycle", self._begun)
            self._farewell = answer
        elif cycle.response_started:
            # It cannot be distinguished from what is being written.
            self.transport.close()
        else:
            cycle.disconnected = True
            cycle.message_event.set()
            give_up(cast("Scope", cycle.scope))
            self._farewell = answer
            self._say_farewell()

    def _say_farewell(self) -> None:
        assert self._farewell is not None  # noqa: S101 - said by the callers
        self._unset_keepalive_if_required()
        self.transport.write(self._farewell)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer = self.loop.call_later(DISCARD_TIMEOUT, self.transport.close)

    def _unset_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
