"""The keys that a request to AWS is signed with: those of its cron job or connection, or a session of a role.

Invariant: the only place where a role is assumed. It is assumed with the connection's own keys, or with Cronally's
identity, which signs nothing else; always with the external id that Cronally gave out for the connection, so nobody
gets at a role that trusts Cronally for somebody else. A session is kept in memory alone, under a hash of what it was
got with, until shortly before it ends; what was refused, for `FAILED_SECONDS`. For the same role one question is under
way at a time, and whoever else needs its session waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from cronally.targets.aws.sts import SESSION_SECONDS, Identity, Said, Sts
from cronally.targets.connected import ACCESS_KEY_ID, SESSION_TOKEN, region_of, role_of
from cronally.targets.credentials import SHARED, Credentials, credentials_of
from cronally.targets.sns.endpoints import partitions
from cronally.targets.target import Delivered, Destination, Outcome, Reply, Retry, Role, Unauthorized, Unknown
from cronally.targets.trying import Tried

_log = logging.getLogger(__name__)

BEFORE_END: Final = 300.0
"""Seconds before its end at which a session is used no longer."""
FAILED_SECONDS: Final = 5.0
"""How long what STS refused is not asked again: not every firing of a minute need ask."""
DOUBTED_SECONDS: Final = 60.0
"""How old a session is, at the least, that is given up because a request with it was refused."""
CAPACITY: Final = 4096
"""Sessions that are kept, about 2 KiB each; the one that was used longest ago goes first."""

_ROLE: Final = re.compile(
    r"arn:([a-z0-9-]+):iam::([0-9]{12}):role/(?:[!-~]{1,511}/)?[A-Za-z0-9+=,.@_-]{1,64}"
)
_EXAMPLE: Final = "arn:aws:iam::123456789012:role/cronally"


@dataclass(frozen=True, slots=True)
class _Kept:
    """What STS said."""

    said: Credentials | Retry | Unauthorized
    at: float
    """When it was asked, by the monotonic clock."""
    until: float


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
        self._capacity = capacity
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Credentials | Retry | Unauthorized]] = {}
        self._own: Identity | None = None
        self._own_asking = asyncio.Lock()

    @property
    def has_identity(self) -> bool:
        """Whether roles can be assumed without keys of the connection."""
        return self._identity is not None

    async def keys(
        self, destination: Destination, prefix: str = SHARED, *, begun: float
    ) -> Credentials | Retry | Unauthorized:
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
        kept = self._kept.get(name)
        if kept is not None and self._monotonic() < kept.until:
            self._kept.move_to_end(name)
            return kept.said
        task = self._asking.get(name)
        if task is None:
            task = asyncio.create_task(self._refresh(name, role, base, destination.account_id))
            self._asking[name] = task
            task.add_done_callback(lambda _: self._asking.pop(name, None))
        try:
            async with asyncio.timeout_at(begun + self._sts.request_timeout):
                # One that gives up must not end the question for the others.
                return await asyncio.shield(task)
        except TimeoutError:
            return Retry("not sent: AWS STS gave no session of the role in time", reply=Reply.NOT_ASKED)

    def learn(self, destination: Destination, outcome: Outcome, prefix: str = SHARED) -> None:
        """Give a session up that a request was refused with: it may have been revoked, or its role made anew."""
        role = destination.role
        base = credentials_of(destination, prefix) or self._identity
        if role is None or base is None or not isinstance(outcome, Unauthorized):
            return
        name = _name(role, base)
        kept = self._kept.get(name)
        if kept is not None and self._monotonic() >= kept.at + DOUBTED_SECONDS:
            del self._kept[name]

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
            self._keep(_name(role, keys), session, asked)
            keys = session
        found = await self._sts.whose(keys, region_of(public), account_id, begun=begun)
        if isinstance(found, Said):
            return Tried(False, found.outcome, found.status)
        return Tried(True, Delivered(None), 200, found.account, found.arn)

    async def close(self) -> None:
        """End what is asked, and close the connections."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        self._kept.clear()
        await self._sts.close()

    async def _refresh(
        self, name: bytes, role: Role, base: Credentials, account_id: str
    ) -> Credentials | Retry | Unauthorized:
        asked = self._monotonic()
        said = await self._assume(role, base, account_id, None)
        return self._keep(name, said if isinstance(said, Credentials) else _unsent(said.outcome), asked)

    def _keep(
        self, name: bytes, said: Credentials | Retry | Unauthorized, asked: float
    ) -> Credentials | Retry | Unauthorized:
        if isinstance(said, Credentials):
            until = asked + SESSION_SECONDS - BEFORE_END
        else:
            until = self._monotonic() + FAILED_SECONDS
        self._kept.pop(name, None)
        while len(self._kept) >= self._capacity:
            self._kept.popitem(last=False)
        self._kept[name] = _Kept(said, asked, until)
        return said

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
