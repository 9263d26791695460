"""Acknowledgements in the database: what is found by an index, and what goes with what."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from cronally.firing import firing_id
from cronally.instants import DAY, MINUTE, SECOND
from cronally.store import Store, acknowledgements, cronjobs, deadlines, listing, removal, tables, upkeep
from cronally.store.acknowledgements import Body
from cronally.store.listing import Chosen
from tests.support.factories import (
    NOON,
    analyze,
    explain,
    firing_values,
    insert_rows,
    make_account,
    make_cronjob,
    read,
)

MANY = 3000


def values(job: Any, at: int, **given: Any) -> dict[str, Any]:
    return {
        **{name: job[name] for name in ("cronjob_id", "account_id")},
        "scheduled_at": at,
        "kind": "scheduled",
        "ack": "acknowledged",
        "deadline_at": None,
        **dict.fromkeys(("attempts_before", "first_before", "min_duration", "retries"), 0),
        "within": MINUTE,
        **given,
    }


async def filled(store: Store) -> dict[str, Any]:
    """A cron job with many acknowledged firings, and one that is overdue by now."""
    job = await make_cronjob(store, next_fire_at=None, ack_within=MINUTE)
    times = [NOON - n * SECOND for n in range(MANY)]
    given = {"state": "delivered", "attempt": 1, "lease_no": 1}
    await insert_rows(store, "firing", [firing_values(job, scheduled_at=at, **given) for at in times])
    last = values(job, times[-1], ack="waiting", deadline_at=NOON)
    await insert_rows(store, "acknowledgement", [*[values(job, at) for at in times[:-1]], last])
    await analyze(store)
    return job


async def test_deadlines__are_found_by_the_index_of_what_is_open(store: Store) -> None:
    await filled(store)

    def work(connection: Connection) -> None:
        assert deadlines.next_deadline(connection) == NOON
        assert deadlines.end_time(connection, NOON - 1, 10).overdue == 0
        assert deadlines.end_time(connection, NOON, 10).overdue == 1

    plans = await explain(store, work)
    for place in (0, 1, 2):
        assert "ix_acknowledgement_open" in plans[place], plans[place]
    for plan in plans:
        assert "SCAN acknowledgement\n" not in plan, plan
        assert "Seq Scan on acknowledgement" not in plan, plan
        assert "SCAN firing\n" not in plan, plan
        assert "Seq Scan on firing" not in plan, plan


async def test_list__by_where_it_stands_looks_at_no_more_than_a_page_may(store: Store) -> None:
    job = await filled(store)

    def work(connection: Connection) -> listing.Part:
        return listing.list_firings_of_cronjobs(
            connection, job["account_id"], [job["cronjob_id"]], None, 5, Chosen(acks=("waiting",))
        )

    found = await store.transact(work)
    assert found.firings == []
    assert found.searched_until is not None
    plans = await explain(store, work)
    assert not [plan for plan in plans if "SCAN acknowledgement\n" in plan or "Seq Scan on ack" in plan]


async def body(store: Store, job: Any, at: int) -> None:
    def work(connection: Connection) -> None:
        key = (job["cronjob_id"], at, "scheduled")
        acknowledgements.record_body(connection, job["account_id"], key, Body(at, False, b"sealed"))

    await store.transact(work)


async def bodies(store: Store) -> set[str]:
    return {row[0] for row in await read(store, select(tables.acknowledgement_body.c.firing_id))}


async def test_retention__takes_the_acknowledgement_with_its_firing(store: Store) -> None:
    job = await make_cronjob(store, next_fire_at=None, ack_within=MINUTE)
    for at in (NOON - 2 * DAY, NOON):
        await insert_rows(store, "firing", [firing_values(job, scheduled_at=at, state="delivered")])
        await insert_rows(store, "acknowledgement", [values(job, at)])
        await body(store, job, at)
    await store.transact(lambda c: upkeep.delete_firings(c, job["account_id"], NOON - DAY, 100))
    left = await read(store, select(tables.acknowledgement.c.scheduled_at))
    assert [row[0] for row in left] == [NOON]
    assert await bodies(store) == {firing_id(job["cronjob_id"], NOON)}


async def test_delete__of_a_cron_job_erases_what_its_receivers_sent(store: Store) -> None:
    account = await make_account(store)
    one, other = [await make_cronjob(store, account, next_fire_at=None) for _ in range(2)]
    for job in (one, other):
        await body(store, job, NOON)

    def work(connection: Connection) -> None:
        before = cronjobs.lock_cronjob(connection, account, one["cronjob_id"])
        assert before is not None
        removal.delete(connection, before, NOON, retention=DAY, changed_by=None)

    await store.transact(work)
    assert await bodies(store) == {firing_id(other["cronjob_id"], NOON)}


async def test_lists__are_of_one_account_alone(store: Store) -> None:
    job = await make_cronjob(store, next_fire_at=None, ack_within=MINUTE)
    await insert_rows(store, "firing", [firing_values(job, state="delivered", attempt=1)])
    await insert_rows(store, "acknowledgement", [values(job, NOON)])
    await body(store, job, NOON)
    stranger = await make_account(store)
    key = (job["cronjob_id"], NOON, "scheduled")
    ids = [firing_id(*key)]

    def of(account: str) -> tuple[int, int]:
        return len(found[account][0]), len(found[account][1])

    found = {
        account: await store.transact(
            lambda c, account=account: (  # type: ignore[misc]
                acknowledgements.list_acknowledgements(c, account, [key]),
                acknowledgements.list_bodies(c, account, ids),
            )
        )
        for account in (job["account_id"], stranger)
    }
    assert of(job["account_id"]) == (1, 1)
    assert of(stranger) == (0, 0)
