"""Proofs of hosts on both databases: a walk of looks, adds and clocks against a model that knows no SQL."""

from __future__ import annotations

import random
from functools import partial

import pytest

from cronally.instants import DAY, HOUR, MINUTE
from cronally.store import Store, host_proofs
from cronally.store.host_proofs import AGAIN, HELD, LOOKED, HostProof
from tests.support.factories import NOON, Clock, explain, make_account

pytestmark = pytest.mark.sample

HOSTS = ("a.example", "a.example:8443", "b.example")


async def add(store: Store, account: str, host: str, text: str, now: int = NOON) -> HostProof:
    proof = HostProof(account, host, "/x", text, now)
    await store.transact(partial(host_proofs.insert_host, proof=proof))
    return proof


async def proven(store: Store, now: int, page: int = 2) -> set[tuple[str, str]]:
    """What is proven, read page by page."""
    found: list[tuple[str, str]] = []
    after = None
    while True:
        some = await store.transact(partial(host_proofs.list_proven, now=now, after=after, limit=page))
        found += some
        if len(some) < page:
            assert len(found) == len(set(found))
            assert found == sorted(found)
            return set(found)
        after = some[-1]


class Model:
    """What one proof is to be: `until` and `look` are None where it does not hold."""

    def __init__(self, proof: HostProof) -> None:
        self.proof = proof
        self.until: int | None = None
        self.look: int | None = None

    def holds(self, now: int) -> bool:
        return self.until is not None and now < self.until <= now + HELD

    def is_due(self, now: int) -> bool:
        return self.look is not None and not now < self.look <= now + LOOKED


@pytest.mark.parametrize("seed", range(4))
async def test_walk(store: Store, clock: Clock, seed: int) -> None:
    chance = random.Random(seed)
    accounts = [await make_account(store), await make_account(store)]
    known: dict[tuple[str, str], Model] = {}
    for step in range(120):
        clock.forward(chance.choice((0, MINUTE, HOUR, 7 * HOUR, DAY, -HOUR, -3 * DAY)))
        now, key = clock.now, (chance.choice(accounts), chance.choice(HOSTS))
        model = known.get(key)
        match chance.choice(
            ("add", "found", "found", "found", "missed", "final", "remove", "claim", "claim")
        ):
            case "add" if model is None:
                known[key] = Model(await add(store, *key, f"text {step}", now))
            case "found" if model is not None:
                await store.transact(partial(host_proofs.record_found, proof=model.proof, now=now))
                model.until, model.look = now + HELD, now + LOOKED
            case "missed" | "final" as what if model is not None:
                record = partial(
                    host_proofs.record_missed, proof=model.proof, now=now, detail="no", final=what == "final"
                )
                await store.transact(record)
                if what == "final" or (model.until is not None and model.until <= now):
                    model.until = model.look = None
            case "remove" if model is not None:
                await store.transact(partial(host_proofs.delete_host, account_id=key[0], host=key[1]))
                # A look that was on its way says nothing of another text.
                await store.transact(partial(host_proofs.record_found, proof=model.proof, now=now))
                del known[key]
            case "claim":
                due = {one: each for one, each in known.items() if each.is_due(now)}
                claimed = await store.transact(partial(host_proofs.claim_looks, now=now, limit=10))
                assert {(one.account_id, one.host) for one in claimed} == due.keys()
                for each in due.values():
                    each.look = now + AGAIN
                assert not await store.transact(partial(host_proofs.claim_looks, now=now, limit=10))
        assert await proven(store, now) == {one for one, each in known.items() if each.holds(now)}
        for account in accounts:
            listed = await store.transact(partial(host_proofs.list_hosts, account_id=account, limit=10))
            mine = sorted(host for owner, host in known if owner == account)
            assert [one.host for one in listed] == mine
            assert [one.holds(now) for one in listed] == [known[account, host].holds(now) for host in mine]


async def test_look__of_a_text_that_was_replaced_counts_for_nothing(store: Store) -> None:
    account = await make_account(store)
    old = await add(store, account, "a.example", "old")
    await store.transact(partial(host_proofs.delete_host, account_id=account, host="a.example"))
    await add(store, account, "a.example", "new")
    await store.transact(partial(host_proofs.record_found, proof=old, now=NOON))
    assert not await proven(store, NOON)


async def test_looks__those_that_wait_longest_come_first(store: Store) -> None:
    account = await make_account(store)
    for number, host in enumerate(("c", "a", "b")):
        proof = await add(store, account, host, host)
        await store.transact(partial(host_proofs.record_found, proof=proof, now=NOON + number * HOUR))
    claimed = await store.transact(partial(host_proofs.claim_looks, now=NOON + 26 * HOUR, limit=2))
    assert [one.host for one in claimed] == ["c", "a"]


async def test_statements__read_what_is_proven_alone(store: Store) -> None:
    """However many hosts accounts have added, and never proven."""
    for read in (
        partial(host_proofs.list_proven, now=NOON, after=None, limit=10),
        partial(host_proofs.claim_looks, now=NOON, limit=10),
    ):
        plans = await explain(store, read)
        if "sqlite" in type(store).__name__.lower():
            assert all("ix_host_proof_" in plan for plan in plans if "host_proof" in plan)
