"""Freezes by both clients, against the real API."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from cronally import AsyncClient, Client
from cronally.client import Account, Freeze
from cronally.errors import InvalidRequest, NotFound
from tests.support.relay import Relay


def test_freeze__lives_through_all_verbs(client: Client, relay: Relay) -> None:
    made = client.freeze(tag="web", until=timedelta(hours=2), note="deploying", rule="latest")
    assert relay.last.form() == {"tag": "web", "until": "2h", "note": "deploying", "rule": "latest"}
    assert "idempotency-key" in {name.lower() for name in relay.last.headers}
    assert isinstance(made, Freeze)
    assert (made.selector, made.tag, made.host, made.rule, made.in_force) == (
        "tag",
        "web",
        None,
        "latest",
        True,
    )
    assert made.until - made.created_at == timedelta(hours=2)
    assert client.get_freeze(made.freeze_id) == made
    assert list(client.list_freezes()) == [made]
    lifted = client.lift_freeze(made.freeze_id)
    assert (lifted.in_force, lifted.lifted_at is not None) == (False, True)
    assert client.lift_freeze(made.freeze_id) == lifted
    client.freeze(all=True, until="1m")
    assert relay.last.form() == {"all": "true", "until": "1m"}
    with pytest.raises(NotFound, match="no such freeze"):
        client.get_freeze("x")
    with pytest.raises(InvalidRequest, match="letters, digits"):
        client.lift_freeze("../cronjobs")


def test_freeze__a_key_of_its_own_makes_one(client: Client) -> None:
    made = client.freeze(host="a.example", until="1h", idempotency_key="once")
    assert client.freeze(host="a.example", until="1h", idempotency_key="once") == made


def test_freeze__of_asyncio(relay: Relay, account: Account) -> None:
    async def run() -> None:
        async with AsyncClient(relay.url, account.api_key, account.api_secret) as client:
            made = await client.freeze(host="a.example", until="1h")
            assert await client.get_freeze(made.freeze_id) == made
            assert [one.host for one in await client.list_freezes()] == ["a.example"]
            assert not (await client.lift_freeze(made.freeze_id)).in_force

    asyncio.run(run())
