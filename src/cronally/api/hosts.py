"""Which host names the server answers to.

Invariant: a request under a name that is not the server's own is refused before its path, its signature and its
parameters are looked at. Whoever owns a name can point it at this server, and then a page from that name may read what
the server answers to a browser that can reach it (DNS rebinding). Nobody can point an address elsewhere, so requests
under an address are answered, and so are those under `localhost`, which browsers do not look up.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from cronally import errors
from cronally.api.addresses import Addresses
from cronally.api.answers import failure
from cronally.api.refusals import Refusals

ANY: Final = "*"
"""Stands for every name."""
ALWAYS: Final = frozenset({"localhost"})

_HOST: Final = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9_.-]{1,253})(?::[0-9]{0,5})?")


def read_host(text: str) -> str:
    """The name or address of a Host header: in lower case, without its port and without the dot at its end.

    An IPv6 address keeps its brackets. Raises ValueError for what is neither name nor address.
    """
    match = _HOST.fullmatch(text.lower())
    host = match[1].removesuffix(".") if match else ""
    if not host:
        raise ValueError("is no host name")
    if host.startswith("["):
        ipaddress.IPv6Address(host[1:-1])
    return host


def is_address(host: str) -> bool:
    """Whether what `read_host` returned is an address."""
    if host.startswith("["):
        return True
    # A name may end in a digit, but its last label is no number.
    if not host[-1].isdigit():
        return False
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


class CheckHost:
    """ASGI middleware: refuses requests that name no host, two, or one that is not this server."""

    def __init__(self, app: ASGIApp, names: Iterable[str], refusals: Refusals, addresses: Addresses) -> None:
        """
        :param names: as `read_host` returns them; `ANY` among them admits every name
        """
        self._app = app
        self._names = ALWAYS | frozenset(names)
        self._refusals = refusals
        self._addresses = addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (problem := self._problem(scope)) is not None:
            self._refusals.note("host", self._addresses.limited(scope))
            await failure(problem)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _problem(self, scope: Scope) -> errors.RequestError | None:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if not hosts and scope["http_version"] != "1.1":
            # No browser speaks HTTP/1.0; health checks do, and need not name a host (RFC 9112, 3.2).
            return None
        if len(hosts) != 1:
            return errors.InvalidRequest("Send one Host header.")
        try:
            host = read_host(hosts[0].decode("latin-1"))
        except ValueError:
            return errors.InvalidRequest("The Host header is no host name or address.")
        if host in self._names or ANY in self._names or is_address(host):
            return None
        return errors.MisdirectedRequest(
            f"This server does not answer to the name {host}; if it is a name of its own, its operator adds it to"
            " CRONALLY_HOSTS."
        )
