"""Cron jobs that call AWS, from the command line to a queue and a table, over real servers on both databases.

The examples of docs/guides/aws.md, and the policies that `cronally policy` prints, are what is used here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cronally.vault import new_sealing_key
from tests.support.aws import REGION, Keys, LocalAws
from tests.support.cronally_server import CronallyServer, cronally_server
from tests.support.factories import CANARY

QUEUE = f"arn:aws:sqs:{REGION}:123456789012:orders"


@pytest.fixture
def server(database_url: str, aws: LocalAws, tmp_path: Path) -> Iterator[CronallyServer]:
    """A server with an account, towards the local AWS."""
    settings = {
        "CRONALLY_DATABASE_URL": database_url,
        "CRONALLY_SEALING_KEYS": new_sealing_key(),
        "AWS_ENDPOINT_URL": aws.url,
        "CRONALLY_LOG_LEVEL": "debug",
    }
    with cronally_server(tmp_path, settings) as running:
        done = running.cli("signup", "username@example.com")
        assert done.returncode == 0, done.stderr
        yield running


def _add(server: CronallyServer, keys: Keys, name: str, *more: str, code: int = 0) -> str:
    """A cron job that does not fire by itself in this test, and is tried once."""
    once = ("--name", name, "--cron", "0 0 29 2 *", "--retry-max-attempts", "0")
    env = {"CRONALLY_AWS_SECRET_ACCESS_KEY": keys.secret_access_key}
    done = server.cli("add", *once, "--aws-access-key-id", keys.access_key_id, *more, env=env)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def _policy(server: CronallyServer, *asked: str) -> dict[str, Any]:
    done = server.cli("policy", *asked)
    assert done.returncode == 0, done.stderr
    policy: dict[str, Any] = json.loads(done.stdout)
    return policy


@pytest.mark.sample(1)
def test_sqs__from_a_policy_to_a_message(server: CronallyServer, aws: LocalAws) -> None:
    url = aws.client("sqs").create_queue(QueueName="orders")["QueueUrl"]
    (statement,) = _policy(server, "--sqs-queue", QUEUE)["Statement"]
    assert statement == {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": QUEUE}
    # moto holds no policy to a queue.
    keys = aws.make_user({**statement, "Resource": "*"})
    shown = _add(server, keys, "orders", "--sqs-queue", QUEUE, "--sqs-message", "look for orders", "--verify")
    assert "sqs orders" in shown
    assert _policy(server, "orders")["Statement"] == [statement]
    done = server.cli("run", "orders", "--wait")
    assert done.returncode == 0, done.stderr
    messages = aws.client("sqs").receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    )["Messages"]
    assert {each["Body"] for each in messages} == {"look for orders"}
    attempts = {each["MessageAttributes"]["cronally-attempt"]["StringValue"] for each in messages}
    assert attempts == {"0", "1"}  # the test message, and the firing
    assert keys.secret_access_key not in server.process.output()


@pytest.mark.sample(1)
def test_aws__an_operation_that_is_checked_when_it_is_written(server: CronallyServer, aws: LocalAws) -> None:
    table = f"runs-{server.url.rpartition(':')[2]}"
    dynamodb = aws.client("dynamodb")
    dynamodb.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "day", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "day", "AttributeType": "S"}],
    )
    call = ("--aws-service", "dynamodb", "--aws-action", "PutItem", "--aws-region", REGION)
    policy = _policy(server, *call)
    keys = aws.make_user(policy["Statement"][0])
    refused = _add(server, keys, "run", *call, "--aws-input", json.dumps({"TableName": table}), code=1)
    assert "lacks Item at its top" in refused
    _add(
        server,
        keys,
        "run",
        *call,
        "--aws-input",
        json.dumps({"TableName": table, "Item": {"day": {"S": "today"}}}),
    )
    done = server.cli("run", "run", "--wait")
    assert done.returncode == 0, done.stderr
    assert dynamodb.scan(TableName=table)["Items"] == [{"day": {"S": "today"}}]
    other = aws.make_user({"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"})
    env = {"CRONALLY_AWS_SECRET_ACCESS_KEY": other.secret_access_key}
    done = server.cli("update", "run", "--aws-access-key-id", other.access_key_id, env=env)
    assert done.returncode == 0, done.stderr
    done = server.cli("verify", "run")
    assert done.returncode == 1
    assert "did not take the test message: HTTP 403" in done.stderr  # AWS says AccessDenied
    assert CANARY not in done.stderr
