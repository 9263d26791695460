"""The least that a cron job's keys must be allowed to do: an IAM policy for its target.

Invariant: pure, from what an answer shows, or from the same parameters before there is a cron job. A policy names one
action and, where a parameter says it, one resource; what is not known is a star, and a note says so.

Sources: https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

Statement = dict[str, Any]

_PARTITIONS: Final = (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov"))
# Services whose permissions are called otherwise than they are in AWS's CLI.
_PREFIXES: Final[Mapping[str, str]] = {
    "amp": "aps",
    "apigatewayv2": "apigateway",
    "deploy": "codedeploy",
    "docdb": "rds",
    "dynamodbstreams": "dynamodb",
    "efs": "elasticfilesystem",
    "elb": "elasticloadbalancing",
    "elbv2": "elasticloadbalancing",
    "emr": "elasticmapreduce",
    "iot-data": "iot",
    "neptune": "rds",
    "opensearch": "es",
    "pinpoint": "mobiletargeting",
    "resourcegroupstaggingapi": "tag",
    "s3control": "s3",
    "sagemaker-runtime": "sagemaker",
    "sesv2": "ses",
    "stepfunctions": "states",
}
_ACTIONS: Final[Mapping[tuple[str, str], str]] = {
    ("lambda", "Invoke"): "lambda:InvokeFunction",
    ("s3", "DeleteObjects"): "s3:DeleteObject",
    ("sns", "PublishBatch"): "sns:Publish",
    ("sqs", "SendMessageBatch"): "sqs:SendMessage",
    ("sqs", "DeleteMessageBatch"): "sqs:DeleteMessage",
}
_ENCRYPTED: Final = (
    "where it is encrypted with a KMS key of your own, kms:GenerateDataKey and kms:Decrypt on"
    " that key are needed, too"
)


_PRINCIPAL: Final = re.compile(r"arn:aws[a-z-]*:(?:iam|sts)::[0-9]{12}:[^\s*]+")
_QUEUE_URL: Final = re.compile(r"https://sqs\.([a-z0-9-]+)\.[a-z0-9.-]+/([0-9]{12})/([^/\s]+)")


class Permissions(NamedTuple):
    """What keys need."""

    policy: dict[str, Any]
    """A policy of IAM, as its console and its CLI take it."""
    notes: list[str]
    """What to know of it, each without a full stop."""


def trust_of(principal: str, external_id: str) -> dict[str, Any]:
    """The trust policy of a role that is assumed for a connection, and for nothing else.

    Raises ValueError, with a sentence, for a principal that is none.
    """
    if not _PRINCIPAL.fullmatch(principal):
        raise ValueError(
            "The principal is no ARN of IAM; give one like arn:aws:iam::123456789012:user/cronally."
        )
    statement: Statement = {
        "Effect": "Allow",
        "Principal": {"AWS": principal},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": external_id}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def permissions_of(target: str, values: Mapping[str, Any]) -> Permissions:
    """The permissions that the keys of a cron job need.

    Raises ValueError, with a sentence, for a target that is not of AWS, and for parameters that are not there.

    :param values: the parameters of the target, by name
    """
    statements = _STATEMENTS.get(target)
    if statements is None:
        raise ValueError(f"A cron job with delivery_type {target} needs no permission of AWS.")
    try:
        made, notes = statements(values)
    except (KeyError, TypeError, AttributeError):
        raise ValueError(
            f"The parameters say too little of the target {target}; give what it calls, and the region."
        ) from None
    return Permissions({"Version": "2012-10-17", "Statement": made}, notes)


def _allow(action: str, resource: str, **more: Any) -> Statement:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def _arn(values: Mapping[str, Any], service: str, kind: str, name: str) -> str:
    """The ARN of what a name or an ARN means."""
    if name.startswith("arn:"):
        return _whole(service, name)
    region = values["aws_region"]
    partition = next((found for begins, found in _PARTITIONS if region.startswith(begins)), "aws")
    return f"arn:{partition}:{service}:{region}:*:{kind}{name}"


def _whole(service: str, arn: str) -> str:
    """An ARN, if it is one of a service. Raises ValueError."""
    if not re.fullmatch(rf"arn:aws[a-z-]*:{service}:[a-z0-9-]+:[0-9*]+:\S+", arn):
        raise ValueError(
            f"What is called is no ARN of {service}; one begins like arn:aws:{service}:us-east-1:123456789012:."
        )
    return arn


def _sns(values: Mapping[str, Any]) -> tuple[list[Statement], list[str]]:
    return [_allow("sns:Publish", _whole("sns", values["sns_topic"]))], [_ENCRYPTED]


def _sqs(values: Mapping[str, Any]) -> tuple[list[Statement], list[str]]:
    queue = values["sqs_queue"]
    if (url := _QUEUE_URL.fullmatch(queue)) is not None:
        region, account, name = url.groups()
        queue = _arn({"aws_region": region}, "sqs", "", name).replace(":*:", f":{account}:")
    return [_allow("sqs:SendMessage", _whole("sqs", queue))], [_ENCRYPTED]


def _lambda(values: Mapping[str, Any]) -> tuple[list[Statement], list[str]]:
    arn = _arn(values, "lambda", "function:", values["lambda_function"])
    return [_allow("lambda:InvokeFunction", arn)], _of_any_account(arn)


def _events(values: Mapping[str, Any]) -> tuple[list[Statement], list[str]]:
    arn = _arn(values, "events", "event-bus/", values.get("events_bus") or "default")
    return [_allow("events:PutEvents", arn)], _of_any_account(arn)


def _stepfunctions(values: Mapping[str, Any]) -> tuple[list[Statement], list[str]]:
    return [_allow("states:StartExecution", _whole("states", values["stepfunctions_state_machine"]))], []


def _kinesis(values: Mapping[str, Any]) -> tuple[list[Statement], list[str]]:
    arn = _arn(values, "kinesis", "stream/", values["kinesis_stream"])
    return [_allow("kinesis:PutRecord", arn)], [*_of_any_account(arn), _ENCRYPTED]


def _ecs(values: Mapping[str, Any]) -> tuple[list[Statement], list[str]]:
    definition = _arn(values, "ecs", "task-definition/", values["ecs_task_definition"])
    if ":" not in definition.rpartition("/")[2]:
        definition += ":*"  # the newest revision, whichever that is
    cluster = _arn(values, "ecs", "cluster/", values.get("ecs_cluster") or "default")
    run = _allow("ecs:RunTask", definition, Condition={"ArnLike": {"ecs:cluster": cluster}})
    condition = {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    roles = _allow("iam:PassRole", "*", Condition=condition)
    note = "put the ARNs of the task definition's roles in place of the * of iam:PassRole; without roles, leave it out"
    return [run, roles], [*_of_any_account(definition), note]


def _aws(values: Mapping[str, Any]) -> tuple[list[Statement], list[str]]:
    service, action = values["aws_service"], values["aws_action"]
    needed = _ACTIONS.get((service, action), f"{_PREFIXES.get(service, service)}:{action}")
    notes = [
        "put the ARN of what the operation works on in place of the *",
        "most permissions are called as the operation is, some are not: AWS's service authorization reference has all",
    ]
    return [_allow(needed, "*")], notes


def _of_any_account(arn: str) -> list[str]:
    return ["put your account's id in place of the * in the ARN"] if ":*:" in arn else []


_STATEMENTS: Final = {
    "sns": _sns,
    "sqs": _sqs,
    "lambda": _lambda,
    "events": _events,
    "stepfunctions": _stepfunctions,
    "kinesis": _kinesis,
    "ecs": _ecs,
    "aws": _aws,
}
