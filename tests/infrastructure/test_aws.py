"""The tests' own AWS: that it refuses what AWS refuses, as far as the tests lean on it."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.support.aws import Keys, LocalAws


def _attribute(value: str) -> dict[str, str]:
    return {"DataType": "String", "StringValue": value}


def test_topic__its_queue_gets_what_its_publisher_publishes(aws: LocalAws) -> None:
    topic = aws.make_topic()
    sns = aws.client("sns", aws.make_publisher(topic.arn))
    published = sns.publish(TopicArn=topic.arn, Message="tick", MessageAttributes={"a": _attribute("b")})
    [received] = topic.receive()
    assert received.message == "tick"
    assert received.message_id == published["MessageId"]
    assert received.attributes == {"a": "b"}
    assert received.topic_arn == topic.arn
    assert topic.drain() == []


def test_topic__receive_waits_for_as_many_as_were_asked_for(aws: LocalAws) -> None:
    topic = aws.make_topic()
    sns = aws.client("sns")
    for number in range(12):
        sns.publish(TopicArn=topic.arn, Message=str(number))
    assert sorted(int(received.message) for received in topic.receive(12)) == list(range(12))
    assert topic.receive(seconds=0) == []


def test_topic__fifo_delivers_a_deduplication_id_once(aws: LocalAws) -> None:
    topic = aws.make_topic(fifo=True)
    sns = aws.client("sns", aws.make_publisher(topic.arn))
    for _ in range(2):
        sns.publish(TopicArn=topic.arn, Message="tick", MessageGroupId="g", MessageDeduplicationId="d")
    assert [received.message for received in topic.receive(2, seconds=0)] == ["tick"]


def test_publisher__may_do_nothing_but_publish(aws: LocalAws) -> None:
    topic = aws.make_topic()
    sns = aws.client("sns", aws.make_publisher(topic.arn))
    with pytest.raises(ClientError, match="AccessDenied"):
        sns.create_topic(Name="another")


def test_publisher__may_publish_on_its_own_topic_only(aws: LocalAws) -> None:
    sns = aws.client("sns", aws.make_publisher(aws.make_topic().arn))
    with pytest.raises(ClientError, match="not authorized to perform: sns:Publish"):
        sns.publish(TopicArn=aws.make_topic().arn, Message="tick")


def test_local_aws__refuses_unknown_keys(aws: LocalAws) -> None:
    topic = aws.make_topic()
    sns = aws.client("sns", Keys("AKIAUNKNOWN", "secret"))
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        sns.publish(TopicArn=topic.arn, Message="tick")


def test_local_aws__refuses_a_wrong_secret(aws: LocalAws) -> None:
    topic = aws.make_topic()
    keys = aws.make_publisher(topic.arn)
    sns = aws.client("sns", Keys(keys.access_key_id, "wrong"))
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        sns.publish(TopicArn=topic.arn, Message="tick")


def test_local_aws__knows_whose_keys_they_are(aws: LocalAws) -> None:
    topic = aws.make_topic()
    identity = aws.client("sts", aws.make_publisher(topic.arn)).get_caller_identity()
    assert identity["Arn"].startswith("arn:aws:")


def test_keys__keep_the_secret_out_of_their_repr() -> None:
    assert "hidden" not in repr(Keys("AKIA", "hidden"))
