"""How much an account may have and ask for: by the server's settings, or by limits of its own that the operator sets.

Invariant: a limit is declared here once: with its bounds, as it is stored, as the operator sets it, and as it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from cronally.contract.attribute import Attribute, declared
from cronally.contract.writing import Answer


@dataclass(frozen=True, kw_only=True)
class Limits(Answer):
    """How much an account may have and ask for."""

    max_cronjobs: Annotated[int, Attribute("Cron jobs that it may have", minimum=0, maximum=1_000_000)]
    max_bytes: Annotated[
        int,
        Attribute(
            "Bytes that they may hold together, messages included, with its calendars and connections",
            minimum=1024,
            maximum=2**40,
        ),
    ]
    max_connections: Annotated[int, Attribute("Connections that it may have", minimum=0, maximum=10_000)]
    requests_per_minute: Annotated[
        int,
        Attribute("Signed requests a minute that it may make to one process", minimum=1, maximum=10_000_000),
    ]
    request_seconds_per_minute: Annotated[
        int,
        Attribute(
            "Seconds a minute that its requests may keep the API of one process busy", minimum=1, maximum=60
        ),
    ]
    in_flight: Annotated[
        int, Attribute("Firings of it that one process sends at once", minimum=1, maximum=10_000)
    ]


SERVERS: Mapping[str, int] = {
    "max_cronjobs": 1000,
    "max_bytes": 16 * 1024 * 1024,
    "max_connections": 100,
    "requests_per_minute": 6000,
    "request_seconds_per_minute": 15,
    "in_flight": 64,
}
"""What a server allows whose settings say nothing."""


def check_limit(name: str, value: Any) -> None:
    """Raise ValueError with a complaint about a limit that the operator sets."""
    one = declared(Limits)[name].attribute
    if type(value) is not int:
        raise ValueError("is no whole number")
    if one.minimum is not None and value < one.minimum:
        raise ValueError(f"is less than {one.minimum:,}")
    if one.maximum is not None and value > one.maximum:
        raise ValueError(f"is more than {one.maximum:,}")
