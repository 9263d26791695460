"""API keys on the wire: what a key may do, from where and until when, and how it is replaced.

Invariant: the secret of a key is in the answer that makes it, and in no other.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final, Literal, TypedDict

from cronally.contract.attribute import DEFAULT, Attribute
from cronally.contract.connections import NAME_FORM
from cronally.contract.firings import check_start
from cronally.contract.tags import ANY, MAX_TAGS, check_wanted
from cronally.contract.values import EXAMPLE_INSTANT, is_uuid
from cronally.contract.writing import Answer
from cronally.instants import DAY, format_duration

MAX_KEYS: Final = 50
"""That an account may have, without those that another one has replaced."""
SPARE_KEYS: Final = 10
"""Beyond those, for who has lost theirs: keys that a recovery or the operator makes."""
MAX_NETWORKS: Final = 20
MAX_OVERLAP: Final = 30 * DAY
"""Microseconds."""
OVERLAP: Final = DAY
"""Microseconds."""
SIGNUP_NAME: Final = "sign-up"
"""What the key is called that an account is made with."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Scope(StrEnum):
    """What a key may do. Each route asks for one of them."""

    READ = "read"
    WRITE = "write"
    RUN = "run"
    KEYS = "keys"


class KeyState(StrEnum):
    """Whether a key can be used."""

    LIVE = "live"
    EXPIRED = "expired"
    REVOKED = "revoked"


def check_key_name(text: str) -> str:
    """What a key is to be called."""
    if not NAME_FORM.fullmatch(text) or is_uuid(text.lower()):
        raise ValueError(
            "is no name of a key, which has 1 to 64 letters, digits, - and _, begins with a letter or a digit, and is"
            " no id"
        )
    return text


def check_meant_key(text: str) -> str:
    """The name or the id of a key, by its form alone."""
    if not NAME_FORM.fullmatch(text):
        raise ValueError("is neither the name nor the id of a key; GET /account/keys/ lists them")
    return text.lower() if is_uuid(text.lower()) else text


def check_scopes(scopes: Sequence[str]) -> list[str]:
    """The scopes of a key, each once, in the order of `Scope`."""
    return [scope.value for scope in Scope if scope.value in scopes]


def check_networks(texts: Sequence[str]) -> list[str]:
    """The networks of a key, each once, as they are written."""
    return sorted({str(_network(text)) for text in texts})


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(
            "holds what is no network; give addresses or networks such as 203.0.113.7, 10.0.0.0/8 or 2001:db8::/32,"
            " with no bits set behind the prefix"
        ) from None


def check_expiry(text: str) -> int | timedelta:
    """When a key ends: an instant, or how long from now."""
    return check_start(text)


_SCOPE: Final = Attribute("A scope", f"one of {', '.join(Scope)}")
_TEXT: Final = Attribute("A text", "a text")
NAME: Final = Attribute(
    "What it is called, in its account",
    "a name of letters, digits, - and _",
    example="deploy",
    check=check_key_name,
    min_length=1,
    max_length=64,
)
SCOPES: Final = Attribute(
    "What it may do: read lists and shows; write creates, changes and deletes; run fires now, replays, makes up for the"
    " past and sends test messages; keys works on API keys",
    f"one or several of {', '.join(Scope)}",
    example=["read", "run"],
    check=check_scopes,
    min_length=1,
    max_length=len(Scope),
)
Tags = Annotated[
    list[Annotated[str, _TEXT]],
    Attribute(
        f"It sees and changes only cron jobs with one of these tags; key{ANY} stands for any value of the key. Without"
        " any it sees all; an empty text takes them away",
        "a tag, or several",
        example=["team=web"],
        check=check_wanted,
        max_length=MAX_TAGS,
        may_be_empty=True,
        also="tag",
    ),
]
Networks = Annotated[
    list[Annotated[str, _TEXT]],
    Attribute(
        "From where it may be used: addresses and networks. From anywhere without any; an empty text takes them away",
        "an address or a network, such as 203.0.113.7 or 10.0.0.0/8, or several",
        example=["203.0.113.0/24"],
        check=check_networks,
        max_length=MAX_NETWORKS,
        may_be_empty=True,
        also="network",
    ),
]
Scopes = Annotated[list[Annotated[Literal["read", "write", "run", "keys"], _SCOPE]], SCOPES]
Expiry = Annotated[
    datetime | timedelta | str,
    Attribute(
        "When it can be used no more: an instant, or how long from now, such as 90d; by default never",
        f"an instant, such as {EXAMPLE_INSTANT}, or a duration, such as 90d, or default",
        example="90d",
        default=DEFAULT,
        check=check_expiry,
        min_length=1,
        max_length=64,
    ),
]


class _Named(TypedDict):
    name: Annotated[str, NAME]
    scopes: Scopes


class NewKey(_Named, total=False):
    """A new API key."""

    tags: Tags
    networks: Networks
    expires_at: Expiry


class KeyChange(TypedDict, total=False):
    """What is to be other of an API key. What is not sent stays."""

    name: Annotated[str, NAME]
    scopes: Scopes
    tags: Tags
    networks: Networks
    expires_at: Expiry


class Rotation(TypedDict, total=False):
    """How long a key goes on beside the one that replaces it."""

    overlap: Annotated[
        str | timedelta,
        Attribute(
            "For how long the replaced key can still be used; 0s ends it at once,"
            f" {format_duration(MAX_OVERLAP)} is the most",
            "a duration, such as 24h",
            example="1h",
            default=OVERLAP,
            minimum=0,
            maximum=MAX_OVERLAP,
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class Key(Answer):
    """An API key."""

    api_key: Annotated[str, Attribute("Its id, which requests name as X-Cron-Key", format="uuid")]
    api_secret: Annotated[
        str | None,
        Attribute(
            "Base64; signs requests. Only in the answer that makes the key: it is not shown again",
            format="byte",
            absent=True,
        ),
    ] = field(default=None, repr=False)
    name: Annotated[str, Attribute("What it is called", example="deploy")]
    scopes: Annotated[
        tuple[Annotated[str | Scope, _SCOPE], ...],
        Attribute("What it may do: read, write, run, keys", example=["read", "run"]),
    ]
    tags: Annotated[
        tuple[Annotated[str, _TEXT], ...],
        Attribute("It sees and changes only cron jobs with one of these; all where there is none"),
    ] = ()
    networks: Annotated[
        tuple[Annotated[str, _TEXT], ...],
        Attribute("From where it may be used; from anywhere where there is none"),
    ] = ()
    state: Annotated[str | KeyState, Attribute("live, expired or revoked", example="live")]
    by_signup: Annotated[bool, Attribute("Whether the account was made with it")]
    created_at: Annotated[datetime, Attribute("When it was made", example=EXAMPLE_INSTANT)]
    created_by: Annotated[
        str | None, Attribute("The API key that asked for it; null: the sign-up", format="uuid")
    ] = None
    expires_at: Annotated[
        datetime | None,
        Attribute("When it can be used no more; null: never", example=EXAMPLE_INSTANT),
    ] = None
    last_used_at: Annotated[
        datetime | None,
        Attribute("When it was used last, to a minute or so; null: never", example=EXAMPLE_INSTANT),
    ] = None
    revoked_at: Annotated[
        datetime | None, Attribute("When it was revoked, if it was", example=EXAMPLE_INSTANT)
    ] = None
    replaced_by: Annotated[
        str | None, Attribute("The API key that has replaced it, if it was rotated", format="uuid")
    ] = None
    replaces: Annotated[
        str | None, Attribute("The API key that it has replaced, if it was made so", format="uuid")
    ] = None
