"""The parameters of `http`: an address, and a request to it.

Invariant: as in `targets`. What an answer shows of them stands beside them, in the order of the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final, Literal, TypedDict

from cronally.contract.attribute import Attribute
from cronally.contract.http_requests import (
    HTTP_TIMEOUT,
    HttpBody,
    HttpContentType,
    HttpHeaders,
    HttpKeepAnswer,
    HttpMethod,
    HttpRefusedStatuses,
    HttpRetryStatuses,
    HttpSuccess,
)
from cronally.contract.url_secrets import hide_url
from cronally.contract.writing import Answer

MAX_URL: Final = 2048
"""Characters: what web servers and proxies take everywhere."""

MAX_SECRET_PARTS: Final = 20


def _hide_url(text: str, values: Mapping[str, Any]) -> str:
    return hide_url(text, values.get("delivery_http_secret_parts", ()))


HttpUrl = Annotated[
    str,
    Attribute(
        "The URL that is called; for delivery_type http. A user name and password in it are sent as a header; secrets"
        " in it are sealed, and shown as ***",
        "a URL such as https://example.com/hook",
        example="https://example.com/hook",
        min_length=1,
        max_length=MAX_URL,
        hide=_hide_url,
        goes_with="delivery_http_secret_parts",
        template="url",
        file=True,
        absent=True,
    ),
]
_Part = Annotated[str, Attribute("", "the name of a query parameter", max_length=64)]
HttpSecretParts = Annotated[
    list[_Part] | tuple[_Part, ...],
    Attribute(
        "What else of delivery_http_url is secret, beside what looks so: names of query parameters; / is the path",
        "names of query parameters, or / for the path",
        example=("chat_id",),
        max_length=MAX_SECRET_PARTS,
        optional=True,
        absent=True,
    ),
]
HttpSigningSecret = Annotated[
    str,
    Attribute(
        "What requests are signed with, as Standard Webhooks says: whsec_ and 24 to 64 bytes in base64, or whsk_ and an"
        " ed25519 key; while it is replaced two, the new one first; none takes it away. Sealed, and never shown again",
        "a signing secret that begins with whsec_ or whsk_, or two with a comma between them, or none",
        example="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        min_length=1,
        max_length=256,
        secret=True,
        optional=True,
        file=True,
    ),
]
HttpFormat = Annotated[
    Literal["default", "cloudevents-binary", "cloudevents-structured"],
    Attribute(
        "How a firing is told: in Cronally's headers alone (default), as a CloudEvent in headers beside them"
        " (cloudevents-binary), or as one that the body is (cloudevents-structured)",
        "default, cloudevents-binary or cloudevents-structured",
        default="default",
        optional=True,
        absent=True,
    ),
]


class HttpParameters(TypedDict, total=False):
    """The parameters of `http`: a request to an address."""

    delivery_http_method: HttpMethod
    delivery_http_url: HttpUrl
    delivery_http_secret_parts: HttpSecretParts
    delivery_http_signing_secret: HttpSigningSecret
    delivery_http_format: HttpFormat
    delivery_http_headers: HttpHeaders
    delivery_http_body: HttpBody
    delivery_http_content_type: HttpContentType
    delivery_http_success: HttpSuccess
    delivery_http_keep_answer: HttpKeepAnswer
    delivery_http_timeout: Annotated[str | timedelta, HTTP_TIMEOUT]
    delivery_http_retry_statuses: HttpRetryStatuses
    delivery_http_refused_statuses: HttpRefusedStatuses


@dataclass(frozen=True, kw_only=True)
class ShownHttp(Answer):
    """What an answer shows of them before the parameters of the targets of AWS."""

    delivery_http_url: HttpUrl | None = None
    delivery_http_method: HttpMethod | None = None
    delivery_http_secret_parts: HttpSecretParts | None = None
    delivery_http_format: HttpFormat | None = None
    delivery_http_headers: HttpHeaders | None = None
    delivery_http_body: HttpBody | None = None
    delivery_http_content_type: HttpContentType | None = None
    delivery_http_success: HttpSuccess | None = None
    delivery_http_keep_answer: HttpKeepAnswer | None = None


@dataclass(frozen=True, kw_only=True)
class ShownHttpLast(Answer):
    """What an answer shows of them after those: they were added later, and a key keeps its place."""

    delivery_http_timeout: Annotated[str | None, HTTP_TIMEOUT] = None
    delivery_http_retry_statuses: HttpRetryStatuses | None = None
    delivery_http_refused_statuses: HttpRefusedStatuses | None = None
