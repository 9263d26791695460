"""Hosts that an account proves to be its own, by both clients, against the real API."""

from __future__ import annotations

import asyncio

import pytest

from cronally import AsyncClient, Client
from cronally.client import Account, Host
from cronally.errors import InvalidRequest, NotFound
from tests.support.relay import Relay

NOBODY = "nobody.invalid:8443"


def test_host__lives_through_all_verbs(client: Client, relay: Relay) -> None:
    made = client.add_host(NOBODY)
    assert isinstance(made, Host)
    assert (made.host, made.proven) == (NOBODY, False)
    assert client.add_host(NOBODY) == made
    assert list(client.list_hosts()) == [made]
    found = client.verify_host(NOBODY)
    assert (relay.last.method, relay.last.path) == ("POST", f"/account/hosts/{NOBODY}/verify/")
    assert (found.proven, found.detail) == (False, "not sent: the host name does not resolve")
    assert client.remove_host(NOBODY).text == made.text
    with pytest.raises(NotFound, match="no such host"):
        client.remove_host(NOBODY)
    for wrong in ("", ".", "..", "a/b", "a.example/", "[::1]", "a?b"):
        with pytest.raises(InvalidRequest, match="a host is a name"):
            client.verify_host(wrong)


def test_host__of_asyncio(relay: Relay, account: Account) -> None:
    async def run() -> None:
        async with AsyncClient(relay.url, account.api_key, account.api_secret) as client:
            made = await client.add_host(NOBODY)
            assert list(await client.list_hosts()) == [made]
            assert not (await client.verify_host(NOBODY)).proven
            assert (await client.remove_host(NOBODY)).host == NOBODY

    asyncio.run(run())
