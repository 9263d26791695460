"""The host that a destination goes by: what forecasts and freezes name, the same as limits per host count by.

Invariant: pure. A host is written in one way: in ASCII, in small letters, without a dot behind it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from cronally.targets.target import Target
from cronally.targets.url import host_and_port, parse_url

_EXPECTED: Final = "give one like hooks.example.com, without a scheme, a port and a path"
_WITH_PORT: Final = (
    "give one like hooks.example.com, without a scheme and a path, with its port unless that is 443"
)


def host_of(targets: Mapping[str, Target], target: str, destination: str) -> str | None:
    """The host that takes the requests of a destination; None for one that cannot be made out.

    :param target: the name of its target
    :param destination: JSON of its public parameters, as it is stored
    """
    try:
        known = targets[target]
        return known.host(json.loads(destination)[known.host_by])
    except (KeyError, TypeError, ValueError):
        return None


def check_host(text: str) -> str:
    """A host as `host_of` writes it. Raises ValueError with a complaint."""
    if any(sign in text for sign in "/?#@\\ "):
        raise ValueError(f"is no host; {_EXPECTED}")
    if ":" in text and not (text.startswith("[") and text.endswith("]")):
        raise ValueError(f"is no host, or has a port; {_EXPECTED}")
    try:
        return parse_url(f"https://{text}/").origin.host.removesuffix(".")
    except ValueError:
        if text.isascii():
            raise ValueError(f"is no host; {_EXPECTED}") from None
        raise


def check_host_and_port(text: str) -> str:
    """A host as a `Receiver` writes its `site`. Raises ValueError with a complaint."""
    if any(sign in text for sign in "/?#@\\ "):
        raise ValueError(f"is no host; {_WITH_PORT}")
    if "[" in text or text.count(":") > 1:
        raise ValueError(f"is no name; {_WITH_PORT}")
    try:
        return host_and_port(parse_url(f"https://{text}/").origin)
    except ValueError:
        if text.isascii():
            raise ValueError(f"is no host; {_WITH_PORT}") from None
        raise
