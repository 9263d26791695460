"""HTTP requests as the tenant wants them, from the request that asks for them to the receiver."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cronally import errors
from cronally.contract.http_requests import MAX_BODY
from cronally.contract.reading import Repeated
from cronally.firing import Kind
from cronally.instants import SECOND
from cronally.operations import Caller
from cronally.store import Store
from cronally.targets.target import Target
from tests.operations.parameters import HTTP
from tests.operations.receivers import server, targets
from tests.operations.runs import deliver, messages
from tests.operations.tenant import Json, Tenants
from tests.support.factories import CANARY, Clock, read_cronjob, read_firings
from tests.support.scripted import Request, ScriptedServer, answer

__all__ = ["server", "targets"]

OWN = {
    "delivery_http_method": "PUT",
    "delivery_http_headers": Repeated(["X-Team: blue", "Accept: text/csv"]),
    "delivery_http_body": '{"report": "täglich"}',
}
SHOWN = {
    "delivery_http_method": "put",
    "delivery_http_headers": {"Accept": "text/csv", "X-Team": "blue"},
    "delivery_http_body": OWN["delivery_http_body"],
}


@pytest.fixture
def hook(server: ScriptedServer) -> Json:
    return {**HTTP, "delivery_http_url": f"{server.url}/in", **OWN}


def http_of(cronjob: Json) -> Json:
    """What an answer says of the request."""
    names = [f"delivery_http_{name}" for name in ("method", "headers", "body", "content_type")]
    return {name: cronjob[name] for name in names if name in cronjob}


async def fire(
    operations: Tenants,
    caller: Caller,
    cronjob: Json,
    store: Store,
    targets: dict[str, Target],
    server: ScriptedServer,
    clock: Clock,
    sent: dict[str, Any] | None = None,
) -> Request:
    """Run a cron job once, and return what the receiver got."""
    clock.forward(SECOND)
    await operations.run_cronjob(caller.account_id, cronjob["cronjob_id"], sent or {})
    await deliver(store, targets)
    return server.requests[-1]


async def test_create__is_stored_shown_counted_and_sent(
    operations: Tenants,
    caller: Caller,
    hook: Json,
    store: Store,
    targets: dict[str, Target],
    server: ScriptedServer,
    clock: Clock,
) -> None:
    made = await operations.create_cronjob(caller.account_id, hook)
    assert http_of(made) == SHOWN
    assert http_of(await operations.get_cronjob(caller.account_id, made["cronjob_id"])) == SHOWN
    row = await read_cronjob(store, made["cronjob_id"])
    assert row.size > len(hook["delivery_http_body"].encode())
    request = await fire(operations, caller, made, store, targets, server, clock)
    assert (request.method, request.body.decode()) == ("PUT", hook["delivery_http_body"])
    assert (request.headers["x-team"], request.headers["accept"]) == ("blue", "text/csv")
    assert request.headers["content-type"] == "application/json"


async def test_change__replaces_and_takes_away(
    operations: Tenants, caller: Caller, hook: Json, store: Store
) -> None:
    made = await operations.create_cronjob(caller.account_id, hook)

    async def change(**sent: Any) -> Json:
        sent = {f"delivery_http_{name}": value for name, value in sent.items()}
        return http_of(await operations.update_cronjob(caller.account_id, made["cronjob_id"], sent))

    typed = await change(content_type="application/vnd.api+json")
    assert typed == SHOWN | {"delivery_http_content_type": "application/vnd.api+json"}
    assert await change(headers={"x-b": "2"}) == typed | {"delivery_http_headers": {"x-b": "2"}}
    assert await change(headers="", body="", content_type="", method="get") == {"delivery_http_method": "get"}
    row = await read_cronjob(store, made["cronjob_id"])
    assert json.loads(row.destination).keys() == {"delivery_http_method", "delivery_http_url"}
    with pytest.raises(errors.InvalidRequest) as caught:
        await change(body="x")
    assert caught.value.fields.keys() == {"delivery_http_body"}


async def test_put__the_same_again_changes_nothing(operations: Tenants, caller: Caller, hook: Json) -> None:
    body = {name: value for name, value in hook.items() if name != "name"}
    outcomes = [
        (await operations.put_cronjob(caller.account_id, "a", sent))["outcome"]
        for sent in (
            body,
            body | {"delivery_http_headers": SHOWN["delivery_http_headers"]},
            {**body, "delivery_http_body": ""},
        )
    ]
    assert outcomes == ["created", "unchanged", "changed"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"delivery_http_headers": {"X-Api-Key": CANARY}}, "delivery_http_headers"),
        ({"delivery_http_headers": [f"Host: {CANARY}"]}, "delivery_http_headers"),
        ({"delivery_http_headers": [CANARY]}, "delivery_http_headers"),
        ({"delivery_http_content_type": CANARY}, "delivery_http_content_type"),
        ({"delivery_http_body": CANARY * 20_000}, "delivery_http_body"),
        ({"delivery_http_method": "get", "delivery_http_body": CANARY}, "delivery_http_body"),
        (
            {"delivery_http_body": "", "delivery_http_content_type": "text/plain"},
            "delivery_http_content_type",
        ),
    ],
)
@pytest.mark.sample(2)
async def test_create__says_what_is_wrong_without_repeating_it(
    operations: Tenants, caller: Caller, hook: Json, changes: Json, named: str
) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.create_cronjob(caller.account_id, {**hook, **changes})
    assert caught.value.fields.keys() == {named}
    assert CANARY not in str(caught.value) + repr(caught.value.fields)


async def test_create__warns_of_a_byte_order_mark(operations: Tenants, caller: Caller, hook: Json) -> None:
    made = await operations.create_cronjob(caller.account_id, {**hook, "delivery_http_body": "\ufeff{}"})
    assert list(made["warnings"]) == [
        "delivery_http_body begins with a byte order mark (U+FEFF), which is sent too."
    ]


async def test_run__a_body_of_its_own_is_sealed_sent_and_erased(
    operations: Tenants,
    caller: Caller,
    hook: Json,
    store: Store,
    targets: dict[str, Target],
    server: ScriptedServer,
    clock: Clock,
) -> None:
    """Also where the cron job itself has none."""
    with_one = await operations.create_cronjob(caller.account_id, hook)
    without = await operations.create_cronjob(caller.account_id, {**hook, "delivery_http_body": ""})
    for cronjob in (with_one, without):
        own = await fire(
            operations,
            caller,
            cronjob,
            store,
            targets,
            server,
            clock,
            {"delivery_http_body": f"once {CANARY}"},
        )
        assert own.body.decode() == f"once {CANARY}"
        assert own.headers["content-type"] == "text/plain; charset=utf-8"
        assert await messages(store) == 0
    empty = await fire(
        operations, caller, with_one, store, targets, server, clock, {"delivery_http_body": ""}
    )
    assert json.loads(empty.body)["cronjob_id"] == with_one["cronjob_id"]
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.run_cronjob(caller.account_id, with_one["cronjob_id"], {"sns_message": "x"})
    assert caught.value.fields.keys() == {"sns_message"}


async def test_run__no_body_of_its_own_where_none_is_sent(
    operations: Tenants, caller: Caller, hook: Json
) -> None:
    get = {**hook, "delivery_http_method": "get", "delivery_http_body": ""}
    made = await operations.create_cronjob(caller.account_id, get)
    for body, said in (("x", "is not sent with GET"), ("x" * (MAX_BODY + 1), "bytes in UTF-8")):
        with pytest.raises(errors.InvalidRequest) as caught:
            await operations.run_cronjob(caller.account_id, made["cronjob_id"], {"delivery_http_body": body})
        assert said in caught.value.fields["delivery_http_body"]


async def test_replay__as_then_has_method_headers_and_body_of_then(
    operations: Tenants,
    caller: Caller,
    hook: Json,
    store: Store,
    targets: dict[str, Target],
    server: ScriptedServer,
    clock: Clock,
) -> None:
    made = await operations.create_cronjob(caller.account_id, hook)
    first = await fire(operations, caller, made, store, targets, server, clock)
    at = clock.now
    change = {"delivery_http_method": "post", "delivery_http_headers": "", "delivery_http_body": "other"}
    await operations.update_cronjob(caller.account_id, made["cronjob_id"], change)
    clock.forward(SECOND)
    for asked, expected in (("then", first), ("now", None)):
        again = {"as": asked, "kind": Kind.MANUAL.value}
        await operations.replay_firing(caller.account_id, made["cronjob_id"], at, again)
        await deliver(store, targets)
        sent = server.requests[-1]
        if expected is None:
            assert (sent.method, sent.body, "x-team" in sent.headers) == ("POST", b"other", False)
        else:
            assert (sent.method, sent.body, sent.headers["x-team"]) == (first.method, first.body, "blue")
        clock.forward(SECOND)


async def test_delete__keeps_what_is_short_of_where_it_went(
    operations: Tenants, caller: Caller, hook: Json
) -> None:
    made = await operations.create_cronjob(caller.account_id, {**hook, "delivery_http_body": "x" * 1000})
    kept = http_of(await operations.delete_cronjob(caller.account_id, made["cronjob_id"]))
    assert kept == {name: value for name, value in SHOWN.items() if name != "delivery_http_body"}


async def test_success__decides_what_becomes_of_a_firing(
    operations: Tenants,
    caller: Caller,
    hook: Json,
    store: Store,
    targets: dict[str, Target],
    server: ScriptedServer,
    clock: Clock,
) -> None:
    made = await operations.create_cronjob(caller.account_id, {**hook, "delivery_http_success": "204, 4XX"})
    assert made["delivery_http_success"] == ["204", "4xx"]
    server.script.extend([answer(410), answer(200)])
    await fire(operations, caller, made, store, targets, server, clock)
    await fire(operations, caller, made, store, targets, server, clock)
    states = [(row.state, row.reason) for row in await read_firings(store)]
    assert states == [("delivered", None), ("pending", "target_unavailable")]
    changed = await operations.update_cronjob(
        caller.account_id, made["cronjob_id"], {"delivery_http_success": ""}
    )
    assert "delivery_http_success" not in changed


async def test_timeout__is_shown_as_it_was_sent_and_taken_away(
    operations: Tenants, caller: Caller, hook: Json
) -> None:
    made = await operations.create_cronjob(caller.account_id, {**hook, "delivery_http_timeout": "5s"})
    assert made["delivery_http_timeout"] == "5s"
    for wrong in ("0s", "11s", "16m", "soon"):
        with pytest.raises(errors.InvalidRequest) as caught:
            await operations.update_cronjob(
                caller.account_id, made["cronjob_id"], {"delivery_http_timeout": wrong}
            )
        assert caught.value.fields.keys() == {"delivery_http_timeout"}
    changed = await operations.update_cronjob(
        caller.account_id, made["cronjob_id"], {"delivery_http_timeout": ""}
    )
    assert "delivery_http_timeout" not in changed
    gone = await operations.delete_cronjob(caller.account_id, made["cronjob_id"])
    assert gone["delivery_http_method"] == "put"
