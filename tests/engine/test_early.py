"""The fault matrix of the clock, moved by hand: what fires while it is wrong, and after it is right again.

A whole engine runs on both databases while true time passes in steps of five seconds. The real clock of real servers:
`tests/acceptance/test_wrong_clock.py`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import Connection, select

from cronally.clock.timetable import timetable
from cronally.cronjob import CatchUp, State
from cronally.engine.dispatcher import Dispatcher
from cronally.engine.early import BATCH, EarlyRows
from cronally.engine.scheduler import Scheduler
from cronally.firing import Reason
from cronally.firing import State as FiringState
from cronally.instants import DAY, HOUR, MINUTE, SECOND
from cronally.store import Store, early, horizon, tables
from cronally.store.timekeeper import Timekeeper
from cronally.targets.target import Delivered, Message, Outcome, Retry
from tests.support.factories import (
    NOON,
    Clock,
    ScriptedTarget,
    cronjob_values,
    firing_values,
    insert_rows,
    make_account,
    make_cronjob,
    make_firing,
    read,
    read_cronjob,
    read_firing,
    read_firings,
    uuid_of,
    vault,
    work_off,
)

pytestmark = pytest.mark.sample

STEP = 5 * SECOND
YEARS = 10 * 365 * DAY
ONCE = NOON + 24 * MINUTE + 30 * SECOND
JOBS: dict[str, dict[str, Any]] = {
    "minutely": {"cron": "* * * * *"},
    "all": {"cron": "*/2 * * * *", "catch_up": CatchUp.ALL, "misfire_grace": HOUR},
    "tenth": {"cron": "*/10 * * * *", "catch_up": CatchUp.SKIP},
    "once": {"cron": "at(2026-11-24T12:24:30)", "next_fire_at": ONCE},
    "every": {"cron": "@every 3m", "created_at": NOON - MINUTE, "next_fire_at": NOON + 2 * MINUTE},
}


@dataclass
class World:
    """An engine on one store, while time passes and its clock is some way off."""

    store: Store
    target: ScriptedTarget
    off: int = 0
    passed: int = 0
    sent: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    """Of each cron job: the fire times that were sent, and when in truth."""

    def __post_init__(self) -> None:
        self.store.read_clock = self.read_clock  # type: ignore[method-assign]
        del self.store.clock  # the fixture's, which knows no keeper
        self.target.script = self.receive
        self.start()

    async def read_clock(self) -> int:
        return self.true + self.off

    @property
    def true(self) -> int:
        return NOON - 30 * SECOND + self.passed

    def receive(self, message: Message) -> Outcome:
        self.sent[message.cronjob_id].append((message.scheduled_at, self.true))
        return Delivered("sns-1")

    def start(self) -> None:
        """A process begins: it remembers nothing of the clock."""
        self.store.timekeeper = Timekeeper(lambda: self.passed)
        self.scheduler = Scheduler(self.store)
        self.dispatcher = Dispatcher(
            self.store,
            vault(),
            {"scripted": self.target},
            monotonic=lambda: self.passed / SECOND,
        )

    async def run(self, duration: int) -> None:
        for _ in range(0, duration, STEP):
            self.passed += STEP
            while await self.scheduler.step() == 0.0:
                pass
            await work_off(self.dispatcher)


@pytest.fixture
async def world(store: Store, target: ScriptedTarget) -> World:
    account = await make_account(store)
    rows = [cronjob_values(account, cronjob_id=name, **given) for name, given in JOBS.items()]
    await insert_rows(store, "cronjob", rows)
    return World(store, target)


Script = Sequence[tuple[int, int, bool]]
"""How far the clock is off, for how long, and whether the process starts anew then."""
MOMENT = 6 * MINUTE

UNBELIEVED: dict[str, Script] = {
    "right": [(0, 20 * MINUTE, False)],
    "restart": [(0, MOMENT, False), (0, MOMENT, True)],
    "ahead by seconds": [(0, MOMENT, False), (7 * SECOND, MOMENT, False), (0, 5 * MINUTE, False)],
    "ahead by an hour": [(0, MOMENT, False), (HOUR, MOMENT, False), (0, 5 * MINUTE, False)],
    "ahead by ten years": [(0, MOMENT, False), (YEARS, MOMENT, False), (0, 5 * MINUTE, False)],
    "back and forth": [(0, MOMENT, False), *[(HOUR, MINUTE, False), (0, MINUTE, False)] * 5],
}
"""Nothing goes by the jump: everything fires on time throughout."""

BEHIND: dict[str, Script] = {
    "behind for a moment": [(0, 16 * MINUTE, False), (-HOUR, 20 * SECOND, False), (0, 5 * MINUTE, False)],
    "smeared": [(0, MOMENT, False), *[(-n * SECOND // 100, MINUTE, False) for n in range(25)]],
    "a second behind": [(0, MOMENT, False), (-SECOND, MOMENT, False), (0, 5 * MINUTE, False)],
}
"""Nothing fires twice, nothing early; a moment's silence is made up for."""

WENT_BACK: dict[str, Script] = {
    "started ten seconds ahead": [
        (0, MOMENT, False),
        (10 * SECOND, 2 * MINUTE, True),
        (0, 20 * MINUTE, False),
    ],
    "started an hour ahead": [(0, MOMENT, False), (HOUR, 2 * MINUTE, True), (0, 20 * MINUTE, False)],
    "started ten years ahead": [(0, MOMENT, False), (YEARS, 2 * MINUTE, True), (0, 20 * MINUTE, False)],
    "killed while it was ahead": [(0, MOMENT, False), (HOUR, 2 * MINUTE, True), (0, 20 * MINUTE, True)],
    "killed when it came back": [
        (0, MOMENT, False),
        (YEARS, 2 * MINUTE, True),
        (0, 20 * SECOND, False),
        (0, 20 * MINUTE, True),
    ],
    "believed after a quarter of an hour": [
        (0, MOMENT, False),
        (HOUR, 17 * MINUTE, False),
        (0, 12 * MINUTE, False),
    ],
    "ahead, back, ahead, back": [
        (0, MOMENT, False),
        (HOUR, 2 * MINUTE, True),
        (0, 3 * MINUTE, False),
        (2 * HOUR, 2 * MINUTE, True),
        (0, 20 * MINUTE, False),
    ],
}
"""What was written for the future fires again, on time, from the clock's last return on."""


@pytest.mark.sample(3)
@pytest.mark.parametrize("script", UNBELIEVED.values(), ids=UNBELIEVED)
async def test_clock__jump_that_is_not_believed_changes_nothing(world: World, script: Script) -> None:
    await play(world, script)
    assert_on_time(world, NOON, world.true - MINUTE, seconds=5)
    assert_each_once(world)
    await assert_covered(world)
    assert not await read_reasons(world.store)


@pytest.mark.sample(1)
@pytest.mark.parametrize("script", BEHIND.values(), ids=BEHIND)
async def test_clock__behind(world: World, script: Script) -> None:
    await play(world, script)
    assert_on_time(world, NOON, world.true - MINUTE, seconds=60)
    assert_each_once(world)
    await assert_covered(world)


@pytest.mark.sample(3)
@pytest.mark.parametrize("script", WENT_BACK.values(), ids=WENT_BACK)
async def test_clock__what_was_written_early_fires_at_its_time(world: World, script: Script) -> None:
    returned = await play(world, script)
    assert_on_time(world, returned, world.true - MINUTE, seconds=60)
    await assert_covered(world)
    # Once for each time that it seemed to come, and each with its one row, so with its one id.
    counts = Counter((key, at) for key, sends in world.sent.items() for at, _ in sends)
    assert max(counts.values()) <= 1 + sum(off > 0 for off, _, _ in script)
    early_ones = [
        (key, at)
        for key, sends in world.sent.items()
        for at, when in sends
        if when < at <= world.true - MINUTE
    ]
    for key, at in early_ones:
        if at > returned:
            (first, again) = await read_row(world.store, key, at)
            assert (first.attempt, first.reason, first.outcome) == (1, Reason.CLOCK_AHEAD, "delivered")
            assert (again.state, again.attempt) == (FiringState.DELIVERED, counts[key, at])
            assert again.reason is None
    assert world.scheduler.early.waits is False


async def test_clock__ahead_then_behind_then_right(world: World) -> None:
    """What is behind for long and set right is late by as much for a quarter of an hour, and nothing is lost."""
    returned = await play(
        world,
        [
            (0, MOMENT, False),
            (HOUR, 2 * MINUTE, True),
            (-MINUTE, 2 * MINUTE, False),
            (0, 20 * MINUTE, False),
        ],
    )
    # When the jump is believed, the dispatcher waits until no lease is left from before.
    assert_on_time(world, returned, world.true - 2 * MINUTE, seconds=60 + 60 + 5)
    await assert_covered(world)


async def play(world: World, script: Script) -> int:
    """Go through a script; return when the clock last changed."""
    changed = world.true
    for off, duration, restart in script:
        if off != world.off:
            changed = world.true
        world.off = off
        if restart:
            world.start()
        await world.run(duration)
    return changed


def owed(name: str, first: int, last: int) -> list[int]:
    """The fire times of a cron job in (first, last]."""
    values = cronjob_values("a", cronjob_id=name, **JOBS[name])
    times = timetable(values["cron"], "UTC", key=values["cronjob_id"], anchor=values["created_at"])
    found, at = [], times.next(max(first, values["created_at"]))
    while at is not None and at <= last:
        found.append(at)
        at = times.next(at)
    return found


def assert_on_time(world: World, first: int, last: int, *, seconds: int) -> None:
    for name in JOBS:
        sends = world.sent[uuid_of(name)]
        for at in owed(name, first, last):
            assert any(fire == at and 0 <= when - at <= seconds * SECOND for fire, when in sends), (
                name,
                (at - NOON) / MINUTE,
                [((fire - NOON) / MINUTE, (when - NOON) / MINUTE) for fire, when in sends],
            )


def assert_each_once(world: World) -> None:
    counts = Counter((key, at) for key, sends in world.sent.items() for at, _ in sends)
    assert set(counts.values()) == {1}
    assert all(at <= when for sends in world.sent.values() for at, when in sends)


async def assert_covered(world: World) -> None:
    """Each fire time until now has exactly one row."""
    for name in JOBS:
        rows = await read_firings(world.store, name)
        for at in owed(name, NOON - MINUTE, world.true - 10 * SECOND):
            of_it = [row for row in rows if row.scheduled_at <= at <= (row.until_at or row.scheduled_at)]
            assert len(of_it) == 1, (name, at, of_it)


async def read_reasons(store: Store) -> set[str]:
    return {row.reason for row in await read_firings(store) if row.reason is not None}


async def read_row(store: Store, cronjob_id: str, at: int) -> tuple[Any, Any]:
    """The first attempt of a firing, and the firing."""
    table = tables.attempt
    attempts = await read(
        store, select(table).where(table.c.cronjob_id == cronjob_id, table.c.scheduled_at == at)
    )
    (row,) = [row for row in await read_firings(store, cronjob_id) if row.scheduled_at == at]
    return attempts[0], row


# What is put right, one by one

SINCE = NOON
NOW = NOON + 30 * SECOND
AHEAD = NOON + YEARS


async def put_right(store: Store, now: int = NOW) -> EarlyRows:
    """As a scheduler does whose clock has been back since noon."""
    await store.transact(lambda connection: horizon.extend_horizon(connection, AHEAD))
    store.timekeeper = _Back(now - SINCE)
    rows = EarlyRows(store)
    await look(rows, now)
    while await rows.step(now):
        pass
    return rows


class _Back(Timekeeper):
    """A keeper whose clock has been back for a while."""

    def __init__(self, steady_for: int) -> None:
        super().__init__()
        self._steady_for = steady_for

    @property
    def steady_for(self) -> int:
        return self._steady_for


async def look(rows: EarlyRows, now: int) -> None:
    rows.look(await rows._store.transact(horizon.get_horizon), now)


@pytest.mark.parametrize(
    ("given", "due_at"),
    [
        pytest.param(
            {"scheduled_at": NOON - MINUTE, "attempt": 1, "lease_no": 1}, NOW, id="waits-for-a-retry"
        ),
        pytest.param(
            {"scheduled_at": AHEAD, "created_at": AHEAD, "kind": "manual"}, NOW, id="asked-for-at-once"
        ),
        pytest.param({"scheduled_at": AHEAD, "kind": "manual"}, AHEAD + MINUTE, id="asked-for-ahead"),
        pytest.param(
            {"scheduled_at": NOON - MINUTE, "state": "sending", "lease_no": 1},
            NOW + early.LEASE,
            id="lease-of-a-lost-worker",
        ),
    ],
)
async def test_put_right__nothing_waits_for_ten_years(
    store: Store, given: dict[str, Any], due_at: int
) -> None:
    job = await make_cronjob(store, next_fire_at=AHEAD)
    await make_firing(store, job, due_at=AHEAD + MINUTE, **given)
    await put_right(store)
    assert (await read_firing(store, job["cronjob_id"])).due_at == due_at


@pytest.mark.parametrize("state", ["pending", "sending", "failed"])
async def test_put_right__tried_early_fires_at_its_time(
    store: Store, target: ScriptedTarget, clock: Clock, state: str
) -> None:
    job = await make_cronjob(store, next_fire_at=AHEAD)
    at = NOON + MINUTE
    given = {} if state == "failed" else {"due_at": at + HOUR}
    await make_firing(
        store, job, scheduled_at=at, state=state, attempt=3, lease_no=4, created_at=AHEAD, **given
    )
    await put_right(store)
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.reason) == ("failed" if state == "failed" else "skipped", Reason.CLOCK_AHEAD)
    store.timekeeper = Timekeeper()
    clock.now = at
    await Scheduler(store).tick(at)
    await work_off(Dispatcher(store, vault(), {"scripted": target}))
    (row,) = await read_firings(store, job["cronjob_id"])
    assert (row.state, row.reason, row.attempt, row.lease_no) == ("delivered", None, 4, 5)


async def test_put_right__sent_early_fires_at_its_time_though_nothing_is_sent_twice(
    store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    """Without retries, too; and what was refused early is not held against it."""
    job = await make_cronjob(store, next_fire_at=AHEAD, retry_max_attempts=0)
    at = NOON + MINUTE
    await make_firing(
        store, job, scheduled_at=at, state="delivered", attempt=1, lease_no=1, refusals=3, sent_at=NOON
    )
    await put_right(store)
    store.timekeeper = Timekeeper()
    clock.now = at
    await Scheduler(store).tick(at)
    target.script = lambda _message: Retry("busy")
    await work_off(Dispatcher(store, vault(), {"scripted": target}))
    (row,) = await read_firings(store, job["cronjob_id"])
    assert [message.attempt for message in target.messages] == [2]
    assert (row.state, row.reason, row.attempt, row.refusals) == ("failed", "target_unavailable", 2, 0)


async def test_put_right__what_was_made_and_changed_while_it_was_ahead(store: Store) -> None:
    given: dict[str, Any] = {"created_at": AHEAD, "updated_at": AHEAD}
    minutely = await make_cronjob(store, next_fire_at=AHEAD + MINUTE, **given)
    every = await make_cronjob(store, cron="@every 1m", next_fire_at=AHEAD + MINUTE, **given)
    deleted = await make_cronjob(
        store, state=State.DELETED, next_fire_at=None, purge_at=AHEAD + DAY, updated_at=AHEAD
    )
    version = {name: minutely[name] for name in ("cronjob_id", "cron", "timezone", "policies", "state")}
    await insert_rows(store, "cronjob_version", [{**version, "version": 1, "changed_at": AHEAD}])
    await put_right(store)
    expected = {"minutely": NOON + MINUTE, "every": NOW + MINUTE, "deleted": None}
    for name, job in {"minutely": minutely, "every": every, "deleted": deleted}.items():
        row = await read_cronjob(store, job["cronjob_id"])
        assert (row.next_fire_at, row.updated_at) == (expected[name], NOW)
        assert row.created_at <= NOW
    assert (await read_cronjob(store, deleted["cronjob_id"])).purge_at == NOW + DAY
    assert [row.changed_at for row in await read(store, select(tables.cronjob_version))] == [NOW]


async def test_put_right__what_was_excluded_early_is_decided_at_its_time(store: Store) -> None:
    """The range until now is skipped once; after it the fire times fire, for nothing excludes them any more."""
    given: dict[str, Any] = {"state": "skipped", "reason": Reason.EXCLUDED, "cause": "holidays"}
    job = await make_cronjob(store, next_fire_at=AHEAD)
    across, after = NOON - 9 * MINUTE, NOON + 5 * MINUTE
    await make_firing(store, job, scheduled_at=across, until_at=NOON + MINUTE, count=11, **given)
    await make_firing(store, job, scheduled_at=NOON + 2 * MINUTE, **given)
    await make_firing(store, job, scheduled_at=NOON + 3 * MINUTE, until_at=after, count=3, **given)
    await put_right(store)
    assert (await read_cronjob(store, job["cronjob_id"])).next_fire_at == across
    assert not await read_firings(store, job["cronjob_id"])
    store.timekeeper = Timekeeper()
    await Scheduler(store).tick(after)
    rows = [
        (row.scheduled_at, row.until_at, row.state) for row in await read_firings(store, job["cronjob_id"])
    ]
    assert rows == [
        (across, after - 2 * MINUTE, "missed"),
        (after - MINUTE, None, "pending"),
        (after, None, "pending"),
    ]


@pytest.mark.parametrize("state", [State.PAUSED, State.DELETED])
@pytest.mark.parametrize(
    "given",
    [
        {"state": "skipped", "reason": Reason.EXCLUDED, "cause": "holidays"},
        {"state": "missed", "reason": Reason.CATCH_UP_SKIP, "cause": None},
        {"state": "skipped", "reason": Reason.PAUSED, "cause": None},
    ],
)
async def test_put_right__a_range_of_what_stands_still_by_now_is_kept_until_the_return(
    store: Store, state: State, given: dict[str, Any]
) -> None:
    """Nobody would write it again: it was paused, or deleted, while the clock was ahead."""
    stands: dict[str, Any] = (
        {"paused_at": AHEAD, "wake_at": AHEAD + DAY} if state is State.PAUSED else {"purge_at": AHEAD}
    )
    job = await make_cronjob(store, state=state, next_fire_at=None, updated_at=AHEAD, **stands)
    across = NOON - 9 * MINUTE
    await make_firing(store, job, scheduled_at=across, until_at=NOON + 5 * MINUTE, count=15, **given)
    await put_right(store)
    row = await read_firing(store, job["cronjob_id"])
    assert (row.scheduled_at, row.until_at, row.count) == (across, NOON, 10)
    assert {name: row._mapping[name] for name in given} == given


async def test_put_right__an_operation_goes_on(store: Store) -> None:
    """It has waited since the clock came back, and behind none of those that were begun later."""
    account = await make_account(store)
    table = tables.operation
    given = {"account_id": account, "action": "count", "parameters": "{}", "created_by": "key"}
    given |= {"state": "running", "problems": "[]"}
    numbers = {"done": 0, "failed": 0, "created_at": NOON, "lease_no": 1}
    rows: dict[str, dict[str, Any]] = {
        "ahead": {"updated_at": AHEAD, "leased_until": AHEAD},
        "held": {"updated_at": NOW, "leased_until": NOW + early.LEASE},
        "ended": {"updated_at": AHEAD, "leased_until": AHEAD, "state": "completed", "finished_at": AHEAD},
    }
    for name, values in rows.items():
        await insert_rows(store, "operation", [{**given, **numbers, "operation_id": uuid_of(name), **values}])
    await put_right(store)
    found = {row.operation_id: row for row in await read(store, select(table))}
    expected = {"ahead": (NOW, NOW), "held": (NOW, NOW + early.LEASE), "ended": (AHEAD, AHEAD)}
    for name, times in expected.items():
        assert (found[uuid_of(name)].updated_at, found[uuid_of(name)].leased_until) == times


async def test_put_right__what_is_beside_the_ledger(store: Store) -> None:
    """A node that no longer ticks must not seem to until then, and a key must not stand for ten years."""
    account = await make_account(store)
    key = {"account_id": account, "idempotency_key": "k", "digest": "d", "cronjob_id": uuid_of("c")}
    await insert_rows(store, "idempotency_key", [{**key, "created_at": AHEAD}])
    await insert_rows(store, "signup", [{"address": "a", "minute": at, "count": 1} for at in (NOON, AHEAD)])
    beats = [{"node": str(at), "role": "api", "started_at": 1, "beat_at": at} for at in (NOON, AHEAD)]
    await insert_rows(store, "heartbeat", beats)
    await put_right(store)
    assert [row.created_at for row in await read(store, select(tables.idempotency_key))] == [NOW]
    assert [row.minute for row in await read(store, select(tables.signup))] == [NOON]
    assert [row.beat_at for row in await read(store, select(tables.heartbeat))] == [NOON]


async def test_put_right__leaves_what_is_not_early(store: Store) -> None:
    done = await make_cronjob(store, cron="at(2026-11-24T11:00:00)", state=State.COMPLETED, next_fire_at=None)
    paused = await make_cronjob(store, state=State.PAUSED, next_fire_at=None)
    later = await make_cronjob(store, cron="0 13 * * *", next_fire_at=NOON + HOUR)
    for job in (done, paused, later):
        await make_firing(store, job, scheduled_at=NOON - HOUR, state="delivered")
        await make_firing(store, job, scheduled_at=NOON - MINUTE, state="missed", reason="catch_up=skip")
    before = await read_firings(store), await read(store, select(tables.cronjob))
    await put_right(store)
    assert (await read_firings(store), await read(store, select(tables.cronjob))) == before


async def test_put_right__many_cronjobs_by_two_nodes_each_once(store: Store) -> None:
    """The second node goes on where the first was stopped, and a third that comes late does nothing any more."""
    account = await make_account(store)
    jobs = [cronjob_values(account, secret=None, next_fire_at=AHEAD) for _ in range(2 * BATCH + 1)]
    await insert_rows(store, "cronjob", jobs)
    rows = [
        firing_values(job, scheduled_at=NOON + MINUTE, state="delivered", attempt=1, lease_no=1)
        for job in jobs
    ]
    await insert_rows(store, "firing", rows)
    await store.transact(lambda connection: horizon.extend_horizon(connection, AHEAD))
    store.timekeeper = _Back(NOW - SINCE)
    first, second, third = (EarlyRows(store) for _ in range(3))
    for node in (first, third):
        await look(node, NOW)
    assert await first.step(NOW)
    await look(second, NOW + SECOND)
    assert await second.step(NOW)
    assert not await second.step(NOW)
    assert (first.done.firings, second.done.firings) == (BATCH, BATCH + 1)
    assert (first.done.cronjobs, second.done.cronjobs) == (BATCH, BATCH + 1)
    # Meanwhile the first of them has fired at its time.
    await store.transact(_deliver_on_time)
    assert not await third.step(NOW)
    assert third.done.firings == 0
    for node in (first, second, third):
        await look(node, NOW + SECOND)
        assert not await node.step(NOW)
        assert not node.waits
    found = await store.transact(horizon.get_horizon)
    assert found is not None
    assert (found.latest_at, found.steady_since, found.early_after) == (NOW, NOW, None)


def _deliver_on_time(connection: Connection) -> None:
    connection.execute(tables.firing.update().values(reason=None))


async def test_look__waits_until_the_clock_has_been_back_for_half_a_minute(store: Store) -> None:
    job = await make_cronjob(store, next_fire_at=AHEAD)
    await store.transact(lambda connection: horizon.extend_horizon(connection, AHEAD))
    for steady_for in (0, 29 * SECOND):
        store.timekeeper = _Back(steady_for)
        rows = EarlyRows(store)
        await look(rows, NOON + steady_for)
        assert rows.waits
        assert not await rows.step(NOON + steady_for)
    assert (await read_cronjob(store, job["cronjob_id"])).next_fire_at == AHEAD


async def test_step__dispatcher_waits_until_no_lease_is_left_from_before_a_leap(
    store: Store, target: ScriptedTarget
) -> None:
    """To the time after the leap the lease of another node is over, but its worker still sends."""
    job = await make_cronjob(store)
    await make_firing(store, job, scheduled_at=NOON, state="sending", lease_no=1, due_at=NOON + MINUTE)
    passed = 0
    store.timekeeper = keeper = Timekeeper(lambda: passed)
    keeper.judge(NOON, 0)
    keeper.judge(NOON + HOUR, 0)
    keeper.believe("for this test")
    store.clock = Clock(NOON + HOUR)  # type: ignore[method-assign]
    dispatcher = Dispatcher(store, vault(), {"scripted": target})
    assert await dispatcher.step() == 60.0
    passed = 59 * SECOND
    assert await dispatcher.step() == 1.0
    assert target.messages == []
    passed = MINUTE
    await work_off(dispatcher)
    assert len(target.messages) == 1
