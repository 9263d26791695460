"""Whatever AWS does, every firing ends with a reason, and is sent a bounded number of times; on both databases."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cronally.instants import SECOND
from cronally.operations import Caller
from cronally.store import Store
from cronally.targets.aws.caller import GLOBAL
from cronally.targets.build import build_targets
from cronally.targets.target import Target
from tests.operations.parameters import AWS, SECRET, SNS
from tests.operations.receivers import server
from tests.operations.runs import check_ended, deliver_all
from tests.operations.tenant import Tenants
from tests.support import scripted
from tests.support.factories import Clock
from tests.support.scripted import ScriptedServer, Step, answer, json_answer, raw, then_cut

__all__ = ["server"]

ASKED = 6
ATTEMPTS = 3
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:my-queue"
ENTRIES = {
    "QueueUrl": "https://sqs.eu-west-1.amazonaws.com/1/q",
    "Entries": [{"Id": "1", "MessageBody": "x"}],
}
OF: dict[str, dict[str, Any]] = {
    "sns": {name: value for name, value in SNS.items() if name in ("sns_topic", "sns_region", "sns_message")},
    "sqs": {"sqs_queue": QUEUE, "sqs_message": "<cronally.firing-id>"},
    "lambda": {"lambda_function": "report"},
    "events": {"events_source": "com.example", "events_detail_type": "due"},
    "stepfunctions": {
        "stepfunctions_state_machine": "arn:aws:states:eu-west-1:123456789012:stateMachine:report"
    },
    "kinesis": {"kinesis_stream": "clicks"},
    "ecs": {"ecs_task_definition": "report:3"},
    "aws": {"aws_service": "sqs", "aws_action": "SendMessageBatch", "aws_input": json.dumps(ENTRIES)},
}


def error(status: int, code: str, **headers: str) -> Step:
    """An error of AWS's, which repeats the secret that it was called with, as AWS does not."""
    return json_answer(status, {"__type": f"com.amazonaws#{code}", "message": f"{code} {SECRET}"}, **headers)


FAULTS: list[Step] = [
    json_answer(200, {"MessageId": "m"}),
    json_answer(200, {"Failed": [{"Id": "1", "Code": "InternalError", "SenderFault": False}]}),
    json_answer(200, {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "ThrottlingException"}]}),
    json_answer(200, {"failures": [{"arn": "a", "reason": "RESOURCE:MEMORY"}], "tasks": []}),
    json_answer(200, [[[]]]),
    answer(200, "x" * 100_000),
    answer(301, "moved", Location="https://127.0.0.1:1/"),
    error(400, "ThrottlingException"),
    error(429, "TooManyRequestsException", Retry_After="5"),
    error(400, "ValidationException"),
    error(403, "UnrecognizedClientException"),
    error(404, "ResourceNotFoundException"),
    error(500, "InternalFailure"),
    error(503, "ServiceUnavailable", Retry_After="1"),
    answer(500, b"<ErrorResponse><Error><Code>" + b"<a>" * 5_000),
    scripted.cut,
    scripted.reset,
    scripted.hang,
    scripted.trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n"),
    raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense"),
    raw(b"\x16\x03\x01" * 50),
    then_cut(json_answer(200, {"MessageId": "m"})),
]


@pytest.fixture
async def targets(server: ScriptedServer) -> AsyncIterator[dict[str, Target]]:
    made = build_targets(sns_endpoint=server.url, aws_endpoints={GLOBAL: server.url}, total_timeout=0.5)
    yield made
    for target in made.values():
        await target.close()


@pytest.mark.sample
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", OF)
async def test_aws__whatever_it_does_every_firing_ends_with_a_reason(
    operations: Tenants,
    caller: Caller,
    store: Store,
    targets: dict[str, Target],
    server: ScriptedServer,
    clock: Clock,
    kind: str,
    seed: int,
) -> None:
    chance, me = random.Random(f"{kind}:{seed}"), caller.account_id
    await operations.create_connection(me, AWS)
    sent = {"name": "x", "cron": "0 8 * * *", "delivery_type": kind, "connection": "billing", **OF[kind]}
    sent |= {} if kind == "sns" else {"aws_region": "eu-west-1"}
    job = await operations.create_cronjob(me, {**sent, "retry_max_attempts": ATTEMPTS - 1})
    server.script.extend(chance.sample(FAULTS, k=ATTEMPTS * ASKED))
    server.otherwise = error(500, "InternalFailure")
    for _ in range(ASKED):
        await operations.run_cronjob(me, job["cronjob_id"])
        clock.forward(SECOND)
    await deliver_all(store, targets, clock, 4 * ATTEMPTS)
    await check_ended(store, ASKED)
    # Together, or one by one where that is refused.
    assert len(server.requests) <= ATTEMPTS * ASKED + (ATTEMPTS * ASKED if kind == "sns" else 0)
    page = await operations.list_firings_of_cronjob(me, job["cronjob_id"], {"attempts": "true"})
    assert len(page.items) == ASKED
    assert SECRET not in json.dumps(page.items)
