"""Freezes at the claim: what falls due is held or skipped as the rule says, and nothing is sent while one is in force.

The walk lets chance make and lift freezes of two accounts, tag, pause and ask for cron jobs, and move the clock both
ways, and compares every row of the ledger with what a slow look at all freezes says of it.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from cronally.contract.cronjob_requests import Pause
from cronally.contract.reading import Reading
from cronally.engine import freezing
from cronally.engine.janitor import FREEZES_KEPT, Janitor
from cronally.engine.scheduler import Scheduler
from cronally.instants import DAY, HOUR, MINUTE, SECOND
from cronally.store import Store, early, freezes, leases, tables
from cronally.store.postgres import PostgresStore
from cronally.targets.target import Message, Outcome, Retry
from tests.engine.freezing import World, caller
from tests.engine.owing import dispatcher, owe_more, sent
from tests.support.factories import (
    NOON,
    Clock,
    ScriptedTarget,
    analyze,
    explain,
    firing_values,
    insert_rows,
    make_account,
    make_firing,
    read,
    read_cronjob,
    read_firing,
    read_firings,
    work_off,
)
from tests.support.sampling import first


@pytest.fixture
def world(store: Store, target: ScriptedTarget) -> World:
    return World(store, target)


# One freeze


@pytest.mark.parametrize(
    ("rule", "then", "after"),
    [
        ("skip", ["skipped"] * 3, []),
        ("latest", ["skipped", "skipped", "pending"], [0]),
        ("all", ["pending"] * 3, [-2, -1, 0]),
    ],
)
async def test_rule__what_becomes_of_what_falls_due(
    world: World, clock: Clock, rule: str, then: list[str], after: list[int]
) -> None:
    job = await world.job()
    frozen = await world.freeze(job["account_id"], all=True, rule=rule)
    # They fall due one after the other: what is held gives way later.
    for at in (NOON - 2 * MINUTE, NOON - MINUTE, NOON):
        await owe_more(world.store, job, [at])
        await work_off(world.node)
    assert await world.states(job) == [(state, "frozen", frozen["freeze_id"]) for state in then]
    assert not world.target.messages
    clock.forward(HOUR - 1)
    await work_off(world.node)
    assert not world.target.messages, "not before its end"
    clock.forward(1)
    await work_off(world.node)
    assert sorted(sent(world.target)) == after
    rows = await read_firings(world.store, job["cronjob_id"])
    assert [(row.state, row.reason, row.cause) for row in rows if row.state != "skipped"] == [
        ("delivered", None, None)
    ] * len(after)
    assert {row.attempt for row in rows if row.state == "skipped"} <= {0}


@pytest.mark.parametrize("rule", ["latest", "all"])
async def test_lift__what_is_held_goes_out_at_once(world: World, clock: Clock, rule: str) -> None:
    job = await world.job()
    await owe_more(world.store, job, [NOON - MINUTE, NOON])
    frozen = await world.freeze(job["account_id"], all=True, rule=rule)
    await work_off(world.node)
    clock.forward(MINUTE)
    lifted = await world.lift(job["account_id"], frozen["freeze_id"])
    assert not lifted["in_force"]
    await work_off(world.node)
    assert sorted(sent(world.target)) == ([-1, 0] if rule == "all" else [0])
    clock.forward(MINUTE)
    assert await world.lift(job["account_id"], frozen["freeze_id"]) == lifted


async def test_lift__cut_short_is_ended_by_the_janitor(
    world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what is held only a part is let go in a transaction."""
    monkeypatch.setattr(freezes, "RELEASED_ROWS", 2)
    job = await world.job()
    await owe_more(world.store, job, range(NOON - 4 * MINUTE, NOON + 1, MINUTE))
    frozen = await world.freeze(job["account_id"], all=True, rule="all")
    await work_off(world.node)
    clock.forward(MINUTE)
    args = (job["account_id"], frozen["freeze_id"], clock.now, "key")
    await world.store.transact(lambda connection: freezes.lift_freeze(connection, *args))
    await work_off(world.node)
    assert not world.target.messages
    janitor = Janitor(world.store, retention=30 * DAY)
    for _ in range(3):
        await janitor.step()
    await work_off(world.node)
    assert sorted(sent(world.target)) == [-4, -3, -2, -1, 0]
    assert await world.store.transact(lambda connection: freezes.release_left(connection, clock.now)) == 0


async def test_lift__lets_go_in_parts(world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freezes, "RELEASED_ROWS", 2)
    job = await world.job()
    await owe_more(world.store, job, range(NOON - 4 * MINUTE, NOON + 1, MINUTE))
    frozen = await world.freeze(job["account_id"], all=True, rule="all")
    await work_off(world.node)
    await world.lift(job["account_id"], frozen["freeze_id"])
    await work_off(world.node)
    assert len(world.target.messages) == 5


async def test_held__counts_its_age_from_the_end(world: World, clock: Clock) -> None:
    """A week is more than `misfire_grace` and `max_age` allow."""
    job = await world.job(misfire_grace=HOUR, max_age=HOUR)
    await owe_more(world.store, job, [NOON])
    await world.freeze(job["account_id"], all=True, rule="all", until="7d")
    await work_off(world.node)
    clock.forward(7 * DAY + HOUR - 1)
    await work_off(world.node)
    row = await read_firing(world.store, job["cronjob_id"])
    assert (row.state, row.owed_at) == ("delivered", NOON + 7 * DAY)
    standing = await read(world.store, select(tables.standing.c.health))
    assert [each.health for each in standing] == ["late"], "an hour after the end of the freeze"


async def test_held__is_too_old_an_age_after_the_end(world: World, clock: Clock) -> None:
    job = await world.job(misfire_grace=HOUR, max_age=HOUR)
    await owe_more(world.store, job, [NOON])
    await world.freeze(job["account_id"], all=True, rule="all", until="2h")
    await work_off(world.node)
    clock.forward(3 * HOUR + 1)
    await work_off(world.node)
    row = await read_firing(world.store, job["cronjob_id"])
    assert (row.state, row.reason, row.cause) == ("missed", "misfire_grace", None)


async def test_held__is_not_late_for_the_freeze(world: World, clock: Clock) -> None:
    job = await world.job()
    await owe_more(world.store, job, [NOON])
    await world.freeze(job["account_id"], all=True, rule="all")
    await work_off(world.node)
    clock.forward(HOUR)
    await work_off(world.node)
    assert (await read_firing(world.store, job["cronjob_id"])).state == "delivered"
    assert not await read(world.store, select(tables.standing))


@pytest.mark.parametrize(("rule", "state"), [("skip", "skipped"), ("latest", "pending"), ("all", "pending")])
async def test_retry__of_what_was_attempted_before(world: World, clock: Clock, rule: str, state: str) -> None:
    job = await world.job()
    await owe_more(world.store, job, [NOON - MINUTE, NOON])

    def busy(_message: Message) -> Outcome:
        return Retry("busy")

    deliver, world.target.script = world.target.script, busy
    await work_off(world.node)
    frozen = await world.freeze(job["account_id"], all=True, rule=rule)
    clock.forward(MINUTE)
    await owe_more(world.store, job, [NOON + MINUTE])
    world.target.messages.clear()
    await work_off(world.node)
    assert not world.target.messages
    assert await world.states(job) == [(state, "frozen", frozen["freeze_id"])] * 3
    assert [row.attempt for row in await read_firings(world.store, job["cronjob_id"])] == [1, 1, 0]
    world.target.script = deliver
    clock.forward(HOUR)
    await work_off(world.node)
    assert sorted(sent(world.target)) == ([] if rule == "skip" else [-1, 0, 1])


@pytest.mark.parametrize(
    ("selector", "is_sent"), [({"all": True}, True), ({"tag": "web"}, True), ({"host": "a.example"}, False)]
)
async def test_manual__is_held_by_a_freeze_of_its_host_alone(
    world: World, selector: dict[str, Any], is_sent: bool
) -> None:
    job = await world.job(tags='["web"]')
    frozen = await world.freeze(job["account_id"], **selector, rule="latest")
    for number in range(2):
        await make_firing(world.store, job, kind="manual", scheduled_at=NOON - number)
    await work_off(world.node)
    held = ("pending", "frozen", frozen["freeze_id"])
    assert await world.states(job) == [("delivered", None, None) if is_sent else held] * 2


@pytest.mark.parametrize(
    ("selector", "frozen"),
    [
        ({"all": "true"}, "abcd"),
        ({"tag": "web"}, "a"),
        ({"tag": "env=prod"}, "b"),
        ({"tag": "env=*"}, "bc"),
        ({"tag": "en"}, ""),
        ({"host": "A.example"}, "ab"),
        ({"host": "b.example"}, "c"),
        ({"host": "example"}, ""),
    ],
)
async def test_selector__which_cronjobs_it_is_for(
    world: World, selector: dict[str, Any], frozen: str
) -> None:
    account_id, other = await make_account(world.store), await make_account(world.store)
    jobs = {
        "a": await world.job(account_id, tags='["env","web"]'),
        "b": await world.job(account_id, tags='["env=prod","website"]'),
        "c": await world.job(account_id, tags='["env=test"]', host="b.example"),
        "d": await world.job(account_id, destination="{}"),
        "of another account": await world.job(other, tags='["env=prod","web"]'),
    }
    for job in jobs.values():
        await owe_more(world.store, job, [NOON])
    answer = await world.freeze(account_id, **selector)
    await work_off(world.node)
    expected = {
        name: ("skipped", "frozen", answer["freeze_id"]) if name in frozen else ("delivered", None, None)
        for name in jobs
    }
    assert {name: (await world.states(job))[0] for name, job in jobs.items()} == expected
    assert answer["cronjobs"] == len(frozen)


async def test_several__the_first_that_was_made_decides_and_the_next_holds_on(
    world: World, clock: Clock
) -> None:
    job = await world.job(tags='["web"]')
    one = await world.freeze(job["account_id"], tag="web", rule="all", until="10m")
    clock.forward(1)
    other = await world.freeze(job["account_id"], all=True, rule="all", until="30m")
    await owe_more(world.store, job, [NOON])
    await work_off(world.node)
    assert await world.states(job) == [("pending", "frozen", one["freeze_id"])]
    clock.forward(10 * MINUTE)
    await work_off(world.node)
    assert await world.states(job) == [("pending", "frozen", other["freeze_id"])]
    clock.forward(20 * MINUTE)
    await work_off(world.node)
    assert await world.states(job) == [("delivered", None, None)]


async def test_deleted__what_is_held_ends_for_that(world: World) -> None:
    job = await world.job()
    await owe_more(world.store, job, [NOON])
    await world.freeze(job["account_id"], all=True, rule="all")
    await work_off(world.node)
    await world.operations.delete_cronjob(caller(job["account_id"]), job["cronjob_id"])
    assert await world.states(job) == [("skipped", "deleted", None)]


async def test_order__what_is_held_keeps_it(world: World, clock: Clock) -> None:
    job = await world.job(ordered=True)
    await owe_more(world.store, job, range(NOON - 4 * MINUTE, NOON + 1, MINUTE))
    await world.freeze(job["account_id"], all=True, rule="all")
    await work_off(world.node)
    clock.forward(HOUR)
    await owe_more(world.store, job, [clock.now])
    await work_off(world.node)
    assert sent(world.target) == [-4, -3, -2, -1, 0, 60]


async def test_clock_ahead__what_was_skipped_early_fires_at_its_time(world: World, clock: Clock) -> None:
    """A freeze that ended meanwhile skips nothing more."""
    job = await world.job(next_fire_at=NOON + 2 * HOUR, cron="0 * * * *", catch_up="all")
    scheduler = Scheduler(world.store)
    await world.freeze(job["account_id"], all=True, until="3h")
    clock.forward(2 * HOUR)
    await scheduler.tick(clock.now)
    await work_off(world.node)
    assert [state for state, _, _ in await world.states(job)] == ["skipped"]
    clock.forward(-2 * HOUR)

    def back(connection: Any) -> None:
        candidates = early.lock_candidates(connection, "", 10)
        early.uncount(connection, candidates, clock.now)
        early.forget_unsent(connection, [job["cronjob_id"]], clock.now, clock.now)
        early.mark_sent(connection, [job["cronjob_id"]], clock.now, clock.now)
        early.move_back(connection, candidates[0], NOON + HOUR, clock.now)

    await world.store.transact(back)
    assert await world.states(job) == [("skipped", "clock_ahead", None)]
    assert (await read_cronjob(world.store, job["cronjob_id"])).fired == 0
    (frozen,) = await read(world.store, select(tables.freeze.c.freeze_id))
    await world.lift(job["account_id"], frozen.freeze_id)
    clock.forward(2 * HOUR)
    while (await scheduler.tick(clock.now)).more:
        pass
    await work_off(world.node)
    assert {state for state, _, _ in await world.states(job)} == {"delivered"}
    assert len(await world.states(job)) == 2


async def test_janitor__keeps_what_has_ended_for_a_month(world: World, clock: Clock) -> None:
    account_id = await make_account(world.store)
    ended = await world.freeze(account_id, all=True, until="1h")
    lifted = await world.freeze(account_id, all=True, until="7d")
    await world.lift(account_id, lifted["freeze_id"])
    for left, after in ((2, FREEZES_KEPT), (1, MINUTE), (0, HOUR)):
        clock.forward(after)
        janitor = Janitor(world.store, retention=30 * DAY)
        while not await janitor.expire(clock.now):
            pass
        rows = await read(world.store, select(tables.freeze.c.freeze_id))
        assert len(rows) == left
        if left == 1:
            assert rows[0].freeze_id == ended["freeze_id"]


# What it costs, and who waits for whom


async def test_claim__without_a_freeze_costs_no_statement(world: World) -> None:
    job = await world.job()
    await owe_more(world.store, job, [NOON])
    other = await world.job()
    await world.freeze(other["account_id"], host="a.example")
    takes = {job["account_id"]: 5}

    def claim(connection: Any) -> None:
        claims = leases.claim_firings(connection, NOON, NOON + MINUTE, takes)
        assert freezing.hold_back(connection, claims, NOON, {"scripted": world.target}) == []

    without = await explain(
        world.store,
        lambda connection: leases.claim_firings(connection, NOON, NOON + MINUTE, takes) and None,
    )
    assert len(await explain(world.store, claim)) == len(without)


async def test_held__is_found_by_its_index(world: World) -> None:
    job = await world.job()
    times = range(NOON - 2000 * MINUTE, NOON, MINUTE)
    delivered = [firing_values(job, scheduled_at=at, state="delivered") for at in times]
    await insert_rows(world.store, "firing", delivered)
    await owe_more(world.store, job, [NOON])
    frozen = await world.freeze(job["account_id"], all=True, rule="latest")
    await work_off(world.node)
    await analyze(world.store)
    freeze_id = frozen["freeze_id"]

    def work(connection: Any) -> None:
        assert len(freezes.list_held(connection, freeze_id, [job["cronjob_id"]])) == 1
        freezes.release_left(connection, NOON)
        freezes.release(connection, freeze_id, NOON)

    plans = await explain(world.store, work)
    for plan in plans:
        assert "Seq Scan on firing" not in plan, plan
        assert "SCAN firing" not in plan, plan
    assert "ix_firing_held" in plans[0]
    assert "ix_firing_held" in plans[2]


async def test_claim__waits_for_nobody_who_lifts(
    postgres_store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    world = World(postgres_store, target)
    job = await world.job()
    await owe_more(postgres_store, job, [NOON])
    frozen = await world.freeze(job["account_id"], all=True, rule="all")
    assert isinstance(postgres_store, PostgresStore)
    async with postgres_store._engine.begin() as lifting:
        changed = update(tables.freeze).where(tables.freeze.c.freeze_id == frozen["freeze_id"])
        await lifting.execute(changed.values(lifted_at=NOON, lifted_by="key"))
        async with asyncio.timeout(30):
            assert await world.node.step() == 0.0
        row = await read_firing(postgres_store, job["cronjob_id"])
        assert (row.state, row.reason, row.owed_at) == ("pending", "frozen", None)
        assert NOON < row.due_at < NOON + 2 * SECOND, "it asks again in a moment"
    clock.forward(2 * SECOND)
    await work_off(world.node)
    assert sent(target) == [0]


async def test_latest__two_nodes_hold_one(
    postgres_store: Store, target: ScriptedTarget, clock: Clock
) -> None:
    world = World(postgres_store, target)
    job = await world.job()
    await owe_more(postgres_store, job, [NOON - MINUTE, NOON])
    frozen = await world.freeze(job["account_id"], all=True, rule="latest")
    assert isinstance(postgres_store, PostgresStore)

    def claim(connection: Any) -> None:
        claims = leases.claim_firings(connection, NOON, NOON + MINUTE, {job["account_id"]: 1})
        assert len(freezing.hold_back(connection, claims, NOON, {"scripted": target})) == 1

    async with postgres_store._engine.begin() as claiming:
        await claiming.run_sync(claim)
        async with asyncio.timeout(30):
            await world.node.step()
    clock.forward(2 * SECOND)
    await work_off(world.node)
    of = frozen["freeze_id"]
    assert await world.states(job) == [("skipped", "frozen", of), ("pending", "frozen", of)]


# The walk


@dataclass
class Known:
    """A firing as it should stand."""

    due: int | None
    said: tuple[str, str | None, str | None] = ("pending", None, None)


@dataclass
class Job:
    account: str
    cronjob_id: str
    host: str
    tags: set[str] = field(default_factory=set)
    rows: dict[tuple[int, str], Known] = field(default_factory=dict)


def is_for(freeze: dict[str, Any], job: Job, kind: str) -> bool:
    if freeze["account"] != job.account:
        return False
    if freeze.get("host") is not None:
        return bool(freeze["host"] == job.host)
    return kind == "scheduled" and (freeze.get("tag") is None or freeze["tag"] in job.tags)


def in_force(freeze: dict[str, Any], now: int) -> bool:
    return not freeze["lifted"] and now < int(freeze["ends"])


def work(job: Job, known: list[dict[str, Any]], now: int) -> int:
    """What a node makes of the firings of a cron job that are due; how many it sends."""
    count = 0
    frozen: dict[str, list[tuple[int, str]]] = {}
    for (at, kind), row in job.rows.items():
        if row.due is None or row.due > now:
            continue
        held_by = next((one for one in known if in_force(one, now) and is_for(one, job, kind)), None)
        if held_by is None:
            row.due, row.said = None, ("delivered", None, None)
            count += 1
        elif held_by["rule"] == "skip":
            row.due, row.said = None, ("skipped", "frozen", held_by["freeze_id"])
        else:
            row.due, row.said = held_by["ends"], ("pending", "frozen", held_by["freeze_id"])
            if held_by["rule"] == "latest" and kind == "scheduled":
                frozen.setdefault(held_by["freeze_id"], []).append((at, kind))
    for freeze_id in frozen:
        held = [
            key
            for key, row in job.rows.items()
            if row.said == ("pending", "frozen", freeze_id) and key[1] == "scheduled"
        ]
        for key in held:
            if key != max(held):
                job.rows[key] = Known(None, ("skipped", "frozen", freeze_id))
    return count


@first("sqlite", "migrated_url")
@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(number, marks=pytest.mark.slow) for number in range(2, 20))]
)
async def test_walk__every_fire_time_once_and_nothing_sent_while_frozen(
    store: Store, target: ScriptedTarget, clock: Clock, seed: int
) -> None:
    chance = random.Random(seed)
    world = World(store, target)
    nodes = [world.node, dispatcher(store, target)]
    scheduler = Scheduler(store)
    jobs = []
    for account in [await make_account(store), await make_account(store)]:
        for number in range(3):
            host = chance.choice(["a.example", "b.example"])
            made = await world.job(
                account,
                host=host,
                next_fire_at=NOON,
                cron=f"*/{5 + number} * * * *",
                catch_up="all",
                misfire_grace=HOUR,
                max_age=HOUR,
                tags='["x"]',
            )
            jobs.append(Job(account, made["cronjob_id"], host, {"x"}))
    known: list[dict[str, Any]] = []
    paused: set[str] = set()
    expected_sent = 0

    async def ticked() -> None:
        while (await scheduler.tick(clock.now)).more:
            pass
        for job in jobs:
            for row in await read_firings(store, job.cronjob_id):
                if row.reason not in ("paused", "clock_ahead") and row.state == "pending":
                    job.rows.setdefault((row.scheduled_at, row.kind), Known(row.due_at))

    async def worked() -> None:
        nonlocal expected_sent
        await work_off(chance.choice(nodes))
        for job in jobs:
            expected_sent += work(job, known, clock.now)
            rows = [row for row in await read_firings(store, job.cronjob_id) if row.reason != "paused"]
            found = {(row.scheduled_at, row.kind): (row.state, row.reason, row.cause) for row in rows}
            assert found == {key: row.said for key, row in job.rows.items()}
        assert len(target.messages) == expected_sent

    for _ in range(50):
        job = chance.choice(jobs)
        match chance.choice(["pass", "pass", "pass", "freeze", "lift", "tag", "pause", "run", "back"]):
            case "pass":
                clock.forward(chance.choice([SECOND, 5 * MINUTE, 20 * MINUTE]))
            case "back":
                clock.forward(-chance.choice([SECOND, 2 * MINUTE]))
            case "freeze":
                selector: dict[str, Any] = chance.choice(
                    [{"all": True}, {"tag": "x"}, {"tag": "y"}, {"host": "a.example"}]
                )
                minutes = chance.choice([1, 30, 90])
                rule = chance.choice(["skip", "latest", "all"])
                if sum(in_force(one, clock.now) for one in known if one["account"] == job.account) >= 5:
                    continue
                made = await world.freeze(job.account, **selector, rule=rule, until=f"{minutes}m")
                ends = clock.now + minutes * MINUTE
                made |= {"account": job.account, "ends": ends, "lifted": False, "made": clock.now}
                known.append(made)
                known.sort(key=lambda one: (one["made"], one["freeze_id"]))
            case "lift" if known:
                freeze = chance.choice(known)
                if in_force(freeze, clock.now):
                    for other in jobs:
                        for row in other.rows.values():
                            if row.said == ("pending", "frozen", freeze["freeze_id"]):
                                row.due, row.said = clock.now, ("pending", None, None)
                    freeze["lifted"] = True
                await world.lift(freeze["account"], freeze["freeze_id"])
            case "tag":
                job.tags = chance.choice([set(), {"x"}, {"y"}, {"x", "y"}])
                tags = "[" + ",".join(f'"{tag}"' for tag in sorted(job.tags)) + "]"
                table = tables.cronjob
                changed = update(table).where(table.c.cronjob_id == job.cronjob_id).values(tags=tags)
                await store.transact(partial(_run, changed))
            case "pause":
                who, pausing = caller(job.account), world.operations.pausing
                if job.cronjob_id in paused:
                    paused.remove(job.cronjob_id)
                    await pausing.resume(who, job.cronjob_id)
                else:
                    paused.add(job.cronjob_id)
                    await pausing.pause(who, job.cronjob_id, Reading(Pause, {}))
            case "run":
                at = clock.now + 1
                if (at, "manual") not in job.rows:
                    values = {"cronjob_id": job.cronjob_id, "account_id": job.account}
                    await make_firing(store, values, kind="manual", scheduled_at=at, due_at=clock.now)
        await ticked()
        await worked()

    clock.forward(2 * HOUR)
    for freeze in known:
        await world.lift(freeze["account"], freeze["freeze_id"])
    await ticked()
    await work_off(world.node)
    for job in jobs:
        rows = await read_firings(store, job.cronjob_id)
        assert all(row.due_at is None for row in rows), "nothing is held for ever"
        # Paused or not, every fire time is in the ledger once.
        step = next(
            int(cron.split("/")[1].split()[0]) for cron in [(await read_cronjob(store, job.cronjob_id)).cron]
        )
        covered: list[int] = []
        for row in rows:
            if row.kind == "scheduled":
                covered += [row.scheduled_at] if row.until_at is None else [*fire_times(row, step)]
        assert len(covered) == len(set(covered))
        assert all((at // MINUTE % 60) % step == 0 for at in covered)


def _run(statement: Any, connection: Connection) -> None:
    connection.execute(statement)


def fire_times(row: Any, step: int) -> list[int]:
    """Those that a range row stands for."""
    times = [
        at for at in range(row.scheduled_at, row.until_at + 1, MINUTE) if (at // MINUTE % 60) % step == 0
    ]
    assert len(times) == row.count
    return times
