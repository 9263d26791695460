"""Hosts that an account proves to be its own, on the wire.

Invariant: what proves a host is no secret: whoever owns the host shows it to everybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, TypedDict

from cronally.contract.attribute import Attribute
from cronally.contract.values import EXAMPLE_INSTANT
from cronally.contract.writing import Answer

MAX_HOSTS: Final = 20
"""That an account may have, proven or not."""
PATH_FORM: Final = "[0-9A-Za-z._-]{1,253}(?::[0-9]{1,5})?"
"""What may stand in a path where a host belongs."""
WELL_KNOWN: Final = "/.well-known/cronally-host/"
"""Where a host shows that it is an account's; behind it comes a name that nobody guesses."""
_EXAMPLE: Final = "hooks.example.com"


class NewHost(TypedDict):
    """A host that an account wants to prove to be its own."""

    host: Annotated[
        str,
        Attribute(
            "The host as it stands in the URLs of cron jobs, with its port unless that is 443",
            "a host such as hooks.example.com or hooks.example.com:8443",
            example=_EXAMPLE,
            min_length=1,
            max_length=259,
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class Host(Answer):
    """A host that is an account's, or is to be."""

    host: Annotated[str, Attribute("The host, with its port unless that is 443", example=_EXAMPLE)]
    proven: Annotated[bool, Attribute("Whether it is proven to be the account's, now")]
    url: Annotated[
        str,
        Attribute(
            "Where the host has to show the text, with status 200",
            example="https://hooks.example.com/.well-known/cronally-host/0123456789abcdef0123456789abcdef",
        ),
    ]
    text: Annotated[
        str,
        Attribute(
            "What it has to show there, and nothing else",
            example="cronally-host=0123456789abcdefghijklmnopqrstuvwxyzABCDEFG",
        ),
    ]
    created_at: Annotated[datetime, Attribute("When it was added", example=EXAMPLE_INSTANT)]
    looked_at: Annotated[
        datetime | None, Attribute("When the URL was last looked at; null: never", example=EXAMPLE_INSTANT)
    ] = None
    detail: Annotated[
        str | None,
        Attribute("What was wrong then; null: nothing", example="HTTP 404, and no 200"),
    ] = None
    proven_until: Annotated[
        datetime | None,
        Attribute(
            "When the proof ends unless the URL is found again before; it is looked at once a day",
            example=EXAMPLE_INSTANT,
        ),
    ] = None
