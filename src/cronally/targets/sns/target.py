"""The target `sns`: publishes to a topic with the tenant's own keys.

Invariant: one call of `send` or `send_batch` is at most one request. It goes to the host that AWS's list gives for
the region, or to the operator's endpoint; it is signed with the destination's keys, which are kept nowhere.

Nothing is kept per destination but the day's signing key (`sigv4`): encoding a usual message takes 2 µs, as long
as finding it in a cache, which would hold tens of thousands of messages that are sent once a day.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cronally.targets.answer import Answer
from cronally.targets.aws.roles import Roles
from cronally.targets.aws.sts import Sts
from cronally.targets.credentials import Credentials
from cronally.targets.pool import USER_AGENT, Pool, retry_after
from cronally.targets.proxy import Proxy
from cronally.targets.sigv4 import Signer
from cronally.targets.sns import parameters as sns_parameters
from cronally.targets.sns.answers import batch_outcomes, outcome
from cronally.targets.sns.attributes import parse_attributes
from cronally.targets.sns.batches import Batches
from cronally.targets.sns.endpoints import parse_region
from cronally.targets.sns.form import Quoting, quoted_size
from cronally.targets.sns.forms import CONTENT_TYPE, attributes, check_size, publish_batch_form, publish_form
from cronally.targets.target import (
    Destination,
    Look,
    Message,
    Outcome,
    Receiver,
    Refused,
    Sending,
)
from cronally.targets.trying import Tried
from cronally.targets.url import Url, parse_url


class SnsTarget:
    """Publishes over one pool for all tenants: a TLS handshake for each would be a storm at :00."""

    name = sns_parameters.NAME
    host_by = sns_parameters.REGION

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        roles: Roles | None = None,
        connect_timeout: float = 5.0,
        total_timeout: float = 10.0,
        connections: int = 256,
        proxy: Proxy | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        :param endpoint: `http[s]://host[:port]`, called for every region in place of AWS's hosts;
            raises ValueError if it is written otherwise
        :param roles: what keys come from; by default from the destination, and from AWS's own STS
        :param connections: how many may be open at a time; not fewer than firings are sent at a time
        :param proxy: through which AWS's own hosts are called
        :param clock: seconds since 1970; what requests are signed with
        """
        self._override = _override(endpoint) if endpoint else None
        self._endpoints: dict[str, Url] = {}
        # No check of addresses: the hosts are AWS's, or the operator's own.
        self._pool = Pool(
            connections=connections,
            connect_timeout=connect_timeout,
            total_timeout=total_timeout,
            proxy=None if endpoint else proxy,
        )
        self._signer = Signer()
        self._quoting = Quoting()
        self._batches = Batches(time.monotonic)
        self._roles = roles or Roles(Sts(proxy=proxy))
        self._clock = clock
        self._second = -1
        self._timestamp = ""

    def check(self, parameters: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong with the `sns_*` parameters."""
        return sns_parameters.check(parameters)

    def check_size(
        self, parameters: Mapping[str, Any], cronjob_name: str, ack_url: str | None = None
    ) -> dict[str, str]:
        """Whether text and attributes are more than the topic takes."""
        complaint = check_size(parameters, cronjob_name, ack_url)
        return {} if complaint is None else {sns_parameters.MESSAGE: complaint}

    async def look(self, parameters: Mapping[str, Any], account_id: str) -> Look:
        """Warn of a byte order mark, and of more attributes than every queue gets.

        A program that wrote the text left the mark there, and many that read JSON refuse it.
        """
        return Look(warnings=sns_parameters.warnings(parameters))

    @property
    def request_timeout(self) -> float:
        """Seconds that one call of `send` or `send_batch` takes at most."""
        return self._pool.total_timeout

    def receiver(self, public: Mapping[str, Any]) -> Receiver:
        """The topic; its circuit is that of the host that all topics of a region share."""
        endpoint = self._endpoint(public[sns_parameters.REGION])
        return Receiver(
            f"{self.name}:{public[sns_parameters.TOPIC]}",
            None,
            f"{self.name}:{endpoint.authority}",
            quoted_size(public[sns_parameters.MESSAGE].encode()),
        )

    def host(self, value: str) -> str:
        """The host that all topics of a region share."""
        return self._endpoint(value).origin.host

    async def send(self, destination: Destination, message: Message) -> Outcome:
        """Publish once."""
        begun = time.monotonic()
        public = destination.public
        text = await self._quoting.quote(destination.account_id, public[sns_parameters.MESSAGE].encode())
        form = publish_form(public, text, message)
        keys = await self._roles.keys(destination, self.name, begun=begun)
        if not isinstance(keys, Credentials):
            return keys
        answer = await self._post(destination, keys, form, begun)
        if not isinstance(answer, Answer):
            return answer
        secrets = (*destination.secret.values(), *keys.secrets)
        said = outcome(answer.status, answer.body, after=self._after(answer), secrets=secrets)
        self._roles.learn(destination, said, self.name)
        return said

    def show(self, destination: Destination, message: Message) -> dict[str, Any]:
        """What `send` publishes."""
        public = destination.public
        own = {one.name: one.value for one in parse_attributes(public.get(sns_parameters.ATTRIBUTES) or "{}")}
        shown = {"message": public[sns_parameters.MESSAGE], "attributes": {**attributes(message), **own}}
        return (
            {"subject": public[sns_parameters.SUBJECT], **shown}
            if public.get(sns_parameters.SUBJECT)
            else shown
        )

    def batches(self, sendings: Sequence[Sending]) -> list[list[int]]:
        """Put together what has topic and credentials in common, as `BatchTarget.batches` says."""
        return self._batches.split(sendings)

    async def send_batch(self, sendings: Sequence[Sending]) -> list[Outcome] | None:
        """Publish once what `batches` put together."""
        begun = time.monotonic()
        destination = sendings[0][0]
        entries = [
            (
                one.public,
                await self._quoting.quote(
                    destination.account_id, one.public[sns_parameters.MESSAGE].encode()
                ),
                message,
            )
            for one, message in sendings
        ]
        form = publish_batch_form(destination.public[sns_parameters.TOPIC], entries)
        keys = await self._roles.keys(destination, self.name, begun=begun)
        if not isinstance(keys, Credentials):
            return [keys] * len(sendings)
        answer = await self._post(destination, keys, form, begun)
        if not isinstance(answer, Answer):
            return [answer] * len(sendings)
        outcomes = batch_outcomes(
            answer.status,
            answer.body,
            [message.firing_id for _, message in sendings],
            after=self._after(answer),
            secrets=(*destination.secret.values(), *keys.secrets),
        )
        if outcomes is None:
            self._batches.refuse(destination)
        return outcomes

    async def try_credentials(
        self, public: Mapping[str, Any], secret: Mapping[str, str], account_id: str
    ) -> Tried:
        """Ask AWS STS whose keys a connection holds, or who it is with its role."""
        return await self._roles.try_credentials(public, secret, account_id)

    @property
    def assumes(self) -> bool:
        """Whether roles are assumed without keys of the connection."""
        return self._roles.has_identity

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()
        await self._roles.close()

    async def _post(
        self, destination: Destination, keys: Credentials, form: bytes, begun: float
    ) -> Answer | Outcome:
        """Sign and send one request; an outcome if there is no answer.

        :param begun: when the attempt began, by the monotonic clock
        """
        public = destination.public
        region = public[sns_parameters.REGION]
        try:
            endpoint = self._endpoint(region)
        except ValueError as error:
            return Refused(f"the region {error}")
        now = self._clock()
        if int(now) != self._second:
            self._second = int(now)
            self._timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        signed = {
            "content-type": CONTENT_TYPE,
            "host": endpoint.authority,
            "x-amz-date": self._timestamp,
        }
        if keys.session_token is not None:
            signed["x-amz-security-token"] = keys.session_token
        authorization = self._signer.authorization(
            access_key_id=keys.access_key_id,
            secret_access_key=keys.secret_access_key,
            region=region,
            service=sns_parameters.NAME,
            headers=signed,
            body=form,
        )
        del signed["host"]  # the pool writes it
        headers = {
            **signed,
            "Authorization": authorization,
            "User-Agent": USER_AGENT,
            "Accept-Encoding": "identity",
        }
        return await self._pool.request(
            "POST", endpoint, headers, form, whole=True, account_id=destination.account_id, begun=begun
        )

    def _after(self, answer: Answer) -> float | None:
        """Seconds that Retry-After asks to wait."""
        return None if answer.status == 200 else retry_after(answer.headers.get("retry-after"), self._clock())

    def _endpoint(self, region: str) -> Url:
        """What is called for a region. Raises ValueError for what is none."""
        if region in self._endpoints:
            return self._endpoints[region]
        host = parse_region(region).sns_host  # raises for what is no region, with an override too
        endpoint = self._override or parse_url(f"https://{host}/")
        self._endpoints[region] = endpoint
        return endpoint


def _override(endpoint: str) -> Url:
    try:
        url = parse_url(endpoint)
        if url.target == "/" and url.userinfo is None:
            return url
    except ValueError:
        pass
    raise ValueError("the endpoint of SNS is written http[s]://host[:port], without path, query or user")
