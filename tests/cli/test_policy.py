"""`cronally policy`, and how targets of AWS are chosen by their options; offline."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from cronally.cli import aws_cells, inputs
from cronally.cli.failure import WrongUsage
from cronally.contract.attribute import declared
from cronally.contract.cronjob_requests import NewCronjob
from cronally.variables import of_secret
from tests.cli.conftest import Run
from tests.cli.test_tables import cronjobs

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:orders"
KEYS = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "secret"}


def _given(**values: Any) -> dict[str, Any]:
    return {**dict.fromkeys(declared(NewCronjob)), **values}


def test_policy__stdout_is_the_policy_and_stderr_has_the_notes(run: Run) -> None:
    result = run("policy", "--sqs-queue", QUEUE)
    statement = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": QUEUE}
    assert json.loads(result.stdout) == {"Version": "2012-10-17", "Statement": [statement]}
    assert result.stderr.startswith("note: where it is encrypted")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), "give a cron job, or options such as --sqs-queue"),
        (("name", "--sqs-queue", QUEUE), "not both"),
        (("--lambda-function", "f"), "too little of the target lambda"),
        (("--sqs-queue", "orders"), "no ARN of sqs; one begins like arn:aws:sqs:us-east-1:123456789012:"),
        (("--sqs-queue", "https://sqs.us-east-1.amazonaws.com/orders"), "no ARN of sqs"),
        (("--sns-topic", QUEUE), "no ARN of sns"),
        (("--lambda-function", QUEUE), "no ARN of lambda"),
        (("--delivery-type", "http"), "needs no permission of AWS"),
    ],
)
def test_policy__says_what_is_missing(run: Run, options: tuple[str, ...], expected: str) -> None:
    status = 2 if not options or "name" in options else 1
    assert expected in run("policy", *options, status=status).stderr


def test_new__target_and_region_come_from_what_is_called() -> None:
    made = inputs.complete_new(_given(sqs_queue=QUEUE, sqs_message="x", **KEYS))
    assert (made["delivery_type"], made["aws_region"]) == ("sqs", "eu-west-1")
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/orders"
    assert inputs.complete_new(_given(sqs_queue=url, sqs_message="x", **KEYS))["aws_region"] == "us-east-1"
    arn = "arn:aws:lambda:eu-west-2:123456789012:function:f:live"
    made = inputs.complete_new(_given(lambda_function=arn, **KEYS))
    assert (made["delivery_type"], made["aws_region"]) == ("lambda", "eu-west-2")
    assert inputs.region_of("https://elsewhere.example/q") is None


def test_new__what_is_missing_and_what_is_another_targets() -> None:
    with pytest.raises(WrongUsage, match="--aws-region: it is needed for --delivery-type lambda"):
        inputs.complete_new(_given(lambda_function="f", **KEYS))
    with pytest.raises(WrongUsage, match="--sqs-queue: it is for --delivery-type sqs, not lambda"):
        inputs.complete_new(_given(delivery_type="lambda", lambda_function="f", sqs_queue=QUEUE, **KEYS))
    with pytest.raises(WrongUsage, match="Missing option --sqs-message"):
        inputs.complete_new(_given(sqs_queue=QUEUE, **KEYS))


def test_new__a_session_token_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(of_secret("aws_session_token"), "token")
    made = inputs.complete_new(_given(sqs_queue=QUEUE, sqs_message="x", **KEYS))
    assert made["aws_session_token"] == "token"
    changed = inputs.complete_change(_given(aws_secret_access_key="another"))
    assert changed["aws_session_token"] is None


def test_cells__show_every_parameter() -> None:
    (cronjob, *_) = cronjobs()
    assert aws_cells.aws_rows(cronjob) == []
    subnets = ("subnet-1", "subnet-2")
    task = replace(
        cronjob,
        delivery_type="ecs",
        sns_topic=None,
        ecs_task_definition="arn:aws:ecs:eu-west-1:1:task-definition/report:3",
        ecs_subnets=subnets,
        aws_region="eu-west-1",
    )
    rows = dict(aws_cells.aws_rows(task))
    assert rows["AWS region"] == "eu-west-1"
    assert all(subnet in str(rows["ECS subnets"]) for subnet in subnets)
    call = replace(task, delivery_type="aws", aws_service="dynamodb", aws_action="PutItem")
    assert str(aws_cells.aws_target(call)).split() == ["aws", "dynamodb", "PutItem"]
