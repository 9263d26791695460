"""New zone data: what they move is moved, once, and told; a node with older ones stands still."""

from __future__ import annotations

from typing import Any

import pytest

from cronally.clock import zones
from cronally.clock.timetable import timetable
from cronally.cronjob import State
from cronally.engine.janitor import AUDITED, PAUSE_BEHIND, PAUSE_DONE, Janitor
from cronally.engine.scheduler import Scheduler
from cronally.instants import DAY, HOUR, MINUTE, SECOND, format_iso, parse_iso
from cronally.store import Store, zonedata
from cronally.store.heartbeats import get_health
from tests.support.factories import (
    NOON,
    Clock,
    cronjob_values,
    insert_rows,
    make_account,
    make_cronjob,
    make_firing,
    read_cronjob,
    read_firing,
    read_firings,
)
from tests.support.zone_data import NEWER, OLDER, always, release, with_change

pytestmark = pytest.mark.sample

BERLIN = "Europe/Berlin"
EIGHT = parse_iso("2026-11-25T07:00:00Z")
"""08:00 in Berlin, by the packaged data."""
EAST = {BERLIN: always(2 * 3600)}
"""Berlin keeps the summer's offset all the year."""
WEST = {BERLIN: always(0)}


async def make_daily(store: Store, **given: Any) -> dict[str, Any]:
    values = {"cron": "0 8 * * *", "timezone": BERLIN, "tzdata": OLDER, "next_fire_at": EIGHT, **given}
    return await make_cronjob(store, **values)


async def record(store: Store, version: str) -> None:
    await store.transact(lambda connection: zonedata.record_version(connection, version, NOON))


async def audit(store: Store, now: int = NOON) -> Janitor:
    janitor = Janitor(store, retention=30 * DAY)
    while not await janitor.audit(now):
        pass
    return janitor


async def test_recompute__moves_a_next_fire_time_and_says_so(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    job = await make_daily(store)
    with release(NEWER, EAST):
        janitor = await audit(store)
    assert (janitor.done.moved, janitor.done.repaired) == (1, 0)
    row = await read_cronjob(store, job["cronjob_id"])
    assert (row.next_fire_at, row.tzdata, row.version, row.updated_at) == (EIGHT - HOUR, NEWER, 2, NOON)
    assert row.state == State.ACTIVE
    assert row.state_reason == (
        f"tzdata {NEWER} moved the next fire time from 2026-11-25T07:00:00Z to 2026-11-25T06:00:00Z."
    )
    (line,) = [one for one in caplog.records if one.message == "zone data moved a next fire time"]
    assert line.__dict__["cronjob_id"] == job["cronjob_id"]
    assert (line.__dict__["was"], line.__dict__["is"]) == (format_iso(EIGHT), format_iso(EIGHT - HOUR))


async def test_recompute__what_stays_gets_the_version_and_no_more(store: Store) -> None:
    job, utc = await make_daily(store), await make_daily(store, timezone="UTC", next_fire_at=EIGHT + HOUR)
    with release(NEWER, {"Asia/Tokyo": always(0)}):
        assert (await audit(store)).done.moved == 0
    row = await read_cronjob(store, job["cronjob_id"])
    assert (row.next_fire_at, row.tzdata, row.version, row.state_reason) == (EIGHT, NEWER, 1, None)
    assert row.updated_at == job["updated_at"]
    assert (await read_cronjob(store, utc["cronjob_id"])).tzdata == OLDER


async def test_recompute__back_to_older_data(store: Store) -> None:
    """The version need not be greater, only another one: an operator may go back."""
    job = await make_daily(store, tzdata=NEWER, next_fire_at=EIGHT - HOUR)
    assert (await audit(store)).done.moved == 1
    assert (await read_cronjob(store, job["cronjob_id"])).next_fire_at == EIGHT


async def test_recompute__what_is_due_fires_as_foretold(store: Store) -> None:
    job = await make_daily(store)
    with release(NEWER, WEST):
        assert (await audit(store, EIGHT)).done.moved == 0
        await Scheduler(store).tick(EIGHT)
        row = await read_cronjob(store, job["cronjob_id"])
        assert (row.next_fire_at, row.tzdata) == (EIGHT + HOUR, NEWER)
    assert (await read_firing(store, job["cronjob_id"])).scheduled_at == EIGHT


async def test_recompute__what_should_have_fired_is_due_at_once(store: Store) -> None:
    job = await make_daily(store)
    await make_firing(store, job, scheduled_at=EIGHT - DAY, state="delivered")
    now = EIGHT - 20 * MINUTE
    with release(NEWER, EAST):
        await audit(store, now)
        assert (await read_cronjob(store, job["cronjob_id"])).next_fire_at == EIGHT - HOUR
        await Scheduler(store).tick(now)
        assert (await read_cronjob(store, job["cronjob_id"])).next_fire_at == EIGHT - HOUR + DAY
    assert [row.scheduled_at for row in await read_firings(store)] == [EIGHT - DAY, EIGHT - HOUR]


async def test_recompute__what_has_fired_does_not_fire_again_an_hour_later(store: Store) -> None:
    job = await make_daily(store, next_fire_at=EIGHT + DAY)
    await make_firing(store, job, scheduled_at=EIGHT, state="delivered")
    with release(NEWER, WEST):
        await audit(store, EIGHT + 3 * HOUR)
    assert (await read_cronjob(store, job["cronjob_id"])).next_fire_at == EIGHT + DAY + HOUR


async def test_recompute__a_change_of_the_past_alone_fires_nothing_again(store: Store) -> None:
    """Yesterday's fire time was an hour later by the new data, today's is the same."""
    job = await make_daily(store, next_fire_at=EIGHT + DAY)
    await make_firing(store, job, scheduled_at=EIGHT, state="delivered")
    now = EIGHT + 3 * HOUR
    with release(NEWER, {BERLIN: with_change(0, (EIGHT + 2 * HOUR) // SECOND, 3600)}):
        for _ in range(2):
            janitor = await audit(store, now)
            assert (janitor.done.moved, janitor.done.repaired) == (0, 0)
        assert (await read_cronjob(store, job["cronjob_id"])).next_fire_at == EIGHT + DAY


async def test_recompute__a_yearly_one_whose_rows_are_deleted_does_not_fire_a_year_late(store: Store) -> None:
    at = parse_iso("2027-11-24T07:00:00Z")
    job = await make_daily(store, cron="0 8 24 11 *", next_fire_at=at, updated_at=NOON - 700 * DAY)
    with release(NEWER, EAST):
        await audit(store, NOON)
    assert (await read_cronjob(store, job["cronjob_id"])).next_fire_at == at - HOUR


async def test_recompute__nothing_left_to_fire(store: Store) -> None:
    # 02:30 does not exist any more on the only day.
    jump = parse_iso("2026-12-24T01:00:00Z")
    job = await make_daily(
        store, cron="cron(30 2 24 12 ? 2026)", dst_gap="skip", next_fire_at=jump + 30 * MINUTE
    )
    with release(NEWER, {BERLIN: with_change(3600, jump // SECOND, 7200)}):
        await audit(store)
    row = await read_cronjob(store, job["cronjob_id"])
    assert (row.state, row.next_fire_at, row.version) == (State.COMPLETED, None, 2)
    assert "to none" in row.state_reason


async def test_recompute__settles_what_was_suppressed(store: Store) -> None:
    autumn = parse_iso("2026-10-25T01:00:00Z")
    job = await make_daily(
        store,
        cron="30 2 * * *",
        next_fire_at=autumn + DAY + 30 * MINUTE,
        updated_at=autumn - DAY,
    )
    await make_firing(store, job, scheduled_at=autumn - 30 * MINUTE, state="delivered")
    with release(NEWER, {BERLIN: with_change(7200, autumn // SECOND, 3600 - 900)}):
        assert (await audit(store, autumn + 3 * HOUR)).done.moved == 1
        rows = await read_firings(store, job["cronjob_id"])
        assert [(row.scheduled_at, row.reason) for row in rows[1:]] == [
            (autumn + 45 * MINUTE, "dst_overlap=first")
        ]
        await Scheduler(store).tick(autumn + 30 * HOUR)
    assert len(await read_firings(store, job["cronjob_id"])) == 3


async def test_recompute__a_zone_that_is_no_more_is_set_aside_when_due(store: Store) -> None:
    job = await make_daily(store, timezone="Europe/Atlantis")
    other = await make_daily(store, timezone="Asia/Tokyo", next_fire_at=EIGHT + 16 * HOUR)
    with release(NEWER):
        await audit(store)
        await Scheduler(store).tick(EIGHT)
    row = await read_cronjob(store, job["cronjob_id"])
    assert (row.state, row.next_fire_at) == (State.PAUSED, None)
    assert "Europe/Atlantis" in row.state_reason
    assert (await read_cronjob(store, other["cronjob_id"])).tzdata == NEWER


async def test_node__with_older_zone_data_does_not_tick(
    store: Store, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    await record(store, OLDER)
    await record(store, NEWER)
    job = await make_daily(store, next_fire_at=NOON)
    scheduler = Scheduler(store, node="old")

    def told() -> int:
        return sum("does not tick" in one.message for one in caplog.records)

    for second in range(60):
        clock.now = NOON + second * SECOND
        assert await scheduler.step() is None
    assert told() == 1
    clock.now = NOON + MINUTE
    await scheduler.step()
    assert told() == 2
    assert not await read_firings(store, job["cronjob_id"])
    health = await store.transact(get_health)
    assert (health.tzdata, health.ticked_at) == (NEWER, None)
    with release(NEWER):
        await Scheduler(store, node="new").step()
    assert (await read_firing(store, job["cronjob_id"])).scheduled_at == NOON
    assert (await store.transact(get_health)).ticked_at == clock.now


async def test_node__with_older_zone_data_audits_nothing(store: Store) -> None:
    await record(store, NEWER)
    job = await make_daily(store, next_fire_at=EIGHT - HOUR, tzdata=NEWER)
    lost = await make_cronjob(store, next_fire_at=None)
    janitor = await audit(store)
    assert (janitor.done.moved, janitor.done.repaired) == (0, 0)
    assert (await read_cronjob(store, job["cronjob_id"])).next_fire_at == EIGHT - HOUR
    assert (await read_cronjob(store, lost["cronjob_id"])).next_fire_at is None


async def test_node__that_an_older_one_overtook_mends_it(store: Store) -> None:
    """An older node that serves the API stores what it computed, with its version beside it."""
    with release(NEWER, EAST):
        await record(store, NEWER)
        await audit(store)
        job = await make_daily(store, tzdata=OLDER)
        assert (await audit(store)).done.moved == 1
        assert (await read_cronjob(store, job["cronjob_id"])).next_fire_at == EIGHT - HOUR


async def test_janitor__hurries_until_new_zone_data_are_applied(store: Store, clock: Clock) -> None:
    account = await make_account(store)
    rows = [
        cronjob_values(
            account, cron="0 8 * * *", timezone=BERLIN, tzdata=OLDER, next_fire_at=EIGHT, secret=None
        )
        for _ in range(AUDITED + 1)
    ]
    await insert_rows(store, "cronjob", rows)
    with release(NEWER, EAST):
        await record(store, NEWER)
        janitor = Janitor(store, retention=30 * DAY)
        assert await janitor.step() == PAUSE_BEHIND
        assert await janitor.step() == PAUSE_DONE
        assert janitor.done.moved == AUDITED + 1
        again = Janitor(store, retention=30 * DAY)
        assert await again.step() != PAUSE_BEHIND
        assert not await store.transact(lambda connection: zonedata.is_unapplied(connection, NEWER))


def test_zones__hold_what_they_were_when_the_package_changes() -> None:
    swapped = {"Europe/Rome": always(3600)}
    with release(NEWER, swapped):
        zones.hold()
        swapped["Europe/Rome"] = always(7200)
        assert timetable("0 8 * * *", "Europe/Rome").next(NOON) == EIGHT
        assert zones.version() == NEWER
        assert len(zones.names()) > 590
    assert zones.version() != NEWER


def test_zones__another_release_makes_other_timetables() -> None:
    before = timetable("0 8 * * *", BERLIN)
    with release(NEWER, EAST):
        assert timetable("0 8 * * *", BERLIN) is not before
        assert timetable("0 8 * * *", BERLIN).next(NOON) == EIGHT - HOUR
    assert timetable("0 8 * * *", BERLIN).next(NOON) == EIGHT
