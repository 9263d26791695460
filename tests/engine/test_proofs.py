"""Proven hosts in the engine: what counts apart, and the looks that see whether a proof holds, on both databases."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest

from cronally.engine import proofs
from cronally.engine.admission import Admission, Limits, Wait
from cronally.engine.proofs import Proofs
from cronally.firing import Reason
from cronally.instants import DAY, HOUR, MINUTE
from cronally.store import Store, host_proofs
from cronally.store.claims import Claim
from cronally.store.host_proofs import HostProof
from cronally.targets.proving import Found
from cronally.targets.target import Receiver
from tests.engine.test_verdict import claim
from tests.support.factories import NOON, Clock, Monotonic, ScriptedTarget, make_account, uuid_of

pytestmark = pytest.mark.sample

GONE = Found("HTTP 404, and no 200", final=True)
DOWN = Found("HTTP 503, and no 200")


@dataclass
class Shown(ScriptedTarget):
    """A target whose hosts show what a test says."""

    found: Callable[[str], Found] = field(default=lambda _host: Found())
    looks: list[tuple[str, str, str, str]] = field(default_factory=list)
    most: int = 0

    def receiver(self, public: Any) -> Receiver:
        site = public.get("to")
        long = 30.0 if public.get("long") else None
        return Receiver(f"http:{site}", site.partition(":")[0], None, site=site, long=long)

    async def find_proof(self, host: str, path: str, text: str, account_id: str) -> Found:
        self.looks.append((host, path, text, account_id))
        await asyncio.sleep(0)
        return self.found(host)


class Node:
    """What a node lets go to a host: 4 at once and 8 a second of all accounts, 6 and 5 of one whose own it is."""

    def __init__(self) -> None:
        self.monotonic = Monotonic()
        self.monotonic.now = 0.0
        limits = Limits(
            in_flight_per_host=4,
            per_second_per_host=8,
            in_flight_per_proven_host=6,
            per_second_per_proven_host=9,
            long_in_flight=80,
        )
        self.admission = Admission({"scripted": Shown()}, limits, monotonic=self.monotonic)
        self.sent: list[Claim] = []

    def send(self, account: str, site: str = "h", count: int = 20, *, long: bool = False) -> int:
        for number in range(count):
            made = claim(
                account_id=account,
                cronjob_id=f"{account}-{site}-{long}",
                destination=json.dumps({"to": site, "long": long}),
            )
            if self.admission.admit(made) is not None:
                return number
            self.sent.append(made)
        return count

    def leave(self) -> None:
        for made in self.sent:
            self.admission.leave(made)
        self.sent.clear()


def test_proven__counts_apart_from_what_all_accounts_share() -> None:
    node = Node()
    node.admission.know_proven({("own", "h")})
    assert node.send("own") == 6
    assert (node.send("a"), node.send("b")) == (3, 1), "as if there were no others"
    assert node.admission.admit(claim(account_id="own", destination='{"to":"h"}')) == Wait(
        Reason.HOST_LIMIT, 0.0
    )
    node.leave()
    assert node.send("own") == 3, "nine began in this second"
    node.leave()
    node.monotonic.now = 1.0
    assert node.send("own") == 6


def test_proven__for_exactly_this_account_name_and_port() -> None:
    node = Node()
    node.admission.know_proven({("own", "h"), ("other", "x")})
    assert node.send("other", "h") == 3
    assert node.send("own", "h:8443") == 1, "all ports of a host are one to those who share it"
    assert node.send("own", "h") == 6


def test_proven__what_is_on_its_way_leaves_what_it_was_counted_in() -> None:
    node = Node()
    assert node.send("own") == 3
    node.admission.know_proven({("own", "h")})
    assert node.send("own") == 6
    node.admission.know_proven(frozenset())
    node.leave()
    assert not node.admission._apart
    assert not node.admission._limited
    node.monotonic.now = 1.0
    assert node.send("own") == 3
    node.admission.know_proven({("own", "h")})
    assert node.send("own") == 6


def test_proven__requests_that_may_take_long_count_for_the_second_in_which_they_begin() -> None:
    node = Node()
    node.admission.know_proven({("own", "h")})
    assert node.send("own", long=True) == 9
    assert node.send("own") == 0, "nine began in this second"
    assert node.send("a") == 3, "those who share it have lost nothing"
    node.monotonic.now = 1.0
    assert node.send("own") == 6, "however long they hang"
    node.leave()
    assert not node.admission._apart
    assert not node.admission._limited
    assert not len(node.admission.long)
    node.monotonic.now = 2.0
    assert node.send("own") == 6


async def prove(store: Store, account: str, *hosts: str, now: int = NOON) -> None:
    for host in hosts:
        proof = HostProof(account, host, "/p", f"text of {host}", now)
        await store.transact(partial(host_proofs.insert_host, proof=proof))
        await store.transact(partial(host_proofs.record_found, proof=proof, now=now))


def node_of(store: Store, target: Shown) -> tuple[Proofs, list[Any]]:
    told: list[Any] = []
    return Proofs(store, {"http": target}, told.append), told


async def test_step__tells_what_is_proven_and_looks_once_a_day(store: Store, clock: Clock) -> None:
    account = await make_account(store)
    await prove(store, account, "a.example", "b.example:8443")
    target = Shown(name="http")
    one, told = node_of(store, target)
    other, _ = node_of(store, target)
    assert await one.step() is None
    assert told == [{(account, "a.example"), (account, "b.example:8443")}]
    assert not target.looks
    clock.forward(DAY)
    await asyncio.gather(one.step(), other.step())
    assert sorted(target.looks) == [
        ("a.example", "/p", "text of a.example", account),
        ("b.example:8443", "/p", "text of b.example:8443", account),
    ], "two nodes look once"
    for _ in range(30):
        clock.forward(DAY)
        await one.step()
    assert len(target.looks) == 62
    assert len(told[-1]) == 2, "as long as it is found it holds"


async def test_step__a_proof_that_is_taken_away_ends_at_the_next_look(store: Store, clock: Clock) -> None:
    account = await make_account(store)
    await prove(store, account, "a.example", "b.example")
    target = Shown(name="http", found=lambda host: GONE if host == "a.example" else Found())
    node, told = node_of(store, target)
    clock.forward(DAY)
    await node.step()
    await node.step()
    assert told[-1] == {(account, "b.example")}
    for _ in range(3):
        clock.forward(DAY)
        await node.step()
    assert looks_at(target) == {"a.example": 1, "b.example": 4}, "what has ended is left alone"


async def test_step__a_host_that_is_down_is_asked_each_hour_and_its_proof_ends_a_day_later(
    store: Store, clock: Clock
) -> None:
    account = await make_account(store)
    await prove(store, account, "a.example")
    target = Shown(name="http", found=lambda _: DOWN)
    node, told = node_of(store, target)
    held = 0
    for minute in range(0, 3 * 24 * 60, 60):
        clock.now = NOON + minute * MINUTE
        await node.step()
        held = minute if told[-1] else held
    assert held == 2 * 24 * 60 - 60
    assert len(target.looks) == 25, "each hour from the first day to the second"


async def test_step__a_host_that_comes_back_in_time_goes_on(store: Store, clock: Clock) -> None:
    account = await make_account(store)
    await prove(store, account, "a.example")
    answers = [DOWN, DOWN, Found()]
    target = Shown(name="http", found=lambda _: answers.pop(0))
    node, told = node_of(store, target)
    clock.forward(DAY)
    for _ in range(3):
        await node.step()
        clock.forward(HOUR)
    clock.forward(20 * HOUR)
    await node.step()
    assert told[-1]
    assert not answers


async def test_step__looks_at_a_few_at_once_and_reads_page_by_page(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proofs, "AT_ONCE", 3)
    monkeypatch.setattr(proofs, "PAGE", 2)
    accounts = [await make_account(store, uuid_of(name)) for name in "ab"]
    for account in accounts:
        await prove(store, account, *(f"{number}.example" for number in range(4)))
    target = Shown(name="http")
    node, told = node_of(store, target)
    clock.forward(DAY)
    counts = []
    while True:
        wanted = await node.step()
        counts.append(len(target.looks))
        if wanted is None:
            break
        assert wanted == 0.0
    assert counts == [3, 6, 8]
    assert len(told[-1]) == 8
    monkeypatch.setattr(proofs, "KNOWN", 4)
    await node.step()
    assert len(told[-1]) == 4


async def test_step__a_look_for_what_was_removed_meanwhile_says_nothing(store: Store, clock: Clock) -> None:
    account = await make_account(store)
    await prove(store, account, "a.example")
    asked, taken = asyncio.Event(), asyncio.Event()

    @dataclass
    class Slow(Shown):
        async def find_proof(self, host: str, path: str, text: str, account_id: str) -> Found:
            asked.set()
            await taken.wait()
            return Found()

    node, told = node_of(store, Slow(name="http"))
    clock.forward(DAY)
    step = asyncio.create_task(node.step())
    await asked.wait()
    await store.transact(partial(host_proofs.delete_host, account_id=account, host="a.example"))
    again = HostProof(account, "a.example", "/q", "another text", clock.now)
    await store.transact(partial(host_proofs.insert_host, proof=replace(again)))
    taken.set()
    await step
    await node.step()
    assert told[-1] == frozenset()


def looks_at(target: Shown) -> dict[str, int]:
    counts: dict[str, int] = {}
    for host, *_ in target.looks:
        counts[host] = counts.get(host, 0) + 1
    return counts
