"""A text that is too large for its topic, with the attributes of a firing, is refused with the size that goes."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

import pytest

from cronally.contract.sns import MAX_SNS_MESSAGE, SNS_TOPIC_SIZE
from cronally.firing import firing_id
from cronally.targets.sns.form import quote
from cronally.targets.sns.forms import check_size, publish_form
from cronally.targets.target import Message
from tests.targets.conftest import CRONJOB_ID, SCHEDULED_AT, TOPIC

ADDED = 219
"""Bytes of the attributes of a firing without the cron job's name."""
NAMES = ["wake up", "n" * 256, "世" * 256, "🚀", "a\ufffeb"]


def _name_size(name: str) -> int:
    return len(name.replace("\ufffe", "\ufffd").encode())


def _published(text: str, name: str, topic: str = TOPIC) -> int:
    """Bytes of what is published of a firing, as SNS counts: text, and each attribute's name, type and value."""
    message = Message(firing_id(CRONJOB_ID, SCHEDULED_AT), CRONJOB_ID, name, SCHEDULED_AT, attempt=20)
    form = dict(parse_qsl(publish_form({"sns_topic": topic}, quote(text.encode()), message).decode()))
    counted = re.compile(r"Message|MessageAttributes\.entry\.\d+\.(Name|Value\.DataType|Value\.StringValue)")
    return sum(len(value.encode()) for key, value in form.items() if counted.fullmatch(key))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("topic", [TOPIC, TOPIC + ".fifo"])
@pytest.mark.parametrize("most", [None, 1024 + 1024, SNS_TOPIC_SIZE - 1])
def test_check_size__to_the_byte(name: str, topic: str, most: int | None) -> None:
    size = SNS_TOPIC_SIZE if most is None else most
    room = size - ADDED - _name_size(name)
    public = {"sns_topic": topic} | ({} if most is None else {"sns_max_message_size": most})
    for text in ("x" * room, "é" * (room // 2) + "x" * (room % 2)):
        assert check_size({**public, "sns_message": text}, name) is None
        assert _published(text, name, topic) == size
        complaint = check_size({**public, "sns_message": text + "x"}, name)
        assert complaint is not None
        assert f"{size + 1:,} bytes" in complaint
        assert f"it takes {size:,}; send {room:,} at most" in complaint


def test_check_size__a_topic_that_takes_more() -> None:
    public = {"sns_message": "x" * MAX_SNS_MESSAGE}
    assert check_size(public, "n") is not None
    assert check_size({**public, "sns_max_message_size": MAX_SNS_MESSAGE + ADDED}, "n") is not None
    assert check_size({**public, "sns_max_message_size": MAX_SNS_MESSAGE + ADDED + 1}, "n") is None


def test_check_size__a_name_that_leaves_no_room_for_a_text() -> None:
    complaint = check_size({"sns_message": "x", "sns_max_message_size": 1024}, "世" * 256 + "n" * 37)
    assert complaint is not None
    assert "shorten the cron job's name" in complaint
