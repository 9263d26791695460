"""How firings ended: the counts are those of all rows, and are read from indexes."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Connection

from cronally.instants import DAY, HOUR, MINUTE, SECOND
from cronally.store import Store, counts
from cronally.store.counts import Counts, count_firings
from tests.support.factories import (
    NOON,
    analyze,
    explain,
    firing_values,
    insert_rows,
    make_account,
    make_cronjob,
    make_firing,
)

ENDED = ("delivered", "failed", "missed", "skipped")


async def count(store: Store, job: dict[str, Any], now: int = NOON) -> tuple[Counts, Counts]:
    return await store.transact(
        lambda connection: count_firings(
            connection, job["account_id"], job["cronjob_id"], now, (now - DAY, now - 7 * DAY)
        )
    )


def counted(rows: list[dict[str, Any]], since: int, now: int = NOON) -> Counts:
    """Every fire time of every row, one by one; those of a range as far from each other as they can be."""
    found: Counter[str] = Counter()
    for row in rows:
        first, count = row["scheduled_at"], row["count"]
        apart = (row["until_at"] - first) // (count - 1) if count > 1 else 0
        times = [first + number * apart for number in range(count)]
        if first <= now and row["due_at"] is None:
            found[row["state"]] += sum(since <= at for at in times)
    return Counts(since, *(found[state] for state in ENDED))


def make_rows(job: dict[str, Any], chance: random.Random) -> list[dict[str, Any]]:
    """A ledger of nine days, with ranges that reach into both spans, and with what is open and to come."""
    rows = []
    at = NOON - 9 * DAY
    while at < NOON + HOUR:
        state = chance.choice([*ENDED, "pending", "sending"])
        many = state in ("missed", "skipped") and chance.random() < 0.5 and at < NOON - 5 * HOUR
        number = chance.randint(2, 40) if many else 1
        last = at + (number - 1) * 17 * MINUTE
        if last > NOON:
            number, last = 1, at
        rows.append(
            firing_values(job, scheduled_at=at, state=state, count=number, until_at=last if many else None)
        )
        if chance.random() < 0.3:
            state = chance.choice([*ENDED, "pending"])
            rows.append(firing_values(job, scheduled_at=at + 1, state=state, kind="manual"))
        at = last + chance.choice([MINUTE, 20 * MINUTE, 3 * HOUR])
    return rows


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("most_open", [0, counts.OPEN_LOOKED])
async def test_counts__are_those_of_all_rows(
    store: Store, monkeypatch: pytest.MonkeyPatch, seed: int, most_open: int
) -> None:
    """Both ways: by what the indexes have, and, where much is open, by the rows."""
    monkeypatch.setattr(counts, "OPEN_LOOKED", most_open)
    chance = random.Random(seed)
    account_id = await make_account(store)
    job, other = [await make_cronjob(store, account_id) for _ in range(2)]
    rows = make_rows(job, chance)
    await insert_rows(store, "firing", rows)
    await insert_rows(store, "firing", make_rows(other, chance))
    for now in (NOON, NOON - 7 * MINUTE, NOON + 2 * HOUR):
        day, week = await count(store, job, now)
        assert day == counted(rows, now - DAY, now)
        assert week == counted(rows, now - 7 * DAY, now)


async def test_counts__of_a_cronjob_that_has_no_firings(store: Store) -> None:
    job = await make_cronjob(store)
    assert await count(store, job) == (
        Counts(NOON - DAY, 0, 0, 0, 0),
        Counts(NOON - 7 * DAY, 0, 0, 0, 0),
    )


async def test_counts__of_more_than_are_counted_begin_later(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts, "COUNTED", 20)
    job = await make_cronjob(store)
    rows = [
        firing_values(job, scheduled_at=NOON - hour * HOUR, state=ENDED[hour % 2], kind=kind)
        for hour in range(30)
        for kind in ("scheduled", "manual")
    ]
    await insert_rows(store, "firing", rows)
    day, week = await count(store, job)
    assert day == week == counted(rows, NOON - 10 * HOUR + 1)
    await insert_rows(
        store,
        "firing",
        [firing_values(job, scheduled_at=NOON - SECOND * n - 1, state="delivered") for n in range(9)],
    )
    day, week = await count(store, job)
    assert sum((day.delivered, day.failed)) <= 20
    assert day == week
    assert day.since > NOON - 6 * HOUR
    monkeypatch.setattr(counts, "COUNTED", 69)
    day, week = await count(store, job)
    assert week == Counts(NOON - 7 * DAY, 39, 30, 0, 0)


async def test_counts__range_with_many_manual_firings_after_its_beginning(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await make_cronjob(store)
    until = NOON - DAY + HOUR
    await make_firing(store, job, scheduled_at=until - 10 * HOUR, until_at=until, count=11, state="missed")
    rows = [
        firing_values(job, scheduled_at=NOON - DAY - n * SECOND - 1, kind="manual", state="failed")
        for n in range(4)
    ]
    await insert_rows(store, "firing", rows)
    day, week = await count(store, job)
    assert (day.missed, day.failed, week.missed, week.failed) == (2, 0, 11, 4)
    monkeypatch.setattr(counts, "ACROSS_LOOKED", 4)
    assert (await count(store, job))[0].missed == 0, "no further than it is looked for"


async def test_counts__are_read_from_indexes(store: Store, request: pytest.FixtureRequest) -> None:
    account_id = await make_account(store)
    for each in range(5):
        job = await make_cronjob(store, account_id)
        rows = [
            firing_values(
                job,
                scheduled_at=NOON - minute * MINUTE,
                state="failed" if minute % 100 == each else "delivered",
            )
            for minute in range(3000)
        ]
        await insert_rows(store, "firing", rows)
    await analyze(store)
    if "postgres" in request.node.name:
        url = request.getfixturevalue("migrated_postgres_url")
        connection = await asyncpg.connect(url)
        try:
            # What is committed and not written to the log yet is not known to be visible.
            await connection.execute("CHECKPOINT")
            await connection.execute("VACUUM ANALYZE firing")
        finally:
            await connection.close()

    def work(connection: Connection) -> None:
        count_firings(connection, account_id, job["cronjob_id"], NOON, (NOON - DAY, NOON - 7 * DAY))

    beyond, all_, *across = await explain(store, work)
    for plan in (beyond, all_):
        lines = plan.splitlines()
        read = [line for line in lines if "firing" in line and ("SEARCH" in line or "Scan" in line)]
        assert read
        for line in read:
            if "ix_firing_due" in line:
                continue  # what is open is few
            assert "COVERING INDEX" in line or "Index Only Scan" in line, plan
    assert all_.count("ix_firing_undelivered_of") == 2, all_
    assert all("ix_firing_undelivered_of" in plan for plan in across), across
    assert all("Sort" not in plan for plan in (beyond, *across))
