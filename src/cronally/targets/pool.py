"""One pool of HTTP connections, and what a failure in it says about the request.

Invariant: a request whose bytes were written goes out once and never again within the same attempt; if it then gets
no answer, the outcome is `Unknown`. One that was never written is `Retry`. None is written when its time is up, and
none once `total_timeout` has passed, however long it may take.

Idle connections are dropped after 15 s. Cron jobs come in whole minutes, and 60 s is a common idle limit of
servers and load balancers: a pool that kept connections that long would write its requests just as the other
side hangs up. A connection that the other side has closed is noticed by the event loop and not used again, so
what is left is a hang-up that crosses the request on the wire; nobody can tell whether that one arrived.

No cookies, no decompression, no redirects, no proxy or credentials of the environment: a proxy is a setting of the
operator's. Why this is our own code: docs/design/outgoing.md.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Final

from cronally import __version__
from cronally.targets import alerts
from cronally.targets.answer import Answer, AnswerError
from cronally.targets.connection import Connection
from cronally.targets.dialer import Dialer
from cronally.targets.egress import EgressRefused
from cronally.targets.own_tls import OwnTls
from cronally.targets.proxy import Proxy, ProxyFailed
from cronally.targets.resolver import LookupFailed, LookupsBusy
from cronally.targets.target import Refused, Reply, Retry, Timings, Unauthorized, Unknown
from cronally.targets.url import Origin, Url

USER_AGENT: Final = f"Cronally/{__version__}"
KEEP_ALIVE_SECONDS: Final = 15.0
MAX_RETRY_AFTER: Final = 86_400.0
"""Seconds; a target cannot push a firing further away than a day."""

_Peer = Origin | tuple[Origin, bytes]
"""Who is at both ends of a connection: a host, and the digest of the `OwnTls` that it was opened with, if with any."""

_SECONDS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


class Pool:
    """Connections to many hosts, kept for the next request to the same origin."""

    def __init__(
        self,
        *,
        connections: int,
        connect_timeout: float,
        total_timeout: float,
        check: Callable[[str], None] | None = None,
        proxy: Proxy | None = None,
    ) -> None:
        """
        :param connections: how many may be open at a time, idle ones included
        :param connect_timeout: seconds to get a connection, waiting for a free one included
        :param total_timeout: seconds for the whole request
        :param check: raises EgressRefused for an IP address that must not be connected to
        :param proxy: through which all connections go
        """
        self.connect_timeout = connect_timeout
        self.total_timeout = total_timeout
        self._connections = connections
        self._dialer = Dialer(check, connect_timeout, proxy, self._drop_of)
        self._busy = 0
        self._free = asyncio.Semaphore(connections)
        self._idle: dict[_Peer, list[Connection]] = {}
        self._idle_since: OrderedDict[Connection, tuple[_Peer, float]] = OrderedDict()
        """The longest idle first."""
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    async def request(
        self,
        method: str,
        url: Url,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        whole: bool,
        account_id: str = "",
        begun: float | None = None,
        wanted: Callable[[str, int], int] | None = None,
        seconds: float | None = None,
        own_tls: OwnTls | None = None,
    ) -> Answer | Retry | Unknown | Refused | Unauthorized:
        """Send one request, once, and return its answer, or what it means that there is none.

        A detail names no address and no URL: those may be secret, or tell about the operator's network.

        :param whole: whether to wait for the answer's body
        :param account_id: whose request it is
        :param begun: when the time of the request began, by the monotonic clock; now if not given
        :param wanted: in place of `whole`: how many bytes of the body to wait for, by the address that it comes from
            and the status. An answer whose head is complete is one whatever comes of its body
        :param seconds: for the whole request; `total_timeout` by default. What may take longer is written within
            `total_timeout` all the same
        :param own_tls: what TLS has of its own, if anything; such a request shares no connection with any other
        """
        begun = time.monotonic() if begun is None else begun
        total = self.total_timeout if seconds is None else seconds
        writing = min(total, self.total_timeout)
        data = _encode(method, url, headers, body)
        try:
            connection = await self._get_connection(url.origin, account_id, begun + writing, own_tls)
        except EgressRefused as error:
            return Refused(str(error), reply=_reply(error))
        except (OSError, AnswerError) as error:
            return _refused(error, own_tls) or Retry(f"not sent: {_why(error, writing)}", reply=_reply(error))
        try:
            by_status = None if wanted is None else partial(wanted, connection.ip)
            send = partial(connection.send, data, whole=whole, wanted=by_status, bodiless=method == "HEAD")
            peer = _peer(url.origin, own_tls)
            answer = await self._exchange(connection, peer, own_tls, send, begun, total)
            if wanted is not None and isinstance(answer, Answer):
                return _timed(answer, connection, begun)
            return answer
        except BaseException:
            connection.abort()
            raise
        finally:
            self._busy -= 1
            self._free.release()

    async def close(self) -> None:
        """Close the idle connections. Those in use close when their request ends or is cancelled."""
        self._closed = True
        self._dialer.close()
        for connection in self._idle_since:
            connection.abort()
        self._idle.clear()
        self._idle_since.clear()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    async def _exchange(
        self,
        connection: Connection,
        peer: _Peer,
        own_tls: OwnTls | None,
        send: Callable[..., asyncio.Future[Answer]],
        begun: float,
        total: float,
    ) -> Answer | Retry | Unknown | Unauthorized:
        # A process that stood still while it connected (a paused machine) may find its time over, and with it the
        # lease: another node may send. So time is looked at again, in the very step that writes.
        writing, gone = min(total, self.total_timeout), time.monotonic() - begun
        try:
            if gone >= writing:
                raise TimeOver
            answered = send(seconds=total - gone)
        except OSError as error:
            connection.abort()
            return _refused(error, own_tls) or Retry(f"not sent: {_why(error, writing)}", reply=_reply(error))
        try:
            answer = await answered
        except (OSError, AnswerError) as error:
            return _refused(error, own_tls) or Unknown(
                f"no answer: {_why(error, total)}", reply=_reply(error, asked=True)
            )
        finally:
            del answered  # a cycle with the traceback of its error
        if connection.usable:
            self._keep(connection, peer, own_tls)
        return answer

    async def _get_connection(
        self, origin: Origin, account_id: str, ends: float, own_tls: OwnTls | None
    ) -> Connection:
        """A connection that may be used, and counts as busy. Raises OSError or AnswerError."""
        peer = _peer(origin, own_tls)
        if not self._free.locked() and (connection := self._take(peer)) is not None:
            await self._free.acquire()  # at once
            self._busy += 1
            return connection
        left = ends - time.monotonic()
        if left <= 0:
            raise TimeOver
        try:
            async with asyncio.timeout(min(self.connect_timeout, left)):
                await self._free.acquire()
                self._busy += 1
                try:
                    return self._take(peer) or await self._connect(origin, account_id, own_tls)
                except BaseException:
                    self._busy -= 1
                    self._free.release()
                    raise
        except TimeoutError:
            if self.connect_timeout < left:
                raise ConnectTimeout(f"no connection within {self.connect_timeout:g} s") from None
            raise

    async def _connect(self, origin: Origin, account_id: str, own_tls: OwnTls | None) -> Connection:
        while self._idle_since and self._busy + len(self._idle_since) > self._connections:
            self._drop_oldest()
        return await self._dialer.connect(origin, account_id, own_tls)

    def _take(self, peer: _Peer) -> Connection | None:
        """The connection to a peer that was used last; it is not idle any more."""
        idle = self._idle.get(peer, [])
        while idle:
            connection = idle.pop()
            _, since = self._idle_since.pop(connection)
            if connection.usable and time.monotonic() < since + KEEP_ALIVE_SECONDS:
                return connection
            connection.abort()
        self._idle.pop(peer, None)
        return None

    def _keep(self, connection: Connection, peer: _Peer, own_tls: OwnTls | None) -> None:
        # What dropped out while it was busy was not among the idle ones that are closed then.
        if self._closed or (own_tls is not None and not self._dialer.keeps(own_tls)):
            connection.abort()
            return
        self._idle.setdefault(peer, []).append(connection)
        self._idle_since[connection] = (peer, time.monotonic())
        self._plan_sweep()

    def _plan_sweep(self) -> None:
        if self._sweep is None and self._idle_since:
            self._sweep = asyncio.get_running_loop().call_later(KEEP_ALIVE_SECONDS / 3, self._drop_old)

    def _drop_old(self) -> None:
        self._sweep = None
        until = time.monotonic() - KEEP_ALIVE_SECONDS
        while self._idle_since and next(iter(self._idle_since.values()))[1] <= until:
            self._drop_oldest()
        self._plan_sweep()

    def _drop_oldest(self) -> None:
        connection, (peer, _) = self._idle_since.popitem(last=False)
        idle = self._idle[peer]
        idle.remove(connection)
        if not idle:
            del self._idle[peer]
        connection.abort()

    def _drop_of(self, digest: bytes) -> None:
        """Close the idle connections of an `OwnTls`: each holds all that its context does."""
        for peer in [peer for peer in self._idle if peer[-1] == digest]:
            for connection in self._idle.pop(peer):
                del self._idle_since[connection]
                connection.abort()


def _peer(origin: Origin, own_tls: OwnTls | None) -> _Peer:
    return origin if own_tls is None else (origin, own_tls.digest)


def _refused(error: OSError | AnswerError, own_tls: OwnTls | None) -> Unauthorized | None:
    """What it means that a host refused the client certificate, or misses one; None if it did not."""
    presented = own_tls is not None and bool(own_tls.certificate)
    detail = alerts.refusal(error, presented=presented)
    return None if detail is None else Unauthorized(detail)


def _timed(answer: Answer, connection: Connection, begun: float) -> Answer:
    """An answer with where it came from, and how long it took."""
    opening, connection.opening = connection.opening, None
    whole = _microseconds(time.monotonic() - begun)
    first_byte = _microseconds(connection.first_byte)
    if opening is None:
        timings = Timings(None, None, None, first_byte, whole)
    else:
        tls = None if opening.tls is None else _microseconds(opening.tls)
        timings = Timings(_microseconds(opening.dns), _microseconds(opening.connect), tls, first_byte, whole)
    return answer._replace(timings=timings, ip=connection.ip)


def _microseconds(seconds: float) -> int:
    return max(0, int(seconds * 1_000_000))


def _why(error: Exception, total: float) -> str:
    """What an error says, for the account to read.

    :param total: seconds that the request had
    """
    match error:
        case AnswerError() | LookupFailed() | ConnectTimeout() | ProxyFailed():
            return str(error)
        case ssl.SSLCertVerificationError():
            return alerts.why_not_valid(error)
        case ssl.SSLError():
            return alerts.why(error)
        case TimeoutError():
            return f"{total:g} s have passed"
        case OSError(errno=int(number)):
            return os.strerror(number).lower()
        case _:
            return "the connection was cut"


class ConnectTimeout(OSError):
    """There was no connection in time."""


class TimeOver(TimeoutError):
    """The time of a request was over before it was written, for this process stood still or had much to do."""


def _reply(error: OSError | AnswerError, *, asked: bool = False) -> Reply:
    """What an error says of the receiver.

    :param asked: whether the request was written
    """
    if isinstance(error, LookupsBusy | TimeOver):
        return Reply.NOT_ASKED
    if isinstance(error, ProxyFailed):
        return error.reply
    # Nobody was asked behind a refused address either, but how long its name took to look up is the account's doing.
    unfit = isinstance(error, EgressRefused) or (asked and isinstance(error, AnswerError))
    return Reply.UNFIT if unfit else Reply.SILENT


def _encode(method: str, url: Url, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """A request as it is sent. Raises ValueError for a line break where none may be."""
    lines = [f"{method} {url.target} HTTP/1.1", f"Host: {url.authority}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join(lines)
    if head.count("\r") != len(lines) - 1 or head.count("\n") != len(lines) - 1:
        raise ValueError("a header holds a line break")
    return b"".join((head.encode("latin-1"), b"\r\n\r\n", body or b""))


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
