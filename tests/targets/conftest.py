"""What the tests of targets share: a firing to send, a scripted SNS, a local AWS that checks signatures."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from cronally.firing import firing_id
from cronally.target import Destination, Message
from cronally.targets.sns import SnsTarget
from tests.targets.scripted import ScriptedServer, answer

CANARY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYCANARYKEY0"
ACCESS_KEY_ID = "AKIAIOSFODNN7EXAMPLE"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:my-topic"
SCHEDULED_AT = 1_795_507_200_000_000  # 2026-11-24T08:00:00Z
CRONJOB_ID = "5a1d7a1e-5d7c-4f2a-9a2e-0d6f3f1c2b4a"

PUBLISHED = (
    # https://docs.aws.amazon.com/sns/latest/api/API_Publish.html#API_Publish_Examples
    '<PublishResponse xmlns="https://sns.amazonaws.com/doc/2010-03-31/"><PublishResult>'
    "<MessageId>567910cd-659e-55d4-8ccb-5aaf14679dc0</MessageId></PublishResult><ResponseMetadata>"
    "<RequestId>d74b8436-ae13-5ab4-a9ff-ce54dfea72a0</RequestId></ResponseMetadata></PublishResponse>"
)


def make_message(**changes: Any) -> Message:
    """A firing's message."""
    values: dict[str, Any] = {
        "firing_id": firing_id(CRONJOB_ID, SCHEDULED_AT),
        "cronjob_id": CRONJOB_ID,
        "cronjob_name": "nightly report",
        "scheduled_at": SCHEDULED_AT,
        "attempt": 1,
    }
    return Message(**{**values, **changes})


def make_destination(**changes: str) -> Destination:
    """A topic and keys, by the parameters' names without `sns_`."""
    public = {
        "sns_topic": TOPIC,
        "sns_message": "time to report",
        "sns_region": "eu-west-1",
        "sns_access_key_id": ACCESS_KEY_ID,
    }
    secret = changes.pop("secret_access_key", CANARY)
    return Destination(
        "sns",
        {**public, **{f"sns_{name}": value for name, value in changes.items()}},
        {"sns_secret_access_key": secret},
    )


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    """A scripted server that answers as SNS does when a publish succeeds, unless told otherwise."""
    async with ScriptedServer(answer(200, PUBLISHED)) as scripted:
        yield scripted


@pytest.fixture
async def sns(server: ScriptedServer) -> AsyncIterator[SnsTarget]:
    """The target, towards the scripted server."""
    target = SnsTarget(endpoint=server.url, connect_timeout=5, total_timeout=5, connections=4)
    yield target
    await target.close()


@dataclass(frozen=True)
class Aws:
    """The local AWS, with authentication on: a publisher, and a queue that is subscribed to a topic."""

    url: str
    topics: dict[str, str]
    """ARNs by `standard` and `fifo`."""
    queues: dict[str, str]
    """URLs, by the same."""
    access_key_id: str
    secret_access_key: str
    powerless: tuple[str, str]
    """The keys of a user who may do nothing."""
    sqs: Any

    def destination(self, kind: str = "standard", **changes: str) -> Destination:
        """The topic with the publisher's keys."""
        return make_destination(
            **{
                "topic": self.topics[kind],
                "access_key_id": self.access_key_id,
                "secret_access_key": self.secret_access_key,
                **changes,
            }
        )

    def receive(self, kind: str = "standard") -> dict[str, Any]:
        """The one message that is in the queue: SNS's envelope, and SQS's attributes as `sqs`."""
        answer = self.sqs.receive_message(
            QueueUrl=self.queues[kind], MaxNumberOfMessages=10, AttributeNames=["All"]
        )
        (found,) = answer.get("Messages", ())
        self.sqs.delete_message(QueueUrl=self.queues[kind], ReceiptHandle=found["ReceiptHandle"])
        envelope: dict[str, Any] = json.loads(found["Body"])
        return {**envelope, "sqs": found["Attributes"]}


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    """The local AWS."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("moto_server.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        yield _furnish(url)
    finally:
        process.stdin.close()
        process.wait(timeout=10)
        process.stdout.close()


def _furnish(url: str) -> Aws:
    def client(service: str, keys: tuple[str, str] = ("root", "root")) -> Any:
        return boto3.client(
            service,
            region_name="eu-west-1",
            endpoint_url=url,
            aws_access_key_id=keys[0],
            aws_secret_access_key=keys[1],
        )

    iam, sns, sqs = client("iam"), client("sns"), client("sqs")

    def user(name: str, *actions: str) -> tuple[str, str]:
        iam.create_user(UserName=name)
        if actions:
            # moto asks for sns:PublishBatch, too, where AWS asks for sns:Publish only
            policy = {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}],
            }
            iam.put_user_policy(UserName=name, PolicyName="may", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    publisher = user("publisher", "sns:Publish", "sns:PublishBatch")
    reader = user("reader", "sqs:*")
    powerless = user("powerless")
    topics, queues = {}, {}
    for kind, suffix, attributes in (("standard", "", {}), ("fifo", ".fifo", {"FifoTopic": "true"})):
        topics[kind] = sns.create_topic(Name=f"reports{suffix}", Attributes=attributes)["TopicArn"]
        queues[kind] = sqs.create_queue(
            QueueName=f"reports{suffix}", Attributes={"FifoQueue": "true"} if suffix else {}
        )["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queues[kind], AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        sns.subscribe(TopicArn=topics[kind], Protocol="sqs", Endpoint=arn)
    switch_on = urllib.request.Request(
        f"{url}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}
    )
    with urllib.request.urlopen(switch_on, timeout=10):
        pass
    return Aws(url, topics, queues, *publisher, powerless, client("sqs", reader))
