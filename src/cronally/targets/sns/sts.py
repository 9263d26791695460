"""AWS STS: whose keys these are. `GetCallerIdentity` needs no permission, and nothing forbids it.

Invariant: as of `target`: one request, to the host that AWS's list gives for the region or to the operator's endpoint,
signed with the keys, which are kept nowhere.

Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Final

from cronally.targets.answer import Answer
from cronally.targets.pool import USER_AGENT, Pool, retry_after
from cronally.targets.sigv4 import Signer
from cronally.targets.sns.answers import outcome
from cronally.targets.sns.endpoints import parse_region
from cronally.targets.sns.forms import CONTENT_TYPE
from cronally.targets.target import Delivered, Refused, Unknown
from cronally.targets.trying import Tried
from cronally.targets.url import Url, parse_url

DEFAULT_REGION: Final = "us-east-1"
"""Where keys of the partition `aws` are known, whatever the region that they are used in."""
_FORM: Final = b"Action=GetCallerIdentity&Version=2011-06-15"
_ACCOUNT: Final = re.compile(rb"<Account>\s*([0-9]{12})\s*</Account>")
_ARN: Final = re.compile(rb"<Arn>\s*(arn:[!-;=-~]{1,2000})\s*</Arn>")


class Sts:
    """Asks over a pool that others use, too."""

    def __init__(
        self, pool: Pool, signer: Signer, override: Url | None, clock: Callable[[], float] = time.time
    ) -> None:
        """
        :param override: called for every region in place of AWS's hosts
        :param clock: seconds since 1970
        """
        self._pool = pool
        self._signer = signer
        self._override = override
        self._clock = clock

    async def whose(
        self,
        *,
        access_key_id: str,
        secret_access_key: str,
        session_token: str | None,
        region: str | None,
        account_id: str,
    ) -> Tried:
        """Whose keys these are."""
        name = region or DEFAULT_REGION
        try:
            host = parse_region(name).sns_host.replace("sns.", "sts.", 1)
        except ValueError as error:
            return Tried(False, Refused(f"the region {error}"))
        endpoint = self._override or parse_url(f"https://{host}/")
        timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock()))
        signed = {"content-type": CONTENT_TYPE, "host": endpoint.authority, "x-amz-date": timestamp}
        if session_token is not None:
            signed["x-amz-security-token"] = session_token
        authorization = self._signer.authorization(
            access_key_id=access_key_id,
            secret_access_key=secret_access_key,
            region=name,
            service="sts",
            headers=signed,
            body=_FORM,
        )
        del signed["host"]  # the pool writes it
        headers = {
            **signed,
            "Authorization": authorization,
            "User-Agent": USER_AGENT,
            "Accept-Encoding": "identity",
        }
        answer = await self._pool.request("POST", endpoint, headers, _FORM, whole=True, account_id=account_id)
        if not isinstance(answer, Answer):
            return Tried(False, answer)
        if answer.status != 200:
            after = retry_after(answer.headers.get("retry-after"), self._clock())
            secrets = [secret_access_key, *([] if session_token is None else [session_token])]
            said = outcome(answer.status, answer.body, after=after, secrets=secrets)
            return Tried(False, said, answer.status)
        body = answer.body or b""
        account, arn = _ACCOUNT.search(body), _ARN.search(body)
        if account is None or arn is None:
            return Tried(False, Unknown("AWS STS answered without an account and an ARN"), answer.status)
        return Tried(True, Delivered(None), answer.status, account[1].decode(), arn[1].decode())
