"""Connections by both clients, against the real API."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta

import pytest

from cronally import AsyncClient, Client
from cronally.client import Account, Connection, ConnectionVerification
from cronally.errors import InvalidRequest, NotFound
from tests.operations.parameters import AWS
from tests.support.relay import Relay

NOBODY = "https://nobody.invalid/in"


def test_connection__lives_through_all_verbs(client: Client, relay: Relay) -> None:
    made = client.create_connection(
        name="hooks",
        kind="http",
        base_url=NOBODY,
        headers={"X-Key": "abc", "Accept": "text/html, */*"},
        token="t0ken",
    )
    assert "idempotency-key" in {name.lower() for name in relay.last.headers}
    assert isinstance(made, Connection)
    assert (made.kind, made.authentication, made.header_names) == ("http", "bearer", ("Accept", "X-Key"))
    assert client.get_connection("hooks") == client.get_connection(made.connection_id) == made
    assert list(client.list_connections(limit=10)) == [made]
    changed = client.update_connection("hooks", token="other", overlap=timedelta(hours=24))
    assert relay.last.form() == {"token": "other", "overlap": "24h"}
    assert changed.previous_until is not None
    assert changed.previous_until - changed.updated_at == timedelta(hours=24)
    assert client.update_connection("hooks", headers={}).header_names == ()
    secret = f"whsk_{base64.b64encode(b'k' * 32).decode()}"
    signs = client.update_connection("hooks", signing_secret=secret, signature_format="message-signatures")
    assert signs.signature_format == "message-signatures"
    assert signs.keys_path == f"/keys/{made.connection_id}/"
    assert signs.signing_key_ids is not None
    assert len(signs.signing_key_ids) == 1
    found = client.verify_connection("hooks")
    assert isinstance(found, ConnectionVerification)
    assert (relay.last.method, relay.last.path) == ("POST", "/connection/hooks/verify/")
    assert client.delete_connection("hooks").connection_id == made.connection_id
    with pytest.raises(NotFound, match="no such connection"):
        client.get_connection("hooks")
    with pytest.raises(InvalidRequest, match="letters, digits"):
        client.get_connection("../cronjobs")
    with pytest.raises(InvalidRequest, match="nothing to change"):
        client.update_connection("hooks")


def test_connection__of_asyncio(relay: Relay, account: Account) -> None:
    async def run() -> None:
        async with AsyncClient(relay.url, account.api_key, account.api_secret) as client:
            made = await client.create_connection(
                name="billing",
                kind="aws",
                aws_access_key_id=AWS["aws_access_key_id"],
                aws_secret_access_key=AWS["aws_secret_access_key"],
            )
            assert await client.get_connection("billing") == made
            assert [one.name for one in await client.list_connections()] == ["billing"]
            assert (await client.update_connection("billing", name="b")).name == "b"
            assert (await client.delete_connection("b")).used_by == 0

    asyncio.run(run())
