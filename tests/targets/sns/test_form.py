"""Form encoding against the standard library's."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.targets.sns.form import quote
from cronally.targets.sns.forms import publish_form, size
from tests.targets.conftest import CRONJOB_ID, TOPIC, make_message


@given(st.binary() | st.text().map(str.encode) | st.text(' +%&=~"{}:,ab').map(str.encode))
def test_quote__is_quote_plus(data: bytes) -> None:
    assert quote(data) == quote_plus(data).encode()


@pytest.mark.parametrize("data", [bytes(range(256)), b"%25 + %2B", b"", b"-._~"])
def test_quote__is_quote_plus_where_it_is_delicate(data: bytes) -> None:
    assert quote(data) == quote_plus(data).encode()


@given(topic=st.just(TOPIC), text=st.text(), name=st.text(min_size=1))
def test_publish_form__decodes_to_what_went_in(topic: str, text: str, name: str) -> None:
    fields = parse_qsl(
        publish_form(topic, text, make_message(cronjob_name=name)).decode(), keep_blank_values=True
    )
    found = dict(fields)
    assert len(found) == len(fields)
    assert (found["TopicArn"], found["Message"]) == (topic, text)
    assert found["Action"] == "Publish"
    assert "MessageGroupId" not in found


def test_publish_form__fifo() -> None:
    found = dict(parse_qsl(publish_form(TOPIC + ".fifo", "text", make_message()).decode()))
    assert found["MessageGroupId"] == CRONJOB_ID
    assert found["MessageDeduplicationId"] == make_message().firing_id


@pytest.mark.parametrize(
    ("name", "expected"), [("", "-"), ("a\x00b", "a\ufffdb"), ("\ufffe", "\ufffd"), ("tab\tok", "tab\tok")]
)
def test_publish_form__name_that_sns_would_refuse(name: str, expected: str) -> None:
    fields = parse_qsl(publish_form(TOPIC, "text", make_message(cronjob_name=name)).decode())
    values = [value for key, value in fields if key.endswith("StringValue")]
    assert expected in values


@given(text=st.text(max_size=300), name=st.text(max_size=60), attempt=st.integers(1, 185))
def test_size__is_that_of_text_and_attributes_in_bytes(text: str, name: str, attempt: int) -> None:
    message = make_message(cronjob_name=name, attempt=attempt)
    form = dict(parse_qsl(publish_form(TOPIC, text, message).decode(), keep_blank_values=True))
    parts = [value for key, value in form.items() if key == "Message" or key.startswith("MessageAttributes.")]
    assert size(text, message) == sum(len(part.encode()) for part in parts)
