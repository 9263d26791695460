"""Changing and deleting cron jobs that have a backlog: each transaction writes few rows, and none is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from cronally import errors
from cronally.engine.scheduler import Scheduler
from cronally.fairness import ASKER
from cronally.instants import MINUTE
from cronally.operations import Caller
from cronally.store import Store, schedule, tables
from tests.operations.explained import Explained
from tests.operations.tenant import Tenants
from tests.support.factories import NOON, Clock, read_cronjob, read_firings

BACKLOG = 440
"""Minutes."""
NOW = NOON + BACKLOG * MINUTE
MOST = 200
"""Rows that one transaction may write of one cron job."""


class Watched:
    """What each unit of work did to the ledger, and what comes in between."""

    def __init__(self) -> None:
        self.written: list[int] = []
        self.between: Callable[[], Awaitable[object]] | None = None


@pytest.fixture
def watched(store: Store, monkeypatch: pytest.MonkeyPatch) -> Watched:
    watched, transact = Watched(), store.transact

    def count(connection: Connection) -> tuple[int, int]:
        finished = func.count(tables.firing.c.finished_at)
        row = connection.execute(select(func.count(), finished).select_from(tables.firing)).one()
        return row[0], row[1]

    async def counting(work: Callable[[Connection], Any]) -> Any:
        changed = [0]

        def counted(connection: Connection) -> Any:
            before = count(connection)
            result = work(connection)
            after = count(connection)
            changed[0] = max(after[0] - before[0], after[1] - before[1])
            return result

        result = await transact(counted)
        watched.written.append(changed[0])
        between, watched.between = watched.between, None
        if between is not None:
            await between()
        return result

    monkeypatch.setattr(store, "transact", counting)
    return watched


@pytest.fixture
async def job(operations: Tenants, caller: Caller, store: Store, clock: Clock) -> Explained:
    """One that fires each minute, after an outage of hours."""
    job = Explained(operations, caller, store, clock)
    await job.create("* * * * *", "2026-11-24T11:59:30Z", catch_up="all", misfire_grace="30d")
    assert (await read_cronjob(store, job.cronjob_id)).next_fire_at == NOON
    clock.now = NOW
    return job


class Turns:
    """An asker that counts how often it let others go on."""

    asker = "somebody"

    def __init__(self) -> None:
        self.settled = self.taken = 0

    def count(self, seconds: float) -> None:
        """Of no interest here."""

    def settle(self) -> None:
        self.settled += 1

    async def take(self) -> None:
        assert self.settled == self.taken + 1
        self.taken += 1


@pytest.mark.parametrize("asked", ["change", "pause", "delete"])
async def test_backlog__each_part_waits_for_its_turn(
    operations: Tenants,
    caller: Caller,
    store: Store,
    job: Explained,
    watched: Watched,
    monkeypatch: pytest.MonkeyPatch,
    asked: str,
) -> None:
    """A hundred such requests at once would keep all others waiting, whatever the store lets in between."""
    if asked == "delete":
        monkeypatch.setattr(schedule, "SKIPPED_ROWS", 100)
        while (await Scheduler(store).tick(NOW)).more:
            pass
        watched.written.clear()
    turns = Turns()
    token = ASKER.set(turns)
    try:
        if asked == "delete":
            await operations.delete_cronjob(caller.account_id, job.cronjob_id)
        elif asked == "pause":
            await operations.pause_cronjob(caller.account_id, job.cronjob_id, {})
        else:
            await operations.update_cronjob(caller.account_id, job.cronjob_id, {"cron": "30 * * * *"})
    finally:
        ASKER.reset(token)
    parts = sum(bool(written) for written in watched.written)
    assert parts > 3
    assert turns.taken == turns.settled >= parts - 2


async def fired(store: Store, job: Explained) -> list[int]:
    rows = await read_firings(store, job.cronjob_id)
    assert {row.count for row in rows} <= {1}
    return [row.scheduled_at for row in rows]


async def test_change__of_the_timetable_settles_a_backlog_in_parts(
    job: Explained, store: Store, watched: Watched
) -> None:
    answer = await job.change("2026-11-24T19:20:00Z", cron="30 * * * *", name="Other")
    assert max(watched.written) <= MOST
    assert sum(watched.written) == BACKLOG + 1
    assert await fired(store, job) == list(range(NOON, NOW + 1, MINUTE))
    assert (answer["version"], answer["name"], answer["next_fire_at"]) == (
        2,
        "Other",
        "2026-11-24T19:30:00Z",
    )


async def test_change__a_tick_and_another_change_get_in_between(
    job: Explained, store: Store, watched: Watched
) -> None:
    async def tick() -> None:
        watched.between = change
        await Scheduler(store).tick(NOW)

    async def change() -> None:
        await job.change("2026-11-24T19:20:00Z", cron="15 * * * *")

    watched.between = tick
    answer = await job.change("2026-11-24T19:20:00Z", timezone="Asia/Kolkata")
    assert max(watched.written) <= MOST
    assert await fired(store, job) == list(range(NOON, NOW + 1, MINUTE))
    row = await read_cronjob(store, job.cronjob_id)
    assert (row.version, row.cron, row.timezone) == (3, "15 * * * *", "Asia/Kolkata")
    assert answer["version"] == 3
    assert row.next_fire_at == NOW + 25 * MINUTE


async def test_change__of_one_that_is_deleted_meanwhile_is_refused(
    job: Explained, store: Store, watched: Watched
) -> None:
    watched.between = lambda: job.delete("2026-11-24T19:20:00Z")
    with pytest.raises(errors.NotFound):
        await job.change("2026-11-24T19:20:00Z", cron="30 * * * *")
    rows = await read_firings(store, job.cronjob_id)
    assert sum(row.count for row in rows) == BACKLOG + 1
    assert {row.state for row in rows} == {"skipped"}


@pytest.mark.parametrize("change", [{"name": "Other"}, {"max_age": "2h"}, {"sns_message": "Other"}])
async def test_change__of_something_else_settles_nothing(
    job: Explained, store: Store, watched: Watched, change: dict[str, str]
) -> None:
    answer = await job.change("2026-11-24T19:20:00Z", **change)
    assert sum(watched.written) == 0
    assert (answer["version"], answer["next_fire_at"]) == (2, "2026-11-24T12:00:00Z")
    for at in ("2026-11-24T13:00:00Z", "2026-11-24T19:20:00Z"):
        found = await job.ask(at)
        assert (found["finding"], found["version"]) == ("due", 1)
    assert (await job.ask("2026-11-24T19:20:30Z"))["previous_at"] == "2026-11-24T19:20:00Z"
    await job.tick(NOW)
    assert await fired(store, job) == list(range(NOON, NOW + 1, MINUTE))


async def test_change__of_the_name_leaves_a_range_trusted(job: Explained, store: Store) -> None:
    """The range is written by the version after, which fires as the one before did."""
    await job.change("2026-11-24T12:00:00Z", cron="0 * * * *", catch_up="skip")
    await job.change("2026-11-24T18:30:00Z", name="Other")
    await job.tick("2026-11-24T19:20:00Z")
    answer = await job.ask("2026-11-24T15:30:00Z")
    assert (answer["finding"], answer["version"]) == ("no_fire_time", 2)
    assert (answer["previous_at"], answer["next_at"]) == ("2026-11-24T15:00:00Z", "2026-11-24T16:00:00Z")


async def test_delete__of_a_backlog_skips_it_in_parts(job: Explained, store: Store, watched: Watched) -> None:
    late = NOW + 1100 * MINUTE
    await job.tick(late)
    watched.written.clear()
    await job.delete("2026-11-25T13:40:00Z")
    assert max(watched.written) <= 500
    assert {row.state for row in await read_firings(store, job.cronjob_id)} == {"skipped"}


async def test_pause__settles_a_backlog_in_parts(job: Explained, store: Store, watched: Watched) -> None:
    """A tick in between writes what is its own, and nothing is written twice."""

    async def tick() -> None:
        await Scheduler(store).tick(NOW)

    watched.between = tick
    answer = await job.pause("2026-11-24T19:20:00Z")
    assert max(watched.written) <= MOST
    assert await fired(store, job) == list(range(NOON, NOW + 1, MINUTE))
    assert (answer["state"], answer["version"], answer["paused_at"]) == ("paused", 2, "2026-11-24T19:20:00Z")
