"""The parameters of each target: where the firings of a cron job go.

Invariant: a parameter belongs to one target, but for region and keys of AWS, which several have. What a value must be
beyond its form, such as that a topic is in its region, the target itself checks (`cronally.targets`). What is sealed
of a target is sealed together; each parameter of it goes in whole, and stays or is replaced as a whole, what need not
be there with what it goes with: none is ever put together from what is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Final, Literal, TypedDict

from cronally.contract.attribute import Attribute, Declared, declared
from cronally.contract.aws import AWS_TARGETS
from cronally.contract.http_requests import (
    HTTP_TIMEOUT,
    HttpBody,
    HttpContentType,
    HttpHeaders,
    HttpKeepAnswer,
    HttpMethod,
    HttpRefusedStatuses,
    HttpRetryStatuses,
    HttpSuccess,
)
from cronally.contract.templates import MARK
from cronally.contract.url_secrets import hide_key_id, hide_url

DEFAULT_TARGET: Final = "sns"
MAX_SNS_MESSAGE: Final = 262_144
"""Bytes of a text, whatever the topic takes: a request with a larger one would cost more than its share of the CPU."""
SNS_TOPIC_SIZE: Final = 262_144
"""Bytes that a topic takes unless its MaximumMessageSize says otherwise. Text and attributes count together
(https://docs.aws.amazon.com/sns/latest/dg/large-message-payloads.html)."""
MIN_SNS_TOPIC_SIZE: Final = 1024
MAX_SNS_TOPIC_SIZE: Final = 1_048_576
"""What a topic's MaximumMessageSize can be."""

MAX_SNS_ATTRIBUTES: Final = 32_768
"""Bytes of the text that attributes are given as."""

MAX_URL: Final = 2048
"""Characters: what web servers and proxies take everywhere."""

MAX_SECRET_PARTS: Final = 20


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
        template=True,
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
        hide=hide_key_id,
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
SnsSubject = Annotated[
    str,
    Attribute(
        "The subject: what an email has as its own; without line ends and control characters",
        "a subject of up to 100 characters",
        example="Nightly report",
        min_length=1,
        max_length=100,
        template=True,
        optional=True,
        absent=True,
    ),
]
SnsAttributes = Annotated[
    str,
    Attribute(
        "Message attributes beside those of firings: a JSON object of up to 20 names and texts, numbers or lists of"
        " these. With the five of a firing ten at most where a queue has raw message delivery. {} for none",
        'a JSON object, such as {"kind": "report", "copies": 2}',
        example='{"kind": "report", "copies": 2}',
        min_length=1,
        max_bytes=MAX_SNS_ATTRIBUTES,
        file=True,
        template=True,
        optional=True,
        absent=True,
    ),
]
SnsMessageStructure = Annotated[
    Literal["text", "json"],
    Attribute(
        "Whether the message is one text, or a JSON object with a text for each protocol and one named default",
        "text or json",
        default="text",
        optional=True,
        absent=True,
    ),
]
SnsGroupId = Annotated[
    str,
    Attribute(
        "The message group on a FIFO topic; by default the cron job's id",
        "a message group id of letters, digits and punctuation",
        min_length=1,
        max_length=128,
        optional=True,
        absent=True,
    ),
]
SnsDeduplicationId = Annotated[
    str,
    Attribute(
        "The deduplication id on a FIFO topic; by default the firing's id. What has the same within 5 minutes SNS takes"
        " and does not deliver",
        "a deduplication id of letters, digits and punctuation",
        min_length=1,
        max_length=128,
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
        template="url",
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
HttpSigningSecret = Annotated[
    str,
    Attribute(
        "What requests are signed with, as Standard Webhooks says: whsec_ and 24 to 64 bytes in base64, or whsk_ and an"
        " ed25519 key; while it is replaced two, the new one first; none takes it away. Sealed, and never shown again",
        "a signing secret that begins with whsec_ or whsk_, or two with a comma between them, or none",
        example="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        min_length=1,
        max_length=256,
        secret=True,
        optional=True,
        file=True,
    ),
]
HttpFormat = Annotated[
    Literal["default", "cloudevents-binary", "cloudevents-structured"],
    Attribute(
        "How a firing is told: in Cronally's headers alone (default), as a CloudEvent in headers beside them"
        " (cloudevents-binary), or as one that the body is (cloudevents-structured)",
        "default, cloudevents-binary or cloudevents-structured",
        default="default",
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
    sns_subject: SnsSubject
    sns_attributes: SnsAttributes
    sns_message_structure: SnsMessageStructure
    sns_group_id: SnsGroupId
    sns_deduplication_id: SnsDeduplicationId


class HttpParameters(TypedDict, total=False):
    """The parameters of `http`: a request to an address."""

    delivery_http_method: HttpMethod
    delivery_http_url: HttpUrl
    delivery_http_secret_parts: HttpSecretParts
    delivery_http_signing_secret: HttpSigningSecret
    delivery_http_format: HttpFormat
    delivery_http_headers: HttpHeaders
    delivery_http_body: HttpBody
    delivery_http_content_type: HttpContentType
    delivery_http_success: HttpSuccess
    delivery_http_keep_answer: HttpKeepAnswer
    delivery_http_timeout: Annotated[str | timedelta, HTTP_TIMEOUT]
    delivery_http_retry_statuses: HttpRetryStatuses
    delivery_http_refused_statuses: HttpRefusedStatuses


TARGETS: Final[Mapping[str, type[Any]]] = {"sns": SnsParameters, "http": HttpParameters, **AWS_TARGETS}
"""The parameters of each target by its name, which is the value of `delivery_type`."""


def target_of(parameter: str) -> str | None:
    """A target that a parameter belongs to; None for a parameter of the cron job itself."""
    return next(iter(targets_of(parameter)), None)


def targets_of(parameter: str) -> tuple[str, ...]:
    """The targets that a parameter belongs to; none for a parameter of the cron job itself."""
    return tuple(name for name, kind in TARGETS.items() if parameter in declared(kind))


def parameters_of(target: str) -> Mapping[str, Declared]:
    """The parameters of a target by name."""
    return declared(TARGETS[target])


def without_secrets(target: str, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The parameters that an answer may show, as it may show them, and those to seal.

    What may be shown comes back unchanged when it goes in again.
    """
    public: dict[str, Any] = {MARK: values[MARK]} if MARK in values else {}
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
