"""Cron jobs that call AWS: what is taken, stored, shown, changed and refused; on both databases."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cronally import errors
from cronally.operations import Caller
from cronally.store import Store
from cronally.vault import SealContext
from tests.operations.parameters import SECRET
from tests.operations.tenant import Tenants
from tests.support import factories
from tests.support.factories import read_cronjob

ACCESS = {
    "name": "Wake up",
    "cron": "0 8 * * *",
    "aws_region": "eu-west-1",
    "aws_access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "aws_secret_access_key": SECRET,
}
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:my-queue"
OF: dict[str, dict[str, Any]] = {
    "sqs": {"sqs_queue": QUEUE, "sqs_message": "x", "sqs_delay": 5},
    "lambda": {"lambda_function": "report:live", "lambda_payload": "[1]"},
    "events": {"events_source": "com.example", "events_detail_type": "due", "events_detail": "{}"},
    "stepfunctions": {
        "stepfunctions_state_machine": "arn:aws:states:eu-west-1:123456789012:stateMachine:report"
    },
    "kinesis": {"kinesis_stream": "clicks", "kinesis_data": "x"},
    "ecs": {
        "ecs_task_definition": "report:3",
        "ecs_launch_type": "FARGATE",
        "ecs_subnets": ["subnet-0123456789abcdef0"],
        "ecs_assign_public_ip": True,
    },
    "aws": {
        "aws_service": "dynamodb",
        "aws_action": "PutItem",
        "aws_input": '{"TableName": "runs", "Item": {"day": {"S": "today"}}}',
    },
}


def _sent(target: str, **changes: Any) -> dict[str, Any]:
    values = {**ACCESS, "delivery_type": target, **OF[target], **changes}
    return {name: value for name, value in values.items() if value is not None}


async def _fields(call: Any) -> dict[str, str]:
    with pytest.raises(errors.InvalidRequest) as caught:
        await call
    found = dict(caught.value.fields)
    assert SECRET not in repr(found)
    return found


async def _secrets(store: Store, cronjob_id: str) -> dict[str, str]:
    row = await read_cronjob(store, cronjob_id)
    place = SealContext(row.account_id, "cronjob", "secret", row.cronjob_id)
    secret: dict[str, str] = json.loads(factories.vault().open(row.secret, place))
    return secret


@pytest.mark.parametrize("target", OF)
async def test_create__stores_and_shows_all_but_the_secrets(
    operations: Tenants, caller: Caller, store: Store, target: str
) -> None:
    made = await operations.create_cronjob(caller.account_id, _sent(target))
    shown = {name: tuple(value) if isinstance(value, list) else value for name, value in made.items()}
    expected = {name: tuple(v) if isinstance(v, list) else v for name, v in OF[target].items()}
    assert shown.items() >= expected.items()
    assert made["delivery_type"] == target
    assert (made["aws_region"], made["aws_access_key_id"]) == ("eu-west-1", "AKIAIOSFODNN7EXAMPLE")
    assert SECRET not in json.dumps(made)
    assert "warnings" not in made or not made["warnings"]
    assert await _secrets(store, made["cronjob_id"]) == {"aws_secret_access_key": SECRET}
    changed = await operations.update_cronjob(caller.account_id, made["cronjob_id"], {"name": "Tea"})
    kept = OF[target].keys() | {"aws_region"}
    assert {name: changed[name] for name in kept} == {name: made[name] for name in kept}
    page = await operations.list_cronjobs(caller.account_id, {"delivery_type": target})
    assert [each["cronjob_id"] for each in page.items] == [made["cronjob_id"]]


async def test_token__goes_in_and_out_with_the_secret(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    temporary = {"aws_access_key_id": "ASIAIOSFODNN7EXAMPLE", "aws_session_token": f"{SECRET}-token"}
    found = await _fields(
        operations.create_cronjob(
            caller.account_id, _sent("sqs", aws_access_key_id=temporary["aws_access_key_id"])
        )
    )
    assert found.keys() == {"aws_session_token"}
    made = await operations.create_cronjob(caller.account_id, _sent("sqs", **temporary))
    cronjob_id = made["cronjob_id"]
    assert "aws_session_token" not in made
    sealed = {"aws_secret_access_key": SECRET, "aws_session_token": f"{SECRET}-token"}
    assert await _secrets(store, cronjob_id) == sealed
    await operations.update_cronjob(caller.account_id, cronjob_id, {"sqs_message": "y"})
    assert await _secrets(store, cronjob_id) == sealed
    alone = {"aws_session_token": "another"}
    found = await _fields(operations.update_cronjob(caller.account_id, cronjob_id, alone))
    assert "is sealed with aws_secret_access_key" in found["aws_session_token"]
    lasting = {"aws_access_key_id": "AKIA0000000000000001", "aws_secret_access_key": "another"}
    await operations.update_cronjob(caller.account_id, cronjob_id, lasting)
    assert await _secrets(store, cronjob_id) == {"aws_secret_access_key": "another"}


@pytest.mark.parametrize(
    ("target", "changes", "name", "expected"),
    [
        ("sqs", {"aws_region": "us-east-1"}, "sqs_queue", "is in eu-west-1, which is not aws_region"),
        (
            "sqs",
            {"sqs_queue": "https://evil.example/123456789012/q"},
            "sqs_queue",
            "neither the ARN nor the URL",
        ),
        (
            "sqs",
            {"sqs_queue": "https://sqs.eu-west-1.evil.example/123456789012/q"},
            "sqs_queue",
            "neither the ARN nor the URL",
        ),
        ("sqs", {"sqs_queue": f"{QUEUE}.fifo"}, "sqs_delay", "is not for FIFO queues"),
        ("sqs", {"sqs_message": "a\x00"}, "sqs_message", "U+0000 (at 1)"),
        ("sqs", {"sqs_group_id": "a b"}, "sqs_group_id", "has characters that SQS refuses"),
        ("sqs", {"aws_session_token": "t"}, "aws_session_token", "goes with temporary credentials"),
        ("sqs", {"aws_access_key_id": SECRET}, "aws_access_key_id", "is no access key id"),
        ("kinesis", {"aws_region": "mars-north-1"}, "aws_region", "is not a region of AWS"),
        (
            "sqs",
            {"lambda_function": "f"},
            "lambda_function",
            "belongs to delivery_type=lambda, and this is sqs",
        ),
        ("sqs", {"sns_topic": "t"}, "sns_topic", "belongs to delivery_type=sns"),
        ("lambda", {"lambda_function": "a/b"}, "lambda_function", "is not the name or the ARN of a function"),
        ("lambda", {"lambda_payload": "{"}, "lambda_payload", "is no JSON"),
        ("events", {"events_source": "aws.ec2"}, "events_source", "begins with aws."),
        ("events", {"events_detail": '{"cronally": 1}'}, "events_detail", "has the key cronally"),
        ("events", {"events_detail": "[]"}, "events_detail", "is no JSON object"),
        ("events", {"events_bus": "a b"}, "events_bus", "an event bus"),
        (
            "stepfunctions",
            {"stepfunctions_state_machine": "report"},
            "stepfunctions_state_machine",
            "the ARN of",
        ),
        ("kinesis", {"kinesis_stream": QUEUE}, "kinesis_stream", "the ARN of a stream"),
        ("ecs", {"ecs_subnets": ["subnet-xyz"]}, "ecs_subnets", "no id of a subnet"),
        ("ecs", {"ecs_subnets": None, "ecs_assign_public_ip": None}, "ecs_subnets", "FARGATE needs subnets"),
        ("aws", {"aws_service": "dynamo"}, "aws_service", "did you mean"),
        ("aws", {"aws_action": "put-item"}, "aws_action", "is no name of an operation"),
        ("aws", {"aws_action": "PutItm"}, "aws_action", "did you mean PutItem"),
        ("aws", {"aws_action": "GetItem"}, "aws_action", "only reads"),
        ("aws", {"aws_input": '{"TableName": "t"}'}, "aws_input", "lacks Item"),
        ("aws", {"aws_input": "[]"}, "aws_input", "is no JSON object"),
        (
            "aws",
            {"aws_service": "s3", "aws_action": "PutObject", "aws_input": "{}"},
            "aws_action",
            "a stream",
        ),
    ],
)
@pytest.mark.sample(4)
async def test_create__names_what_is_wrong(
    operations: Tenants, caller: Caller, target: str, changes: dict[str, Any], name: str, expected: str
) -> None:
    found = await _fields(operations.create_cronjob(caller.account_id, _sent(target, **changes)))
    assert found.keys() == {name}
    assert expected in found[name]


async def test_create__an_operation_that_reads_if_that_is_meant(operations: Tenants, caller: Caller) -> None:
    asked = {"aws_action": "Scan", "aws_input": '{"TableName": "runs"}', "aws_allow_read": True}
    made = await operations.create_cronjob(caller.account_id, _sent("aws", **asked))
    assert made["aws_allow_read"] is True


async def test_change__service_action_and_input_go_together(operations: Tenants, caller: Caller) -> None:
    made = await operations.create_cronjob(caller.account_id, _sent("aws"))
    alone = {"aws_input": "{}"}
    found = await _fields(operations.update_cronjob(caller.account_id, made["cronjob_id"], alone))
    assert found.keys() == {"aws_service", "aws_action"}
    assert "are checked together" in found["aws_action"]
    whole = {"aws_service": "sqs", "aws_action": "DeleteQueue", "aws_input": '{"QueueUrl": "q"}'}
    changed = await operations.update_cronjob(caller.account_id, made["cronjob_id"], whole)
    assert changed.items() >= whole.items()
    wrong = {**whole, "aws_input": "{}"}
    found = await _fields(operations.update_cronjob(caller.account_id, made["cronjob_id"], wrong))
    assert found == {"aws_input": "lacks QueueUrl at its top"}


async def test_fifo_queue__keeps_the_order(operations: Tenants, caller: Caller) -> None:
    sent = _sent("sqs", sqs_queue=f"{QUEUE}.fifo", sqs_delay=None)
    assert (await operations.create_cronjob(caller.account_id, sent))["ordered"] is True
    found = await _fields(operations.create_cronjob(caller.account_id, {**sent, "ordered": "false"}))
    assert found.keys() == {"ordered"}
