"""Connections that are tried out: what is said to their credentials, and how often that may be asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import update
from standardwebhooks.webhooks import Webhook

from cronally import errors
from cronally.instants import DAY, MINUTE, format_iso
from cronally.operations import Caller
from cronally.operations.explanation_text import asked_for
from cronally.operations.verifying import PER_MINUTE
from cronally.store import Store, tables
from cronally.targets.build import build_targets
from cronally.targets.egress import Egress
from cronally.targets.target import Target
from tests.operations.parameters import AWS, SECRET, WEB
from tests.operations.tenant import Tenants
from tests.support.aws import LocalAws
from tests.support.factories import CANARY, NOON, firing_values, insert_rows, make_cronjob, read_firings
from tests.support.scripted import ScriptedServer, Step, answer, cut

pytestmark = pytest.mark.sample

IDENTITY = (
    "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/cron</Arn>"
    "<UserId>AIDA</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
)
REFUSED = (
    "<ErrorResponse><Error><Code>InvalidClientTokenId</Code>"
    f"<Message>No {SECRET}</Message></Error></ErrorResponse>"
)


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    """A web server, and an STS."""
    async with ScriptedServer(answer(200, IDENTITY)) as scripted:
        yield scripted


@pytest.fixture
async def targets(server: ScriptedServer) -> AsyncIterator[dict[str, Target]]:
    targets = build_targets(sts_endpoint=server.url, egress=Egress(["127.0.0.0/8"]))
    yield targets
    for target in targets.values():
        await target.close()


async def test_aws__says_whose_keys_they_are(
    operations: Tenants, caller: Caller, server: ScriptedServer
) -> None:
    me = caller.account_id
    await operations.create_connection(me, {**AWS, "aws_region": "eu-west-1"})
    found = await operations.verify_connection(me, "billing")
    assert found.pop("duration_ms") >= 0
    assert found == {
        "accepted": True,
        "outcome": "delivered",
        "detail": None,
        "http_status": 200,
        "aws_account": "123456789012",
        "aws_arn": "arn:aws:iam::123456789012:user/cron",
    }
    (request,) = server.requests
    assert request.form()["Action"] == "GetCallerIdentity"
    assert "/eu-west-1/sts/aws4_request" in request.headers["authorization"]
    assert "x-amz-security-token" not in request.headers
    temporary = {"aws_access_key_id": "ASIAIOSFODNN7EXAMPLE", "aws_secret_access_key": SECRET}
    await operations.update_connection(me, "billing", {**temporary, "aws_session_token": "t0ken"})
    await operations.verify_connection(me, "billing")
    assert server.requests[1].headers["x-amz-security-token"] == "t0ken"


@pytest.mark.parametrize(
    ("step", "outcome"),
    [
        (answer(403, REFUSED), "unauthorized"),
        (answer(503), "retry"),
        (answer(200, "<html>"), "unknown"),
        (cut, "unknown"),
    ],
)
async def test_aws__what_is_refused_is_said_without_secrets(
    operations: Tenants, caller: Caller, server: ScriptedServer, step: Step, outcome: str
) -> None:
    server.otherwise = step
    await operations.create_connection(caller.account_id, AWS)
    found = await operations.verify_connection(caller.account_id, "billing")
    assert (found["accepted"], found["outcome"]) == (False, outcome)
    assert found["detail"]
    assert CANARY not in json.dumps(found)


async def test_aws__keys_of_a_real_sts(
    operations: Tenants, caller: Caller, aws: LocalAws, targets: Any
) -> None:
    real = build_targets(sts_endpoint=aws.url)
    await targets["sns"].close()
    targets["sns"] = real["sns"]
    operations.operations.trying._targets = targets
    keys = aws.make_user({"Effect": "Allow", "Action": "sns:Publish", "Resource": "*"})
    me = caller.account_id
    good = {"aws_access_key_id": keys.access_key_id, "aws_secret_access_key": keys.secret_access_key}
    await operations.create_connection(me, {**AWS, **good})
    found = await operations.verify_connection(me, "billing")
    assert found["accepted"]
    assert ":user/" in found["aws_arn"]
    await operations.update_connection(me, "billing", {"aws_secret_access_key": SECRET})
    found = await operations.verify_connection(me, "billing")
    assert (found["accepted"], found["outcome"]) == (False, "unauthorized")
    await real["http"].close()


@pytest.mark.parametrize(
    ("status", "accepted", "outcome"),
    [
        (204, True, "delivered"),
        (404, True, "refused"),
        (405, True, "refused"),
        (401, False, "unauthorized"),
        (403, False, "unauthorized"),
        (302, False, "refused"),
        (500, False, "retry"),
    ],
)
async def test_http__is_called_with_what_it_holds(
    operations: Tenants, caller: Caller, server: ScriptedServer, status: int, accepted: bool, outcome: str
) -> None:
    server.otherwise = answer(status, f"{CANARY} inside")
    me = caller.account_id
    web = {"name": "hooks", "kind": "http", "base_url": f"{server.url}/v1", "token": "t0ken"}
    await operations.create_connection(me, {**web, "headers": {"X-Key": "abc"}})
    found = await operations.verify_connection(me, "hooks")
    assert (found["accepted"], found["outcome"], found["http_status"]) == (accepted, outcome, status)
    assert CANARY not in json.dumps(found)
    (request,) = server.requests
    assert (request.method, request.path) == ("GET", "/v1")
    assert (request.headers["authorization"], request.headers["x-key"]) == ("Bearer t0ken", "abc")


async def test_http__is_signed_where_the_connection_signs(
    operations: Tenants, caller: Caller, server: ScriptedServer
) -> None:
    me, secret = caller.account_id, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    web = {**WEB, "base_url": server.url}
    await operations.create_connection(me, {**web, "signing_secret": secret})
    assert (await operations.verify_connection(me, "hooks"))["accepted"]
    (request,) = server.requests
    Webhook(secret).verify(request.body, dict(request.headers), json_parse=False)


async def test_verify__is_counted_with_the_test_messages(operations: Tenants, caller: Caller) -> None:
    me = caller.account_id
    await operations.create_connection(me, AWS)
    for _ in range(PER_MINUTE):
        await operations.verify_connection(me, "billing")
    with pytest.raises(errors.RateLimited, match="test messages"):
        await operations.verify_connection(me, "billing")
    with pytest.raises(errors.NotFound, match="no such connection"):
        await operations.verify_connection(me, "nobodys")


@pytest.mark.parametrize(
    ("status", "health", "due"), [(204, "ok", 2), (404, "unhealthy", 1), (401, "unhealthy", 0)]
)
async def test_unhealthy__what_it_holds_is_let_go_or_tried(
    operations: Tenants,
    caller: Caller,
    server: ScriptedServer,
    store: Store,
    status: int,
    health: str,
    due: int,
) -> None:
    server.otherwise = answer(status)
    me = caller.account_id
    made = await operations.create_connection(me, {**WEB, "base_url": server.url})
    of = made["connection_id"]
    job = await make_cronjob(store, me, connection_id=of)
    rows = [
        firing_values(job, scheduled_at=at, due_at=NOON + DAY, reason="connection_unhealthy", cause=of)
        for at in (NOON - MINUTE, NOON)
    ]
    await insert_rows(store, "firing", rows)
    marked = {"unhealthy_since": NOON, "unhealthy_detail": "HTTP 401", "probe_at": NOON + MINUTE, "probes": 1}
    await store.transact(
        lambda connection: connection.execute(update(tables.connection).values(marked)) and None
    )
    shown = await operations.get_connection(me, of)
    assert (shown["health"], shown["unhealthy_detail"]) == ("unhealthy", "HTTP 401")
    job_shown = await operations.get_cronjob(me, job["cronjob_id"], standing=True)
    assert job_shown["connection"]["health"] == "unhealthy"
    assert job_shown["last_firing"]["state"] == "held", "as in the ledger"
    page = await operations.list_firings(me, {"state": "held"})
    assert [(one["state"], one["cause"], one.get("due_at")) for one in page.items] == [("held", of, None)] * 2
    assert not (await operations.list_firings(me, {"state": "pending"})).items
    found = await operations.explain_cronjob(me, job["cronjob_id"], {"at": format_iso(NOON)})
    assert (found["finding"], found["reason"]) == ("held", "connection_unhealthy")
    assert ": held, the credentials of its connection are refused" in asked_for(await read_firings(store))
    await operations.verify_connection(me, of)
    assert (await operations.get_connection(me, of))["health"] == health
    ledger = await read_firings(store)
    assert sum(row.due_at < NOON + MINUTE for row in ledger) == due
