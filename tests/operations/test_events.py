"""Cron jobs that send CloudEvents: what is stored, shown, sent and refused."""

from __future__ import annotations

import json

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event

from cronally import errors
from cronally.instants import format_iso
from cronally.operations import Caller
from cronally.store import Store
from cronally.targets.target import Target
from tests.operations.parameters import HTTP
from tests.operations.receivers import server, targets
from tests.operations.runs import deliver
from tests.operations.tenant import Tenants
from tests.support.factories import NOON
from tests.support.scripted import ScriptedServer

__all__ = ["server", "targets"]

FORMAT = "delivery_http_format"


@pytest.mark.parametrize("form", ["cloudevents-binary", "cloudevents-structured"])
async def test_format__is_stored_shown_and_sent(
    operations: Tenants,
    caller: Caller,
    store: Store,
    targets: dict[str, Target],
    server: ScriptedServer,
    form: str,
) -> None:
    account = caller.account_id
    made = await operations.create_cronjob(account, {**HTTP, "delivery_http_url": server.url, FORMAT: form})
    assert made[FORMAT] == form
    job = made["cronjob_id"]
    fired = await operations.run_cronjob(account, job)
    await deliver(store, targets)
    (request,) = server.requests
    event = from_http_event(HTTPMessage(dict(request.headers), request.body))
    assert (event.get_id(), event.get_source()) == (fired["firing_id"], f"urn:uuid:{job}")
    data = event.get_data()
    assert isinstance(data, dict)
    assert data["scheduled_at"] == format_iso(NOON)
    shown = await operations.render_cronjob(account, job, {"at": format_iso(NOON)})
    rendered = from_http_event(HTTPMessage(shown["headers"], shown["body"].encode()))
    assert rendered.get_id() == shown["firing_id"]
    assert rendered.get_attributes().keys() == event.get_attributes().keys()
    # Taken away again, the request is as it was before there were events.
    changed = await operations.update_cronjob(account, job, {FORMAT: "default"})
    assert changed[FORMAT] == "default"
    plain = await operations.render_cronjob(account, job)
    assert not [name for name in plain["headers"] if name.startswith("ce-")]
    assert json.loads(plain["body"])["firing_id"] == plain["firing_id"]


async def test_format__that_needs_a_body_is_refused_without_one(operations: Tenants, caller: Caller) -> None:
    sent = {**HTTP, FORMAT: "cloudevents-structured"}
    with pytest.raises(errors.InvalidRequest, match="delivery_http_format: needs a body"):
        await operations.create_cronjob(caller.account_id, {**sent, "delivery_http_method": "get"})
    job = (await operations.create_cronjob(caller.account_id, sent))["cronjob_id"]
    with pytest.raises(errors.InvalidRequest, match="delivery_http_format: needs a body"):
        await operations.update_cronjob(caller.account_id, job, {"delivery_http_method": "get"})
    with pytest.raises(errors.InvalidRequest, match="delivery_http_format: is none of"):
        await operations.create_cronjob(caller.account_id, {**HTTP, FORMAT: "cloudevents"})
