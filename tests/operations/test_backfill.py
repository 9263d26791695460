"""Backfill: which fire times fire, at which pace, and that the ledger stands for what it stood for."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from sqlalchemy import update

from cronally import errors
from cronally.engine.dispatcher import Dispatcher
from cronally.engine.scheduler import Scheduler
from cronally.firing import firing_id
from cronally.instants import DAY, HOUR, MINUTE, SECOND, format_iso, parse_iso
from cronally.operations import Caller, backfilling
from cronally.operations.background import Background
from cronally.operations.pacing import AHEAD
from cronally.store import Store, tables
from tests.operations.past import dispatch, finish, step
from tests.operations.tenant import Json, Tenants
from tests.support.factories import (
    NOON,
    Clock,
    ScriptedTarget,
    firing_values,
    insert_rows,
    make_cronjob,
    read_cronjob,
    read_firings,
    vault,
    work_off,
)

QUARTER = 15 * MINUTE
MANY = {"max_per_minute": "600"}


def span(first: int, last: int | None = None, **sent: str) -> dict[str, str]:
    to = {} if last is None else {"to": format_iso(last)}
    return {"from": format_iso(first), **to, **sent}


async def job_of(store: Store, caller: Caller, **given: Any) -> dict[str, Any]:
    """A cron job of every quarter of an hour that has been there for ten days."""
    values = {"cron": "*/15 * * * *", "created_at": NOON - 10 * DAY, "next_fire_at": NOON + QUARTER, **given}
    return await make_cronjob(store, caller.account_id, **values)


def expanded(rows: Sequence[Any], times: Sequence[int]) -> dict[int, tuple[str, str | None]]:
    """State and reason of each fire time, row by row. Rows that overlap, or hold another number, are found."""
    found: dict[int, tuple[str, str | None]] = {}
    for row in rows:
        last = row.scheduled_at if row.until_at is None else row.until_at
        held = [at for at in times if row.scheduled_at <= at <= last]
        assert len(held) == row.count, row
        assert held[0] == row.scheduled_at
        assert held[-1] == last
        assert not found.keys() & set(held), row
        found |= dict.fromkeys(held, (row.state, row.reason))
    return found


def random_ledger(chance: random.Random, job: dict[str, Any], times: Sequence[int]) -> list[dict[str, Any]]:
    """Rows for most of the fire times: single ones, ranges, and gaps between them."""
    rows, place = [], 0
    while place < len(times):
        kind = chance.choice(["gap", "one", "range", "range"])
        count = 1 if kind == "one" else chance.randint(1, 9)
        some = times[place : place + count]
        place += count
        if kind == "gap":
            continue
        given_up = [("missed", "misfire_grace"), ("skipped", "paused"), ("missed", "catch_up=latest")]
        ended = [*given_up, ("delivered", None), ("failed", "max_age"), ("pending", None)]
        state, reason = chance.choice(ended if len(some) == 1 else given_up)
        until_at = some[-1] if len(some) > 1 else None
        shape = {"scheduled_at": some[0], "until_at": until_at, "count": len(some)}
        due = {"due_at": NOON + DAY} if state == "pending" else {}
        rows.append(firing_values(job, state=state, reason=reason, created_at=some[-1], **shape, **due))
    return rows


@pytest.mark.parametrize("seed", range(6))
async def test_backfill__of_a_random_ledger_is_what_the_oracle_says(
    operations: Tenants, store: Store, caller: Caller, clock: Clock, seed: int
) -> None:
    chance = random.Random(seed)
    job = await job_of(store, caller)
    times = [NOON - 2 * DAY + number * QUARTER for number in range(193)]
    await insert_rows(store, "firing", random_ledger(chance, job, times))
    before = expanded(await read_firings(store), times)
    low, high = sorted(chance.sample(times, 2))
    low, high = low - chance.choice([0, MINUTE]), high + chance.choice([0, MINUTE])
    sent = span(low, high, order=chance.choice(["oldest", "newest"]), **MANY)
    wanted = [at for at in times if low <= at <= high]
    made = [at for at in wanted if before.get(at, ("missed", None))[0] in ("missed", "skipped")]

    trial = await operations.backfill(caller.account_id, job["cronjob_id"], sent | {"dry_run": "true"})
    states = [before[at][0] if at in before else "none" for at in wanted]
    assert trial["fire_times"] == len(wanted)
    assert trial["to_insert"] == states.count("none")
    assert trial["to_revive"] == states.count("missed") + states.count("skipped")
    assert [trial[name] for name in ("delivered", "failed", "on_the_way")] == [
        states.count(state) for state in ("delivered", "failed", "pending")
    ]
    order = made if sent["order"] == "oldest" else made[::-1]
    assert trial["first"] == [format_iso(at) for at in order[:20]]
    assert expanded(await read_firings(store), times) == before

    begun = await operations.backfill(caller.account_id, job["cronjob_id"], sent)
    assert (begun["action"], begun["total"]) == ("backfill", len(made))
    await finish(operations, store, clock, crashes=seed % 2 == 1)
    done = await operations.get_operation(caller.account_id, begun["operation_id"])
    assert (done["state"], done["done"], done["failed"]) == ("completed", len(made), 0)
    rows = await read_firings(store)
    assert expanded(rows, times) == before | dict.fromkeys(made, ("pending", None))
    due = {row.scheduled_at: row.due_at for row in rows if row.owed_at is not None}
    assert sorted(due) == made
    assert sorted(due.values()) == [due[at] for at in order]
    assert all(row.owed_at in (None, row.due_at) for row in rows)


async def test_backfill__before_the_cron_job_was_made_and_again_changes_nothing(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    job = await job_of(store, caller)
    target = ScriptedTarget()
    for made in (5, 0):
        sent = span(NOON - 20 * DAY, NOON - 20 * DAY + HOUR)
        begun = await operations.backfill(caller.account_id, job["cronjob_id"], sent)
        assert begun["total"] == made
        await finish(operations, store, clock)
        await dispatch(store, target)
    rows = await read_firings(store)
    assert [row.state for row in rows] == ["delivered"] * 5
    ids = [firing_id(job["cronjob_id"], NOON - 20 * DAY + number * QUARTER) for number in range(5)]
    # Neither misfire_grace nor max_age, 24 hours both, ends what is 20 days old.
    assert [message.firing_id for message in target.messages] == ids
    assert (await read_cronjob(store, job["cronjob_id"])).fired == 0


@pytest.mark.sample
@pytest.mark.parametrize("crashes", [False, True])
async def test_pace__is_even_and_never_more_whatever_crashes(
    operations: Tenants, store: Store, caller: Caller, clock: Clock, crashes: bool
) -> None:
    job = await job_of(store, caller)
    sent = span(NOON - DAY, NOON - HOUR, max_per_minute="30")
    await operations.backfill(caller.account_id, job["cronjob_id"], sent)
    await finish(operations, store, clock, crashes=crashes)
    due = sorted(row.due_at for row in await read_firings(store))
    assert len(due) == 93
    assert min(later - earlier for earlier, later in itertools.pairwise(due)) >= 2 * SECOND
    assert due[-1] - due[0] <= 93 * 2 * SECOND + (LOST if crashes else 0)


LOST = 93 * SECOND
"""What crashes may cost: a part that is done again begins when it is."""


async def test_nodes__that_do_the_same_part_at_once_make_each_firing_once(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    """The lease of one has ended, and it goes on all the same."""
    job = await job_of(store, caller)
    shape = {"scheduled_at": NOON - DAY, "until_at": NOON - HOUR, "count": 93}
    await insert_rows(
        store,
        "firing",
        [firing_values(job, state="missed", reason="misfire_grace", created_at=NOON, **shape)],
    )
    await operations.backfill(caller.account_id, job["cronjob_id"], span(NOON - DAY, NOON - HOUR, **MANY))
    for _ in range(20):
        await asyncio.gather(*[step(operations, store, clock, crashes=True) for _ in range(3)])
        clock.forward(SECOND)
    await finish(operations, store, clock)
    rows = await read_firings(store)
    assert [row.scheduled_at for row in rows] == [NOON - DAY + number * QUARTER for number in range(93)]
    assert {(row.state, row.count) for row in rows} == {("pending", 1)}
    due = sorted(row.due_at for row in rows)
    assert min(later - earlier for earlier, later in itertools.pairwise(due)) >= SECOND // 10


@pytest.mark.sample
async def test_cancel__leaves_what_is_not_due_soon(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    job = await job_of(store, caller)
    begun = await operations.backfill(caller.account_id, job["cronjob_id"], span(NOON - DAY))
    runner = Background(store, operations.operations.actions)
    assert await runner.step() == 0.0
    assert await runner.step() is None
    cancelled = await operations.operations.tracking.cancel_operation(caller, begun["operation_id"])
    await finish(operations, store, clock)
    rows = await read_firings(store)
    assert len(rows) == cancelled.done == AHEAD // SECOND + 1
    assert max(row.due_at for row in rows) <= NOON + AHEAD


@pytest.mark.sample
async def test_operations__of_an_account_share_its_pace(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    for _ in range(3):
        job = await job_of(store, caller)
        await operations.backfill(caller.account_id, job["cronjob_id"], span(NOON - DAY, NOON - HOUR, **MANY))
    await finish(operations, store, clock)
    due = sorted(row.due_at for row in await read_firings(store))
    assert len(due) == 3 * 93
    assert all(due[place + 600] - due[place] >= MINUTE for place in range(len(due) - 600))
    assert min(later - earlier for earlier, later in itertools.pairwise(due)) >= MINUTE // 600


async def test_owed__is_left_to_the_tick(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    """No server has ticked for an hour: what it owes is not made up for, and has one row."""
    job = await job_of(store, caller, next_fire_at=NOON - HOUR, catch_up="all", settled_at=NOON - 2 * HOUR)
    begun = await operations.backfill(caller.account_id, job["cronjob_id"], span(NOON - 2 * HOUR))
    assert begun["total"] == 4
    await finish(operations, store, clock)
    await Scheduler(store).tick(NOON)
    rows = await read_firings(store)
    assert [row.scheduled_at for row in rows] == [NOON - number * QUARTER for number in range(8, -1, -1)]
    assert (await read_cronjob(store, job["cronjob_id"])).fired == 5


async def test_frozen__nobody_waits_for_what_a_freeze_holds(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    job = await job_of(store, caller)
    ends = NOON + 5 * HOUR
    held = {"state": "pending", "reason": "frozen", "due_at": ends, "owed_at": ends}
    outdone = {"state": "skipped", "reason": "frozen", "owed_at": ends}
    rows = [
        firing_values(job, scheduled_at=NOON - HOUR, **held),
        firing_values(job, scheduled_at=NOON - HOUR + QUARTER, **outdone),
    ]
    await insert_rows(store, "firing", rows)
    sent = span(NOON - HOUR, NOON - 1, **MANY)
    begun = await operations.backfill(caller.account_id, job["cronjob_id"], sent)
    await finish(operations, store, clock)
    done = await operations.get_operation(caller.account_id, begun["operation_id"])
    assert (done["state"], done["total"], done["done"]) == ("completed", 3, 3)
    assert clock.now < NOON + 2 * MINUTE
    assert [row.owed_at == ends for row in await read_firings(store)] == [True, False, False, False]


@pytest.mark.parametrize("state", ["paused", "completed"])
async def test_paused__is_made_up_for_and_resumes_without_a_second_row(
    operations: Tenants, store: Store, caller: Caller, clock: Clock, state: str
) -> None:
    paused = {"paused_at": NOON - HOUR, "paused_by": "key", "wake_at": NOON + DAY}
    job = await job_of(
        store,
        caller,
        state=state,
        next_fire_at=None,
        settled_at=NOON - HOUR,
        **(paused if state == "paused" else {}),
    )
    await operations.backfill(caller.account_id, job["cronjob_id"], span(NOON - HOUR + 1, NOON))
    await finish(operations, store, clock)
    assert [row.state for row in await read_firings(store)] == ["pending"] * 4
    if state == "paused":
        clock.now = NOON + HOUR
        await operations.resume_cronjob(caller.account_id, job["cronjob_id"])
        rows = await read_firings(store)
        assert [(row.state, row.count) for row in rows] == [*[("pending", 1)] * 4, ("skipped", 4)]


async def test_version__and_exclusions_say_which_fire_times_there_are(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    sent = {"cron": "0 * * * *", "name": "x", "delivery_type": "http", "delivery_http_method": "get"}
    sent |= {"delivery_http_url": "https://1.1.1.1/"}
    clock.now = NOON - 5 * DAY
    made = await operations.create_cronjob(caller.account_id, sent)
    cronjob_id, account_id = made["cronjob_id"], caller.account_id
    await operations.update_cronjob(
        account_id, cronjob_id, {"cron": "0 */6 * * *", "exclude": "2026-11-22/2026-11-23"}
    )
    clock.now = NOON
    await Scheduler(store).tick(NOON)
    day = span(parse_iso("2026-11-16T00:00:00Z"), parse_iso("2026-11-16T23:59:59Z"), dry_run="true")
    assert (await operations.backfill(account_id, cronjob_id, day))["fire_times"] == 4
    assert (await operations.backfill(account_id, cronjob_id, day | {"version": "1"}))["fire_times"] == 24
    days = span(parse_iso("2026-11-21T00:00:00Z"), parse_iso("2026-11-24T05:00:00Z"), dry_run="true")
    for order in ("oldest", "newest"):
        trial = await operations.backfill(account_id, cronjob_id, days | {"order": order})
        assert trial["fire_times"] == 5, order
    with pytest.raises(errors.InvalidRequest, match="is not kept of this cron job; there is 1 to 2"):
        await operations.backfill(account_id, cronjob_id, day | {"version": "3"})


async def test_ranges__by_another_version_are_parted_by_the_one_that_wrote_them(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    """A row of 15 minutes each, a backfill at other minutes: each has a row of its own, between what is left."""
    job = await job_of(store, caller)
    old = {"version": 1, "cron": "*/15 * * * *", "timezone": "UTC", "policies": "{}", "state": "active"}
    await insert_rows(
        store,
        "cronjob_version",
        [{**old, "cronjob_id": job["cronjob_id"], "changed_at": NOON - 10 * DAY}],
    )
    missed = {"state": "missed", "reason": "misfire_grace", "created_at": NOON}
    shape = {"scheduled_at": NOON - HOUR, "until_at": NOON - QUARTER, "count": 4}
    await insert_rows(store, "firing", [firing_values(job, **missed, **shape)])
    table = tables.cronjob
    change = update(table).where(table.c.cronjob_id == job["cronjob_id"]).values(cron="20 * * * *")
    await store.transact(lambda connection: connection.execute(change) and None)
    await operations.backfill(caller.account_id, job["cronjob_id"], span(NOON - HOUR, NOON))
    await finish(operations, store, clock)
    rows = [
        ((row.scheduled_at - NOON) // MINUTE, row.count, row.until_at, row.state)
        for row in await read_firings(store)
    ]
    assert rows == [
        (-60, 2, NOON - 45 * MINUTE, "missed"),
        (-40, 1, None, "pending"),
        (-30, 2, NOON - QUARTER, "missed"),
    ]


async def test_ranges__that_nothing_explains_stay_and_are_told(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    job = await job_of(store, caller)
    missed = {"state": "missed", "reason": "misfire_grace", "created_at": NOON}
    shape = {"scheduled_at": NOON - HOUR, "until_at": NOON - QUARTER, "count": 7}
    await insert_rows(store, "firing", [firing_values(job, **missed, **shape)])
    begun = await operations.backfill(caller.account_id, job["cronjob_id"], span(NOON - HOUR, NOON - QUARTER))
    await finish(operations, store, clock)
    done = await operations.get_operation(caller.account_id, begun["operation_id"])
    assert (done["state"], done["done"], done["failed"]) == ("completed", 0, 4)
    assert "stands in a row with others" in done["problems"][0]["problem"]
    (row,) = await read_firings(store)
    assert (row.state, row.count) == ("missed", 7)


async def test_dst__a_local_time_that_comes_twice(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    """What a policy suppressed is no fire time; by a version with another policy it is one, and is revived."""
    again = parse_iso("2026-11-01T06:30:00Z")
    job = await job_of(store, caller, cron="30 1 * * *", timezone="America/New_York", dst_overlap="first")
    both = '{"dst_overlap":"both"}'
    versions = [
        {
            "cronjob_id": job["cronjob_id"],
            "version": number,
            "cron": "30 1 * * *",
            "timezone": "America/New_York",
            "policies": policies,
            "state": "active",
            "changed_at": NOON - (30 - number) * DAY,
        }
        for number, policies in ((0, both), (1, job["policies"]))
    ]
    await insert_rows(store, "cronjob_version", versions)
    await insert_rows(
        store,
        "firing",
        [firing_values(job, scheduled_at=again, state="skipped", reason="dst_overlap=first")],
    )
    day = span(parse_iso("2026-11-01T00:00:00Z"), parse_iso("2026-11-01T23:00:00Z"), dry_run="true")
    trial = await operations.backfill(caller.account_id, job["cronjob_id"], day)
    assert (trial["fire_times"], trial["to_insert"], trial["to_revive"]) == (1, 1, 0)
    del day["dry_run"]
    await operations.backfill(caller.account_id, job["cronjob_id"], day)
    await finish(operations, store, clock)
    assert [row.state for row in await read_firings(store)] == ["pending", "skipped"]


async def test_retention__that_comes_nearer_meanwhile_ends_it(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    """What is deleted meanwhile may have been delivered."""
    job = await job_of(store, caller)
    begun = await operations.backfill(
        caller.account_id, job["cronjob_id"], span(NOON - 30 * DAY, NOON - 30 * DAY + HOUR)
    )
    clock.forward(40 * MINUTE)
    await finish(operations, store, clock)
    done = await operations.get_operation(caller.account_id, begun["operation_id"])
    assert (done["done"], done["failed"]) == (2, 3)
    assert "is older than the ledger is kept now" in done["problems"][0]["problem"]


@pytest.mark.sample
async def test_deleted__ends_it(operations: Tenants, store: Store, caller: Caller, clock: Clock) -> None:
    job = await job_of(store, caller)
    begun = await operations.backfill(caller.account_id, job["cronjob_id"], span(NOON - DAY))
    await operations.delete_cronjob(caller.account_id, job["cronjob_id"])
    await finish(operations, store, clock)
    done = await operations.get_operation(caller.account_id, begun["operation_id"])
    assert (done["done"], done["failed"], done["problems"][0]["problem"]) == (
        0,
        1,
        "The cron job was deleted.",
    )
    assert not await read_firings(store)
    with pytest.raises(errors.NotFound):
        await operations.backfill(caller.account_id, job["cronjob_id"], span(NOON - DAY))


async def test_ordered__firings_go_by_their_fire_times(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    """One that is not delivered holds those behind it."""
    job = await job_of(store, caller, ordered=True)
    await operations.backfill(caller.account_id, job["cronjob_id"], span(NOON - HOUR, NOON - QUARTER, **MANY))
    await finish(operations, store, clock)
    target = ScriptedTarget()
    target.hang()
    dispatcher = Dispatcher(store, vault(), {"scripted": target}, chance=lambda: 0.5)
    await dispatcher.step()
    await target.arrived(1)
    assert [message.scheduled_at for message in target.messages] == [NOON - HOUR]
    target.open.set()
    await work_off(dispatcher)
    assert [message.scheduled_at for message in target.messages] == [
        NOON - HOUR + number * QUARTER for number in range(4)
    ]


@pytest.mark.sample
async def test_idempotency_key__begins_one(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    job = await job_of(store, caller)
    ask = partial(operations.backfill, caller.account_id, job["cronjob_id"], idempotency_key="once")
    first = await ask(span(NOON - DAY))
    clock.forward(SECOND)
    assert await ask(span(NOON - DAY)) == first
    with pytest.raises(errors.InvalidRequest, match="Idempotency-Key"):
        await ask(span(NOON - HOUR))


WRONG: list[tuple[dict[str, str], str, str]] = [
    ({}, "from", "is missing or empty; give an instant, such as 2026-11-24T08:00:00Z"),
    (span(NOON - 31 * DAY), "from", "is more than 30d ago, for which the ledger is kept"),
    (span(NOON - DAY, NOON + SECOND), "to", "lies in the future; give an instant of the past"),
    (span(NOON + DAY), "from", "lies in the future; give an instant of the past"),
    (span(NOON - DAY, NOON - 2 * DAY), "to", "is before from; give a later one"),
    (
        span(NOON - DAY, max_per_minute="601"),
        "max_per_minute",
        "is no whole number between 1 and 600; give one",
    ),
    (span(NOON - DAY, order="any"), "order", "is none of oldest, newest; give one of them"),
]


async def test_wrong_requests__change_nothing(
    operations: Tenants, store: Store, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await job_of(store, caller)
    for sent, name, complaint in WRONG:
        with pytest.raises(errors.InvalidRequest) as caught:
            await operations.backfill(caller.account_id, job["cronjob_id"], sent)
        assert caught.value.fields == {name: complaint}
    monkeypatch.setattr(backfilling, "MOST", 96)
    assert (await trial(operations, caller, job, span(NOON - DAY + 1)))["fire_times"] == 96
    with pytest.raises(errors.InvalidRequest) as caught:
        await trial(operations, caller, job, span(NOON - DAY))
    assert caught.value.fields == {
        "from": "begins a range with more than 96 fire times: 97; give a shorter one"
    }
    assert not await read_firings(store)


async def trial(operations: Tenants, caller: Caller, job: dict[str, Any], sent: dict[str, str]) -> Json:
    return await operations.backfill(caller.account_id, job["cronjob_id"], sent | {"dry_run": "true"})
