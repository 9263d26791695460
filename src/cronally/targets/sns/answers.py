"""What an answer of SNS means for a firing.

Invariant: every answer is one outcome, a detail carries AWS's own code and message where there are any, and
nothing of a detail is a secret: what AWS echoes of a signed request is cut off, and the credentials that it
was signed with are masked.

Sources: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html#API_Publish_Errors,
https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html,
https://docs.aws.amazon.com/sns/latest/api/API_BatchResultErrorEntry.html,
https://docs.aws.amazon.com/sns/latest/api/CommonErrors.html, and for throttling the codes that AWS's own SDKs
retry: https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import unescape
from typing import Final, NamedTuple

from cronally.targets.target import Delivered, Outcome, Refused, Retry, Unauthorized, Unknown

MAX_MESSAGE_LENGTH: Final = 300
"""Characters of AWS's message that a detail keeps."""

_MESSAGE_ID: Final = re.compile(rb"<MessageId>\s*([A-Za-z0-9-]{1,100})\s*</MessageId>")
_MEMBER: Final = re.compile(rb"<member>(.*?)</member>", re.DOTALL)
_ENTRY_ID: Final = re.compile(rb"<Id>\s*([A-Za-z0-9_-]{1,80})\s*</Id>")
_NOT_OUR_FAULT: Final = re.compile(rb"<SenderFault>\s*false\s*</SenderFault>")
_CODE: Final = re.compile(rb"<Code>\s*([A-Za-z0-9_.:-]{1,100})\s*</Code>")
_MESSAGE: Final = re.compile(rb"<Message>([^<]{0,4096})")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
# "The Canonical String for this request should have been ...": the request as AWS saw it, no use to a tenant.
_ECHO: Final = re.compile(r"\s*The (?:Canonical String|String-to-Sign)\b.*", re.DOTALL)
_ACCESS_KEY_ID: Final = re.compile(r"\b(A[KS]IA)[A-Z0-9]{8,}([A-Z0-9]{4})\b")

_SKEW: Final = re.compile(r"signature (?:expired|not yet current)|request (?:has )?expired", re.IGNORECASE)
_SKEW_CODES: Final = frozenset({"RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture"})

_THROTTLED: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "KMSThrottling",
        "KMSThrottlingException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttled",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
_TROUBLE: Final = frozenset(
    {
        "ConcurrentAccess",
        "InternalError",
        "InternalFailure",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
    }
)
_UNAUTHORIZED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthFailure",
        "AuthorizationError",
        "AuthorizationErrorException",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "InvalidSecurityException",
        "InvalidSignatureException",
        "KMSAccessDenied",
        "KMSAccessDeniedException",
        "KMSOptInRequired",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "NotAuthorized",
        "OptInRequired",
        "SignatureDoesNotMatch",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
    }
)
_NOT_ALLOWED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "AuthorizationErrorException",
        "KMSAccessDenied",
        "KMSAccessDeniedException",
        "KMSOptInRequired",
        "OptInRequired",
        "UnauthorizedOperation",
    }
)
"""Of these, those that AWS says to keys that it knows."""
_NOT_FOUND: Final = frozenset(
    {"NotFound", "NotFoundException", "ResourceNotFound", "ResourceNotFoundException"}
)


class Codes(NamedTuple):
    """Codes of AWS that mean the same, as the docs show them."""

    codes: frozenset[str]
    outcome: str
    why: str


CODES: Final = (
    Codes(_THROTTLED, "`retry`", "Throttled: the account's quota, or that of a KMS key, is used up for now"),
    Codes(_TROUBLE, "`retry`", "A moment's trouble on AWS's side, whatever status it comes with"),
    Codes(_SKEW_CODES, "`retry`", "The server's clock is wrong: its operator's task"),
    Codes(
        _UNAUTHORIZED,
        "`unauthorized`",
        "The keys, or what they may do: IAM takes a while to know a change everywhere",
    ),
    Codes(_NOT_FOUND, "`refused`, short schedule", "The topic does not exist, or was made a moment ago"),
)
"""By code; a status over 499, 408 and 429 is `retry` whatever the code, and every other code is `refused`."""


def outcome(
    status: int, body: bytes | None, *, after: float | None = None, secrets: Iterable[str] = ()
) -> Outcome:
    """The outcome of one `Publish`.

    :param body: what came back, None if it was more than is read
    :param after: seconds that Retry-After asks to wait
    :param secrets: texts that no detail may hold
    """
    body = body or b""
    if 200 <= status < 300:
        found = _MESSAGE_ID.search(body)
        if found:
            return Delivered(found[1].decode())
        return Unknown(f"answered {status} without a MessageId")
    return refusal(status, _code(body), _message(body, secrets), after)


def batch_outcomes(
    status: int,
    body: bytes | None,
    firing_ids: Sequence[str],
    *,
    after: float | None = None,
    secrets: Iterable[str] = (),
) -> list[Outcome] | None:
    """The outcomes of one `PublishBatch`, in the order of its entries; None if SNS refused it as a batch.

    :param firing_ids: the entries' ids
    """
    if not 200 <= status < 300:
        whole = outcome(status, body, after=after, secrets=secrets)
        return [whole] * len(firing_ids) if isinstance(whole, Retry) else None
    found: dict[str, Outcome] = {}
    for member in _MEMBER.findall(body or b""):
        entry = _ENTRY_ID.search(member)
        result = _entry_outcome(member, secrets)
        if entry is None or result is None:
            continue
        firing_id = entry[1].decode()
        if firing_id in found:
            result = Unknown(f"answered {status} with two results for this message")
        found[firing_id] = result
    absent = Unknown(f"answered {status} without a result for this message")
    return [found.get(firing_id, absent) for firing_id in firing_ids]


def _entry_outcome(member: bytes, secrets: Iterable[str]) -> Outcome | None:
    """The outcome of one entry; None if its result cannot be read."""
    found = _MESSAGE_ID.search(member)
    if found:
        return Delivered(found[1].decode())
    code = _code(member)
    if not code:
        return None
    # What would have been a status, had it been sent alone.
    status = 500 if _NOT_OUR_FAULT.search(member) else 400
    return refusal(status, code, _message(member, secrets), None)


def refusal(status: int, code: str, message: str, after: float | None) -> Retry | Unauthorized | Refused:
    """What it means that AWS did not take a message or a call.

    :param code: AWS's, empty if there is none
    """
    detail = f"{code}: {message}" if code and message else code or f"HTTP {status}"
    if status >= 500 or status in (408, 429) or code in _THROTTLED | _TROUBLE:
        return Retry(detail, after)
    if code in _SKEW_CODES or (code in _UNAUTHORIZED and _SKEW.search(message)):
        # The keys may be perfect: it is this machine's clock that is wrong, and its operator's task.
        return Retry(f"the server's clock is wrong: {detail}", after)
    if code in _NOT_FOUND:
        return Refused(detail, final=False)
    if code in _UNAUTHORIZED or status in (401, 403):
        return Unauthorized(detail, known=code in _NOT_ALLOWED or code not in _UNAUTHORIZED)
    return Refused(detail, final=not (code == "" and status == 404))


def _code(body: bytes) -> str:
    found = _CODE.search(body)
    return found[1].decode().rpartition(":")[2] if found else ""


def _message(body: bytes, secrets: Iterable[str]) -> str:
    found = _MESSAGE.search(body)
    if not found:
        return ""
    return cleaned(unescape(found[1].decode("utf-8", "replace")), secrets)


def cleaned(text: str, secrets: Iterable[str]) -> str:
    """A message of AWS as a detail may hold it.

    :param secrets: texts that it may not hold
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    text = _UNPRINTABLE.sub(" ", _ACCESS_KEY_ID.sub(r"\1***\2", _ECHO.sub("", text))).strip()
    return text if len(text) <= MAX_MESSAGE_LENGTH else text[: MAX_MESSAGE_LENGTH - 1] + "…"
