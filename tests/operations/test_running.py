"""Running a cron job now: one firing beside what is owed, and once per key."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cronally import errors
from cronally.engine.janitor import Janitor
from cronally.engine.scheduler import Scheduler
from cronally.firing import firing_id
from cronally.instants import DAY, HOUR, MINUTE, SECOND, format_iso, parse_iso
from cronally.operations import Caller
from cronally.store import Store, removal
from cronally.targets.target import Target
from tests.operations.conftest import sign_up
from tests.operations.parameters import HTTP, SNS
from tests.operations.receivers import MESSAGE_ID, server, targets
from tests.operations.runs import OWN, deliver, job, set_state
from tests.operations.tenant import Json, Tenants
from tests.support.factories import (
    CANARY,
    NOON,
    Clock,
    firing_values,
    insert_rows,
    read_cronjob,
    read_firings,
)
from tests.support.scripted import ScriptedServer

__all__ = ["job", "server", "targets"]


# The firing


async def test_run__is_a_firing_beside_the_schedule_and_delivered(
    operations: Tenants,
    caller: Caller,
    job: Json,
    store: Store,
    targets: dict[str, Target],
    server: ScriptedServer,
) -> None:
    before = await operations.get_cronjob(caller.account_id, job["cronjob_id"])
    made = await operations.run_cronjob(caller.account_id, job["cronjob_id"])
    assert (made["kind"], made["state"], made["scheduled_at"]) == ("manual", "pending", format_iso(NOON))
    assert (made["created_at"], made["due_at"], made["attempt"]) == (format_iso(NOON), format_iso(NOON), 0)
    assert made["firing_id"] == firing_id(job["cronjob_id"], NOON, "manual")
    assert made["cronjob_name"] == SNS["name"]
    listed = await operations.list_firings_of_cronjob(caller.account_id, job["cronjob_id"], {})
    assert listed.items == [made]
    await deliver(store, targets)
    assert await operations.get_cronjob(caller.account_id, job["cronjob_id"]) == before
    (request,) = server.requests
    assert made["firing_id"] in request.form().values()
    (row,) = await read_firings(store)
    assert (row.state, row.message_id) == ("delivered", MESSAGE_ID)


@pytest.mark.parametrize(("state", "fires"), [("paused", True), ("completed", True), ("deleted", False)])
async def test_run__in_each_state(
    operations: Tenants,
    caller: Caller,
    job: Json,
    store: Store,
    targets: dict[str, Target],
    state: str,
    fires: bool,
) -> None:
    purge_at = NOON + DAY if state == "deleted" else None
    await set_state(store, job["cronjob_id"], state, next_fire_at=None, purge_at=purge_at)
    if not fires:
        with pytest.raises(errors.NotFound):
            await operations.run_cronjob(caller.account_id, job["cronjob_id"])
        assert not await read_firings(store)
        return
    await operations.run_cronjob(caller.account_id, job["cronjob_id"])
    await deliver(store, targets)
    (row,) = await read_firings(store)
    assert row.state == "delivered"
    assert (await read_cronjob(store, job["cronjob_id"])).state == state


async def test_run__of_another_account_is_not_there(operations: Tenants, job: Json, store: Store) -> None:
    other = await sign_up(operations, "other@example.com")
    for sent in ({}, {"at": "x"}):
        with pytest.raises(errors.NotFound):
            await operations.run_cronjob(other.account_id, job["cronjob_id"], sent)
    assert not await read_firings(store)


async def test_run__several_in_one_microsecond_are_several(
    operations: Tenants, caller: Caller, job: Json, store: Store
) -> None:
    asked = [operations.run_cronjob(caller.account_id, job["cronjob_id"]) for _ in range(3)]
    made = await asyncio.gather(*asked)
    assert sorted(parse_iso(one["scheduled_at"]) for one in made) == [NOON, NOON + 1, NOON + 2]
    at = {"at": format_iso(NOON + 1)}
    assert (await operations.run_cronjob(caller.account_id, job["cronjob_id"], at))[
        "scheduled_at"
    ] == format_iso(NOON + 3)


@pytest.mark.parametrize(
    ("at", "start"),
    [
        ("2026-11-24T13:00:00+00:00", NOON + HOUR),
        ("2026-11-24T12:00:00Z", NOON),
        ("10m", NOON + 10 * MINUTE),
        ("0s", NOON),
        ("24h", NOON + DAY),
    ],
)
async def test_run__at(
    operations: Tenants,
    caller: Caller,
    job: Json,
    store: Store,
    clock: Clock,
    targets: dict[str, Target],
    server: ScriptedServer,
    at: str,
    start: int,
) -> None:
    made = await operations.run_cronjob(caller.account_id, job["cronjob_id"], {"at": at})
    assert (made["scheduled_at"], made["due_at"]) == (format_iso(start), format_iso(start))
    clock.now = start - 1
    await deliver(store, targets)
    assert not server.requests, "never early"
    clock.now = start
    await deliver(store, targets)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        ({"at": "2026-11-24T11:59:59.999999Z"}, "at"),
        ({"at": "2026-11-25T12:00:00.000001Z"}, "at"),
        ({"at": "86401s"}, "at"),
        ({"at": "999999999d"}, "at"),
        ({"at": "-1s"}, "at"),
        ({"at": "tomorrow"}, "at"),
        ({"at": ""}, "at"),
        ({"at": 10}, "at"),
        ({"at": ["10m"]}, "at"),
        ({"sns_message": "x" * 262_144}, "sns_message"),
        ({"sns_message": "x" * 262_145}, "sns_message"),
        ({"sns_message": "\x1b"}, "sns_message"),
        ({"sns_message": ""}, "sns_message"),
        ({"sns_message": 7}, "sns_message"),
        ({"sns_topic": SNS["sns_topic"]}, "sns_topic"),
        ({"sns_secret_access_key": CANARY}, "sns_secret_access_key"),
        ({"kind": "scheduled"}, "kind"),
        ({"scheduled_at": format_iso(NOON)}, "scheduled_at"),
    ],
)
async def test_run__names_what_is_wrong(
    operations: Tenants, caller: Caller, job: Json, store: Store, sent: dict[str, Any], named: str
) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.run_cronjob(caller.account_id, job["cronjob_id"], sent)
    assert caught.value.fields.keys() == {named}
    assert CANARY not in caught.value.message
    assert not await read_firings(store)


async def test_run__all_that_is_wrong_at_once_and_nothing_of_another_target(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    job = await operations.create_cronjob(caller.account_id, HTTP)
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.run_cronjob(
            caller.account_id, job["cronjob_id"], {"sns_message": "x", "at": "25h"}, idempotency_key="a b"
        )
    assert caught.value.fields.keys() == {"sns_message", "at", "Idempotency-Key"}
    assert (
        caught.value.fields["sns_message"] == "belongs to delivery_type=sns, and this is http; leave it out"
    )
    assert not await read_firings(store)


# Once


async def test_key__the_same_request_is_the_same_firing_for_a_day(
    operations: Tenants, caller: Caller, job: Json, store: Store, clock: Clock, targets: dict[str, Target]
) -> None:
    async def run(sent: dict[str, str], key: str = "k") -> Json:
        return await operations.run_cronjob(caller.account_id, job["cronjob_id"], sent, idempotency_key=key)

    sent = {"at": "10m", "sns_message": OWN}
    made, *again = await asyncio.gather(*[run(sent) for _ in range(3)])
    assert again == [made, made]
    clock.forward(HOUR)
    await deliver(store, targets)
    after = await run(sent)
    assert (after["firing_id"], after["state"]) == (made["firing_id"], "delivered"), "though its time is over"
    for other in ({}, {"at": "11m", "sns_message": OWN}, {"at": "10m"}):
        with pytest.raises(errors.InvalidRequest) as caught:
            await run(other)
        assert caught.value.fields.keys() == {"Idempotency-Key"}
    await operations.update_cronjob(caller.account_id, job["cronjob_id"], {**HTTP})
    assert (await run(sent))["firing_id"] == made["firing_id"], "though it would be refused now"
    await operations.delete_cronjob(caller.account_id, job["cronjob_id"])
    assert (await run(sent))["firing_id"] == made["firing_id"]
    assert len(await read_firings(store)) == 1
    clock.forward(DAY)
    with pytest.raises(errors.NotFound):
        await run(sent)


async def test_key__stands_for_one_cron_job_and_one_kind_of_request(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    made = await operations.create_cronjob(caller.account_id, SNS, idempotency_key="created")
    other = await operations.create_cronjob(caller.account_id, SNS)
    await operations.run_cronjob(caller.account_id, made["cronjob_id"], idempotency_key="ran")
    for cronjob_id, key in ((other["cronjob_id"], "ran"), (made["cronjob_id"], "created")):
        with pytest.raises(errors.InvalidRequest, match="take a new key for a new firing"):
            await operations.run_cronjob(caller.account_id, cronjob_id, idempotency_key=key)
    with pytest.raises(errors.InvalidRequest, match="take a new key for a new cron job"):
        await operations.create_cronjob(caller.account_id, SNS, idempotency_key="ran")
    assert len(await read_firings(store)) == 1
    # Another account's keys are its own.
    stranger = await sign_up(operations, "other@example.com")
    theirs = await operations.create_cronjob(stranger.account_id, SNS)
    await operations.run_cronjob(stranger.account_id, theirs["cronjob_id"], idempotency_key="ran")
    assert len(await read_firings(store)) == 2


# Beside the schedule


async def test_completed__is_deleted_after_its_manual_firings_have_ended(
    operations: Tenants, caller: Caller, store: Store, clock: Clock, targets: dict[str, Target]
) -> None:
    once = {**SNS, "cron": "at(2026-11-24T12:00:30)", "after_completion": "delete"}
    job = await operations.create_cronjob(caller.account_id, once)
    await Scheduler(store).tick(clock.forward(MINUTE))
    await deliver(store, targets)
    await operations.run_cronjob(caller.account_id, job["cronjob_id"], {"at": "1h"})

    async def deleted() -> int:
        return await store.transact(
            lambda connection: removal.delete_completed(
                connection, caller.account_id, clock.now, 10, retention=DAY, told=[]
            )
        )

    assert await deleted() == 0
    clock.forward(HOUR)
    await deliver(store, targets)
    assert await deleted() == 1
    assert [row.state for row in await read_firings(store)] == ["delivered", "delivered"]


async def test_audit__a_firing_ahead_covers_no_fire_time(
    operations: Tenants, caller: Caller, store: Store, clock: Clock
) -> None:
    job = await operations.create_cronjob(caller.account_id, {**SNS, "cron": "* * * * *"})
    await operations.run_cronjob(caller.account_id, job["cronjob_id"], {"at": "1h"})
    janitor = Janitor(store, retention=DAY)
    await janitor.step()
    assert janitor.done.repaired == 0
    await operations.update_cronjob(caller.account_id, job["cronjob_id"], {"cron": "*/2 * * * *"})
    assert (await read_cronjob(store, job["cronjob_id"])).next_fire_at == NOON + 2 * MINUTE
    clock.forward(HOUR)
    await Scheduler(store).tick(clock.now)
    rows = [row for row in await read_firings(store) if row.kind == "scheduled"]
    assert rows, "what is owed is owed beside it"


async def test_explain__names_it_beside_the_fire_time(
    operations: Tenants, caller: Caller, job: Json, store: Store
) -> None:
    made = await operations.run_cronjob(caller.account_id, job["cronjob_id"])
    asked = await operations.explain_cronjob(caller.account_id, job["cronjob_id"], {"at": format_iso(NOON)})
    assert asked["manual"] == [made]
    assert asked["firing"] is None
    assert asked["sentence"].endswith(
        " Beside the schedule, a manual firing was asked for at 2026-11-24T12:00:00Z: pending."
    )
    beside = {"at": format_iso(NOON + SECOND)}
    asked = await operations.explain_cronjob(caller.account_id, job["cronjob_id"], beside)
    assert "manual" not in asked


async def test_list__of_one_fire_time_has_both_kinds(
    operations: Tenants, caller: Caller, job: Json, store: Store
) -> None:
    values = firing_values(job | {"account_id": caller.account_id}, state="delivered")
    await insert_rows(store, "firing", [values, {**values, "scheduled_at": NOON - MINUTE}])
    made = await operations.run_cronjob(caller.account_id, job["cronjob_id"])
    sent = {"scheduled_at": made["scheduled_at"]}
    for more in ({}, {"cronjob_id": job["cronjob_id"]}):
        page = await operations.list_firings(caller.account_id, {**sent, **more})
        assert [item["kind"] for item in page.items] == ["scheduled", "manual"]
    page = await operations.list_firings_of_cronjob(
        caller.account_id, job["cronjob_id"], {**sent, "limit": "1"}
    )
    rest = await operations.list_firings_of_cronjob(
        caller.account_id, job["cronjob_id"], {**sent, "cursor": page.next_cursor}
    )
    assert [item["kind"] for item in (*page.items, *rest.items)] == ["scheduled", "manual"]
