"""Freezes as a tenant has them: made, listed, lifted, bounded, and named by an explanation."""

from __future__ import annotations

from typing import Any

import pytest

from cronally import errors
from cronally.contract.freezes import MAX_IN_FORCE
from cronally.engine.dispatcher import Dispatcher
from cronally.instants import DAY, HOUR, MINUTE, SECOND, format_iso
from cronally.operations import Caller, freezing
from cronally.store import Store, forecasts
from cronally.targets.target import Target
from tests.operations.conftest import sign_up
from tests.operations.explained import Explained
from tests.operations.parameters import HTTP, SNS
from tests.operations.tenant import Tenants
from tests.support.factories import NOON, Clock, cronjob_values, insert_rows, vault, work_off

HOST = "1.1.1.1"


async def test_freeze__is_shown_as_it_is(operations: Tenants, caller: Caller, clock: Clock) -> None:
    sent = {"tag": "env=*", "until": "2h", "note": "deploying", "rule": "latest"}
    made = await operations.freeze(caller.account_id, sent)
    assert made == {
        "freeze_id": made["freeze_id"],
        "selector": "tag",
        "tag": "env=*",
        "rule": "latest",
        "note": "deploying",
        "in_force": True,
        "cronjobs": 0,
        "created_at": "2026-11-24T12:00:00Z",
        "created_by": made["created_by"],
        "until": "2026-11-24T14:00:00Z",
        "lifted_at": None,
        "lifted_by": None,
    }
    assert await operations.get_freeze(caller.account_id, made["freeze_id"]) == made
    clock.forward(2 * HOUR)
    ended = await operations.get_freeze(caller.account_id, made["freeze_id"])
    assert ended == {**{name: value for name, value in made.items() if name != "cronjobs"}, "in_force": False}
    assert await operations.lift_freeze(caller.account_id, made["freeze_id"]) == ended


async def test_freeze__is_lifted_once(operations: Tenants, caller: Caller, clock: Clock) -> None:
    made = await operations.freeze(caller.account_id, {"all": "true", "until": "2026-11-24T14:00:00Z"})
    assert (made["selector"], made["rule"], made["note"]) == ("account", "skip", None)
    clock.forward(MINUTE)
    lifted = await operations.lift_freeze(caller.account_id, made["freeze_id"])
    assert (lifted["in_force"], lifted["lifted_at"]) == (False, "2026-11-24T12:01:00Z")
    assert lifted["lifted_by"] == made["created_by"]
    clock.forward(MINUTE)
    assert await operations.lift_freeze(caller.account_id, made["freeze_id"]) == lifted


async def test_freeze__of_another_account_is_not_there(operations: Tenants, caller: Caller) -> None:
    other = await sign_up(operations, "other@example.com")
    made = await operations.freeze(caller.account_id, {"all": True, "until": "1h"})
    for verb in (operations.get_freeze, operations.lift_freeze):
        with pytest.raises(errors.NotFound):
            await verb(other.account_id, made["freeze_id"])
    assert await operations.list_freezes(other.account_id) == []
    assert await operations.list_freezes(caller.account_id) == [made]


async def test_freeze__counts_the_cronjobs_that_it_is_for(
    operations: Tenants, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecasts, "PAGE", 1)
    for sent in ({**HTTP, "tags": ["web"]}, {**SNS, "tags": ["env=prod"]}, HTTP):
        await operations.create_cronjob(caller.account_id, sent)
    counts = {}
    sns = "sns.eu-west-1.amazonaws.com"
    for name, value in (("all", "true"), ("tag", "web"), ("tag", "env=*"), ("host", HOST), ("host", sns)):
        made = await operations.freeze(caller.account_id, {name: value, "until": "1h"})
        counts[name, value] = made["cronjobs"]
    assert counts == {
        ("all", "true"): 3,
        ("tag", "web"): 1,
        ("tag", "env=*"): 1,
        ("host", HOST): 2,
        ("host", sns): 1,
    }
    listed = await operations.list_freezes(caller.account_id)
    assert sorted(one["cronjobs"] for one in listed) == [1, 1, 1, 2, 3]


async def test_list__has_those_in_force_first(operations: Tenants, caller: Caller, clock: Clock) -> None:
    made = []
    for until in ("3h", "1h", "3h"):
        made.append(await operations.freeze(caller.account_id, {"all": True, "until": until}))
        clock.forward(MINUTE)
    clock.forward(HOUR)
    listed = [one["freeze_id"] for one in await operations.list_freezes(caller.account_id)]
    assert listed == [made[2]["freeze_id"], made[0]["freeze_id"], made[1]["freeze_id"]]


async def test_freeze__twenty_may_be_in_force(operations: Tenants, caller: Caller, clock: Clock) -> None:
    sent = {"tag": "web", "until": "1h"}
    made = [await operations.freeze(caller.account_id, sent) for _ in range(MAX_IN_FORCE)]
    with pytest.raises(errors.Forbidden, match="20 freezes in force"):
        await operations.freeze(caller.account_id, sent)
    await operations.lift_freeze(caller.account_id, made[0]["freeze_id"])
    await operations.freeze(caller.account_id, sent)
    clock.forward(HOUR)
    await operations.freeze(caller.account_id, sent)


async def test_freeze__who_makes_and_lifts_them_fills_no_database(
    operations: Tenants, caller: Caller, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freezing, "MAX_KEPT", 3)
    kept = await operations.freeze(caller.account_id, {"tag": "web", "until": "1h"})
    ids = []
    for _ in range(5):
        clock.forward(1)
        made = await operations.freeze(caller.account_id, {"tag": "web", "until": "1h"})
        await operations.lift_freeze(caller.account_id, made["freeze_id"])
        ids.append(made["freeze_id"])
    listed = [one["freeze_id"] for one in await operations.list_freezes(caller.account_id)]
    assert listed == [kept["freeze_id"], *reversed(ids[-3:])], "what is in force is never forgotten"


async def test_freeze__a_key_makes_one(operations: Tenants, caller: Caller, clock: Clock) -> None:
    sent = {"tag": "web", "until": "1h"}
    made = await operations.freeze(caller.account_id, sent, idempotency_key="once")
    clock.forward(MINUTE)
    assert await operations.freeze(caller.account_id, sent, idempotency_key="once") == made
    assert len(await operations.list_freezes(caller.account_id)) == 1
    with pytest.raises(errors.InvalidRequest, match="other parameters"):
        await operations.freeze(caller.account_id, {**sent, "tag": "db"}, idempotency_key="once")
    other = await sign_up(operations, "other@example.com")
    theirs = await operations.freeze(other.account_id, sent, idempotency_key="once")
    assert theirs["freeze_id"] != made["freeze_id"]


@pytest.mark.parametrize(
    ("sent", "name", "said"),
    [
        ({}, "all", "is needed as true"),
        ({"all": "false"}, "all", "is needed as true"),
        ({"tag": "web", "host": HOST}, "host", "was sent with tag"),
        ({"host": "a.example", "all": "true"}, "all", "was sent with host"),
        ({"host": "https://a.example/"}, "host", "give one like hooks.example.com"),
        ({"host": "a.example:443"}, "host", "or has a port"),
        ({"host": "[::1]:8080"}, "host", "or has a port"),
        ({"host": "me@a.example"}, "host", "is no host"),
        ({"host": "bücher.example"}, "host", "write it as xn--bcher-kva.example"),
        ({"tag": "a b"}, "tag", "holds what is no tag"),
        ({"all": "true", "until": format_iso(NOON)}, "until", "is not in the future"),
        ({"all": "true", "until": "0s"}, "until", ""),
        ({"all": "true", "until": format_iso(NOON + 7 * DAY + 1)}, "until", "more than 7d ahead"),
        ({"all": "true", "until": "169h"}, "until", "more than 7d ahead"),
    ],
)
async def test_freeze__what_cannot_be(
    operations: Tenants, caller: Caller, sent: dict[str, Any], name: str, said: str
) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.freeze(caller.account_id, {"until": "1h", **sent})
    assert said in caught.value.fields[name]
    assert await operations.list_freezes(caller.account_id) == []


@pytest.mark.parametrize(
    ("host", "stored"),
    [
        ("Hooks.Example.COM", "hooks.example.com"),
        ("hooks.example.com.", "hooks.example.com"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
async def test_freeze__a_host_is_written_in_one_way(
    operations: Tenants, caller: Caller, host: str, stored: str
) -> None:
    made = await operations.freeze(caller.account_id, {"host": host, "until": "7d"})
    assert made["host"] == stored


@pytest.mark.parametrize(
    ("selector", "what"),
    [({"host": HOST}, f"the host {HOST}"), ({"tag": "web"}, "the tag web"), ({"all": True}, "the account")],
)
async def test_explain__names_the_freeze(
    operations: Tenants,
    caller: Caller,
    store: Store,
    clock: Clock,
    targets: dict[str, Target],
    selector: dict[str, Any],
    what: str,
) -> None:
    one = Explained(operations, caller, store, clock)
    made = await operations.create_cronjob(caller.account_id, {**HTTP, "cron": "*/10 * * * *", "tags": "web"})
    one.cronjob_id = made["cronjob_id"]
    freeze = {**selector, "until": "35m", "note": "deploying", "rule": "latest"}
    made = await operations.freeze(caller.account_id, freeze)
    ahead = await one.ask("2026-11-24T12:10:00Z")
    frozen = f"a freeze of {what} (deploying), in force from 2026-11-24T12:00:00Z to 2026-11-24T12:35:00Z"
    assert (ahead["finding"], ahead["reason"]) == ("future", None)
    assert (
        f"It falls into {frozen}: it is held until the end of that, unless a later one is"
        in ahead["sentence"]
    )
    behind = await one.ask("2026-11-24T12:40:00Z")
    assert "freeze" not in behind["sentence"]
    await one.awake("2026-11-24T12:20:00Z")
    await work_off(Dispatcher(store, vault(), targets))
    skipped = await one.ask("2026-11-24T12:10:00Z")
    assert skipped["sentence"] == f"Skipped: it fell into {frozen}."
    assert (skipped["reason"], skipped["cause"]) == ("frozen", made["freeze_id"])
    held = await one.ask("2026-11-24T12:20:00Z")
    assert held["sentence"] == (
        f"Owed: it waits for its first attempt because it fell into {frozen}. It is looked at again from"
        " 2026-11-24T12:35:00Z on."
    )
    listed = await operations.list_firings(caller.account_id, {"reason": "frozen"})
    assert [(each["state"], each["cause"]) for each in listed.items] == [
        ("pending", made["freeze_id"]),
        ("skipped", made["freeze_id"]),
    ]
    clock.forward(MINUTE)
    await operations.lift_freeze(caller.account_id, made["freeze_id"])
    assert "waits for its first attempt." in (await one.ask("2026-11-24T12:20:00Z"))["sentence"]
    assert "to 2026-11-24T12:21:00Z" in (await one.ask("2026-11-24T12:10:00Z"))["sentence"]


async def test_count__goes_through_pages_of_bytes(
    operations: Tenants, caller: Caller, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecasts, "PAGE_BYTES", 1)
    destination = '{"delivery_http_url":"https://b.example/x"}'
    rows = [cronjob_values(caller.account_id, target="http", destination=destination) for _ in range(5)]
    await insert_rows(store, "cronjob", rows)
    made = await operations.freeze(caller.account_id, {"host": "b.example", "until": "1h"})
    assert made["cronjobs"] == 5


async def test_frozen__is_what_a_freeze_in_force_names(
    operations: Tenants, caller: Caller, clock: Clock
) -> None:
    """The first that names it, as a claim goes by; of a list too, and no longer than it is in force."""
    account = caller.account_id
    tagged = (await operations.create_cronjob(account, {**SNS, "tags": "env=prod"}))["cronjob_id"]
    hosted = (await operations.create_cronjob(account, HTTP))["cronjob_id"]
    by: dict[str, tuple[str, str]] = {}
    for name, value in (("tag", "env=*"), ("host", "1.1.1.1"), ("tag", "env=prod")):
        clock.forward(SECOND)
        made = await operations.freeze(account, {name: value, "until": "1h"})
        by.setdefault(name, (made["until"], made["freeze_id"]))

    async def shown() -> dict[str, tuple[Any, Any]]:
        listed = (await operations.list_cronjobs(account, {}, standing=True)).items
        found = {one["cronjob_id"]: (one.get("frozen_until"), one.get("frozen_by")) for one in listed}
        for cronjob_id, said in found.items():
            one = await operations.get_cronjob(account, cronjob_id, standing=True)
            assert (one.get("frozen_until"), one.get("frozen_by")) == said
        return found

    assert await shown() == {tagged: by["tag"], hosted: by["host"]}
    other = await sign_up(operations, "another@example.com")
    await operations.create_cronjob(other.account_id, SNS)
    (alone,) = (await operations.list_cronjobs(other.account_id, {}, standing=True)).items
    assert not {"frozen_until", "frozen_by"} & alone.keys()
    await operations.lift_freeze(account, by["host"][1])
    assert (await shown())[hosted] == (None, None)
    clock.forward(2 * HOUR)
    assert {*(await shown()).values()} == {(None, None)}
