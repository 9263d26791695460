"""The parameters of a cron job that publishes to an SNS topic, checked.

Invariant: what passes here can be sent: SNS may refuse it for what it knows (no such topic, no permission, a
smaller limit set on the topic), not for its form. All that is wrong is said at once, and no complaint repeats
a value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from cronally.targets.sns.attributes import RAW_DELIVERY, parse_attributes
from cronally.targets.sns.endpoints import parse_region, parse_topic

NAME: Final = "sns"
TOPIC: Final = "sns_topic"
MESSAGE: Final = "sns_message"
REGION: Final = "sns_region"
ACCESS_KEY_ID: Final = "sns_access_key_id"
SECRET_ACCESS_KEY: Final = "sns_secret_access_key"  # noqa: S105 - a parameter's name
SESSION_TOKEN: Final = "aws_session_token"  # noqa: S105
"""Of temporary credentials, which a connection may hold."""
MAX_SIZE: Final = "sns_max_message_size"
SUBJECT: Final = "sns_subject"
STRUCTURE: Final = "sns_message_structure"
ATTRIBUTES: Final = "sns_attributes"
GROUP_ID: Final = "sns_group_id"
DEDUPLICATION_ID: Final = "sns_deduplication_id"
JSON: Final = "json"
"""The value of `sns_message_structure` with which the message holds a text for each protocol."""
OF_FIRINGS: Final = 5
"""The attributes that each firing has (`forms`)."""

INVALID_CHARACTERS: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to write, and SNS and SQS refuse therefore
(https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html)."""

# Length: https://docs.aws.amazon.com/IAM/latest/APIReference/API_AccessKey.html. Prefixes of ids:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
ACCESS_KEY_ID_FORM: Final = re.compile(r"(?:ABIA|ACCA|AKIA|ASIA)[A-Z0-9]{12,124}", re.ASCII)
TEMPORARY: Final = "ASIA"
OTHER_ID: Final = re.compile(r"(?:AGPA|AIDA|AIPA|ANPA|ANVA|APKA|AROA|ASCA)[A-Z0-9]{12,124}", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_FIFO_ID: Final = re.compile(r"[!-~]{1,128}", re.ASCII)
SECRET_FORM: Final = re.compile(r"[!-~]{1,256}", re.ASCII)


def check(parameters: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with parameters, by name, as `Target.check` says.

    Keys that were swapped are refused: a secret in the place of the key id would be shown to whoever may read the cron
    job. AWS makes a secret of 40 characters in both cases, so one without a small letter does not occur.
    """
    complaints = {name: _complaint(name, parameters) for name in parameters}
    if complaints.get(MESSAGE) is None and parameters.get(STRUCTURE) == JSON and MESSAGE in parameters:
        complaints[MESSAGE] = _structure_complaint(parameters[MESSAGE])
    return {name: complaint for name, complaint in complaints.items() if complaint is not None}


def _complaint(name: str, values: Mapping[str, Any]) -> str | None:
    """What is wrong with a value that is there: the end of a sentence that begins with the parameter's name."""
    value = values[name]
    match name:
        case "sns_topic":
            return _sentence(parse_topic, value)
        case "sns_region":
            return _other_region(value, values.get(TOPIC, "")) or _sentence(parse_region, value)
        case "sns_message":
            return _message_complaint(value)
        case "sns_subject":
            if _CONTROL.search(value):
                return "holds a line end or another control character, which SNS refuses; remove it"
        case "sns_attributes":
            return _sentence(parse_attributes, value)
        case "sns_group_id" | "sns_deduplication_id":
            if not values.get(TOPIC, ".fifo").endswith(".fifo"):
                return "is for FIFO topics, whose names end in .fifo; leave it out"
            if not _FIFO_ID.fullmatch(value):
                return "has characters that SNS refuses; give letters, digits and punctuation of ASCII"
        case "sns_access_key_id":
            return key_id_complaint(value, temporary=False)
        case "sns_secret_access_key":
            return secret_key_complaint(value)
    return None


def key_id_complaint(text: str, *, temporary: bool) -> str | None:
    """What is wrong with an access key id.

    :param temporary: whether there is a session token beside it
    """
    if OTHER_ID.fullmatch(text):
        return "is the id of a user, a role or the like; give the id of an access key (AKIA...)"
    if not ACCESS_KEY_ID_FORM.fullmatch(text):
        return "is no access key id: 16 to 128 capitals and digits that begin with AKIA; is it the secret?"
    if text.startswith(TEMPORARY) and not temporary:
        return "belongs to temporary credentials (ASIA...), which expire; give an IAM user's (AKIA...)"
    return None


def secret_key_complaint(text: str) -> str | None:
    """What is wrong with a secret access key."""
    if not SECRET_FORM.fullmatch(text):
        return "is no secret access key; it has no spaces, line ends or characters outside ASCII"
    if ACCESS_KEY_ID_FORM.fullmatch(text):
        return "is an access key id; give the secret that belongs to it"
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


def warnings(parameters: Mapping[str, Any]) -> list[str]:
    """What may be wrong with parameters, whether or not `check` has a complaint about them."""
    found = []
    if parameters.get(MESSAGE, "").startswith("\ufeff"):
        found.append(f"{MESSAGE} begins with a byte order mark (U+FEFF), which is sent too.")
    try:
        number = OF_FIRINGS + len(parse_attributes(parameters.get(ATTRIBUTES, "{}")))
    except ValueError:
        number = 0  # `check` says it
    if number > RAW_DELIVERY:
        found.append(
            f"With the {OF_FIRINGS} of a firing a message has {number} attributes: an SQS queue with raw message"
            f" delivery gets none with more than {RAW_DELIVERY}."
        )
    return found


def _structure_complaint(text: str) -> str | None:
    """What is wrong with a text for each protocol, by https://docs.aws.amazon.com/sns/latest/api/API_Publish.html."""
    what = "with sns_message_structure=json it is a JSON object of texts, one of them named default"
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return f"is no JSON: {what}"
    if not isinstance(read, dict) or not all(isinstance(value, str) for value in read.values()):
        return f"is no JSON object of texts: {what}"
    return None if read.get("default") else f"has no text named default: {what}"


def _message_complaint(text: str) -> str | None:
    invalid = INVALID_CHARACTERS.search(text)
    if invalid:
        character = f"U+{ord(invalid[0]):04X}"
        return f"holds the character {character} (at {invalid.start()}), which SNS refuses; remove it"
    return None
