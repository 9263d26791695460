"""Where a tenant's URL may lead: the public Internet, and what the operator allows beside it, or denies.

Invariant: no socket is opened towards an address that is not allowed. A URL is checked when it is sent, a name's
addresses when it is looked up (one bad address refuses them all, and what was checked is what is connected to),
and the address once more when the socket is made.

`ipaddress.is_global` is not the rule here: on Python 3.11 it holds for multicast, 6to4 and NAT64 addresses of
private hosts, and differs between releases. The rule is IANA's registries of special-purpose addresses, in full:
https://www.iana.org/assignments/iana-ipv4-special-registry, https://www.iana.org/assignments/iana-ipv6-special-registry
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from cronally.targets.url import MAX_NAME_LENGTH, Url, parse_url

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network


_DENIED_V4: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; Alibaba's metadata service
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's host: public by its number only
        "169.254.0.0/16",  # link-local; the metadata service of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # IETF protocols; Oracle's metadata service
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_GLOBAL_V6: Final = IPv6Network("2000::/3")  # all that IANA has allocated as global unicast
_DENIED_V6: Final = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # IETF protocols, Teredo among them
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052; the local-use 64:ff9b:1::/48 stays denied

# https://fetch.spec.whatwg.org/#port-blocking: servers of other protocols, which a request could be meant to fool
_DENIED_PORTS: Final = frozenset(
    {0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103}
    | {
        104,
        109,
        110,
        111,
        113,
        115,
        117,
        119,
        123,
        135,
        137,
        139,
        143,
        161,
        179,
        389,
        427,
        465,
        512,
        513,
        514,
    }
    | {515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723}
    | {2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080}
)

_NAME: Final = re.compile(
    r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*"
    r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
)
_NUMERIC: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


class Refusal(Enum):
    """Why firings may not be sent to a host: what an attempt says, and the end of a sentence about a URL."""

    NOT_PUBLIC = (
        "the host's address is not public, and CRONALLY_HTTP_ALLOWED_NETWORKS does not allow it",
        "leads to an address that is not public; give one that the Internet can reach, or have the server's operator"
        " allow its network in CRONALLY_HTTP_ALLOWED_NETWORKS",
    )
    NETWORK = (
        "the host's address is in one of CRONALLY_HTTP_DENIED_NETWORKS",
        "leads to a network that the server's operator does not allow; give another, or ask the operator to take it out"
        " of CRONALLY_HTTP_DENIED_NETWORKS",
    )
    HOST = (
        "the host is in CRONALLY_HTTP_DENIED_HOSTS, or not in CRONALLY_HTTP_ALLOWED_HOSTS",
        "has a host that the server's operator does not allow; give another, or ask the operator"
        " (CRONALLY_HTTP_ALLOWED_HOSTS, CRONALLY_HTTP_DENIED_HOSTS)",
    )

    @property
    def detail(self) -> str:
        """What an attempt says."""
        return self.value[0]

    @property
    def complaint(self) -> str:
        """The end of a sentence about a URL."""
        return self.value[1]


class EgressRefused(OSError):
    """The host is not one that firings may be sent to."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.detail)
        self.refusal = refusal


class Egress:
    """Which hosts may be called, and which addresses may be connected to."""

    def __init__(
        self,
        allowed: Iterable[str] = (),
        denied: Iterable[str] = (),
        *,
        allowed_hosts: Iterable[str] = (),
        denied_hosts: Iterable[str] = (),
    ) -> None:
        """What is denied counts for more than what is allowed.

        :param allowed: networks such as `10.1.0.0/16` that are allowed though they are not public;
            raises ValueError for what is no network
        :param denied: networks that are not, public ones too
        :param allowed_hosts: hosts, `*.example.com` for all names below one; any if there is none
        :param denied_hosts: the same, of those that are not allowed
        """
        self._allowed: tuple[_Network, ...] = tuple(ip_network(text) for text in allowed)
        self._denied: tuple[_Network, ...] = tuple(ip_network(text) for text in denied)
        self._allowed_hosts = frozenset(one.lower() for one in allowed_hosts)
        self._denied_hosts = frozenset(one.lower() for one in denied_hosts)

    def permits(self, address: str) -> bool:
        """Whether a socket may be opened towards this IP address."""
        return self._refusal(address) is None

    def check(self, address: str) -> None:
        """Raise EgressRefused unless the address is allowed."""
        refusal = self._refusal(address)
        if refusal is not None:
            raise EgressRefused(refusal)

    @staticmethod
    def is_public(address: str) -> bool:
        """Whether an IP address is one that anybody may send to, whatever the operator allows."""
        return _refusal(address.partition("%")[0], (), ()) is None

    def permits_host(self, host: str) -> bool:
        """Whether a host, as a URL names it, may be called at all; its addresses are another question.

        :param host: a name in small letters, or an IP address without brackets
        """
        if not self._allowed_hosts and not self._denied_hosts:
            return True
        labels = host.split(".")
        patterns = {host, *("*." + ".".join(labels[place:]) for place in range(1, len(labels)))}
        if patterns & self._denied_hosts:
            return False
        return not self._allowed_hosts or bool(patterns & self._allowed_hosts)

    def _refusal(self, address: str) -> Refusal | None:
        return _refusal(address.partition("%")[0], self._allowed, self._denied)

    def parse_url(self, text: str) -> Url:
        """The URL, if it may be called.

        Raises ValueError with the end of a sentence that says what to give, without repeating the text.
        """
        url = parse_url(text)
        if url.origin.port in _DENIED_PORTS:
            raise ValueError("has the port of another protocol; give that of a web server")
        self._check_host(url.origin.host)
        if not self.permits_host(url.origin.host):
            raise ValueError(Refusal.HOST.complaint)
        return url

    def _check_host(self, host: str) -> None:
        if ":" in host or _NUMERIC.fullmatch(host.rpartition(".")[2]):
            # Anything whose last label is a number is an IPv4 address to some reader: 127.1, 2130706433, 0x7f.1
            try:
                address = str(ip_address(host))
            except ValueError:
                raise ValueError("has a host that is no name and no IP address; write it plainly") from None
        elif host == "localhost" or host.endswith(".localhost"):
            address = "127.0.0.1"  # RFC 6761
        elif host.endswith("."):
            raise ValueError("has a host with a dot at its end; leave that out")
        elif len(host) > MAX_NAME_LENGTH or not _NAME.fullmatch(host):
            raise ValueError("has a host that is no domain name; give one like https://example.com/hook")
        else:
            return
        refusal = self._refusal(address)
        if refusal is not None:
            raise ValueError(refusal.complaint)


@lru_cache(maxsize=1024)
def _refusal(text: str, allowed: tuple[_Network, ...], denied: tuple[_Network, ...]) -> Refusal | None:
    address = ip_address(text)
    reached = _reached(address)
    if any(address in network or reached in network for network in denied):
        return Refusal.NETWORK
    if any(address in network or reached in network for network in allowed):
        return None
    if isinstance(reached, IPv4Address):
        public = not any(reached in network for network in _DENIED_V4)
    else:
        public = reached in _GLOBAL_V6 and not any(reached in network for network in _DENIED_V6)
    return None if public else Refusal.NOT_PUBLIC


def _reached(address: _Address) -> _Address:
    """The IPv4 address that an IPv6 address stands for (mapped, NAT64, 6to4), else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address
