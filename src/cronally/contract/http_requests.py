"""What a request to an address is made of: its method, headers and body, and which answers are success.

Invariant: pure. A header that is taken can be sent as it is, beside those that Cronally sends itself, and holds nothing
that looks like a secret: what stands here is stored and shown in the clear.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Final, Literal

from cronally.contract.attribute import Attribute
from cronally.contract.status_sets import EXPECTED, HIGHEST, MAX_ENTRIES, check_statuses
from cronally.contract.url_secrets import looks_secret
from cronally.instants import MINUTE, SECOND
from cronally.wire import IDEMPOTENCY_KEY_HEADER

MAX_BODY: Final = 262_144
"""Bytes in UTF-8: as a message of SNS."""
MAX_HEADERS: Final = 30
MAX_HEADER_BYTES: Final = 8192
"""Of all headers together, as they are sent."""
MAX_CONTENT_TYPE: Final = 256
LEAST_SUCCESS: Final = 200
LEAST_FAILURE: Final = 300
"""The lowest status of an answer that may be chosen to mean a retry, or a refusal."""
DEFAULT_SUCCESS: Final = "2xx"
KEEP_ALWAYS: Final = "always"
KEEP_NEVER: Final = "never"
DEFAULT_KEEP_ANSWER: Final = "failures"
MAX_TIMEOUT: Final = 15 * MINUTE
"""Microseconds. The server may allow less: what is longer than a request usually may take needs a place of its own."""
WITHOUT_BODY: Final = frozenset({"get", "head"})
"""Methods that no body is sent with: what it would mean is not defined, and servers on the way drop it (RFC 9110,
9.3.1)."""
_MAX_MARKS: Final = 256
"""Of what stands behind a name, in all headers together: each name is looked at."""

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_VALUE: Final = re.compile(r"[ -~]*", re.ASCII)
_MEDIA_TYPE: Final = re.compile(
    rf"{_TOKEN.pattern}/{_TOKEN.pattern}(?: ?; ?{_TOKEN.pattern}=(?:{_TOKEN.pattern}|\"[ !#-\[\]-~]*\"))*",
    re.ASCII,
)
_CHARSET: Final = re.compile(r"; ?charset=\"?([^;\"]*)", re.ASCII | re.IGNORECASE)

_BY_CRONALLY: Final = "Cronally sends it itself"
_OF_CONNECTION: Final = "it is about the connection, not the request"
_RESERVED: Final[Mapping[str, str]] = {
    "Accept-Encoding": "an answer is read as it is sent, without compression",
    "Connection": _OF_CONNECTION,
    "Content-Length": _BY_CRONALLY,
    "Content-Type": "give delivery_http_content_type",
    "Expect": _OF_CONNECTION,
    "Host": "it is that of delivery_http_url",
    IDEMPOTENCY_KEY_HEADER: _BY_CRONALLY,
    "Keep-Alive": _OF_CONNECTION,
    "TE": _OF_CONNECTION,
    "Trailer": _OF_CONNECTION,
    "Transfer-Encoding": _OF_CONNECTION,
    "Upgrade": _OF_CONNECTION,
    "User-Agent": "it says that Cronally is the sender",
}
_RESERVED_PREFIXES: Final[Mapping[str, str]] = {
    "Cronally-": _BY_CRONALLY,
    "Proxy-": _OF_CONNECTION,
    "webhook-": _BY_CRONALLY,
}
_SECRET_NAMES: Final = frozenset({"cookie", "cookie2"})
_TELLTALE: Final = (
    "holds what looks like a secret, in its entry {place}: headers of a cron job are stored and shown in the clear; put"
    " it into a connection"
)


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of a request, sorted by name. A complaint names no name and no value that was sent: either may be a
    secret."""
    found: dict[str, str] = {}
    if sum(text.count(mark) for text in headers.values() for mark in "=:%") > _MAX_MARKS:
        raise ValueError("holds too many = : and % to be looked through; send such a text in the body")
    for place, (name, text) in enumerate(headers.items(), start=1):
        value = text.strip()
        if not _TOKEN.fullmatch(name):
            raise ValueError(
                f"has a name, in its entry {place}, that is none; give letters, digits and hyphens"
            )
        _refuse_reserved(name.lower())
        if not _VALUE.fullmatch(value):
            raise ValueError(
                f"has a value, in its entry {place}, with control characters or characters outside ASCII;"
                " percent-encode them"
            )
        if name.lower() in _SECRET_NAMES or looks_secret(name, value):
            raise ValueError(_TELLTALE.format(place=place))
        found[name] = value
    if len({name.lower() for name in found}) < len(found):
        raise ValueError("holds a name more than once, capitals aside; send each once")
    size = sum(len(name) + len(value) + len(": \r\n") for name, value in found.items())
    if size > MAX_HEADER_BYTES:
        raise ValueError(f"has {size:,} bytes as it is sent; give {MAX_HEADER_BYTES:,} at most")
    return dict(sorted(found.items(), key=lambda header: header[0].lower()))


def _refuse_reserved(name: str) -> None:
    for reserved, reason in _RESERVED.items():
        if name == reserved.lower():
            raise ValueError(f"holds {reserved}, which cannot be chosen: {reason}")
    for prefix, reason in _RESERVED_PREFIXES.items():
        if name.startswith(prefix.lower()):
            raise ValueError(f"holds a name that begins with {prefix}, which cannot be chosen: {reason}")


def check_content_type(text: str) -> str:
    """The media type of a body."""
    if len(text) > MAX_CONTENT_TYPE or not _MEDIA_TYPE.fullmatch(text):
        raise ValueError("is no media type; give one like application/json or text/plain; charset=utf-8")
    charset = _CHARSET.search(text)
    if charset is not None and charset[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        raise ValueError("has another charset than utf-8, in which the body is sent; leave it out")
    return text


def check_success(texts: list[str]) -> list[str]:
    """Statuses of answers that deliver."""
    return check_statuses(texts, LEAST_SUCCESS, HIGHEST)


def check_failures(texts: list[str]) -> list[str]:
    """Statuses of answers that do not deliver."""
    return check_statuses(texts, LEAST_FAILURE, HIGHEST)


HttpMethod = Annotated[
    Literal["get", "post", "put", "patch", "delete", "head"],
    Attribute("How it is called", "one of get, post, put, patch, delete, head", any_case=True, absent=True),
]
HttpHeaders = Annotated[
    dict[str, str],
    Attribute(
        f"Headers of its own: up to {MAX_HEADERS}, of {MAX_HEADER_BYTES:,} bytes together; a change replaces all of"
        " them, and an empty text takes them away. What looks like a secret is refused",
        "headers, each as `name: value`",
        example={"Accept": "application/json"},
        check=check_headers,
        max_length=MAX_HEADERS,
        may_be_empty=True,
        template="header",
        also="header",
        optional=True,
        absent=True,
    ),
]
HttpBody = Annotated[
    str,
    Attribute(
        f"The body, up to {MAX_BODY:,} bytes in UTF-8, and not with get and head; an empty text, as without it, stands"
        " for the JSON document of the firing, and with delete for no body",
        "the text to send",
        example='{"report": "daily"}',
        min_length=0,
        max_bytes=MAX_BODY,
        file=True,
        template=True,
        may_be_empty=True,
        optional=True,
        absent=True,
    ),
]
HttpContentType = Annotated[
    str,
    Attribute(
        "The media type of delivery_http_body; without it, or with an empty text, application/json for JSON and"
        " text/plain for any other",
        "a media type, such as application/json",
        example="application/json",
        check=check_content_type,
        min_length=0,
        max_length=MAX_CONTENT_TYPE,
        may_be_empty=True,
        optional=True,
        absent=True,
    ),
]
_Entry = Annotated[str, Attribute("", EXPECTED, max_length=7)]
_Statuses = list[_Entry] | tuple[_Entry, ...]


def _statuses(
    description: str,
    example: tuple[str, ...],
    check: Callable[[list[str]], list[str]] = check_failures,
) -> Attribute:
    return Attribute(
        description,
        EXPECTED,
        example=example,
        check=check,
        max_length=MAX_ENTRIES,
        may_be_empty=True,
        optional=True,
        absent=True,
    )


HttpSuccess = Annotated[
    _Statuses,
    _statuses(
        f"Which statuses from {LEAST_SUCCESS} to {HIGHEST} make a firing delivered: single ones, classes (2xx) and"
        f" ranges (200-204); by default, and with an empty text, {DEFAULT_SUCCESS}",
        ("2xx", "404"),
        check_success,
    ),
]
HttpRetryStatuses = Annotated[
    _Statuses,
    _statuses(
        f"Statuses from {LEAST_FAILURE} to {HIGHEST} after which it is tried again by retry_schedule, whatever they"
        " mean by default: single ones, classes (5xx) and ranges (500-504)",
        ("404", "410"),
    ),
]
HttpRefusedStatuses = Annotated[
    _Statuses,
    _statuses(
        f"Statuses from {LEAST_FAILURE} to {HIGHEST} after which it has failed at once, whatever they mean by default",
        ("401", "501"),
    ),
]
HttpKeepAnswer = Annotated[
    Literal["failures", "always", "never"],
    Attribute(
        "Which answers are kept, sealed, with the attempt: those that did not deliver (failures), all, or none",
        "one of failures, always, never",
        default=DEFAULT_KEEP_ANSWER,
        optional=True,
        absent=True,
    ),
]
HTTP_TIMEOUT: Final = Attribute(
    "How long one request may take, from 1s to 15m, if the server has places for those that may take longer than it"
    " lets a request take by default (10s, if its operator chose nothing else); an empty text takes it away",
    "how long a request may take, such as 5s",
    example="5s",
    minimum=SECOND,
    maximum=MAX_TIMEOUT,
    may_be_empty=True,
    optional=True,
    absent=True,
)
