"""What answers of AWS mean, against a server that follows a script. The shapes are those of AWS's API references."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cronally.targets.answer import MAX_ANSWER_BYTES
from cronally.targets.aws.caller import GLOBAL, endpoint_text
from cronally.targets.build import build_targets
from cronally.targets.target import (
    Delivered,
    Destination,
    Outcome,
    Refused,
    Retry,
    Target,
    Unauthorized,
    Unknown,
)
from tests.support import scripted
from tests.support.scripted import ScriptedServer, Step, answer, json_answer, then_cut
from tests.targets.aws.conftest import destination
from tests.targets.conftest import CANARY, make_message

QUEUE = "arn:aws:sqs:us-east-1:123456789012:q"
SQS = destination("sqs", sqs_queue=QUEUE, sqs_message="x")
LAMBDA = destination("lambda", lambda_function="f")
EVENTS = destination("events", events_source="s", events_detail_type="d")
MACHINE = destination(
    "stepfunctions", stepfunctions_state_machine="arn:aws:states:us-east-1:123456789012:stateMachine:m"
)
ECS = destination("ecs", ecs_task_definition="t")


def _calling(service: str, action: str, values: Any) -> Destination:
    return destination("aws", aws_service=service, aws_action=action, aws_input=json.dumps(values))


BATCH = _calling("sqs", "SendMessageBatch", {"QueueUrl": "q", "Entries": [{"Id": "1", "MessageBody": "x"}]})
RECORDS = _calling(
    "kinesis", "PutRecords", {"StreamName": "s", "Records": [{"Data": "x", "PartitionKey": "p"}]}
)
ITEMS = _calling(
    "dynamodb", "BatchWriteItem", {"RequestItems": {"t": [{"DeleteRequest": {"Key": {"a": {"S": "x"}}}}]}}
)
INVOKE = _calling("lambda", "Invoke", {"FunctionName": "f"})
OBJECTS = _calling("s3", "DeleteObjects", {"Bucket": "bucket", "Delete": {"Objects": [{"Key": "k"}]}})
INSTANCES = _calling("ec2", "CreateKeyPair", {"KeyName": "k"})
USER = _calling("iam", "CreateUser", {"UserName": "u"})

SENT = {"MessageId": "m-1", "MD5OfMessageBody": "x"}


@pytest.fixture
async def scripted_targets(server: ScriptedServer) -> AsyncIterator[dict[str, Target]]:
    made = build_targets(aws_endpoints={GLOBAL: server.url}, total_timeout=30, connect_timeout=30)
    yield made
    for target in made.values():
        await target.close()


def _json(code: str, message: str = "Because.", status: int = 400) -> Step:
    return json_answer(status, {"__type": f"com.amazonaws.sqs#{code}", "message": message})


def _xml(code: str, status: int = 400) -> Step:
    return answer(
        status,
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>Because.</Message></Error>"
        "<RequestId>r</RequestId></ErrorResponse>",
    )


CASES: list[tuple[Destination, Step, Outcome]] = [
    (SQS, json_answer(200, SENT), Delivered("m-1")),
    (SQS, json_answer(200, {}, X_Amzn_RequestId="r-1"), Delivered("r-1")),
    (SQS, _json("ThrottlingException"), Retry("ThrottlingException: Because.")),
    (SQS, _json("Other", status=503), Retry("Other: Because.")),
    (SQS, answer(500, "<html><body>no</body></html>"), Retry("HTTP 500")),
    (SQS, answer(503, b"", Retry_After="7"), Retry("HTTP 503", 7.0)),
    (SQS, _json("ExpiredTokenException"), Unauthorized("ExpiredTokenException: Because.")),
    (SQS, _json("AccessDeniedException"), Unauthorized("AccessDeniedException: Because.")),
    (SQS, _json("InvalidSignatureException"), Unauthorized("InvalidSignatureException: Because.")),
    (
        SQS,
        _json("InvalidSignatureException", "Signature expired: 20261124T080000Z is now earlier"),
        Retry(
            "the server's clock is wrong: InvalidSignatureException: Signature expired: 20261124T080000Z is now"
            " earlier"
        ),
    ),
    (SQS, _json("QueueDoesNotExist"), Refused("QueueDoesNotExist: Because.", final=False)),
    (SQS, _json("InvalidMessageContents"), Refused("InvalidMessageContents: Because.")),
    (SQS, _json("Odd", f"secret {CANARY}"), Refused("Odd: secret ***")),
    (SQS, answer(400, b"\xff\xfe not JSON"), Refused("HTTP 400")),
    (
        SQS,
        answer(307, b"", Location="https://evil.example/"),
        Refused("HTTP 307: it is in another region, or somewhere else"),
    ),
    (LAMBDA, answer(202, b"", X_Amzn_RequestId="r-2"), Delivered("r-2")),
    (
        LAMBDA,
        json_answer(404, {"Message": "No."}, X_Amzn_ErrorType="ResourceNotFoundException:http://x/"),
        Refused("ResourceNotFoundException: No.", final=False),
    ),
    (
        INVOKE,
        json_answer(200, {"errorMessage": "x"}, X_Amz_Function_Error="Unhandled"),
        Retry("FunctionError: Unhandled"),
    ),
    (
        EVENTS,
        json_answer(200, {"FailedEntryCount": 0, "Entries": [{"EventId": "e"}]}, X_Amzn_RequestId="r"),
        Delivered("r"),
    ),
    (
        EVENTS,
        json_answer(
            200, {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure", "ErrorMessage": "Oh."}]}
        ),
        Retry("FailedEntryCount, 1 of what was sent: InternalFailure: Oh."),
    ),
    (
        EVENTS,
        json_answer(
            200, {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "MalformedDetail", "ErrorMessage": "Oh."}]}
        ),
        Refused("FailedEntryCount, 1 of what was sent: MalformedDetail: Oh."),
    ),
    (MACHINE, _json("ExecutionAlreadyExists"), Delivered(None)),
    (
        ECS,
        json_answer(200, {"tasks": [], "failures": [{"reason": "RESOURCE:MEMORY"}]}),
        Retry("failures, 1 of what was sent: RESOURCE:MEMORY"),
    ),
    (
        ECS,
        json_answer(200, {"tasks": [], "failures": [{"reason": "MISSING"}]}),
        Refused("failures, 1 of what was sent: MISSING"),
    ),
    (ECS, json_answer(200, {"tasks": [{}], "failures": []}, X_Amzn_RequestId="r"), Delivered("r")),
    (
        BATCH,
        json_answer(
            200, {"Successful": [], "Failed": [{"Id": "1", "Code": "AccessDenied", "SenderFault": True}]}
        ),
        Unauthorized("Failed, 1 of what was sent: AccessDenied"),
    ),
    (
        BATCH,
        answer(200, b"x" * (MAX_ANSWER_BYTES + 1)),
        Unknown("answered 200, and what it says of failures cannot be read"),
    ),
    (
        RECORDS,
        json_answer(
            200,
            {
                "FailedRecordCount": 1,
                "Records": [
                    {"SequenceNumber": "1", "ShardId": "s"},
                    {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Slow."},
                ],
            },
        ),
        Retry("FailedRecordCount, 1 of what was sent: ProvisionedThroughputExceededException: Slow."),
    ),
    (
        ITEMS,
        json_answer(200, {"UnprocessedItems": {"t": [{"DeleteRequest": {"Key": {"a": {"S": "x"}}}}]}}),
        Retry("UnprocessedItems: what was sent was not taken whole"),
    ),
    (
        OBJECTS,
        answer(
            200,
            "<DeleteResult><Error><Key>k</Key><Code>AccessDenied</Code><Message>No.</Message></Error></DeleteResult>",
        ),
        Unauthorized("Errors, 1 of what was sent: AccessDenied: No."),
    ),
    (OBJECTS, answer(200, "<DeleteResult/>", X_Amz_Request_Id="r-3"), Delivered("r-3")),
    (
        OBJECTS,
        answer(400, "<Error><Code>NoSuchBucket</Code><Message>No.</Message></Error>"),
        Refused("NoSuchBucket: No.", final=False),
    ),
    (
        INSTANCES,
        answer(
            400,
            "<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>Slow.</Message></Error></Errors><RequestID>r</RequestID></Response>",
        ),
        Retry("RequestLimitExceeded: Slow."),
    ),
    (
        INSTANCES,
        answer(200, "<CreateKeyPairResponse><requestId>r-4</requestId></CreateKeyPairResponse>"),
        Delivered("r-4"),
    ),
    (USER, _xml("EntityAlreadyExists"), Refused("EntityAlreadyExists: Because.")),
    (USER, _xml("InvalidClientTokenId", 403), Unauthorized("InvalidClientTokenId: Because.")),
    (
        USER,
        answer(
            200,
            "<CreateUserResponse><CreateUserResult/><ResponseMetadata><RequestId>r-5</RequestId></ResponseMetadata></CreateUserResponse>",
        ),
        Delivered("r-5"),
    ),
    (USER, answer(400, "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;" * 3), Refused("HTTP 400")),
]


@pytest.mark.parametrize(("to", "step", "expected"), CASES)
async def test_send__what_an_answer_means(
    server: ScriptedServer,
    scripted_targets: dict[str, Target],
    to: Destination,
    step: Step,
    expected: Outcome,
) -> None:
    server.script.append(step)
    outcome = await scripted_targets[to.target].send(to, make_message())
    assert outcome == expected
    assert len(server.requests) == 1
    assert CANARY not in repr(outcome) + repr(server.requests[0])


@pytest.mark.parametrize("step", [scripted.reset, scripted.cut, then_cut(scripted.raw(b"HTTP/1.1 200 O"))])
async def test_send__what_is_not_answered_may_have_arrived(
    server: ScriptedServer, scripted_targets: dict[str, Target], step: Step
) -> None:
    server.script.append(step)
    assert isinstance(await scripted_targets["sqs"].send(SQS, make_message()), Unknown)
    assert len(server.requests) == 1


async def test_send__a_session_token_is_signed(
    server: ScriptedServer, scripted_targets: dict[str, Target]
) -> None:
    server.script.append(json_answer(200, SENT))
    secret = {**SQS.secret, "aws_session_token": "token+/="}
    to = Destination("sqs", SQS.public, secret)
    assert await scripted_targets["sqs"].send(to, make_message()) == Delivered("m-1")
    (request,) = server.requests
    assert request.headers["x-amz-security-token"] == "token+/="
    assert ";x-amz-security-token;" in request.headers["authorization"]


async def test_send__without_keys_or_with_what_was_stored_wrong(
    server: ScriptedServer, scripted_targets: dict[str, Target]
) -> None:
    bare = Destination("sqs", SQS.public)
    assert isinstance(await scripted_targets["sqs"].send(bare, make_message()), Unauthorized)
    for to in (
        _calling("sqs", "NoSuch", {}),
        _calling("sqs", "SendMessage", {}),
        _calling("s3", "PutObject", {}),
    ):
        assert isinstance(await scripted_targets["aws"].send(to, make_message()), Refused)
    assert server.requests == []


def test_receiver__and_host() -> None:
    made = build_targets()
    receiver = made["sqs"].receiver(SQS.public)
    assert (receiver.name, receiver.host, receiver.circuit) == (f"sqs:{QUEUE}", None, "aws:sqs:us-east-1")
    assert made["aws"].receiver(USER.public).circuit == "aws:iam:us-east-1"
    assert made["sqs"].host("eu-west-1") == "sqs.eu-west-1.amazonaws.com"
    assert made["stepfunctions"].host("cn-north-1") == "states.cn-north-1.amazonaws.com.cn"
    assert made["aws"].host("eu-west-1") == "eu-west-1.amazonaws.com"


@pytest.mark.parametrize("text", ["localhost:4566", "http://a/b", "http://u:p@a", "ftp://a", "http://a?b"])
def test_endpoint__is_scheme_host_and_port(text: str) -> None:
    assert endpoint_text("AWS_ENDPOINT_URL", "http://localhost:4566/") == "http://localhost:4566"
    with pytest.raises(ValueError, match="AWS_ENDPOINT_URL_SQS is written"):
        build_targets(aws_endpoints={"AWS_ENDPOINT_URL_SQS": text})
