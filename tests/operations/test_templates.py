"""Placeholders from the request to the wire: filled in where a firing is sent, in no other text, and shown before."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import update

from cronally import errors
from cronally.contract.templates import MARK
from cronally.firing import firing_id
from cronally.instants import HOUR, SECOND, format_iso, parse_iso
from cronally.operations import Caller
from cronally.store import Store, removal, tables
from cronally.targets.target import Target
from tests.operations.parameters import HTTP, SECRET, SNS
from tests.operations.receivers import server, targets
from tests.operations.runs import deliver, set_state
from tests.operations.tenant import Tenants
from tests.support.factories import NOON, Clock, read_cronjob, read_firings
from tests.support.scripted import ScriptedServer, answer

__all__ = ["server", "targets"]

ID = "<cronally.firing-id>"
DATED = 'for <cronally.scheduled-local-time format="%Y-%m-%d %H:%M" offset="-1d"> by <cronally.cronjob-name>'
BATCHED = """<PublishBatchResponse><PublishBatchResult><Successful>{}</Successful><Failed/>
</PublishBatchResult></PublishBatchResponse>"""
_ENTRY = "<member><Id>{}</Id><MessageId>m</MessageId></member>"


def is_marked(cronjob: Any) -> Any:
    return json.loads(cronjob.destination).get(MARK)


async def make(operations: Tenants, caller: Caller, parameters: dict[str, Any], **more: Any) -> str:
    made = await operations.create_cronjob(caller.account_id, {**parameters, **more})
    return str(made["cronjob_id"])


async def fire(
    operations: Tenants,
    caller: Caller,
    store: Store,
    targets: dict[str, Target],
    cronjob_id: str,
    **sent: Any,
) -> int:
    """Let a cron job fire now, and say when that was."""
    made = await operations.run_cronjob(caller.account_id, cronjob_id, sent)
    await deliver(store, targets)
    return parse_iso(made["scheduled_at"])


async def test_message__is_filled_in_when_it_is_sent(
    operations: Tenants, caller: Caller, store: Store, targets: dict[str, Target], server: ScriptedServer
) -> None:
    job = await make(operations, caller, SNS, sns_message=f"{ID} {DATED}", timezone="Asia/Tokyo")
    at = await fire(operations, caller, store, targets, job)
    (request,) = server.requests
    expected = f"{firing_id(job, at, 'manual')} for 2026-11-23 21:00 by Wake up"
    assert request.form()["Message"] == expected
    shown = await operations.get_cronjob(caller.account_id, job)
    assert shown["sns_message"] == f"{ID} {DATED}"
    assert MARK not in shown


async def test_messages__of_a_batch_are_each_filled_in(
    operations: Tenants, caller: Caller, store: Store, targets: dict[str, Target], server: ScriptedServer
) -> None:
    jobs = [
        await make(operations, caller, SNS, name=f"job {n}", sns_message=f"{ID} of <cronally.cronjob-name>")
        for n in range(3)
    ]
    for job in jobs:
        await operations.run_cronjob(caller.account_id, job)
    entries = "".join(_ENTRY.format(firing_id(job, NOON, "manual")) for job in jobs)
    server.script.append(answer(200, BATCHED.format(entries)))
    await deliver(store, targets)
    (request,) = server.requests
    form = request.form()
    sent = {form[f"PublishBatchRequestEntries.member.{n}.Message"] for n in (1, 2, 3)}
    assert sent == {f"{firing_id(job, NOON, 'manual')} of job {n}" for n, job in enumerate(jobs)}
    assert {row.state for row in await read_firings(store)} == {"delivered"}


async def test_url__is_filled_in_and_its_secret_sent_and_hidden(
    operations: Tenants,
    caller: Caller,
    store: Store,
    targets: dict[str, Target],
    server: ScriptedServer,
    clock: Clock,
) -> None:
    path = "/<cronally.cronjob-id>?token=s3cret-<cronally.attempt-number>&name=<cronally.cronjob-name>"
    job = await make(operations, caller, HTTP, delivery_http_url=server.url + path, name="a&b = ü")
    await fire(operations, caller, store, targets, job)
    assert server.requests[-1].path == f"/{job}?token=s3cret-1&name=a%26b%20%3D%20%C3%BC"
    shown = await operations.get_cronjob(caller.account_id, job)
    hidden = f"{server.url}/<cronally.cronjob-id>?token=***&name=<cronally.cronjob-name>"
    assert shown["delivery_http_url"] == hidden
    # What is shown goes in again and changes nothing, also of what it does not show.
    name, cron, kind, method = "a&b = ü", HTTP["cron"], "http", "post"
    whole = {"cron": cron, "delivery_type": kind, "delivery_http_method": method, "delivery_http_url": hidden}
    again = await operations.put_cronjob(caller.account_id, name, whole)
    assert again["outcome"] == "unchanged"
    await operations.update_cronjob(
        caller.account_id, job, {"delivery_http_url": hidden, "delivery_http_method": "get"}
    )
    clock.forward(SECOND)
    await fire(operations, caller, store, targets, job)
    assert server.requests[-1].path.endswith("?token=s3cret-1&name=a%26b%20%3D%20%C3%BC")


async def test_own_message__of_a_manual_firing_is_filled_in(
    operations: Tenants,
    caller: Caller,
    store: Store,
    targets: dict[str, Target],
    server: ScriptedServer,
    clock: Clock,
) -> None:
    """That of a cron job that has none itself, and a plain one of a cron job that has."""
    job = await make(operations, caller, SNS)
    await fire(operations, caller, store, targets, job, sns_message="now <cronally.scheduled-time>")
    assert server.requests[-1].form()["Message"] == f"now {format_iso(NOON)}"
    await operations.update_cronjob(caller.account_id, job, {"sns_message": ID})
    clock.forward(SECOND)
    await fire(operations, caller, store, targets, job, sns_message="plain")
    assert server.requests[-1].form()["Message"] == "plain"
    with pytest.raises(errors.InvalidRequest, match="sns_message: holds a placeholder that there is not"):
        await operations.run_cronjob(caller.account_id, job, {"sns_message": "<cronally.nonsense>"})


async def test_what_was_stored_before__is_sent_as_it_is(
    operations: Tenants,
    caller: Caller,
    store: Store,
    targets: dict[str, Target],
    server: ScriptedServer,
    clock: Clock,
) -> None:
    """Until its text is sent anew. A change of something else is none of the text."""
    job = await make(operations, caller, SNS)
    old = {**json.loads((await read_cronjob(store, job)).destination), "sns_message": f"{ID} <cronally.xyz>"}
    stored = update(tables.cronjob).values(destination=json.dumps(old))
    await store.transact(lambda connection: connection.execute(stored) and None)
    for change in ({}, {"name": "renamed"}, {"sns_max_message_size": "2000"}):
        await operations.update_cronjob(caller.account_id, job, change)
        await fire(operations, caller, store, targets, job)
        assert server.requests[-1].form()["Message"] == old["sns_message"]
        clock.forward(SECOND)
    with pytest.raises(errors.InvalidRequest, match="did you mean"):
        await operations.update_cronjob(caller.account_id, job, {"sns_message": old["sns_message"]})
    await operations.update_cronjob(caller.account_id, job, {"sns_message": ID})
    at = await fire(operations, caller, store, targets, job)
    assert server.requests[-1].form()["Message"] == firing_id(job, at, "manual")
    await operations.update_cronjob(caller.account_id, job, {"sns_message": "plain"})
    assert is_marked(await read_cronjob(store, job)) is None


async def test_message__with_asterisks_is_what_it_is_itself(
    operations: Tenants, caller: Caller, store: Store, targets: dict[str, Target], server: ScriptedServer
) -> None:
    """In a URL they may stand for a text that stays, in a message they never do."""
    job = await make(operations, caller, SNS, sns_message='{"id": "<cronally.firing-id>"}')
    await operations.update_cronjob(caller.account_id, job, {"sns_message": "*** <cronally.cronjob-name>"})
    assert is_marked(await read_cronjob(store, job)) == {"sns_message": "text"}
    await fire(operations, caller, store, targets, job)
    assert server.requests[-1].form()["Message"] == "*** Wake up"


async def test_replay__keeps_the_fire_time_and_the_version_its_zone_and_mark(
    operations: Tenants,
    caller: Caller,
    store: Store,
    targets: dict[str, Target],
    server: ScriptedServer,
    clock: Clock,
) -> None:
    text = "<cronally.scheduled-local-time>, attempt <cronally.attempt-number>"
    job = await make(operations, caller, SNS, sns_message=text, timezone="Asia/Tokyo")
    at = await fire(operations, caller, store, targets, job)
    clock.forward(HOUR)
    await operations.update_cronjob(
        caller.account_id, job, {"sns_message": "plain", "timezone": "Europe/Berlin"}
    )
    asked = {"kind": "manual", "as": "then"}
    await operations.replay_firing(caller.account_id, job, at, asked)
    await deliver(store, targets)
    sent = [request.form()["Message"] for request in server.requests]
    assert sent == ["2026-11-24T21:00:00+09:00, attempt 1", "2026-11-24T21:00:00+09:00, attempt 2"]


async def test_verify__sends_it_filled_in(
    operations: Tenants, caller: Caller, store: Store, targets: dict[str, Target], server: ScriptedServer
) -> None:
    sent = {
        **SNS,
        "sns_message": "try <cronally.attempt-number> of <cronally.cronjob-name>",
        "verify": "true",
    }
    made = await operations.create_cronjob(caller.account_id, sent)
    await operations.verify_cronjob(caller.account_id, made["cronjob_id"])
    assert [request.form()["Message"] for request in server.requests] == ["try 0 of Wake up"] * 2


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (
            {"sns_message": "<cronally.xyz>"},
            "sns_message: holds a placeholder that there is not; did you mean",
        ),
        (
            {"sns_message": "<cronally.cronjob-name>" * 100, "name": "n" * 256},
            "sns_message: holds placeholders that stand for more than 4,096 bytes",
        ),
        (
            {"sns_message": "x" * 840 + ID, "sns_max_message_size": "1024"},
            "sns_message: is too large for the topic: ",
        ),
        (
            {"sns_message": "x" * 262_120 + ID},
            "sns_message: with the placeholders filled in it has 262,156 bytes in UTF-8; give 262,144 at most",
        ),
    ],
)
async def test_create__complains_of_what_it_would_become(
    operations: Tenants, caller: Caller, sent: dict[str, str], said: str
) -> None:
    with pytest.raises(errors.InvalidRequest) as problem:
        await operations.create_cronjob(caller.account_id, {**SNS, **sent})
    assert said in problem.value.message
    assert SECRET not in problem.value.message


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://1.1.1.1/<cronally.xyz>", "holds a placeholder that there is not"),
        ("https://<cronally.cronjob-name>/", "holds a placeholder before its path"),
        ("https://1.1.1.1/a b<cronally.firing-id>", "holds spaces"),
        ("https://1.1.1.1/?" + "a" * 2000 + "<cronally.firing-id>", "filled in it has 2,053 characters"),
    ],
)
async def test_create__complains_of_a_url(operations: Tenants, caller: Caller, url: str, said: str) -> None:
    with pytest.raises(errors.InvalidRequest, match="delivery_http_url: ") as problem:
        await operations.create_cronjob(caller.account_id, {**HTTP, "delivery_http_url": url})
    assert said in problem.value.message


async def test_rename__is_refused_where_the_text_would_be_too_long_and_else_filled_in(
    operations: Tenants, caller: Caller, store: Store, targets: dict[str, Target], server: ScriptedServer
) -> None:
    job = await make(operations, caller, SNS, sns_message="<cronally.cronjob-name>" * 20)
    with pytest.raises(errors.InvalidRequest, match="name: is too long: with it, sns_message holds"):
        await operations.update_cronjob(caller.account_id, job, {"name": "\N{SNOWMAN}" * 256})
    await operations.update_cronjob(caller.account_id, job, {"name": "new"})
    await fire(operations, caller, store, targets, job)
    assert server.requests[-1].form()["Message"] == "new" * 20


async def test_rename__what_nobody_could_check_is_refused_when_it_is_sent(
    operations: Tenants, caller: Caller, store: Store, targets: dict[str, Target], server: ScriptedServer
) -> None:
    """In a part of a URL that is sealed nobody counts placeholders when the name changes."""
    url = f"{server.url}/?token={'<cronally.cronjob-name>' * 20}"
    job = await make(operations, caller, HTTP, delivery_http_url=url, name="n")
    await operations.update_cronjob(caller.account_id, job, {"name": "\N{SNOWMAN}" * 256})
    await fire(operations, caller, store, targets, job)
    assert not server.requests
    (row,) = await read_firings(store)
    assert (row.state, row.reason) == ("failed", "unsendable")


async def test_delete__keeps_no_mark_and_any_size(
    operations: Tenants, caller: Caller, store: Store, targets: dict[str, Target]
) -> None:
    job = await make(operations, caller, SNS, sns_message=ID, sns_max_message_size="2000")
    await operations.delete_cronjob(caller.account_id, job)
    kept = json.loads((await read_cronjob(store, job)).destination)
    assert MARK not in kept
    assert kept["sns_topic"] == SNS["sns_topic"]
    assert removal.KEPT_BYTES == 512


# Shown before it is sent


async def test_render__shows_the_message_that_is_sent_then(
    operations: Tenants, caller: Caller, store: Store, targets: dict[str, Target], server: ScriptedServer
) -> None:
    job = await make(operations, caller, SNS, sns_message=f"{ID} {DATED}", timezone="Asia/Tokyo")
    shown = await operations.render_cronjob(caller.account_id, job, {"at": "2026-12-01T08:00"})
    at = parse_iso("2026-11-30T23:00:00Z")
    assert shown == {
        "cronjob_id": job,
        "firing_id": firing_id(job, at),
        "scheduled_at": "2026-11-30T23:00:00Z",
        "local": "2026-12-01T08:00:00+09:00",
        "attempt": 1,
        "delivery_type": "sns",
        "message": f"{firing_id(job, at)} for 2026-11-30 08:00 by Wake up",
        "attributes": {
            "cronally-firing-id": firing_id(job, at),
            "cronally-cronjob-id": job,
            "cronally-scheduled-at": "2026-11-30T23:00:00Z",
            "cronally-attempt": "1",
            "cronally-cronjob-name": "Wake up",
        },
    }
    following = await operations.render_cronjob(caller.account_id, job)
    assert following["scheduled_at"] == (await operations.get_cronjob(caller.account_id, job))["next_fire_at"]
    assert not server.requests


async def test_render__shows_the_request_without_its_secrets(
    operations: Tenants, caller: Caller, store: Store, targets: dict[str, Target], server: ScriptedServer
) -> None:
    authority = server.url.partition("//")[2]
    url = f"http://user:{SECRET.replace('/', '')}@{authority}/<cronally.attempt-number>?token={SECRET.replace('/', '')}"
    job = await make(operations, caller, HTTP, delivery_http_url=url)
    at = await fire(operations, caller, store, targets, job)
    shown = await operations.render_cronjob(caller.account_id, job, {"at": format_iso(at)})
    assert shown["url"] == f"http://***@{authority}/1?token=***"
    assert shown["method"] == "POST"
    (request,) = server.requests
    sent = {name.lower(): value for name, value in shown["headers"].items()}
    assert sent.pop("authorization") == "***"
    for name in ("cronally-firing-id", "idempotency-key"):
        assert sent.pop(name) == shown["firing_id"]
    assert sent.items() <= request.headers.items()
    assert json.loads(shown["body"]) == {**json.loads(request.body), "firing_id": shown["firing_id"]}
    assert SECRET.replace("/", "") not in json.dumps(shown)
    other = await make(operations, caller, HTTP, delivery_http_url="https://1.1.1.1?to=a@b")
    assert "Authorization" not in (await operations.render_cronjob(caller.account_id, other))["headers"]


async def test_render__of_what_is_not_there(operations: Tenants, caller: Caller, store: Store) -> None:
    job = await make(operations, caller, SNS)
    with pytest.raises(errors.InvalidRequest, match="at: "):
        await operations.render_cronjob(caller.account_id, job, {"at": "soon"})
    await set_state(store, job, "active", timezone="Mars/Olympus")
    with pytest.raises(errors.InvalidRequest, match="time zone is not known"):
        await operations.render_cronjob(caller.account_id, job)
    await operations.delete_cronjob(caller.account_id, job)
    with pytest.raises(errors.NotFound):
        await operations.render_cronjob(caller.account_id, job)
