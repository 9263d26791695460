"""The rules of a cron job: which parameters its target needs, and what becomes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cronally.contract.cronjob_requests import CronjobChange, NewCronjob
from cronally.contract.reading import Reading
from cronally.contract.targets import TARGETS, parameters_of
from cronally.errors import InvalidRequest
from cronally.operations.rules import Rules
from cronally.targets.build import build_targets
from cronally.targets.target import Destination
from tests.operations.parameters import HTTP, SECRET, SNS
from tests.support.factories import NOON, cronjob_of, cronjob_values, uuid_of

OF_SNS = {name: text for name, text in SNS.items() if name.startswith("sns_")}
STORED = {name: text for name, text in OF_SNS.items() if name != "sns_secret_access_key"}
NEW_KEY_ID = "AKIA0000000000000001"


def _rules() -> Rules:
    return Rules(build_targets())


def _new(sent: dict[str, str]) -> Destination | None:
    reading = Reading(NewCronjob, sent)
    return _rules().check_new(reading, cronjob_id=uuid_of("a"), now=NOON).destination


def _changed(sent: dict[str, str], target: str = "sns", destination: Any = STORED) -> Destination | None:
    values = cronjob_values("account", target=target, destination=json.dumps(destination))
    del values["secret"]
    return _rules().check_change(Reading(CronjobChange, sent), cronjob_of(values), NOON).destination


def test_new__splits_public_from_secret() -> None:
    destination = _new(SNS)
    assert destination == Destination("sns", STORED, {"sns_secret_access_key": SECRET})
    assert SECRET not in repr(destination)


@pytest.mark.parametrize("target", TARGETS)
def test_new__names_every_parameter_that_the_target_needs(target: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        _new({"name": "Reports", "cron": "0 8 * * *", "delivery_type": target})
    needed = {name for name, one in parameters_of(target).items() if not one.attribute.optional}
    assert caught.value.fields.keys() == needed
    assert all(text.startswith("is missing or empty; give ") for text in caught.value.fields.values())


def test_new__all_that_is_wrong_is_said_at_once() -> None:
    wrong = {
        "sns_topic": "topic",
        "sns_message": "\x00",
        "sns_region": "mars-north-1",
        "sns_access_key_id": "short",
        "sns_secret_access_key": SECRET + "\n",
        "delivery_http_url": "https://example.com",
    }
    with pytest.raises(InvalidRequest) as caught:
        _new({**SNS, **wrong})
    assert caught.value.fields.keys() == wrong.keys()
    assert SECRET not in str(caught.value) + repr(caught.value.fields)


def test_new__http_says_all_that_is_wrong_at_once() -> None:
    with pytest.raises(InvalidRequest) as caught:
        _new({**HTTP, "delivery_http_method": "trace", "delivery_http_url": "ftp://x", "sns_topic": "t"})
    assert caught.value.fields == {
        "delivery_http_method": "is none of get, post, put, patch, delete, head; give one of them",
        "delivery_http_url": "is no URL of a web server; give one like https://example.com/hook",
        "sns_topic": "belongs to delivery_type=sns, and this is http; leave it out, or give delivery_type=sns",
    }


@pytest.mark.parametrize("sent", [{}, {"name": "Tea"}])
def test_change__of_nothing_at_the_target_keeps_the_destination(sent: dict[str, str]) -> None:
    assert _changed(sent) is None


def test_change__of_one_parameter_keeps_the_others_and_the_secret() -> None:
    assert _changed({"sns_message": "new"}) == Destination("sns", {**STORED, "sns_message": "new"}, {})
    stored = {name: HTTP[name] for name in parameters_of("http") if name in HTTP}
    assert _changed({"delivery_http_method": "get"}, "http", stored) == Destination(
        "http", {**stored, "delivery_http_method": "get"}
    )


def test_change__of_the_secret_alone() -> None:
    assert _changed({"sns_secret_access_key": "new"}) == Destination(
        "sns", STORED, {"sns_secret_access_key": "new"}
    )


def test_change__the_same_access_key_id_needs_no_secret() -> None:
    assert _changed({"sns_access_key_id": STORED["sns_access_key_id"]}) == Destination("sns", STORED, {})


def test_change__a_new_access_key_id_needs_its_secret() -> None:
    with pytest.raises(InvalidRequest) as caught:
        _changed({"sns_access_key_id": NEW_KEY_ID})
    assert caught.value.fields == {
        "sns_secret_access_key": "is needed with a new sns_access_key_id; give the secret that belongs to it"
    }
    assert _changed({"sns_access_key_id": NEW_KEY_ID, "sns_secret_access_key": SECRET}) == Destination(
        "sns", {**STORED, "sns_access_key_id": NEW_KEY_ID}, {"sns_secret_access_key": SECRET}
    )


def test_change__a_topic_of_another_region_needs_the_region() -> None:
    topic = "arn:aws:sns:us-east-1:123456789012:reports"
    with pytest.raises(InvalidRequest) as caught:
        _changed({"sns_topic": topic})
    assert caught.value.fields == {"sns_region": "is not the region of sns_topic; give us-east-1"}
    changed = _changed({"sns_topic": topic, "sns_region": "us-east-1"})
    assert changed == Destination("sns", {**STORED, "sns_topic": topic, "sns_region": "us-east-1"}, {})


@pytest.mark.parametrize("name", parameters_of("sns"))
def test_change__an_empty_value_is_no_removal(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        _changed({name: ""})
    assert caught.value.fields.keys() == {name}


def test_change__to_another_target_needs_everything_of_it() -> None:
    stored = {name: HTTP[name] for name in parameters_of("http") if name in HTTP}
    with pytest.raises(InvalidRequest) as caught:
        _changed({"delivery_type": "sns"}, "http", stored)
    assert caught.value.fields.keys() == OF_SNS.keys()
    changed = _changed({"delivery_type": "sns", **OF_SNS}, "http", stored)
    assert changed == Destination("sns", STORED, {"sns_secret_access_key": SECRET})
    with pytest.raises(InvalidRequest) as caught:
        _changed({"delivery_type": "http"})
    assert caught.value.fields.keys() == stored.keys()
