"""Form encoding against the standard library's."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.targets.form import quote
from cronally.targets.sns import publish_form
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
