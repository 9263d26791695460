"""One pool of HTTP connections, and what a failure in it says about the request.

Invariant: a request whose bytes were handed to the network goes out once and never again within the same
attempt; if it then gets no answer, the outcome is `Unknown`. One that was never handed over is `Retry`. None is
handed over when its time is up.

Idle connections are dropped after 15 s. Cron jobs come in whole minutes, and 60 s is a common idle limit of
servers and load balancers: a pool that kept connections that long would write its requests just as the other
side hangs up. A connection that the other side has closed is noticed by the event loop and not used again, so
what is left is a hang-up that crosses the request on the wire; nobody can tell whether that one arrived.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

from aiohttp import (
    ClientConnectionResetError,
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientError,
    ClientHandlerType,
    ClientOSError,
    ClientRequest,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    ServerDisconnectedError,
    TCPConnector,
)
from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import Connection
from aiohttp.payload import BytesPayload

from cronally import __version__
from cronally.targets.resolver import Resolver
from cronally.targets.target import Retry, Unknown

USER_AGENT: Final = f"Cronally/{__version__}"
MAX_ANSWER_BYTES: Final = 65_536
KEEP_ALIVE_SECONDS: Final = 15.0
MAX_RETRY_AFTER: Final = 86_400.0
"""Seconds; a target cannot push a firing further away than a day."""

FAILURES: Final = (ClientError, TimeoutError, OSError)
"""What a request may raise for what the network or the other side does."""

_SECONDS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


class Body(BytesPayload):
    """A request's body, which knows whether the request was handed to the network."""

    written = False

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write headers and body. The first byte may be on its way from here on."""
        transport = writer.transport
        if transport is None or transport.is_closing():
            raise ClientConnectionResetError("closed before the request was written")
        self.written = True
        await writer.write(self._value)


def _punctual(total_timeout: float) -> type[ClientRequest]:
    """Requests that do not begin once their time is over.

    A process that stood still while it connected (a paused machine) finds the connection made and the timeout due in
    the same moment, and may do either first. By then the lease may be over too, and another node may send. So time is
    looked at twice: when there is a connection, and at last where the bytes are handed over, a step of the loop later.
    """

    class Punctual(ClientRequest):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._ends = time.monotonic() + total_timeout

        async def send(self, conn: Connection) -> ClientResponse:
            if time.monotonic() >= self._ends:
                raise TimeoutError
            return await super().send(conn)

        async def write_bytes(
            self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
        ) -> None:
            if time.monotonic() < self._ends:
                await super().write_bytes(writer, conn, content_length)
            elif conn.protocol is not None:
                # How the task that writes tells the one that waits for the answer.
                conn.protocol.set_exception(TimeoutError())

    return Punctual


class CutError(ClientError):
    """The connection was cut. Not one of the errors after which aiohttp repeats a GET by itself."""


async def once(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Middleware: keep aiohttp from repeating a request that may have arrived."""
    try:
        return await handler(request)
    except ClientConnectorError:
        raise
    except (ClientOSError, ServerDisconnectedError) as error:
        raise CutError from error


class Pool:
    """Connections to many hosts. No cookies, no decompression, no proxies or credentials of the environment."""

    def __init__(
        self, connector: Callable[[], TCPConnector], *, connect_timeout: float, total_timeout: float
    ) -> None:
        """
        :param connector: makes the connector; called at the first request, inside the event loop
        :param connect_timeout: seconds to get a connection, waiting for a free one included
        :param total_timeout: seconds for the whole request
        """
        self._connector = connector
        # aiohttp rounds timeouts over 5 s up to whole seconds without this threshold.
        self._timeout = ClientTimeout(total=total_timeout, connect=connect_timeout, ceil_threshold=math.inf)
        self._session: ClientSession | None = None

    @property
    def connect_timeout(self) -> float:
        """Seconds."""
        return self._timeout.connect or 0.0

    @property
    def total_timeout(self) -> float:
        """Seconds."""
        return self._timeout.total or 0.0

    def session(self) -> ClientSession:
        """The session, opened at the first call."""
        if self._session is None:
            self._session = ClientSession(
                connector=self._connector(),
                cookie_jar=DummyCookieJar(),
                timeout=self._timeout,
                request_class=_punctual(self.total_timeout),
                trust_env=False,
                auto_decompress=False,
            )
        return self._session

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def failure(self, error: BaseException, written: bool) -> Retry | Unknown:
        """What it means that a request raised one of `FAILURES`.

        The detail names no address and no URL: those may be secret, or tell about the operator's network.
        """
        if isinstance(error, ClientConnectorError | ConnectionTimeoutError) or not written:
            return Retry(f"not sent: {self._why(error)}")
        return Unknown(f"no answer: {self._why(error)}")

    def _why(self, error: BaseException) -> str:
        match error:
            case ClientConnectorCertificateError():
                return "the host's TLS certificate is not valid"
            case ClientConnectorSSLError():
                return "TLS failed"
            case ClientConnectorDNSError():
                return "the host name does not resolve"
            case ConnectionTimeoutError():
                return f"no connection within {self.connect_timeout:g} s"
            case TimeoutError():
                return f"{self.total_timeout:g} s have passed"
            case ClientResponseError():
                return "what came back is not HTTP"
            case OSError(errno=int(number)):
                return os.strerror(number).lower()
            case _:
                return "the connection was cut"


async def read_answer(answer: ClientResponse) -> bytes | None:
    """The whole body, or None and a closed connection if it is longer than `MAX_ANSWER_BYTES`."""
    body = b""
    content = answer.content
    try:
        while chunk := await content.readany():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                answer.close()
                return None
    except BaseException:  # a cancelled task's, too: its connection must not be used again
        answer.close()
        raise
    return body


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds that a Retry-After header asks to wait (RFC 9110, 10.2.3), None if it says nothing readable.

    :param now: seconds since 1970
    """
    if value is None or len(value) > 40:
        return None
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return min(float(value), MAX_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return min(max(moment.timestamp() - now, 0.0), MAX_RETRY_AFTER)
    except (ValueError, OverflowError):
        return None


def open_connector(connections: int) -> TCPConnector:
    """A connector for hosts that the operator or AWS's own list names."""
    return TCPConnector(limit=connections, keepalive_timeout=KEEP_ALIVE_SECONDS, resolver=Resolver())
