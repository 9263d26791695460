"""Test messages of cron jobs that use a connection: what reaches the receiver is what a firing would send."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cronally import errors
from cronally.operations import Caller
from cronally.store import Store
from tests.operations.parameters import AWS, HTTP, SNS
from tests.operations.receivers import server, targets
from tests.operations.tenant import Tenants
from tests.support.factories import CANARY
from tests.support.scripted import ScriptedServer, answer

__all__ = ["server", "targets"]

pytestmark = pytest.mark.sample

USING = {name: value for name, value in SNS.items() if "key" not in name} | {"connection": "billing"}


async def test_http__gets_the_headers_of_the_connection(
    operations: Tenants, caller: Caller, server: ScriptedServer
) -> None:
    me = caller.account_id
    web = {"name": "hooks", "kind": "http", "base_url": f"{server.url}/v1", "username": "Aladdin"}
    await operations.create_connection(me, {**web, "password": "open sesame", "headers": {"X-Key": "abc"}})
    sent = {**HTTP, "delivery_http_url": "/run", "connection": "hooks", "verify": True}
    made = await operations.create_cronjob(me, sent)
    assert made["verification"]["delivered"]
    await operations.verify_cronjob(me, made["cronjob_id"])
    await operations.update_cronjob(me, made["cronjob_id"], {"delivery_http_url": "/b", "verify": True})
    assert [request.path for request in server.requests] == ["/v1/run", "/v1/run", "/v1/b"]
    for request in server.requests:
        assert request.headers["authorization"] == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="  # RFC 7617, 2
        assert request.headers["x-key"] == "abc"
    server.otherwise = answer(401)
    with pytest.raises(errors.VerificationFailed):
        await operations.update_cronjob(me, made["cronjob_id"], {"name": "x", "verify": True})


@pytest.mark.parametrize("token", [None, "session-t0ken"])
async def test_sns__is_signed_with_the_keys_of_the_connection(
    operations: Tenants, caller: Caller, server: ScriptedServer, token: str | None
) -> None:
    me = caller.account_id
    keys: dict[str, Any] = dict(AWS)
    if token is not None:
        keys |= {"aws_access_key_id": "ASIAIOSFODNN7EXAMPLE", "aws_session_token": token}
    await operations.create_connection(me, keys)
    made = await operations.create_cronjob(me, {**USING, "verify": True})
    assert made["verification"]["delivered"]
    (request,) = server.requests
    assert f"Credential={keys['aws_access_key_id']}/" in request.headers["authorization"]
    assert request.headers.get("x-amz-security-token") == token
    assert ("x-amz-security-token" in request.headers["authorization"]) == (token is not None)


async def test_http__a_name_leads_no_test_message_elsewhere(
    operations: Tenants, caller: Caller, server: ScriptedServer, store: Store
) -> None:
    me = caller.account_id
    await operations.create_connection(me, {"name": "hooks", "kind": "http", "base_url": f"{server.url}/v1"})
    # What stands behind such a word is secret, and a new name is not checked against it.
    url = f"{server.url}/v1/key/<cronally.cronjob-name>/run"
    made = await operations.create_cronjob(me, {**HTTP, "delivery_http_url": url, "connection": "hooks"})
    assert made["delivery_http_url"].endswith("/key/***/run")
    renamed = await operations.update_cronjob(me, made["cronjob_id"], {"name": ".."})
    with pytest.raises(errors.Conflict, match="not below"):
        await operations.verify_cronjob(me, renamed["cronjob_id"])
    assert not server.requests


async def test_render__shows_which_headers_the_connection_adds(
    operations: Tenants, caller: Caller, server: ScriptedServer
) -> None:
    me = caller.account_id
    web = {"name": "hooks", "kind": "http", "base_url": f"{server.url}/v1", "token": f"{CANARY}-token"}
    await operations.create_connection(me, {**web, "headers": {"x-env": f"{CANARY}-env"}})
    sent = {**HTTP, "delivery_http_url": "/run", "connection": "hooks", "delivery_http_headers": "X-Env: own"}
    made = await operations.create_cronjob(me, sent)
    shown = await operations.render_cronjob(me, made["cronjob_id"])
    assert CANARY not in json.dumps(shown, default=str)
    names = {name.lower(): value for name, value in shown["headers"].items()}
    assert (names["x-env"], names["authorization"], len(names)) == ("***", "***", len(shown["headers"]))
    await operations.verify_cronjob(me, made["cronjob_id"])
    assert names.keys() <= server.requests[-1].headers.keys()
