"""The keys that a request to AWS is signed with: those of its cron job or connection, or a session of a role.

Invariant: the only place where a role is assumed. It is assumed with the connection's own keys, or with Cronally's
identity, which signs nothing else; always with the external id that Cronally gave out for the connection, so nobody
gets at a role that trusts Cronally for somebody else. A session is kept in memory alone, under a hash of what it was
got with (`sessions`), until shortly before it ends; what was refused, for `FAILED_SECONDS`. For the same role one
question is under way at a time, and whoever else needs its session waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import sha256
from typing import Any, Final

from cronally.targets.aws.sts import SESSION_SECONDS, Identity, Said, Sts
from cronally.targets.connected import ACCESS_KEY_ID, SESSION_TOKEN, region_of, role_of
from cronally.targets.credentials import SHARED, Credentials, credentials_of
from cronally.targets.sessions import DOUBTED_SECONDS, FAILED_SECONDS, Kept, Sessions
from cronally.targets.sns.endpoints import partitions
from cronally.targets.target import Delivered, Destination, Outcome, Reply, Retry, Role, Unauthorized, Unknown
from cronally.targets.trying import Tried

_log = logging.getLogger(__name__)

BEFORE_END: Final = 300.0
"""Seconds before its end at which a session is used no longer."""
CAPACITY: Final = 4096
"""Sessions that are kept, about 2 KiB each; the one that was used longest ago goes first."""

_ROLE: Final = re.compile(
    r"arn:([a-z0-9-]+):iam::([0-9]{12}):role/(?:[!-~]{1,511}/)?[A-Za-z0-9+=,.@_-]{1,64}"
)
_EXAMPLE: Final = "arn:aws:iam::123456789012:role/cronally"


_Said = Credentials | Retry | Unauthorized
"""What came of a question: a session, or what it means that there is none."""


class Roles:
    """Assumes roles. Belongs to one event loop."""

    def __init__(
        self,
        sts: Sts,
        identity: Credentials | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        capacity: int = CAPACITY,
    ) -> None:
        """
        :param identity: Cronally's own keys; None where the operator gave none
        """
        self._sts = sts
        self._identity = identity
        self._monotonic = monotonic
        self._sessions = Sessions[_Said](monotonic, capacity)
        self._own: Identity | None = None
        self._own_asking = asyncio.Lock()

    @property
    def has_identity(self) -> bool:
        """Whether roles can be assumed without keys of the connection."""
        return self._identity is not None

    async def keys(self, destination: Destination, prefix: str = SHARED, *, begun: float) -> _Said:
        """What a request is signed with, or what it means that there is nothing.

        :param prefix: what the names of the target's own keys begin with
        :param begun: when the attempt began, by the monotonic clock; its time goes on
        """
        own = credentials_of(destination, prefix)
        role = destination.role
        if role is None:
            missing = f"the cron job has no secret access key; give it {prefix}_secret_access_key"
            return own or Unauthorized(missing)
        base = own or self._identity
        if base is None:
            return Unauthorized(NO_KEYS)
        name = _name(role, base)
        ask = partial(self._refresh, role, base, destination.account_id)
        try:
            return await self._sessions.get(name, ask, begun + self._sts.request_timeout)
        except TimeoutError:
            return Retry("not sent: AWS STS gave no session of the role in time", reply=Reply.NOT_ASKED)

    def learn(self, destination: Destination, outcome: Outcome, prefix: str = SHARED) -> None:
        """Give a session up that a request was refused with: it may have been revoked, or its role made anew."""
        role = destination.role
        base = credentials_of(destination, prefix) or self._identity
        if role is None or base is None or not isinstance(outcome, Unauthorized):
            return
        self._sessions.drop(_name(role, base), older=DOUBTED_SECONDS)

    async def try_credentials(
        self, public: Mapping[str, Any], secret: Mapping[str, str], account_id: str
    ) -> Tried:
        """Ask AWS STS whose keys a connection holds; of one with a role, assume it, and ask who that is."""
        begun = time.monotonic()
        role = role_of(public)
        keys = self._identity
        if ACCESS_KEY_ID in public:
            keys = Credentials(
                public[ACCESS_KEY_ID], secret["aws_secret_access_key"], secret.get(SESSION_TOKEN)
            )
        if (role is None and ACCESS_KEY_ID not in public) or keys is None:
            return Tried(False, Unauthorized(NO_KEYS))
        if role is not None:
            asked = self._monotonic()
            session = await self._assume(role, keys, account_id, begun)
            if not isinstance(session, Credentials):
                return Tried(False, session.outcome, session.status)
            self._sessions.keep(_name(role, keys), self._kept(session, asked))
            keys = session
        found = await self._sts.whose(keys, region_of(public), account_id, begun=begun)
        if isinstance(found, Said):
            return Tried(False, found.outcome, found.status)
        return Tried(True, Delivered(None), 200, found.account, found.arn)

    async def close(self) -> None:
        """End what is asked, and close the connections."""
        await self._sessions.close()
        await self._sts.close()

    async def _refresh(self, role: Role, base: Credentials, account_id: str) -> Kept[_Said]:
        asked = self._monotonic()
        said = await self._assume(role, base, account_id, None)
        return self._kept(said if isinstance(said, Credentials) else _unsent(said.outcome), asked)

    def _kept(self, said: _Said, asked: float) -> Kept[_Said]:
        if isinstance(said, Credentials):
            return Kept(said, asked, asked + SESSION_SECONDS - BEFORE_END)
        return Kept(said, asked, self._monotonic() + FAILED_SECONDS)

    async def _assume(
        self, role: Role, base: Credentials, account_id: str, begun: float | None
    ) -> Credentials | Said:
        if base is self._identity:
            own = await self._whose_identity(base, role.region, begun)
            if isinstance(own, Said):
                return own
            # What trusts the operator's whole account would let every tenant of Cronally's in.
            if own.account == account_of(role.arn):
                return Said(
                    Unauthorized(
                        "the role is in the account of Cronally's own identity; give the connection keys"
                    )
                )
        return await self._sts.assume(role, base, account_id, begun=begun)

    async def _whose_identity(
        self, identity: Credentials, region: str, begun: float | None
    ) -> Identity | Said:
        """Who Cronally is, asked until it is known once."""
        async with self._own_asking:
            if self._own is None:
                found = await self._sts.whose(identity, region, "", begun=begun)
                if isinstance(found, Said):
                    _log.error(
                        "Cronally's own identity of AWS is not known", extra={"said": str(found.outcome)}
                    )
                    return Said(Retry("Cronally's own identity is not known: its operator's task"))
                self._own = found
            return self._own


NO_KEYS: Final = (
    "the connection has a role, and no keys to assume it with: this server has no identity of its own;"
    " give the connection keys"
)


def role_arn_complaint(text: str) -> str | None:
    """What is wrong with the ARN of a role."""
    match = _ROLE.fullmatch(text)
    if match is None:
        return f"is not the ARN of a role of IAM; give one like {_EXAMPLE}"
    if match[1] not in partitions():
        return f"names a partition that AWS does not have; there are {', '.join(sorted(partitions()))}"
    return None


def account_of(arn: str) -> str:
    """The account that the ARN of a role names."""
    return arn.split(":")[4]


def _unsent(outcome: Outcome) -> Retry | Unauthorized:
    """What it means for a firing that its role was not assumed: it was not sent, and may be when that is put right."""
    if isinstance(outcome, Retry | Unknown):
        after = outcome.after if isinstance(outcome, Retry) else None
        return Retry(f"not sent: the role was not assumed: {outcome.detail}", after, reply=Reply.NOT_ASKED)
    detail = "" if isinstance(outcome, Delivered) else outcome.detail
    return Unauthorized(f"the role was not assumed: {detail}")


def _name(role: Role, base: Credentials) -> bytes:
    """What a session is kept by: all that it is got with, and no secret."""
    parts = (role.arn, role.external_id, role.session_name, role.region, *base[:2], base.session_token or "")
    return sha256("\0".join(parts).encode()).digest()
