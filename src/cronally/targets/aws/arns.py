"""ARNs and names of what the targets of AWS call.

Invariant: pure. What passes has the form that AWS documents, and an ARN is in the region that is called: no complaint
repeats a value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from cronally.targets.aws.keys import REGION
from cronally.targets.sns.endpoints import partitions, regions

_ARN: Final = re.compile(r"arn:([a-z0-9-]+):([a-z0-9-]+):([a-z0-9-]+):([0-9]{12}):([\x21-\x7e]{1,400})")
_QUEUE: Final = re.compile(r"[A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo")
_QUEUE_URL: Final = re.compile(r"https://sqs\.([a-z0-9-]+)\.([a-z0-9.-]+)/([0-9]{12})/([A-Za-z0-9_.-]{1,80})")


class Kind(NamedTuple):
    """What a name or an ARN is of."""

    service: str
    """As ARNs have it."""
    resource: re.Pattern[str]
    """The last part of an ARN."""
    name: re.Pattern[str] | None
    """What may stand alone; None where only an ARN may."""
    what: str
    example: str


FUNCTION: Final = Kind(
    "lambda",
    re.compile(r"function:[A-Za-z0-9_-]{1,64}(?::[A-Za-z0-9_$-]{1,128})?"),
    re.compile(r"[A-Za-z0-9_-]{1,64}(?::[A-Za-z0-9_$-]{1,128})?"),
    "a function",
    "nightly-report, or arn:aws:lambda:eu-west-1:123456789012:function:nightly-report",
)
BUS: Final = Kind(
    "events",
    re.compile(r"event-bus/[A-Za-z0-9/._-]{1,256}"),
    re.compile(r"(?!aws\.)[A-Za-z0-9/._-]{1,256}"),
    "an event bus",
    "orders, or arn:aws:events:eu-west-1:123456789012:event-bus/orders",
)
STATE_MACHINE: Final = Kind(
    "states",
    re.compile(r"stateMachine:[A-Za-z0-9_.-]{1,80}(?::[A-Za-z0-9_.-]{1,80})?"),
    None,
    "a state machine",
    "arn:aws:states:eu-west-1:123456789012:stateMachine:report",
)
STREAM: Final = Kind(
    "kinesis",
    re.compile(r"stream/[A-Za-z0-9_.-]{1,128}"),
    re.compile(r"[A-Za-z0-9_.-]{1,128}"),
    "a stream",
    "clicks, or arn:aws:kinesis:eu-west-1:123456789012:stream/clicks",
)
CLUSTER: Final = Kind(
    "ecs",
    re.compile(r"cluster/[A-Za-z0-9_-]{1,255}"),
    re.compile(r"[A-Za-z0-9_-]{1,255}"),
    "a cluster",
    "jobs, or arn:aws:ecs:eu-west-1:123456789012:cluster/jobs",
)
TASK_DEFINITION: Final = Kind(
    "ecs",
    re.compile(r"task-definition/[A-Za-z0-9_-]{1,255}(?::[0-9]{1,9})?"),
    re.compile(r"[A-Za-z0-9_-]{1,255}(?::[0-9]{1,9})?"),
    "a task definition",
    "report:3, or arn:aws:ecs:eu-west-1:123456789012:task-definition/report:3",
)


class Queue(NamedTuple):
    """A queue of SQS."""

    region: str
    account: str
    name: str

    @property
    def url(self) -> str:
        """By which SQS knows it. No request goes there: it is a parameter."""
        domain = regions()[self.region].sns_host.removeprefix("sns.")
        return f"https://sqs.{domain}/{self.account}/{self.name}"


def check_named(parameters: Mapping[str, Any], name: str, kind: Kind) -> dict[str, str]:
    """The complaint, if there is one, about a parameter that is a name or an ARN."""
    text = parameters.get(name)
    if text is None or (kind.name is not None and kind.name.fullmatch(text)):
        return {}
    found = _ARN.fullmatch(text)
    if found is None or found[2] != kind.service or not kind.resource.fullmatch(found[5]):
        return {name: f"is not the name or the ARN of {kind.what}; give one like {kind.example}"}
    complaint = _place(found[1], found[3], parameters)
    return {} if complaint is None else {name: complaint}


def parse_queue(text: str) -> Queue:
    """The queue that an ARN or a URL names. Raises ValueError with a sentence that says what to give."""
    found = _ARN.fullmatch(text)
    if found is not None and found[2] == "sqs" and _QUEUE.fullmatch(found[5]):
        problem = _place(found[1], found[3], {})
        if problem is not None:
            raise ValueError(problem)
        return Queue(found[3], found[4], found[5])
    url = _QUEUE_URL.fullmatch(text)
    if url is not None and _QUEUE.fullmatch(url[4]):
        queue = Queue(url[1], url[3], url[4])
        if url[1] in regions() and queue.url == text:
            return queue
    raise ValueError(
        "is neither the ARN nor the URL of an SQS queue; give one like arn:aws:sqs:eu-west-1:123456789012:my-queue"
    )


def check_queue(parameters: Mapping[str, Any], name: str) -> dict[str, str]:
    """The complaint, if there is one, about a parameter that is a queue's ARN or URL."""
    if name not in parameters:
        return {}
    try:
        queue = parse_queue(parameters[name])
    except ValueError as error:
        return {name: str(error)}
    if parameters.get(REGION, queue.region) != queue.region:
        return {name: f"is in {queue.region}, which is not aws_region; give one of the same region"}
    return {}


def _place(partition: str, region: str, parameters: Mapping[str, Any]) -> str | None:
    """What is wrong with partition and region of an ARN."""
    known = regions().get(region)
    if partition not in partitions() or known is None or known.partition != partition:
        return "names a partition or a region that AWS does not have; copy the ARN from AWS"
    if parameters.get(REGION, region) != region:
        return f"is in {region}, which is not aws_region; give one of the same region"
    return None
