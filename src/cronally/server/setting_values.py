"""How the values of settings are written: durations, sizes, and lists of networks and of hosts.

Invariant: what is read already is left as it is; what cannot be read raises ValueError, which says how it is written.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import BeforeValidator

from cronally.api import hosts
from cronally.instants import parse_duration
from cronally.targets.mail.letter import parse_address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def read_duration(value: object) -> object:
    """Microseconds, of `90s` and its like."""
    return parse_duration(value) if isinstance(value, str) else value


def read_list(value: object) -> object:
    """What stands between commas."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def read_networks(value: object) -> object:
    """Networks, with commas between them."""
    listed = read_list(value)
    return [_network(part) for part in listed] if isinstance(listed, list) else listed


def _network(value: object) -> object:
    try:
        return ipaddress.ip_network(value) if isinstance(value, str) else value
    except ValueError as problem:
        raise ValueError(f"{problem}; write networks like 10.0.0.0/8, 2001:db8::/32") from None


def read_hosts(value: object) -> object:
    """Names of hosts or `*`, with commas between them."""
    listed = read_list(value)
    return [_host(part) for part in listed] if isinstance(listed, list) else listed


def _host(text: str) -> str:
    if text == hosts.ANY:
        return text
    try:
        host = hosts.read_host(text)
    except ValueError:
        host = ""
    if host != text.lower().removesuffix("."):
        raise ValueError(
            f"{text!r} is no host name; write names like cron.example.com, without scheme and port"
        )
    return host


def read_patterns(value: object) -> object:
    """Names of hosts, or of all below one (`*.example.com`), with commas between them."""
    listed = read_list(value)
    return [_pattern(part) for part in listed] if isinstance(listed, list) else listed


def _pattern(text: str) -> str:
    below = text.startswith(_BELOW)
    host = _host(text.removeprefix(_BELOW))
    if host == hosts.ANY or (below and hosts.is_address(host)):
        raise ValueError(f"{text!r} names no hosts; write names like example.com, *.example.com")
    return f"{_BELOW if below else ''}{host.strip('[]')}"


_BELOW = "*."
"""Before a name: all names below it."""


Duration = Annotated[int, BeforeValidator(read_duration)]
"""Microseconds inside, `90s`, `15m`, `24h` or `30d` outside."""


def read_size(value: object) -> object:
    """Bytes, of `400MiB` and its like."""
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise ValueError(f"{value!r} is no size; write bytes, or a number and its unit like 400MiB or 2GiB")
    return int(match[1]) << _UNITS[match[2]]


_SIZE = re.compile(r"([0-9]{1,15}) ?(KiB|MiB|GiB|)")
_UNITS = {"": 0, "KiB": 10, "MiB": 20, "GiB": 30}


def read_public_url(value: object) -> object:
    """A URL that others are made of: without a slash at its end, None for an empty text."""
    if not isinstance(value, str):
        return value
    if value and not _PUBLIC_URL.fullmatch(value):
        raise ValueError("write https://host or http://host:port, without a query")
    return value.rstrip("/") or None


_PUBLIC_URL = re.compile(r"https?://[A-Za-z0-9.\[\]:_-]+(/[A-Za-z0-9._~/-]*)?")


def read_sender(value: object) -> object:
    """An address that mail comes from, None for an empty text."""
    if isinstance(value, str) and value and not parse_address(value).isascii():
        raise ValueError("is not ASCII; mail comes from an address that every server takes")
    return value or None
