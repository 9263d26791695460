"""The target `sns` against moto's server with authentication on: keys and signatures are checked there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from cronally.target import Delivered, Refused, Unauthorized
from cronally.targets.sns import SnsTarget
from tests.targets.conftest import CRONJOB_ID, SCHEDULED_AT, Aws, make_message


@pytest.fixture
async def target(aws: Aws) -> AsyncIterator[SnsTarget]:
    target = SnsTarget(endpoint=aws.url)
    yield target
    await target.close()


async def test_publish__reaches_the_subscribed_queue_with_its_attributes(target: SnsTarget, aws: Aws) -> None:
    text = 'Grüße, 世界 & co: {"a": "50% <b>+1</b>"}\r\n\t=?&🚀'
    message = make_message(cronjob_name="jeden Morgen ☕", attempt=3)
    outcome = await target.send(aws.destination(message=text), message)
    received = aws.receive()
    assert outcome == Delivered(received["MessageId"])
    assert received["Message"] == text
    assert received["MessageAttributes"] == {
        "cronally-firing-id": {"Type": "String", "Value": message.firing_id},
        "cronally-cronjob-id": {"Type": "String", "Value": CRONJOB_ID},
        "cronally-cronjob-name": {"Type": "String", "Value": "jeden Morgen ☕"},
        "cronally-scheduled-at": {"Type": "String", "Value": "2026-11-24T08:00:00Z"},
        "cronally-attempt": {"Type": "Number", "Value": "3"},
    }


async def test_publish__longest_message(target: SnsTarget, aws: Aws) -> None:
    text = ("x" * 99 + "世") * 2560  # 261,120 bytes
    assert isinstance(await target.send(aws.destination(message=text), make_message()), Delivered)
    assert aws.receive()["Message"] == text


async def test_publish__fifo_topic_gets_group_and_deduplication_id(target: SnsTarget, aws: Aws) -> None:
    message = make_message(scheduled_at=SCHEDULED_AT + 1)
    first = await target.send(aws.destination("fifo"), message)
    again = await target.send(aws.destination("fifo"), make_message(scheduled_at=SCHEDULED_AT + 1, attempt=2))
    assert isinstance(first, Delivered)
    assert isinstance(again, Delivered)
    received = aws.receive("fifo")  # once
    assert received["sqs"]["MessageGroupId"] == CRONJOB_ID
    assert received["sqs"]["MessageDeduplicationId"] == message.firing_id


async def test_publish__wrong_secret(target: SnsTarget, aws: Aws) -> None:
    outcome = await target.send(aws.destination(secret_access_key="x" * 40), make_message())
    assert isinstance(outcome, Unauthorized)
    assert outcome.reason.startswith("SignatureDoesNotMatch: ")


async def test_publish__rotated_secret_of_the_same_key(target: SnsTarget, aws: Aws) -> None:
    assert isinstance(await target.send(aws.destination(), make_message()), Delivered)
    wrong = await target.send(aws.destination(secret_access_key="x" * 40), make_message())
    assert isinstance(wrong, Unauthorized)
    assert isinstance(await target.send(aws.destination(), make_message()), Delivered)
    aws.sqs.purge_queue(QueueUrl=aws.queues["standard"])


async def test_publish__unknown_key(target: SnsTarget, aws: Aws) -> None:
    outcome = await target.send(aws.destination(access_key_id="AKIA0000000000000000"), make_message())
    assert isinstance(outcome, Unauthorized)
    assert outcome.reason.startswith("InvalidClientTokenId: ")


async def test_publish__user_without_permission(target: SnsTarget, aws: Aws) -> None:
    access_key_id, secret = aws.powerless
    outcome = await target.send(
        aws.destination(access_key_id=access_key_id, secret_access_key=secret), make_message()
    )
    assert isinstance(outcome, Unauthorized)
    assert "not authorized" in outcome.reason


async def test_publish__missing_topic(target: SnsTarget, aws: Aws) -> None:
    outcome = await target.send(aws.destination(topic=aws.topics["standard"] + "-gone"), make_message())
    assert isinstance(outcome, Refused)
    assert not outcome.final
    assert outcome.reason.startswith("NotFound: ")
