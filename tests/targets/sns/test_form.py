"""Form encoding against the standard library's."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.targets.sns.form import PIECE, Quoting, quote, quoted_size
from cronally.targets.sns.forms import publish_form, size
from tests.targets.conftest import CRONJOB_ID, TOPIC, make_message


@given(st.binary() | st.text().map(str.encode) | st.text(' +%&=~"{}:,ab').map(str.encode))
def test_quote__is_quote_plus(data: bytes) -> None:
    assert quote(data) == quote_plus(data).encode()


@pytest.mark.parametrize("data", [bytes(range(256)), b"%25 + %2B", b"", b"-._~"])
def test_quote__is_quote_plus_where_it_is_delicate(data: bytes) -> None:
    assert quote(data) == quote_plus(data).encode()


@given(st.binary() | st.text().map(str.encode))
def test_quoted_size__is_that_of_what_is_encoded(data: bytes) -> None:
    assert quoted_size(data) == len(quote(data))


LONG = bytes(range(256)) * (4 * PIECE // 256) + b"%"
"""Five pieces."""


async def test_quoting__of_what_is_long_lets_the_event_loop_turn_between_pieces() -> None:
    task = asyncio.ensure_future(Quoting().quote("a", LONG))
    turns = 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 5
    assert task.result() == quote_plus(LONG).encode()


async def test_quoting__of_what_is_short_waits_for_nobody() -> None:
    quoting = Quoting()
    task = asyncio.ensure_future(quoting.quote("a", LONG))
    await asyncio.sleep(0)
    short = quoting.quote("a", b"a b")
    with pytest.raises(StopIteration) as ended:
        short.send(None)
    assert ended.value.value == b"a+b"
    await task


async def test_quoting__goes_one_by_one_accounts_in_turn() -> None:
    quoting = Quoting()
    done: list[str] = []

    async def one(account: str) -> None:
        assert await quoting.quote(account, LONG) == quote(LONG)
        done.append(account)

    tasks = [asyncio.ensure_future(one(account)) for account in "aaabbc"]
    for _ in range(8):
        await asyncio.sleep(0)
    assert done == ["a"], "the first is whole while the others have not begun"
    await asyncio.gather(*tasks)
    assert done == ["a", "a", "b", "c", "a", "b"]


@pytest.mark.parametrize("cancelled", [0, 1, 2])
async def test_quoting__goes_on_when_one_is_given_up(cancelled: int) -> None:
    quoting = Quoting()
    tasks = [asyncio.ensure_future(quoting.quote("a", LONG)) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[cancelled].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(result == quote(LONG) for result in results) == 2
    assert await quoting.quote("b", LONG) == quote(LONG)


async def test_quoting__goes_on_when_one_is_given_up_as_its_turn_comes() -> None:
    quoting = Quoting()
    first, second, third = [asyncio.ensure_future(quoting.quote("a", LONG)) for _ in range(3)]
    first.add_done_callback(lambda _: second.cancel())
    await asyncio.gather(first, second, return_exceptions=True)
    assert second.cancelled()
    assert await third == quote(LONG)


@given(topic=st.just(TOPIC), text=st.text(), name=st.text(min_size=1))
def test_publish_form__decodes_to_what_went_in(topic: str, text: str, name: str) -> None:
    fields = parse_qsl(
        publish_form({"sns_topic": topic}, quote(text.encode()), make_message(cronjob_name=name)).decode(),
        keep_blank_values=True,
    )
    found = dict(fields)
    assert len(found) == len(fields)
    assert (found["TopicArn"], found["Message"]) == (topic, text)
    assert found["Action"] == "Publish"
    assert "MessageGroupId" not in found


def test_publish_form__fifo() -> None:
    found = dict(parse_qsl(publish_form({"sns_topic": TOPIC + ".fifo"}, b"text", make_message()).decode()))
    assert found["MessageGroupId"] == CRONJOB_ID
    assert found["MessageDeduplicationId"] == make_message().firing_id


@pytest.mark.parametrize(
    ("name", "expected"), [("", "-"), ("a\x00b", "a\ufffdb"), ("\ufffe", "\ufffd"), ("tab\tok", "tab\tok")]
)
def test_publish_form__name_that_sns_would_refuse(name: str, expected: str) -> None:
    fields = parse_qsl(publish_form({"sns_topic": TOPIC}, b"text", make_message(cronjob_name=name)).decode())
    values = [value for key, value in fields if key.endswith("StringValue")]
    assert expected in values


@given(text=st.text(max_size=300), name=st.text(max_size=60), attempt=st.integers(1, 185))
def test_size__is_that_of_text_and_attributes_in_bytes(text: str, name: str, attempt: int) -> None:
    message = make_message(cronjob_name=name, attempt=attempt)
    public = {"sns_topic": TOPIC, "sns_message": text}
    form = dict(
        parse_qsl(publish_form(public, quote(text.encode()), message).decode(), keep_blank_values=True)
    )
    parts = [value for key, value in form.items() if key == "Message" or key.startswith("MessageAttributes.")]
    assert size(public, message) == sum(len(part.encode()) for part in parts)
