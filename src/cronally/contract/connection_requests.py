"""What is sent about connections: a new one, a change, and which ones are listed.

Invariant: what is declared as secret stands here alone, never in an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Final, Literal, TypedDict

from cronally.contract.attribute import DEFAULT, Attribute
from cronally.contract.aws_access import EXAMPLE_KEY_ID, MAX_KEY_ID, MIN_KEY_ID, secret_access_key
from cronally.contract.connections import NAME, Authentication, ClientAuthentication, Kind
from cronally.contract.credentials import (
    MAX_ASKED,
    MAX_CERTIFICATES,
    MAX_CLIENT_ID,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MAX_KEY,
    check_audience,
    check_certificates,
    check_client_id,
    check_client_secret,
    check_headers,
    check_key,
    check_password,
    check_scope,
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
        Literal["none", "basic", "bearer", "oauth2"],
        Attribute(
            "How a request says who calls: not at all (none), by username and password (basic), by a token (bearer), or"
            " by access tokens that are asked for at a token_url (oauth2: client credentials of OAuth 2.0); where it is"
            " not sent, by what is sent",
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
    token_url: Annotated[
        str,
        Attribute(
            "Where access tokens are asked for, with authentication=oauth2. A new one needs the client_secret: that is"
            " sent there",
            "the URL of a token endpoint",
            example="https://login.example.com/oauth2/token",
            min_length=1,
            max_length=MAX_BASE_URL,
            optional=True,
        ),
    ]
    client_id: Annotated[
        str,
        Attribute(
            "The client that asks, with authentication=oauth2",
            "the id of a client",
            example="cronally",
            check=check_client_id,
            min_length=1,
            max_length=MAX_CLIENT_ID,
            optional=True,
        ),
    ]
    client_secret: Annotated[
        str,
        Attribute(
            "The client's secret; sealed, and never shown again",
            "the secret that belongs to client_id",
            check=check_client_secret,
            secret=True,
            file=True,
            optional=True,
        ),
    ]
    scope: Annotated[
        str,
        Attribute(
            "What access tokens are asked for, as the token endpoint calls it",
            "scopes with a space between them, or default for none",
            example="reports.write",
            default=DEFAULT,
            check=check_scope,
            max_length=MAX_ASKED,
            optional=True,
        ),
    ]
    audience: Annotated[
        str,
        Attribute(
            "Whom access tokens are asked for, where the token endpoint wants to know: an API's identifier",
            "an audience, or default for none",
            example="https://api.example.com/",
            default=DEFAULT,
            check=check_audience,
            max_length=MAX_ASKED,
            optional=True,
        ),
    ]
    client_authentication: Annotated[
        Literal["basic", "body"],
        Attribute(
            "How the client says to the token endpoint who it is: in a header (basic, as by default), or in the form"
            " (body)",
            f"one of {', '.join(ClientAuthentication)}",
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
            "How long one request may take, from 1s to 15m, if the server has places for those that may take longer"
            " than it lets a request take by default; the delivery_http_timeout of a cron job goes before",
            "how long a request may take, such as 5s, or default",
            example="5s",
            default=DEFAULT,
            minimum=SECOND,
            maximum=MAX_TIMEOUT,
            optional=True,
        ),
    ]
    client_certificate: Annotated[
        str,
        Attribute(
            "The certificate that is shown to a server that asks for one in TLS, with the certificates that lead to its"
            f" authority, in PEM, up to {MAX_CERTIFICATES:,} bytes; sealed with its key, and its subject, end and"
            " fingerprint are shown",
            "a certificate in PEM, or default for none",
            default=DEFAULT,
            check=check_certificates,
            max_bytes=MAX_CERTIFICATES,
            file=True,
            optional=True,
        ),
    ]
    client_key: Annotated[
        str,
        Attribute(
            "The private key that belongs to client_certificate, in PEM and without a passphrase: RSA of 2048 to 4096"
            " bits, EC on P-256, P-384 or P-521, or ed25519; sealed, and never shown again",
            "the private key that belongs to client_certificate, in PEM, or default for none",
            default=DEFAULT,
            check=check_key,
            max_bytes=MAX_KEY,
            secret=True,
            file=True,
            lines=True,
            optional=True,
        ),
    ]
    ca_certificates: Annotated[
        str,
        Attribute(
            "The authorities that the server's certificate may be signed by, in place of those that are commonly"
            f" trusted, in PEM, up to {MAX_CERTIFICATES:,} bytes; with others, the secrets that are sent to the server"
            " are needed anew",
            "certificates in PEM, or default for those that are commonly trusted",
            default=DEFAULT,
            check=check_certificates,
            max_bytes=MAX_CERTIFICATES,
            file=True,
            optional=True,
        ),
    ]


PARAMETERS: Final[Mapping[Kind, type]] = {Kind.AWS: AwsConnection, Kind.HTTP: HttpConnection}
"""What a connection of each kind holds, apart from its `Limits`."""


class Limits(TypedDict, total=False):
    """How much is sent at most with a connection of any kind."""

    max_in_flight: Annotated[
        Literal["default"] | int,
        Attribute(
            "How many firings a server sends with it at once, of all cron jobs that use it; more of them wait. By"
            " default there is no limit of its own",
            "how many firings at once, or default",
            example=4,
            default=DEFAULT,
            minimum=1,
            maximum=1000,
        ),
    ]
    max_per_second: Annotated[
        Literal["default"] | int,
        Attribute(
            "How many firings a server begins to send with it in a second, of all cron jobs that use it; more of them"
            " wait. By default there is no limit of its own",
            "how many firings a second, or default",
            example=10,
            default=DEFAULT,
            minimum=1,
            maximum=1000,
        ),
    ]


class _Required(TypedDict):
    name: Annotated[str, NAME]
    kind: Annotated[
        Literal["aws", "http"],
        Attribute(
            "What it is for: targets of AWS (aws), or a web server (http)", f"one of {', '.join(Kind)}"
        ),
    ]


class NewConnection(_Required, AwsConnection, HttpConnection, Limits, total=False):
    """A new connection."""


class _Renamed(TypedDict, total=False):
    name: Annotated[str, NAME]


class ConnectionChange(_Renamed, AwsConnection, HttpConnection, Limits, total=False):
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
