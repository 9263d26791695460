"""The targets of AWS that have parameters of their own: each says what it calls, and nothing else.

Invariant: what a firing makes it makes once where its service can tell: the id of the firing is the deduplication id,
the execution's name, the task's client token. What else travels with it, docs/guides/aws.md has in a table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from cronally import instants
from cronally.targets.aws import arns
from cronally.targets.aws.operation import InputError, read_input
from cronally.targets.aws.target import Call, OfAws
from cronally.targets.sns.forms import attribute_text
from cronally.targets.sns.parameters import INVALID_CHARACTERS
from cronally.targets.target import Message

FIFO: Final = ".fifo"
DETAIL_KEY: Final = "cronally"
"""The key of an event's detail that says which firing it is."""
_FIFO_ID: Final = re.compile(r"[!-~]{1,128}", re.ASCII)
_SUBNET: Final = re.compile(r"subnet-[0-9a-f]{8,17}")
_GROUP: Final = re.compile(r"sg-[0-9a-f]{8,17}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def firing(message: Message) -> dict[str, Any]:
    """What a firing is, as `http` has it in its body."""
    said = {
        "firing_id": message.firing_id,
        "cronjob_id": message.cronjob_id,
        "cronjob_name": message.cronjob_name,
        "scheduled_at": instants.format_iso(message.scheduled_at),
        "attempt": message.attempt,
    }
    return said if message.ack_url is None else {**said, "ack_url": message.ack_url}


def _check_json(parameters: Mapping[str, Any], name: str) -> dict[str, str]:
    try:
        json.loads(parameters.get(name, "{}"))
    except (ValueError, RecursionError):
        return {name: "is no JSON; give any JSON, a text in quotes"}
    return {}


def _check_text(parameters: Mapping[str, Any], name: str, what: str) -> dict[str, str]:
    if _CONTROL.search(parameters.get(name, "")):
        return {name: f"holds a control character, which {what} refuses; remove it"}
    return {}


class SqsTarget(OfAws):
    """Sends a message to a queue."""

    name = "sqs"
    host_prefix = "sqs."

    def check_own(self, parameters: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with queue, text, group and delay."""
        found = arns.check_queue(parameters, "sqs_queue")
        invalid = INVALID_CHARACTERS.search(parameters.get("sqs_message", ""))
        if invalid:
            character = f"U+{ord(invalid[0]):04X}"
            found["sqs_message"] = (
                f"holds the character {character} (at {invalid.start()}), which SQS refuses; remove it"
            )
        if not _FIFO_ID.fullmatch(parameters.get("sqs_group_id", "!")):
            found["sqs_group_id"] = (
                "has characters that SQS refuses; give letters, digits and punctuation of ASCII"
            )
        if parameters.get("sqs_delay") is not None and parameters.get("sqs_queue", "").endswith(FIFO):
            found["sqs_delay"] = "is not for FIFO queues, which have a delay of their own; leave it out"
        return found

    def call(self, public: Mapping[str, Any], message: Message) -> Call:
        """SendMessage, with the attributes that a firing has with SNS too."""
        queue = arns.parse_queue(public["sqs_queue"])
        values: dict[str, Any] = {
            "QueueUrl": queue.url,
            "MessageBody": public["sqs_message"],
            "MessageAttributes": {
                f"cronally-{name.replace('_', '-')}": {
                    "DataType": "Number" if name == "attempt" else "String",
                    "StringValue": attribute_text(str(value)),
                }
                for name, value in firing(message).items()
            },
        }
        group = public.get("sqs_group_id")
        if queue.name.endswith(FIFO):
            values["MessageGroupId"] = group or message.cronjob_id
            values["MessageDeduplicationId"] = message.firing_id
        elif group is not None:
            values["MessageGroupId"] = group
        if public.get("sqs_delay") is not None:
            values["DelaySeconds"] = public["sqs_delay"]
        return Call("sqs", "SendMessage", values)

    def receiver_of(self, public: Mapping[str, Any]) -> str:
        """The queue."""
        return str(public["sqs_queue"])


class LambdaTarget(OfAws):
    """Invokes a function, which runs by itself."""

    name = "lambda"
    host_prefix = "lambda."

    def check_own(self, parameters: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with function and payload."""
        return {
            **arns.check_named(parameters, "lambda_function", arns.FUNCTION),
            **_check_json(parameters, "lambda_payload"),
        }

    def call(self, public: Mapping[str, Any], message: Message) -> Call:
        """Invoke, not waiting for the function."""
        payload = public.get("lambda_payload") or json.dumps(firing(message))
        values = {
            "FunctionName": public["lambda_function"],
            "InvocationType": "Event",
            "Payload": payload,
        }
        return Call("lambda", "Invoke", values)

    def receiver_of(self, public: Mapping[str, Any]) -> str:
        """The function."""
        return f"{public['aws_region']}:{public['lambda_function']}"


class EventsTarget(OfAws):
    """Puts an event on a bus of EventBridge."""

    name = "events"
    host_prefix = "events."

    def check_own(self, parameters: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with bus, source, detail type and detail."""
        found = arns.check_named(parameters, "events_bus", arns.BUS)
        found |= _check_text(parameters, "events_source", "EventBridge")
        found |= _check_text(parameters, "events_detail_type", "EventBridge")
        if parameters.get("events_source", "").lower().startswith("aws."):
            found["events_source"] = "begins with aws., which is for AWS alone; give another source"
        try:
            if DETAIL_KEY in read_input(parameters.get("events_detail", "{}")):
                found["events_detail"] = (
                    f"has the key {DETAIL_KEY}, which says which firing it is; take another name"
                )
        except InputError as error:
            found["events_detail"] = str(error)
        return found

    def call(self, public: Mapping[str, Any], message: Message) -> Call:
        """PutEvents with one event, whose time is the fire time."""
        detail = {**read_input(public.get("events_detail", "{}")), DETAIL_KEY: firing(message)}
        entry = {
            "Source": public["events_source"],
            "DetailType": public["events_detail_type"],
            "Detail": json.dumps(detail, ensure_ascii=False),
            "EventBusName": public.get("events_bus", "default"),
            "Time": instants.format_iso(message.scheduled_at),
        }
        return Call("events", "PutEvents", {"Entries": [entry]})

    def receiver_of(self, public: Mapping[str, Any]) -> str:
        """The bus."""
        return f"{public['aws_region']}:{public.get('events_bus', 'default')}"


class StepfunctionsTarget(OfAws):
    """Starts an execution of a state machine, whose name is the firing's id."""

    name = "stepfunctions"
    host_prefix = "states."
    made = frozenset({"ExecutionAlreadyExists"})

    def check_own(self, parameters: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with state machine and input."""
        return {
            **arns.check_named(parameters, "stepfunctions_state_machine", arns.STATE_MACHINE),
            **_check_json(parameters, "stepfunctions_input"),
        }

    def call(self, public: Mapping[str, Any], message: Message) -> Call:
        """StartExecution."""
        values = {
            "stateMachineArn": public["stepfunctions_state_machine"],
            "name": message.firing_id,
            "input": public.get("stepfunctions_input") or json.dumps(firing(message)),
        }
        return Call("stepfunctions", "StartExecution", values)

    def receiver_of(self, public: Mapping[str, Any]) -> str:
        """The state machine."""
        return str(public["stepfunctions_state_machine"])


class KinesisTarget(OfAws):
    """Puts a record into a stream."""

    name = "kinesis"
    host_prefix = "kinesis."

    def check_own(self, parameters: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with stream, data and key."""
        return {
            **arns.check_named(parameters, "kinesis_stream", arns.STREAM),
            **_check_text(parameters, "kinesis_partition_key", "Kinesis"),
        }

    def call(self, public: Mapping[str, Any], message: Message) -> Call:
        """PutRecord."""
        stream = public["kinesis_stream"]
        values = {
            "StreamARN" if stream.startswith("arn:") else "StreamName": stream,
            "Data": public.get("kinesis_data") or json.dumps(firing(message)),
            "PartitionKey": public.get("kinesis_partition_key") or message.cronjob_id,
        }
        return Call("kinesis", "PutRecord", values)

    def receiver_of(self, public: Mapping[str, Any]) -> str:
        """The stream."""
        return f"{public['aws_region']}:{public['kinesis_stream']}"


class EcsTarget(OfAws):
    """Runs a task, once for a firing: its id is the client token, and who started the task."""

    name = "ecs"
    host_prefix = "ecs."

    def check_own(self, parameters: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with cluster, task definition and network."""
        found = arns.check_named(parameters, "ecs_cluster", arns.CLUSTER)
        found |= arns.check_named(parameters, "ecs_task_definition", arns.TASK_DEFINITION)
        subnets, groups = parameters.get("ecs_subnets"), parameters.get("ecs_security_groups")
        if not all(_SUBNET.fullmatch(each) for each in subnets or ()):
            found["ecs_subnets"] = "has what is no id of a subnet; give some like subnet-0123456789abcdef0"
        if not all(_GROUP.fullmatch(each) for each in groups or ()):
            found["ecs_security_groups"] = (
                "has what is no id of a security group; give some like sg-0123456789abcdef0"
            )
        if not subnets:
            if groups:
                found["ecs_security_groups"] = "is for tasks with subnets; give ecs_subnets too"
            if parameters.get("ecs_assign_public_ip"):
                found["ecs_assign_public_ip"] = "is for tasks with subnets; give ecs_subnets too"
            if parameters.get("ecs_launch_type") == "FARGATE":
                found.setdefault("ecs_subnets", "is missing: FARGATE needs subnets; give some")
        return found

    def call(self, public: Mapping[str, Any], message: Message) -> Call:
        """RunTask."""
        values: dict[str, Any] = {
            "taskDefinition": public["ecs_task_definition"],
            "count": 1,
            "clientToken": message.firing_id,
            "startedBy": message.firing_id,
        }
        if "ecs_cluster" in public:
            values["cluster"] = public["ecs_cluster"]
        if "ecs_launch_type" in public:
            values["launchType"] = public["ecs_launch_type"]
        if public.get("ecs_subnets"):
            values["networkConfiguration"] = {
                "awsvpcConfiguration": {
                    "subnets": [*public["ecs_subnets"]],
                    "securityGroups": [*public.get("ecs_security_groups", ())],
                    "assignPublicIp": "ENABLED" if public.get("ecs_assign_public_ip") else "DISABLED",
                }
            }
        return Call("ecs", "RunTask", values)

    def receiver_of(self, public: Mapping[str, Any]) -> str:
        """The cluster."""
        return f"{public['aws_region']}:{public.get('ecs_cluster', 'default')}"


NAMED: Final = (SqsTarget, LambdaTarget, EventsTarget, StepfunctionsTarget, KinesisTarget, EcsTarget)
