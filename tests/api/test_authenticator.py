"""What the authenticator remembers of keys: bounded, forgetful by itself, never older than half a second."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from starlette.requests import Request

from cronally import errors
from cronally.api import authenticate
from cronally.api.authenticate import CACHED_FOR, Authenticator, _Found
from cronally.instants import MINUTE, SECOND
from cronally.operations import Caller
from tests.api.serving import now_date, signature

KEY = "00000000-0000-4000-8000-00000000000b"
CALLER = Caller("account", KEY, b"secret")


def found(caller: Caller | None = CALLER) -> _Found:
    return _Found(time.monotonic() + authenticate.CACHED_FOR, caller)


async def test_cache__forgets_without_being_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticate, "CACHED_FOR", 0.02)
    cache = authenticate._Cache(time.monotonic)
    cache.put("a", found())
    cache.put("b", found(None))
    async with asyncio.timeout(30):
        while cache._found:  # noqa: ASYNC110 - nothing tells when it forgets
            await asyncio.sleep(0.01)
    assert cache.get("a") is None
    assert not cache._forgetting
    cache.put("c", found())
    assert cache._forgetting


async def test_cache__keeps_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticate, "CACHE_SIZE", 3)
    monkeypatch.setattr(authenticate, "CACHED_FOR", 60.0)
    cache = authenticate._Cache(time.monotonic)
    for api_key in "abcad":
        cache.put(api_key, found())
    assert [api_key for api_key in "abcd" if cache.get(api_key)] == ["a", "c", "d"]
    cache._forget(asyncio.get_running_loop())


class Scripted:
    """Operations that answer when they are told to."""

    def __init__(self) -> None:
        self.caller: Caller | None = CALLER
        self.asked = 0
        self.answer = asyncio.Event()
        self.keys = self

    async def find_caller(self, _api_key: str) -> Caller | None:
        self.asked += 1
        seen = self.caller
        await self.answer.wait()
        return seen

    async def record_uses(self, _uses: object) -> None: ...


class Hand:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.seconds, self.began = 0.0, time.time_ns() // 1000

    def monotonic(self) -> float:
        return self.seconds

    def clock(self) -> int:
        return self.began + int(self.seconds * SECOND)


def made(operations: Scripted, hand: Hand) -> Callable[[], asyncio.Task[Caller]]:
    authenticator = Authenticator(
        cast(Any, operations), hand.clock, 5 * MINUTE, 6000, 15, monotonic=hand.monotonic
    )
    date = now_date()
    signed = signature(base64.b64encode(CALLER.secret).decode(), "/account/", "GET", date)
    headers = {"x-cron-key": KEY, "x-cron-date": date, "x-cron-signature": signed}
    scope = {
        "type": "http",
        "method": "GET",
        "raw_path": b"/account/",
        "headers": [(name.encode(), text.encode()) for name, text in headers.items()],
    }
    return lambda: asyncio.create_task(cast(Any, authenticator(Request(scope))))


async def settled() -> None:
    """Let everything that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_authenticator__who_asks_at_once_waits_for_one_look_up() -> None:
    operations, hand = Scripted(), Hand()
    ask = made(operations, hand)
    tasks = [ask() for _ in range(50)]
    await settled()
    assert operations.asked == 1
    operations.answer.set()
    assert {await task for task in tasks} == {CALLER}
    hand.seconds = CACHED_FOR * 0.9
    assert await ask() == CALLER
    assert operations.asked == 1


async def test_authenticator__nobody_is_let_in_by_what_was_read_long_before() -> None:
    """However slow the database is: what holds counts from before the look-up."""
    operations, hand = Scripted(), Hand()
    ask = made(operations, hand)
    early = ask()
    await settled()
    operations.caller = None  # revoked, while the first look-up is on its way
    hand.seconds = CACHED_FOR
    late = ask()
    await settled()
    assert operations.asked == 2
    operations.answer.set()
    assert await early == CALLER  # it began before
    with pytest.raises(errors.Unauthorized):
        await late
    with pytest.raises(errors.Unauthorized):
        await ask()


async def test_authenticator__one_that_is_gone_ends_no_look_up_of_others() -> None:
    operations, hand = Scripted(), Hand()
    ask = made(operations, hand)
    first, second = ask(), ask()
    await settled()
    first.cancel()
    operations.answer.set()
    assert await second == CALLER


async def test_authenticator__an_end_is_looked_at_at_each_request() -> None:
    operations, hand = Scripted(), Hand()
    operations.answer.set()
    operations.caller = replace(CALLER, expires_at=hand.began + SECOND // 10)
    ask = made(operations, hand)
    assert await ask() == operations.caller
    hand.seconds = 0.1
    with pytest.raises(errors.Unauthorized) as caught:
        await ask()
    assert operations.asked == 1
    assert "expire" not in str(caught.value)
