"""What is sent about connections: a new one, a change, and which ones are listed.

Invariant: what is declared as secret stands here alone, never in an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Final, Literal, TypedDict

from cronally.contract.attribute import DEFAULT, Attribute
from cronally.contract.aws_access import EXAMPLE_KEY_ID, MAX_KEY_ID, MIN_KEY_ID, secret_access_key
from cronally.contract.connections import NAME, Authentication, Kind, SignatureFormat
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
from cronally.contract.values import Cursor, Limit
from cronally.instants import DAY, SECOND, format_duration

MAX_OVERLAP: Final = 7 * DAY
"""How long a secret that was replaced may go on beside the new one. Microseconds."""
MAX_BASE_URL: Final = 1024


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
            example=EXAMPLE_KEY_ID,
            min_length=MIN_KEY_ID,
            max_length=MAX_KEY_ID,
        ),
    ]
    aws_secret_access_key: Annotated[str, secret_access_key("aws_access_key_id")]
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
            check=check_headers,
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
            "What requests are signed with, as signature_format says: whsec_ and 24 to 64 bytes in base64, or whsk_"
            " and an ed25519 key; sealed, and never shown again",
            "a signing secret that begins with whsec_ or whsk_, or default for none",
            default=DEFAULT,
            check=check_signing_secret,
            secret=True,
            file=True,
            optional=True,
        ),
    ]
    signature_format: Annotated[
        Literal["standard-webhooks", "message-signatures", "both"],
        Attribute(
            "How requests are signed with signing_secret: as Standard Webhooks says, by HTTP Message Signatures"
            " (RFC 9421), or both ways",
            f"one of {', '.join(SignatureFormat)}",
            default="standard-webhooks",
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


class _Required(TypedDict):
    name: Annotated[str, NAME]
    kind: Annotated[
        Literal["aws", "http"],
        Attribute(
            "What it is for: targets of AWS (aws), or a web server (http)", f"one of {', '.join(Kind)}"
        ),
    ]


class NewConnection(_Required, AwsConnection, HttpConnection, total=False):
    """A new connection."""


class _Renamed(TypedDict, total=False):
    name: Annotated[str, NAME]


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
