"""The verbs of a tenant: each reaches its account's rows alone, and finds them by an index."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from cronally.instants import MINUTE
from cronally.store import (
    Store,
    accounts,
    cronjobs,
    former,
    idempotency,
    ledger,
    listing,
    selection,
    signups,
    tables,
    versions,
)
from cronally.store.idempotency import Used
from cronally.store.selection import Chosen, Order
from tests.support.factories import (
    NOON,
    analyze,
    cronjob_values,
    explain,
    firing_values,
    insert_rows,
    make_account,
    make_cronjob,
    make_firing,
    read,
    read_cronjob,
    uuid_of,
)


async def test_cronjobs__every_verb_is_the_accounts_own(store: Store) -> None:
    mine, other = await make_account(store), await make_account(store)
    row = await make_cronjob(store, mine)
    cronjob_id = row["cronjob_id"]
    for verb in (cronjobs.get_cronjob, cronjobs.lock_cronjob):
        assert await store.transact(partial(verb, account_id=other, cronjob_id=cronjob_id)) is None
        assert await store.transact(partial(verb, account_id=mine, cronjob_id=cronjob_id)) is not None
    found = await store.transact(partial(cronjobs.get_cronjob, account_id=mine, cronjob_id=cronjob_id))
    assert found is not None
    stolen = replace(found, account_id=other, name="Stolen")
    await store.transact(partial(cronjobs.update_cronjob, cronjob=stolen))
    await store.transact(partial(cronjobs.replace_secret, cronjob=stolen, secret=b""))
    after = await read_cronjob(store, cronjob_id)
    assert (after.name, after.account_id, after.secret) == (row["name"], mine, row["secret"])
    for account_id, count in ((mine, 1), (other, 0)):
        keys = await store.transact(partial(selection.list_keys, account_id=account_id, after=None, limit=10))
        listed = partial(cronjobs.list_cronjobs, account_id=account_id, cronjob_ids=[cronjob_id])
        assert len(keys) == len(await store.transact(listed)) == count


async def test_cronjobs__survive_the_way_in_and_out(store: Store) -> None:
    account_id = await make_account(store)
    cronjob = cronjobs.Cronjob(
        cronjob_id=uuid_of("c"),
        account_id=account_id,
        name='"Tea", \\ 茶 🍵',
        cron="* * * * *",
        timezone="Europe/Berlin",
        policies='{"catch_up":"all","later":["\\u007f"],"misfire_grace":9007199254740993}',
        state="active",
        state_reason=None,
        version=1,
        created_at=NOON,
        updated_at=NOON,
        settled_at=NOON,
        updated_by="key",
        next_fire_at=None,
        tzdata="2026b",
        target="sns",
        destination='{"sns_message":"\\u007f\\n\\t茶"}',
        tags='["env=prod","web"]',
    )
    await store.transact(partial(cronjobs.insert_cronjob, cronjob=cronjob, secret=b"\x00\xff"))
    get = partial(cronjobs.get_cronjob, account_id=account_id, cronjob_id=cronjob.cronjob_id)
    assert await store.transact(get) == cronjob
    page = partial(cronjobs.list_cronjobs, account_id=account_id, cronjob_ids=[cronjob.cronjob_id])
    assert await store.transact(page) == [cronjob]
    changed = replace(
        cronjob, state="deleted", state_reason="why", version=2, next_fire_at=NOON, purge_at=NOON
    )
    await store.transact(partial(cronjobs.update_cronjob, cronjob=changed))
    assert await store.transact(get) == changed
    assert await store.transact(page) == []
    assert (await read_cronjob(store, "c")).secret == b"\x00\xff"


@pytest.fixture
async def crowd(store: Store) -> str:
    """Many accounts with cron jobs and firings, so that a database sees what an index is for; one of them."""
    for _ in range(20):
        account_id = await make_account(store)
        rows = [cronjob_values(account_id, secret=None, created_at=NOON + number) for number in range(10)]
        await insert_rows(store, "cronjob", rows)
        firings = [
            firing_values(row, scheduled_at=NOON + minute * MINUTE, state="failed", lease_no=1)
            for row in rows
            for minute in range(50)
        ]
        await insert_rows(store, "firing", firings)
    await analyze(store)
    return account_id


FULL_SCANS = (
    "SCAN account",
    "SCAN api_key",
    "SCAN cronjob",
    "SCAN firing",
    "SCAN attempt",
    "Seq Scan on firing",
)


LISTS: tuple[dict[str, Any], ...] = (
    {"after": None},
    {"after": (NOON, "")},
    {"after": (NOON, ""), "order": Order("created", descending=True)},
    {"after": ("Reports", ""), "order": Order("name")},
    {"after": (NOON, ""), "order": Order("next_fire")},
    {"after": (None, ""), "order": Order("next_fire", descending=True)},
    {"after": (NOON, ""), "order": Order("updated", descending=True)},
    {"after": None, "chosen": Chosen(health="ok")},
    {"after": None, "chosen": Chosen(health="failing"), "order": Order("name")},
    {"after": None, "chosen": Chosen(name_prefix="R", tags=("env=*", "web"), next_fire_from=NOON)},
)


async def test_lists__of_keys_are_read_from_the_index_where_it_has_all(store: Store, crowd: str) -> None:
    for given in LISTS[:3]:
        (plan,) = await explain(store, partial(selection.list_keys, account_id=crowd, limit=5, **given))
        assert "COVERING INDEX ix_cronjob_listed" in plan or "Index Only Scan" in plan, plan
        assert "TEMP B-TREE" not in plan, plan
        assert "Sort" not in plan, plan


async def test_lists__read_by_an_index(store: Store, crowd: str) -> None:
    (row, *_) = await read(store, select(tables.cronjob).where(tables.cronjob.c.account_id == crowd))
    at = NOON + 20 * MINUTE
    page = (
        await store.transact(partial(listing.list_firings, account_id=crowd, after=None, limit=5))
    ).firings
    works: list[partial[Any]] = [
        *(partial(selection.list_keys, account_id=crowd, limit=5, **given) for given in LISTS),
        partial(cronjobs.list_cronjobs, account_id=crowd, cronjob_ids=[row.cronjob_id]),
        partial(cronjobs.sizes_of, account_id=crowd, cronjob_ids=[row.cronjob_id]),
        partial(cronjobs.list_named, account_id=crowd, name=row.name, limit=5),
        partial(ledger.list_until, account_id=crowd, cronjob_id=row.cronjob_id, at=at, limit=5),
        partial(ledger.list_after, account_id=crowd, cronjob_id=row.cronjob_id, at=at, limit=5),
        partial(ledger.list_attempts, account_id=crowd, firings=page),
        partial(accounts.get_account, account_id=crowd),
        partial(ledger.speaks_of, account_id=crowd, cronjob_id=row.cronjob_id),
        partial(versions.get_changed_at, cronjob_id=row.cronjob_id, version=1),
        partial(versions.list_versions, cronjob_id=row.cronjob_id),
        partial(former.get_sent, cronjob_id=row.cronjob_id, version=1),
        partial(former.keep_destination, cronjob_id=row.cronjob_id, version=1, destination="{}"),
        partial(former.erase_destinations, cronjob_id=row.cronjob_id),
        partial(versions.forget_versions, cronjob_id=row.cronjob_id, version=1),
    ]
    for work in works:
        for plan in await explain(store, work):
            assert not any(scan in plan for scan in FULL_SCANS), plan


async def test_around__the_rows_of_fire_times_on_both_sides_of_an_instant(store: Store) -> None:
    row = await make_cronjob(store)
    for minute in range(4):
        await make_firing(store, row, scheduled_at=NOON + minute * MINUTE)
    await make_firing(store, row, scheduled_at=NOON + MINUTE + 1, kind="manual")
    await make_firing(store, await make_cronjob(store, row["account_id"]), scheduled_at=NOON + MINUTE)
    other = await make_account(store)
    for verb, minutes in ((ledger.list_until, [1, 0]), (ledger.list_after, [2, 3])):
        around = partial(verb, cronjob_id=row["cronjob_id"], at=NOON + MINUTE)
        found = await store.transact(partial(around, account_id=row["account_id"], limit=5))
        assert [firing.scheduled_at for firing in found] == [NOON + minute * MINUTE for minute in minutes]
        assert len(await store.transact(partial(around, account_id=row["account_id"], limit=1))) == 1
        assert await store.transact(partial(around, account_id=other, limit=5)) == []


async def test_attempts__are_the_accounts_own_and_those_of_the_firings(store: Store) -> None:
    row = await make_cronjob(store)
    for minute in range(3):
        firing = await make_firing(store, row, scheduled_at=NOON + minute * MINUTE, lease_no=1)
        attempt: dict[str, Any] = {name: firing[name] for name in ("cronjob_id", "scheduled_at", "kind")}
        attempt |= {"lease_no": 1, "attempt": 1, "started_at": NOON, "duration": 1, "version": 1}
        await insert_rows(
            store,
            "attempt",
            [attempt | {"outcome": "retry", "reason": "target_unavailable", "detail": "HTTP 503"}],
        )
    listed = partial(listing.list_firings, account_id=row["account_id"], after=None, limit=2)
    page = (await store.transact(listed)).firings
    found = await store.transact(partial(ledger.list_attempts, account_id=row["account_id"], firings=page))
    assert found.keys() == {firing.position for firing in page}
    other = await make_account(store)
    assert await store.transact(partial(ledger.list_attempts, account_id=other, firings=page)) == {}
    assert await store.transact(partial(ledger.list_attempts, account_id=other, firings=[])) == {}


async def test_idempotency__a_key_is_the_accounts_own_and_ages(store: Store) -> None:
    a, b = uuid_of("a"), uuid_of("b")
    used = Used(uuid_of("c"), "digest")
    record = partial(idempotency.record_used, account_id=a, idempotency_key="k")
    await store.transact(partial(record, used=used, now=NOON))
    get = partial(idempotency.get_used, idempotency_key="k")
    assert await store.transact(partial(get, account_id=a, since=NOON - 1)) == used
    assert await store.transact(partial(get, account_id=b, since=NOON - 1)) is None
    assert await store.transact(partial(get, account_id=a, since=NOON)) is None
    renewed = Used(uuid_of("d"), "other")
    await store.transact(partial(record, used=renewed, now=NOON + 1))
    assert await store.transact(partial(get, account_id=a, since=NOON)) == renewed


async def test_signups__count_by_address_and_minute(store: Store) -> None:
    for address, minute, count in (("a", 0, 1), ("a", 0, 2), ("b", 0, 1), ("a", MINUTE, 1), ("a", 0, 3)):
        assert (
            await store.transact(partial(signups.count_signup, address=address, minute=NOON + minute))
            == count
        )
