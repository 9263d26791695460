"""The attributes that a cron job adds of its own: what SNS takes, and how they are counted and sent."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl

import botocore.session
import pytest
from botocore.awsrequest import AWSRequest
from botocore.serialize import create_serializer
from hypothesis import given
from hypothesis import strategies as st

from cronally.targets.sns.attributes import MAX_ATTRIBUTES, parse_attributes
from cronally.targets.sns.form import quote
from cronally.targets.sns.forms import publish_batch_form, publish_form, size
from tests.targets.conftest import TOPIC, make_message

_names = st.from_regex(r"[A-Za-z0-9_-]([A-Za-z0-9_-]|\.(?=[a-z]))*[a-z]", fullmatch=True).filter(
    lambda name: not re.match("aws\\.|amazon\\.|cronally-", name, re.IGNORECASE) and len(name) <= 256
)
_texts = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=20)
_numbers = st.integers(-(10**37), 10**37)
_values = _texts | _numbers | st.lists(_texts | _numbers, min_size=1, max_size=4)


def test_parse_attributes__keeps_names_types_and_values_as_written() -> None:
    found = parse_attributes('{"a": "text", "b.c": 1.50, "d-e_f": -3e2, "list": ["x", 1.0, "é"]}')
    assert [tuple(one) for one in found] == [
        ("a", "String", "text"),
        ("b.c", "Number", "1.50"),
        ("d-e_f", "Number", "-3e2"),
        ("list", "String.Array", '["x",1.0,"é"]'),
    ]
    assert parse_attributes("{}") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is no JSON"),
        ("{", "is no JSON"),
        ("[" * 30_000, "is no JSON"),
        ("[1]", "is no JSON object"),
        ("5", "is no JSON object"),
        ('{"a": NaN}', "NaN or Infinity"),
        ('{"a": 1, "a": 2}', "a name more than once"),
        ('{"": 1}', "which SNS refuses"),
        ('{"a..b": 1}', "which SNS refuses"),
        ('{".a": 1}', "which SNS refuses"),
        ('{"a.": 1}', "which SNS refuses"),
        ('{"a b": 1}', "which SNS refuses"),
        ('{"a\\n": 1}', "which SNS refuses"),
        ('{"AWS.a": 1}', "which SNS refuses"),
        ('{"amazon.a": 1}', "which SNS refuses"),
        (json.dumps({"x" * 257: 1}), "which SNS refuses"),
        ('{"cronally-firing-id": "x"}', "are those of firings"),
        ('{"Cronally-Else": "x"}', "are those of firings"),
        ('{"a": ""}', "an empty text"),
        ('{"a": "\\u0000"}', "an empty text"),
        ('{"a": true}', "neither a text"),
        ('{"a": null}', "neither a text"),
        ('{"a": {}}', "neither a text"),
        ('{"a": []}', "neither a text"),
        ('{"a": ["x", null]}', "neither a text"),
        ('{"a": ["\\u0001"]}', "a character that SNS refuses"),
        (json.dumps({"a": 10**38}), "more than 38 digits"),
        (json.dumps({str(number): number for number in range(MAX_ATTRIBUTES + 1)}), "has 21 attributes"),
    ],
)
def test_parse_attributes__what_sns_refuses(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=re.escape(expected)):
        parse_attributes(text)


def test_parse_attributes__says_a_name_short() -> None:
    with pytest.raises(ValueError, match="which SNS refuses") as caught:
        parse_attributes(json.dumps({"é" * 10_000: "secret"}))
    assert len(str(caught.value)) < 600
    assert "secret" not in str(caught.value)


@given(own=st.dictionaries(_names, _values, max_size=6), subject=st.none() | _texts, batched=st.booleans())
def test_forms__are_what_botocore_would_write(
    own: dict[str, Any], subject: str | None, batched: bool
) -> None:
    message = make_message(cronjob_name="n")
    public = {"sns_topic": TOPIC, "sns_message": '{"default": "x"}', "sns_message_structure": "json"}
    public |= {"sns_attributes": json.dumps(own)} | ({} if subject is None else {"sns_subject": subject})
    own_values = {
        name: {"DataType": "String", "StringValue": value}
        if isinstance(value, str)
        else {"DataType": "Number", "StringValue": str(value)}
        if isinstance(value, int)
        else {
            "DataType": "String.Array",
            "StringValue": json.dumps(value, ensure_ascii=False, separators=(",", ":")),
        }
        for name, value in own.items()
    }
    firing = {
        f"cronally-{name}": {
            "DataType": "Number" if name == "attempt" else "String",
            "StringValue": text,
        }
        for name, text in {
            "firing-id": message.firing_id,
            "cronjob-id": message.cronjob_id,
            "scheduled-at": "2026-11-24T08:00:00Z",
            "attempt": "1",
            "cronjob-name": "n",
        }.items()
    }
    entry: dict[str, Any] = {
        "Message": public["sns_message"],
        "MessageStructure": "json",
        "MessageAttributes": {**firing, **own_values},
    } | ({} if subject is None else {"Subject": subject})
    if batched:
        entries = [{"Id": message.firing_id, **entry}]
        given_: dict[str, Any] = {"TopicArn": TOPIC, "PublishBatchRequestEntries": entries}
    else:
        given_ = {"TopicArn": TOPIC, **entry}
    operation = _SNS.operation_model("PublishBatch" if batched else "Publish")
    request = create_serializer("query").serialize_to_request(given_, operation)
    expected = AWSRequest("POST", "http://sns/", data=request["body"]).prepare().body
    text = quote(public["sns_message"].encode())
    form = (
        publish_batch_form(TOPIC, [(public, text, message)])
        if batched
        else publish_form(public, text, message)
    )
    assert sorted(form.split(b"&")) == sorted(expected.encode().split(b"&"))
    counted = re.compile(r"(.*\.)?(Message|Subject|MessageAttributes\..*)")
    fields = parse_qsl(form.decode(), keep_blank_values=True)
    assert size(public, message) == sum(
        len(value.encode()) for key, value in fields if counted.fullmatch(key)
    )


_SNS = botocore.session.Session().get_service_model("sns")


def test_form__ids_of_a_fifo_topic_that_the_cron_job_chose() -> None:
    public = {"sns_topic": f"{TOPIC}.fifo", "sns_group_id": "a&b", "sns_deduplication_id": "c=d"}
    fields = dict(parse_qsl(publish_form(public, b"text", make_message()).decode()))
    assert (fields["MessageGroupId"], fields["MessageDeduplicationId"]) == ("a&b", "c=d")
