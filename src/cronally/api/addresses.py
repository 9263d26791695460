"""Whose address a request comes from.

Invariant: what a client writes into a header is believed only as far as trusted proxies vouch for it: the address is
the rightmost one in `X-Forwarded-For` that is no trusted proxy's, and without trusted proxies it is the peer's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from starlette.types import Scope

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOCAL: Final = "local"
"""Stands for a peer without an address (a Unix socket)."""

PEERS_CACHED: Final = 10_000

_TENANT_PREFIX: Final = 64
"""One customer of an IPv6 provider has a /64 at least, and may use any address in it."""
_FORWARDING: Final = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"})


class Addresses:
    """Reads addresses, with the networks of trusted proxies."""

    def __init__(self, trusted_proxies: Iterable[Network] = ()) -> None:
        self._trusted = tuple(trusted_proxies)
        # Asked for each connection, though it be refused. What peers are called the kernel says, so it is short.
        self.of_peer = lru_cache(PEERS_CACHED)(self._of_peer)

    def limited(self, scope: Scope) -> str:
        """What limits by address count by: an IPv4 address or an IPv6 /64, as text."""
        return _limited(self.client(scope))

    def _of_peer(self, peer: str | None) -> tuple[str, bool]:
        """What limits count the other end of a connection by, and whether it is a trusted proxy."""
        address = _parse(peer) if peer else None
        return _limited(address), address is not None and self._is_trusted(address)

    def client(self, scope: Scope) -> Address | None:
        """The client's address; None if it is not known."""
        address = _peer(scope)
        if address is None or not self._is_trusted(address):
            return address
        forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
        for text in reversed(forwarded.decode("latin-1").split(",")):
            hop = _parse(text)
            if hop is None:
                # What stands left of something unreadable was not written by a proxy of ours.
                break
            address = hop
            if not self._is_trusted(address):
                break
        return address

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def _limited(address: Address | None) -> str:
    if address is None:
        return LOCAL
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(address), _TENANT_PREFIX), strict=False))
    return str(address)


def is_from_this_machine(scope: Scope) -> bool:
    """Whether the peer is this machine itself, and not a proxy on it that speaks for others."""
    address = _peer(scope)
    if address is not None and not address.is_loopback:
        return False
    return not any(name in _FORWARDING for name, _ in scope["headers"])


def _peer(scope: Scope) -> Address | None:
    client = scope.get("client")
    return _parse(client[0]) if client else None


def _parse(text: str) -> Address | None:
    """An address as proxies write it: plain, in brackets, with a port."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # An IPv4 client of a socket that listens on both is the same client.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
