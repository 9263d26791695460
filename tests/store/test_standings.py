"""How cron jobs stand that are not well: always what a replay of the ledger says, whoever records what with what."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, delete, select, update

from cronally.firing import State
from cronally.instants import DAY, MINUTE, SECOND
from cronally.standing import Health, Standing
from cronally.store import Store, cronjobs, leases, outcomes, removal, standings, tables
from cronally.store.claims import Claim, Record
from tests.support.factories import (
    NOON,
    explain,
    firing_values,
    insert_rows,
    make_account,
    make_cronjob,
    make_firing,
    read,
    read_firings,
)

_table = tables.standing
Stands = dict[str, Standing]


async def stored(store: Store) -> Stands:
    query = select(_table.c.cronjob_id, _table.c.health, _table.c.since, _table.c.in_a_row)
    return {row[0]: Standing(Health(row[1]), row[2], row[3]) for row in await read(store, query)}


async def replayed(store: Store) -> Stands:
    """By the ledger: the last firings in a row, in the order in which they ended, that ended alike."""
    said: dict[str, list[tuple[str, int]]] = {}
    rows = [row for row in await read_firings(store) if row.state in ("delivered", "failed")]
    for row in sorted(rows, key=lambda row: row.finished_at):
        late = row.finished_at - row.scheduled_at > 60 * SECOND
        health = "failing" if row.state == "failed" else "late" if late else "ok"
        said.setdefault(row.cronjob_id, []).append((health, row.scheduled_at))
    stands = {}
    for cronjob_id, healths in said.items():
        health, last = [(health, list(same)) for health, same in groupby(healths, key=lambda one: one[0])][-1]
        if health != "ok":
            stands[cronjob_id] = Standing(Health(health), last[0][1], len(last))
    return stands


async def claim(store: Store, account_id: str, now: int) -> list[Claim]:
    return await store.transact(
        lambda connection: leases.claim_firings(connection, now, now + 7 * DAY, {account_id: 1000})
    )


async def record(store: Store, records: Sequence[Record]) -> None:
    await store.transact(lambda connection: outcomes.record_outcomes(connection, records))


def outcome(claimed: Claim, state: State, at: int) -> Record:
    if state is State.PENDING:
        return Record(claimed, state, due_at=NOON + 300 * DAY)
    return Record(claimed, state, finished_at=at)


def lose_lease(claimed: Claim, connection: Connection) -> None:
    table = tables.firing
    key = (table.c.cronjob_id == claimed.cronjob_id, table.c.scheduled_at == claimed.scheduled_at)
    connection.execute(update(table).where(*key).values(lease_no=claimed.lease_no + 1))


async def test_standings__are_what_a_replay_of_the_ledger_says(store: Store) -> None:
    """Firings of both kinds that end in any way, in batches of any order; leases that are lost, batches that are
    written twice because their commit was not heard of."""
    chance = random.Random(20261130)
    account_id = await make_account(store)
    jobs = [await make_cronjob(store, account_id) for _ in range(4)]
    states = [State.DELIVERED] * 4 + [State.FAILED] * 4 + [State.PENDING, State.MISSED, State.SKIPPED]
    at, number, seen = NOON, 0, set()
    for _ in range(40):
        rows, ends = [], {}
        for _ in range(chance.randint(1, 12)):
            at, number = at + SECOND, number + 1
            # No two fire times are equal: each has microseconds of its own.
            scheduled_at = at - chance.choice([1, 60, 61, 300]) * SECOND + number
            row = firing_values(
                chance.choice(jobs), scheduled_at=scheduled_at, kind=chance.choice(["scheduled", "manual"])
            )
            ends[scheduled_at] = at
            rows.append(row)
        await insert_rows(store, "firing", rows)
        claims = await claim(store, account_id, at)
        records = [outcome(each, chance.choice(states), ends[each.scheduled_at]) for each in claims]
        for each in claims:
            if chance.random() < 0.1:
                await store.transact(partial(lose_lease, each))
        chance.shuffle(records)
        for _ in range(chance.choice([1, 1, 2])):
            await record(store, records)
        stands = await stored(store)
        assert stands == await replayed(store)
        seen |= {(one.health, one.in_a_row > 1) for one in stands.values()}
    assert len(seen) == 4, "it has seen each, of one firing and of several"


async def test_standings__two_of_one_cronjob_count_in_the_order_in_which_they_ended(store: Store) -> None:
    job = await make_cronjob(store)
    for minute in range(4):
        await make_firing(store, job, scheduled_at=NOON - minute * MINUTE)
    claims = {each.scheduled_at: each for each in await claim(store, job["account_id"], NOON)}
    last, third, second, first = (claims[NOON - minute * MINUTE] for minute in range(4))
    # By their fire times the last failed; by when they ended it was delivered after two failures.
    await record(store, [outcome(first, State.FAILED, NOON + 2), outcome(last, State.DELIVERED, NOON + 3)])
    assert await stored(store) == {}
    await record(store, [outcome(third, State.DELIVERED, NOON + 4), outcome(second, State.FAILED, NOON + 5)])
    assert await stored(store) == {job["cronjob_id"]: Standing(Health.FAILING, second.scheduled_at, 1)}


async def test_standings__two_nodes_at_once_neither_block_each_other_nor_lose_a_failure(
    postgres_store: Store,
) -> None:
    account_id = await make_account(postgres_store)
    jobs = [await make_cronjob(postgres_store, account_id) for _ in range(6)]
    nodes, chance, began, done = 6, random.Random(1), 0, 0
    for step in range(8):
        # Failures alone, and then what is delivered between failures.
        state = State.DELIVERED if step % 4 == 3 else State.FAILED
        rows = [
            firing_values(job, scheduled_at=NOON - number)
            for job in jobs
            for number in range(step * nodes, (step + 1) * nodes)
        ]
        await insert_rows(postgres_store, "firing", rows)
        of_job: dict[str, list[Claim]] = {}
        for each in await claim(postgres_store, account_id, NOON):
            of_job.setdefault(each.cronjob_id, []).append(each)

        def work(connection: Connection, records: Sequence[Record]) -> None:
            nonlocal began
            began += 1  # once more after a deadlock
            outcomes.record_outcomes(connection, records)

        batches = [[of_job[job["cronjob_id"]][node] for job in jobs] for node in range(nodes)]
        for batch in batches:
            chance.shuffle(batch)
        mixed = [State.DELIVERED, state]
        await asyncio.gather(
            *[
                postgres_store.transact(
                    partial(
                        work, records=[outcome(each, mixed[chance.random() < 0.8], NOON) for each in batch]
                    )
                )
                for batch in batches
            ]
        )
        done += nodes
        assert began == done, "a deadlock"
    failed = [firing_values(job, scheduled_at=NOON - DAY - number) for job in jobs for number in range(nodes)]
    await postgres_store.transact(lambda connection: connection.execute(delete(_table)) and None)
    await insert_rows(postgres_store, "firing", failed)
    claims = await claim(postgres_store, account_id, NOON)
    chance.shuffle(claims)
    await asyncio.gather(
        *[
            record(postgres_store, [outcome(each, State.FAILED, NOON) for each in claims[node::nodes]])
            for node in range(nodes)
        ]
    )
    assert {one.in_a_row for one in (await stored(postgres_store)).values()} == {nodes}


async def test_standings__go_with_their_cronjob_and_are_the_accounts_own(store: Store) -> None:
    job = await make_cronjob(store)
    for minute in range(2):
        await make_firing(store, job, scheduled_at=NOON - minute * MINUTE)
    first, second = await claim(store, job["account_id"], NOON)
    await record(store, [outcome(first, State.FAILED, NOON)])
    other = await make_account(store)
    for account_id, count in ((job["account_id"], 1), (other, 0)):
        found = await store.transact(
            partial(standings.list_standings, account_id=account_id, cronjob_ids=[job["cronjob_id"]])
        )
        assert len(found) == count
    assert await store.transact(partial(standings.list_standings, account_id=other, cronjob_ids=[])) == {}

    def remove(connection: Connection) -> None:
        found = cronjobs.lock_cronjob(connection, job["account_id"], job["cronjob_id"])
        assert found is not None
        removal.delete(connection, found, NOON, retention=DAY, changed_by=None)

    await store.transact(remove)
    assert await stored(store) == {}
    # What was on its way when it was deleted.
    await record(store, [outcome(second, State.FAILED, NOON)])
    assert await stored(store) == {}


async def test_record__where_all_is_well_costs_one_search_for_keys(store: Store) -> None:
    account_id = await make_account(store)
    jobs = [await make_cronjob(store, account_id) for _ in range(20)]
    others = [await make_cronjob(store, account_id) for _ in range(300)]
    ill: list[dict[str, Any]] = [
        {"cronjob_id": each["cronjob_id"], "health": "failing", "since": NOON, "in_a_row": 1}
        for each in others
    ]
    await insert_rows(store, "standing", ill)
    await insert_rows(store, "firing", [firing_values(job) for job in jobs])
    records = [outcome(each, State.DELIVERED, NOON) for each in await claim(store, account_id, NOON)]

    dialects: list[str] = []

    def work(connection: Connection) -> None:
        dialects.append(connection.dialect.name)
        outcomes.record_outcomes(connection, records)

    plans = await explain(store, work)
    assert len(plans) == (2 if "sqlite" in dialects else 1)
    assert "standing" in plans[-1]
    assert not re.search("SCAN standing|Seq Scan on standing", plans[-1])
