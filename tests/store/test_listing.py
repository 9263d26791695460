"""Lists of firings by what they are: held to a filter in Python over all rows, and bounded in what they read."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, event

from cronally.firing import Reason
from cronally.instants import MINUTE
from cronally.store import Store, cronjobs, listing
from cronally.store.ledger import Position
from cronally.store.listing import Chosen, Part
from tests.support.factories import (
    NOON,
    analyze,
    cronjob_values,
    explain,
    firing_values,
    insert_rows,
    make_account,
)

STATES = ["pending", "sending", "delivered", "failed", "missed", "skipped"]
REASONS = [Reason.MAX_AGE, Reason.CATCH_UP_LATEST, Reason.PAUSED]
Row = dict[str, Any]


class Ledger:
    """Firings of an account's cron jobs, three of which have one name, among those of another account."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store = store
        self.chance = random.Random(seed)
        self.account_id = ""
        self.jobs: list[Row] = []
        self.rows: list[Row] = []

    async def make(self, count: int) -> None:
        for mine in (False, True):
            self.account_id = await make_account(self.store)
            self.jobs = [
                cronjob_values(self.account_id, secret=None, created_at=NOON + number, name=name)
                for number, name in enumerate(["twin", "other", "twin", "Twin", "twin"])
            ]
            await insert_rows(self.store, "cronjob", self.jobs)
            rows = {self._key(row): row for row in [self.row() for _ in range(count if mine else 20)]}
            self.rows = list(rows.values())
            await insert_rows(self.store, "firing", self.rows)

    def row(self) -> Row:
        """A firing; many have the same fire time."""
        state = self.chance.choice(STATES)
        return firing_values(
            self.chance.choice(self.jobs),
            scheduled_at=NOON + self.chance.randrange(12) * MINUTE,
            kind=self.chance.choice(["scheduled", "manual"]),
            state=state,
            reason=self.chance.choice([None, *REASONS]),
            until_at=self.chance.choice([None, NOON + 20 * MINUTE]),
        )

    async def add(self) -> None:
        """Insert a firing, if there is none of its key."""
        row = self.row()
        if self._key(row) not in {self._key(each) for each in self.rows}:
            await insert_rows(self.store, "firing", [row])
            self.rows.append(row)

    def chosen(self) -> Chosen:
        """What somebody may ask for."""
        chance = self.chance
        times = [NOON + chance.randrange(13) * MINUTE + chance.randrange(2) for _ in range(2)]
        return Chosen(
            since=chance.choice([None, min(times)]),
            until=chance.choice([None, max(times)]),
            states=tuple(chance.choice([[], chance.sample(STATES, 2), ["failed", "missed"], ["failed"]])),
            reasons=tuple(chance.choice([[], chance.sample(REASONS, 2)])),
            kind=chance.choice([None, None, "manual", "scheduled"]),
            name=chance.choice([None, None, "twin"]),
            oldest_first=chance.random() < 0.5,
        )

    def expected(self, chosen: Chosen, cronjob_ids: list[str]) -> list[Position]:
        """The slow way."""
        names = {job["cronjob_id"]: job["name"] for job in self.jobs}
        found = [
            self._key(row)
            for row in self.rows
            if row["cronjob_id"] in cronjob_ids
            and (chosen.since is None or row["scheduled_at"] >= chosen.since)
            and (chosen.until is None or row["scheduled_at"] < chosen.until)
            and (not chosen.states or row["state"] in chosen.states)
            and (not chosen.reasons or row["reason"] in chosen.reasons)
            and (chosen.kind is None or row["kind"] == chosen.kind)
            and (chosen.name is None or names[row["cronjob_id"]] == chosen.name)
        ]
        return sorted(found, reverse=not chosen.oldest_first)

    @staticmethod
    def _key(row: Row) -> Position:
        return (row["scheduled_at"], row["cronjob_id"], row["kind"])


@pytest.fixture(params=range(3))
async def ledger(request: pytest.FixtureRequest, store: Store) -> Ledger:
    made = Ledger(store, request.param)
    await made.make(80)
    return made


async def pages(
    ledger: Ledger, chosen: Chosen, cronjob_ids: list[str], limit: int, *, adding: bool = False
) -> list[Position]:
    """What all pages have, one after the other."""
    verb: Callable[..., Part] = listing.list_firings
    if len(cronjob_ids) < len(ledger.jobs):
        verb = partial(listing.list_firings_of_cronjobs, cronjob_ids=cronjob_ids)
    found: list[Position] = []
    after: Position | None = None
    while True:
        part = await ledger.store.transact(
            partial(verb, account_id=ledger.account_id, after=after, limit=limit, chosen=chosen)
        )
        found += [firing.position for firing in part.firings]
        assert len(part.firings) <= limit
        assert part.searched_until is None or (part.last is not None and part.searched_until == part.last[0])
        if part.last is None:
            return found
        assert len(part.firings) == limit or part.searched_until is not None
        assert after is None or (part.last > after if chosen.oldest_first else part.last < after)
        after = part.last
        if adding:
            await ledger.add()


@pytest.mark.sample
@pytest.mark.parametrize("most", [5, 2000])
async def test_pages__joined_are_what_was_asked_for(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(listing, "MOST_READ", most)
    ids = [job["cronjob_id"] for job in ledger.jobs]
    for limit in (1, 2, 7, 100):
        for among in (ids, ids[:1], ids[1:4]):
            chosen = ledger.chosen()
            expected = ledger.expected(chosen, among)
            assert await pages(ledger, chosen, among, limit) == expected, (chosen, limit)


async def test_pages__hold_each_row_once_while_others_come_in(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST_READ", 9)
    ids = [job["cronjob_id"] for job in ledger.jobs]
    for among in (ids, ids[1:4], ids[:1]):
        chosen = ledger.chosen()
        before = ledger.expected(chosen, among)
        found = await pages(ledger, chosen, among, 3, adding=True)
        assert len(set(found)) == len(found)
        assert set(before) <= set(found) <= set(ledger.expected(chosen, among))
        assert found == sorted(found, reverse=not chosen.oldest_first)


async def test_page__that_matches_nothing_says_how_far_it_went(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST_READ", 10)
    made = await _delivered(store, 25, jobs=1)
    none = Chosen(states=("skipped",))
    after, ends = None, []
    while True:
        part = await store.transact(
            partial(listing.list_firings, account_id=made, after=after, limit=5, chosen=none)
        )
        assert part.firings == []
        ends.append(part.searched_until)
        if part.last is None:
            break
        after = part.last
    assert ends == [NOON + 15 * MINUTE, NOON + 5 * MINUTE, None]


async def _delivered(store: Store, count: int, jobs: int = 20) -> str:
    """An account whose cron jobs have so many delivered firings, in turn."""
    account_id = await make_account(store)
    made = [cronjob_values(account_id, secret=None) for _ in range(jobs)]
    await insert_rows(store, "cronjob", made)
    rows = [
        firing_values(made[minute % jobs], scheduled_at=NOON + minute * MINUTE, state="delivered")
        for minute in range(count)
    ]
    await insert_rows(store, "firing", rows)
    return account_id


SEARCHES = [
    Chosen(states=("skipped",)),
    Chosen(states=("skipped",), oldest_first=True),
    Chosen(reasons=("paused",), since=NOON, until=NOON + 10_000 * MINUTE),
    Chosen(kind="manual", states=("failed", "delivered")),
    Chosen(name="nobody"),
    Chosen(states=("failed",), reasons=("max_age",)),
]


@pytest.mark.parametrize("chosen", SEARCHES)
async def test_page__reads_no_more_of_a_large_ledger_than_of_a_small_one(
    store: Store, monkeypatch: pytest.MonkeyPatch, chosen: Chosen
) -> None:
    monkeypatch.setattr(listing, "MOST_READ", 50)
    small, large = await _delivered(store, 120), await _delivered(store, 3000)
    await analyze(store)
    after = (NOON + 60 * MINUTE, "00000000-0000-4000-8000-000000000000", "")
    counts = [await _read_rows(store, account_id, after, chosen) for account_id in (small, large)]
    assert counts[1] <= counts[0] * 1.2 + 10
    if not listing._INDEXED.issuperset(chosen.states) or not chosen.states:
        assert counts[1] > 50


async def _read_rows(store: Store, account_id: str, after: Position, chosen: Chosen) -> float:
    """How many rows a page reads by PostgreSQL's own count; on SQLite, the steps of its machine."""
    work = partial(listing.list_firings, account_id=account_id, after=after, limit=5, chosen=chosen)
    steps = 0.0

    def run(connection: Connection) -> None:
        nonlocal steps
        if connection.dialect.name == "sqlite":

            def step() -> None:
                nonlocal steps
                steps += 1

            driver: Any = connection.connection.dbapi_connection
            work(connection)  # prepared
            driver.set_progress_handler(step, 10)
            work(connection)
            driver.set_progress_handler(None, 0)
            return
        seen: list[tuple[str, Any]] = []
        listener = lambda _c, _cursor, statement, parameters, *_: seen.append((statement, parameters))  # noqa: E731
        event.listen(connection, "before_cursor_execute", listener)
        work(connection)
        event.remove(connection, "before_cursor_execute", listener)
        for statement, parameters in seen:
            plan = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, TIMING OFF) {statement}", parameters)
            for (line,) in plan.all():
                if " on firing" in line and (
                    read := re.search(r"actual rows=([0-9.]+) loops=([0-9]+)", line)
                ):
                    steps += float(read[1]) * int(read[2])
                elif removed := re.search(r"Removed by Filter: ([0-9]+)", line):
                    steps += int(removed[1])

    await store.transact(run)
    return steps


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("states", [("failed",), ("failed", "missed")])
async def test_failures__are_found_by_their_own_index(
    store: Store, states: tuple[str, ...], oldest_first: bool
) -> None:
    account_id = await _delivered(store, 3000)
    await analyze(store)
    chosen = Chosen(states=states, since=NOON, oldest_first=oldest_first)
    plans = await explain(
        store, partial(listing.list_firings, account_id=account_id, after=None, limit=100, chosen=chosen)
    )
    # All that is in it is wanted, or part of it.
    assert len(plans) == (1 if len(states) == 2 else 2)
    for plan in plans:
        assert "ix_firing_undelivered" in plan, plan
        assert "Seq Scan" not in plan


@pytest.mark.parametrize("oldest_first", [False, True])
async def test_lists__read_by_an_index(store: Store, oldest_first: bool) -> None:
    account_id = await _delivered(store, 3000)
    await _delivered(store, 3000)
    job, *_ = await store.transact(
        partial(cronjobs.list_named, account_id=account_id, name="Reports", limit=1)
    )
    await analyze(store)
    every, skipped = Chosen(oldest_first=oldest_first), Chosen(states=("skipped",), oldest_first=oldest_first)
    of_account: Callable[..., Part] = listing.list_firings
    of_cronjob: Callable[..., Part] = partial(listing.list_firings_of_cronjobs, cronjob_ids=[job])
    for after in (None, (NOON + 1500 * MINUTE, job, "scheduled")):
        for verb, chosen in itertools.product((of_account, of_cronjob), (every, skipped)):
            work = partial(verb, account_id=account_id, after=after, limit=5, chosen=chosen)
            for plan in await explain(store, work):
                assert ("ix_firing_listed" in plan) == (verb is not of_cronjob), plan
                assert "Seq Scan" not in plan, plan
                assert "SCAN firing" not in plan, plan
