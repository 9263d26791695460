"""The parameters of the targets of AWS other than SNS, beside the region and the keys that all of them have.

Invariant: as in `targets`. What an answer shows of them stands beside them, in the order of the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypedDict

from cronally.contract.attribute import Attribute
from cronally.contract.aws_access import AwsAccess, AwsAccessKeyId, AwsRegion
from cronally.contract.writing import Answer

MAX_AWS_TEXT: Final = 262_144
"""Bytes of an input, a message, a payload: what EventBridge Scheduler takes, and a request of ours costs little."""
MAX_DELAY: Final = 900
"""Seconds: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html."""


def _text(
    description: str,
    expected: str,
    example: str | None = None,
    *,
    most: int = 256,
    optional: bool = False,
    together: bool = False,
) -> Attribute:
    return Attribute(
        description,
        expected,
        example=example,
        min_length=1,
        max_length=most,
        optional=optional,
        together=together,
        absent=True,
    )


def _long(description: str, expected: str, example: str | None = None, *, optional: bool = True) -> Attribute:
    return Attribute(
        f"{description}, up to {MAX_AWS_TEXT:,} bytes in UTF-8",
        expected,
        example=example,
        min_length=1,
        max_bytes=MAX_AWS_TEXT,
        file=True,
        template=True,
        optional=optional,
        absent=True,
    )


def _ids(description: str, expected: str, example: str, *, most: int) -> Attribute:
    return Attribute(description, expected, example=(example,), max_length=most, optional=True, absent=True)


def _flag(description: str) -> Attribute:
    return Attribute(description, "true or false", default=False, optional=True, absent=True)


_A_FIRING: Final = "by default an object with the firing's id, its fire time and the like"

AwsService = Annotated[
    str,
    _text(
        "The service, as AWS's CLI calls it",
        "a service as AWS's CLI calls it, such as dynamodb",
        "dynamodb",
        most=64,
        together=True,
    ),
]
AwsAction = Annotated[
    str,
    _text(
        "The operation, as AWS's API calls it",
        "an operation as AWS's API calls it, such as PutItem",
        "PutItem",
        most=128,
        together=True,
    ),
]
AwsInput = Annotated[
    str,
    Attribute(
        f"The operation's input as AWS's API writes it, a JSON object of up to {MAX_AWS_TEXT:,} bytes in UTF-8; a blob"
        " is a text",
        "the operation's input, a JSON object; {} for none",
        example='{"TableName": "runs", "Item": {"day": {"S": "monday"}}}',
        min_length=1,
        max_bytes=MAX_AWS_TEXT,
        file=True,
        template=True,
        together=True,
        absent=True,
    ),
]
AwsAllowRead = Annotated[
    bool, _flag("Whether an operation that only reads is meant; nobody gets what it reads")
]
SqsQueue = Annotated[
    str,
    _text(
        "The queue's ARN or URL",
        "the queue's ARN or URL",
        "arn:aws:sqs:eu-west-1:123456789012:my-queue",
        most=512,
    ),
]
SqsMessage = Annotated[str, _long("What is sent", "the text to send", "good morning", optional=False)]
SqsGroupId = Annotated[
    str,
    _text(
        "The message group; on a FIFO queue the cron job's id by default",
        "a message group id of letters, digits and punctuation",
        most=128,
        optional=True,
    ),
]
SqsDelay = Annotated[
    int,
    Attribute(
        "Seconds for which the queue holds the message back; not on a FIFO queue",
        "a number of seconds",
        minimum=0,
        maximum=MAX_DELAY,
        optional=True,
        absent=True,
    ),
]
LambdaFunction = Annotated[
    str,
    _text(
        "The function's name or ARN, with a version or an alias if need be",
        "the function's name or ARN",
        "nightly-report",
    ),
]
LambdaPayload = Annotated[
    str, _long(f"What the function gets: any JSON; {_A_FIRING}", "any JSON", '{"city": "Berlin"}')
]
EventsBus = Annotated[
    str,
    _text(
        "The event bus, by name or ARN; default by default", "a bus's name or ARN", "orders", optional=True
    ),
]
EventsSource = Annotated[
    str, _text("Who the event is from", "a source such as com.example.reports", "com.example.reports")
]
EventsDetailType = Annotated[
    str, _text("What kind of event it is", "a detail type such as Report due", "Report due", most=128)
]
EventsDetail = Annotated[
    str,
    _long(
        "The event's detail, a JSON object; what the firing is, is added to it as cronally",
        "a JSON object",
        '{"city": "Berlin"}',
    ),
]
StepfunctionsStateMachine = Annotated[
    str,
    _text(
        "The state machine's ARN, or that of a version or an alias",
        "the state machine's ARN",
        "arn:aws:states:eu-west-1:123456789012:stateMachine:report",
        most=512,
    ),
]
StepfunctionsInput = Annotated[
    str, _long(f"The execution's input: any JSON; {_A_FIRING}", "any JSON", '{"city": "Berlin"}')
]
KinesisStream = Annotated[
    str, _text("The stream's name or ARN", "the stream's name or ARN", "clicks", most=512)
]
KinesisData = Annotated[str, _long(f"The record's data; {_A_FIRING}", "a text", "good morning")]
KinesisPartitionKey = Annotated[
    str, _text("The partition key; by default the cron job's id", "a partition key", optional=True)
]
EcsCluster = Annotated[
    str,
    _text("The cluster's name or ARN; default by default", "a cluster's name or ARN", "jobs", optional=True),
]
EcsTaskDefinition = Annotated[
    str,
    _text(
        "The task definition: its family, with :revision if need be, or its ARN",
        "a task definition's family or ARN",
        "report:3",
        most=512,
    ),
]
EcsLaunchType = Annotated[
    Literal["EC2", "FARGATE", "EXTERNAL"],
    Attribute(
        "Where the task runs; by default as the cluster says",
        "one of EC2, FARGATE, EXTERNAL",
        optional=True,
        absent=True,
    ),
]
_Subnet = Annotated[str, Attribute("", "the id of a subnet", max_length=64)]
EcsSubnets = Annotated[
    list[_Subnet] | tuple[_Subnet, ...],
    _ids(
        "The subnets that the task may run in, which FARGATE needs",
        "ids of subnets",
        "subnet-0123456789abcdef0",
        most=16,
    ),
]
_SecurityGroup = Annotated[str, Attribute("", "the id of a security group", max_length=64)]
EcsSecurityGroups = Annotated[
    list[_SecurityGroup] | tuple[_SecurityGroup, ...],
    _ids(
        "The task's security groups; by default that of the VPC",
        "ids of security groups",
        "sg-0123456789abcdef0",
        most=5,
    ),
]
EcsAssignPublicIp = Annotated[bool, _flag("Whether the task gets a public address")]


class _Call(TypedDict, total=False):
    aws_service: AwsService
    aws_action: AwsAction
    aws_input: AwsInput
    aws_allow_read: AwsAllowRead


class _Sqs(TypedDict, total=False):
    sqs_queue: SqsQueue
    sqs_message: SqsMessage
    sqs_group_id: SqsGroupId
    sqs_delay: SqsDelay


class _Lambda(TypedDict, total=False):
    lambda_function: LambdaFunction
    lambda_payload: LambdaPayload


class _Events(TypedDict, total=False):
    events_bus: EventsBus
    events_source: EventsSource
    events_detail_type: EventsDetailType
    events_detail: EventsDetail


class _Stepfunctions(TypedDict, total=False):
    stepfunctions_state_machine: StepfunctionsStateMachine
    stepfunctions_input: StepfunctionsInput


class _Kinesis(TypedDict, total=False):
    kinesis_stream: KinesisStream
    kinesis_data: KinesisData
    kinesis_partition_key: KinesisPartitionKey


class _Ecs(TypedDict, total=False):
    ecs_cluster: EcsCluster
    ecs_task_definition: EcsTaskDefinition
    ecs_launch_type: EcsLaunchType
    ecs_subnets: EcsSubnets
    ecs_security_groups: EcsSecurityGroups
    ecs_assign_public_ip: EcsAssignPublicIp


class AwsCallParameters(_Call, AwsAccess):
    """The parameters of `aws`: any operation of AWS."""


class SqsParameters(_Sqs, AwsAccess):
    """The parameters of `sqs`: a message to a queue."""


class LambdaParameters(_Lambda, AwsAccess):
    """The parameters of `lambda`: an asynchronous call of a function."""


class EventsParameters(_Events, AwsAccess):
    """The parameters of `events`: an event to EventBridge."""


class StepfunctionsParameters(_Stepfunctions, AwsAccess):
    """The parameters of `stepfunctions`: an execution of a state machine."""


class KinesisParameters(_Kinesis, AwsAccess):
    """The parameters of `kinesis`: a record to a stream."""


class EcsParameters(_Ecs, AwsAccess):
    """The parameters of `ecs`: a task that is run."""


class AwsParameters(_Call, _Sqs, _Lambda, _Events, _Stepfunctions, _Kinesis, _Ecs, AwsAccess):
    """The parameters of all of them."""


@dataclass(frozen=True, kw_only=True)
class ShownAws(Answer):
    """What an answer shows of them."""

    aws_region: AwsRegion | None = None
    aws_access_key_id: AwsAccessKeyId | None = None
    aws_service: AwsService | None = None
    aws_action: AwsAction | None = None
    aws_input: AwsInput | None = None
    aws_allow_read: AwsAllowRead | None = None
    sqs_queue: SqsQueue | None = None
    sqs_message: SqsMessage | None = None
    sqs_group_id: SqsGroupId | None = None
    sqs_delay: SqsDelay | None = None
    lambda_function: LambdaFunction | None = None
    lambda_payload: LambdaPayload | None = None
    events_bus: EventsBus | None = None
    events_source: EventsSource | None = None
    events_detail_type: EventsDetailType | None = None
    events_detail: EventsDetail | None = None
    stepfunctions_state_machine: StepfunctionsStateMachine | None = None
    stepfunctions_input: StepfunctionsInput | None = None
    kinesis_stream: KinesisStream | None = None
    kinesis_data: KinesisData | None = None
    kinesis_partition_key: KinesisPartitionKey | None = None
    ecs_cluster: EcsCluster | None = None
    ecs_task_definition: EcsTaskDefinition | None = None
    ecs_launch_type: EcsLaunchType | None = None
    ecs_subnets: EcsSubnets | None = None
    ecs_security_groups: EcsSecurityGroups | None = None
    ecs_assign_public_ip: EcsAssignPublicIp | None = None


AwsTargets = Literal["sqs", "lambda", "events", "stepfunctions", "kinesis", "ecs", "aws"]
AWS_TARGETS: Final = {
    "sqs": SqsParameters,
    "lambda": LambdaParameters,
    "events": EventsParameters,
    "stepfunctions": StepfunctionsParameters,
    "kinesis": KinesisParameters,
    "ecs": EcsParameters,
    "aws": AwsCallParameters,
}
NAMING: Final = {
    "sqs": ("sqs_queue",),
    "lambda": ("lambda_function",),
    "events": ("events_bus", "events_source", "events_detail_type"),
    "stepfunctions": ("stepfunctions_state_machine",),
    "kinesis": ("kinesis_stream",),
    "ecs": ("ecs_cluster", "ecs_task_definition"),
    "aws": ("aws_service", "aws_action"),
}
"""The parameters of each that say what it calls, for people."""
