"""The parameters of `sns`: a message to a topic of AWS SNS.

Invariant: as in `targets`. What an answer shows of them stands beside them, in the order of the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypedDict

from cronally.contract.attribute import Attribute
from cronally.contract.aws_access import access_key_id, secret_access_key
from cronally.contract.writing import Answer

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
SnsAccessKeyId = Annotated[str, access_key_id("an IAM user who may publish to the topic")]
SnsSecretAccessKey = Annotated[str, secret_access_key("sns_access_key_id", goes_with="sns_access_key_id")]
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


@dataclass(frozen=True, kw_only=True)
class ShownSns(Answer):
    """What an answer shows of them."""

    sns_topic: SnsTopic | None = None
    sns_region: SnsRegion | None = None
    sns_message: SnsMessage | None = None
    sns_access_key_id: SnsAccessKeyId | None = None
    sns_max_message_size: SnsMaxMessageSize | None = None
    sns_subject: SnsSubject | None = None
    sns_attributes: SnsAttributes | None = None
    sns_message_structure: SnsMessageStructure | None = None
    sns_group_id: SnsGroupId | None = None
    sns_deduplication_id: SnsDeduplicationId | None = None
