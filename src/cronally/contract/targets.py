"""The parameters of each target: where the firings of a cron job go.

Invariant: a parameter belongs to one target. What a value must be beyond its form, such as that a topic is in its
region, the target itself checks (`cronally.targets`). Of each target one parameter is sealed at most, as a whole; it
goes in whole and is never put together from what is stored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypedDict

from cronally.contract.attribute import Attribute, Declared, declared
from cronally.contract.status_sets import EXPECTED, HIGHEST, MAX_ENTRIES, check_statuses
from cronally.contract.url_secrets import MASK, hide_url

DEFAULT_TARGET: Final = "sns"
MAX_SNS_MESSAGE: Final = 262_144
"""Bytes of a text, whatever the topic takes: a request with a larger one would cost more than its share of the CPU."""
SNS_TOPIC_SIZE: Final = 262_144
"""Bytes that a topic takes unless its MaximumMessageSize says otherwise. Text and attributes count together
(https://docs.aws.amazon.com/sns/latest/dg/large-message-payloads.html)."""
MIN_SNS_TOPIC_SIZE: Final = 1024
MAX_SNS_TOPIC_SIZE: Final = 1_048_576
"""What a topic's MaximumMessageSize can be."""

MAX_URL: Final = 2048
"""Characters: what web servers and proxies take everywhere."""

MAX_SECRET_PARTS: Final = 20

_KEY_ID: Final = re.compile(r"[A-Z0-9_]*")


def _hide_key_id(text: str, values: Mapping[str, Any]) -> str:
    """What is no access key id may be the secret that was put in its place."""
    return text if _KEY_ID.fullmatch(text) else MASK


def _hide_url(text: str, values: Mapping[str, Any]) -> str:
    return hide_url(text, values.get("delivery_http_secret_parts", ()))


SnsTopic = Annotated[
    str,
    Attribute(
        "The SNS topic's ARN",
        "the topic's ARN, such as arn:aws:sns:eu-west-1:123456789012:my-topic",
        example="arn:aws:sns:eu-west-1:123456789012:my-topic",
        min_length=1,
        max_length=512,
        absent=True,
    ),
]
SnsRegion = Annotated[
    str,
    Attribute(
        "The topic's region",
        "the topic's region, such as eu-west-1",
        example="eu-west-1",
        min_length=1,
        max_length=64,
        absent=True,
    ),
]
SnsMessage = Annotated[
    str,
    Attribute(
        f"What is published, up to {MAX_SNS_MESSAGE:,} bytes in UTF-8; with the attributes that are added, up to"
        " sns_max_message_size",
        "the text to publish; any will do if none is needed",
        example="good morning",
        min_length=1,
        max_bytes=MAX_SNS_MESSAGE,
        file=True,
        absent=True,
    ),
]
SnsAccessKeyId = Annotated[
    str,
    Attribute(
        "The access key id of an IAM user who may publish to the topic",
        "the access key id of an IAM user who may publish to the topic",
        example="AKIAIOSFODNN7EXAMPLE",
        min_length=16,
        max_length=128,
        hide=_hide_key_id,
        absent=True,
    ),
]
SnsSecretAccessKey = Annotated[
    str,
    Attribute(
        "The secret access key that belongs to sns_access_key_id; sealed, and never shown again",
        "the secret access key that belongs to sns_access_key_id",
        example="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        min_length=1,
        max_length=256,
        secret=True,
        goes_with="sns_access_key_id",
        file=True,
    ),
]
SnsMaxMessageSize = Annotated[
    int,
    Attribute(
        "The topic's MaximumMessageSize in bytes, where it is set; text and attributes count together",
        "the topic's MaximumMessageSize in bytes",
        default=SNS_TOPIC_SIZE,
        minimum=MIN_SNS_TOPIC_SIZE,
        maximum=MAX_SNS_TOPIC_SIZE,
        optional=True,
        absent=True,
    ),
]
HttpUrl = Annotated[
    str,
    Attribute(
        "The URL that is called; for delivery_type http. A user name and password in it are sent as a header; secrets"
        " in it are sealed, and shown as ***",
        "a URL such as https://example.com/hook",
        example="https://example.com/hook",
        min_length=1,
        max_length=MAX_URL,
        hide=_hide_url,
        goes_with="delivery_http_secret_parts",
        file=True,
        absent=True,
    ),
]
_Part = Annotated[str, Attribute("", "the name of a query parameter", max_length=64)]
HttpSecretParts = Annotated[
    list[_Part] | tuple[_Part, ...],
    Attribute(
        "What else of delivery_http_url is secret, beside what looks so: names of query parameters; / is the path",
        "names of query parameters, or / for the path",
        example=("chat_id",),
        max_length=MAX_SECRET_PARTS,
        optional=True,
        absent=True,
    ),
]
HttpMethod = Annotated[
    Literal["get", "post"], Attribute("How it is called", "get or post", any_case=True, absent=True)
]

LEAST_FAILURE: Final = 300
"""The lowest status of an answer that may be chosen to mean a retry, or a refusal."""


def check_failures(texts: list[str]) -> list[str]:
    """Statuses of answers that do not deliver."""
    return check_statuses(texts, LEAST_FAILURE, HIGHEST)


_Statuses = Annotated[str, Attribute("", EXPECTED, max_length=7)]
HttpRetryStatuses = Annotated[
    list[_Statuses] | tuple[_Statuses, ...],
    Attribute(
        f"Statuses from {LEAST_FAILURE} to {HIGHEST} after which it is tried again by retry_schedule, whatever they"
        " mean by default: single ones, classes (5xx) and ranges (500-504)",
        EXPECTED,
        example=("404", "410"),
        check=check_failures,
        max_length=MAX_ENTRIES,
        may_be_empty=True,
        optional=True,
        absent=True,
    ),
]
HttpRefusedStatuses = Annotated[
    list[_Statuses] | tuple[_Statuses, ...],
    Attribute(
        f"Statuses from {LEAST_FAILURE} to {HIGHEST} after which it has failed at once, whatever they mean by default",
        EXPECTED,
        example=("401", "501"),
        check=check_failures,
        max_length=MAX_ENTRIES,
        may_be_empty=True,
        optional=True,
        absent=True,
    ),
]


class SnsParameters(TypedDict, total=False):
    """The parameters of `sns`: AWS SNS."""

    sns_topic: SnsTopic
    sns_message: SnsMessage
    sns_region: SnsRegion
    sns_access_key_id: SnsAccessKeyId
    sns_secret_access_key: SnsSecretAccessKey
    sns_max_message_size: SnsMaxMessageSize


class HttpParameters(TypedDict, total=False):
    """The parameters of `http`: a request to an address."""

    delivery_http_method: HttpMethod
    delivery_http_url: HttpUrl
    delivery_http_secret_parts: HttpSecretParts
    delivery_http_retry_statuses: HttpRetryStatuses
    delivery_http_refused_statuses: HttpRefusedStatuses


TARGETS: Final[Mapping[str, type[Any]]] = {"sns": SnsParameters, "http": HttpParameters}
"""The parameters of each target by its name, which is the value of `delivery_type`."""


def target_of(parameter: str) -> str | None:
    """The target that a parameter belongs to; None for a parameter of the cron job itself."""
    return next((name for name, kind in TARGETS.items() if parameter in declared(kind)), None)


def parameters_of(target: str) -> Mapping[str, Declared]:
    """The parameters of a target by name."""
    return declared(TARGETS[target])


def without_secrets(target: str, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The parameters that an answer may show, as it may show them, and those to seal.

    What may be shown comes back unchanged when it goes in again.
    """
    public: dict[str, Any] = {}
    secret: dict[str, str] = {}
    for name, one in parameters_of(target).items():
        if name not in values:
            continue
        value, hide = values[name], one.attribute.hide
        if one.attribute.secret:
            secret[name] = value
            continue
        public[name] = value if hide is None else hide(value, values)
        if public[name] != value:
            secret[name] = value
    return public, secret
