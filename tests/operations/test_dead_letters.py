"""Dead letters on both databases: which they are, how they leave the list, and how they come back."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from cronally import errors
from cronally.engine.scheduler import Scheduler
from cronally.firing import Reason
from cronally.instants import DAY, HOUR, MINUTE, format_iso
from cronally.operations import Caller, dead_letters
from cronally.store import Store, accounts, discards, listing
from cronally.targets.target import Delivered, Refused
from tests.operations.conftest import sign_up
from tests.operations.past import dispatch, finish
from tests.operations.tenant import API_KEY, Tenants
from tests.operations.test_replay import ENDED, failures, job_of
from tests.support.factories import (
    NOON,
    Clock,
    ScriptedTarget,
    explain,
    firing_values,
    insert_rows,
    make_firing,
    read_firings,
)

NOTE = {"note": "made up for by hand"}


async def times(operations: Tenants, caller: Caller, **sent: Any) -> list[str]:
    """The fire times of the dead letters, in the order of the list."""
    page = await operations.list_dead_letters(caller.account_id, sent)
    return [each["scheduled_at"] for each in page.items]


async def test_list__has_what_failed_and_nothing_else(
    operations: Tenants, caller: Caller, store: Store, clock: Clock
) -> None:
    job = await job_of(store, caller)
    others = [
        firing_values(job, scheduled_at=NOON - DAY - place * HOUR, finished_at=NOON - 1, **values)
        for place, (state, values) in enumerate(ENDED.items())
        if state != "failed"
    ]
    await insert_rows(store, "firing", others)
    await make_firing(store, job, scheduled_at=NOON - DAY + HOUR)
    failed = await failures(store, job, 3)
    stranger = await sign_up(operations, "stranger@example.com")
    await failures(store, await job_of(store, stranger), 2)
    assert await times(operations, caller) == [format_iso(at) for at in reversed(failed)]
    assert await times(operations, caller, order="oldest", limit="2") == [format_iso(at) for at in failed[:2]]
    assert await times(operations, caller, since=format_iso(failed[1]), until=format_iso(failed[2])) == [
        format_iso(failed[1])
    ]
    assert await times(operations, caller, reason="max_age") != await times(
        operations, caller, reason="target_refused"
    )
    with pytest.raises(errors.InvalidRequest) as caught:
        await times(operations, caller, state="missed")
    assert caught.value.fields.keys() == {"state"}


async def test_discard__leaves_the_list_and_stays_in_the_ledger(
    operations: Tenants, caller: Caller, store: Store, clock: Clock
) -> None:
    job = await job_of(store, caller)
    first, second = await failures(store, job, 2)
    (before, *_) = await read_firings(store)
    shown = await operations.discard_firing(caller.account_id, job["cronjob_id"], first, NOTE)
    assert shown["discarded_at"] == format_iso(NOON)
    assert (shown["discarded_note"], shown["discarded_by"]) == (NOTE["note"], API_KEY)
    assert (shown["state"], shown["reason"]) == ("failed", "max_age")
    assert await times(operations, caller) == [format_iso(second)]
    (row, *_) = await read_firings(store)
    changed = {name for name, value in row._mapping.items() if before._mapping[name] != value}
    assert changed == {"discarded_at", "discarded_by", "discarded_note"}
    # Once is enough: what was said stays.
    clock.forward(HOUR)
    again = await operations.discard_firing(caller.account_id, job["cronjob_id"], first, {"note": "no"})
    assert again == shown
    ledger = await operations.list_firings(caller.account_id, {"state": "failed"})
    assert [each.get("discarded_note") for each in ledger.items] == [None, NOTE["note"]]


async def test_replay__takes_a_discard_back(
    operations: Tenants, caller: Caller, store: Store, clock: Clock
) -> None:
    job = await job_of(store, caller)
    (at,) = await failures(store, job, 1)
    await operations.discard_firing(caller.account_id, job["cronjob_id"], at, NOTE)
    shown = await operations.replay_firing(caller.account_id, job["cronjob_id"], at)
    assert "discarded_at" not in shown
    target = ScriptedTarget(script=lambda _message: Refused("no"))
    await dispatch(store, target)
    assert await times(operations, caller) == [format_iso(at)], "it failed anew"
    (row,) = await read_firings(store)
    assert (row.discarded_at, row.discarded_by, row.discarded_note) == (None, None, None)


async def test_replay__of_a_set_passes_by_what_is_discarded(
    operations: Tenants, caller: Caller, store: Store, clock: Clock
) -> None:
    job = await job_of(store, caller)
    failed = await failures(store, job, 4)
    await operations.discard_firing(caller.account_id, job["cronjob_id"], failed[1], NOTE)
    trial = await operations.replay_firings(caller.account_id, {"state": "failed", "dry_run": "true"})
    assert trial["total"] == 3
    await operations.replay_firings(caller.account_id, {"state": "failed"})
    await finish(operations, store, clock)
    target = ScriptedTarget(script=lambda _message: Delivered(None))
    await dispatch(store, target)
    assert sorted(message.scheduled_at for message in target.messages) == [failed[0], *failed[2:]]


@pytest.mark.parametrize("page", [2, 500])
async def test_discard__of_a_set(
    operations: Tenants, caller: Caller, store: Store, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(dead_letters, "PAGE", page)
    job, other = await job_of(store, caller), await job_of(store, caller, name="other")
    failed = await failures(store, job, 5)
    kept = await failures(store, other, 1, reason="target_refused")
    stranger = await sign_up(operations, "stranger@example.com")
    await failures(store, await job_of(store, stranger), 2)

    async def discard(**sent: Any) -> dict[str, Any]:
        return await operations.discard_firings(caller.account_id, {**NOTE, **sent})

    chosen = {"reason": "max_age", "since": format_iso(failed[1])}
    assert await discard(**chosen, dry_run="true") == {"total": 4, "more": False}
    assert len(await times(operations, caller)) == 6
    monkeypatch.setattr(dead_letters, "MOST", 3)
    assert await discard(**chosen) == {"total": 3, "more": True}
    assert await discard(**chosen) == {"total": 1, "more": False}
    assert await discard(**chosen) == {"total": 0, "more": False}
    assert sorted(await times(operations, caller)) == sorted(format_iso(at) for at in (*kept, failed[0]))
    assert await discard(all="true") == {"total": 2, "more": False}
    assert await times(operations, caller) == []
    assert len(await times(operations, stranger)) == 2


async def test_discard__of_a_set_looks_at_so_much(
    operations: Tenants, caller: Caller, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST_READ", 2)
    monkeypatch.setattr(dead_letters, "MOST_PAGES", 2)
    await failures(store, await job_of(store, caller), 5)
    with pytest.raises(errors.InvalidRequest, match="too many firings to look through"):
        await operations.discard_firings(caller.account_id, {**NOTE, "reason": "target_refused"})


@pytest.mark.parametrize(
    ("sent", "wrong"),
    [
        ({}, "all"),
        ({"all": "false"}, "all"),
        ({"all": "true", "kind": "manual"}, "all"),
        ({"all": "true", "note": ""}, "note"),
        ({"all": "true", "note": "a\nb"}, "note"),
        ({"state": "failed"}, "state"),
        ({"since": "2026-11-24T08:00:00Z", "until": "2026-11-24T08:00:00Z"}, "until"),
    ],
)
async def test_discard__refuses(
    operations: Tenants, caller: Caller, sent: dict[str, Any], wrong: str
) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.discard_firings(caller.account_id, {**NOTE, **sent})
    assert wrong in caught.value.fields


@pytest.mark.parametrize("state", ["missed", "skipped", "delivered"])
async def test_discard__only_of_what_failed(
    operations: Tenants, caller: Caller, store: Store, clock: Clock, state: str
) -> None:
    job = await job_of(store, caller)
    await make_firing(store, job, scheduled_at=NOON - HOUR, finished_at=NOON - 1, **ENDED[state])
    with pytest.raises(errors.InvalidRequest, match=f"It is {state}; only what has failed"):
        await operations.discard_firing(caller.account_id, job["cronjob_id"], NOON - HOUR, NOTE)


async def test_discard__not_of_what_is_on_its_way_or_not_there(
    operations: Tenants, caller: Caller, store: Store, clock: Clock
) -> None:
    job = await job_of(store, caller)
    await make_firing(store, job, scheduled_at=NOON - HOUR)
    with pytest.raises(errors.Conflict):
        await operations.discard_firing(caller.account_id, job["cronjob_id"], NOON - HOUR, NOTE)
    with pytest.raises(errors.NotFound, match="The ledger has no such firing"):
        await operations.discard_firing(caller.account_id, job["cronjob_id"], NOON, NOTE)
    stranger = await sign_up(operations, "stranger@example.com")
    (at,) = await failures(store, job, 1)
    with pytest.raises(errors.NotFound, match="no such cron job"):
        await operations.discard_firing(stranger.account_id, job["cronjob_id"], at, NOTE)
    assert await times(operations, caller) == [format_iso(at)]


async def test_discard__of_a_deleted_cron_job(
    operations: Tenants, caller: Caller, store: Store, clock: Clock
) -> None:
    job = await job_of(store, caller, state="deleted", next_fire_at=None, purge_at=NOON + DAY)
    (at,) = await failures(store, job, 1)
    shown = await operations.discard_firing(caller.account_id, job["cronjob_id"], at, NOTE)
    assert shown["discarded_note"] == NOTE["note"]


async def test_account__says_how_many_there_are(
    operations: Tenants, caller: Caller, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await job_of(store, caller)
    failed = await failures(store, job, 3)
    await make_firing(store, job, scheduled_at=NOON - HOUR, finished_at=NOON - 1, **ENDED["missed"])
    await operations.discard_firing(caller.account_id, job["cronjob_id"], failed[0], NOTE)
    assert (await operations.get_account(caller))["dead_letters"] == 2


async def test_account__counts_the_last_thousand_by_an_index(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    job = await job_of(store, caller)
    ended = {"finished_at": NOON, "attempt": 1, "lease_no": 1}
    states = ["failed"] * 20 + ["missed"] * 5 + ["failed"] * (discards.COUNTED - 5)
    rows = [
        firing_values(job, scheduled_at=NOON - DAY + place * MINUTE, state=state, **ended)
        for place, state in enumerate(states)
    ]
    await insert_rows(store, "firing", rows)
    assert (await operations.get_account(caller))["dead_letters"] == discards.COUNTED - 5
    (plan,) = await explain(store, partial(accounts.get_account, account_id=caller.account_id))
    assert "ix_firing_undelivered " in plan, plan


async def test_sent_early__fires_again_at_its_time_and_is_discarded_no_more(
    operations: Tenants, caller: Caller, store: Store, clock: Clock
) -> None:
    job = await job_of(store, caller, next_fire_at=NOON + MINUTE, cron="* * * * *")
    await make_firing(
        store,
        job,
        scheduled_at=NOON + MINUTE,
        finished_at=NOON,
        **{**ENDED["failed"], "reason": Reason.CLOCK_AHEAD},
    )
    await operations.discard_firing(caller.account_id, job["cronjob_id"], NOON + MINUTE, NOTE)
    clock.forward(MINUTE)
    await Scheduler(store).tick(clock.now)
    (row,) = await read_firings(store)
    assert (row.state, row.discarded_at, row.discarded_note) == ("pending", None, None)
