"""The target `sns` against moto's server with authentication on: keys, signatures and policies are checked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from cronally.firing import firing_id
from cronally.targets.sns.target import SnsTarget
from cronally.targets.target import Delivered, Destination, Message, Refused, Unauthorized
from tests.support.aws import Keys, LocalAws, Topic
from tests.targets.conftest import CRONJOB_ID, SCHEDULED_AT, make_destination, make_message


@pytest.fixture
async def target(aws: LocalAws) -> AsyncIterator[SnsTarget]:
    target = SnsTarget(endpoint=aws.url)
    yield target
    await target.close()


@pytest.fixture
def topic(aws: LocalAws) -> Topic:
    return aws.make_topic()


@pytest.fixture
def keys(aws: LocalAws, topic: Topic) -> Keys:
    return aws.make_publisher(topic.arn)


def _to(topic: Topic, keys: Keys, /, **changes: str) -> Destination:
    values = {
        "topic": topic.arn,
        "region": topic.region,
        "access_key_id": keys.access_key_id,
        "secret_access_key": keys.secret_access_key,
    }
    return make_destination(**{**values, **changes})


async def test_publish__reaches_the_subscribed_queue_with_its_attributes(
    target: SnsTarget, topic: Topic, keys: Keys
) -> None:
    text = 'Grüße, 世界 & co: {"a": "50% <b>+1</b>"}\r\n\t=?&🚀'
    message = make_message(cronjob_name="jeden Morgen ☕", attempt=3)
    outcome = await target.send(_to(topic, keys, message=text), message)
    (received,) = topic.drain()
    assert outcome == Delivered(received.message_id)
    assert received.message == text
    assert received.envelope["MessageAttributes"] == {
        "cronally-firing-id": {"Type": "String", "Value": message.firing_id},
        "cronally-cronjob-id": {"Type": "String", "Value": CRONJOB_ID},
        "cronally-cronjob-name": {"Type": "String", "Value": "jeden Morgen ☕"},
        "cronally-scheduled-at": {"Type": "String", "Value": "2026-11-24T08:00:00Z"},
        "cronally-attempt": {"Type": "Number", "Value": "3"},
    }


@pytest.mark.parametrize("text", [("x" * 99 + "世") * 2560, "世界，" * 29_000], ids=["latin", "chinese"])
async def test_publish__message_of_255_kib(target: SnsTarget, topic: Topic, keys: Keys, text: str) -> None:
    assert len(text.encode()) > 255 * 1000
    assert isinstance(await target.send(_to(topic, keys, message=text), make_message()), Delivered)
    (received,) = topic.drain()
    assert received.message == text


async def test_publish__fifo_topic_gets_group_and_deduplication_id(target: SnsTarget, aws: LocalAws) -> None:
    topic = aws.make_topic(fifo=True)
    keys = aws.make_publisher(topic.arn)
    for attempt in (1, 2):
        message = make_message(scheduled_at=SCHEDULED_AT + 1, attempt=attempt)
        assert isinstance(await target.send(_to(topic, keys), message), Delivered)
    sqs: Any = aws.client("sqs")
    queue = sqs.get_queue_url(QueueName=topic.arn.rpartition(":")[2])["QueueUrl"]
    (received,) = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, AttributeNames=["All"])[
        "Messages"
    ]
    assert received["Attributes"]["MessageGroupId"] == CRONJOB_ID
    assert received["Attributes"]["MessageDeduplicationId"] == make_message().firing_id


async def test_publish__subject_and_attributes_of_its_own(
    target: SnsTarget, topic: Topic, keys: Keys
) -> None:
    own = '{"kind": "report", "copies": 2, "to": ["ann", "bob"]}'
    chosen = {"subject": "Nächtlich ☕", "attributes": own}
    assert isinstance(await target.send(_to(topic, keys, **chosen), make_message()), Delivered)
    (received,) = topic.drain()
    assert received.envelope["Subject"] == "Nächtlich ☕"
    attributes = received.envelope["MessageAttributes"]
    assert attributes["kind"] == {"Type": "String", "Value": "report"}
    assert attributes["copies"] == {"Type": "Number", "Value": "2"}
    assert attributes["to"] == {"Type": "String.Array", "Value": '["ann","bob"]'}
    assert attributes["cronally-firing-id"]["Value"] == make_message().firing_id
    assert len(attributes) == 8


async def test_publish__a_text_for_each_protocol(target: SnsTarget, topic: Topic, keys: Keys) -> None:
    texts = '{"default": "for all", "sqs": "for queues"}'
    destination = _to(topic, keys, message=texts, message_structure="json")
    assert isinstance(await target.send(destination, make_message()), Delivered)
    (received,) = topic.drain()
    assert received.message == "for queues"


async def test_publish__to_a_fifo_topic_with_ids_of_its_own(target: SnsTarget, aws: LocalAws) -> None:
    topic = aws.make_topic(fifo=True)
    destination = _to(topic, aws.make_publisher(topic.arn), group_id="group", deduplication_id="once")
    for _ in range(2):
        assert isinstance(await target.send(destination, make_message()), Delivered)
    sqs: Any = aws.client("sqs")
    queue = sqs.get_queue_url(QueueName=topic.arn.rpartition(":")[2])["QueueUrl"]
    (received,) = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, AttributeNames=["All"])[
        "Messages"
    ]
    assert received["Attributes"]["MessageGroupId"] == "group"
    assert received["Attributes"]["MessageDeduplicationId"] == "once"


async def test_publish__wrong_secret(target: SnsTarget, topic: Topic, keys: Keys) -> None:
    outcome = await target.send(_to(topic, keys, secret_access_key="x" * 40), make_message())
    assert isinstance(outcome, Unauthorized)
    assert outcome.detail.startswith("SignatureDoesNotMatch: ")


async def test_publish__signing_key_follows_the_secret(target: SnsTarget, topic: Topic, keys: Keys) -> None:
    right = _to(topic, keys)
    wrong = _to(topic, keys, secret_access_key="x" * 40)
    for destination, expected in ((right, Delivered), (wrong, Unauthorized), (right, Delivered)):
        assert isinstance(await target.send(destination, make_message()), expected)


async def test_publish__unknown_key(target: SnsTarget, topic: Topic, keys: Keys) -> None:
    outcome = await target.send(_to(topic, keys, access_key_id="AKIA0000000000000000"), make_message())
    assert isinstance(outcome, Unauthorized)
    assert outcome.detail.startswith("InvalidClientTokenId: ")


async def test_publish__keys_of_another_topic(target: SnsTarget, aws: LocalAws, keys: Keys) -> None:
    outcome = await target.send(_to(aws.make_topic(), keys), make_message())
    assert isinstance(outcome, Unauthorized)
    assert "not authorized to perform: sns:Publish" in outcome.detail


async def test_publish__missing_topic(target: SnsTarget, aws: LocalAws, topic: Topic) -> None:
    gone = topic.arn + "-gone"
    outcome = await target.send(_to(topic, aws.make_publisher(gone), topic=gone), make_message())
    assert isinstance(outcome, Refused)
    assert not outcome.final
    assert outcome.detail.startswith("NotFound: ")


async def test_publish__other_region(target: SnsTarget, aws: LocalAws) -> None:
    topic = aws.make_topic(region="eu-central-1")
    keys = aws.make_publisher(topic.arn)
    assert isinstance(await target.send(_to(topic, keys), make_message()), Delivered)
    assert [received.message for received in topic.drain()] == ["time to report"]


def _messages(count: int) -> list[Message]:
    return [
        make_message(
            firing_id=firing_id(f"job-{number}", SCHEDULED_AT),
            cronjob_id=f"job-{number}",
            cronjob_name=f"jeden Morgen ☕ {number}",
        )
        for number in range(count)
    ]


async def test_publish_batch__each_reaches_the_queue_with_its_text_and_attributes(
    target: SnsTarget, topic: Topic, aws: LocalAws
) -> None:
    may = ["sns:Publish", "sns:PublishBatch"]
    keys = aws.make_user({"Effect": "Allow", "Action": may, "Resource": topic.arn})
    messages = _messages(10)
    sendings = [
        (
            _to(
                topic,
                keys,
                message=f"Grüße, 世界 & co: {message.cronjob_id} 🚀\r\n",
                subject=message.cronjob_id,
                attributes=f'{{"own": "{message.cronjob_id}"}}',
            ),
            message,
        )
        for message in messages
    ]
    assert target.batches(sendings) == [[*range(10)]]
    outcomes = await target.send_batch(sendings)
    received = {one.attributes["cronally-firing-id"]: one for one in topic.drain()}
    assert outcomes == [Delivered(received[message.firing_id].message_id) for message in messages]
    for destination, message in sendings:
        one = received[message.firing_id]
        assert one.message == destination.public["sns_message"]
        assert one.attributes == {
            "cronally-firing-id": message.firing_id,
            "cronally-cronjob-id": message.cronjob_id,
            "cronally-cronjob-name": message.cronjob_name,
            "cronally-scheduled-at": "2026-11-24T08:00:00Z",
            "cronally-attempt": "1",
            "own": message.cronjob_id,
        }
        assert one.envelope["Subject"] == message.cronjob_id


async def test_publish_batch__refused_as_such_and_each_is_taken_alone(
    target: SnsTarget, topic: Topic, keys: Keys
) -> None:
    """Keys that may `sns:Publish` only: enough for AWS, not for moto."""
    sendings = [(_to(topic, keys), message) for message in _messages(3)]
    assert await target.send_batch(sendings) is None
    assert not topic.drain()
    assert target.batches(sendings) == [[0], [1], [2]]
    for sending in sendings:
        assert isinstance(await target.send(*sending), Delivered)
    assert len(topic.drain()) == 3


async def test_publish_batch__wrong_secret(target: SnsTarget, topic: Topic, keys: Keys) -> None:
    wrong = _to(topic, keys, secret_access_key="x" * 40)
    assert await target.send_batch([(wrong, message) for message in _messages(2)]) is None
    assert isinstance(await target.send(wrong, make_message()), Unauthorized)
