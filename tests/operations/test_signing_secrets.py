"""Signing secrets of cron jobs: sealed, never shown, and replaced without what else is sealed."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from cronally import errors
from cronally.instants import SECOND
from cronally.operations import Caller
from cronally.store import Store
from cronally.targets.target import Target
from cronally.vault import SealContext
from tests.operations.parameters import HTTP
from tests.operations.receivers import server, targets
from tests.operations.runs import deliver
from tests.operations.tenant import Tenants
from tests.support.factories import Clock, read_cronjob, vault
from tests.support.scripted import ScriptedServer

__all__ = ["server", "targets"]

NAME = "delivery_http_signing_secret"
NEW, OLD = (f"whsec_{base64.b64encode(bytes([n]) * 32).decode()}" for n in range(2))


async def sealed(store: Store, cronjob_id: str) -> Any:
    """What is sealed of a cron job, opened."""
    row = await read_cronjob(store, cronjob_id)
    if row.secret is None:
        return {}
    place = SealContext(row.account_id, "cronjob", "secret", row.cronjob_id)
    return json.loads(vault().open(row.secret, place))


@pytest.fixture
def parameters(server: ScriptedServer) -> dict[str, str]:
    return {**HTTP, "delivery_http_url": f"{server.url}/?token=one", NAME: NEW}


async def test_secret__signs_and_is_in_no_answer(
    operations: Tenants,
    caller: Caller,
    store: Store,
    targets: dict[str, Target],
    server: ScriptedServer,
    parameters: dict[str, str],
    clock: Clock,
) -> None:
    account = caller.account_id
    made = await operations.create_cronjob(account, {**parameters, "verify": "true"})
    job = made["cronjob_id"]
    await operations.run_cronjob(account, job)
    await deliver(store, targets)
    assert len(server.requests) == 2
    for request in server.requests:
        # The firing's clock is the test's; the signature is of the machine's, which the library compares with its own.
        Webhook(NEW).verify(request.body, dict(request.headers), json_parse=False)
    shown = [
        made,
        await operations.get_cronjob(account, job),
        await operations.render_cronjob(account, job),
        (await operations.list_cronjobs(account, {})).items,
    ]
    assert NEW.removeprefix("whsec_") not in json.dumps(shown)
    assert NAME not in json.dumps(shown)
    assert NEW not in (await read_cronjob(store, job)).destination


async def test_secret__is_replaced_alone_and_stays_with_the_rest(
    operations: Tenants, caller: Caller, store: Store, server: ScriptedServer, parameters: dict[str, str]
) -> None:
    account, url = caller.account_id, parameters["delivery_http_url"]
    job = (await operations.create_cronjob(account, parameters))["cronjob_id"]
    both = {"delivery_http_url": url, NAME: NEW}
    assert await sealed(store, job) == both
    other = f"{server.url}/?token=two"
    plain = f"{server.url}/plain"
    for change, expected in [
        ({NAME: f"{OLD},{NEW}"}, {**both, NAME: f"{OLD},{NEW}"}),
        ({"delivery_http_method": "get"}, {**both, NAME: f"{OLD},{NEW}"}),
        ({"delivery_http_url": other}, {"delivery_http_url": other, NAME: f"{OLD},{NEW}"}),
        ({NAME: OLD}, {"delivery_http_url": other, NAME: OLD}),
        ({"delivery_http_url": plain}, {NAME: OLD}),
        ({"delivery_http_url": url, NAME: NEW}, both),
        ({"delivery_http_url": f"{server.url}/?token=***", "name": "renamed"}, both),
        ({NAME: "none"}, {"delivery_http_url": url, NAME: "none"}),
    ]:
        await operations.update_cronjob(account, job, change)
        assert await sealed(store, job) == expected, change


async def test_put__with_the_same_secrets_changes_nothing(
    operations: Tenants, caller: Caller, store: Store, parameters: dict[str, str]
) -> None:
    account, name = caller.account_id, parameters["name"]
    whole = {key: value for key, value in parameters.items() if key != "name"}
    made = await operations.put_cronjob(account, name, whole)
    before = await sealed(store, made["cronjob_id"])
    shown = {**whole, "delivery_http_url": made["delivery_http_url"]}
    without = {key: value for key, value in shown.items() if key != NAME}
    for sent in (whole, shown, without):
        assert (await operations.put_cronjob(account, name, sent))["outcome"] == "unchanged"
    changed = await operations.put_cronjob(account, name, {**shown, NAME: OLD})
    assert changed["outcome"] == "changed"
    assert await sealed(store, made["cronjob_id"]) == {**before, NAME: OLD}


async def test_verify__of_a_change_uses_what_stays(
    operations: Tenants,
    caller: Caller,
    server: ScriptedServer,
    parameters: dict[str, str],
    clock: Clock,
) -> None:
    account = caller.account_id
    job = (await operations.create_cronjob(account, parameters))["cronjob_id"]
    await operations.update_cronjob(
        account, job, {"delivery_http_url": f"{server.url}/?token=two", "verify": "true"}
    )
    clock.forward(SECOND)
    request = server.requests[-1]
    assert request.path == "/?token=two"
    Webhook(NEW).verify(request.body, dict(request.headers), json_parse=False)


async def test_secret__is_of_http_alone_and_checked(operations: Tenants, caller: Caller) -> None:
    with pytest.raises(errors.InvalidRequest, match="is no signing secret") as problem:
        await operations.create_cronjob(caller.account_id, {**HTTP, NAME: "canary"})
    assert "canary" not in problem.value.message
