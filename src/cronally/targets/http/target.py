"""The target `http`: calls a tenant's URL.

Invariant: one call of `send` is at most one request, towards an allowed address (`egress`). Of what comes back from an
address that is not public nothing but the status reaches a tenant, unless the operator says otherwise: a URL that led
somewhere inside would show nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from cronally import instants
from cronally.instants import SECOND, format_duration
from cronally.targets.answer import Answer
from cronally.targets.egress import NOT_PUBLIC, Egress, EgressRefused
from cronally.targets.http.answers import MAX_BODY, is_kept, kept_of, secrets_of
from cronally.targets.http.content import BODY, METHOD, check_content, content, with_own
from cronally.targets.http.hosts import Hosts
from cronally.targets.http.statuses import is_success, outcome
from cronally.targets.pool import USER_AGENT, Pool, retry_after
from cronally.targets.resolver import LookupsBusy
from cronally.targets.target import (
    Destination,
    Look,
    Message,
    Outcome,
    Receiver,
)
from cronally.targets.url import parse_url
from cronally.wire import IDEMPOTENCY_KEY_HEADER

URL_PARAMETER: Final = "delivery_http_url"
HEADERS: Final = "delivery_http_headers"
SUCCESS: Final = "delivery_http_success"
TIMEOUT: Final = "delivery_http_timeout"


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
        keep_internal: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        :param egress: which addresses may be called
        :param keep_internal: whether answers of addresses that are not public may be kept
        :param connections: how many may be open at a time; not fewer than firings are sent at a time
        :param clock: seconds since 1970, for a Retry-After that is a date
        """
        self._egress = egress
        self._keeps_internal = keep_internal
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
        """What is wrong with `delivery_http_url`, and with a body where none is sent."""
        complaints = check_content(parameters)
        most = int(self._pool.total_timeout * SECOND)
        if parameters.get(TIMEOUT, 0) > most:
            allowed = format_duration(most)
            complaints[TIMEOUT] = f"is longer than a request of this server may take; give {allowed} at most"
        try:
            if URL_PARAMETER in parameters:
                self._egress.parse_url(parameters[URL_PARAMETER])
        except ValueError as error:
            complaints[URL_PARAMETER] = str(error)
        return complaints

    async def look(self, parameters: Mapping[str, Any], account_id: str) -> Look:
        """Look where the URL's host leads now, and warn of a byte order mark as for `sns`."""
        warnings = []
        if parameters.get(BODY, "").startswith("\ufeff"):
            warnings.append(f"{BODY} begins with a byte order mark (U+FEFF), which is sent too.")
        try:
            url = self._egress.parse_url(parameters[URL_PARAMETER])
        except (KeyError, ValueError):
            return Look(warnings=warnings or ())  # `check` says it
        match await self._hosts.problem(url.origin, account_id):
            case None:
                pass
            case EgressRefused():
                return Look(complaints={URL_PARAMETER: f"has a host that {NOT_PUBLIC}"}, warnings=warnings)
            case LookupsBusy() as problem:
                warnings.append(f"The host of {URL_PARAMETER} was not looked up: {problem}.")
            case _:
                warnings.append(
                    f"The host of {URL_PARAMETER} does not resolve now, and firings fail until it does; is it spelt"
                    " right?"
                )
        return Look(warnings=warnings or ())

    def check_size(self, parameters: Mapping[str, Any], cronjob_name: str) -> dict[str, str]:
        """Nothing: the contract bounds what is sent, and a receiver says itself what is too much for it."""
        return {}

    @property
    def request_timeout(self) -> float:
        """Seconds that one call of `send` takes at most."""
        return self._pool.total_timeout

    def receiver(self, public: Mapping[str, Any]) -> Receiver:
        """The URL's host and port; limits of all accounts count by the host alone.

        A host is written in one way: `Egress.parse_url` refuses a dot behind it when a cron job is written.
        """
        origin = parse_url(public[URL_PARAMETER]).origin
        name = f"{self.name}:{origin.host}:{origin.port}"
        return Receiver(name, origin.host, name, len(public.get(BODY, "").encode()))

    def host(self, value: str) -> str:
        """The URL's host."""
        return parse_url(value).origin.host

    async def send(self, destination: Destination, message: Message) -> Outcome:
        """Call once."""
        public = destination.public
        url = parse_url(destination.whole(URL_PARAMETER))
        headers = _headers(message)
        if url.authorization is not None:
            headers["Authorization"] = url.authorization
        body, content_type = content(public, message)
        if content_type is not None:
            headers["Content-Type"] = content_type
        answer = await self._pool.request(
            public[METHOD].upper(),
            url,
            with_own(headers, public.get(HEADERS, {})),
            body,
            # The status says all. What is not kept of a body and not here yet is not waited for.
            whole=False,
            account_id=destination.account_id,
            wanted=partial(self._wanted, public),
            seconds=self._seconds(public),
        )
        if not isinstance(answer, Answer):
            return answer
        after = retry_after(answer.headers.get("retry-after"), self._clock())
        found = outcome(answer.status, message.attempt, after, public.get(SUCCESS))
        if not self._is_kept(public, answer.ip, answer.status):
            return found
        sealed = [*destination.secret.values(), url.authorization or ""]
        return replace(found, kept=kept_of(answer, secrets_of(sealed, public[URL_PARAMETER])))

    def _seconds(self, public: Mapping[str, Any]) -> float:
        """That a request may take: never more than the sender's lease was measured for."""
        own = public.get(TIMEOUT)
        return self._pool.total_timeout if own is None else min(own / SECOND, self._pool.total_timeout)

    def _wanted(self, public: Mapping[str, Any], ip: str, status: int) -> int:
        """How many bytes of a body are waited for."""
        return MAX_BODY if self._is_kept(public, ip, status) else 0

    def _is_kept(self, public: Mapping[str, Any], ip: str, status: int) -> bool:
        delivered = is_success(status, public.get(SUCCESS))
        return is_kept(public, delivered) and (self._keeps_internal or self._egress.is_public(ip))

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()


def _headers(message: Message) -> dict[str, str]:
    return {
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


def header_text(text: str) -> str:
    """A text as a header's value: plain if it is plain ASCII, else percent-encoded. Decoding is right for both."""
    plain = text.isascii() and text.isprintable() and "%" not in text and text == text.strip()
    return text if plain else quote(text, safe="", errors="replace")
