"""The last firing of each of several cron jobs: what ended last, found without reading what is behind it."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection

from cronally.instants import DAY, MINUTE
from cronally.store import Store, last_firings
from cronally.store.last_firings import LastFiring, list_last_firings
from tests.support.factories import (
    NOON,
    analyze,
    cronjob_values,
    explain,
    firing_values,
    insert_rows,
    make_account,
    make_cronjob,
    make_firing,
)


async def last(store: Store, *jobs: dict[str, Any], now: int = NOON) -> dict[str, LastFiring]:
    ids = [job["cronjob_id"] for job in jobs]
    return await store.transact(
        partial(list_last_firings, account_id=jobs[0]["account_id"], cronjob_ids=ids, now=now)
    )


async def test_last__is_the_newest_that_has_ended(store: Store) -> None:
    chance = random.Random(5)
    account_id = await make_account(store)
    jobs = [await make_cronjob(store, account_id) for _ in range(12)]
    rows = [
        firing_values(job, scheduled_at=NOON - minute * MINUTE, kind=kind, state=state, count=minute + 1)
        for job in jobs[1:]
        for minute in range(-3, 6)
        for kind in ("scheduled", "manual")
        if chance.random() < 0.4
        for state in [chance.choice(["pending", "sending", "delivered", "failed", "missed", "skipped"])]
    ]
    await insert_rows(store, "firing", rows)
    found = await last(store, *jobs)
    assert len(found) > 6
    for job in jobs:
        past = [row for row in rows if row["cronjob_id"] == job["cronjob_id"] and row["scheduled_at"] <= NOON]
        ended = [row for row in past if row["due_at"] is None]
        among = ended or past
        if not among:
            assert job["cronjob_id"] not in found
            continue
        right = max(among, key=lambda row: (row["scheduled_at"], row["kind"]))
        one = found[job["cronjob_id"]]
        assert (one.scheduled_at, one.kind, one.state) == tuple(
            right[name] for name in ("scheduled_at", "kind", "state")
        )
        assert one.has_ended is bool(ended)


@pytest.mark.parametrize(("oldest", "has_ended"), [("delivered", True), ("pending", False)])
async def test_last__where_all_that_is_looked_at_is_open(
    store: Store, monkeypatch: pytest.MonkeyPatch, oldest: str, has_ended: bool
) -> None:
    monkeypatch.setattr(last_firings, "LOOKED", 5)
    job = await make_cronjob(store)
    await make_firing(store, job, scheduled_at=NOON - DAY, state=oldest)
    rows = [firing_values(job, scheduled_at=NOON - minute * MINUTE) for minute in range(4)]
    await insert_rows(store, "firing", rows)
    (found,) = (await last(store, job)).values()
    expected = (NOON - DAY, "delivered") if has_ended else (NOON, "pending")
    assert (found.scheduled_at, found.state, found.has_ended) == (*expected, has_ended)
    await make_firing(store, job, scheduled_at=NOON - HALF_AN_HOUR)
    (found,) = (await last(store, job)).values()
    assert (found.scheduled_at, found.state, found.has_ended) == (NOON, "pending", has_ended)


HALF_AN_HOUR = 30 * MINUTE


async def test_last__is_the_accounts_own(store: Store) -> None:
    job = await make_cronjob(store)
    mine = await make_cronjob(store)
    await make_firing(store, job, state="delivered")
    assert await last(store, {**mine, "cronjob_id": job["cronjob_id"]}) == {}
    assert len(await last(store, job)) == 1


async def test_last__is_found_by_the_key(store: Store) -> None:
    account_id = await make_account(store)
    jobs = [cronjob_values(account_id, secret=None) for _ in range(20)]
    await insert_rows(store, "cronjob", jobs)
    rows = [
        firing_values(job, scheduled_at=NOON - minute * MINUTE, state="delivered")
        for job in jobs
        for minute in range(200)
    ]
    await insert_rows(store, "firing", rows)
    await analyze(store)
    ids = [job["cronjob_id"] for job in jobs]

    def work(connection: Connection) -> None:
        list_last_firings(connection, account_id, [*ids, "00000000-0000-4000-8000-000000000000"], NOON)

    plans = await explain(store, work)
    assert len(plans) == 2
    for plan in plans:
        assert "Seq Scan on firing" not in plan, plan
        assert "SCAN firing" not in plan, plan
        assert "SCAN g" not in plan, plan
        assert "Sort" not in plan, plan
