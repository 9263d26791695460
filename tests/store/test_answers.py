"""Kept answers: an account's own, of the last attempts, and never more than its bytes."""

from __future__ import annotations

import random
from functools import partial

import pytest
from sqlalchemy import func, select

from cronally.store import Store, answers, tables
from cronally.store.answers import ROW_BYTES, Answer, answer_id
from cronally.store.attempts import ATTEMPTS_KEPT
from tests.support.factories import NOON, make_account, read, uuid_of


def answer_of(size: int, status: int = 500) -> Answer:
    return Answer(status, None, 1, None, 2, 3, bytes(size))


async def record(store: Store, account: str, cronjob: str, at: int, lease_no: int, size: int = 100) -> None:
    one = ((cronjob, at, "scheduled"), lease_no, account, at + lease_no, answer_of(size))
    await store.transact(partial(answers.record_answers, answers=[one], leases_kept=ATTEMPTS_KEPT))


async def sizes(store: Store, account: str) -> list[int]:
    query = select(tables.answer.c.size).where(tables.answer.c.account_id == account)
    return [row[0] for row in await read(store, query.order_by(tables.answer.c.started_at.desc()))]


async def counted(store: Store, account: str) -> int:
    query = select(func.sum(tables.answer_count.c.bytes)).where(tables.answer_count.c.account_id == account)
    return int((await read(store, query))[0][0])


async def test_answers__come_out_as_they_went_in_for_their_account_alone(store: Store) -> None:
    mine, other = await make_account(store), await make_account(store)
    await record(store, mine, uuid_of("job"), NOON, 1)
    of = answer_id((uuid_of("job"), NOON, "scheduled"), 1)
    for account, expected in ((mine, {of: answer_of(100)}), (other, {})):
        found = await store.transact(
            partial(answers.list_answers, account_id=account, ids=[of, uuid_of("x")])
        )
        assert found == expected
    await record(store, mine, uuid_of("job"), NOON, 1, size=7)
    assert await sizes(store, mine) == [100 + ROW_BYTES], "what is recorded twice is recorded once"


async def test_answers__of_a_firing_the_last_are_kept(store: Store) -> None:
    account = await make_account(store)
    for lease_no in range(1, ATTEMPTS_KEPT + 4):
        await record(store, account, uuid_of("job"), NOON, lease_no)
    assert len(await sizes(store, account)) == ATTEMPTS_KEPT
    await record(store, account, uuid_of("job"), NOON + 1, 1)
    await store.transact(partial(answers.delete_answers, keys=[(uuid_of("job"), NOON, "scheduled")]))
    assert len(await sizes(store, account)) == 1
    await store.transact(partial(answers.erase_answers_of, account_id=account, cronjob_id=uuid_of("job")))
    assert await sizes(store, account) == []


async def test_answers__of_an_account_are_bounded_the_oldest_go(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an independent account of what was added: a suffix of it is kept, within the bound, and never less counted."""
    monkeypatch.setattr(answers, "KEPT_BYTES", 40_000)
    monkeypatch.setattr(answers, "_LEFT_BYTES", 30_000)
    account, other = await make_account(store), await make_account(store)
    await record(store, other, uuid_of("others"), NOON, 1)
    chance, added = random.Random(7), list[int]()
    for number in range(60):
        size = chance.choice((0, 500, 4000, 20_000))
        added.insert(0, size + ROW_BYTES)
        await record(store, account, uuid_of(f"job {number}"), NOON + 10 * number, 1, size)
        kept = await sizes(store, account)
        assert kept == added[: len(kept)]
        assert sum(kept) <= await counted(store, account) <= 40_000
        assert len(kept) == len(added) or sum(added[: len(kept) + 1]) > 30_000
    assert len(await sizes(store, other)) == 1


async def test_answers__of_a_page_have_room_for_so_much(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "PAGE_BYTES", 250)
    account = await make_account(store)
    for number in range(4):
        await record(store, account, uuid_of("job"), NOON + number, 1)
    ids = [answer_id((uuid_of("job"), NOON + number, "scheduled"), 1) for number in range(4)]
    found = await store.transact(partial(answers.list_answers, account_id=account, ids=ids))
    assert [found[one].secret is not None for one in ids] == [False, False, True, True]
    assert {one.status for one in found.values()} == {500}
