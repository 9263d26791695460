"""Channels in answers: where the alerts of an account go.

Invariant: what `channel_requests` declares as secret is never here; of a webhook's URL only the host is.
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
CONFIRM: Final = "confirm"
"""No channel has this name: what is confirmed has a path of its own."""
TOKEN_FORM: Final = "[0-9A-Za-z_-]{43}"  # noqa: S105 - a form, and no token
"""What may stand in a path where a token belongs: 32 bytes in base64."""


class Kind(StrEnum):
    """What a channel is."""

    EMAIL = "email"
    HTTP = "http"
    SNS = "sns"
    SLACK = "slack"


class Format(StrEnum):
    """What the webhook of a chat service takes."""

    SLACK = "slack"
    MATTERMOST = "mattermost"
    DISCORD = "discord"
    TEAMS = "teams"


class ChannelHealth(StrEnum):
    """Whether alerts reach a channel."""

    OK = "ok"
    UNHEALTHY = "unhealthy"


def check_new_name(text: str) -> str:
    """What a channel is to be called."""
    if not NAME_FORM.fullmatch(text) or is_uuid(text.lower()) or text in (DEFAULT, CONFIRM):
        raise ValueError(
            "is no name of a channel, which has 1 to 64 letters, digits, - and _, begins with a letter or a digit,"
            f" and is neither an id nor one of the words {DEFAULT} and {CONFIRM}"
        )
    return text


def check_meant(text: str) -> str:
    """The name or the id of a channel, by its form alone."""
    if not NAME_FORM.fullmatch(text):
        raise ValueError("is neither the name nor the id of a channel; GET /channels/ lists them")
    return text.lower() if is_uuid(text.lower()) else text


NAME: Final = Attribute(
    "What it is called, in its account",
    "a name of letters, digits, - and _",
    example="on-call",
    check=check_new_name,
    min_length=1,
    max_length=64,
)


@dataclass(frozen=True, kw_only=True)
class Channel(Answer):
    """A channel: where alerts go. Its secrets are never in an answer."""

    channel_id: Uuid
    name: Annotated[str, NAME]
    kind: Annotated[str | Kind, Attribute("What it is: email, http, sns or slack", example="email")]
    address: Annotated[
        str | None, Attribute("Of email: the address", example="ops@example.com", absent=True)
    ] = None
    webhook_url: Annotated[
        str | None,
        Attribute(
            "Of http and slack: the URL; what stands behind its host is secret",
            example="https://hooks.slack.com/***",
            absent=True,
        ),
    ] = None
    format: Annotated[
        str | Format | None,
        Attribute("Of slack: what the webhook takes", example="slack", absent=True),
    ] = None
    sns_topic: Annotated[str | None, Attribute("Of sns: the topic's ARN", absent=True)] = None
    sns_region: Annotated[str | None, Attribute("Of sns: the topic's region", absent=True)] = None
    sns_access_key_id: Annotated[
        str | None, Attribute("Of sns, without a connection: the access key id", absent=True)
    ] = None
    connection_id: Annotated[
        str | None,
        Attribute("Of sns: the connection that it uses, if it uses one", format="uuid", absent=True),
    ] = None
    confirmed: Annotated[
        bool,
        Attribute(
            "Whether it gets alerts: an address of email gets them once its owner has confirmed it, others at once"
        ),
    ]
    confirmed_at: Annotated[
        datetime | None, Attribute("Since when it gets alerts", example=EXAMPLE_INSTANT)
    ] = None
    confirm_until: Annotated[
        datetime | None,
        Attribute(
            "Of email that is not confirmed: until when the link in the last mail confirms it; null: it is over",
            example=EXAMPLE_INSTANT,
            absent=True,
        ),
    ] = None
    version: Annotated[int, Attribute("Rises with every change", minimum=1)]
    created_at: Annotated[datetime, Attribute("When it was created", example=EXAMPLE_INSTANT)]
    updated_at: Annotated[datetime, Attribute("When it was last changed", example=EXAMPLE_INSTANT)]
    updated_by: Annotated[str, Attribute("The API key that last changed it", format="uuid")]
    delivered_at: Annotated[
        datetime | None,
        Attribute("When an alert last reached it; null if none did", example=EXAMPLE_INSTANT),
    ] = None
    health: Annotated[
        str | ChannelHealth,
        Attribute("ok; or unhealthy where the last alert did not reach it", example="ok"),
    ] = ChannelHealth.OK
    unhealthy_since: Annotated[
        datetime | None, Attribute("Since when alerts do not reach it", example=EXAMPLE_INSTANT, absent=True)
    ] = None
    unhealthy_detail: Annotated[
        str | None, Attribute("What was said last", example="HTTP 404", absent=True)
    ] = None


@dataclass(frozen=True, kw_only=True)
class Confirmed(Answer):
    """An address that was confirmed."""

    channel: Annotated[str, Attribute("The name of the channel that gets alerts now", example="on-call")]
