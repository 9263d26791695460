"""The parameters of the targets: whose they are, and which of them are secret."""

from __future__ import annotations

from itertools import combinations

import pytest

from cronally.contract.attribute import declared
from cronally.contract.aws import AWS_TARGETS
from cronally.contract.aws_access import AwsAccess
from cronally.contract.cronjob_requests import NewCronjob
from cronally.contract.http import MAX_URL
from cronally.contract.http_requests import MAX_BODY
from cronally.contract.reading import Reading
from cronally.contract.sns import MAX_SNS_MESSAGE
from cronally.contract.targets import TARGETS, parameters_of, target_of, targets_of, without_secrets
from cronally.targets.build import TARGETS as IMPLEMENTATIONS
from cronally.targets.target import Destination
from tests.support.factories import CANARY

NEW = {"name": "Reports", "cron": "0 8 * * *"}


def test_targets__each_is_implemented() -> None:
    assert list(TARGETS) == [target.name for target in IMPLEMENTATIONS]


def test_parameters__belong_to_one_target() -> None:
    shared = declared(AwsAccess).keys()
    for one, other in combinations(TARGETS, 2):
        both = parameters_of(one).keys() & parameters_of(other).keys()
        assert both == (shared if {one, other} <= AWS_TARGETS.keys() else set())
    for target in TARGETS:
        assert {targets_of(name) for name in parameters_of(target).keys() - shared} == {(target,)}
    assert {targets_of(name) for name in shared} == {tuple(AWS_TARGETS)}
    assert targets_of("name") == ()
    assert target_of("name") is None
    assert target_of("aws_region") == "sqs"


def test_without_secrets__splits_public_from_secret() -> None:
    sent = {"sns_topic": "arn", "sns_secret_access_key": CANARY}
    assert without_secrets("sns", sent) == ({"sns_topic": "arn"}, {"sns_secret_access_key": CANARY})
    assert CANARY not in repr(Destination("sns", *without_secrets("sns", sent)))


def test_parameters__that_are_sealed_are_these() -> None:
    """A change says of each whether it stays: `operations.secret_rules.kept_secrets`."""
    sealed = {
        target: [
            name
            for name, one in parameters_of(target).items()
            if one.attribute.secret or (one.attribute.hide and not name.endswith("_access_key_id"))
        ]
        for target in TARGETS
    }
    of_aws = ["aws_secret_access_key", "aws_session_token"]
    assert sealed == {
        "sns": ["sns_secret_access_key"],
        "http": ["delivery_http_url", "delivery_http_signing_secret"],
        **dict.fromkeys(AWS_TARGETS, of_aws),
    }
    token = parameters_of("sqs")["aws_session_token"].attribute
    assert (token.optional, token.goes_with) == (True, "aws_secret_access_key")


def test_without_secrets__of_a_url_seals_all_and_shows_the_rest() -> None:
    url = f"https://user:{CANARY}@example.com/?token={CANARY}&mine={CANARY}&a=b"
    sent = {"delivery_http_url": url, "delivery_http_secret_parts": ["mine"]}
    public, secret = without_secrets("http", sent)
    shown = "https://***@example.com/?token=***&mine=***&a=b"
    assert public == {"delivery_http_url": shown, "delivery_http_secret_parts": ["mine"]}
    assert secret == {"delivery_http_url": url}
    assert without_secrets("http", public) == (public, {})
    assert CANARY not in repr(Destination("http", public, secret))


def test_without_secrets__http_without_any() -> None:
    sent = {"delivery_http_method": "get", "delivery_http_url": "https://example.com"}
    assert without_secrets("http", sent) == (sent, {})


MAY_BE_EMPTY: dict[str, object] = {
    "delivery_http_headers": {},
    "delivery_http_body": "",
    "delivery_http_content_type": "",
    "delivery_http_success": [],
    "delivery_http_retry_statuses": [],
    "delivery_http_refused_statuses": [],
    "delivery_http_timeout": "",
}


@pytest.mark.parametrize("name", [name for target in TARGETS for name in parameters_of(target)])
def test_reading__an_empty_parameter_of_a_target(name: str) -> None:
    reading = Reading(NewCronjob, {**NEW, name: ""})
    if name in MAY_BE_EMPTY:
        assert (reading.complaints, reading.values[name]) == ({}, MAY_BE_EMPTY[name])
        return
    assert reading.complaints.keys() == {name}
    assert reading.complaints[name].startswith("is missing or empty; give ")


@pytest.mark.parametrize("text", ["x" * MAX_SNS_MESSAGE, "é" * (MAX_SNS_MESSAGE // 2), "🚀\t\r\n", " "])
def test_reading__a_message_up_to_the_limit(text: str) -> None:
    assert Reading(NewCronjob, {**NEW, "sns_message": text}).values["sns_message"] == text


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("sns_message", "x" * (MAX_SNS_MESSAGE + 1), "has 262,145 bytes"),
        ("sns_message", "é" * (MAX_SNS_MESSAGE // 2) + "x", "has 262,145 bytes"),
        ("sns_secret_access_key", "x" * 257, "has 257 characters"),
        ("delivery_http_url", "https://example.com/" + "x" * MAX_URL, "has 2,068 characters"),
        ("delivery_http_body", "é" * (MAX_BODY // 2) + "x", "has 262,145 bytes"),
        ("delivery_http_method", "trace", "is none of get, post, put, patch, delete, head"),
    ],
)
def test_reading__what_no_target_takes(name: str, value: str, expected: str) -> None:
    reading = Reading(NewCronjob, {**NEW, name: value})
    assert reading.complaints.keys() == {name}
    assert expected in reading.complaints[name]


def test_reading__a_method_in_any_case() -> None:
    assert (
        Reading(NewCronjob, {**NEW, "delivery_http_method": "POST"}).values["delivery_http_method"] == "post"
    )
