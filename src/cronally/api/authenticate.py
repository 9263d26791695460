"""Who asks: the signature of a request, checked.

Invariant: the answer to a refused request does not say why. Whether the key is unknown or has ended, the signature
wrong, the date out of range or a header missing or repeated: the answer is the same, and so is the work, down to the
digest. What a key may ask for, and from where, is looked at behind that (`permissions`): only who has its secret learns
of it.
Source of the rules: the API reference ("Authentication") and its wire facts.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from cronally import errors, signing, wire
from cronally.api.rate import Rate, per_minute
from cronally.api.uses import Uses
from cronally.instants import MINUTE, format_duration
from cronally.operations import Caller, Operations

CACHED_FOR: Final = 0.5
"""Seconds, from before it was looked up, that a key with its opened secret, or an unknown one, is remembered. On every
node what changes of a key holds that long after it was committed, whatever becomes of signals between nodes."""
CACHE_SIZE: Final = 10_000

_KEY: Final = wire.API_KEY_HEADER.lower().encode()
_DATE: Final = wire.DATE_HEADER.lower().encode()
_SIGNATURE: Final = wire.SIGNATURE_HEADER.lower().encode()
"""Looked up in place of what cannot be a key."""


class Authenticator:
    """Checks signatures."""

    def __init__(
        self,
        operations: Operations,
        clock: Callable[[], int],
        skew: int,
        requests_per_minute: int,
        seconds_per_minute: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        :param clock: the instant by the clock that dates are compared with
        :param skew: how far a date may be from it either way, in microseconds; compared in whole minutes
        :param requests_per_minute: how often an account may ask
        :param seconds_per_minute: how much of the event loop's time an account's requests may use
        :param monotonic: seconds, by which what was looked up grows old
        """
        self._operations = operations
        self._clock = clock
        self._skew = skew
        self._requests = Rate(per_minute("requests", requests_per_minute))
        self.seconds = Rate(
            per_minute("request-seconds", seconds_per_minute, "seconds"),
            f"The account's requests have used {seconds_per_minute} s of the server's time within a minute, as much as"
            " they may; try again after the number of seconds in Retry-After, and ask for smaller pages or less often.",
        )
        """What the requests of each account have used; who measures it counts it there."""
        # Apart, so that a flood of unknown keys does not push out those in use.
        self._known = _Cache(monotonic)
        self._unknown = _Cache(monotonic)
        self._asking: dict[str, _Asked] = {}
        self._monotonic = monotonic
        self.uses = Uses(operations.keys.record_uses)
        self._dummy = os.urandom(32)
        self._message = (
            f"The request is not signed by a known API key. Send, each once: {wire.API_KEY_HEADER}, the API key;"
            f" {wire.DATE_HEADER}, the time in UTC as %Y%m%d%H%M, within {format_duration(skew)} of the server's time;"
            f" {wire.SIGNATURE_HEADER}, the base64 of the HMAC-SHA256 of path, method and date, joined,"
            " under the base64-decoded API secret. The path goes without the query: what follows `?` is not signed."
        )

    async def __call__(self, request: Request) -> Caller:
        """Who signed the request. Raises Unauthorized, and RateLimited for an account that asks too much."""
        key = date = signature = None
        once = True
        for name, value in request.scope["headers"]:
            if name == _KEY:
                once &= key is None
                key = value
            elif name == _DATE:
                once &= date is None
                date = value
            elif name == _SIGNATURE:
                once &= signature is None
                signature = value
        api_key = (key or b"").decode("latin-1")
        caller = await self._find(api_key if wire.UUID.fullmatch(api_key) else wire.NIL_UUID)
        secret = self._dummy if caller is None else caller.secret
        path = request.scope["raw_path"].decode("latin-1")
        date_text = (date or b"").decode("latin-1")
        signed = signing.verify(secret, path, request.scope["method"], date_text, signature or b"")
        now = self._clock()
        dated = self._is_current(date_text, now)
        if caller is None or not (signed & dated & once) or has_expired(caller, now):
            raise errors.Unauthorized(self._message)
        return caller

    def admit(self, caller: Caller) -> None:
        """Count a request of an account. Raises RateLimited for one that asks too much."""
        self._requests.count(caller.account_id)
        self.seconds.check(caller.account_id)

    def _is_current(self, date: str, now: int) -> bool:
        signed_at = signing.parse_date(date)
        return signed_at is not None and abs(now - now % MINUTE - signed_at) <= self._skew

    async def _find(self, api_key: str) -> Caller | None:
        found = self._known.get(api_key) or self._unknown.get(api_key)
        if found is not None:
            return found.caller
        now = self._monotonic()
        asked = self._asking.get(api_key)
        if asked is None or now >= asked.until:
            # All who ask within that time wait for one look-up: who sends much of one key costs no more than who sends
            # little.
            asking = asyncio.create_task(self._look_up(api_key, now + CACHED_FOR), name="key")
            # Should everybody who waits for it be gone, nobody asks what went wrong.
            asking.add_done_callback(lambda task: task.cancelled() or task.exception())
            self._asking[api_key] = asked = _Asked(now + CACHED_FOR, asking)
        return await asyncio.shield(asked.task)

    async def _look_up(self, api_key: str, until: float) -> Caller | None:
        try:
            caller = await self._operations.find_caller(api_key)
            (self._unknown if caller is None else self._known).put(api_key, _Found(until, caller))
            return caller
        finally:
            if api_key in self._asking and self._asking[api_key].until == until:
                del self._asking[api_key]


def has_expired(caller: Caller, now: int) -> bool:
    """Whether a key can be used no more: it is as if there were none, for its secret may be erased by then."""
    return caller.expires_at is not None and caller.expires_at <= now


@dataclass(frozen=True, slots=True)
class _Found:
    """What looking up a key found."""

    until: float
    caller: Caller | None


@dataclass(frozen=True, slots=True)
class _Asked:
    """A look-up on its way."""

    until: float
    """Who asks later than that asks anew: what it finds may be too old by then."""
    task: asyncio.Task[Caller | None]


class _Cache:
    """What was found in the last seconds; it forgets by itself, so no secret outlives them."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._found: dict[str, _Found] = {}
        self._forgetting = False

    def get(self, api_key: str) -> _Found | None:
        """What is remembered of a key and not too old, however late the loop gets to forgetting it."""
        found = self._found.get(api_key)
        return None if found is None or found.until <= self._monotonic() else found

    def put(self, api_key: str, found: _Found) -> None:
        """Remember; the oldest goes when there are too many."""
        loop = asyncio.get_running_loop()
        self._found.pop(api_key, None)
        self._found[api_key] = found
        if len(self._found) > CACHE_SIZE:
            del self._found[next(iter(self._found))]
        if not self._forgetting:
            self._forgetting = True
            loop.call_later(CACHED_FOR, self._forget, loop)

    def _forget(self, loop: asyncio.AbstractEventLoop) -> None:
        """Drop what is too old; entries stand in the order of their age."""
        now = self._monotonic()
        while self._found:
            oldest = next(iter(self._found))
            wait = self._found[oldest].until - now
            if wait > 0:
                loop.call_later(wait, self._forget, loop)
                return
            del self._found[oldest]
        self._forgetting = False
