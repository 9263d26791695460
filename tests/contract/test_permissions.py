"""The least that keys must be allowed to do, for each target."""

from __future__ import annotations

import re
from typing import Any

import pytest

from cronally.contract.aws import AWS_TARGETS
from cronally.contract.permissions import permissions_of

REGION = {"aws_region": "eu-west-1"}
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:q.fifo"
MACHINE = "arn:aws:states:eu-west-1:123456789012:stateMachine:m:live"


@pytest.mark.parametrize(
    ("target", "values", "action", "resource"),
    [
        ("sns", {"sns_topic": "arn:aws:sns:eu-west-1:1:t"}, "sns:Publish", "arn:aws:sns:eu-west-1:1:t"),
        ("sqs", {"sqs_queue": QUEUE}, "sqs:SendMessage", QUEUE),
        (
            "sqs",
            {"sqs_queue": "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q"},
            "sqs:SendMessage",
            "arn:aws-cn:sqs:cn-north-1:123456789012:q",
        ),
        (
            "lambda",
            {"lambda_function": "f:live"},
            "lambda:InvokeFunction",
            "arn:aws:lambda:eu-west-1:*:function:f:live",
        ),
        ("events", {}, "events:PutEvents", "arn:aws:events:eu-west-1:*:event-bus/default"),
        ("stepfunctions", {"stepfunctions_state_machine": MACHINE}, "states:StartExecution", MACHINE),
        (
            "kinesis",
            {"kinesis_stream": "s", "aws_region": "us-gov-west-1"},
            "kinesis:PutRecord",
            "arn:aws-us-gov:kinesis:us-gov-west-1:*:stream/s",
        ),
        (
            "ecs",
            {"ecs_task_definition": "t", "ecs_cluster": "c"},
            "ecs:RunTask",
            "arn:aws:ecs:eu-west-1:*:task-definition/t:*",
        ),
        (
            "ecs",
            {"ecs_task_definition": "t:3"},
            "ecs:RunTask",
            "arn:aws:ecs:eu-west-1:*:task-definition/t:3",
        ),
        ("aws", {"aws_service": "dynamodb", "aws_action": "PutItem"}, "dynamodb:PutItem", "*"),
        ("aws", {"aws_service": "lambda", "aws_action": "Invoke"}, "lambda:InvokeFunction", "*"),
        (
            "aws",
            {"aws_service": "elbv2", "aws_action": "CreateRule"},
            "elasticloadbalancing:CreateRule",
            "*",
        ),
    ],
)
def test_permissions__one_action_on_what_is_called(
    target: str, values: dict[str, Any], action: str, resource: str
) -> None:
    found = permissions_of(target, {**REGION, **values})
    first, *rest = found.policy["Statement"]
    assert (first["Effect"], first["Action"], first["Resource"]) == ("Allow", action, resource)
    assert [each["Action"] for each in rest] == (["iam:PassRole"] if target == "ecs" else [])
    stars = any(":*:" in each["Resource"] or each["Resource"] == "*" for each in found.policy["Statement"])
    assert any("in place of the *" in note for note in found.notes) == stars


def test_permissions__of_a_url_and_of_too_little() -> None:
    with pytest.raises(ValueError, match="needs no permission of AWS"):
        permissions_of("http", {"delivery_http_url": "https://example.com"})
    for target in AWS_TARGETS:
        with pytest.raises(ValueError, match=re.escape(f"too little of the target {target}")):
            permissions_of(target, {})
