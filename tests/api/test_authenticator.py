"""The cache of the authenticator: bounded, and forgetful by itself."""

from __future__ import annotations

import asyncio

import pytest

from cronally.api import authenticate
from cronally.operations import Caller

CALLER = Caller("account", "key", b"secret")


async def test_cache__forgets_without_being_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticate, "CACHED_FOR", 0.02)
    cache = authenticate._Cache()
    cache.put("a", CALLER)
    cache.put("b", None)
    # Nothing is forgotten before the loop gets its turn, however late that is.
    found = cache.get("a")
    assert found is not None
    assert found.caller is CALLER
    async with asyncio.timeout(30):
        while cache._found:  # noqa: ASYNC110 - nothing tells when it forgets
            await asyncio.sleep(0.01)
    assert cache.get("a") is None
    assert not cache._forgetting
    cache.put("c", CALLER)
    assert cache._forgetting


async def test_cache__keeps_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticate, "CACHE_SIZE", 3)
    cache = authenticate._Cache()
    for api_key in "abcad":
        cache.put(api_key, CALLER)
    assert [api_key for api_key in "abcd" if cache.get(api_key)] == ["a", "c", "d"]
    cache._forget(asyncio.get_running_loop())
