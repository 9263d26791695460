"""What the answer to a call of AWS means for a firing.

Invariant: as in `sns.answers`: every answer is one outcome, a detail carries AWS's own code and message, and nothing of
a detail is a secret. What failed in part has failed: an answer of success that names failures is none.

The answers are read by botocore's parsers, one for each of AWS's protocols, from what is bounded already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from botocore.awsrequest import HeadersDict
from botocore.exceptions import BotoCoreError
from botocore.parsers import ResponseParserError

from cronally.targets.answer import Answer
from cronally.targets.aws.operation import Operation
from cronally.targets.sns.answers import cleaned, refusal
from cronally.targets.target import Delivered, Outcome, Refused, Retry, Unauthorized, Unknown

_IDS: Final = ("MessageId", "messageId")
_REQUEST_IDS: Final = ("x-amzn-requestid", "x-amz-request-id", "x-amz-requestid")
_MAX_ID: Final = 100
_MAX_MESSAGE: Final = 4096
_MAX_LOOKED_AT: Final = 1_000
"""Entries of an answer."""

_CODES: Final = ("ErrorCode", "errorCode", "Code", "code", "reason", "FailureReason")
_MESSAGES: Final = ("ErrorMessage", "errorMessage", "Message", "message", "detail")

# Of https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html those that pass.
_PASSING: Final = ("RESOURCE:", "AGENT", "Capacity is unavailable", "LOCATION")
_PROBABLY_ABSENT: Final = (
    "NotFound",
    "NotFoundException",
    "NotFoundFault",
    "DoesNotExist",
    "NonExistentQueue",
)
_UNAUTHORIZED: Final = frozenset(
    {
        "InvalidToken",
        "InvalidTokenId",
        "NotAuthorizedException",
        "TokenRefreshRequired",
        "UnauthorizedException",
    }
)


def outcome(
    operation: Operation,
    answer: Answer,
    *,
    after: float | None = None,
    secrets: Iterable[str] = (),
    made: frozenset[str] = frozenset(),
) -> Outcome:
    """The outcome of one call.

    :param after: seconds that Retry-After asks to wait
    :param secrets: texts that no detail may hold
    :param made: codes that say that an earlier attempt has made what this one would make
    """
    if 300 <= answer.status < 400:
        return Refused(f"HTTP {answer.status}: it is in another region, or somewhere else")
    parsed = _parse(operation, answer)
    if answer.status < 300:
        if parsed is None and operation.failures:
            return Unknown(f"answered {answer.status}, and what it says of failures cannot be read")
        failed = _failure(operation, parsed or {}, secrets)
        return Delivered(_message_id(parsed or {}, answer)) if failed is None else failed
    error = (parsed or {}).get("Error")
    error = error if isinstance(error, Mapping) else {}
    code = _text(error.get("Code")).rpartition(":")[2][:_MAX_ID]
    if code in made:
        return Delivered(None)
    if code.isdecimal():
        code = ""  # the status again, where there is no code
    message = cleaned(_text(error.get("Message") or error.get("message"))[:_MAX_MESSAGE], secrets)
    return _refused(answer.status, cleaned(code, secrets), message, after)


def _parse(operation: Operation, answer: Answer) -> Mapping[str, Any] | None:
    """What an answer says, by the operation's protocol; None for what cannot be read."""
    if answer.body is None:
        return None
    response = {
        "status_code": answer.status,
        "headers": HeadersDict(answer.headers),
        "body": answer.body,
        "context": {"operation_name": operation.action},
    }
    try:
        parsed = operation.parser.parse(response, operation.model.output_shape)
    except (ResponseParserError, BotoCoreError, ValueError, TypeError, KeyError, AttributeError, LookupError):
        return None
    except (RecursionError, ArithmeticError):
        return None
    return parsed if isinstance(parsed, Mapping) else None


def _message_id(parsed: Mapping[str, Any], answer: Answer) -> str | None:
    """The id that the service gave to what it was sent, or to the request."""
    metadata = parsed.get("ResponseMetadata") or {}
    found = [parsed.get(name) for name in _IDS] + [metadata.get("RequestId")]
    found += [answer.headers.get(name) for name in _REQUEST_IDS]
    for text in found:
        if isinstance(text, str) and text:
            return text[:_MAX_ID]
    return None


def _failure(operation: Operation, parsed: Mapping[str, Any], secrets: Iterable[str]) -> Outcome | None:
    """What it means that a call succeeded in part, or not at all; None if nothing failed."""
    name = next((name for name in sorted(operation.failures) if parsed.get(name)), None)
    if name is None:
        return None
    entries = [
        one
        for value in parsed.values()
        if isinstance(value, list)
        for one in value[:_MAX_LOOKED_AT]
        if isinstance(one, Mapping) and _first(one, _CODES)
    ]
    value = parsed[name]
    if not entries:
        # Without a reason: a function's own failure, or what there was no room for.
        text = cleaned(value, secrets) if isinstance(value, str) else "what was sent was not taken whole"
        return Retry(f"{name}: {text}")
    code, message = _first(entries[0], _CODES), _first(entries[0], _MESSAGES)
    said = _refused(
        400, cleaned(code[:_MAX_ID], secrets), cleaned(message[:_MAX_MESSAGE], secrets), after=None
    )
    detail = f"{name}, {len(entries):,} of what was sent: {said.detail}"
    if any(_passes(_first(one, _CODES)) for one in entries):
        return Retry(detail)
    return Unauthorized(detail, known=said.known) if isinstance(said, Unauthorized) else Refused(detail)


def _passes(code: str) -> bool:
    """Whether a failure of one entry may be none the next time."""
    return code.startswith(_PASSING) or isinstance(refusal(400, code.rpartition(":")[2], "", None), Retry)


def _refused(status: int, code: str, message: str, after: float | None) -> Retry | Unauthorized | Refused:
    if code in _UNAUTHORIZED:
        return Unauthorized(f"{code}: {message}" if message else code)
    found = refusal(status, code, message, after)
    absent = code.endswith(_PROBABLY_ABSENT) or code.startswith("NoSuch")
    return Refused(found.detail, final=False) if absent and isinstance(found, Refused) else found


def _first(entry: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next((_text(entry[name]) for name in names if entry.get(name)), "")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
