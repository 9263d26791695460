"""The cron job that tells of what has failed of another one: how it is named, and where it is shown."""

from __future__ import annotations

from typing import Any

import pytest

from cronally import errors
from cronally.engine.admission import Limits
from cronally.engine.dispatcher import Dispatcher
from cronally.firing import firing_id
from cronally.instants import DAY, HOUR, SECOND, format_iso
from cronally.operations import Caller
from cronally.store import Store
from cronally.targets.target import Delivered, Message, Outcome, Refused
from tests.operations.conftest import sign_up
from tests.operations.tenant import Tenants
from tests.support.factories import Clock, ScriptedTarget, make_firing, vault, work_off

HTTP = {
    "cron": "0 0 1 1 *",
    "delivery_type": "http",
    "delivery_http_method": "post",
    "delivery_http_url": "https://example.com/hook",
}


async def create(operations: Tenants, caller: Caller, name: str, **sent: Any) -> dict[str, Any]:
    return await operations.create_cronjob(caller.account_id, {**HTTP, "name": name, **sent})


async def refused(operations: Tenants, caller: Caller, **sent: Any) -> str:
    """The complaint about a cron job that is named."""
    with pytest.raises(errors.InvalidRequest) as caught:
        await create(operations, caller, "fails", **sent)
    assert caught.value.fields.keys() == {"dead_letter"}
    return str(caught.value.fields["dead_letter"])


async def test_named__by_name_or_id_and_shown_by_id(operations: Tenants, caller: Caller) -> None:
    tells = (await create(operations, caller, "tells"))["cronjob_id"]
    for named in (tells, tells.upper(), "tells"):
        made = await create(operations, caller, f"fails {named}", dead_letter=named)
        assert made["dead_letter"] == tells
        if named != "tells":
            await operations.delete_cronjob(caller.account_id, made["cronjob_id"])
    shown = await operations.get_cronjob(caller.account_id, made["cronjob_id"])
    assert shown["dead_letter"] == tells
    account_id, cronjob_id = caller.account_id, made["cronjob_id"]
    changed = await operations.update_cronjob(account_id, cronjob_id, {"name": "other"})
    assert changed["dead_letter"] == tells, "what is not sent stays"
    changed = await operations.update_cronjob(account_id, cronjob_id, {"dead_letter": "default"})
    assert changed["dead_letter"] is None
    changed = await operations.update_cronjob(account_id, cronjob_id, {"dead_letter": "tells"})
    assert changed["dead_letter"] == tells
    assert (await create(operations, caller, "plain"))["dead_letter"] is None


async def test_put__is_the_same_again(operations: Tenants, caller: Caller) -> None:
    tells = (await create(operations, caller, "tells"))["cronjob_id"]
    sent = {**HTTP, "dead_letter": "tells"}
    outcomes = [await operations.put_cronjob(caller.account_id, "fails", sent) for _ in range(2)]
    assert [each["outcome"] for each in outcomes] == ["created", "unchanged"]
    assert outcomes[1]["dead_letter"] == tells


async def test_named__what_cannot_be_it(operations: Tenants, caller: Caller) -> None:
    stranger = await sign_up(operations, "stranger@example.com")
    theirs = await create(operations, stranger, "theirs")
    for named in ("theirs", theirs["cronjob_id"], "00000000-0000-4000-8000-000000000001"):
        assert "there is not" in await refused(operations, caller, dead_letter=named)
    gone = await create(operations, caller, "gone", delivery_http_method="get")
    said = "names a cron job whose delivery_http_body is not sent with GET; give another one"
    assert said in await refused(operations, caller, dead_letter="gone")
    await operations.delete_cronjob(caller.account_id, gone["cronjob_id"])
    assert "there is not" in await refused(operations, caller, dead_letter=gone["cronjob_id"])
    for _ in range(2):
        await create(operations, caller, "twice")
    assert "several" in await refused(operations, caller, dead_letter="twice")
    own = await create(operations, caller, "own")
    with pytest.raises(errors.InvalidRequest, match="itself"):
        await operations.update_cronjob(caller.account_id, own["cronjob_id"], {"dead_letter": "own"})


async def test_both_firings__say_which_the_other_is(
    operations: Tenants, caller: Caller, store: Store, clock: Clock
) -> None:
    tells = await create(operations, caller, "tells")
    fails = await create(operations, caller, "fails", dead_letter="tells")
    clock.forward(2 * HOUR)
    at = clock.now

    def answer(message: Message) -> Outcome:
        return Refused("gone") if message.cronjob_id == fails["cronjob_id"] else Delivered(None)

    await make_firing(store, fails, account_id=caller.account_id, scheduled_at=at, due_at=at, created_at=at)
    target = ScriptedTarget(script=answer)
    node = Dispatcher(store, vault(), {"http": target}, Limits(), monotonic=lambda: 0.0)
    await work_off(node)
    clock.forward(SECOND)
    page = await operations.list_firings(caller.account_id, {"kind": "dead_letter"})
    (telling,) = page.items
    assert telling["dead_letter_of"] == {
        "firing_id": firing_id(fails["cronjob_id"], at),
        "cronjob_id": fails["cronjob_id"],
        "scheduled_at": format_iso(at),
        "kind": "scheduled",
    }
    ((failed,),) = [(await operations.list_dead_letters(caller.account_id, {})).items]
    assert failed["dead_letter"] == {
        name: telling[name] for name in ("firing_id", "cronjob_id", "scheduled_at", "kind")
    }
    assert "dead_letter_of" not in failed
    assert telling["state"] == "delivered"
    why = await operations.explain_cronjob(caller.account_id, fails["cronjob_id"], {"at": format_iso(at)})
    assert f"The cron job {tells['cronjob_id']} tells of it" in why["sentence"]
    assert why["firing"]["dead_letter"] == failed["dead_letter"]
    why = await operations.explain_cronjob(caller.account_id, tells["cronjob_id"], {"at": format_iso(at)})
    assert "to tell of a firing that has failed" in why["sentence"]
    assert why["manual"][0]["dead_letter_of"] == telling["dead_letter_of"]
    stranger = await sign_up(operations, "stranger@example.com")
    assert not (await operations.list_firings(stranger.account_id, {})).items


async def test_retry__of_what_tells_by_a_replay(
    operations: Tenants, caller: Caller, store: Store, clock: Clock
) -> None:
    """What tells is a firing like any other: it fails, is listed, and is replayed by its kind."""
    await create(operations, caller, "tells")
    fails = await create(operations, caller, "fails", dead_letter="tells")
    clock.forward(DAY)
    at = clock.now
    await make_firing(store, fails, account_id=caller.account_id, scheduled_at=at, due_at=at, created_at=at)
    target = ScriptedTarget(script=lambda _message: Refused("gone"))
    node = Dispatcher(store, vault(), {"http": target}, Limits(), monotonic=lambda: 0.0)
    await work_off(node)
    clock.forward(SECOND)
    (telling,) = (await operations.list_dead_letters(caller.account_id, {"kind": "dead_letter"})).items
    assert telling["state"] == "failed"
    assert "dead_letter" not in telling, "it ends there"
    target.script = lambda _message: Delivered(None)
    again = await operations.replay_firing(
        caller.account_id, telling["cronjob_id"], at, {"kind": "dead_letter"}
    )
    assert again["firing_id"] == telling["firing_id"]
    await work_off(node)
    (telling,) = (await operations.list_firings(caller.account_id, {"kind": "dead_letter"})).items
    assert telling["state"] == "delivered"
