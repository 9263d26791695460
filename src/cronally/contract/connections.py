"""Connections on the wire: credentials of an account, stored once and used by many cron jobs.

Invariant: what is declared as secret stands in requests alone, never in an answer. What a connection stands in for of a
target is decided here: a cron job that uses one has no such parameters of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final, Literal, TypedDict

from cronally.contract.attribute import DEFAULT, Attribute
from cronally.contract.credentials import (
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    check_headers,
    check_password,
    check_signing_secret,
    check_token,
    check_username,
)
from cronally.contract.http_requests import MAX_TIMEOUT
from cronally.contract.targets import TARGETS, parameters_of
from cronally.contract.values import EXAMPLE_INSTANT, Cursor, Limit, Uuid, is_uuid
from cronally.contract.writing import Answer
from cronally.instants import DAY, SECOND, format_duration

MAX_OVERLAP: Final = 7 * DAY
"""How long a secret that was replaced may go on beside the new one. Microseconds."""
MAX_BASE_URL: Final = 1024

NAME: Final = re.compile("[0-9A-Za-z][0-9A-Za-z_-]{0,63}")


class Kind(StrEnum):
    """What a connection is for."""

    AWS = "aws"
    HTTP = "http"


class Health(StrEnum):
    """Whether what a connection holds is accepted."""

    OK = "ok"
    UNHEALTHY = "unhealthy"


class Authentication(StrEnum):
    """How a connection of the kind `http` says who calls."""

    NONE = "none"
    BASIC = "basic"
    BEARER = "bearer"


_AS_OWN: Final[Mapping[str, Mapping[str, str]]] = {
    "sns": {
        "sns_access_key_id": "aws_access_key_id",
        "sns_secret_access_key": "aws_secret_access_key",
    }
}
"""Of a target with names of its own: by what it calls what a connection holds."""
_AWS_KEYS: Final = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")


def kind_for(target: str) -> Kind | None:
    """The kind of the connections that a target can use; None if it uses none."""
    if target == Kind.HTTP:
        return Kind.HTTP
    return Kind.AWS if given(target) else None


def given(target: str) -> Mapping[str, str]:
    """What of a target's parameters a connection stands in for, and what the connection calls it."""
    if target in _AS_OWN:
        return _AS_OWN[target]
    known = parameters_of(target) if target in TARGETS else {}
    return {name: name for name in _AWS_KEYS if name in known}


def check_new_name(text: str) -> str:
    """What a connection is to be called."""
    if not NAME.fullmatch(text) or is_uuid(text.lower()) or text == DEFAULT:
        raise ValueError(
            "is no name of a connection, which has 1 to 64 letters, digits, - and _, begins with a letter or a digit,"
            f" and is neither an id nor the word {DEFAULT}"
        )
    return text


def check_meant(text: str) -> str:
    """The name or the id of a connection, by its form alone."""
    if not NAME.fullmatch(text):
        raise ValueError("is neither the name nor the id of a connection; GET /connections/ lists them")
    return text.lower() if is_uuid(text.lower()) else text


class AwsConnection(TypedDict, total=False):
    """What a connection of the kind `aws` holds."""

    aws_role_arn: Annotated[
        str,
        Attribute(
            "The role of IAM that is assumed for whatever uses the connection: with the connection's own keys, or with"
            " the server's identity, if it has one. The role must ask for the aws_external_id that the answer shows",
            "the ARN of a role, or default for none",
            example="arn:aws:iam::123456789012:role/cronally",
            default=DEFAULT,
            max_length=2048,
            optional=True,
        ),
    ]
    aws_access_key_id: Annotated[
        str,
        Attribute(
            "The access key id of an IAM user, or of temporary credentials with their aws_session_token; required"
            " without aws_role_arn",
            "an access key id",
            example="AKIAIOSFODNN7EXAMPLE",
            min_length=16,
            max_length=128,
        ),
    ]
    aws_secret_access_key: Annotated[
        str,
        Attribute(
            "The secret access key that belongs to aws_access_key_id; sealed, and never shown again",
            "the secret access key that belongs to aws_access_key_id",
            example="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            min_length=1,
            max_length=256,
            secret=True,
            file=True,
        ),
    ]
    aws_session_token: Annotated[
        str,
        Attribute(
            "The session token of temporary credentials (ASIA...); sealed, and never shown again",
            "the session token that belongs to aws_access_key_id, or default for none",
            default=DEFAULT,
            check=check_token,
            secret=True,
            file=True,
            optional=True,
        ),
    ]
    aws_region: Annotated[
        str,
        Attribute(
            "The region in which the keys are tried out",
            "a region such as eu-west-1, or default for none",
            example="eu-west-1",
            default=DEFAULT,
            max_length=64,
            optional=True,
        ),
    ]


class HttpConnection(TypedDict, total=False):
    """What a connection of the kind `http` holds."""

    base_url: Annotated[
        str,
        Attribute(
            "Where its secrets may go: to this URL and to what is below it",
            "a URL such as https://api.example.com/v1",
            example="https://api.example.com/v1",
            min_length=1,
            max_length=MAX_BASE_URL,
        ),
    ]
    authentication: Annotated[
        Literal["none", "basic", "bearer"],
        Attribute(
            "How a request says who calls: not at all (none), by username and password (basic), or by a token (bearer);"
            " where it is not sent, by what is sent",
            f"one of {', '.join(Authentication)}",
            optional=True,
        ),
    ]
    username: Annotated[
        str,
        Attribute(
            "The user, with authentication=basic",
            "a user name",
            example="cron",
            check=check_username,
            min_length=1,
            max_length=256,
            optional=True,
        ),
    ]
    password: Annotated[
        str,
        Attribute(
            "The user's password; sealed, and never shown again",
            "the password that belongs to username",
            check=check_password,
            secret=True,
            file=True,
            optional=True,
        ),
    ]
    token: Annotated[
        str,
        Attribute(
            "The token, with authentication=bearer; sealed, and never shown again",
            "a token",
            check=check_token,
            secret=True,
            file=True,
            optional=True,
        ),
    ]
    headers: Annotated[
        dict[str, str],
        Attribute(
            f"Headers that every request gets, up to {MAX_HEADERS}, {MAX_HEADER_BYTES:,} bytes together; their values"
            " are sealed, and never shown again. A change replaces all of them, and an empty text takes them away",
            "names and values of headers",
            example={"X-Api-Key": "0123456789abcdef"},
            check=lambda headers: check_headers(headers or {}),
            max_length=MAX_HEADERS,
            may_be_empty=True,
            secret=True,
            file=True,
            optional=True,
        ),
    ]
    signing_secret: Annotated[
        str,
        Attribute(
            "What requests are signed with, as Standard Webhooks says: whsec_ and 24 to 64 bytes in base64, or whsk_"
            " and an ed25519 key; sealed, and never shown again",
            "a signing secret that begins with whsec_ or whsk_, or default for none",
            default=DEFAULT,
            check=check_signing_secret,
            secret=True,
            file=True,
            optional=True,
        ),
    ]
    timeout: Annotated[
        str | timedelta,
        Attribute(
            "How long one request may take, from 1s to what the server lets a request take, which it is by default; the"
            " delivery_http_timeout of a cron job goes before",
            "how long a request may take, such as 5s, or default",
            example="5s",
            default=DEFAULT,
            minimum=SECOND,
            maximum=MAX_TIMEOUT,
            optional=True,
        ),
    ]


PARAMETERS: Final[Mapping[Kind, type]] = {Kind.AWS: AwsConnection, Kind.HTTP: HttpConnection}
"""What a connection of each kind holds."""

_NAME: Final = Attribute(
    "What it is called, in its account",
    "a name of letters, digits, - and _",
    example="billing",
    check=check_new_name,
    min_length=1,
    max_length=64,
)


class _Required(TypedDict):
    name: Annotated[str, _NAME]
    kind: Annotated[
        Literal["aws", "http"],
        Attribute(
            "What it is for: targets of AWS (aws), or a web server (http)", f"one of {', '.join(Kind)}"
        ),
    ]


class NewConnection(_Required, AwsConnection, HttpConnection, total=False):
    """A new connection."""


class _Renamed(TypedDict, total=False):
    name: Annotated[str, _NAME]


class ConnectionChange(_Renamed, AwsConnection, HttpConnection, total=False):
    """A change of a connection: what is not sent stays. Its kind stays."""

    overlap: Annotated[
        str | timedelta,
        Attribute(
            f"How long the secrets that are replaced go on beside the new ones, up to {format_duration(MAX_OVERLAP)}:"
            " where the new ones are refused, the next attempt is made with the former ones, and requests are signed"
            " with both",
            "how long the former secrets go on, such as 24h",
            example="24h",
            default=0,
            minimum=0,
            maximum=MAX_OVERLAP,
        ),
    ]


class ConnectionPage(TypedDict, total=False):
    """Which connections are listed, by name."""

    limit: Limit
    cursor: Cursor


Used = Annotated[
    str,
    Attribute(
        "The connection that it uses, by name or id: its credentials are in place of"
        f" {' and '.join(_AS_OWN['sns'])}, or it calls a URL below base_url; by default it uses none",
        "the name or the id of a connection, or default for none",
        example="billing",
        default=DEFAULT,
        check=check_meant,
        min_length=1,
        max_length=64,
    ),
]
WantedConnection = Annotated[
    str,
    Attribute(
        "Only those that use this connection, by name or id",
        "the name or the id of a connection",
        check=check_meant,
        min_length=1,
        max_length=64,
    ),
]


_HEALTH: Final = Attribute(
    "ok; or unhealthy where its credentials are refused: its firings are held then", example="ok"
)


@dataclass(frozen=True, kw_only=True)
class UsedConnection(Answer):
    """The connection that a cron job uses."""

    connection_id: Uuid
    name: Annotated[str, Attribute("What it is called", example="billing")]
    health: Annotated[str | Health, _HEALTH] = Health.OK


_HeaderName = Annotated[str, Attribute("The name of a header")]


@dataclass(frozen=True, kw_only=True)
class Connection(Answer):
    """A connection. Its secrets are never in an answer."""

    connection_id: Uuid
    name: Annotated[str, _NAME]
    kind: Annotated[str | Kind, Attribute("What it is for: aws or http", example="aws")]
    aws_access_key_id: Annotated[
        str | None, Attribute("Of aws: the access key id", example="AKIAIOSFODNN7EXAMPLE", absent=True)
    ] = None
    aws_role_arn: Annotated[
        str | None,
        Attribute(
            "Of aws: the role that is assumed, if it has one",
            example="arn:aws:iam::123456789012:role/cronally",
            absent=True,
        ),
    ] = None
    aws_external_id: Annotated[
        str | None,
        Attribute(
            "Of aws, with a role: the external id that the role's trust policy must ask for; no other connection has"
            " it",
            example="cronally-0123456789abcdefghijklmnopqrstuv",
            absent=True,
        ),
    ] = None
    has_session_token: Annotated[
        bool | None,
        Attribute("Of aws: whether it has a session token, of temporary credentials", absent=True),
    ] = None
    aws_region: Annotated[str | None, Attribute("Of aws: the region, if it has one", absent=True)] = None
    base_url: Annotated[
        str | None,
        Attribute("Of http: where its secrets may go", example="https://api.example.com/v1", absent=True),
    ] = None
    authentication: Annotated[
        str | Authentication | None,
        Attribute("Of http: how a request says who calls, none, basic or bearer", absent=True),
    ] = None
    username: Annotated[str | None, Attribute("Of http, with basic: the user", absent=True)] = None
    header_names: Annotated[
        tuple[_HeaderName, ...] | None,
        Attribute("Of http: which headers every request gets, without their values", absent=True),
    ] = None
    signs: Annotated[bool | None, Attribute("Of http: whether it has a signing secret", absent=True)] = None
    timeout: Annotated[
        str | None, Attribute("Of http: how long one request may take, if it says", example="5s", absent=True)
    ] = None
    version: Annotated[int, Attribute("Rises with every change", minimum=1)]
    created_at: Annotated[datetime, Attribute("When it was created", example=EXAMPLE_INSTANT)]
    updated_at: Annotated[datetime, Attribute("When it was last changed", example=EXAMPLE_INSTANT)]
    updated_by: Annotated[str, Attribute("The API key that last changed it", format="uuid")]
    previous_until: Annotated[
        datetime | None,
        Attribute(
            "Until when its former secrets go on beside the new ones", example=EXAMPLE_INSTANT, absent=True
        ),
    ] = None
    last_used_at: Annotated[
        datetime | None,
        Attribute(
            "When a firing was last sent with it, to the minute; null if none was", example=EXAMPLE_INSTANT
        ),
    ] = None
    used_by: Annotated[int, Attribute("How many cron jobs use it", minimum=0)]
    health: Annotated[str | Health, _HEALTH] = Health.OK
    unhealthy_since: Annotated[
        datetime | None,
        Attribute("Since when its credentials are refused", example=EXAMPLE_INSTANT, absent=True),
    ] = None
    unhealthy_detail: Annotated[
        str | None, Attribute("What was said when they were refused first", example="HTTP 401", absent=True)
    ] = None
    probe_at: Annotated[
        datetime | None,
        Attribute(
            "From when on one of the firings that are held is sent to try them again",
            example=EXAMPLE_INSTANT,
            absent=True,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class ConnectionVerification(Answer):
    """What was said to the credentials of a connection."""

    accepted: Annotated[
        bool,
        Attribute(
            "Whether they are good: AWS knows whose they are; or the base_url answers with 2xx, or with 404 or 405,"
            " which say nothing against who calls"
        ),
    ]
    outcome: Annotated[
        str,
        Attribute(
            "As of an attempt: delivered, retry, unauthorized, refused or unknown", example="unauthorized"
        ),
    ]
    detail: Annotated[
        str | None,
        Attribute(
            "What was said, or what went wrong, as a text; null if nothing did",
            example="InvalidClientTokenId: The security token included in the request is invalid.",
        ),
    ] = None
    http_status: Annotated[int | None, Attribute("The status of the answer, if there was one")] = None
    aws_account: Annotated[
        str | None, Attribute("Of aws: the account whose keys they are", example="123456789012", absent=True)
    ] = None
    aws_arn: Annotated[
        str | None,
        Attribute(
            "Of aws: the user or the role whose keys they are; with aws_role_arn, the session of it",
            example="arn:aws:iam::123456789012:user/cron",
            absent=True,
        ),
    ] = None
    duration_ms: Annotated[int, Attribute("How long it took", minimum=0)]
