"""Leases that are renewed: who has a firing, whoever claims, renews, records, dies and comes back, and how late."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy.ext.asyncio import AsyncEngine

from cronally import errors
from cronally.engine.renewing import Renewing
from cronally.engine.verdict import Sent, release, verdict
from cronally.firing import State
from cronally.instants import SECOND
from cronally.store import Store, leases, open_store, outcomes, renewals
from cronally.store.claims import Claim
from cronally.store.postgres import PostgresStore
from cronally.targets.target import Delivered
from tests.engine.long_requests import owe
from tests.support.examples import examples
from tests.support.factories import NOON, Clock, Monotonic, make_account, read_firings

LEASE = 60
"""Seconds."""


async def claim_due(store: Store, account: str, now: int, most: int = 10) -> list[Claim]:
    until = now + LEASE * SECOND
    return await store.transact(
        lambda connection: leases.claim_firings(connection, now, until, {account: most})
    )


# The verb


async def test_renew__by_the_number_of_the_lease(store: Store) -> None:
    account = await make_account(store)
    await owe(store, account, 4)
    claims = await claim_due(store, account, NOON)
    kept, taken, ended, given_back = sorted(claims, key=lambda one: one.cronjob_id)
    records = [verdict(ended, Sent(NOON, 5, Delivered(None)), 0.5), release(given_back, NOON)]
    await store.transact(partial(outcomes.record_outcomes, records=records))
    later = NOON + (LEASE + 1) * SECOND
    renew = partial(renewals.renew_leases, leased_until=later + LEASE * SECOND)
    begun = [(one.key, one.lease_no, NOON + place) for place, one in enumerate((kept, ended, given_back))]
    found = await store.transact(partial(renew, begun=begun))
    assert found.renewed == {(kept.key, 1)}, (
        "a lease that is over and that nobody took is as good as one that is not"
    )
    assert found.lost == {(ended.key, 1), (given_back.key, 1)}
    (again,) = [one for one in await claim_due(store, account, later) if one.key == taken.key]
    assert again.lease_no == 2
    found = await store.transact(partial(renew, begun=[(taken.key, 1, NOON), (taken.key, 2, NOON)]))
    assert found == (({(taken.key, 2)}), ({(taken.key, 1)}))
    rows = {row.cronjob_id: row for row in await read_firings(store)}
    row = rows[kept.cronjob_id]
    assert (row.state, row.lease_no, row.due_at) == ("sending", 1, later + LEASE * SECOND)
    assert (row.sent_at, row.duration) == (NOON, None)
    assert rows[ended.cronjob_id].duration == 5
    assert await store.transact(partial(renew, begun=[])) == (set(), set())


async def test_renew__waits_for_nobody_who_has_the_row_locked(postgres_store: Store) -> None:
    """What is being recorded, or claimed, at this moment is neither renewed nor lost: it is asked for again."""
    account = await make_account(postgres_store)
    await owe(postgres_store, account, 2)
    one, other = await claim_due(postgres_store, account, NOON)
    begun = [(each.key, 1, NOON) for each in (one, other)]
    renew = partial(renewals.renew_leases, begun=begun, leased_until=NOON + 2 * LEASE * SECOND)
    delivered = verdict(one, Sent(NOON, 5, Delivered(None)), 0.5)
    async with engine(postgres_store).begin() as recording:
        await recording.run_sync(partial(outcomes.record_outcomes, records=[delivered]))
        async with asyncio.timeout(30):
            found = await postgres_store.transact(renew)
        assert found == ({(other.key, 1)}, set())
    assert await postgres_store.transact(renew) == ({(other.key, 1)}, {(one.key, 1)})


def engine(store: Store) -> AsyncEngine:
    assert isinstance(store, PostgresStore)
    return store._engine


# The task


async def test_task__ends_with_what_it_renews_and_outlives_failures(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    account = await make_account(sqlite_store)
    await owe(sqlite_store, account)
    (claim,) = await claim_due(sqlite_store, account, NOON)
    renewing = Renewing(sqlite_store, 0.03)  # renewed every 10 ms
    transact, tries, renewed = sqlite_store.transact, 0, asyncio.Event()

    async def fail_twice(work: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise errors.Unavailable
        if tries == 2:
            raise ZeroDivisionError
        found = await transact(work)
        renewed.set()
        return found

    monkeypatch.setattr(sqlite_store, "transact", fail_twice)
    lost: list[None] = []
    renewing.begin(claim, NOON, 0.0, partial(lost.append, None))
    assert renewing.is_late
    async with asyncio.timeout(30):
        await renewed.wait()
        renewing.end(claim)
        await renewing.ended()
    assert not renewing.is_late
    assert not lost
    assert [record.message for record in caplog.records] == [
        "leases wait for the database",
        "leases cannot be renewed",
    ]


async def test_stop__ends_the_task(sqlite_store: Store) -> None:
    account = await make_account(sqlite_store)
    await owe(sqlite_store, account)
    (claim,) = await claim_due(sqlite_store, account, NOON)
    renewing = Renewing(sqlite_store, LEASE)
    renewing.begin(claim, NOON, 0.0, lambda: None)
    renewing.stop()
    async with asyncio.timeout(30):
        await renewing.ended()


# The walk


@dataclass
class Node:
    """What one node believes."""

    renewing: Renewing
    holds: dict[tuple[str, int], Claim] = field(default_factory=dict)
    """By cron job and number of the lease."""
    lost: list[tuple[str, int]] = field(default_factory=list)


@dataclass
class Owner:
    """Who has a firing by the model."""

    node: int | None = None
    number: int = 0
    until: int = NOON
    """When it may be claimed."""
    ended: bool = False


class Renewals(RuleBasedStateMachine):
    """Three firings between two nodes that claim, renew, record, die and come back."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.clock = Clock()
        self.monotonic = Monotonic()

    def run(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    @initialize()
    def make(self) -> None:
        self.store: Store = self.run(open_store(f"sqlite:///{Path(self.folder.name) / 'cronally.db'}"))
        self.store.clock = self.clock
        self.account = self.run(make_account(self.store))
        jobs = self.run(owe(self.store, self.account, 3))
        self.owners = {job["cronjob_id"]: Owner() for job in jobs}
        self.nodes = [Node(self.renewing()), Node(self.renewing())]

    def renewing(self) -> Renewing:
        return Renewing(self.store, LEASE, monotonic=self.monotonic)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.run(self.store.close())
        self.runner.close()
        self.folder.cleanup()

    def is_of(self, node: int, job: str, number: int) -> bool:
        owner = self.owners[job]
        return not owner.ended and (owner.node, owner.number) == (node, number)

    @rule(seconds=st.sampled_from([1, 20, LEASE - 1, LEASE, LEASE + 1]))
    def time_passes(self, seconds: int) -> None:
        self.clock.forward(seconds * SECOND)
        self.monotonic.now += seconds

    @rule(node=st.integers(0, 1), most=st.integers(1, 3))
    def claims(self, node: int, most: int) -> None:
        due = {job for job, owner in self.owners.items() if not owner.ended and owner.until <= self.clock.now}
        claims = self.run(claim_due(self.store, self.account, self.clock.now, most))
        assert {claim.cronjob_id for claim in claims} <= due, "nobody takes what is renewed in time"
        assert len(claims) == min(most, len(due))
        for claim in claims:
            job, believed = claim.cronjob_id, self.nodes[node]
            owner = self.owners[job]
            owner.node, owner.number = node, owner.number + 1
            owner.until = self.clock.now + LEASE * SECOND
            assert claim.lease_no == owner.number
            key = (job, claim.lease_no)
            believed.holds[key] = claim
            self.run(self.begin(believed, claim, key))

    async def begin(self, node: Node, claim: Claim, key: tuple[str, int]) -> None:
        ends = self.monotonic.now + LEASE
        node.renewing.begin(claim, self.clock.now, ends, partial(node.lost.append, key))
        node.renewing.stop()  # the walk says when it is renewed
        await node.renewing.ended()

    @rule(node=st.integers(0, 1))
    def renews(self, node: int) -> None:
        believed = self.nodes[node]
        mine = {key for key in believed.holds if self.is_of(node, *key)}
        others = believed.holds.keys() - mine
        assert not believed.lost
        self.run(believed.renewing.step())
        assert set(believed.lost) == others, "what is lost is told, once"
        assert not believed.renewing.is_late
        for key in others:
            del believed.holds[key]
        believed.lost.clear()
        for job, _ in mine:
            self.owners[job].until = self.clock.now + LEASE * SECOND

    @rule(node=st.integers(0, 1), which=st.integers(0, 5), delivers=st.booleans())
    def records(self, node: int, which: int, delivers: bool) -> None:
        believed = self.nodes[node]
        if not believed.holds:
            return
        key = list(believed.holds)[which % len(believed.holds)]
        claim, now = believed.holds.pop(key), self.clock.now
        believed.renewing.end(claim)
        record = verdict(claim, Sent(now, 0, Delivered(None)), 0.5) if delivers else release(claim, now)
        self.run(self.store.transact(partial(outcomes.record_outcomes, records=[record])))
        if self.is_of(node, *key):
            owner = self.owners[key[0]]
            owner.node, owner.until, owner.ended = None, now, delivers

    @rule(node=st.integers(0, 1))
    def dies(self, node: int) -> None:
        self.nodes[node] = Node(self.renewing())

    @invariant()
    def the_ledger_says_who_has_what_until_when(self) -> None:
        if not hasattr(self, "nodes"):
            return
        for row in self.run(read_firings(self.store)):
            owner = self.owners[row.cronjob_id]
            state = State.DELIVERED if owner.ended else State.PENDING if owner.node is None else State.SENDING
            assert (row.state, row.lease_no) == (state, owner.number)
            assert row.due_at == (None if owner.ended else owner.until)


TestRenewals = Renewals.TestCase
TestRenewals.settings = examples(12, stateful_step_count=25, suppress_health_check=[HealthCheck.too_slow])
