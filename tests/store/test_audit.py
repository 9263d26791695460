"""Audit logs on both databases: a walk of entries, transactions that fail and retention, and a verifier of its own."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, text

from cronally.audit_chain import Change, Ends, Entry, Row, Who, problems
from cronally.instants import DAY, HOUR, MINUTE
from cronally.store import Store, audit
from cronally.store.audit import Chosen
from tests.support.factories import NOON, Clock, uuid_of

pytestmark = pytest.mark.sample

MINE, OTHER = uuid_of("mine"), uuid_of("other")
JOB = uuid_of("job")
EVERYTHING = Chosen()
ACTIONS = ("cronjob.create", "cronjob.pause", "freeze.create")


class Broken(Exception):
    pass


def entry(account_id: str = MINE, at: int = NOON, **given: Any) -> Entry:
    made = Entry(account_id, at, Who.KEY, "cronjob.pause", "cronjob", JOB, (Change("note", None, "ü"),), JOB)
    return replace(made, **given)


async def record(store: Store, *entries: Entry) -> None:
    await store.transact(lambda connection: audit.record_audit(connection, *entries))


async def read_all(store: Store, account_id: str, chosen: Chosen = EVERYTHING, page: int = 3) -> list[Row]:
    found: list[Row] = []
    before = None
    while True:
        part = await store.transact(
            partial(audit.list_audit, account_id=account_id, before=before, limit=page, chosen=chosen)
        )
        assert len(part.rows) <= page
        found += part.rows
        if part.last is None:
            return found
        before = part.last


async def ends(store: Store, account_id: str) -> Ends:
    return await store.transact(partial(audit.get_ends, account_id=account_id))


async def wrong_with(store: Store, account_id: str) -> list[str]:
    known = await ends(store, account_id)
    return [*problems(await read_all(store, account_id), known, known)]


async def raw(store: Store, account_id: str) -> list[dict[str, Any]]:
    """The rows as the database has them, oldest first."""

    def read(connection: Connection) -> list[dict[str, Any]]:
        found = connection.execute(text("SELECT * FROM audit ORDER BY number")).mappings()
        return [dict(row) for row in found if str(row["account_id"]) == account_id]

    return await store.transact(read)


def verify(rows: list[dict[str, Any]], account_id: str, anchor: str | None) -> str:
    """The hash of the last row of a chain, by what docs/guides/audit.md says, without the code under test."""
    last = anchor or hashlib.sha256(f"cronally-audit-1 {account_id}".encode()).hexdigest()
    for row in rows:
        seconds, rest = divmod(row["at"], 1_000_000)
        at = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        at += f".{rest:06}Z" if rest else "Z"
        named = [row[name] and str(row[name]) for name in ("api_key", "address", "request_id")]
        what = [row[name] and str(row[name]) for name in ("action", "subject", "subject_id", "cronjob_id")]
        members = [
            row["number"],
            at,
            row["who"],
            *named,
            *what,
            row["count"],
            json.loads(row["changes"]),
            last,
        ]
        written = json.dumps(members, separators=(",", ":"), ensure_ascii=False)
        assert row["previous"] == last
        last = hashlib.sha256(written.encode()).hexdigest()
        assert row["hash"] == last
    return last


@pytest.mark.parametrize("seed", range(3))
async def test_walk(store: Store, clock: Clock, seed: int) -> None:
    """Entries, alone and for both accounts at once, transactions that fail and are repeated, retention, clocks."""
    chance = random.Random(seed)
    kept: dict[str, list[Entry]] = {MINE: [], OTHER: []}
    gone = {MINE: 0, OTHER: 0}
    for step in range(60):
        clock.forward(chance.choice((0, 1, MINUTE, HOUR, DAY, -MINUTE)))
        made = [
            entry(
                chance.choice((MINE, OTHER)),
                clock.now,
                who=chance.choice([*Who]),
                action=chance.choice(ACTIONS),
                subject_id=f'step {step} "\\ \u2028',
                cronjob_id=chance.choice((JOB, None)),
                count=chance.randint(1, 3),
            )
            for _ in range(chance.randint(1, 3))
        ]
        match chance.choice(("record", "record", "fail", "expire")):
            case "record":
                await record(store, *made)
                for one in made:
                    kept[one.account_id].append(one)
            case "fail":

                def fail(connection: Connection, made: list[Entry] = made) -> None:
                    audit.record_audit(connection, *made)
                    raise Broken

                with pytest.raises(Broken):
                    await store.transact(fail)
            case "expire":
                old, limit = clock.now - 5 * DAY, chance.choice((1, 2, 100))
                after: str | None = ""
                while after is not None:
                    after, _ = await store.transact(
                        partial(audit.delete_audit, after=after, old=old, limit=limit)
                    )
                for account_id, entries in kept.items():
                    while entries and entries[0].at < old:
                        del entries[0]
                        gone[account_id] += 1
        for account_id, entries in kept.items():
            rows = await read_all(store, account_id)
            assert [row.entry for row in rows] == entries[::-1]
            known = await ends(store, account_id)
            assert known.anchor_number == gone[account_id]
            assert verify(await raw(store, account_id), account_id, known.anchor) == known.hash
            assert not [*problems(rows, known, known)]


async def test_list__filters(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MOST_READ", 4)
    chance = random.Random(7)
    entries = [
        entry(
            at=NOON + number * MINUTE,
            who=chance.choice([*Who]),
            action=chance.choice(ACTIONS),
            cronjob_id=chance.choice((JOB, None)),
            api_key=chance.choice((None, "a", "b")),
        )
        for number in range(30)
    ]
    await record(store, *entries, entry(OTHER))
    for _ in range(30):
        asked = {
            "since": chance.choice((None, NOON + 5 * MINUTE)),
            "until": chance.choice((None, NOON + 20 * MINUTE)),
            "cronjob_id": chance.choice((None, JOB, uuid_of("nobody"))),
            "action": chance.choice((None, *ACTIONS)),
            "who": chance.choice((None, *Who)),
            "api_key": chance.choice((None, "a")),
        }
        wanted = [
            one
            for one in entries
            if (asked["since"] or 0) <= one.at < (asked["until"] or 2**62)
            and all(
                asked[name] in (None, getattr(one, name))
                for name in ("cronjob_id", "action", "who", "api_key")
            )
        ]
        found = await read_all(store, MINE, Chosen(**asked))
        assert [row.entry for row in found] == wanted[::-1]


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        ("UPDATE audit SET action = 'x' WHERE number = 3", "Row 3 is not as it was written"),
        ("UPDATE audit SET count = 2 WHERE number = 5", "Row 5 is not as it was written"),
        ("DELETE FROM audit WHERE number = 3", "Between the rows 2 and 4 there are some missing"),
        ("DELETE FROM audit WHERE number = 5", "The newest row, 5, is missing"),
        ("DELETE FROM audit WHERE number = 1", "The rows 1 to 1 are missing"),
        ("DELETE FROM audit", "The newest row, 5, is missing"),
        ("UPDATE audit SET previous = 'x' WHERE number = 1", "Row 1 does not follow the last"),
        ("UPDATE audit SET hash = 'x' WHERE number = 5", "Row 5 is not the newest"),
    ],
)
async def test_problems__tell_what_was_done_to_a_log(store: Store, harm: str, told: str) -> None:
    await record(store, *(entry(at=NOON + number) for number in range(5)))
    assert not await wrong_with(store, MINE)
    await store.transact(lambda connection: connection.execute(text(harm)) and None)
    assert any(one.startswith(told) for one in await wrong_with(store, MINE))


async def test_problems__rows_of_another_account_do_not_fit(store: Store) -> None:
    await record(store, entry(), entry(OTHER))
    (row,) = await read_all(store, MINE)
    known = await ends(store, OTHER)
    assert [*problems([row], known, known)]


async def test_problems__rows_come_and_go_meanwhile(store: Store) -> None:
    await record(store, *(entry(at=NOON + number * DAY) for number in range(5)))
    before = await ends(store, MINE)
    await record(store, entry(at=NOON + 5 * DAY))
    rows = await read_all(store, MINE)
    await store.transact(partial(audit.delete_audit, after="", old=NOON + 2 * DAY, limit=10))
    after = await ends(store, MINE)
    assert after.anchor_number == 2
    assert not [*problems(rows, before, after)]
    assert not [*problems(await read_all(store, MINE), before, after)]


async def test_record__many_at_once_make_one_chain(store: Store) -> None:
    """Of two accounts each, in both orders: who waits for one lock holds none that is waited for."""
    pairs = [(entry(MINE), entry(OTHER)), (entry(OTHER), entry(MINE))] * 10
    await asyncio.gather(*(record(store, *pair) for pair in pairs))
    for account_id in (MINE, OTHER):
        rows = await read_all(store, account_id, page=50)
        assert [row.number for row in rows] == [*range(20, 0, -1)]
        assert not await wrong_with(store, account_id)
