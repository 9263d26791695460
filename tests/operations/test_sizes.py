"""A message that SNS would refuse for its size, attributes included, is refused when it is written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cronally.contract.cronjob_requests import CronjobChange, NewCronjob
from cronally.contract.reading import Reading
from cronally.errors import InvalidRequest
from cronally.operations.rules import Rules
from cronally.targets.build import build_targets
from tests.operations.parameters import HTTP, SNS
from tests.support.factories import NOON, cronjob_of, cronjob_values, uuid_of

ROOM = 262_144 - 219
"""Bytes for a text and the cron job's name."""
STORED = {key: text for key, text in SNS.items() if key.startswith("sns_") and "secret" not in key}


def _create(sent: dict[str, Any]) -> None:
    Rules(build_targets()).check_new(Reading(NewCronjob, sent), cronjob_id=uuid_of("a"), now=NOON)


def _change(sent: dict[str, Any], name: str, message: str, **stored: Any) -> None:
    destination = json.dumps({**STORED, "sns_message": message, **stored})
    values = cronjob_values("account", name=name, target="sns", destination=destination)
    del values["secret"]
    Rules(build_targets()).check_change(Reading(CronjobChange, sent), cronjob_of(values), NOON)


def _fields(call: Any, *arguments: Any, **stored: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        call(*arguments, **stored)
    return dict(caught.value.fields)


@pytest.mark.parametrize("name", ["wake up", "世" * 256])
def test_new__to_the_byte(name: str) -> None:
    room = ROOM - len(name.encode())
    _create({**SNS, "name": name, "sns_message": "x" * room})
    fields = _fields(_create, {**SNS, "name": name, "sns_message": "x" * (room + 1)})
    assert fields.keys() == {"sns_message"}
    assert f"send {room:,} at most" in fields["sns_message"]


def test_new__a_topic_that_takes_more_or_less() -> None:
    _create({**SNS, "sns_message": "x" * 262_144, "sns_max_message_size": "1048576"})
    fields = _fields(_create, {**SNS, "sns_message": "x" * 2000, "sns_max_message_size": "2048"})
    assert fields.keys() == {"sns_message"}
    assert _fields(_create, {**SNS, "sns_max_message_size": "1048577"}).keys() == {"sns_max_message_size"}
    assert _fields(_create, {**HTTP, "sns_max_message_size": "2048"}).keys() == {"sns_max_message_size"}


def test_change__a_name_that_is_too_long_for_its_message() -> None:
    message = "x" * (ROOM - 4)
    _change({"name": "four"}, "tea", message)
    fields = _fields(_change, {"name": "fives"}, "tea", message)
    assert fields.keys() == {"name"}
    assert "sns_message is too large for the topic: 262,145 bytes" in fields["name"]
    _change({"name": "fives"}, "tea", message, sns_max_message_size=262_145)
    # With a message beside it, it is the message that is too large.
    assert _fields(_change, {"name": "fives", "sns_message": message}, "t", "x").keys() == {"sns_message"}


def test_change__what_makes_it_too_large_is_named() -> None:
    assert _fields(_change, {"sns_message": "x" * ROOM}, "tea", "x").keys() == {"sns_message"}
    assert _fields(_change, {"sns_max_message_size": "1024"}, "tea", "x" * 803).keys() == {"sns_message"}
    _change({"sns_max_message_size": "1024"}, "tea", "x" * 802)


def test_change__of_something_else_is_not_refused_for_what_is_stored() -> None:
    _change({"cron": "0 9 * * *"}, "tea", "x" * 262_144)
    _change(
        {"name": "tea", "delivery_type": "http", **{k: v for k, v in HTTP.items() if "http" in k}},
        "t",
        "x" * 262_144,
    )
