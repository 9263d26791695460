"""A local AWS: SNS, SQS, IAM and STS of `moto`, over real HTTP, with authentication on.

Invariant: only requests signed with keys that its IAM gave out are answered, and each user may do only what
its policy allows, on the topic that it names. Known to differ from AWS: it asks for `sns:PublishBatch` where
AWS asks for `sns:Publish`, says `AccessDenied` where SNS says `AuthorizationError`, accepts an empty message,
and closes every connection.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config

from tests.support.server_process import ServerProcess, server_process

REGION = "us-east-1"

_UNSIGNED_AT_FIRST = 3
"""Requests that moto answers unsigned: those that make the administrator."""

_ADMINISTRATOR = {"Effect": "Allow", "Action": "*", "Resource": "*"}

_SERVER = Path(__file__).with_name("moto_server.py")

_LISTENING = re.compile(r"Running on (http://127\.0\.0\.1:\d+)")


@dataclass(frozen=True)
class Keys:
    """The access keys of an IAM user."""

    access_key_id: str
    secret_access_key: str = field(repr=False)


@dataclass(frozen=True)
class Received:
    """One message as it came out of a topic's queue."""

    message: str
    message_id: str
    """The id that SNS gave when it was published."""
    attributes: Mapping[str, str]
    topic_arn: str
    envelope: Mapping[str, Any] = field(repr=False)
    """What SNS put into the queue, whole."""


class Topic:
    """An SNS topic with a queue subscribed to it. Made by `LocalAws.make_topic`."""

    def __init__(self, aws: LocalAws, arn: str, region: str, queue_url: str) -> None:
        self.arn = arn
        self.region = region
        self._queue_url = queue_url
        self._sqs = aws.client("sqs", region=region)

    def receive(self, number: int = 1, *, seconds: float = 60.0) -> list[Received]:
        """Take messages out of the queue: as soon as there are `number`, or those that came in `seconds`."""
        deadline = time.monotonic() + seconds
        received: list[Received] = []
        while len(received) < number:
            left = deadline - time.monotonic()
            received += self._take(wait=max(0, min(20, round(left))))
            if left <= 0:
                break
        return received

    def drain(self) -> list[Received]:
        """Take all that the queue holds now."""
        received: list[Received] = []
        while batch := self._take(wait=0):
            received += batch
        return received

    def _take(self, wait: int) -> list[Received]:
        answer = self._sqs.receive_message(
            QueueUrl=self._queue_url, WaitTimeSeconds=wait, MaxNumberOfMessages=10
        )
        messages = answer.get("Messages", [])
        for message in messages:
            self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"])
        return [_received(json.loads(message["Body"])) for message in messages]


class LocalAws:
    """A running local AWS. Made by `local_aws`."""

    def __init__(self, url: str, process: ServerProcess) -> None:
        self.url = url
        """What `AWS_ENDPOINT_URL_SNS` is set to."""
        self.process = process
        self._session = botocore.session.Session()
        for name in ("config_file", "credentials_file"):
            self._session.set_config_variable(name, os.devnull)
        self._clients: dict[tuple[str, str], Any] = {}
        self._numbers = count(1)
        self._administrator = self._make_user("administrator", _ADMINISTRATOR, Keys("nobody", "none"))

    def client(self, service: str, keys: Keys | None = None, *, region: str = REGION) -> Any:
        """A botocore client of one service; the administrator's, unless keys are given."""
        if keys is not None:
            return self._make_client(service, keys, region)
        if (service, region) not in self._clients:
            self._clients[service, region] = self._make_client(service, self._administrator, region)
        return self._clients[service, region]

    def make_topic(self, name: str | None = None, *, fifo: bool = False, region: str = REGION) -> Topic:
        """Make a topic and a queue that is subscribed to it."""
        sns, sqs = self.client("sns", region=region), self.client("sqs", region=region)
        name = (name or f"topic-{next(self._numbers)}") + (".fifo" if fifo else "")
        attributes = {"FifoTopic": "true"} if fifo else {}
        arn = sns.create_topic(Name=name, Attributes=attributes)["TopicArn"]
        attributes = {"FifoQueue": "true"} if fifo else {}
        queue_url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        queue_arn = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn["Attributes"]["QueueArn"])
        return Topic(self, arn, region, queue_url)

    def make_role(self, service: str) -> str:
        """Make a role that a service may take, and return its ARN."""
        statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        return self._make_role({"Version": "2012-10-17", "Statement": [statement]})

    def _make_role(self, trust: Mapping[str, object]) -> str:
        name = f"role-{next(self._numbers)}"
        made = self.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        arn: str = made["Role"]["Arn"]
        return arn

    def make_publishing_role(self, topic_arn: str, trust: Mapping[str, object]) -> str:
        """Make a role that may publish on one topic and do nothing else, and return its ARN.

        :param trust: the policy that says who may assume it
        """
        arn = self._make_role(trust)
        statement = {"Effect": "Allow", "Action": "sns:Publish", "Resource": topic_arn}
        self.client("iam").put_role_policy(
            RoleName=arn.rpartition("/")[2],
            PolicyName="only",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        )
        return arn

    def without_docker(self) -> None:
        """Let functions of Lambda answer without being run: there is no Docker."""
        body = json.dumps({"lambda": {"use_docker": False}}).encode()
        request = urllib.request.Request(f"{self.url}/moto-api/config", body, method="POST")  # noqa: S310
        with urllib.request.urlopen(request):  # noqa: S310 - our own server
            pass

    def make_publisher(self, topic_arn: str) -> Keys:
        """Make an IAM user that may publish on one topic and do nothing else: the least a cron job needs."""
        return self.make_user({"Effect": "Allow", "Action": "sns:Publish", "Resource": topic_arn})

    def make_user(self, statement: Mapping[str, object]) -> Keys:
        """Make an IAM user whose only policy is this statement."""
        return self._make_user(f"user-{next(self._numbers)}", statement, self._administrator)

    def _make_user(self, name: str, statement: Mapping[str, object], by: Keys) -> Keys:
        iam = self._make_client("iam", by, REGION)
        iam.create_user(UserName=name)
        iam.put_user_policy(
            UserName=name,
            PolicyName="only",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        )
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Keys(key["AccessKeyId"], key["SecretAccessKey"])

    def _make_client(self, service: str, keys: Keys, region: str) -> Any:
        return self._session.create_client(
            service,
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id=keys.access_key_id,
            aws_secret_access_key=keys.secret_access_key,
            config=Config(retries={"total_max_attempts": 1}, proxies={}),
        )


@contextlib.contextmanager
def local_aws(folder: Path, *, remove: Sequence[Path] = ()) -> Iterator[LocalAws]:
    """Run a local AWS for the length of the block, on a free port of the loopback interface.

    :param folder: gets the server's log
    :param remove: folders to remove once it has ended
    """
    log = folder / "moto.log"
    env = {
        "PATH": os.defpath,
        "HOME": os.fspath(folder),
        "INITIAL_NO_AUTH_ACTION_COUNT": str(_UNSIGNED_AT_FIRST),
        "PYTHONUNBUFFERED": "1",
    }
    argv = [sys.executable, os.fspath(_SERVER), "--host", "127.0.0.1", "--port", "0"]
    with server_process(argv, log=log, env=env, cwd=folder, remove=remove) as process:
        process.wait_until(lambda: _LISTENING.search(process.output()))
        listening = _LISTENING.search(process.output())
        assert listening
        yield LocalAws(listening[1], process)


def _received(envelope: Mapping[str, Any]) -> Received:
    attributes = envelope.get("MessageAttributes", {})
    return Received(
        message=envelope["Message"],
        message_id=envelope["MessageId"],
        attributes={name: attribute["Value"] for name, attribute in attributes.items()},
        topic_arn=envelope["TopicArn"],
        envelope=envelope,
    )
