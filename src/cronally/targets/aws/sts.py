"""AWS STS: whose keys these are, and a session of a role.

Invariant: as of `target`: one request, to the host that AWS's list gives for the region or to the operator's endpoint,
signed with the keys, which are kept nowhere. `GetCallerIdentity` needs no permission, and nothing forbids it.

Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html and API_AssumeRole.html
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlencode

from cronally.targets.answer import Answer
from cronally.targets.credentials import Credentials
from cronally.targets.pool import USER_AGENT, Pool, retry_after
from cronally.targets.proxy import Proxy
from cronally.targets.sigv4 import Signer
from cronally.targets.sns.answers import outcome
from cronally.targets.sns.endpoints import parse_region
from cronally.targets.sns.forms import CONTENT_TYPE
from cronally.targets.target import Outcome, Refused, Role, Unknown
from cronally.targets.url import Url, parse_url

SESSION_SECONDS: Final = 3600
"""How long a session lasts: what every role allows, and the most for a role that a role assumes."""
_VERSION: Final = "2011-06-15"
_ACCOUNT: Final = re.compile(rb"<Account>\s*([0-9]{12})\s*</Account>")
_ARN: Final = re.compile(rb"<Arn>\s*(arn:[!-;=-~]{1,2000})\s*</Arn>")
_KEY_ID: Final = re.compile(rb"<AccessKeyId>\s*([A-Z0-9]{16,128})\s*</AccessKeyId>")
_SECRET: Final = re.compile(rb"<SecretAccessKey>\s*([A-Za-z0-9+/=]{1,256})\s*</SecretAccessKey>")
_TOKEN: Final = re.compile(rb"<SessionToken>\s*([A-Za-z0-9+/=_-]{1,8192})\s*</SessionToken>")


class Identity(NamedTuple):
    """Whose keys some are."""

    account: str
    arn: str


class Said(NamedTuple):
    """What came of a question where no answer can be used."""

    outcome: Outcome
    status: int | None = None


class Sts:
    """Asks over a pool of its own. Belongs to one event loop."""

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        connect_timeout: float = 5.0,
        total_timeout: float = 10.0,
        connections: int = 256,
        proxy: Proxy | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        :param endpoint: `http[s]://host[:port]`, called for every region in place of AWS's hosts;
            raises ValueError if it is written otherwise
        :param proxy: through which AWS's own hosts are called
        :param clock: seconds since 1970; what requests are signed with
        """
        self._override = _override(endpoint) if endpoint else None
        # No check of addresses: the hosts are AWS's, or the operator's own.
        self._pool = Pool(
            connections=connections,
            connect_timeout=connect_timeout,
            total_timeout=total_timeout,
            proxy=None if endpoint else proxy,
        )
        self._signer = Signer()
        self._clock = clock

    @property
    def request_timeout(self) -> float:
        """Seconds that one question takes at most."""
        return self._pool.total_timeout

    async def whose(
        self, keys: Credentials, region: str, account_id: str, *, begun: float | None = None
    ) -> Identity | Said:
        """Whose keys these are.

        :param begun: when the time of the request began, by the monotonic clock; now if not given
        """
        answer = await self._ask("GetCallerIdentity", {}, keys, region, account_id, begun)
        if isinstance(answer, Said):
            return answer
        account, arn = _ACCOUNT.search(answer.body or b""), _ARN.search(answer.body or b"")
        if account is None or arn is None:
            return Said(Unknown("AWS STS answered without an account and an ARN"), answer.status)
        return Identity(account[1].decode(), arn[1].decode())

    async def assume(
        self, role: Role, keys: Credentials, account_id: str, *, begun: float | None = None
    ) -> Credentials | Said:
        """A session of a role, which lasts `SESSION_SECONDS`."""
        form = {
            "RoleArn": role.arn,
            "RoleSessionName": role.session_name,
            "ExternalId": role.external_id,
            "DurationSeconds": str(SESSION_SECONDS),
        }
        answer = await self._ask("AssumeRole", form, keys, role.region, account_id, begun)
        if isinstance(answer, Said):
            return answer
        body = answer.body or b""
        key_id, secret, token = _KEY_ID.search(body), _SECRET.search(body), _TOKEN.search(body)
        if key_id is None or secret is None or token is None:
            return Said(Unknown("AWS STS answered without a session"), answer.status)
        return Credentials(key_id[1].decode(), secret[1].decode(), token[1].decode())

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()

    async def _ask(
        self,
        action: str,
        fields: Mapping[str, str],
        keys: Credentials,
        region: str,
        account_id: str,
        begun: float | None,
    ) -> Answer | Said:
        """The answer of status 200, or else what was said."""
        try:
            host = parse_region(region).sns_host.replace("sns.", "sts.", 1)
        except ValueError as error:
            return Said(Refused(f"the region {error}"))
        body = urlencode({"Action": action, "Version": _VERSION, **fields}).encode()
        endpoint = self._override or parse_url(f"https://{host}/")
        timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock()))
        signed = {"content-type": CONTENT_TYPE, "host": endpoint.authority, "x-amz-date": timestamp}
        if keys.session_token is not None:
            signed["x-amz-security-token"] = keys.session_token
        authorization = self._signer.authorization(
            access_key_id=keys.access_key_id,
            secret_access_key=keys.secret_access_key,
            region=region,
            service="sts",
            headers=signed,
            body=body,
        )
        del signed["host"]  # the pool writes it
        headers = {
            **signed,
            "Authorization": authorization,
            "User-Agent": USER_AGENT,
            "Accept-Encoding": "identity",
        }
        answer = await self._pool.request(
            "POST", endpoint, headers, body, whole=True, account_id=account_id, begun=begun
        )
        if not isinstance(answer, Answer):
            return Said(answer)
        if answer.status != 200:
            after = retry_after(answer.headers.get("retry-after"), self._clock())
            said = outcome(answer.status, answer.body, after=after, secrets=keys.secrets)
            return Said(said, answer.status)
        return answer


def _override(endpoint: str) -> Url:
    try:
        url = parse_url(endpoint)
        if url.target == "/" and url.userinfo is None:
            return url
    except ValueError:
        pass
    raise ValueError("the endpoint of STS is written http[s]://host[:port], without path, query or user")
