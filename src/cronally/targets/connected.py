"""What a cron job sends with a connection: its own parameters, and the credentials that many share.

Invariant: pure, and the only place that puts the two together, so a target knows nothing of connections. What a
connection of the kind `http` holds goes to its `base_url` and below, whatever a cron job or an earlier version of it
says.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cronally.contract.connections import Authentication, Kind
from cronally.contract.url_secrets import MASK
from cronally.contract.used_connections import given, kind_for
from cronally.targets.below import is_below
from cronally.targets.own_tls import PARAMETERS as OF_TLS
from cronally.targets.own_tls import own_tls
from cronally.targets.target import Destination, Role

URL_PARAMETER: Final = "delivery_http_url"
TIMEOUT_PARAMETER: Final = "delivery_http_timeout"
TIMEOUT: Final = "timeout"
"""Microseconds; a cron job's own goes before."""
HEADERS: Final = "headers"
"""JSON: the headers that every request of a connection gets, by name."""
AUTHORIZATION: Final = "authorization"
GRANT: Final = "grant"
"""JSON: all that an access token is asked for with, the URL that it is asked at among it: so former secrets go where
they were given for, whatever has changed since."""
SIGNING_SECRET: Final = "signing_secret"  # noqa: S105 - a parameter's name
SIGNING_SECRET_PREVIOUS: Final = "signing_secret_previous"  # noqa: S105
SESSION_TOKEN: Final = "aws_session_token"  # noqa: S105
ACCESS_KEY_ID: Final = "aws_access_key_id"
ROLE_ARN: Final = "aws_role_arn"
EXTERNAL_ID: Final = "aws_external_id"
CONNECTION_ID: Final = "connection_id"
_SESSION_NAME: Final = "cronally-"
"""Before the connection's id: CloudTrail shows it with all that is done with the role."""
_HOME_REGIONS: Final[Mapping[str, str]] = {"aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
"""Where keys of a partition are known, whatever the region that they are used in."""
DEFAULT_REGION: Final = "us-east-1"


class NotConnected(ValueError):
    """It cannot be sent with its connection. The message is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a connection holds, opened."""

    kind: str
    public: Mapping[str, Any]
    """What may be shown of it, with its id."""
    secret: Mapping[str, str] = field(repr=False)
    previous: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The former secrets while they go on, with the access key id that they belong to; empty otherwise."""


def connect(destination: Destination, held: Held, refusals: int = 0) -> Destination:
    """The destination of a cron job with what its connection holds. Raises NotConnected.

    :param refusals: how often what was sent was refused: where the new secrets are, the former ones are tried in turn
    """
    if kind_for(destination.target) != held.kind:
        raise NotConnected(
            f"The connection is of the kind {held.kind}, and is of no use to {destination.target}."
        )
    if held.kind == Kind.HTTP and not is_below(held.public["base_url"], destination.whole(URL_PARAMETER)):
        raise NotConnected("The URL is not below the base_url of the connection.")
    used = held.previous if refusals % 2 and held.previous else held.secret
    if held.kind == Kind.AWS:
        key_id = used.get(ACCESS_KEY_ID, held.public.get(ACCESS_KEY_ID))
        names = {held_as: name for name, held_as in given(destination.target).items()}
        public = dict(destination.public)
        if key_id is not None:
            public[names[ACCESS_KEY_ID]] = key_id
        secret = {names.get(name, name): value for name, value in used.items() if name != ACCESS_KEY_ID}
        return replace(
            destination, public=public, secret={**destination.secret, **secret}, role=role_of(held.public)
        )
    # What is TLS's no receiver gets to see: none of it is a text that an answer could repeat.
    secret = {name: value for name, value in used.items() if name not in OF_TLS and name != SIGNING_SECRET}
    if SIGNING_SECRET in held.secret:
        secret[SIGNING_SECRET] = held.secret[SIGNING_SECRET]
        former = held.previous.get(SIGNING_SECRET)
        if former is not None and former != held.secret[SIGNING_SECRET]:
            secret[SIGNING_SECRET_PREVIOUS] = former
    return replace(
        destination,
        public=with_timeout(destination.public, held.public),
        secret={**destination.secret, **secret},
        own_tls=own_tls(destination.account_id, held.public.get(CONNECTION_ID, ""), used),
    )


def with_timeout(public: Mapping[str, Any], held: Mapping[str, Any]) -> Mapping[str, Any]:
    """The public parameters of a destination, with the timeout of its connection if they have none.

    :param held: what may be shown of the connection
    """
    return {TIMEOUT_PARAMETER: held[TIMEOUT], **public} if TIMEOUT in held else public


def role_of(public: Mapping[str, Any]) -> Role | None:
    """The role that a connection has, if it has one."""
    if ROLE_ARN not in public:
        return None
    name = f"{_SESSION_NAME}{public[CONNECTION_ID]}"
    return Role(public[ROLE_ARN], public[EXTERNAL_ID], name, region_of(public))


def region_of(public: Mapping[str, Any]) -> str:
    """Where STS is asked about the keys and the role of a connection."""
    partition = public.get(ROLE_ARN, "arn:aws").split(":")[1]
    region: str = public.get("aws_region") or _HOME_REGIONS.get(partition, DEFAULT_REGION)
    return region


def request_headers(secret: Mapping[str, str]) -> dict[str, str]:
    """The headers that a request gets from its connection, if it has one."""
    headers: dict[str, str] = json.loads(secret[HEADERS]) if HEADERS in secret else {}
    if AUTHORIZATION in secret:
        headers["Authorization"] = secret[AUTHORIZATION]
    return headers


def shown_headers(public: Mapping[str, Any]) -> dict[str, str]:
    """What stands for the secrets that `request_headers` makes headers of.

    :param public: what may be shown of a connection
    """
    shown = {HEADERS: json.dumps(dict.fromkeys(public.get("header_names", ()), MASK))}
    if public.get("authentication", Authentication.NONE) != Authentication.NONE:
        shown[AUTHORIZATION] = MASK
    return shown


def secret_texts(secret: Mapping[str, str]) -> Iterator[str]:
    """The texts in the secrets of a destination, each as the receiver knows it."""
    for name, text in secret.items():
        if name == HEADERS:
            yield from json.loads(text).values()
        elif name == GRANT:
            yield json.loads(text)["client_secret"]
        elif name == AUTHORIZATION:
            yield from credentials_in(text)
        else:
            yield text


def credentials_in(authorization: str) -> Iterator[str]:
    """The credentials in a header that says who calls, without the word for their kind, which is no secret."""
    kind, _, credentials = authorization.partition(" ")
    yield credentials
    if kind == "Basic":
        # A password may hold colons itself; the user is shown.
        yield base64.b64decode(credentials).decode("utf-8", "replace").partition(":")[2]
