"""What is sent about channels: a new one, a change, and which ones are listed.

Invariant: what is declared as secret stands here alone, never in an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypedDict

from cronally.contract.attribute import DEFAULT, Attribute
from cronally.contract.aws_access import EXAMPLE_KEY_ID, MAX_KEY_ID, MIN_KEY_ID, secret_access_key
from cronally.contract.channels import NAME, Format, Kind
from cronally.contract.credentials import check_signing_secret
from cronally.contract.sns import SnsRegion, SnsTopic
from cronally.contract.used_connections import check_meant
from cronally.contract.values import MAX_EMAIL, Cursor, Limit, check_email

MAX_URL: Final = 2048

_Url = Annotated[
    str,
    Attribute(
        "The webhook's URL; sealed, and shown without what stands behind its host",
        "the URL of a webhook",
        min_length=1,
        max_length=MAX_URL,
        secret=True,
        file=True,
        optional=True,
    ),
]


class EmailChannel(TypedDict, total=False):
    """What a channel of the kind `email` has."""

    address: Annotated[
        str,
        Attribute(
            "The address. A mail with a link goes there first, and alerts once its owner has confirmed it",
            "an email address",
            example="ops@example.com",
            check=check_email,
            format="email",
            min_length=3,
            max_length=MAX_EMAIL,
            optional=True,
        ),
    ]


_SigningSecret = Annotated[
    str,
    Attribute(
        "What each request is signed with, as Standard Webhooks says: whsec_ and 24 to 64 bytes in base64, or whsk_ and"
        " an ed25519 key; sealed, and never shown again",
        "a signing secret that begins with whsec_ or whsk_",
        check=check_signing_secret,
        secret=True,
        file=True,
        optional=True,
    ),
]
_Format = Annotated[
    Literal["slack", "mattermost", "discord", "teams"],
    Attribute(
        "Which service's incoming webhook it is",
        f"one of {', '.join(Format)}",
        default="slack",
        optional=True,
    ),
]


class HttpChannel(TypedDict, total=False):
    """What a channel of the kind `http` has."""

    webhook_url: _Url
    signing_secret: _SigningSecret


class SlackChannel(TypedDict, total=False):
    """What a channel of the kind `slack` has."""

    webhook_url: _Url
    format: _Format


class SnsChannel(TypedDict, total=False):
    """What a channel of the kind `sns` has."""

    sns_topic: SnsTopic
    sns_region: SnsRegion
    sns_access_key_id: Annotated[
        str,
        Attribute(
            "The access key id of who may publish to the topic; not with a connection",
            "the access key id of who may publish to the topic",
            example=EXAMPLE_KEY_ID,
            min_length=MIN_KEY_ID,
            max_length=MAX_KEY_ID,
            optional=True,
        ),
    ]
    sns_secret_access_key: Annotated[str, secret_access_key("sns_access_key_id")]
    connection: Annotated[
        str,
        Attribute(
            "The connection of the kind aws whose keys or role it uses, by name or id",
            "the name or the id of a connection, or default for keys of its own",
            example="billing",
            default=DEFAULT,
            check=check_meant,
            min_length=1,
            max_length=64,
        ),
    ]


PARAMETERS: Final[Mapping[Kind, type]] = {
    Kind.EMAIL: EmailChannel,
    Kind.HTTP: HttpChannel,
    Kind.SNS: SnsChannel,
    Kind.SLACK: SlackChannel,
}
"""What a channel of each kind has."""


class _Required(TypedDict):
    name: Annotated[str, NAME]
    kind: Annotated[
        Literal["email", "http", "sns", "slack"],
        Attribute(
            "Where alerts go: an address (email), a URL (http), a topic of AWS SNS (sns), or the incoming webhook of"
            " Slack, Mattermost, Discord or Teams (slack)",
            f"one of {', '.join(Kind)}",
        ),
    ]


class _Parameters(EmailChannel, SnsChannel, total=False):
    webhook_url: _Url
    signing_secret: _SigningSecret
    format: _Format


class NewChannel(_Required, _Parameters, total=False):
    """A new channel."""


class _Renamed(TypedDict, total=False):
    name: Annotated[str, NAME]


class ChannelChange(_Renamed, _Parameters, total=False):
    """A change of a channel: what is not sent stays. Its kind stays."""


class ChannelPage(TypedDict, total=False):
    """Which channels are listed, by name."""

    limit: Limit
    cursor: Cursor
