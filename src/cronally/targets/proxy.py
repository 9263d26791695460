"""The operator's proxy that connections go through: HTTP's CONNECT (https://www.rfc-editor.org/rfc/rfc9110#CONNECT) or
SOCKS 5 (https://www.rfc-editor.org/rfc/rfc1928, https://www.rfc-editor.org/rfc/rfc1929).

Invariant: a proxy is asked for an address that was checked, so that nothing is looked up behind the check; for a name
only where the operator says that the proxy does the checking. What it answers has a bound, and not a byte of a tenant's
reaches it before it has agreed, credentials of a host never.
"""

from __future__ import annotations

import asyncio
import base64
import re
import socket
from ipaddress import ip_address
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

from cronally.targets.target import Reply

MAX_HEAD: Final = 8192
"""Bytes of the answer to a CONNECT."""
MAX_READS: Final = 64
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: [^\r\n]*)?\r\n")
_NO_ANSWER: Final = frozenset({502, 503, 504})
"""The proxy has tried, and the host did not answer."""
_VERSION: Final = b"\x05"
_NO_AUTHENTICATION: Final = 0
_PASSWORD: Final = 2
_REPLIES: Final = {
    1: "the server's proxy failed",
    2: "the server's proxy does not allow this host",
    3: "the network cannot be reached",
    4: "the host cannot be reached",
    5: "connection refused",
    6: "the host did not answer",
}
"""What a SOCKS proxy says (RFC 1928, 6)."""
_SILENT: Final = frozenset({3, 4, 5, 6})

_EXPECTED: Final = (
    "write http://host:port or socks5://host:port, with user:password@ before the host if it asks for that"
)


class ProxyFailed(OSError):
    """The proxy did not make the connection. The text is for the account to read, and names no proxy."""

    def __init__(self, text: str, reply: Reply = Reply.NOT_ASKED) -> None:
        """
        :param reply: what it says of the host that was asked for
        """
        super().__init__(text)
        self.reply = reply


class Proxy(NamedTuple):
    """Where the proxy is, and how it is spoken to."""

    socks: bool
    host: str
    port: int
    user: bytes | None
    password: bytes
    resolves: bool
    """Whether it looks names up, and keeps them from addresses that are not public."""

    def __repr__(self) -> str:
        """The credentials are secret."""
        return f"Proxy({self.host!r}, {self.port})"


def parse_proxy(text: str, *, resolves: bool = False) -> Proxy:
    """Read the URL of a proxy. Raises ValueError, without repeating the text, for what is none."""
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise ValueError(_EXPECTED) from None
    if parts.scheme not in ("http", "socks5") or not host or not port or parts.path.strip("/") or parts.query:
        raise ValueError(_EXPECTED)
    user = None if parts.username is None else unquote_to_bytes(parts.username)
    password = unquote_to_bytes(parts.password or "")
    if user is not None and not (0 < len(user) < 256 and len(password) < 256 and b":" not in user):
        raise ValueError("the user name and the password have up to 255 bytes, and the user name no colon")
    return Proxy(parts.scheme == "socks5", host, port, user, password, resolves)


async def ask(proxy: Proxy, opened: socket.socket, host: str, port: int) -> None:
    """Have the proxy connect to a host, an IP address or a name, over a socket that is connected to the proxy.

    Raises ProxyFailed, or another OSError. The time is the caller's to bound.
    """
    try:
        await (_ask_socks if proxy.socks else _connect)(proxy, opened, host, port)
    except ProxyFailed:
        raise
    except OSError:
        raise ProxyFailed("the server's proxy cut the connection") from None


async def _connect(proxy: Proxy, opened: socket.socket, host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if proxy.user is not None:
        credentials = base64.b64encode(proxy.user + b":" + proxy.password).decode("ascii")
        lines.append(f"Proxy-Authorization: Basic {credentials}")
    await loop.sock_sendall(opened, "\r\n".join([*lines, "", ""]).encode("ascii"))
    head = b""
    for _ in range(MAX_READS):
        data = await loop.sock_recv(opened, MAX_HEAD - len(head))
        head += data
        if not data or b"\r\n\r\n" in head:
            break
    status = _STATUS.match(head)
    if status is None or not head.endswith(b"\r\n\r\n") or head.count(b"\r\n\r\n") > 1:
        # Nobody speaks first behind it: neither TLS nor HTTP. What comes with the head is no part of an answer.
        code = None if status is None else int(status[1])
        if code is None or 200 <= code < 300:
            raise ProxyFailed("the server's proxy did not answer as one")
    else:
        code = int(status[1])
    if not 200 <= code < 300:
        silent = code in _NO_ANSWER
        raise ProxyFailed(f"the server's proxy answered {code}", Reply.SILENT if silent else Reply.NOT_ASKED)


async def _ask_socks(proxy: Proxy, opened: socket.socket, host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    methods = bytes([_NO_AUTHENTICATION] if proxy.user is None else [_NO_AUTHENTICATION, _PASSWORD])
    await loop.sock_sendall(opened, _VERSION + bytes([len(methods)]) + methods)
    version, method = await _receive(opened, 2)
    if version != _VERSION[0]:
        raise ProxyFailed("the server's proxy did not answer as one")
    if method == _PASSWORD and proxy.user is not None:
        user, password = proxy.user, proxy.password
        await loop.sock_sendall(
            opened, b"\x01" + bytes([len(user)]) + user + bytes([len(password)]) + password
        )
        _, refused = await _receive(opened, 2)
        if refused:
            raise ProxyFailed("the server's proxy refuses the server's credentials")
    elif method != _NO_AUTHENTICATION:
        raise ProxyFailed("the server's proxy refuses the server's credentials")
    await loop.sock_sendall(opened, _VERSION + b"\x01\x00" + _socks_address(host) + port.to_bytes(2))
    version, reply, _, kind = await _receive(opened, 4)
    if version != _VERSION[0]:
        raise ProxyFailed("the server's proxy did not answer as one")
    if reply:
        text = _REPLIES.get(reply, f"the server's proxy answered {reply}")
        raise ProxyFailed(text, Reply.SILENT if reply in _SILENT else Reply.NOT_ASKED)
    # Where the proxy's own end is: of no interest, and read, for what comes next is the host's.
    match kind:
        case 1:
            length = 4
        case 4:
            length = 16
        case 3:
            (length,) = await _receive(opened, 1)
        case _:
            raise ProxyFailed("the server's proxy did not answer as one")
    await _receive(opened, length + 2)


def _socks_address(host: str) -> bytes:
    try:
        address = ip_address(host)
    except ValueError:
        name = host.encode("ascii")
        return b"\x03" + bytes([len(name)]) + name
    return (b"\x01" if address.version == 4 else b"\x04") + address.packed


async def _receive(opened: socket.socket, count: int) -> bytes:
    """Exactly so many bytes."""
    received = b""
    while len(received) < count:
        data = await asyncio.get_running_loop().sock_recv(opened, count - len(received))
        if not data:
            raise ProxyFailed("the server's proxy cut the connection")
        received += data
    return received
