"""The target `http`: calls a tenant's URL.

Invariant: one call of `send` is at most one request, towards an allowed address (`egress`), and nothing of what
comes back but the status reaches a tenant: a URL that led somewhere inside would show nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from cronally import instants
from cronally.contract.url_secrets import MASK
from cronally.targets.answer import Answer
from cronally.targets.egress import NOT_PUBLIC, Egress, EgressRefused
from cronally.targets.http import events, signatures
from cronally.targets.http.hosts import Hosts
from cronally.targets.http.statuses import outcome
from cronally.targets.pool import USER_AGENT, Pool, retry_after
from cronally.targets.resolver import LookupsBusy
from cronally.targets.target import (
    Destination,
    Look,
    Message,
    Outcome,
    Receiver,
    Refused,
)
from cronally.targets.url import parse_origin, parse_url
from cronally.wire import IDEMPOTENCY_KEY_HEADER

METHOD: Final = "delivery_http_method"
URL_PARAMETER: Final = "delivery_http_url"


class HttpTarget:
    """Calls URLs over one pool."""

    name = "http"
    host_by = URL_PARAMETER

    def __init__(
        self,
        *,
        egress: Egress,
        connect_timeout: float = 5.0,
        total_timeout: float = 10.0,
        connections: int = 256,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        :param egress: which addresses may be called
        :param connections: how many may be open at a time; not fewer than firings are sent at a time
        :param clock: seconds since 1970, for a Retry-After that is a date
        """
        self._egress = egress
        # No limit for a host here: what accounts may send to one the dispatcher decides, before it asks for a
        # connection.
        self._pool = Pool(
            connections=connections,
            connect_timeout=connect_timeout,
            total_timeout=total_timeout,
            check=egress.check,
        )
        self._hosts = Hosts(egress.check)
        self._clock = clock

    def check(self, parameters: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with the `delivery_http_*` parameters."""
        complaints = {}
        try:
            if URL_PARAMETER in parameters:
                self._egress.parse_url(parameters[URL_PARAMETER])
        except ValueError as error:
            complaints[URL_PARAMETER] = str(error)
        wrong = signatures.check(parameters.get(signatures.OWN, signatures.NONE))
        if wrong is not None:
            complaints[signatures.OWN] = wrong
        if parameters.get(events.FORMAT) == events.STRUCTURED and parameters.get(METHOD) == "get":
            complaints[events.FORMAT] = (
                f"needs a body, and a GET has none; give {METHOD}=post, or {events.BINARY}"
            )
        return complaints

    async def look(self, parameters: Mapping[str, Any], account_id: str) -> Look:
        """Look where the URL's host leads now."""
        try:
            url = self._egress.parse_url(parameters[URL_PARAMETER])
        except (KeyError, ValueError):
            return Look()  # `check` says it
        match await self._hosts.problem(url.origin, account_id):
            case None:
                return Look()
            case EgressRefused():
                return Look(complaints={URL_PARAMETER: f"has a host that {NOT_PUBLIC}"})
            case LookupsBusy() as problem:
                return Look(warnings=[f"The host of {URL_PARAMETER} was not looked up: {problem}."])
        return Look(
            warnings=[
                f"The host of {URL_PARAMETER} does not resolve now, and firings fail until it does; is it spelt right?"
            ]
        )

    def check_size(self, parameters: Mapping[str, Any], cronjob_name: str) -> dict[str, str]:
        """Nothing: what is sent is small."""
        return {}

    @property
    def request_timeout(self) -> float:
        """Seconds that one call of `send` takes at most."""
        return self._pool.total_timeout

    def receiver(self, public: Mapping[str, Any]) -> Receiver:
        """The URL's host and port; limits of all accounts count by the host alone.

        A host is written in one way: `Egress.parse_url` refuses a dot behind it when a cron job is written.
        """
        origin = parse_origin(public[URL_PARAMETER])
        name = f"{self.name}:{origin.host}:{origin.port}"
        return Receiver(name, origin.host, name)

    def host(self, value: str) -> str:
        """The URL's host."""
        return parse_origin(value).host

    async def send(self, destination: Destination, message: Message) -> Outcome:
        """Call once."""
        post = destination.public[METHOD] == "post"
        url = parse_url(destination.whole(URL_PARAMETER))
        headers, body = _request(destination, message)
        if url.authorization is not None:
            headers["Authorization"] = url.authorization
        try:
            secrets = signatures.secrets_of(destination.secret)
            headers |= signatures.sign(secrets, message.firing_id, int(self._clock()), body or b"")
        except ValueError as problem:
            return Refused(f"the signing secret {problem}")
        answer = await self._pool.request(
            "POST" if post else "GET",
            url,
            headers,
            body,
            # The status says all. A body that is not here yet is not waited for; its connection is closed then.
            whole=False,
            account_id=destination.account_id,
        )
        if not isinstance(answer, Answer):
            return answer
        after = retry_after(answer.headers.get("retry-after"), self._clock())
        return outcome(answer.status, message.attempt, after)

    def show(self, destination: Destination, message: Message) -> dict[str, Any]:
        """The request that `send` makes; what authenticates it is masked."""
        url, post = destination.public[URL_PARAMETER], destination.public[METHOD] == "post"
        headers, body = _request(destination, message)
        if parse_url(url).userinfo is not None:
            headers["Authorization"] = MASK
        shown = {"method": "POST" if post else "GET", "url": url, "headers": headers}
        return shown if body is None else {**shown, "body": body.decode()}

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()


def _request(destination: Destination, message: Message) -> tuple[dict[str, str], bytes | None]:
    """The headers and the body that tell of a firing, without what authenticates them."""
    post = destination.public[METHOD] == "post"
    headers, body = _headers(message, post), _body(message) if post else None
    match destination.public.get(events.FORMAT):
        case events.BINARY:
            headers |= events.in_headers(message)
        case events.STRUCTURED if body is not None:
            body = events.around(message, headers["Content-Type"], body)
            headers["Content-Type"] = events.STRUCTURED_TYPE
    return headers, body


def _headers(message: Message, post: bool) -> dict[str, str]:
    headers = {
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "User-Agent": USER_AGENT,
        IDEMPOTENCY_KEY_HEADER: message.firing_id,
        "Cronally-Firing-Id": message.firing_id,
        "Cronally-Cronjob-Id": message.cronjob_id,
        "Cronally-Cronjob-Name": header_text(message.cronjob_name),
        "Cronally-Scheduled-At": instants.format_iso(message.scheduled_at),
        "Cronally-Attempt": str(message.attempt),
    }
    if post:
        headers["Content-Type"] = "application/json"
    return headers


def _body(message: Message) -> bytes:
    return json.dumps(
        {
            "firing_id": message.firing_id,
            "cronjob_id": message.cronjob_id,
            "cronjob_name": message.cronjob_name,
            "scheduled_at": instants.format_iso(message.scheduled_at),
            "attempt": message.attempt,
        }
    ).encode()


def header_text(text: str) -> str:
    """A text as a header's value: plain if it is plain ASCII, else percent-encoded. Decoding is right for both."""
    plain = text.isascii() and text.isprintable() and "%" not in text and text == text.strip()
    return text if plain else quote(text, safe="", errors="replace")
