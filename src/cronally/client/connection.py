"""What both clients share: the server's address, the signature, when to try again, and the API's errors.

Invariant: nothing is sent twice that may be carried out twice. A call is sent again only if it surely was not
carried out (no connection; 503) or if carrying it out twice is the same as once (`Call.repeatable`).
"""

from __future__ import annotations

import ipaddress
import json
import os
import random
import re
import ssl
import time
import warnings
from typing import Any, Final, Self, TypedDict, TypeVar
from urllib.parse import urlencode

import httpx2

from cronally import __version__, request_signatures, signing, variables, wire
from cronally.client.calls import Call, Json, Page
from cronally.errors import (
    CronallyError,
    InternalError,
    InvalidExpression,
    InvalidRequest,
    RateLimited,
    RequestError,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
    Unreachable,
)
from cronally.instants import SECOND

DEFAULT_URL: Final = "http://127.0.0.1:8000"
"""Where `cronally serve` listens when nothing else is set."""

MAX_WAIT: Final = 10.0
"""Seconds. Where a server asks for a longer pause, the client raises Unavailable instead of waiting."""

MAX_PATIENCE: Final = 300.0
"""Seconds that a list waits for one page, however often the server asks for a pause."""

V1: Final = "v1"
V2: Final = "v2"
"""Versions of the signature of requests."""

_API_KEY: Final = re.compile(r"[!-~]{1,200}")
_OLDER: Final = (
    "The server does not say that it takes signatures of version 2. If it is older than they are, and reached by"
    f' https, sign by version 1: signature_version="v1", or {variables.SIGNATURE_VERSION}=v1.'
)
_ACCEPT: Final = wire.ACCEPT_SIGNATURE_HEADER
_NEVER_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)

T = TypeVar("T")
Outcome = httpx2.Response | httpx2.RequestError
"""What became of one try: an answer with its body, or the reason why there is none."""


class PlaintextWarning(UserWarning):
    """Requests, and the secrets in them, travel unencrypted."""


class HttpOptions(TypedDict):
    """How both of httpx2's clients are set up."""

    timeout: httpx2.Timeout
    verify: ssl.SSLContext | bool
    trust_env: bool
    headers: dict[str, str]


class RequestParts(TypedDict):
    """What both of httpx2's clients build a request of."""

    method: str
    url: str
    data: dict[str, Any] | None
    headers: dict[str, str]


class Connection:
    """A server's address and an account's keys; the base of `Client` and `AsyncClient`."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        api_key: str | None = None,
        api_secret: str | None = None,
        *,
        timeout: float = 30.0,
        retries: int = 3,
        backoff: float = 0.2,
        signature_version: str = V2,
    ) -> None:
        """
        :param url: of the server, as `https://cron.example.com`. The signature covers the path as it is sent,
            so a proxy in between may not rewrite it.
        :param api_key: with `api_secret`, what sign-up gave; without both, only `signup` can be called
        :param timeout: seconds that one try waits for the connection (at most 5) and for each part of the
            answer
        :param retries: tries after the first one
        :param backoff: seconds before the first retry; doubles with each, with jitter, up to `MAX_WAIT`
        :param signature_version: `v2`; `v1` for a server that is older than version 2. It is never chosen by
            itself: who could make a client fall back could change its requests

        Raises ValueError for a URL or keys that cannot be used. Warns with PlaintextWarning about plain http
        to another machine.
        """
        self._url = _checked_url(url)
        if (api_key is None) != (api_secret is None):
            raise ValueError("an API key and its API secret belong together: give both or none")
        if api_key is not None and not _API_KEY.fullmatch(api_key):
            raise ValueError("the API key is not the text that sign-up gave")
        self._api_key = api_key
        self._secret = None if api_secret is None else signing.decode_secret(api_secret)
        if signature_version not in (V1, V2):
            raise ValueError(f"there are the signature versions {V1} and {V2}")
        self._signature_version = signature_version
        self._timeout = timeout
        self._retries = retries
        self._backoff = backoff
        self._on_loopback = _is_loopback(self._url.host)
        if self._url.scheme == "http" and not self._on_loopback:
            warnings.warn(
                f"{self.url} is plain http to another machine: everybody on the way can read and repeat the"
                " requests, secrets included; use https",
                PlaintextWarning,
                stacklevel=3,
            )

    @classmethod
    def from_environment(cls) -> Self:
        """A client for CRONALLY_URL with CRONALLY_API_KEY, CRONALLY_API_SECRET and CRONALLY_SIGNATURE_VERSION, each
        optional."""
        return cls(
            os.environ.get(variables.URL) or DEFAULT_URL,
            os.environ.get(variables.API_KEY) or None,
            os.environ.get(variables.API_SECRET) or None,
            signature_version=os.environ.get(variables.SIGNATURE_VERSION) or V2,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(url={self.url!r}, api_key={self._api_key!r})"

    @property
    def url(self) -> str:
        """The server's address, without a slash at its end."""
        return str(self._url).rstrip("/")

    def _http_options(self) -> HttpOptions:
        # A TLS context without certificates refuses everything: right where there is no TLS to be had, and
        # 70 ms faster to make than one that knows the system's certificates.
        plain = self._url.scheme == "http"
        return {
            "timeout": httpx2.Timeout(self._timeout, connect=min(self._timeout, 5.0)),
            "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else True,
            # A proxy set for the internet cannot reach this machine's loopback.
            "trust_env": not self._on_loopback,
            "headers": {"User-Agent": f"cronally-python/{__version__}", "Accept": "application/json"},
        }

    def _request_parts(self, call: Call[Any]) -> RequestParts:
        url = f"{self.url}{call.path}"
        return {
            "method": call.method,
            "url": f"{url}?{urlencode(call.query, doseq=True)}" if call.query else url,
            "data": None if call.form is None else dict(call.form),
            "headers": dict(call.headers),
        }

    def _signed(self, call: Call[Any], request: httpx2.Request) -> httpx2.Request:
        """A request to send now: its signature holds for minutes, and once, so each try makes its own."""
        if not call.signed:
            return request
        if self._api_key is None or self._secret is None:
            raise Unauthorized("this call is signed: give the client an API key and an API secret")
        now = time.time_ns() // 1000
        target = request.url.raw_path.decode("ascii")
        if self._signature_version == V1:
            date = signing.format_date(now)
            request.headers[wire.API_KEY_HEADER] = self._api_key
            request.headers[wire.DATE_HEADER] = date
            request.headers[wire.SIGNATURE_HEADER] = signing.sign(
                self._secret, target.partition("?")[0], call.method, date
            )
            return request
        request.headers.update(
            request_signatures.sign(
                self._secret,
                self._api_key,
                call.method,
                target,
                dict(request.headers),
                request.content,
                second=now // SECOND,
                nonce=os.urandom(16).hex(),
            )
        )
        return request

    def _wait(self, call: Call[Any], outcome: Outcome, tries: int) -> float | None:
        """Seconds until the call is to be sent again; None if this outcome is the last."""
        if tries > self._retries:
            return None
        jitter = random.uniform(0.5, 1.0)  # noqa: S311  # spreads clients in time; no secret hangs on it
        wait = min(MAX_WAIT, self._backoff * 2.0 ** (tries - 1)) * jitter
        if isinstance(outcome, httpx2.Response):
            if outcome.status_code != Unavailable.status:
                return None
            asked = _retry_after(outcome) or 0
            return None if asked > MAX_WAIT else max(wait, asked)
        if isinstance(outcome, _NEVER_SENT):
            return wait
        return wait if call.repeatable and isinstance(outcome, httpx2.TransportError) else None

    def _envelope(self, call: Call[Any], outcome: Outcome) -> Json:
        """The envelope of a success. Raises what the API, or the lack of an answer, says went wrong."""
        if isinstance(outcome, httpx2.RequestError):
            raise self._no_answer(call, outcome) from outcome
        envelope = _json_object(outcome)
        if outcome.is_success and envelope is not None and envelope.get("status") == "success":
            return envelope
        error = None if envelope is None or outcome.is_success else envelope.get("error")
        if isinstance(error, dict):
            raise _error_of(outcome, error, self._signature_version if call.signed else None)
        raise self._no_envelope(outcome)

    def _no_answer(self, call: Call[Any], error: httpx2.RequestError) -> CronallyError:
        if isinstance(error, httpx2.DecodingError):
            return UnexpectedAnswer(f"the answer of {self.url} cannot be decoded; check the URL")
        if isinstance(error, httpx2.TimeoutException):
            what = f"{self.url} does not answer within {self._timeout:g} s"
        else:
            what = f"{self.url} does not answer: {str(error) or type(error).__name__}"
        if isinstance(error, _NEVER_SENT) or call.repeatable:
            return Unreachable(f"{what}; check the URL and that the server is running")
        return Unreachable(f"{what}; it may have carried the call out: look before you repeat it")

    def _no_envelope(self, response: httpx2.Response) -> CronallyError:
        status = response.status_code
        if status == Unavailable.status:
            return Unavailable(retry_after=_retry_after(response))
        if response.is_redirect:
            location = response.headers.get("Location", "")[:200]
            return UnexpectedAnswer(f"{self.url} redirects to {location!r}; use the address it leads to")
        kind = response.headers.get("Content-Type", "no content type")[:100]
        return UnexpectedAnswer(
            f"{self.url} answered {status} with {kind!r}, which is no answer of Cronally; check the URL"
        )


class Patience:
    """How long a list that is being read waits for its next page, where the account has asked too often."""

    def __init__(self) -> None:
        self._left = MAX_PATIENCE

    def pause(self, problem: RateLimited) -> float:
        """The seconds to wait before it is asked for again. Raises the problem when that would be too long."""
        pause = MAX_WAIT if problem.retry_after is None else max(1.0, problem.retry_after)
        if pause > self._left:
            raise problem
        self._left -= pause
        return pause


def next_cursor(page: Page[Any], cursor: str | None) -> str | None:
    """The cursor of the page after `page`, which was asked for with `cursor`. Raises UnexpectedAnswer if the
    server leads in a circle."""
    if page.next_cursor is not None and page.next_cursor == cursor:
        raise UnexpectedAnswer("the server's list does not end: a page names itself as the next one")
    return page.next_cursor


def _checked_url(url: str) -> httpx2.URL:
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, TypeError):
        raise ValueError("the server's URL is no URL; it is written like https://cron.example.com") from None
    if parsed.scheme not in {"http", "https"} or not parsed.host or "%" in parsed.host:
        raise ValueError("the server's URL begins with https:// or http:// and names a host")
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise ValueError("the server's URL has no user, no query and no fragment")
    return parsed


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761, 6.3
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _json_object(response: httpx2.Response) -> dict[str, Any] | None:
    try:
        value = json.loads(response.content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _retry_after(response: httpx2.Response) -> int | None:
    """Whole seconds; the other form of the header, a date, is one that Cronally never sends."""
    text = response.headers.get("Retry-After", "")
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def _error_classes() -> dict[str, type[RequestError]]:
    classes: dict[str, type[RequestError]] = {}
    waiting = [RequestError]
    while waiting:
        kind = waiting.pop()
        waiting.extend(kind.__subclasses__())
        # A server in the same process has classes of its own.
        if kind is not RequestError and kind.__module__ == RequestError.__module__:
            classes[kind.code] = kind
    return classes


_BY_CODE: Final = _error_classes()
_BY_STATUS: Final = {kind.status: kind for kind in _BY_CODE.values() if kind is not InvalidExpression}


def _error_of(response: httpx2.Response, error: dict[str, Any], version: str | None) -> RequestError:
    """The exception of an error of the API; a code or status of a newer server becomes that of its class.

    :param version: of the signature; None: the call was not signed
    """
    status = response.status_code
    kind = _BY_CODE.get(str(error.get("code"))) or _BY_STATUS.get(status)
    if kind is None:
        kind = InvalidRequest if status < InternalError.status else InternalError  # RFC 9110, section 15
    message = error.get("message")
    fields = error.get("fields")
    server_time = error.get("server_time")
    if version is not None and isinstance(message, str) and isinstance(server_time, str):
        message = f"{message} The server's clock says {server_time}."  # a wrong clock is the usual reason
    if (
        version == V2
        and kind is Unauthorized
        and isinstance(message, str)
        and request_signatures.TAG not in response.headers.get(_ACCEPT, "")
    ):
        message = f"{message} {_OLDER}"
    return kind(
        message if isinstance(message, str) else None,
        fields={str(name): str(text) for name, text in fields.items()} if isinstance(fields, dict) else None,
        retry_after=_retry_after(response),
    )
