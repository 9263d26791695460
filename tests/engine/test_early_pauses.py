"""Pauses that were settled, ended or begun while the clock was ahead: what stands still goes on standing still."""

from __future__ import annotations

from typing import Any

from cronally.cronjob import State
from cronally.instants import DAY, HOUR, MINUTE
from cronally.store import Store, pauses
from cronally.store.cronjobs import Cronjob, get_cronjob, insert_cronjob
from tests.engine.test_early import AHEAD, NOW, SINCE, put_right
from tests.support.factories import cronjob_of, cronjob_values, make_account, read_cronjob, read_firings

BEGAN = SINCE - HOUR
UNTIL = SINCE + 3 * HOUR


async def make_paused(store: Store, **given: Any) -> Cronjob:
    """A cron job of every minute that its owner has paused for an hour, and for three more."""
    account = await make_account(store)
    values: dict[str, Any] = {
        "state": State.PAUSED,
        "next_fire_at": None,
        "updated_at": BEGAN,
        "paused_at": BEGAN,
        "paused_until": UNTIL,
        "paused_by": "key",
        "paused_note": "deploying",
        "wake_at": UNTIL,
        **given,
    }
    job = cronjob_of(cronjob_values(account, **values))
    await store.transact(lambda connection: insert_cronjob(connection, job, None))
    return job


async def wake(store: Store, now: int) -> None:
    await store.transact(lambda connection: pauses.wake(connection, now, 10))


async def ranges(store: Store, job: Cronjob) -> list[tuple[int, int, str | None, int]]:
    return [
        (row.scheduled_at, row.until_at or row.scheduled_at, row.reason, row.count)
        for row in await read_firings(store, job.cronjob_id)
    ]


async def test_put_right__a_pause_that_was_settled_early(store: Store) -> None:
    job = await make_paused(store, paused_until=None, wake_at=NOW)
    await wake(store, SINCE - MINUTE // 2)  # not yet
    await wake(store, AHEAD)
    assert [row[:2] for row in await ranges(store, job)] == [(BEGAN + MINUTE, AHEAD)]
    await put_right(store)
    row = await read_cronjob(store, job.cronjob_id)
    assert (row.state, row.settled_at, row.wake_at) == ("paused", SINCE, NOW + DAY)
    assert await ranges(store, job) == [(BEGAN + MINUTE, SINCE, "paused", 60)]
    await wake(store, NOW + DAY)
    assert (await ranges(store, job))[1:] == [(SINCE + MINUTE, SINCE + DAY, "paused", 24 * 60)]


async def test_put_right__a_pause_that_ended_early_goes_on(store: Store) -> None:
    """And ends at its end."""
    job = await make_paused(store)
    await wake(store, AHEAD)
    assert (await read_cronjob(store, job.cronjob_id)).state == "active"
    await put_right(store)
    row = await read_cronjob(store, job.cronjob_id)
    assert (row.state, row.next_fire_at, row.wake_at, row.updated_by) == ("paused", None, UNTIL, None)
    shown = (row.paused_at, row.paused_until, row.paused_by, row.paused_note)
    assert shown == (BEGAN, UNTIL, "key", "deploying")
    await wake(store, UNTIL + MINUTE)
    assert (await read_cronjob(store, job.cronjob_id)).next_fire_at == UNTIL
    assert await ranges(store, job) == [
        (BEGAN + MINUTE, SINCE, "paused", 60),
        (SINCE + MINUTE, UNTIL - MINUTE, "paused", 179),
    ]


async def test_put_right__a_pause_that_was_resumed_meanwhile_is_over(store: Store) -> None:
    """What it skipped before the clock came back does not fire."""
    job = await make_paused(store, paused_until=None, wake_at=NOW)
    later = AHEAD + MINUTE

    def resume(connection: Any) -> None:
        found = get_cronjob(connection, job.account_id, job.cronjob_id)
        assert found is not None
        pauses.resume(connection, found, later, changed_by="key")

    await store.transact(resume)
    await put_right(store)
    row = await read_cronjob(store, job.cronjob_id)
    assert (row.state, row.next_fire_at) == ("active", SINCE + MINUTE)
    assert await ranges(store, job) == [(BEGAN + MINUTE, SINCE, "paused", 60)]


async def test_put_right__a_pause_that_began_early(store: Store) -> None:
    job = await make_paused(store, paused_at=AHEAD, updated_at=AHEAD, settled_at=AHEAD, paused_until=None)
    await put_right(store)
    row = await read_cronjob(store, job.cronjob_id)
    assert (row.state, row.paused_at, row.updated_at, row.settled_at) == ("paused", NOW, NOW, SINCE)
    await wake(store, row.wake_at)
    (first, *_) = await ranges(store, job)
    assert first[:3] == (SINCE + MINUTE, row.wake_at // MINUTE * MINUTE, "paused")


async def test_put_right__a_pause_whose_end_had_come_is_over(store: Store) -> None:
    job = await make_paused(store, paused_until=SINCE - MINUTE, wake_at=SINCE - MINUTE)
    await wake(store, AHEAD)
    await put_right(store)
    assert (await read_cronjob(store, job.cronjob_id)).state == "active"
