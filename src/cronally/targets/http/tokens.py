"""The access tokens that requests of connections with OAuth 2.0 are sent with.

Invariant: the only place that asks a token endpoint: over the pool of the requests themselves, towards an allowed
address, and within the time of the attempt that needs the token. A token is kept in memory alone (`sessions`), by a
hash of the account and of all that it was got with, so none is ever another account's, or that of a connection before
a change of it. What an endpoint does with the time of an attempt counts as if its receiver did it: an account whose
tokens hang has as few places as one whose receivers hang.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Final, NamedTuple

from cronally.targets.answer import Answer
from cronally.targets.egress import Egress, Refusal
from cronally.targets.http.grants import MAX_BODY, Grant, Token, read_token
from cronally.targets.pool import Pool, retry_after
from cronally.targets.sessions import DOUBTED_SECONDS, FAILED_SECONDS, Kept, Sessions
from cronally.targets.target import Delivered, Outcome, Reply, Retry, Unauthorized, Unknown
from cronally.targets.url import parse_url

CAPACITY: Final = 2048
"""Tokens that are kept, of `grants.MAX_TOKEN` bytes at most; the one that was used longest ago goes first."""
MAX_HOLD: Final = 300.0
"""Seconds that an endpoint which asks to wait is not asked again, at most."""
_UNAUTHORIZED: Final = 401


class Said(NamedTuple):
    """What came of a question."""

    said: Token | Retry | Unauthorized
    status: int | None = None
    """Of the answer, if there was one."""


class Tokens:
    """Asks for tokens. Belongs to one event loop."""

    def __init__(
        self,
        pool: Pool,
        egress: Egress,
        *,
        keep_internal: bool = False,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        capacity: int = CAPACITY,
    ) -> None:
        """
        :param keep_internal: whether it may be told what an endpoint at an address that is not public says
        :param clock: seconds since 1970, for a Retry-After that is a date
        """
        self._pool = pool
        self._egress = egress
        self._keeps_internal = keep_internal
        self._clock = clock
        self._monotonic = monotonic
        self._sessions = Sessions[Token | Retry | Unauthorized](monotonic, capacity)

    def __len__(self) -> int:
        return len(self._sessions)

    async def get(self, sealed: str, account_id: str, ends: float) -> Token | Retry | Unauthorized:
        """A token to send a request with, or what it means that there is none.

        :param sealed: the grant of the request's connection, as it is sealed
        :param account_id: whose it is
        :param ends: until when there is time, by the clock of the event loop
        """
        ask = partial(self._ask_and_keep, sealed, account_id)
        try:
            return await self._sessions.get(_name(sealed, account_id), ask, ends)
        except TimeoutError:
            return Retry(
                "not sent: the token endpoint gave no access token in the time of the request",
                reply=Reply.SILENT,
            )

    async def ask_anew(self, sealed: str, account_id: str, begun: float) -> Said:
        """Ask for a token whatever is kept, and keep that in place of it. One that is refused takes no place.

        :param begun: when the time of it all began, by the monotonic clock
        """
        asked = self._monotonic()
        found = await self._ask(sealed, account_id, begun)
        if isinstance(found.said, Token):
            self._sessions.keep(_name(sealed, account_id), self._kept(found.said, asked))
        return found

    def learn(self, sealed: str, account_id: str, token: Token, status: int, outcome: Outcome) -> Outcome:
        """What it means for an attempt that its receiver answered so to a token.

        A token that was taken before and is refused now is no good any more: the next attempt gets another. One that
        never was may not be known to the receiver yet, and is given up when it is a minute old: what is wrong then is
        the credentials, or their scope.
        """
        if isinstance(outcome, Delivered):
            token.taken = True
        if status != _UNAUTHORIZED or isinstance(outcome, Delivered):
            return outcome
        older = 0.0 if token.taken else DOUBTED_SECONDS
        self._sessions.drop(_name(sealed, account_id), token, older=older)
        if token.taken and isinstance(outcome, Unauthorized):
            again = "the access token is not taken any more; the next attempt gets a new one"
            return Retry(f"{outcome.detail}: {again}")
        return outcome

    async def close(self) -> None:
        """End what is asked, and forget all tokens."""
        await self._sessions.close()

    async def _ask_and_keep(self, sealed: str, account_id: str) -> Kept[Token | Retry | Unauthorized]:
        asked = self._monotonic()
        found = await self._ask(sealed, account_id, time.monotonic())
        return self._kept(_unsent(found.said), asked)

    def _kept(self, said: Token | Retry | Unauthorized, asked: float) -> Kept[Token | Retry | Unauthorized]:
        if isinstance(said, Token):
            return Kept(said, asked, asked + said.lifetime)
        hold = FAILED_SECONDS
        if isinstance(said, Retry) and said.after is not None:
            hold = max(hold, min(said.after, MAX_HOLD))
        return Kept(said, asked, self._monotonic() + hold)

    async def _ask(self, sealed: str, account_id: str, begun: float) -> Said:
        grant = Grant.of(sealed)
        url = parse_url(grant.token_url)
        if not self._egress.permits_host(url.origin.host):
            # The operator may have changed his mind since it was given.
            return Said(Unauthorized(Refusal.HOST.detail))
        headers, body = grant.request()
        answer = await self._pool.request(
            "POST",
            url,
            headers,
            body,
            whole=False,
            account_id=account_id,
            begun=begun,
            wanted=lambda _ip, _status: MAX_BODY,
        )
        if not isinstance(answer, Answer):
            if isinstance(answer, Retry | Unknown):
                return Said(Retry(answer.detail.removeprefix("not sent: "), reply=answer.reply))
            return Said(Unauthorized(answer.detail))
        after = retry_after(answer.headers.get("retry-after"), self._clock())
        public = self._keeps_internal or self._egress.is_public(answer.ip)
        return Said(read_token(answer, grant, after=after, public=public), answer.status)


def _unsent(said: Token | Retry | Unauthorized) -> Token | Retry | Unauthorized:
    """What it means for a firing that there is no token: it was not sent, and may be when that is put right."""
    match said:
        case Retry():
            return replace(said, detail=f"not sent: no access token: {said.detail}")
        case Unauthorized():
            return replace(said, detail=f"no access token: {said.detail}")
    return said


def _name(sealed: str, account_id: str) -> bytes:
    """What a token is kept by: whose it is, and all that it is got with, but no secret."""
    return sha256(f"{account_id}\0{sealed}".encode()).digest()
