"""`PublishBatch` against an SNS that follows a script. The shapes of request and answer are those of

https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html,
https://docs.aws.amazon.com/sns/latest/api/API_PublishBatchRequestEntry.html and
https://docs.aws.amazon.com/sns/latest/api/API_BatchResultErrorEntry.html.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import botocore.session
import pytest
from botocore.awsrequest import AWSRequest
from botocore.serialize import create_serializer

from cronally.firing import firing_id
from cronally.targets.answer import MAX_ANSWER_BYTES
from cronally.targets.sns.form import quote
from cronally.targets.sns.forms import publish_batch_form
from cronally.targets.sns.target import SnsTarget
from cronally.targets.target import Delivered, Outcome, Refused, Retry, Sending, Unauthorized, Unknown
from tests.support import scripted
from tests.support.scripted import ScriptedServer, answer
from tests.targets.conftest import CANARY, SCHEDULED_AT, TOPIC, make_destination, make_message
from tests.targets.sns.test_answers import SKEW, error


def make_sendings(count: int = 3) -> list[Sending]:
    return [
        (
            make_destination(message=f"text {number} & more"),
            make_message(
                firing_id=firing_id(f"job-{number}", SCHEDULED_AT),
                cronjob_id=f"job-{number}",
                cronjob_name=f"Jöb {number}",
                attempt=number,
            ),
        )
        for number in range(1, count + 1)
    ]


def ids(sendings: list[Sending]) -> list[str]:
    return [message.firing_id for _, message in sendings]


def successful(entry: str, message_id: str) -> str:
    return f"<member><MessageId>{message_id}</MessageId><Id>{entry}</Id></member>"


def failed(entry: str, code: str, *, sender: bool = True, message: str | None = "Because.") -> str:
    text = "" if message is None else f"<Message>{message}</Message>"
    fault = f"<SenderFault>{str(sender).lower()}</SenderFault>"
    return f"<member>{text}<Id>{entry}</Id><Code>{code}</Code>{fault}</member>"


def published(*, taken: str = "", refused: str = "") -> str:
    return (
        '<PublishBatchResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishBatchResult>'
        f"<Failed>{refused}</Failed>\n  <Successful>{taken}</Successful></PublishBatchResult><ResponseMetadata>"
        "<RequestId>d74b8436-ae13-5ab4-a9ff-ce54dfea72a0</RequestId></ResponseMetadata></PublishBatchResponse>"
    )


async def test_send_batch__all_are_delivered_whatever_the_order(
    server: ScriptedServer, sns: SnsTarget
) -> None:
    sendings = make_sendings(10)
    taken = "".join(successful(entry, f"m-{entry[:8]}") for entry in reversed(ids(sendings)))
    server.script.append(answer(200, published(taken=taken)))
    assert sns.batches(sendings) == [[*range(10)]]
    assert await sns.send_batch(sendings) == [Delivered(f"m-{entry[:8]}") for entry in ids(sendings)]
    (request,) = server.requests
    form = request.form()
    assert (form["Action"], form["Version"], form["TopicArn"]) == ("PublishBatch", "2010-03-31", TOPIC)
    entries = [form[f"PublishBatchRequestEntries.member.{n}.Id"] for n in range(1, 11)]
    assert entries == ids(sendings)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,80}", entry) for entry in entries)
    assert "SignedHeaders=content-type;host;x-amz-date, Signature=" in request.headers["authorization"]


def test_form__is_what_botocore_would_write() -> None:
    sendings = make_sendings(10)
    operation = botocore.session.Session().get_service_model("sns").operation_model("PublishBatch")

    def attributes(values: Mapping[str, Any]) -> Mapping[str, Any]:
        return {
            f"cronally-{name}": {
                "DataType": "Number" if name == "attempt" else "String",
                "StringValue": str(value),
            }
            for name, value in values.items()
        }

    request = create_serializer("query").serialize_to_request(
        {
            "TopicArn": TOPIC,
            "PublishBatchRequestEntries": [
                {
                    "Id": message.firing_id,
                    "Message": destination.public["sns_message"],
                    "MessageAttributes": attributes(
                        {
                            "firing-id": message.firing_id,
                            "cronjob-id": message.cronjob_id,
                            "scheduled-at": "2026-11-24T08:00:00Z",
                            "attempt": message.attempt,
                            "cronjob-name": message.cronjob_name,
                        }
                    ),
                }
                for destination, message in sendings
            ],
        },
        operation,
    )
    expected = AWSRequest("POST", "http://sns/", data=request["body"]).prepare().body
    form = publish_batch_form(
        TOPIC, ((one.public, quote(one.public["sns_message"].encode()), message) for one, message in sendings)
    )
    assert sorted(form.split(b"&")) == sorted(expected.encode().split(b"&"))


async def test_send_batch__partial_failures_are_what_they_would_be_alone(
    server: ScriptedServer, sns: SnsTarget
) -> None:
    cases: list[tuple[str, bool, Outcome]] = [
        ("InvalidParameter", True, Refused("InvalidParameter: Because.")),
        ("AWS.SimpleNotificationService:InvalidParameter", True, Refused("InvalidParameter: Because.")),
        ("AuthorizationError", True, Unauthorized("AuthorizationError: Because.")),
        ("NotFound", True, Refused("NotFound: Because.", final=False)),
        ("Throttling", True, Retry("Throttling: Because.")),
        ("KMSThrottling", True, Retry("KMSThrottling: Because.")),
        ("InternalError", False, Retry("InternalError: Because.")),
        ("SomethingNew", False, Retry("SomethingNew: Because.")),
    ]
    sendings = make_sendings(len(cases) + 2)
    entries = ids(sendings)
    refused = "".join(
        failed(entry, code, sender=sender) for entry, (code, sender, _) in zip(entries, cases, strict=False)
    )
    refused += failed(entries[-2], "ValidationException", message=None)
    server.script.append(answer(200, published(refused=refused, taken=successful(entries[-1], "m"))))
    assert await sns.send_batch(sendings) == [
        *(outcome for _, _, outcome in cases),
        Refused("ValidationException"),
        Delivered("m"),
    ]
    assert len(server.requests) == 1
    assert sns.batches(sendings) == [[*range(10)]], "the batch as such was not refused"


async def test_send_batch__absent_entries_are_unknown(server: ScriptedServer, sns: SnsTarget) -> None:
    sendings = make_sendings()
    first, _, third = ids(sendings)
    body = published(taken=successful(first, "m") + successful("somebody-elses", "x") + "<member></member>")
    server.script.append(answer(200, body + f"<member><Id>{third}</Id></member>"))
    absent = Unknown("answered 200 without a result for this message")
    assert await sns.send_batch(sendings) == [Delivered("m"), absent, absent]


async def test_send_batch__contradiction_is_unknown(server: ScriptedServer, sns: SnsTarget) -> None:
    sendings = make_sendings(2)
    first, second = ids(sendings)
    taken = successful(first, "m") + successful(second, "n")
    server.script.append(answer(200, published(taken=taken, refused=failed(first, "InvalidParameter"))))
    twice = Unknown("answered 200 with two results for this message")
    assert await sns.send_batch(sendings) == [twice, Delivered("n")]


@pytest.mark.parametrize("body", [b"", b"<html>Welcome</html>", b"x" * (MAX_ANSWER_BYTES + 1)])
async def test_send_batch__success_that_says_nothing(
    server: ScriptedServer, sns: SnsTarget, body: bytes
) -> None:
    server.script.append(answer(200, body))
    found = await sns.send_batch(make_sendings(2))
    assert found == [Unknown("answered 200 without a result for this message")] * 2


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "AuthorizationError"),
        (403, "AccessDenied"),
        (403, "InvalidClientTokenId"),
        (404, "NotFound"),
        (400, "BatchRequestTooLong"),
        (400, "TooManyEntriesInBatchRequest"),
        (400, "InvalidBatchEntryId"),
        (400, "InvalidAction"),
        (413, "RequestEntityTooLarge"),
    ],
)
async def test_send_batch__refused_is_to_be_repeated_one_by_one_and_remembered(
    server: ScriptedServer, sns: SnsTarget, status: int, code: str
) -> None:
    sendings = make_sendings()
    server.script.append(answer(status, error(code)))
    assert await sns.send_batch(sendings) is None
    assert sns.batches(sendings) == [[0], [1], [2]]
    assert isinstance(await sns.send(*sendings[0]), Delivered)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (answer(400, error("Throttling"), Retry_After="7"), Retry("Throttling: Because.", 7.0)),
        (answer(429, error("Throttled")), Retry("Throttled: Because.")),
        (answer(500, error("InternalError")), Retry("InternalError: Because.")),
        (answer(503, Retry_After="120"), Retry("HTTP 503", 120.0)),
        (
            answer(403, error("SignatureDoesNotMatch", SKEW)),
            Retry(f"the server's clock is wrong: SignatureDoesNotMatch: {SKEW}"),
        ),
        (scripted.cut, Unknown("no answer: the connection was cut")),
        (
            scripted.then_cut(scripted.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<Pub")),
            Unknown("no answer: the connection was cut"),
        ),
    ],
    ids=["throttled", "429", "500", "503", "skew", "cut", "cut-within"],
)
async def test_send_batch__what_befalls_the_request_befalls_each(
    server: ScriptedServer, sns: SnsTarget, step: scripted.Step, expected: Outcome
) -> None:
    sendings = make_sendings()
    server.script.append(step)
    assert await sns.send_batch(sendings) == [expected] * 3
    assert len(server.requests) == 1
    assert sns.batches(sendings) == [[0, 1, 2]], "that says nothing about batches"


async def test_send_batch__silence(server: ScriptedServer) -> None:
    target = SnsTarget(endpoint=server.url, connect_timeout=0.8, total_timeout=0.8)
    server.script.append(scripted.hang)
    assert await target.send_batch(make_sendings(2)) == [Unknown("no answer: 0.8 s have passed")] * 2
    await target.close()


async def test_send_batch__nobody_listens() -> None:
    async with ScriptedServer(answer(200)) as gone:
        pass
    target = SnsTarget(endpoint=gone.url)
    assert await target.send_batch(make_sendings(2)) == [Retry("not sent: connection refused")] * 2
    await target.close()


async def test_secret__is_in_no_detail_of_a_batch(server: ScriptedServer, sns: SnsTarget) -> None:
    sendings = make_sendings(2)
    entry = ids(sendings)[0]
    for step in (
        answer(200, published(refused=failed(entry, "InvalidParameter", message=f"You sent {CANARY}"))),
        answer(500, error("InternalError", CANARY)),
        answer(403, error("SignatureDoesNotMatch", CANARY)),
        scripted.raw(CANARY.encode() + b"\r\n"),
    ):
        server.script.append(step)
        assert CANARY not in repr(await sns.send_batch(sendings))
    assert CANARY not in repr(vars(sns)) + repr(vars(sns._batches))
    assert not [request for request in server.requests if CANARY in repr(request)]
