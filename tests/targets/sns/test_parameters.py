"""What a cron job may send for the target `sns`, and the complaints about the rest."""

from __future__ import annotations

import json

import pytest

from cronally.contract.sns import MAX_SNS_MESSAGE
from cronally.contract.targets import parameters_of
from cronally.targets.sns.parameters import check, warnings
from tests.targets.conftest import ACCESS_KEY_ID, CANARY, TOPIC

SENT = {
    "sns_topic": TOPIC,
    "sns_message": "time to report",
    "sns_region": "eu-west-1",
    "sns_access_key_id": ACCESS_KEY_ID,
    "sns_secret_access_key": CANARY,
}
CHOSEN = {
    "sns_subject": "Nightly report ☕",
    "sns_attributes": '{"kind": "report"}',
    "sns_message_structure": "text",
    "sns_group_id": "group!",
    "sns_deduplication_id": "once",
}
FIFO = {**SENT, "sns_topic": f"{TOPIC}.fifo"}


def _complaints(parameters: dict[str, str]) -> dict[str, str]:
    complaints = check(parameters)
    assert CANARY not in repr(complaints)
    return complaints


def test_check__what_is_right() -> None:
    assert SENT.keys() | CHOSEN.keys() == parameters_of("sns").keys() - {"sns_max_message_size"}
    assert _complaints(SENT) == {}
    assert _complaints({**FIFO, **CHOSEN}) == {}


@pytest.mark.parametrize("name", SENT)
def test_check__says_nothing_of_what_is_not_there(name: str) -> None:
    assert _complaints({other: text for other, text in SENT.items() if other != name}) == {}


def test_check__all_that_is_wrong_is_said_at_once() -> None:
    wrong = {
        "sns_topic": "topic",
        "sns_message": "\x00",
        "sns_region": "mars-north-1",
        "sns_access_key_id": "short",
        "sns_secret_access_key": CANARY + "\n",
    }
    assert _complaints(wrong).keys() == SENT.keys()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("sns_topic", "arn:aws:sqs:eu-west-1:123456789012:q", "is not the ARN of an SNS topic"),
        ("sns_topic", f" {TOPIC}\n", "spaces or line ends around the ARN"),
        ("sns_topic", f"{TOPIC}:6b0e71bd-7e97-4d97-80ce-4a0994e55286", "the ARN of a subscription"),
        ("sns_topic", "arn:aws:sns:eu-west-1:12345:my-topic", "an account id that is not 12 digits"),
        ("sns_topic", "arn:aws-cn:sns:eu-west-1:123456789012:t", "not one of the partition aws-cn"),
        ("sns_topic", "arn:aws:sns:us-gov-west-1:123456789012:t", "not one of the partition aws"),
        ("sns_topic", TOPIC + ".fifo.fifo", "is not the ARN of an SNS topic"),
        ("sns_topic", f"{TOPIC[:-8]}{'t' * 257}", "more than 256 characters"),
        ("sns_topic", "+49 170 1234567", "is a phone number"),
        ("sns_topic", "4917012345678", "is a phone number"),
        ("sns_topic", "arn:aws:sns:us-east-1:123456789012:endpoint/APNS/app/5e3e9847", "platform endpoint"),
        ("sns_topic", "arn:aws:sns:us-east-1:123456789012:app/GCM/name", "platform endpoint"),
        ("sns_subject", "two\nlines", "holds a line end"),
        ("sns_subject", "nul\x00", "holds a line end or another control character"),
        ("sns_subject", "half \ud800", "holds a line end or another control character"),
        ("sns_group_id", "g", "is for FIFO topics"),
        ("sns_deduplication_id", "d", "is for FIFO topics"),
        ("sns_message", "a\x08b", "holds the character U+0008 (at 1)"),
        ("sns_message", "\ufffe", "U+FFFE"),
        ("sns_message", "\ud800", "U+D800"),
        ("sns_region", "us-east-1", "is not the region of sns_topic; give eu-west-1"),
        ("sns_region", "eu-west-11", "is not the region of sns_topic; give eu-west-1"),
        ("sns_region", "Ireland", "is not the region of sns_topic; give eu-west-1"),
        ("sns_access_key_id", "AKIA 0000000000000000", "is no access key id"),
        ("sns_access_key_id", "AKIA/20261124/eu-west-1", "is no access key id"),
        ("sns_access_key_id", "ASIAIOSFODNN7EXAMPLE", "temporary credentials"),
        # The secret given as the key id, with + and / and without; other ids of AWS; what is too short or too long.
        ("sns_access_key_id", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "is it the secret?"),
        ("sns_access_key_id", "wJalrXUtnFEMIxK7MDENGxbPxRfiCYEXAMPLEKEY", "is it the secret?"),
        ("sns_access_key_id", "WJALRXUTNFEMIXK7MDENG", "is no access key id"),
        ("sns_access_key_id", "AKIAiosfodnn7example", "is no access key id"),
        ("sns_access_key_id", "AKIA_IOSFODNN7EXAMPLE", "is no access key id"),
        ("sns_access_key_id", "AIDAIOSFODNN7EXAMPLE", "the id of a user, a role"),
        ("sns_access_key_id", "AROAIOSFODNN7EXAMPLE", "the id of a user, a role"),
        ("sns_access_key_id", "AKIA00000000000", "is no access key id"),
        ("sns_access_key_id", "AKIA" + "0" * 125, "is no access key id"),
        ("sns_secret_access_key", "AKIAIOSFODNN7EXAMPLE", "is an access key id"),
        ("sns_secret_access_key", CANARY + " ", "is no secret access key"),
        ("sns_secret_access_key", "schlüssel", "is no secret access key"),
        ("sns_secret_access_key", "x" * 257, "is no secret access key"),
    ],
)
def test_check__wrong_value(name: str, value: str, expected: str) -> None:
    complaints = _complaints({**SENT, name: value})
    assert complaints.keys() == {name}
    assert expected in complaints[name]


@pytest.mark.parametrize("region", ["eu-west-11", "EU-WEST-1", " eu-west-1"])
def test_check__a_region_that_is_none(region: str) -> None:
    assert "did you mean eu-west-1?" in _complaints({"sns_region": region})["sns_region"]


@pytest.mark.parametrize("key_id", ["AKIA000000000000", "AKIA" + "Z" * 124, "ABIAIOSFODNN7EXAMPLE"])
def test_check__an_access_key_id(key_id: str) -> None:
    assert _complaints({**SENT, "sns_access_key_id": key_id}) == {}


def test_check__keys_that_were_swapped_are_both_refused() -> None:
    swapped = {"sns_access_key_id": "wJalrXUtnFEMI/K7MDENG", "sns_secret_access_key": ACCESS_KEY_ID}
    assert _complaints({**SENT, **swapped}).keys() == swapped.keys()


@pytest.mark.parametrize("text", ["x" * MAX_SNS_MESSAGE, "é" * (MAX_SNS_MESSAGE // 2), "🚀\t\r\n", " "])
def test_check__a_message_that_sns_takes(text: str) -> None:
    assert _complaints({**SENT, "sns_message": text}) == {}


def test_check__a_topic_of_another_region_needs_the_region() -> None:
    topic = TOPIC.replace("eu-west-1", "us-east-1")
    assert _complaints({**SENT, "sns_topic": topic}) == {
        "sns_region": "is not the region of sns_topic; give us-east-1"
    }
    assert _complaints({**SENT, "sns_topic": topic, "sns_region": "us-east-1"}) == {}


@pytest.mark.parametrize("name", ["sns_group_id", "sns_deduplication_id"])
def test_check__ids_of_a_fifo_topic(name: str) -> None:
    for text in ("a b", "é", "x" * 129):
        assert "letters, digits and punctuation" in _complaints({**FIFO, name: text})[name]
    assert _complaints({**FIFO, name: "!" * 128}) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"default": "for all", "email": "longer"}', None),
        ("plain", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ('["default"]', "is no JSON object of texts"),
        ('{"default": "x", "sqs": {"a": 1}}', "is no JSON object of texts"),
        ('{"email": "x"}', "has no text named default"),
        ('{"default": ""}', "has no text named default"),
    ],
)
def test_check__a_text_for_each_protocol(text: str, expected: str | None) -> None:
    assert _complaints({**SENT, "sns_message": text}) == {}
    found = _complaints({**SENT, "sns_message": text, "sns_message_structure": "json"})
    assert found == {} if expected is None else expected in found["sns_message"]


def test_warnings__of_more_attributes_than_raw_delivery_takes() -> None:
    def attributes(count: int) -> dict[str, str]:
        return {"sns_attributes": json.dumps({f"n{number}": number for number in range(count)})}

    assert warnings({**SENT, **attributes(5)}) == []
    (warning,) = warnings({**SENT, **attributes(6)})
    assert "a message has 11 attributes" in warning
    assert warnings({"sns_attributes": "no JSON"}) == []
