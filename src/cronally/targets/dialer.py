"""A connection to an origin: its name looked up, its addresses tried in turn, TLS spoken; through a proxy or not.

Invariant: no socket is made towards an address that the check refuses, and no proxy is asked for one.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from ipaddress import ip_address
from itertools import zip_longest
from typing import Final

from cronally.targets.connection import Connection, Opening
from cronally.targets.contexts import Contexts
from cronally.targets.egress import Egress
from cronally.targets.handshakes import Handshakes
from cronally.targets.own_tls import OwnTls
from cronally.targets.proxy import Proxy, ProxyFailed, ask
from cronally.targets.resolver import Address, LookupFailed, Resolver
from cronally.targets.tls import TlsSession, client_context
from cronally.targets.url import Origin

MAX_ADDRESSES: Final = 4
"""Of a host that are tried in turn."""
NEXT_ADDRESS_SECONDS: Final = 0.25
"""How long one address is tried before the next one is tried as well (RFC 8305, 5)."""
_UNKNOWN: Final = "0.0.0.0"  # noqa: S104 - no address to listen on, and none that is public
_KEEP_ALIVE: Final = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""Seconds of silence until a host is asked by TCP whether it is there still, and from one question to the next; and how
many may stay without an answer. What stands on the way, a NAT or a firewall, forgets connections that say nothing, and
tells nobody: some after a minute. As far as the system knows these options."""
WARNED_SECONDS: Final = 60.0
"""How often the log gets at most that the proxy cannot be reached."""

_log = logging.getLogger(__name__)


class Dialer:
    """Opens connections."""

    def __init__(
        self,
        check: Callable[[str], None] | None = None,
        connect_timeout: float = 5.0,
        proxy: Proxy | None = None,
        forgotten: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        """
        :param check: raises OSError for an IP address that must not be connected to
        :param connect_timeout: seconds that a request has for its connection
        :param forgotten: called with the digest of an `OwnTls` whose connections are to be closed when they are idle
        """
        self._check = check
        self._proxy = proxy
        self._warned_at = -WARNED_SECONDS
        self._resolver = Resolver(check, connect_timeout)
        self._of_proxy = Resolver(None, connect_timeout)
        self._handshakes = Handshakes()
        self._contexts = Contexts(forgotten)

    def close(self) -> None:
        """End what is not established yet."""
        self._handshakes.close()
        self._contexts.close()

    def keeps(self, own_tls: OwnTls) -> bool:
        """Whether a connection that was opened with this may stay open while it is idle."""
        return own_tls.digest in self._contexts

    async def connect(
        self, origin: Origin, account_id: str = "", own_tls: OwnTls | None = None
    ) -> Connection:
        """A connection that a request of an account can be written to.

        Raises OSError (ssl.SSLError among it) or AnswerError.
        """
        tls = None
        if origin.secure:
            context = client_context() if own_tls is None else await self._contexts.get(own_tls)
            tls = TlsSession(context, origin.host)
        begun = resolved = time.monotonic()
        if self._proxy is not None and self._proxy.resolves and not _is_address(origin.host):
            connected = await self._open_through(self._proxy, origin.host, origin.port, account_id)
            found = []
        else:
            found = await self._resolver.resolve(origin.host, origin.port, account_id)
            resolved = time.monotonic()
            addresses = _in_turn(found)[:MAX_ADDRESSES]
            connected = await _first(
                [partial(self._open_socket, address, account_id) for address in addresses]
            )
        opened = time.monotonic()
        made = partial(Connection, tls, self._handshakes, account_id)
        try:
            # Behind a proxy that looks names up it is not known where a connection leads: it may be inside.
            connected_to = str(connected.getpeername()[0]) if self._proxy is None else _through(found)
            _, connection = await asyncio.get_running_loop().create_connection(made, sock=connected)
        except BaseException:
            connected.close()
            raise
        try:
            await connection.established()
            connection.ip = connected_to
        except BaseException:
            connection.abort()
            raise
        shaken = None if tls is None else time.monotonic() - opened
        connection.opening = Opening(resolved - begun, opened - resolved, shaken)
        return connection

    async def _open_socket(self, address: Address, account_id: str) -> socket.socket:
        """A socket that is connected. The address is checked once more, before there is one."""
        if self._check is not None:
            self._check(address.ip)
        if self._proxy is None:
            return await _connect(address)
        return await self._open_through(self._proxy, address.ip, address.port, account_id)

    async def _open_through(self, proxy: Proxy, host: str, port: int, account_id: str) -> socket.socket:
        """A socket that a proxy has connected to a host, an IP address or a name."""
        try:
            opened = await self._reach(proxy, account_id)
        except OSError as error:
            self._warn(error)
            raise ProxyFailed("the server's proxy cannot be reached") from None
        try:
            await ask(proxy, opened, host, port)
        except BaseException:
            opened.close()
            raise
        return opened

    async def _reach(self, proxy: Proxy, account_id: str) -> socket.socket:
        # The operator chose it: it may be at any address.
        found = await self._of_proxy.resolve(proxy.host, proxy.port, account_id)
        return await _first([partial(_connect, address) for address in _in_turn(found)[:MAX_ADDRESSES]])

    def _warn(self, error: OSError) -> None:
        now = time.monotonic()
        if now - self._warned_at >= WARNED_SECONDS:
            self._warned_at = now
            _log.warning(
                "CRONALLY_EGRESS_PROXY cannot be reached: nothing is sent", extra={"error": str(error)}
            )


async def _connect(address: Address) -> socket.socket:
    opened = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        _keep_alive(opened)
        await asyncio.get_running_loop().sock_connect(opened, (address.ip, address.port))
    except BaseException:
        opened.close()
        raise
    return opened


def _keep_alive(opened: socket.socket) -> None:
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE.items():
        if hasattr(socket, name):
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _through(addresses: Sequence[Address]) -> str:
    """Where a connection through a proxy leads, of what it may have been: what is not public, if anything is."""
    return next(
        (one.ip for one in addresses if not Egress.is_public(one.ip)),
        addresses[0].ip if addresses else _UNKNOWN,
    )


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _in_turn(addresses: Sequence[Address]) -> list[Address]:
    """The addresses with their families in turn (RFC 8305, 4), so that a family that leads nowhere costs one try."""
    first = [address for address in addresses if address.family is addresses[0].family]
    others = [address for address in addresses if address.family is not addresses[0].family]
    return [address for pair in zip_longest(first, others) for address in pair if address is not None]


async def _first(attempts: Sequence[Callable[[], Awaitable[socket.socket]]]) -> socket.socket:
    """The first socket that is connected; each attempt begins when the last one failed, or is slow.

    Raises what the last attempt that failed raised.
    """
    waiting = list(attempts)
    running: set[asyncio.Future[socket.socket]] = set()
    done: set[asyncio.Future[socket.socket]] = set()
    error: BaseException | None = None
    try:
        while True:
            if waiting:
                running.add(asyncio.ensure_future(waiting.pop(0)()))
            elif not running:
                raise error or LookupFailed("the host name does not resolve")
            done, running = await asyncio.wait(
                running,
                timeout=NEXT_ADDRESS_SECONDS if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            connected = [task.result() for task in done if task.exception() is None]
            if connected:
                for second in connected[1:]:
                    second.close()
                return connected[0]
            error = next((task.exception() for task in done), error)
    finally:
        while running:
            _give_up(running.pop())
        # The traceback of what is raised here holds this frame, and those of the callers with all that they send. Did
        # a variable hold it in turn, all of that would stay until the collector of cycles comes, which counts objects
        # and not bytes.
        error = None
        done.clear()


def _give_up(attempt: asyncio.Future[socket.socket]) -> None:
    """End an attempt, and close the socket of one that has succeeded meanwhile."""
    if not attempt.cancel() and attempt.exception() is None:
        attempt.result().close()
