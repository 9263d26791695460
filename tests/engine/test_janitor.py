"""The janitor: the audit repairs what a jumping clock left behind and nothing else; retention keeps what is open."""

from __future__ import annotations

import asyncio
import itertools
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from sqlalchemy import Connection, update

from cronally.clock import zones
from cronally.clock.dst import DstGap, DstOverlap
from cronally.clock.timetable import timetable
from cronally.engine.janitor import BATCH, PAUSE, PAUSE_BEHIND, PAUSE_DONE, Janitor, _misplaced
from cronally.engine.scheduler import Scheduler
from cronally.firing import Reason
from cronally.instants import DAY, HOUR, MINUTE, SECOND, parse_iso
from cronally.store import Signal, Store, horizon, open_store, tables, upkeep
from cronally.store.upkeep import Audited
from tests.cron.cron_texts import expressions
from tests.support.examples import examples
from tests.support.factories import (
    NOON,
    Clock,
    analyze,
    cronjob_values,
    encode_policies,
    explain,
    firing_values,
    insert_rows,
    make_account,
    make_cronjob,
    make_firing,
    read_attempts,
    read_cronjob,
    read_firings,
)

KEPT = 30 * DAY


def janitor(store: Store) -> Janitor:
    return Janitor(store, retention=KEPT)


async def audit_all(store: Store, now: int) -> Janitor:
    """A whole round of the audit."""
    one = janitor(store)
    while not await one.audit(now):
        pass
    return one


async def expire_all(store: Store, now: int) -> Janitor:
    """A whole round of retention."""
    one = janitor(store)
    while not await one.expire(now):
        pass
    return one


async def next_fire_at(store: Store, job: dict[str, Any]) -> int | None:
    value: int | None = (await read_cronjob(store, job["cronjob_id"])).next_fire_at
    return value


@pytest.mark.parametrize("wrong", [None, NOON + DAY, NOON + MINUTE])
async def test_audit__repairs_what_is_missing_or_too_late(
    store: Store, wrong: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Made at 11:59:00, it owes 12:00 first."""
    job = await make_cronjob(store, next_fire_at=wrong)
    woken = store.subscribe(Signal.CRONJOBS)
    done = (await audit_all(store, NOON + HOUR)).done
    assert await next_fire_at(store, job) == NOON
    assert (done.audited, done.repaired) == (1, 1)
    assert woken.is_set()
    assert "a next fire time was repaired" in caplog.text
    assert (await read_cronjob(store, job["cronjob_id"])).version == 1


@pytest.mark.parametrize("right", [NOON - HOUR, NOON - 1, NOON])
async def test_audit__leaves_what_is_right_or_early(store: Store, right: int) -> None:
    job = await make_cronjob(store, next_fire_at=right)
    assert (await audit_all(store, NOON + HOUR)).done.repaired == 0
    assert await next_fire_at(store, job) == right


async def test_audit__goes_on_from_what_the_ledger_covers(store: Store) -> None:
    job = await make_cronjob(store, next_fire_at=NOON + DAY)
    await make_firing(store, job, scheduled_at=NOON, state="delivered")
    await make_firing(
        store, job, scheduled_at=NOON + MINUTE, until_at=NOON + 9 * MINUTE, count=9, state="missed"
    )
    # A firing by hand covers no fire time.
    await make_firing(store, job, scheduled_at=NOON + 30 * MINUTE, kind="manual", state="delivered")
    await audit_all(store, NOON + HOUR)
    assert await next_fire_at(store, job) == NOON + 10 * MINUTE


async def test_audit__ledger_that_reaches_into_the_future_is_no_cover(store: Store) -> None:
    """The clock was a day ahead, a tick covered the day, and the clock came back."""
    job = await make_cronjob(store)
    scheduler = Scheduler(store)
    while (await scheduler.tick(NOON + DAY)).more:
        pass
    assert (await audit_all(store, NOON + MINUTE)).done.repaired == 1
    assert await next_fire_at(store, job) == NOON + 2 * MINUTE


async def test_audit__clock_that_was_ahead_when_it_was_made(store: Store) -> None:
    """Made while the clock said next year; now it is noon again, and it must not stay silent until then."""
    ahead = NOON + 365 * DAY
    job = await make_cronjob(store, created_at=ahead, updated_at=ahead, next_fire_at=ahead + MINUTE)
    await audit_all(store, NOON + SECOND)
    assert await next_fire_at(store, job) == NOON + MINUTE


async def test_audit__right_after_an_edit_of_the_expression(store: Store) -> None:
    """It fired every minute until now, and is yearly from now on."""
    edited = NOON + 30 * SECOND
    new_year = parse_iso("2027-01-01T00:00:00Z")
    job = await make_cronjob(store, cron="0 0 1 1 *", version=2, updated_at=edited, next_fire_at=new_year)
    await make_firing(store, job, scheduled_at=NOON, state="delivered")
    assert (await audit_all(store, NOON + MINUTE)).done.repaired == 0
    # The other way round: the last row of the yearly expression is long ago.
    job = await make_cronjob(store, cron="* * * * *", updated_at=edited, next_fire_at=NOON + MINUTE)
    await make_firing(store, job, scheduled_at=NOON - 300 * DAY, state="delivered")
    assert (await audit_all(store, NOON + MINUTE)).done.repaired == 0


@pytest.mark.parametrize("state", ["paused", "completed", "deleted"])
async def test_audit__leaves_cronjobs_that_are_not_active(store: Store, state: str) -> None:
    job = await make_cronjob(store, state=state, state_reason="Cannot be scheduled: x", next_fire_at=None)
    assert (await audit_all(store, NOON)).done.audited == 0
    assert await next_fire_at(store, job) is None


async def test_audit__yearly_cronjob_whose_rows_retention_has_deleted(store: Store) -> None:
    """Its last firing was in January and is no longer in the ledger: that is no fire time that is owed."""
    made, july = parse_iso("2025-06-01T00:00:00Z"), parse_iso("2026-07-01T00:00:00Z")
    new_year = parse_iso("2027-01-01T00:00:00Z")
    job = await make_cronjob(store, cron="0 0 1 1 *", created_at=made, updated_at=made, next_fire_at=new_year)
    assert (await audit_all(store, july)).done.repaired == 0
    assert await next_fire_at(store, job) == new_year


async def test_audit__unreadable_expression_does_not_stop_the_others(store: Store) -> None:
    account = await make_account(store)
    bad = await make_cronjob(store, account, cron="61 * * * *", next_fire_at=NOON + DAY)
    good = await make_cronjob(store, account, next_fire_at=None)
    await audit_all(store, NOON)
    assert await next_fire_at(store, bad) == NOON + DAY
    assert await next_fire_at(store, good) == NOON


async def test_audit__many_batches(store: Store) -> None:
    account = await make_account(store)
    rows = [cronjob_values(account, secret=None, next_fire_at=None) for _ in range(2 * BATCH + 1)]
    await insert_rows(store, "cronjob", rows)
    one = janitor(store)
    assert [await one.audit(NOON) for _ in range(3)] == [False, False, True]
    assert (one.done.audited, one.done.repaired) == (2 * BATCH + 1, 2 * BATCH + 1)
    assert [await one.audit(NOON) for _ in range(3)] == [False, False, True]
    assert one.done.repaired == 2 * BATCH + 1


async def test_repair__gives_way_to_a_change_since_it_was_read(store: Store) -> None:
    job = await make_cronjob(store, next_fire_at=NOON + DAY)
    (audited,) = await store.transact(
        lambda connection: upkeep.list_active_cronjobs(connection, "", 10, NOON)
    )
    as_it_was = {"next_fire_at": NOON + DAY, "cron": "* * * * *", "state": "active", "version": 1}
    for change in (
        {"next_fire_at": NOON + HOUR},
        {"cron": "0 0 * * *", "version": 2},
        {"state": "paused", "next_fire_at": None},
    ):
        await update_cronjobs(store, as_it_was | change)
        assert not await store.transact(partial(repair, audited))
    await update_cronjobs(store, as_it_was)
    assert await store.transact(partial(repair, audited))
    assert await next_fire_at(store, job) == NOON


def repair(audited: Audited, connection: Connection) -> bool:
    return upkeep.repair_next_fire_at(connection, audited, NOON)


async def update_cronjobs(store: Store, values: dict[str, Any]) -> None:
    await store.transact(
        lambda connection: connection.execute(update(tables.cronjob).values(values)) and None
    )


@examples(200, suppress_health_check=[HealthCheck.too_slow])
@given(
    text=expressions,
    made=st.integers(NOON - 400 * DAY, NOON),
    ticks=st.lists(st.integers(0, 40 * DAY), max_size=6),
    retention=st.sampled_from([DAY, KEPT]),
    zone=st.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe"]),
    gap=st.sampled_from([None, *DstGap]),
    overlap=st.sampled_from([None, *DstOverlap]),
)
def test_misplaced__a_cronjob_that_is_ticked_is_never_wrong(
    text: str,
    made: int,
    ticks: list[int],
    retention: int,
    zone: str,
    gap: str | None,
    overlap: str | None,
) -> None:
    """Whatever the expression, zone and policy, and whatever of the ledger retention has deleted."""
    times = timetable(text, zone, dst_gap=gap, dst_overlap=overlap)
    now, at, covered = made, times.next(made), None
    for pause in ticks:
        now += pause
        # What a tick at `now` covers, and what it leaves.
        if at is not None and at <= now:
            covered, at = times.previous(now + 1), times.next(now)
        kept = covered if covered is not None and covered >= now - retention else None
        audited = Audited(
            "c",
            "a",
            text,
            zone,
            encode_policies(dst_gap=gap, dst_overlap=overlap),
            made,
            at,
            zones.version(),
            last_covered=kept,
            settled_at=made,
            version=1,
            fired=0,
        )
        assert _misplaced(audited, now, now - retention) is None


async def test_expire__deletes_finished_rows_with_their_attempts_and_keeps_the_rest(store: Store) -> None:
    old, new = NOON - KEPT - MINUTE, NOON - KEPT
    job = await make_cronjob(store, next_fire_at=None)
    rows = [
        firing_values(job, scheduled_at=old - 9, state="delivered"),
        firing_values(job, scheduled_at=old - 8, state="failed"),
        firing_values(job, scheduled_at=old - 7, state="skipped"),
        firing_values(job, scheduled_at=old - 6, state="missed", until_at=old - 5, count=2),
        firing_values(
            job, scheduled_at=old - 4, state="missed", until_at=new, count=2
        ),  # reaches into the kept
        firing_values(job, scheduled_at=old - 3, state="pending"),
        firing_values(job, scheduled_at=old - 2, state="sending"),
        firing_values(job, scheduled_at=old - 1, state="delivered", kind="manual"),
        firing_values(job, scheduled_at=new, state="delivered"),
    ]
    await insert_rows(store, "firing", rows)
    attempts = [
        {
            **{name: row[name] for name in ("cronjob_id", "scheduled_at", "kind")},
            "lease_no": number,
            "attempt": number,
            "started_at": row["scheduled_at"],
            "duration": 1,
            "version": 1,
            "outcome": "retry",
            "reason": Reason.TARGET_UNAVAILABLE,
            "detail": "busy",
        }
        for row in rows
        for number in (1, 2)
    ]
    await insert_rows(store, "attempt", attempts)
    done = (await expire_all(store, NOON)).done
    kept = [old - 4, old - 3, old - 2, new]
    assert [row.scheduled_at for row in await read_firings(store)] == kept
    assert sorted({row.scheduled_at for row in await read_attempts(store, job["cronjob_id"])}) == kept
    assert done.deleted == 5


async def test_expire__in_batches_account_by_account(store: Store) -> None:
    old = NOON - KEPT - DAY
    for size in (BATCH + 10, 0, 3):
        job = await make_cronjob(store, next_fire_at=None)
        await insert_rows(
            store,
            "firing",
            [firing_values(job, scheduled_at=old + n, state="delivered") for n in range(size)],
        )
    one = janitor(store)
    deleted = [0]
    while not await one.expire(NOON):
        deleted.append(one.done.deleted)
    steps = [after - before for before, after in itertools.pairwise(deleted)]
    assert max(steps) == BATCH
    assert one.done.deleted == BATCH + 13
    assert not await read_firings(store)


async def test_expire__open_rows_of_the_past_do_not_hide_finished_ones(store: Store) -> None:
    old = NOON - KEPT - DAY
    job = await make_cronjob(store, next_fire_at=None)
    rows = [firing_values(job, scheduled_at=old + n) for n in range(BATCH + 1)]
    rows.append(firing_values(job, scheduled_at=old + BATCH + 1, state="failed"))
    await insert_rows(store, "firing", rows)
    await expire_all(store, NOON)
    assert {row.state for row in await read_firings(store)} == {"pending"}


async def test_expire__deleted_cronjobs_go_last(store: Store) -> None:
    deleted = {"state": "deleted", "next_fire_at": None, "secret": None}
    gone = await make_cronjob(store, **deleted, purge_at=NOON)
    spoken_of = await make_cronjob(store, **deleted, purge_at=NOON)
    await make_firing(store, spoken_of, scheduled_at=NOON - DAY, state="delivered")
    lately = await make_cronjob(store, **deleted, purge_at=NOON + 1)
    active = await make_cronjob(store, updated_at=NOON - KEPT - 1)
    await expire_all(store, NOON)
    left = [spoken_of, lately, active]
    for job in left:
        assert await read_cronjob(store, job["cronjob_id"])
    with pytest.raises(ValueError, match="unpack"):
        await read_cronjob(store, gone["cronjob_id"])


async def test_expire__deleted_cronjobs_in_batches(store: Store) -> None:
    account = await make_account(store)
    given = {"state": "deleted", "next_fire_at": None, "secret": None, "purge_at": NOON - 1}
    rows = [cronjob_values(account, **given) for _ in range(2 * BATCH + 1)]
    await insert_rows(store, "cronjob", rows)
    one = janitor(store)
    steps = []
    while not await one.expire(NOON):
        steps.append(one.done.deleted)
    assert steps == [BATCH, 2 * BATCH, 2 * BATCH + 1]


async def test_expire__two_janitors_leave_no_orphans(
    postgres_store: Store, migrated_postgres_url: str
) -> None:
    """An attempt whose firing is gone would stay for ever."""
    store = postgres_store
    old = NOON - KEPT - DAY
    job = await make_cronjob(store, next_fire_at=None)
    rows = [firing_values(job, scheduled_at=old + n, state="failed") for n in range(4 * BATCH)]
    await insert_rows(store, "firing", rows)
    await insert_rows(
        store,
        "attempt",
        [
            {
                **{name: row[name] for name in ("cronjob_id", "scheduled_at", "kind")},
                "lease_no": 1,
                "attempt": 1,
                "started_at": 1,
                "duration": 1,
                "version": 1,
                "outcome": "retry",
                "reason": Reason.TARGET_UNAVAILABLE,
                "detail": "busy",
            }
            for row in rows
        ],
    )
    other = await open_store(migrated_postgres_url)
    try:
        await asyncio.gather(expire_all(store, NOON), expire_all(other, NOON))
    finally:
        await other.close()
    await expire_all(store, NOON)
    assert not await read_firings(store)
    assert not await read_attempts(store, job["cronjob_id"])


async def test_expire__does_not_read_the_whole_ledger(store: Store) -> None:
    job = await make_cronjob(store, next_fire_at=None)
    await insert_rows(
        store,
        "firing",
        [firing_values(job, scheduled_at=NOON - n * SECOND, state="delivered") for n in range(3000)],
    )
    await analyze(store)
    plans = await explain(
        store,
        lambda connection: upkeep.delete_firings(connection, job["account_id"], NOON - 2900 * SECOND, 200),
    )
    plans += await explain(store, lambda connection: upkeep.list_active_cronjobs(connection, "", 200, NOON))
    for lines in plans:
        assert "Seq Scan" not in lines, lines
        assert "SCAN firing\n" not in lines, lines


async def test_step__pauses_when_everything_was_gone_through(store: Store, clock: Clock) -> None:
    await make_cronjob(store)
    one = janitor(store)
    assert await one.step() in (PAUSE, PAUSE_DONE)
    for _ in range(5):
        last = await one.step()
    assert last in (PAUSE, PAUSE_DONE)


async def test_step__hurries_while_it_is_behind(store: Store) -> None:
    job = await make_cronjob(store, next_fire_at=None)
    await insert_rows(
        store,
        "firing",
        [firing_values(job, scheduled_at=NOON - KEPT - DAY + n, state="delivered") for n in range(BATCH)],
    )
    await run_steadily(store, NOON - DAY, NOON)
    assert await janitor(store).step() == PAUSE_BEHIND


async def run_steadily(store: Store, first: int, last: int) -> None:
    """As if schedulers had run from one instant to another."""

    def run(connection: Connection) -> None:
        for now in range(first, last, HOUR):
            horizon.extend_horizon(connection, now)
        horizon.extend_horizon(connection, last)

    await store.transact(run)


@pytest.mark.parametrize(
    ("ran", "asked", "deletes"),
    [
        pytest.param([], NOON, False, id="nobody-ever-ran"),
        pytest.param([(NOON - HOUR, NOON)], NOON, False, id="the-first-day"),
        pytest.param([(NOON - DAY, NOON)], NOON, True, id="a-steady-day"),
        pytest.param([(NOON - DAY, NOON)], NOON + 365 * DAY, False, id="a-leap-that-no-scheduler-saw-yet"),
        pytest.param(
            [(NOON - DAY, NOON), (NOON + 365 * DAY, NOON + 366 * DAY - HOUR)],
            NOON + 366 * DAY - HOUR,
            False,
            id="within-a-day-of-a-leap",
        ),
        pytest.param([(NOON - DAY, NOON)], NOON - 2 * HOUR, False, id="a-clock-that-went-back"),
        pytest.param(
            [(NOON - DAY, NOON), (NOON + HOUR, NOON + HOUR)], NOON + HOUR, True, id="a-short-outage"
        ),
        pytest.param(
            [(NOON - days * DAY - 8 * HOUR, NOON - days * DAY) for days in range(3, -1, -1)],
            NOON,
            True,
            id="a-machine-that-is-off-at-night",
        ),
        pytest.param(
            [(NOON - 3 * DAY, NOON - 10 * HOUR), (NOON - 30 * MINUTE, NOON)],
            NOON,
            False,
            id="the-first-hour-after-a-night",
        ),
        pytest.param(
            [
                (NOON - DAY, NOON),
                (NOON + 365 * DAY, NOON + 365 * DAY + 8 * HOUR),
                (NOON + 365 * DAY + 18 * HOUR, NOON + 365 * DAY + 21 * HOUR),
            ],
            NOON + 365 * DAY + 21 * HOUR,
            False,
            id="a-night-makes-no-leap-older",
        ),
    ],
)
async def test_step__deletes_only_where_time_has_gone_on_for_a_day(
    store: Store, clock: Clock, ran: list[tuple[int, int]], asked: int, deletes: bool
) -> None:
    """A clock that is ahead makes the whole ledger old, at once and for ever."""
    job = await make_cronjob(store, next_fire_at=None)
    await make_firing(store, job, scheduled_at=NOON - KEPT - DAY, state="delivered")
    for first, last in ran:
        await run_steadily(store, first, last)
    clock.now = asked
    await janitor(store).step()
    assert bool(await read_firings(store)) != deletes
