"""Connections in answers: credentials of an account, stored once and used by many cron jobs.

Invariant: what `connection_requests` declares as secret is never here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

from cronally.contract.attribute import DEFAULT, Attribute
from cronally.contract.values import EXAMPLE_INSTANT, Uuid, is_uuid
from cronally.contract.writing import Answer

NAME_FORM: Final = re.compile("[0-9A-Za-z][0-9A-Za-z_-]{0,63}")


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
    OAUTH2 = "oauth2"


class ClientAuthentication(StrEnum):
    """How a connection with OAuth 2.0 says to a token endpoint who it is."""

    BASIC = "basic"
    BODY = "body"


def check_new_name(text: str) -> str:
    """What a connection is to be called."""
    if not NAME_FORM.fullmatch(text) or is_uuid(text.lower()) or text == DEFAULT:
        raise ValueError(
            "is no name of a connection, which has 1 to 64 letters, digits, - and _, begins with a letter or a digit,"
            f" and is neither an id nor the word {DEFAULT}"
        )
    return text


NAME: Final = Attribute(
    "What it is called, in its account",
    "a name of letters, digits, - and _",
    example="billing",
    check=check_new_name,
    min_length=1,
    max_length=64,
)
HEALTH: Final = Attribute(
    "ok; or unhealthy where its credentials are refused: its firings are held then", example="ok"
)
_HeaderName = Annotated[str, Attribute("The name of a header")]
_Subject = Annotated[str, Attribute("The subject of a certificate")]


@dataclass(frozen=True, kw_only=True)
class Connection(Answer):
    """A connection. Its secrets are never in an answer."""

    connection_id: Uuid
    name: Annotated[str, NAME]
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
        Attribute("Of http: how a request says who calls, none, basic, bearer or oauth2", absent=True),
    ] = None
    username: Annotated[str | None, Attribute("Of http, with basic: the user", absent=True)] = None
    token_url: Annotated[
        str | None,
        Attribute(
            "Of http, with oauth2: where access tokens are asked for",
            example="https://login.example.com/oauth2/token",
            absent=True,
        ),
    ] = None
    client_id: Annotated[str | None, Attribute("Of http, with oauth2: the client", absent=True)] = None
    scope: Annotated[
        str | None, Attribute("Of http, with oauth2: what tokens are asked for, if it says", absent=True)
    ] = None
    audience: Annotated[
        str | None, Attribute("Of http, with oauth2: whom tokens are asked for, if it says", absent=True)
    ] = None
    client_authentication: Annotated[
        str | ClientAuthentication | None,
        Attribute("Of http, with oauth2: how the client says who it is, basic or body", absent=True),
    ] = None
    header_names: Annotated[
        tuple[_HeaderName, ...] | None,
        Attribute("Of http: which headers every request gets, without their values", absent=True),
    ] = None
    signs: Annotated[bool | None, Attribute("Of http: whether it has a signing secret", absent=True)] = None
    timeout: Annotated[
        str | None, Attribute("Of http: how long one request may take, if it says", example="5s", absent=True)
    ] = None
    client_certificate_subject: Annotated[
        str | None,
        Attribute(
            "Of http, with a client certificate: whom it is for", example="CN=cronally,O=Example", absent=True
        ),
    ] = None
    client_certificate_not_after: Annotated[
        datetime | None,
        Attribute(
            "Of http, with a client certificate: when it expires", example=EXAMPLE_INSTANT, absent=True
        ),
    ] = None
    client_certificate_fingerprint: Annotated[
        str | None,
        Attribute(
            "Of http, with a client certificate: its SHA-256, in hexadecimal digits",
            example="5f3a1d0c7b8e49265a0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69",
            absent=True,
        ),
    ] = None
    ca_subjects: Annotated[
        tuple[_Subject, ...] | None,
        Attribute(
            "Of http, with ca_certificates: the authorities that its server's certificate may be signed by",
            absent=True,
        ),
    ] = None
    max_in_flight: Annotated[
        int | None, Attribute("How many firings a server sends with it at once at most", minimum=1)
    ] = None
    max_per_second: Annotated[
        int | None,
        Attribute("How many firings a server begins to send with it in a second at most", minimum=1),
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
    health: Annotated[str | Health, HEALTH] = Health.OK
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
