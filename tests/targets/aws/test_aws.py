"""The targets of AWS against moto's server with authentication on: keys, signatures and policies are checked."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from typing import Any

import pytest

from cronally.targets.target import Delivered, Refused, Target, Unauthorized
from tests.support.aws import REGION, Keys, LocalAws
from tests.targets.aws.conftest import destination
from tests.targets.conftest import CRONJOB_ID, make_message

FIRING = {
    "firing_id": make_message().firing_id,
    "cronjob_id": CRONJOB_ID,
    "cronjob_name": "nightly report",
    "scheduled_at": "2026-11-24T08:00:00Z",
    "attempt": 1,
}
ACCOUNT = "123456789012"


def _may(aws: LocalAws, *actions: str) -> Keys:
    return aws.make_user({"Effect": "Allow", "Action": [*actions], "Resource": "*"})


def _queue(aws: LocalAws, name: str) -> tuple[str, str]:
    """The URL and the ARN of a new queue."""
    attributes = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
    url = aws.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return url, f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


def _received(aws: LocalAws, url: str) -> Any:
    (message,) = aws.client("sqs").receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"], MessageAttributeNames=["All"]
    )["Messages"]
    return message


async def test_sqs__the_text_with_the_attributes_of_a_firing(
    targets: dict[str, Target], aws: LocalAws
) -> None:
    url, arn = _queue(aws, "standard")
    to = destination(
        "sqs", _may(aws, "sqs:SendMessage"), sqs_queue=arn, sqs_message="Grüße & 🚀", sqs_delay=0
    )
    outcome = await targets["sqs"].send(to, make_message())
    received = _received(aws, url)
    assert outcome == Delivered(received["MessageId"])
    assert received["Body"] == "Grüße & 🚀"
    attributes = {name: one["StringValue"] for name, one in received["MessageAttributes"].items()}
    assert attributes == {f"cronally-{name.replace('_', '-')}": str(value) for name, value in FIRING.items()}


async def test_sqs__a_fifo_queue_takes_a_firing_once(targets: dict[str, Target], aws: LocalAws) -> None:
    url, _ = _queue(aws, "ordered.fifo")
    shown = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/ordered.fifo"
    to = destination("sqs", _may(aws, "sqs:SendMessage"), sqs_queue=shown, sqs_message="once")
    for attempt in (1, 2):
        assert isinstance(await targets["sqs"].send(to, make_message(attempt=attempt)), Delivered)
    received = _received(aws, url)
    assert received["Attributes"]["MessageGroupId"] == CRONJOB_ID
    assert received["Attributes"]["MessageDeduplicationId"] == FIRING["firing_id"]


async def test_sqs__refusals(targets: dict[str, Target], aws: LocalAws) -> None:
    _, arn = _queue(aws, "refusing")
    keys = _may(aws, "sqs:SendMessage")
    gone = destination("sqs", keys, sqs_queue=f"{arn}-gone", sqs_message="x")
    outcome = await targets["sqs"].send(gone, make_message())
    assert isinstance(outcome, Refused)
    assert not outcome.final
    assert "NonExistentQueue" in outcome.detail or "QueueDoesNotExist" in outcome.detail
    wrong = destination("sqs", Keys(keys.access_key_id, "x" * 40), sqs_queue=arn, sqs_message="x")
    assert isinstance(await targets["sqs"].send(wrong, make_message()), Unauthorized)
    other = destination("sqs", _may(aws, "sqs:DeleteQueue"), sqs_queue=arn, sqs_message="x")
    assert isinstance(await targets["sqs"].send(other, make_message()), Unauthorized)


async def test_lambda__invokes_and_does_not_wait(targets: dict[str, Target], aws: LocalAws) -> None:
    aws.without_docker()
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("handler.py", "def handle(event, context): return event")
    aws.client("lambda").create_function(
        FunctionName="report",
        Runtime="python3.12",
        Role=aws.make_role("lambda.amazonaws.com"),
        Handler="handler.handle",
        Code={"ZipFile": packed.getvalue()},
    )
    keys = _may(aws, "lambda:InvokeFunction", "lambda:Invoke")  # the first is AWS's, the second moto's
    for payload in ({}, {"lambda_payload": '{"city": "Berlin"}'}):
        to = destination("lambda", keys, lambda_function="report", **payload)
        assert isinstance(await targets["lambda"].send(to, make_message()), Delivered)


async def test_events__reach_a_queue_by_a_rule(targets: dict[str, Target], aws: LocalAws) -> None:
    url, arn = _queue(aws, "of-events")
    events = aws.client("events")
    events.create_event_bus(Name="orders")
    events.put_rule(Name="all", EventBusName="orders", EventPattern='{"source": ["com.example"]}')
    events.put_targets(Rule="all", EventBusName="orders", Targets=[{"Id": "1", "Arn": arn}])
    to = destination(
        "events",
        _may(aws, "events:PutEvents"),
        events_bus="orders",
        events_source="com.example",
        events_detail_type="Report due",
        events_detail='{"city": "Köln"}',
    )
    assert isinstance(await targets["events"].send(to, make_message()), Delivered)
    event = json.loads(_received(aws, url)["Body"])
    assert event["detail"] == {"city": "Köln", "cronally": FIRING}
    assert (event["source"], event["detail-type"]) == ("com.example", "Report due")
    assert event["time"].startswith("2026-11-24T08:00:00")


async def test_stepfunctions__one_execution_of_a_firing(targets: dict[str, Target], aws: LocalAws) -> None:
    machines = aws.client("stepfunctions")
    definition = '{"StartAt": "a", "States": {"a": {"Type": "Pass", "End": true}}}'
    role = aws.make_role("states.amazonaws.com")
    arn = machines.create_state_machine(name="report", definition=definition, roleArn=role)["stateMachineArn"]
    to = destination("stepfunctions", _may(aws, "states:StartExecution"), stepfunctions_state_machine=arn)
    for attempt in (1, 2):
        outcome = await targets["stepfunctions"].send(to, make_message(attempt=attempt))
        assert isinstance(outcome, Delivered), outcome
    (execution,) = machines.list_executions(stateMachineArn=arn)["executions"]
    assert execution["name"] == FIRING["firing_id"]
    found = machines.describe_execution(executionArn=execution["executionArn"])
    assert json.loads(found["input"]) == FIRING


async def test_kinesis__a_record(targets: dict[str, Target], aws: LocalAws) -> None:
    kinesis = aws.client("kinesis")
    kinesis.create_stream(StreamName="clicks", ShardCount=1)
    keys = _may(aws, "kinesis:PutRecord")
    arn = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/clicks"
    for more in ({"kinesis_stream": "clicks"}, {"kinesis_stream": arn, "kinesis_data": "é"}):
        outcome = await targets["kinesis"].send(destination("kinesis", keys, **more), make_message())
        assert isinstance(outcome, Delivered), outcome
    shard = kinesis.list_shards(StreamName="clicks")["Shards"][0]["ShardId"]
    begin = kinesis.get_shard_iterator(StreamName="clicks", ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    records = kinesis.get_records(ShardIterator=begin["ShardIterator"])["Records"]
    assert json.loads(records[0]["Data"]) == FIRING
    assert records[1]["Data"] == "é".encode()
    assert {record["PartitionKey"] for record in records} == {CRONJOB_ID}


async def test_ecs__a_task(targets: dict[str, Target], aws: LocalAws) -> None:
    ecs, ec2 = aws.client("ecs"), aws.client("ec2")
    ecs.create_cluster(clusterName="jobs")
    ecs.register_task_definition(
        family="report",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        containerDefinitions=[{"name": "a", "image": "busybox", "memory": 128}],
    )
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    to = destination(
        "ecs",
        _may(aws, "ecs:RunTask"),
        ecs_cluster="jobs",
        ecs_task_definition="report",
        ecs_launch_type="FARGATE",
        ecs_subnets=[subnet],
    )
    outcome = await targets["ecs"].send(to, make_message())
    assert isinstance(outcome, Delivered), outcome
    (task,) = ecs.list_tasks(cluster="jobs")["taskArns"]
    assert ecs.describe_tasks(cluster="jobs", tasks=[task])["tasks"][0]["startedBy"] == FIRING["firing_id"]


@pytest.mark.parametrize(
    ("service", "action", "given", "permission"),
    [
        ("dynamodb", "CreateTable", None, "dynamodb:CreateTable"),
        ("iam", "CreateGroup", {"GroupName": "made"}, "iam:CreateGroup"),
        ("s3", "CreateBucket", {"Bucket": "made-by-a-firing"}, "s3:CreateBucket"),
        ("cloudwatch", "PutMetricData", None, "monitoring:PutMetricData"),  # as moto calls it
        ("ec2", "CreateKeyPair", {"KeyName": "made"}, "ec2:CreateKeyPair"),
        (
            "route53",
            "CreateHostedZone",
            {"Name": "example.org", "CallerReference": "x"},
            "route53:CreateHostedZone",
        ),
        ("lambda", "TagResource", None, "lambda:TagResource"),
    ],
)
async def test_aws__an_operation_of_each_protocol(
    targets: dict[str, Target],
    aws: LocalAws,
    service: str,
    action: str,
    given: dict[str, Any] | None,
    permission: str,
) -> None:
    values: Any = given
    if service == "dynamodb":
        values = {
            "TableName": "runs",
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [{"AttributeName": "day", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "day", "AttributeType": "S"}],
        }
    if service == "cloudwatch":
        values = {"Namespace": "n", "MetricData": [{"MetricName": "m", "Value": 1.5}]}
    if service == "lambda":
        values = {"Resource": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:gone", "Tags": {"a": "b"}}
    text = json.dumps(values)
    called = {"aws_service": service, "aws_action": action, "aws_input": text}
    to = destination("aws", _may(aws, permission), **called)
    outcome = await targets["aws"].send(to, make_message())
    if service == "lambda":
        assert isinstance(outcome, Refused), outcome
        assert not outcome.final
    else:
        assert isinstance(outcome, Delivered), outcome
    denied = destination("aws", _may(aws, "sqs:SendMessage"), **called)
    assert isinstance(await targets["aws"].send(denied, make_message()), Unauthorized)
    wrong = destination("aws", Keys(to.public["aws_access_key_id"], "x" * 40), **called)
    outcome = await targets["aws"].send(wrong, make_message())
    assert isinstance(outcome, Unauthorized), outcome
