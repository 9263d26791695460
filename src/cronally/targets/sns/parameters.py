"""The parameters of a cron job that publishes to an SNS topic, checked.

Invariant: what passes here can be sent: SNS may refuse it for what it knows (no such topic, no permission, a
smaller limit set on the topic), not for its form. All that is wrong is said at once, and no complaint repeats
a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from cronally.errors import InvalidRequest
from cronally.targets.sns.endpoints import parse_region, parse_topic
from cronally.targets.target import Destination

NAME: Final = "sns"
TOPIC: Final = "sns_topic"
MESSAGE: Final = "sns_message"
REGION: Final = "sns_region"
ACCESS_KEY_ID: Final = "sns_access_key_id"
SECRET_ACCESS_KEY: Final = "sns_secret_access_key"  # noqa: S105 - a parameter's name

PARAMETERS: Final = frozenset({TOPIC, MESSAGE, REGION, ACCESS_KEY_ID, SECRET_ACCESS_KEY})
SECRET_PARAMETERS: Final = frozenset({SECRET_ACCESS_KEY})

MAX_MESSAGE_BYTES: Final = 262_144
"""SNS's default limit (https://docs.aws.amazon.com/sns/latest/api/API_Publish.html). SNS counts the attributes
too, 250 bytes and the cron job's name; a topic whose MaximumMessageSize is set higher takes them beside it."""

INVALID_CHARACTERS: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to write, and SNS and SQS refuse therefore
(https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html)."""

# https://docs.aws.amazon.com/IAM/latest/APIReference/API_AccessKey.html
_ACCESS_KEY_ID: Final = re.compile(r"[A-Za-z0-9_]{16,128}", re.ASCII)
_TEMPORARY: Final = "ASIA"
_SECRET_ACCESS_KEY: Final = re.compile(r"[!-~]{1,256}", re.ASCII)

_EXPECTED: Final = {
    TOPIC: "the topic's ARN, such as arn:aws:sns:eu-west-1:123456789012:my-topic",
    MESSAGE: "the text to publish; any will do if none is needed",
    REGION: "the topic's region, such as eu-west-1",
    ACCESS_KEY_ID: "the access key id of an IAM user who may publish to the topic",
    SECRET_ACCESS_KEY: "the secret access key that belongs to sns_access_key_id",
}


def parse(parameters: Mapping[str, str], previous: Destination | None = None) -> Destination:
    """Check and split, as `Target.parse` says."""
    before = previous.public if previous is not None and previous.target == NAME else None
    values = {**(before or {}), **parameters}
    foreign = sorted(parameters.keys() - PARAMETERS)
    fields = dict.fromkeys(foreign, "is no parameter of an sns cron job; leave it out")
    for name, expected in _EXPECTED.items():
        if name in SECRET_PARAMETERS and before is not None and name not in parameters:
            if parameters.get(ACCESS_KEY_ID) and parameters[ACCESS_KEY_ID] != before[ACCESS_KEY_ID]:
                fields[name] = "is needed with a new sns_access_key_id; give the secret that belongs to it"
        elif not values.get(name):
            fields[name] = f"is missing or empty; give {expected}"
        elif complaint := _complaint(name, values):
            fields[name] = complaint
    if fields:
        raise InvalidRequest(fields=fields)
    return Destination(
        NAME,
        {name: values[name] for name in _EXPECTED if name not in SECRET_PARAMETERS},
        {name: parameters[name] for name in SECRET_PARAMETERS if name in parameters},
    )


def _complaint(name: str, values: Mapping[str, str]) -> str | None:
    """What is wrong with a value that is there: the end of a sentence that begins with the parameter's name."""
    value = values[name]
    match name:
        case "sns_topic":
            return _sentence(parse_topic, value)
        case "sns_region":
            return _sentence(parse_region, value) or _other_region(value, values.get(TOPIC, ""))
        case "sns_message":
            return _message_complaint(value)
        case "sns_access_key_id":
            if not _ACCESS_KEY_ID.fullmatch(value):
                return "is no access key id; it has 16 to 128 letters, digits or _, mostly AKIA and 16 more"
            if value.startswith(_TEMPORARY):
                return (
                    "belongs to temporary credentials (ASIA...), which expire; give an IAM user's (AKIA...)"
                )
        case _:
            if not _SECRET_ACCESS_KEY.fullmatch(value):
                return "is no secret access key; it has no spaces, line ends or characters outside ASCII"
    return None


def _sentence(parse: Callable[[str], object], value: str) -> str | None:
    try:
        parse(value)
    except ValueError as error:
        return str(error)
    return None


def _other_region(region: str, topic: str) -> str | None:
    try:
        expected = parse_topic(topic).region
    except ValueError:
        return None  # said of the topic
    return None if region == expected else f"is not the region of sns_topic; give {expected}"


def _message_complaint(text: str) -> str | None:
    invalid = INVALID_CHARACTERS.search(text)
    if invalid:
        character = f"U+{ord(invalid[0]):04X}"
        return f"holds the character {character} (at {invalid.start()}), which SNS refuses; remove it"
    size = len(text.encode())
    if size > MAX_MESSAGE_BYTES:
        return f"has {size:,} bytes in UTF-8; SNS takes {MAX_MESSAGE_BYTES:,} at most"
    return None
