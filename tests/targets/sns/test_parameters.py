"""What a cron job may give for the target `sns`, and what it is told otherwise."""

from __future__ import annotations

import pytest

from cronally.errors import InvalidRequest
from cronally.targets.sns.parameters import MAX_MESSAGE_BYTES, PARAMETERS, parse
from cronally.targets.target import Destination
from tests.targets.conftest import ACCESS_KEY_ID, CANARY, TOPIC

GIVEN = {
    "sns_topic": TOPIC,
    "sns_message": "time to report",
    "sns_region": "eu-west-1",
    "sns_access_key_id": ACCESS_KEY_ID,
    "sns_secret_access_key": CANARY,
}
STORED = Destination("sns", {name: text for name, text in GIVEN.items() if "secret" not in name})


def _fields(parameters: dict[str, str], previous: Destination | None = None) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        parse(parameters, previous)
    assert CANARY not in repr(caught.value.fields) + str(caught.value)
    return caught.value.fields


def test_parse__splits_public_from_secret() -> None:
    destination = parse(GIVEN)
    assert destination.target == "sns"
    assert destination.public == STORED.public
    assert destination.secret == {"sns_secret_access_key": CANARY}
    assert CANARY not in repr(destination)


def test_parse__nothing_given_names_every_field() -> None:
    fields = _fields({})
    assert fields.keys() == PARAMETERS
    assert all(text.startswith("is missing or empty; give ") for text in fields.values())


def test_parse__all_that_is_wrong_is_said_at_once() -> None:
    wrong = {
        "sns_topic": "topic",
        "sns_message": "\x00",
        "sns_region": "mars-north-1",
        "sns_access_key_id": "short",
        "sns_secret_access_key": CANARY + "\n",
        "delivery_http_url": "https://example.com",
    }
    assert _fields(wrong).keys() == PARAMETERS | {"delivery_http_url"}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("sns_topic", "arn:aws:sqs:eu-west-1:123456789012:q", "is not the ARN of an SNS topic"),
        ("sns_message", "", "is missing or empty"),
        ("sns_message", "a\x08b", "holds the character U+0008 (at 1)"),
        ("sns_message", "\ufffe", "U+FFFE"),
        ("sns_message", "\ud800", "U+D800"),
        ("sns_message", "x" * (MAX_MESSAGE_BYTES + 1), "has 262,145 bytes"),
        ("sns_message", "é" * (MAX_MESSAGE_BYTES // 2) + "x", "has 262,145 bytes"),
        ("sns_region", "us-east-1", "is not the region of sns_topic; give eu-west-1"),
        ("sns_region", "eu-west-11", "did you mean eu-west-1?"),
        ("sns_access_key_id", "AKIA 0000000000000000", "is no access key id"),
        ("sns_access_key_id", "AKIA/20261124/eu-west-1", "is no access key id"),
        ("sns_access_key_id", "ASIAIOSFODNN7EXAMPLE", "temporary credentials"),
        ("sns_secret_access_key", CANARY + " ", "is no secret access key"),
        ("sns_secret_access_key", "schlüssel", "is no secret access key"),
        ("sns_secret_access_key", "x" * 257, "is no secret access key"),
    ],
)
def test_parse__wrong_value(name: str, value: str, expected: str) -> None:
    fields = _fields({**GIVEN, name: value})
    assert fields.keys() == {name}
    assert expected in fields[name]


@pytest.mark.parametrize("text", ["x" * MAX_MESSAGE_BYTES, "é" * (MAX_MESSAGE_BYTES // 2), "🚀\t\r\n", " "])
def test_parse__message_at_the_limit(text: str) -> None:
    assert parse({**GIVEN, "sns_message": text}).public["sns_message"] == text


def test_parse_with_previous__nothing_changes_keeps_the_secret() -> None:
    assert parse({}, STORED) == STORED


def test_parse_with_previous__message_alone() -> None:
    changed = parse({"sns_message": "new"}, STORED)
    assert changed.public == {**STORED.public, "sns_message": "new"}
    assert changed.secret == {}


def test_parse_with_previous__secret_alone() -> None:
    assert parse({"sns_secret_access_key": CANARY}, STORED).secret == {"sns_secret_access_key": CANARY}


def test_parse_with_previous__same_access_key_id_needs_no_secret() -> None:
    assert parse({"sns_access_key_id": ACCESS_KEY_ID}, STORED).secret == {}


def test_parse_with_previous__new_access_key_id_needs_its_secret() -> None:
    fields = _fields({"sns_access_key_id": "AKIA0000000000000001"}, STORED)
    assert fields.keys() == {"sns_secret_access_key"}
    changed = parse({"sns_access_key_id": "AKIA0000000000000001", "sns_secret_access_key": CANARY}, STORED)
    assert changed.public["sns_access_key_id"] == "AKIA0000000000000001"
    assert changed.secret


def test_parse_with_previous__topic_of_another_region_needs_the_region() -> None:
    topic = TOPIC.replace("eu-west-1", "us-east-1")
    assert _fields({"sns_topic": topic}, STORED) == {
        "sns_region": "is not the region of sns_topic; give us-east-1"
    }
    assert parse({"sns_topic": topic, "sns_region": "us-east-1"}, STORED).public["sns_topic"] == topic


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_parse_with_previous__empty_value_is_no_removal(name: str) -> None:
    assert _fields({name: ""}, STORED).keys() == {name}


def test_parse_with_previous__of_another_target_needs_everything() -> None:
    previous = Destination(
        "http", {"delivery_http_method": "get", "delivery_http_url": "https://example.com"}
    )
    assert _fields({}, previous).keys() == PARAMETERS
    assert parse(GIVEN, previous).public == STORED.public
