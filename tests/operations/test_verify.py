"""Test messages: what reaches a target, what the account is told, and that nothing is stored if it fails."""

from __future__ import annotations

import asyncio
import base64
from typing import Any
from uuid import UUID

import pytest

from cronally import errors
from cronally.instants import format_iso
from cronally.operations import Caller, verifying
from cronally.operations.verifying import PER_HOST, PER_MINUTE, Verifier
from cronally.store import Signal, Store
from cronally.targets.build import build_targets
from cronally.targets.target import Destination, Target
from tests.operations.conftest import sign_up
from tests.operations.parameters import HTTP, SECRET, SNS
from tests.operations.receivers import server, targets
from tests.operations.tenant import Json, Tenants
from tests.support.factories import NOON, ScriptedTarget, make_cronjob
from tests.support.scripted import ScriptedServer, answer, hang

__all__ = ["server", "targets"]

pytestmark = pytest.mark.sample

REFUSED = (
    "<ErrorResponse><Error><Type>Sender</Type><Code>SignatureDoesNotMatch</Code>"
    f"<Message>The request signature we calculated with {SECRET} does not match.</Message></Error></ErrorResponse>"
)
VERIFY = {"verify": "true"}


def _http(server: ScriptedServer, **changes: str) -> dict[str, str]:
    return {**HTTP, "delivery_http_url": f"{server.url}/in", **changes}


def _attributes(form: dict[str, str]) -> dict[str, str]:
    names = {key: name for key, name in form.items() if key.endswith(".Name")}
    return {name: form[key.replace(".Name", ".Value.StringValue")] for key, name in names.items()}


async def _cronjobs(operations: Tenants, caller: Caller) -> list[Json]:
    return (await operations.list_cronjobs(caller.account_id, {})).items


async def test_create__http_is_called_as_by_a_firing_and_marked(
    operations: Tenants, caller: Caller, server: ScriptedServer
) -> None:
    made = await operations.create_cronjob(caller.account_id, {**_http(server), **VERIFY})
    found = made["verification"]
    assert (found["delivered"], found["outcome"], found["detail"]) == (True, "delivered", None)
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/in")
    assert request.headers["cronally-attempt"] == "0"
    assert request.headers["cronally-cronjob-id"] == made["cronjob_id"]
    assert request.headers["cronally-firing-id"] == request.headers["idempotency-key"] == found["test_id"]
    assert UUID(found["test_id"]).version == 4, "no firing has it"
    assert b'"attempt": 0' in request.body
    shown = await operations.get_cronjob(caller.account_id, made["cronjob_id"])
    assert shown.keys().isdisjoint({"verification", "verify"})
    assert not (await operations.list_firings(caller.account_id, {})).items


@pytest.mark.parametrize("topic", [SNS["sns_topic"], SNS["sns_topic"] + ".fifo"])
async def test_create__sns_gets_the_message_marked(
    operations: Tenants, caller: Caller, server: ScriptedServer, topic: str
) -> None:
    made = await operations.create_cronjob(caller.account_id, {**SNS, "sns_topic": topic, **VERIFY})
    assert made["verification"]["message_id"] == "567910cd-659e-55d4-8ccb-5aaf14679dc0"
    form = server.requests[0].form()
    assert form["Message"] == SNS["sns_message"]
    attributes = _attributes(form)
    assert attributes["cronally-attempt"] == "0"
    assert attributes["cronally-firing-id"] == made["verification"]["test_id"]
    assert attributes["cronally-scheduled-at"] == format_iso(NOON)
    assert (
        form.get("MessageDeduplicationId", attributes["cronally-firing-id"])
        == attributes["cronally-firing-id"]
    )


async def test_create__without_verify_sends_nothing(
    operations: Tenants, caller: Caller, server: ScriptedServer
) -> None:
    for sent in ({}, {"verify": "false"}):
        made = await operations.create_cronjob(caller.account_id, {**SNS, **sent})
        assert "verification" not in made
    assert server.requests == []


async def test_create__what_the_target_says_is_told_and_nothing_is_stored(
    operations: Tenants, caller: Caller, server: ScriptedServer
) -> None:
    server.script += [answer(403, REFUSED), answer(410, f"gone {SECRET}")]
    with pytest.raises(errors.VerificationFailed) as caught:
        await operations.create_cronjob(caller.account_id, {**SNS, **VERIFY}, idempotency_key="k")
    said = "SignatureDoesNotMatch: The request signature we calculated with *** does not match."
    assert caught.value.fields == {"verify": said}
    assert caught.value.message.endswith(said)
    with pytest.raises(errors.VerificationFailed) as caught:
        await operations.create_cronjob(caller.account_id, {**_http(server), **VERIFY}, idempotency_key="k")
    assert caught.value.fields == {"verify": "HTTP 410"}
    assert await _cronjobs(operations, caller) == []
    # The key is free.
    await operations.create_cronjob(caller.account_id, {**SNS, **VERIFY}, idempotency_key="k")
    assert len(await _cronjobs(operations, caller)) == 1


async def test_create__what_would_be_refused_or_is_there_already_is_not_tried(
    operations: Tenants, caller: Caller, server: ScriptedServer
) -> None:
    for wrong in ({"name": ""}, {"cron": "at(2020-01-01T00:00:00)"}):
        with pytest.raises(errors.InvalidRequest):
            await operations.create_cronjob(caller.account_id, {**SNS, **wrong, **VERIFY})
    assert server.requests == []
    made = await operations.create_cronjob(caller.account_id, {**SNS, **VERIFY}, idempotency_key="k")
    again = await operations.create_cronjob(caller.account_id, {**SNS, **VERIFY}, idempotency_key="k")
    assert again["cronjob_id"] == made["cronjob_id"]
    assert len(server.requests) == 1
    for _ in range(2):
        await operations.create_cronjob(caller.account_id, SNS)
    with pytest.raises(errors.Forbidden):
        await operations.create_cronjob(caller.account_id, {**SNS, **VERIFY})
    assert len(server.requests) == 1


async def test_update__tries_what_is_to_be_with_the_secret_that_stays(
    operations: Tenants, caller: Caller, server: ScriptedServer
) -> None:
    url = server.url.replace("http://", "http://me:geheim@") + "/in"
    made = await operations.create_cronjob(caller.account_id, _http(server, delivery_http_url=url))
    assert "geheim" not in made["delivery_http_url"]
    changed = await operations.update_cronjob(
        caller.account_id, made["cronjob_id"], {"name": "tea", "delivery_http_method": "get", **VERIFY}
    )
    assert changed["verification"]["delivered"] is True
    (request,) = server.requests
    assert request.method == "GET"
    assert request.headers["cronally-cronjob-name"] == "tea"
    assert base64.b64decode(request.headers["authorization"].removeprefix("Basic ")) == b"me:geheim"


async def test_update__a_new_target_is_tried_with_its_own_secret(
    operations: Tenants, caller: Caller, server: ScriptedServer
) -> None:
    made = await operations.create_cronjob(caller.account_id, _http(server))
    sns = {name: text for name, text in SNS.items() if name.startswith("sns_")}
    await operations.update_cronjob(
        caller.account_id, made["cronjob_id"], {"delivery_type": "sns", **sns, **VERIFY}
    )
    assert server.requests[0].form()["Message"] == SNS["sns_message"]
    assert "Credential=AKIAIOSFODNN7EXAMPLE/" in server.requests[0].headers["authorization"]


async def test_update__that_fails_changes_nothing(
    operations: Tenants, caller: Caller, server: ScriptedServer
) -> None:
    made = await operations.create_cronjob(caller.account_id, SNS)
    server.script.append(answer(403, REFUSED))
    with pytest.raises(errors.VerificationFailed):
        await operations.update_cronjob(
            caller.account_id, made["cronjob_id"], {"sns_message": "other", **VERIFY}
        )
    assert await operations.get_cronjob(caller.account_id, made["cronjob_id"]) == made


async def test_update__verify_alone_changes_nothing(
    operations: Tenants, caller: Caller, server: ScriptedServer, store: Store
) -> None:
    made = await operations.create_cronjob(caller.account_id, SNS)
    woken = store.subscribe(Signal.CRONJOBS)
    changed = await operations.update_cronjob(caller.account_id, made["cronjob_id"], VERIFY)
    assert changed.pop("verification")["delivered"] is True
    assert changed == made
    assert not woken.is_set()


async def test_verify__says_what_the_target_says_without_an_error(
    operations: Tenants, caller: Caller, server: ScriptedServer
) -> None:
    made = await operations.create_cronjob(caller.account_id, SNS)
    found = await operations.verify_cronjob(caller.account_id, made["cronjob_id"])
    assert found["delivered"] is True
    server.script.append(answer(403, REFUSED))
    found = await operations.verify_cronjob(caller.account_id, made["cronjob_id"])
    assert (found["delivered"], found["outcome"]) == (False, "unauthorized")
    assert found["detail"].startswith("SignatureDoesNotMatch: ")
    assert SECRET not in repr(found)
    assert not (await operations.list_firings(caller.account_id, {})).items


async def test_verify__of_a_url_the_status_alone_is_told(
    operations: Tenants, caller: Caller, server: ScriptedServer
) -> None:
    made = await operations.create_cronjob(caller.account_id, _http(server))
    server.script.append(answer(401, "canary", X_Echo="canary"))
    found = await operations.verify_cronjob(caller.account_id, made["cronjob_id"])
    assert found["detail"] == "HTTP 401"
    assert "canary" not in repr(found)


async def test_verify__what_is_not_the_accounts(
    operations: Tenants, caller: Caller, server: ScriptedServer
) -> None:
    made = await operations.create_cronjob(caller.account_id, SNS)
    other = await sign_up(operations, "other@example.com")
    with pytest.raises(errors.NotFound):
        await operations.verify_cronjob(other.account_id, made["cronjob_id"])
    with pytest.raises(errors.NotFound):
        await operations.update_cronjob(other.account_id, made["cronjob_id"], VERIFY)
    await operations.delete_cronjob(caller.account_id, made["cronjob_id"])
    with pytest.raises(errors.NotFound):
        await operations.verify_cronjob(caller.account_id, made["cronjob_id"])
    assert server.requests == []


async def test_verify__a_name_that_leads_inside_by_now_is_not_called(
    operations: Tenants, caller: Caller, server: ScriptedServer, targets: dict[str, Target]
) -> None:
    made = await operations.create_cronjob(caller.account_id, _http(server))
    closed = build_targets()
    targets["http"], allowing = closed["http"], targets["http"]
    try:
        found = await operations.verify_cronjob(caller.account_id, made["cronjob_id"])
    finally:
        targets["http"] = allowing
        for target in closed.values():
            await target.close()
    assert (found["delivered"], found["outcome"]) == (False, "refused")
    assert "CRONALLY_HTTP_ALLOWED_NETWORKS" in found["detail"]
    assert server.connections == 0


async def test_verify__one_at_a_time_of_an_account(
    operations: Tenants, caller: Caller, server: ScriptedServer
) -> None:
    made = await operations.create_cronjob(caller.account_id, _http(server))
    server.otherwise = hang
    hanging = asyncio.create_task(operations.verify_cronjob(caller.account_id, made["cronjob_id"]))
    await server.arrived.wait()
    with pytest.raises(errors.RateLimited) as caught:
        await operations.verify_cronjob(caller.account_id, made["cronjob_id"])
    assert caught.value.retry_after == 1
    hanging.cancel()
    await asyncio.wait([hanging])
    server.otherwise = answer(200)
    assert (await operations.verify_cronjob(caller.account_id, made["cronjob_id"]))["delivered"] is True


async def _verify(verifier: Verifier, account: str, host: str = "a.example") -> Any:
    destination = Destination("scripted", {"to": host}, {}, account)
    return await verifier.verify(destination, cronjob_id="c", cronjob_name="n", timezone="UTC", now=NOON + 1)


async def test_limits__of_an_account_and_of_a_host_in_a_minute() -> None:
    now = 0.0
    target = ScriptedTarget()
    verifier = Verifier({"scripted": target}, lambda: now)
    for number in range(PER_MINUTE):
        await _verify(verifier, "greedy", f"{number}.example")
    now = 30.0
    with pytest.raises(errors.RateLimited) as caught:
        await _verify(verifier, "greedy")
    assert caught.value.retry_after == 31
    assert caught.value.limit is not None
    assert caught.value.limit.quota == PER_MINUTE
    await _verify(verifier, "other")
    now = 60.0
    await _verify(verifier, "greedy")
    # Many accounts cannot flood a host, and leave it to those that have not sent it any.
    now, sent = 120.0, 0
    for account in range(PER_HOST):
        for _ in range(2):
            try:
                await _verify(verifier, f"account {account % 15}")
            except errors.RateLimited:
                continue
            sent += 1
    assert PER_HOST // 2 < sent < PER_HOST
    await _verify(verifier, "quiet")
    await _verify(verifier, "account 1", "b.example")
    assert all(message.attempt == 0 and message.scheduled_at == NOON for message in target.messages)


async def test_limits__of_all_accounts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "AT_ONCE", 4)
    target = ScriptedTarget()
    verifier = Verifier({"scripted": target}, lambda: 0.0)
    target.hang()
    tasks = [
        asyncio.create_task(_verify(verifier, f"account {number}", f"{number}.example"))
        for number in range(4)
    ]
    await target.arrived(4)
    with pytest.raises(errors.RateLimited, match="Too many test messages"):
        await _verify(verifier, "late")
    target.open.set()
    await asyncio.gather(*tasks)
    await _verify(verifier, "late")


async def test_verify__of_a_target_that_this_server_has_not(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    """Another version of the server made it, and may run beside this one."""
    row = await make_cronjob(store, caller.account_id, target="pigeon", destination="{}", secret=None)
    with pytest.raises(errors.Unavailable, match="has no target pigeon"):
        await operations.verify_cronjob(caller.account_id, row["cronjob_id"])
