"""The target `http`: calls a tenant's URL.

Invariant: one call of `send` is at most one request to the receiver, towards an allowed address (`egress`), after one
to a token endpoint where its connection has no access token (`tokens`). Of what comes back from an address that is not
public nothing but the status reaches a tenant, unless the operator says otherwise: a URL that led somewhere inside
would show nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final
from uuid import uuid4

from cronally import instants
from cronally.contract.url_secrets import MASK
from cronally.instants import SECOND, format_duration
from cronally.targets.answer import Answer
from cronally.targets.connected import CONNECTION_ID, GRANT, credentials_in, request_headers, secret_texts
from cronally.targets.egress import Egress, EgressRefused, Refusal
from cronally.targets.http import events, proofs, signatures
from cronally.targets.http.answers import MAX_BODY, is_kept, kept_of, secrets_of
from cronally.targets.http.content import BODY, METHOD, check_content, content, has_body, with_own
from cronally.targets.http.grants import Token
from cronally.targets.http.hosts import Hosts
from cronally.targets.http.signing import signed
from cronally.targets.http.statuses import Choices, outcome
from cronally.targets.http.tokens import Tokens
from cronally.targets.own_tls import own_tls
from cronally.targets.pool import USER_AGENT, Pool, retry_after
from cronally.targets.proving import Found
from cronally.targets.proxy import Proxy
from cronally.targets.resolver import LookupsBusy
from cronally.targets.target import (
    Delivered,
    Destination,
    Look,
    Message,
    Outcome,
    Receiver,
    Refused,
    Reply,
    Unauthorized,
)
from cronally.targets.trying import Tried
from cronally.targets.url import host_and_port, parse_origin, parse_url
from cronally.wire import IDEMPOTENCY_KEY_HEADER, header_text

URL_PARAMETER: Final = "delivery_http_url"
HEADERS: Final = "delivery_http_headers"
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
        longest: float = 0.0,
        connections: int = 256,
        proxy: Proxy | None = None,
        keep_internal: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        :param egress: which hosts and addresses may be called
        :param proxy: through which they are called
        :param keep_internal: whether answers of addresses that are not public may be kept
        :param longest: seconds that a request may take whose own timeout says so, if more than `total_timeout`
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
            proxy=proxy,
        )
        self._tokens = Tokens(self._pool, egress, keep_internal=keep_internal, clock=clock)
        self._hosts = Hosts(egress.check)
        self._longest = max(longest, total_timeout)
        self._looks = proxy is None or not proxy.resolves
        self._clock = clock

    def check(self, parameters: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with the `delivery_http_*` parameters."""
        complaints = check_content(parameters)
        most = int(self._longest * SECOND)
        if parameters.get(TIMEOUT, 0) > most:
            allowed = format_duration(most)
            complaints[TIMEOUT] = f"is longer than a request of this server may take; give {allowed} at most"
        try:
            if URL_PARAMETER in parameters:
                self._egress.parse_url(parameters[URL_PARAMETER])
        except ValueError as error:
            complaints[URL_PARAMETER] = str(error)
        wrong = signatures.check(parameters.get(signatures.OWN, signatures.NONE))
        if wrong is not None:
            complaints[signatures.OWN] = wrong
        if parameters.get(events.FORMAT) == events.STRUCTURED and not has_body(parameters):
            complaints[events.FORMAT] = (
                f"needs a body, and such a request has none; give {METHOD}=post, or {events.BINARY}"
            )
        return complaints | Choices.of(parameters).complaints()

    async def look(self, parameters: Mapping[str, Any], account_id: str) -> Look:
        """Look where the URL's host leads now, and warn of a byte order mark as for `sns`."""
        warnings = []
        if parameters.get(BODY, "").startswith("\ufeff"):
            warnings.append(f"{BODY} begins with a byte order mark (U+FEFF), which is sent too.")
        try:
            url = self._egress.parse_url(parameters[URL_PARAMETER])
        except (KeyError, ValueError):
            return Look(warnings=warnings or ())  # `check` says it
        if not self._looks:
            return Look(warnings=warnings or ())  # names are the proxy's: what is found here says nothing
        match await self._hosts.problem(url.origin, account_id):
            case None:
                pass
            case EgressRefused() as refused:
                complaint = f"has a host that {refused.refusal.complaint}"
                return Look(complaints={URL_PARAMETER: complaint}, warnings=warnings)
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
        origin = parse_origin(public[URL_PARAMETER])
        name = f"{self.name}:{origin.host}:{origin.port}"
        size = len(public.get(BODY, "").encode())
        site = host_and_port(origin) if origin.secure else None
        seconds = min(public.get(TIMEOUT, 0) / SECOND, self._longest)
        long = seconds if seconds > self._pool.total_timeout else None
        return Receiver(name, origin.host, name, size, site, long)

    def host(self, value: str) -> str:
        """The URL's host."""
        return parse_origin(value).host

    async def send(self, destination: Destination, message: Message) -> Outcome:
        """Call once."""
        public = destination.public
        url = parse_url(destination.whole(URL_PARAMETER))
        if not self._egress.permits_host(url.origin.host):
            # The operator may have changed his mind since it was given.
            return Refused(Refusal.HOST.detail, reply=Reply.NOT_ASKED)
        of_url = {} if url.authorization is None else {"Authorization": url.authorization}
        added = with_own(of_url, request_headers(destination.secret))
        begun, token, grant = None, None, destination.secret.get(GRANT)
        if grant is not None:
            begun = time.monotonic()
            # What may take longer is written as soon as any other.
            ends = begun + min(self._seconds(destination), self.request_timeout)
            found = await self._tokens.get(grant, destination.account_id, ends)
            if not isinstance(found, Token):
                return found
            token = found
            added = with_own(added, {"Authorization": f"Bearer {token.text}"})
        headers, body = _request(destination, message, added)
        method = public[METHOD].upper()
        secrets = signatures.secrets_of(destination.secret)
        try:
            if secrets:
                headers = signed(
                    headers,
                    public=public,
                    secrets=secrets,
                    method=method,
                    url=url,
                    body=body,
                    message_id=message.firing_id,
                    second=int(self._clock()),
                )
        except ValueError as problem:
            return Refused(f"the signing secret {problem}")
        answer = await self._pool.request(
            method,
            url,
            headers,
            body,
            # The status says all. What is not kept of a body and not here yet is not waited for.
            whole=False,
            account_id=destination.account_id,
            begun=begun,
            wanted=partial(self._wanted, public),
            seconds=self._seconds(destination),
            own_tls=destination.own_tls,
        )
        if not isinstance(answer, Answer):
            return answer
        after = retry_after(answer.headers.get("retry-after"), self._clock())
        said = outcome(answer.status, message.attempt, after, Choices.of(public))
        if grant is not None and token is not None:
            said = self._tokens.learn(grant, destination.account_id, token, answer.status, said)
        if not self._is_kept(public, answer.ip, answer.status):
            return said
        sealed = [*secret_texts(destination.secret), *secrets, *credentials_in(url.authorization or "")]
        if token is not None:
            sealed.append(token.text)
        return replace(said, kept=kept_of(answer, secrets_of(sealed, public[URL_PARAMETER])))

    def _seconds(self, destination: Destination) -> float:
        """That a request may take: never more than the sender holds its lease for."""
        own = destination.public.get(TIMEOUT)
        most = self._pool.total_timeout if destination.seconds is None else destination.seconds
        return self._pool.total_timeout if own is None else min(own / SECOND, most)

    def _wanted(self, public: Mapping[str, Any], ip: str, status: int) -> int:
        """How many bytes of a body are waited for."""
        return MAX_BODY if self._is_kept(public, ip, status) else 0

    def _is_kept(self, public: Mapping[str, Any], ip: str, status: int) -> bool:
        delivered = status in Choices.of(public).success
        return is_kept(public, delivered) and (self._keeps_internal or self._egress.is_public(ip))

    def show(self, destination: Destination, message: Message) -> dict[str, Any]:
        """The request that `send` makes; what authenticates it is masked."""
        url = destination.public[URL_PARAMETER]
        of_url = {} if parse_url(url).userinfo is None else {"Authorization": MASK}
        added = with_own(of_url, request_headers(destination.secret))
        headers, body = _request(destination, message, added)
        shown = {"method": destination.public[METHOD].upper(), "url": url, "headers": headers}
        return shown if body is None else {**shown, "body": body.decode()}

    async def try_credentials(
        self, public: Mapping[str, Any], secret: Mapping[str, str], account_id: str
    ) -> Tried:
        """Call the base_url of a connection with what it holds; of one with OAuth 2.0, with a token that is got now. As
        of a firing, nothing but the status is told."""
        begun, token = time.monotonic(), None
        url = parse_url(public["base_url"])
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        headers = with_own(headers, request_headers(secret))
        if GRANT in secret:
            asked = await self._tokens.ask_anew(secret[GRANT], account_id, begun)
            if not isinstance(asked.said, Token):
                said = replace(asked.said, detail=f"no access token: {asked.said.detail}")
                return Tried(False, said, asked.status)
            token = asked.said
            headers["Authorization"] = f"Bearer {token.text}"
        # A receiver that checks signatures refuses what has none.
        if signing := signatures.secrets_of(secret):
            headers = signed(
                headers,
                public=public,
                secrets=signing,
                method="GET",
                url=url,
                body=None,
                message_id=str(uuid4()),
                second=int(self._clock()),
            )
        tls = own_tls(account_id, public[CONNECTION_ID], secret)
        answer = await self._pool.request(
            "GET", url, headers, whole=False, account_id=account_id, begun=begun, own_tls=tls
        )
        if not isinstance(answer, Answer):
            return Tried(False, answer)
        after = retry_after(answer.headers.get("retry-after"), self._clock())
        found = outcome(answer.status, 1, after)
        if token is not None and isinstance(found, Unauthorized):
            found = replace(found, detail=f"{found.detail}: with an access token that was got just now")
        elif token is not None and isinstance(found, Delivered):
            token.taken = True
        # These say something of the address, and nothing against who calls.
        accepted = isinstance(found, Delivered) or answer.status in (404, 405)
        return Tried(accepted, found, answer.status)

    async def find_proof(self, host: str, path: str, text: str, account_id: str) -> Found:
        """Look where a host is to show whose it is. An operator may have ruled the host out since it was added."""
        try:
            url = self._egress.parse_url(f"https://{host}{path}")
        except ValueError as problem:
            return Found(f"the host {problem}", final=True)
        answer = await self._pool.request(
            "GET",
            url,
            proofs.HEADERS,
            whole=False,
            account_id=account_id,
            wanted=proofs.wanted,
            seconds=min(proofs.SECONDS, self._pool.total_timeout),
        )
        return proofs.found(answer, text)

    async def close(self) -> None:
        """Close the connections."""
        await self._tokens.close()
        await self._pool.close()


def _request(
    destination: Destination, message: Message, added: Mapping[str, str]
) -> tuple[dict[str, str], bytes | None]:
    """The headers and the body that tell of a firing, without signatures. A header is there once.

    :param added: headers of who calls, and of its connection, which take the place of the tenant's own
    """
    public, headers = destination.public, _headers(message)
    body, content_type = content(public, message)
    of_event: dict[str, str] = {}
    match public.get(events.FORMAT):
        case events.BINARY:
            of_event = events.in_headers(message)
        case events.STRUCTURED if body is not None and content_type is not None:
            body = events.around(message, content_type, body)
            content_type = events.STRUCTURED_TYPE
    if content_type is not None:
        headers["Content-Type"] = content_type
    # What says which firing it is nobody replaces.
    for more in (public.get(HEADERS, {}), added, of_event):
        headers = with_own(headers, more)
    return headers, body


def _headers(message: Message) -> dict[str, str]:
    if message.alert:
        return {
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "User-Agent": USER_AGENT,
            IDEMPOTENCY_KEY_HEADER: message.firing_id,
            "Cronally-Alert-Id": message.firing_id,
            "Cronally-Attempt": str(message.attempt),
        }
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
