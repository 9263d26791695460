"""Replay and backfill in a freeze: what it would skip is not let go again, and keeps the state that it has."""

from __future__ import annotations

from typing import Any

import pytest

from cronally import errors
from cronally.instants import DAY, HOUR, MINUTE, format_iso
from cronally.operations import Caller
from cronally.store import Store
from tests.operations.past import dispatch, finish
from tests.operations.tenant import Tenants
from tests.operations.test_replay import ENDED, failures, job_of
from tests.support.factories import NOON, Clock, ScriptedTarget, make_firing, read_firings

pytestmark = pytest.mark.sample

SELECTED = [{"all": "true"}, {"tag": "web"}]


async def freeze(operations: Tenants, caller: Caller, rule: str, **selected: str) -> dict[str, Any]:
    asked = {**(selected or {"all": "true"}), "until": "1h", "rule": rule}
    return await operations.freeze(caller.account_id, asked)


@pytest.mark.parametrize("rule", ["skip", "latest"])
@pytest.mark.parametrize("selected", SELECTED)
@pytest.mark.parametrize("state", ENDED)
async def test_replay__of_one_is_refused_and_it_stays_what_it_was(
    operations: Tenants, store: Store, caller: Caller, rule: str, selected: dict[str, str], state: str
) -> None:
    job = await job_of(store, caller, tags='["web"]')
    await make_firing(store, job, scheduled_at=NOON - DAY, finished_at=NOON - 1, **ENDED[state])
    before = await read_firings(store)
    made = await freeze(operations, caller, rule, **selected)
    with pytest.raises(errors.Conflict) as caught:
        await operations.replay_firing(caller.account_id, job["cronjob_id"], NOON - DAY)
    assert made["freeze_id"] in caught.value.message
    assert made["until"] in caught.value.message
    assert await read_firings(store) == before
    await operations.lift_freeze(caller.account_id, made["freeze_id"])
    again = await operations.replay_firing(caller.account_id, job["cronjob_id"], NOON - DAY)
    assert again["state"] == "pending"


async def test_replay__of_a_set_leaves_what_is_frozen_and_says_so(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    frozen, free = await job_of(store, caller, tags='["web"]'), await job_of(store, caller)
    await failures(store, frozen, 3)
    await failures(store, free, 3)
    await freeze(operations, caller, "skip", tag="web")
    begun = await operations.replay_firings(caller.account_id, {"state": "failed", "max_per_minute": "600"})
    await finish(operations, store, clock)
    done = await operations.get_operation(caller.account_id, begun["operation_id"])
    assert (done["state"], done["done"], done["failed"]) == ("completed", 3, 3)
    assert all("is frozen until" in problem["problem"] for problem in done["problems"])
    states = {(row.cronjob_id, row.state) for row in await read_firings(store)}
    assert states == {(frozen["cronjob_id"], "failed"), (free["cronjob_id"], "pending")}


async def test_replay__in_a_freeze_that_holds_goes_out_at_its_end(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    job = await job_of(store, caller)
    (at,) = await failures(store, job, 1)
    made = await freeze(operations, caller, "all")
    await operations.replay_firing(caller.account_id, job["cronjob_id"], at)
    target = ScriptedTarget()
    await dispatch(store, target)
    assert target.messages == []
    await operations.lift_freeze(caller.account_id, made["freeze_id"])
    clock.now += MINUTE
    await dispatch(store, target)
    assert [message.scheduled_at for message in target.messages] == [at]


async def test_backfill__is_refused_and_ends_where_a_freeze_begins(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    job = await job_of(store, caller)
    sent = {"from": format_iso(NOON - 3 * HOUR), "to": format_iso(NOON - 1), "max_per_minute": "1"}
    begun = await operations.backfill(caller.account_id, job["cronjob_id"], sent)
    made = await freeze(operations, caller, "skip")
    for dry_run in ("true", "false"):
        with pytest.raises(errors.Conflict, match=made["freeze_id"]):
            await operations.backfill(caller.account_id, job["cronjob_id"], {**sent, "dry_run": dry_run})
    await finish(operations, store, clock)
    done = await operations.get_operation(caller.account_id, begun["operation_id"])
    assert (done["state"], done["done"]) == ("completed", 0)
    assert made["freeze_id"] in done["problems"][0]["problem"]
    assert await read_firings(store) == []


async def test_backfill__of_all_that_is_kept_reaches_as_far(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    """Who asks for 30 days asks a moment before it is read."""
    job = await job_of(store, caller, cron="0 8 * * *")
    sent = {"from": format_iso(NOON - 30 * DAY), "dry_run": "true"}
    clock.now += 59 * 1_000_000
    assert (await operations.backfill(caller.account_id, job["cronjob_id"], sent))["fire_times"] > 0
    clock.now += 2 * 1_000_000
    with pytest.raises(errors.InvalidRequest, match="for which the ledger is kept"):
        await operations.backfill(caller.account_id, job["cronjob_id"], sent)
