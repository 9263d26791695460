"""The ledger over changes of the clock, on both databases: ticks, audits, edits and outages, against the oracle."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection

from cronally.clock.timetable import timetable
from cronally.cronjob import CatchUp, read_policies
from cronally.engine.janitor import Janitor
from cronally.engine.scheduler import Scheduler
from cronally.instants import DAY, HOUR, MINUTE, SECOND
from cronally.store import Store, schedule, tables
from tests.clock.test_oracle import EXPRESSIONS
from tests.clock.texts import CHANGING, any_text
from tests.support import clock_oracle
from tests.support.factories import Clock, cronjob_values, insert_rows, make_account, read_firings

pytestmark = pytest.mark.sample

ZONES = ["America/New_York", "Australia/Lord_Howe", "America/Havana", "Antarctica/Troll"]


async def make_jobs(store: Store, random: Random, zone: str, start: int) -> list[dict[str, Any]]:
    """Twenty cron jobs of all kinds, created just before `start`."""
    account = await make_account(store)
    rows: list[dict[str, Any]] = []
    while len(rows) < 20:
        text = random.choice(EXPRESSIONS) if random.random() < 0.7 else any_text(random)
        gap = random.choice([None, None, "run_at_jump", "skip", "shift"])
        overlap = random.choice([None, None, "first", "last", "both"])
        following = timetable(text, zone, dst_gap=gap, dst_overlap=overlap).next(start - 1)
        if following is not None:
            given: dict[str, Any] = {"cron": text, "timezone": zone, "dst_gap": gap, "dst_overlap": overlap}
            given |= {"created_at": start - 1, "updated_at": start - 1, "next_fire_at": following}
            given |= {"catch_up": random.choice([*CatchUp]), "misfire_grace": random.choice([0, HOUR, DAY])}
            rows.append(cronjob_values(account, secret=None, **given))
    await insert_rows(store, "cronjob", rows)
    return rows


async def edit(store: Store, job: dict[str, Any], now: int) -> None:
    """What an edit does that changes nothing but the version."""

    def work(connection: Connection) -> None:
        schedule.record_settled(connection, job["cronjob_id"], now)
        table = tables.cronjob
        found = table.c.cronjob_id == job["cronjob_id"]
        connection.execute(table.update().where(found).values(updated_at=now, version=table.c.version + 1))

    await store.transact(work)


async def check(store: Store, clock: Clock, zone: str, year: int, random: Random) -> None:
    for start, stop in clock_oracle.windows(zone, year, year, 90):
        jobs = await make_jobs(store, random, zone, start * MINUTE)
        scheduler, janitor = Scheduler(store), Janitor(store, retention=30 * DAY)
        clock.now, end = start * MINUTE, stop * MINUTE - 1
        while clock.now < end:
            pause = random.choice([SECOND, MINUTE, 10 * MINUTE, HOUR, 4 * HOUR])
            clock.now = min(clock.now + random.randint(0, pause), end)
            if random.random() < 0.3:
                await janitor.step()
            if random.random() < 0.2:
                for job in random.sample(jobs, 3):
                    await edit(store, job, clock.now)
            # None of the oracle's windows holds what comes next: tick until nothing of this one is due.
            while (await scheduler.tick(clock.now)).more:
                pass
        assert janitor.done.repaired == janitor.done.moved == 0
        for job in jobs:
            await edit(store, job, end)
            rows = await read_firings(store, job["cronjob_id"])
            gap, overlap, *_ = read_policies(job["policies"])
            wanted = clock_oracle.expected(job["cron"], zone, start, stop, gap, overlap)
            clock_oracle.assert_covers(rows, wanted)
        # Out of the way of the next change.
        await store.transact(
            lambda connection: connection.execute(tables.cronjob.update().values(next_fire_at=None)) and None
        )
        await store.transact(
            lambda connection: connection.execute(tables.cronjob.update().values(state="paused")) and None
        )


@pytest.mark.parametrize("zone", ZONES)
async def test_ledger__covers_everything_once(store: Store, clock: Clock, zone: str) -> None:
    await check(store, clock, zone, 2026, Random(zone))


@pytest.mark.slow
@pytest.mark.parametrize("zone", CHANGING)
async def test_ledger__covers_everything_once_over_years(store: Store, clock: Clock, zone: str) -> None:
    random = Random(zone)
    for year in random.sample(range(2000, 2040), 4):
        await check(store, clock, zone, year, random)
