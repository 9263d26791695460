"""Calls operations of AWS with the tenants' own keys.

Invariant: one call is at most one request. It goes to a host of AWS, or to the operator's endpoint; it is signed with
the destination's keys, which are kept nowhere. Nothing here reads the description of a service (`models`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import sha256
from typing import Any, Final

from cronally.targets.answer import Answer
from cronally.targets.aws.answers import outcome
from cronally.targets.aws.models import Models, ModelsBusy
from cronally.targets.aws.operation import InputError, Operation, Request
from cronally.targets.aws.roles import Roles
from cronally.targets.aws.sts import Sts
from cronally.targets.credentials import Credentials
from cronally.targets.pool import USER_AGENT, Pool, retry_after
from cronally.targets.proxy import Proxy
from cronally.targets.sigv4 import Signer
from cronally.targets.target import Destination, Outcome, Refused, Reply, Retry
from cronally.targets.url import Url, parse_url

GLOBAL: Final = "AWS_ENDPOINT_URL"
"""The variable of an endpoint for all services, as AWS's tools read it."""


class Caller:
    """Calls over one pool for all tenants and services. Belongs to one event loop."""

    def __init__(
        self,
        *,
        endpoints: Mapping[str, str],
        roles: Roles | None = None,
        connect_timeout: float = 5.0,
        total_timeout: float = 10.0,
        connections: int = 256,
        proxy: Proxy | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        :param endpoints: by their variables, `AWS_ENDPOINT_URL` and `AWS_ENDPOINT_URL_<SERVICE>`, what is called in
            place of AWS's hosts; raises ValueError for what is not written `http[s]://host[:port]`
        :param roles: what keys come from; by default from the destination, and from AWS's own STS
        :param connections: how many may be open at a time; not fewer than firings are sent at a time
        :param proxy: through which AWS's own hosts are called
        :param clock: seconds since 1970; what requests are signed with
        """
        self._endpoints = {variable: endpoint_text(variable, text) for variable, text in endpoints.items()}
        self.models = Models()
        # No check of addresses: the hosts are AWS's, or the operator's own.
        pool = partial(
            Pool, connections=connections, connect_timeout=connect_timeout, total_timeout=total_timeout
        )
        self._pool = pool(proxy=proxy)
        self._own_pool = pool()
        """To the operator's endpoints."""
        self._roles = roles or Roles(Sts(proxy=proxy))
        self._signer = Signer()
        self._clock = clock

    @property
    def request_timeout(self) -> float:
        """Seconds that one call takes at most."""
        return self._pool.total_timeout

    def request(self, operation: Operation, values: Mapping[str, Any], region: str, token: str) -> Request:
        """The request of a call. Raises InputError."""
        return operation.request(values, region=region, token=token, override=self._override(operation))

    def _override(self, operation: Operation) -> str | None:
        return self._endpoints.get(operation.service.variable) or self._endpoints.get(GLOBAL)

    async def call(
        self,
        destination: Destination,
        service: str,
        action: str,
        values: Mapping[str, Any],
        *,
        region: str,
        token: str,
        made: frozenset[str] = frozenset(),
    ) -> Outcome:
        """Call once.

        :param token: what makes the call once, where the operation has a place for that
        :param made: codes that say that an earlier attempt has made what this one would make
        """
        begun = time.monotonic()
        keys = await self._roles.keys(destination, begun=begun)
        if not isinstance(keys, Credentials):
            return keys
        try:
            async with asyncio.timeout(self.request_timeout / 2):
                operation = await self.models.get(service, action, destination.account_id)
        except (ModelsBusy, TimeoutError):
            return Retry("not sent: the operation could not be looked up in time", reply=Reply.NOT_ASKED)
        if isinstance(operation, str):
            return Refused(f"the operation {operation}", reply=Reply.NOT_ASKED)
        if operation.refusal is not None:
            return Refused(f"the operation {operation.refusal}", reply=Reply.NOT_ASKED)
        try:
            operation.validate(values)
            request = self.request(operation, values, region, token)
        except InputError as error:
            return Refused(f"the input {error}", reply=Reply.NOT_ASKED)
        pool = self._own_pool if self._override(operation) else self._pool
        answer = await pool.request(
            request.method,
            request.url,
            self._signed(request, keys),
            request.body if request.body or request.method not in ("GET", "DELETE") else None,
            whole=True,
            account_id=destination.account_id,
            begun=begun,
        )
        if not isinstance(answer, Answer):
            return answer
        after = None
        if answer.status >= 300:
            after = retry_after(answer.headers.get("retry-after"), self._clock())
        secrets = (*destination.secret.values(), *keys.secrets)
        said = outcome(operation, answer, after=after, secrets=secrets, made=made)
        self._roles.learn(destination, said)
        return said

    async def close(self) -> None:
        """Close the connections, and wait for what is looked up."""
        await self._pool.close()
        await self._own_pool.close()
        await self.models.close()
        await self._roles.close()

    def _signed(self, request: Request, keys: Credentials) -> dict[str, str]:
        """All headers of a request."""
        signed = {name.lower(): value for name, value in request.headers.items()}
        signed |= {
            "host": request.url.authority,
            "x-amz-date": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock())),
            "x-amz-content-sha256": sha256(request.body).hexdigest(),
        }
        if keys.session_token is not None:
            signed["x-amz-security-token"] = keys.session_token
        signed = dict(sorted(signed.items()))
        authorization = self._signer.authorization(
            access_key_id=keys.access_key_id,
            secret_access_key=keys.secret_access_key,
            region=request.region,
            service=request.service,
            method=request.method,
            target=request.url.target,
            headers=signed,
            body=request.body,
            escape_path=request.escape_path,
        )
        del signed["host"]  # the pool writes it
        return {
            **signed,
            "authorization": authorization,
            "user-agent": USER_AGENT,
            "accept-encoding": "identity",
        }


def endpoint_text(variable: str, text: str) -> str:
    """An endpoint of the operator's, without a path. Raises ValueError for one that is written otherwise."""
    try:
        url: Url = parse_url(text)
        if url.target == "/" and url.userinfo is None:
            return f"{'https' if url.origin.secure else 'http'}://{url.authority}"
    except ValueError:
        pass
    raise ValueError(f"{variable} is written http[s]://host[:port], without path, query or user")
