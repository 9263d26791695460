"""Ids: the same texts in Python on both databases, in the same order; a text that is no id finds nothing."""

from __future__ import annotations

from functools import partial

import pytest
from sqlalchemy import select

from cronally.store import Store, cronjobs, listing, tables, upkeep
from tests.support.factories import NOON, make_account, make_cronjob, make_firing, read, uuid_of

IDS = [
    "00000000-0000-0000-0000-000000000001",
    "09000000-0000-4000-8000-000000000000",
    "0a000000-0000-4000-8000-000000000000",
    "7fffffff-ffff-4fff-bfff-ffffffffffff",
    "80000000-0000-4000-8000-000000000000",
    "ffffffff-ffff-4fff-bfff-ffffffffffff",
]


async def test_id__goes_in_and_out_as_text_and_sorts_by_bytes(store: Store) -> None:
    for account_id in reversed(IDS):
        assert await make_account(store, account_id) == account_id
    column = tables.account.c.account_id
    assert [row[0] for row in await read(store, select(column).order_by(column))] == IDS
    for before, after in zip(["", *IDS], [*IDS, None], strict=True):
        assert await store.transact(partial(upkeep.next_account, after=before)) == after


@pytest.mark.parametrize(
    "text", ["", "no-id", "C" * 36, "{09000000-0000-4000-8000-000000000000}", "é", "a" * 32]
)
async def test_id__a_text_that_is_none_finds_nothing(store: Store, text: str) -> None:
    job = await make_cronjob(store)
    mine = job["account_id"]
    await make_firing(store, job)
    for verb in (cronjobs.get_cronjob, cronjobs.lock_cronjob):
        assert await store.transact(partial(verb, account_id=mine, cronjob_id=text)) is None
        assert await store.transact(partial(verb, account_id=text, cronjob_id=job["cronjob_id"])) is None
    listed = partial(
        listing.list_firings_of_cronjobs, account_id=mine, cronjob_ids=[text], after=None, limit=9
    )
    assert (await store.transact(listed)).firings == []
    page = partial(listing.list_firings, account_id=mine, after=(NOON, text, "scheduled"), limit=9)
    assert (await store.transact(page)).firings == [] or text > job["cronjob_id"]


async def test_id__upper_case_is_another_id(store: Store) -> None:
    job = await make_cronjob(store, cronjob_id=uuid_of("job"))
    other = job["cronjob_id"].upper()
    assert other != job["cronjob_id"]
    get = partial(cronjobs.get_cronjob, account_id=job["account_id"], cronjob_id=other)
    assert await store.transact(get) is None
