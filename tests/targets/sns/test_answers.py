"""What SNS's answers mean. The codes and statuses are those of AWS's documentation:

https://docs.aws.amazon.com/sns/latest/api/API_Publish.html#API_Publish_Errors and
https://docs.aws.amazon.com/sns/latest/api/CommonErrors.html; the shape is that of the Query protocol:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests.html
"""

from __future__ import annotations

from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.targets.sns.answers import MAX_MESSAGE_LENGTH, batch_outcomes, outcome
from cronally.targets.target import Delivered, Outcome, Refused, Retry, Unauthorized, Unknown
from tests.targets.conftest import CANARY, PUBLISHED

# https://docs.aws.amazon.com/IAM/latest/UserGuide/signature-v4-troubleshooting.html
SIGNATURE = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
    "Access Key and signing method. Consult the service documentation for details."
)
ECHO = (
    "\n\nThe Canonical String for this request should have been\n'POST\n/\n\nhost:sns.eu-west-1.amazonaws.com\n"
    "x-amz-date:20261124T080000Z'\n\nThe String-to-Sign should have been\n'AWS4-HMAC-SHA256\n20261124T080000Z'\n"
)
SKEW = "Signature expired: 20261124T080000Z is now earlier than 20261124T081500Z (20261124T083000Z - 15 min.)"


def error(code: str, message: str = "Because.") -> bytes:
    return (
        '<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type>'
        f"<Code>{code}</Code><Message>{escape(message)}</Message></Error>"
        "<RequestId>9b8e4f6c-0000-5000-9000-000000000000</RequestId></ErrorResponse>"
    ).encode()


def test_outcome__published() -> None:
    assert outcome(200, PUBLISHED.encode()) == Delivered("567910cd-659e-55d4-8ccb-5aaf14679dc0")


@pytest.mark.parametrize(
    "body", [None, b"", b"<html>Welcome</html>", b"<MessageId></MessageId>", b"<MessageId>" + b"x" * 10_000]
)
def test_outcome__success_without_a_message_id_may_be_anything(body: bytes | None) -> None:
    assert outcome(200, body) == Unknown("answered 200 without a MessageId")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "Throttling"),
        (400, "ThrottlingException"),
        (429, "Throttled"),
        (400, "ThrottledException"),
        (400, "RequestLimitExceeded"),
        (400, "KMSThrottling"),
        (400, "RequestThrottled"),
        (500, "InternalError"),
        (500, "InternalFailure"),
        (503, "ServiceUnavailable"),
        (408, "RequestTimeout"),
        (503, "AuthorizationError"),  # a status over 499 is AWS's own trouble, whatever it says
    ],
)
def test_outcome__retry(status: int, code: str) -> None:
    assert outcome(status, error(code), after=7.0) == Retry(f"{code}: Because.", 7.0)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_outcome__retry_of_what_is_not_snss_own_answer(status: int) -> None:
    assert outcome(status, b"<html><h1>Bad gateway</h1></html>") == Retry(f"HTTP {status}")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "AuthorizationError"),
        (403, "InvalidClientTokenId"),
        (403, "SignatureDoesNotMatch"),
        (403, "ExpiredToken"),
        (400, "ExpiredTokenException"),
        (403, "InvalidSecurity"),
        (403, "MissingAuthenticationToken"),
        (403, "OptInRequired"),
        (403, "AccessDeniedException"),
        (400, "KMSAccessDenied"),
        (403, "KMSOptInRequired"),
        (400, "IncompleteSignature"),
        (403, "SomethingNew"),
    ],
)
def test_outcome__unauthorized(status: int, code: str) -> None:
    assert outcome(status, error(code)) == Unauthorized(f"{code}: Because.")


@pytest.mark.parametrize("code", ["NotFound", "NotFoundException", "ResourceNotFound"])
def test_outcome__topic_that_may_be_just_made(code: str) -> None:
    assert outcome(404, error(code)) == Refused(f"{code}: Because.", final=False)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "InvalidParameter"),
        (400, "ParameterValueInvalid"),
        (400, "ValidationException"),
        (400, "EndpointDisabled"),
        (400, "PlatformApplicationDisabled"),
        (400, "KMSDisabled"),
        (400, "KMSInvalidState"),
        (400, "KMSNotFound"),
        (400, "InvalidAction"),
        (413, "RequestEntityTooLarge"),
    ],
)
def test_outcome__refused(status: int, code: str) -> None:
    assert outcome(status, error(code)) == Refused(f"{code}: Because.")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (301, Refused("HTTP 301")),
        (400, Refused("HTTP 400")),
        (401, Unauthorized("HTTP 401")),
        (403, Unauthorized("HTTP 403")),
        (404, Refused("HTTP 404", final=False)),
    ],
)
def test_outcome__not_snss_own_answer(status: int, expected: Outcome) -> None:
    assert outcome(status, b"<html>nginx</html>") == expected
    assert outcome(status, None) == expected


def test_outcome__namespaced_code() -> None:
    assert outcome(400, error("AWS.SimpleNotificationService:InvalidParameter")) == Refused(
        "InvalidParameter: Because."
    )


@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "RequestExpired", "InvalidSignatureException"])
def test_outcome__wrong_clock_is_not_the_tenants_fault(code: str) -> None:
    found = outcome(403, error(code, SKEW))
    assert isinstance(found, Retry)
    assert found.detail.startswith(f"the server's clock is wrong: {code}: Signature expired: ")


def test_detail__leaves_out_the_echo_of_the_request() -> None:
    assert outcome(403, error("SignatureDoesNotMatch", SIGNATURE + ECHO)) == Unauthorized(
        f"SignatureDoesNotMatch: {SIGNATURE}"
    )


def test_detail__masks_access_key_ids() -> None:
    found = outcome(403, error("InvalidClientTokenId", "The key AKIAIOSFODNN7EXAMPLE is unknown"))
    assert found == Unauthorized("InvalidClientTokenId: The key AKIA***MPLE is unknown")


def test_detail__unescapes_and_is_one_line() -> None:
    found = outcome(400, error("InvalidParameter", 'Invalid parameter: "a" < b\n\t& c\x1b[31m'))
    assert found == Refused('InvalidParameter: Invalid parameter: "a" < b & c [31m')


def test_detail__is_bounded() -> None:
    found = outcome(400, error("InvalidParameter", "x" * 4000))
    assert isinstance(found, Refused)
    assert len(found.detail) == len("InvalidParameter: ") + MAX_MESSAGE_LENGTH


def test_detail__expands_no_entities() -> None:
    bomb = (
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><ErrorResponse><Error>'
        b"<Code>InvalidParameter</Code><Message>&b;&b;</Message></Error></ErrorResponse>"
    )
    assert outcome(400, bomb) == Refused("InvalidParameter: &b;&b;")


@given(
    status=st.integers(200, 599),
    before=st.binary(max_size=50),
    code=st.text(max_size=120),
    message=st.text(max_size=500) | st.just(f"key {CANARY}, {CANARY}"),
)
def test_outcome__of_anything_is_one_and_holds_no_secret(
    status: int, before: bytes, code: str, message: str
) -> None:
    body = before + f"<Code>{code}</Code><Message>{message}".encode("utf-8", "replace")
    found = outcome(status, body, secrets=(CANARY, ""))
    assert isinstance(found, Delivered | Retry | Unauthorized | Refused | Unknown)
    if not isinstance(found, Delivered):
        assert CANARY not in found.detail
        assert 0 < len(found.detail) < 500
        assert not [character for character in found.detail if character < " "]


@given(
    status=st.integers(200, 599),
    pieces=st.lists(
        st.sampled_from(
            [
                "<member>",
                "</member>",
                "<Id>one</Id>",
                "<Id>two</Id>",
                "<MessageId>m</MessageId>",
                "<Code>InvalidParameter</Code>",
                f"<Message>{CANARY}</Message>",
                "<SenderFault>false</SenderFault>",
            ]
        )
        | st.text(max_size=20),
        max_size=40,
    ),
)
def test_batch_outcomes__of_anything_are_one_each_and_hold_no_secret(status: int, pieces: list[str]) -> None:
    body = "".join(pieces).encode("utf-8", "replace")
    found = batch_outcomes(status, body, ["one", "two"], secrets=(CANARY, ""))
    if found is None:
        assert status >= 300
        return
    assert len(found) == 2
    for result in found:
        assert isinstance(result, Delivered | Retry | Unauthorized | Refused | Unknown)
        assert CANARY not in repr(result)
