"""Operations as botocore knows them: what an input must be, and which request it becomes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config

from cronally.targets.aws import extract, models
from cronally.targets.aws.models import Models, ModelsBusy, check_service, services
from cronally.targets.aws.operation import (
    MAX_DEPTH,
    MAX_VALUES,
    InputError,
    Operation,
    Request,
    Service,
    is_read,
    read_input,
)
from tests.targets.conftest import CANARY

TOKEN = "5a1d7a1e-5d7c-4f2a-9a2e-0d6f3f1c2b4a"


async def _operation(service: str, action: str) -> Operation:
    found = Models()
    try:
        operation = await found.get(service, action, "account")
    finally:
        await found.close()
    assert isinstance(operation, Operation), operation
    return operation


CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("sqs", "SendMessage", {"QueueUrl": "https://example.com/q", "MessageBody": "é"}),
    ("ec2", "CreateKeyPair", {"KeyName": "k", "TagSpecifications": [{"ResourceType": "key-pair"}]}),
    ("s3", "DeleteObjects", {"Bucket": "a-bucket", "Delete": {"Objects": [{"Key": "a/b c"}]}}),
    ("s3", "DeleteObject", {"Bucket": "a.dotted.bucket", "Key": "a//b/ü?#"}),
    ("s3control", "DeleteAccessPoint", {"AccountId": "123456789012", "Name": "point"}),
    ("lambda", "Invoke", {"FunctionName": "f:1", "InvocationType": "Event", "Payload": "{}"}),
    ("lambda", "UntagResource", {"Resource": "arn:aws:lambda:x", "TagKeys": ["a b", "c&d"]}),
    ("kinesis", "PutRecord", {"StreamName": "s", "Data": "é", "PartitionKey": "p"}),
    ("dynamodb", "PutItem", {"TableName": "t", "Item": {"a": {"N": "1"}}}),
    ("iam", "CreateUser", {"UserName": "u"}),
    ("route53", "CreateHostedZone", {"Name": "n", "CallerReference": "r"}),
    ("ecs", "RunTask", {"taskDefinition": "t"}),
    ("iot-data", "Publish", {"topic": "a/b", "payload": "x", "qos": 1}),
    ("sts", "AssumeRole", {"RoleArn": "arn:aws:iam::123456789012:role/a", "RoleSessionName": "session"}),
]


def _by_botocore(service: str, action: str, given: dict[str, Any], region: str) -> AWSPreparedRequest:
    """The request that botocore's own client would send."""
    client = botocore.session.Session().create_client(
        service,
        region_name=region,
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key=CANARY,
        config=Config(retries={"total_max_attempts": 1}, account_id_endpoint_mode="disabled"),
    )
    sent: list[AWSPreparedRequest] = []

    def stop(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        sent.append(request)
        raise _Stopped

    client.meta.events.register("before-send", stop)
    operation = next(name for name, each in client.meta.method_to_api_mapping.items() if each == action)
    with pytest.raises(_Stopped):
        getattr(client, operation)(**given)
    return sent[0]


class _Stopped(Exception):
    pass


@pytest.mark.parametrize(("service", "action", "given"), CASES)
async def test_request__is_botocores(service: str, action: str, given: dict[str, Any]) -> None:
    operation = await _operation(service, action)
    assert operation.refusal is None
    operation.validate(given)
    made = operation.request(given, region="eu-west-1", token=TOKEN)
    tokens = dict.fromkeys(operation.model.idempotent_members, TOKEN)
    theirs = _by_botocore(service, action, {**tokens, **given}, "eu-west-1")
    ours = f"https://{made.url.authority}{made.url.target}"
    assert ours == theirs.url.replace("amazonaws.com?", "amazonaws.com/?")
    assert made.method == theirs.method
    body = theirs.body or b""
    assert made.body == (body.encode() if isinstance(body, str) else body)
    scope = theirs.headers["Authorization"]
    scope = (scope if isinstance(scope, str) else scope.decode()).split(",")[0].split("/")
    assert (made.region, made.service) == (scope[2], scope[3])
    assert made.escape_path == (service not in ("s3", "s3control"))
    for name, value in made.headers.items():
        if name.lower() not in ("content-md5", "accept"):
            found = theirs.headers[name]
            assert value == (found if isinstance(found, str) else found.decode()), name


async def test_request__of_a_region_elsewhere_and_of_the_operators_endpoint() -> None:
    operation = await _operation("sqs", "SendMessage")
    values = {"QueueUrl": "https://elsewhere.example/q", "MessageBody": "x"}

    def made(region: str, override: str | None = None) -> Request:
        return operation.request(values, region=region, token=TOKEN, override=override)

    assert made("cn-north-1").url.authority == "sqs.cn-north-1.amazonaws.com.cn"
    assert made("us-gov-west-1").url.authority == "sqs.us-gov-west-1.amazonaws.com"
    assert made("eu-west-1", "http://localhost:5000").url.authority == "localhost:5000"
    with pytest.raises(InputError):
        made("mars-north-1")


@pytest.mark.parametrize(
    ("service", "action", "given"),
    [
        ("s3", "DeleteBucket", {"Bucket": "evil.example/"}),
        ("s3", "DeleteBucket", {"Bucket": "arn:aws:s3:us-west-2:123456789012:accesspoint/p"}),
        ("s3", "DeleteBucket", {"Bucket": "evil@example.com"}),
        ("s3control", "DeleteAccessPoint", {"AccountId": "evil.example/#", "Name": "p"}),
        ("s3control", "DeleteAccessPoint", {"AccountId": "a@b", "Name": "p"}),
        ("lambda", "Invoke", {"FunctionName": ".."}),
        ("lambda", "Invoke", {"FunctionName": "f", "ClientContext": "a\r\nHost: evil.example"}),
        ("events", "PutEvents", {"Entries": [{}], "EndpointId": "abc.def"}),
    ],
)
async def test_request__an_input_chooses_no_host_and_no_header(
    service: str, action: str, given: dict[str, Any]
) -> None:
    operation = await _operation(service, action)

    def make() -> None:
        operation.validate(given)
        operation.request(given, region="eu-west-1", token=TOKEN)

    with pytest.raises(InputError):
        make()


@pytest.mark.parametrize(
    ("service", "action", "expected"),
    [
        ("s3", "PutObject", "a stream"),
        ("s3", "HeadBucket", "a HEAD request"),
        ("timestream-write", "WriteRecords", "discovered first"),
        ("sso-oidc", "CreateToken", "Signature Version 4"),
        ("cognito-idp", "SignUp", "Signature Version 4"),
    ],
)
async def test_refusal__of_what_a_firing_cannot_call(service: str, action: str, expected: str) -> None:
    operation = await _operation(service, action)
    assert expected in (operation.refusal or "")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ["lacks QueueUrl at its top", "lacks MessageBody at its top"]),
        ({"QueueUrl": 1, "MessageBody": "x"}, ["has a wrong type at QueueUrl; give a text"]),
        ({"QueueUrl": "q", "MessageBody": "x", "DelaySeconds": "5"}, ["give a whole number"]),
        ({"QueueUrl": "q", "MessageBody": "x", "Body": CANARY}, ["has Body at its top, where there are "]),
        ({"QueueUrl": "q", "MessageBody": None}, ["has a wrong type at MessageBody"]),
    ],
)
async def test_validate__says_all_and_repeats_no_value(given: dict[str, Any], expected: list[str]) -> None:
    operation = await _operation("sqs", "SendMessage")
    with pytest.raises(InputError) as caught:
        operation.validate(given)
    assert all(each in str(caught.value) for each in expected)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is no JSON"),
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "is no JSON object"),
        ('{"a": 1, "a": 2}', "a name more than once"),
        ('{"a": NaN}', "NaN or Infinity"),
        ('{"a": 1e999}', "NaN or Infinity"),
        ('{"a": %s}' % ("9" * 5000), "is no JSON"),
        ('{"a": "\\ud800"}', "surrogate"),
        ('{"\\udfff": 1}', "surrogate"),
        ('{"a": ' + "[" * MAX_DEPTH + "]" * MAX_DEPTH + "}", "is nested more than"),
        (json.dumps({"a": [1] * MAX_VALUES}), "more than 4,000 values"),
    ],
)
def test_read_input__is_bounded(text: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        read_input(text)


def test_is_read__by_the_name() -> None:
    assert all(
        is_read(each) for each in ("GetItem", "ListQueues", "DescribeInstances", "BatchGetItem", "Scan")
    )
    assert not any(is_read(each) for each in ("SendMessage", "Getaway", "PutItem", "Listen", "CreateUser"))


def test_check_service__names_the_nearest() -> None:
    assert check_service("sqs") is None
    assert "did you mean" in str(check_service("dynamo-db"))
    assert "dynamodb" in str(check_service("dynamo-db"))
    assert len(str(check_service("é" * 100_000))) < 200
    assert len(services()) > 300


async def test_models__an_operation_that_there_is_not_and_one_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran: list[str] = []
    run = models._run

    def counted(folder: Path, action: str) -> tuple[bytes, bytes]:
        ran.append(action)
        return run(folder, action)

    monkeypatch.setattr(models, "_run", counted)
    found = Models()
    try:
        several = await asyncio.gather(*(found.get("sqs", "SendMessage", f"a{n}") for n in range(5)))
        assert len({id(each) for each in several}) == 1
        assert ran == ["SendMessage"]
        missing = await found.get("sqs", "SendMesage", "a")
        assert (
            missing
            == "is no operation of sqs; did you mean SendMessage or SendMessageBatch or DeleteMessage?"
        )
        waiting = [
            asyncio.ensure_future(found.get("sqs", f"No{n}", "a")) for n in range(models.MAX_WAITING + 1)
        ]
        await asyncio.sleep(0)
        with pytest.raises(ModelsBusy):
            await found.get("sqs", "Another", "b")
        for each in waiting[1:]:
            each.cancel()
        assert isinstance(await waiting[0], str)
        assert isinstance(await found.get("sqs", "Another", "b"), str)
    finally:
        await found.close()


async def test_models__keep_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "MAX_BYTES", 2_500)
    found = Models()
    try:
        for number in range(4):
            await found.get("sqs", f"No{number}", "a")
        assert [found.known("sqs", f"No{number}") is None for number in range(4)] == [
            True,
            True,
            False,
            False,
        ]
    finally:
        await found.close()


@pytest.mark.slow
@pytest.mark.parametrize("service", services())
def test_operations__of_every_service_can_be_read(service: str) -> None:
    folder = services()[service]
    rules = extract.rules(folder)
    names = extract.extract(folder, "")["operations"]
    for action in {names[0], names[len(names) // 2], names[-1]}:
        found = extract.extract(folder, action)
        operation = Operation(Service(service, found["model"], rules), action, found)
        assert operation.model.name == action
        assert len(json.dumps(found)) < models.MAX_EXTRACT / 8
