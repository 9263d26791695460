"""How cron jobs stand, as their answers say it: beside the ledger, and about the account's own alone."""

from __future__ import annotations

from typing import Any

import pytest

from cronally import errors
from cronally.engine.dispatcher import Dispatcher
from cronally.engine.scheduler import Scheduler
from cronally.instants import HOUR, MINUTE, SECOND
from cronally.operations import Caller
from cronally.store import Store
from cronally.targets.target import Delivered, Message, Outcome, Refused
from tests.operations.conftest import sign_up
from tests.operations.tenant import STANDING, Tenants
from tests.support.factories import (
    NOON,
    Clock,
    Monotonic,
    ScriptedTarget,
    firing_values,
    insert_rows,
    make_cronjob,
    make_firing,
    vault,
    work_off,
)


def standing(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: answer[name] for name in STANDING if name in answer}


class Fired:
    """A cron job that fires every minute, at a target that answers as it is told."""

    def __init__(self, store: Store, clock: Clock, job: dict[str, Any]) -> None:
        self.clock = clock
        self.target = ScriptedTarget()
        self.job = job
        self._monotonic = Monotonic()
        self._scheduler = Scheduler(store)
        self._dispatcher = Dispatcher(
            store, vault(), {"scripted": self.target}, monotonic=self._monotonic, chance=lambda: 0.5
        )

    async def fire(self, outcome: Outcome, took: int = 0) -> None:
        def answer(_message: Message) -> Outcome:
            self._monotonic.now += took / SECOND
            return outcome

        self.target.script = answer
        await self._scheduler.tick(self.clock.now)
        await work_off(self._dispatcher)
        self.clock.forward(MINUTE)


async def test_standing__of_a_cronjob_that_fires_fails_and_recovers(
    operations: Tenants, caller: Caller, store: Store, clock: Clock
) -> None:
    fired = Fired(store, clock, await make_cronjob(store, caller.account_id))

    async def shown() -> dict[str, Any]:
        return await operations.get_cronjob(caller.account_id, fired.job["cronjob_id"], standing=True)

    new = standing(await shown())
    nothing = dict.fromkeys(("delivered", "failed", "missed", "skipped"), 0)
    assert new == {
        "health": "new",
        "counts_24h": {"since": "2026-11-23T12:00:00Z", **nothing},
        "counts_7d": {"since": "2026-11-17T12:00:00Z", **nothing},
    }
    await fired.fire(Delivered("m"), took=5 * SECOND // 2)
    answer = await shown()
    assert answer["health"] == "ok"
    last = answer["last_firing"]
    assert last.pop("firing_id")
    assert last == {
        "scheduled_at": "2026-11-24T12:00:00Z",
        "kind": "scheduled",
        "state": "delivered",
        "reason": None,
        "count": 1,
        "finished_at": "2026-11-24T12:00:02.500000Z",
        "lateness_ms": 2500,
    }
    for _ in range(2):
        await fired.fire(Refused("NotFound"))
    answer = await shown()
    assert (answer["health"], answer["health_since"], answer["in_a_row"]) == (
        "failing",
        "2026-11-24T12:01:00Z",
        2,
    )
    assert (answer["last_firing"]["state"], answer["last_firing"]["reason"]) == ("failed", "target_refused")
    assert answer["last_firing"]["lateness_ms"] is None
    assert answer["counts_24h"] == {**nothing, "delivered": 1, "failed": 2, "since": "2026-11-23T12:03:00Z"}
    # A change of its target is no firing.
    await operations.update_cronjob(caller.account_id, fired.job["cronjob_id"], {"name": "other"})
    assert (await shown())["health"] == "failing"
    await fired.fire(Delivered("m"), took=MINUTE + SECOND)
    answer = await shown()
    assert (answer["health"], answer["in_a_row"]) == ("late", 1)
    await fired.fire(Delivered("m"))
    answer = await shown()
    assert answer["health"] == "ok"
    assert not answer.keys() & {"health_since", "in_a_row"}


async def test_standing__what_is_skipped_and_missed_changes_no_health(
    operations: Tenants, caller: Caller, store: Store, clock: Clock
) -> None:
    fired = Fired(store, clock, await make_cronjob(store, caller.account_id))
    await fired.fire(Refused("NotFound"))
    cronjob_id = fired.job["cronjob_id"]
    await operations.pause_cronjob(caller.account_id, cronjob_id, {})
    clock.forward(3 * HOUR)
    await operations.resume_cronjob(caller.account_id, cronjob_id)
    answer = await operations.get_cronjob(caller.account_id, cronjob_id, standing=True)
    assert (answer["health"], answer["in_a_row"]) == ("failing", 1)
    last = answer["last_firing"]
    assert (last["state"], last["reason"], last["count"]) == ("skipped", "paused", 180)
    assert answer["counts_24h"]["skipped"] == answer["counts_7d"]["skipped"] == 180


async def test_standing__a_retry_and_what_is_ahead_are_not_the_last(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    job = await make_cronjob(store, caller.account_id)
    await make_firing(store, job, scheduled_at=NOON - MINUTE, state="delivered", finished_at=NOON - MINUTE)
    await make_firing(store, job, reason="target_unavailable", attempt=1, lease_no=1)
    await make_firing(store, job, scheduled_at=NOON + MINUTE, kind="manual")
    answer = await operations.get_cronjob(caller.account_id, job["cronjob_id"], standing=True)
    assert answer["last_firing"]["scheduled_at"] == "2026-11-24T11:59:00Z"
    assert answer["health"] == "ok"


async def test_list__has_last_firing_and_health_and_counts_when_asked(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    other = await sign_up(operations, "other@example.com")
    theirs = await make_cronjob(store, other.account_id)
    jobs = [await make_cronjob(store, caller.account_id, created_at=NOON - MINUTE + n) for n in range(3)]
    for job in (*jobs[:2], theirs):
        rows = [firing_values(job, scheduled_at=NOON - n, state="delivered") for n in range(3)]
        await insert_rows(store, "firing", rows)
    ill = [
        {"cronjob_id": job["cronjob_id"], "health": "failing", "since": NOON, "in_a_row": 7}
        for job in (jobs[1], theirs)
    ]
    await insert_rows(store, "standing", ill)
    page = await operations.list_cronjobs(caller.account_id, {}, standing=True)
    assert [each["health"] for each in page.items] == ["ok", "failing", "new"]
    assert [each.get("in_a_row") for each in page.items] == [None, 7, None]
    assert ["last_firing" in each for each in page.items] == [True, True, False]
    assert not any("counts_24h" in each or "counts_7d" in each for each in page.items)
    # In two pages, and as one answer in parts.
    sent = {"counts": "true", "limit": "2"}
    first = await operations.list_cronjobs(caller.account_id, sent, standing=True)
    assert first.next_cursor
    sent |= {"cursor": first.next_cursor}
    second = await operations.list_cronjobs(caller.account_id, sent, standing=True)
    paged = [*first.items, *second.items]
    assert [each["counts_24h"]["delivered"] for each in paged] == [3, 3, 0]
    whole = await operations.list_cronjobs(caller.account_id, {"counts": "true"}, standing=True)
    assert whole.items == paged
    for each in paged:
        shown = await operations.get_cronjob(caller.account_id, each["cronjob_id"], standing=True)
        assert each == shown
    with pytest.raises(errors.NotFound):
        await operations.get_cronjob(caller.account_id, theirs["cronjob_id"])


async def test_standing__is_in_no_other_answer(operations: Tenants, caller: Caller, store: Store) -> None:
    job = await make_cronjob(store, caller.account_id)
    account_id, cronjob_id = caller.account_id, job["cronjob_id"]
    for answer in (
        await operations.update_cronjob(account_id, cronjob_id, {"name": "other"}),
        await operations.pause_cronjob(account_id, cronjob_id, {}),
        await operations.resume_cronjob(account_id, cronjob_id),
        await operations.delete_cronjob(account_id, cronjob_id),
    ):
        assert standing(answer) == {}
