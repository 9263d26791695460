"""API keys, by both clients, against the real API."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from cronally import AsyncClient, Client
from cronally.client import Account, Key
from cronally.errors import Conflict, Forbidden, InvalidRequest, NotFound
from tests.support.relay import Relay


def test_key__lives_through_all_verbs(client: Client, relay: Relay, account: Account) -> None:
    made = client.create_key(
        name="deploy",
        scopes=["write", "read"],
        tags=["team=web"],
        networks=["127.0.0.0/8"],
        expires_at=timedelta(1),
    )
    assert isinstance(made, Key)
    assert made.api_secret is not None
    assert made.api_secret not in repr(made)
    assert (made.scopes, made.tags, made.networks) == (("read", "write"), ("team=web",), ("127.0.0.0/8",))
    with Client(relay.url, made.api_key, made.api_secret) as deploy:
        assert list(deploy.cronjobs()) == []
        with pytest.raises(Forbidden, match="needs the scope keys"):
            deploy.list_keys()
    assert [key.name for key in client.list_keys()] == ["sign-up", "deploy"]
    assert client.update_key("deploy", tags=[], expires_at="default").expires_at is None
    new = client.rotate_key("deploy", overlap=timedelta(hours=1))
    assert relay.last.path == "/key/deploy/rotate/"
    assert client.get_key(made.api_key).replaced_by == new.api_key
    assert new.replaces == made.api_key
    assert client.revoke_key("deploy").state == "revoked"
    with pytest.raises(NotFound, match="no such API key"):
        client.get_key("deploy")
    with pytest.raises(Conflict, match="last API key"):
        client.revoke_key(account.api_key)
    for wrong in ("", "a/b", "a.b", "a?b"):
        with pytest.raises(InvalidRequest, match="letters, digits"):
            client.get_key(wrong)
    with pytest.raises(InvalidRequest, match="nothing to change"):
        client.update_key("deploy")


def test_key__of_asyncio(relay: Relay, account: Account) -> None:
    async def run() -> None:
        async with AsyncClient(relay.url, account.api_key, account.api_secret) as client:
            made = await client.create_key(name="a", scopes=["read"])
            assert (await client.get_key("a")).api_key == made.api_key
            assert len(await client.list_keys()) == 2
            assert (await client.update_key("a", name="b")).name == "b"
            assert (await client.rotate_key("b")).replaces == made.api_key
            assert (await client.revoke_key("b")).state == "revoked"

    asyncio.run(run())
