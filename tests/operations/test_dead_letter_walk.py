"""A long random walk over dead letters, with a model: what fails is told once, and the list is what is left of it.

The model knows the rows of the ledger by their keys, and nothing of how they are stored. A firing that tells gets its
key from the server, so the model takes that over, once it has seen that it is the one that was to come.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from cronally import errors
from cronally.cronjob import NOT_TOLD
from cronally.engine.admission import Limits
from cronally.engine.dispatcher import Dispatcher
from cronally.firing import Key, Kind
from cronally.instants import DAY, HOUR, SECOND, format_iso, parse_iso
from cronally.operations import Caller, Operations
from cronally.store import Store, upkeep
from cronally.targets.build import build_targets
from cronally.targets.target import Delivered, Message, Outcome, Refused
from tests.operations.conftest import sign_up
from tests.operations.past import finish
from tests.operations.tenant import Tenants
from tests.operations.test_telling import HTTP
from tests.support.factories import Clock, ScriptedTarget, make_firing, read_firings, vault, work_off

RETENTION = 3 * DAY
# Far enough ahead that nothing is owed by itself.
SENT = {**HTTP, "cron": "0 0 29 2 *"}
NAMES = ("a", "b", "tells", "tells too")
KINDS = ("scheduled", "dead_letter")


@dataclass
class Job:
    """A cron job as the model knows it."""

    name: str
    dead_letter: str | None = None
    refuses: bool = False
    deleted: bool = False


@dataclass
class Row:
    """A row of the ledger as the model knows it."""

    state: str = "pending"
    reason: str | None = None
    note: str | None = None
    too_old: bool = False
    """When it is sent next: it has failed then, whatever its target says."""

    @property
    def dead(self) -> bool:
        return self.state == "failed" and self.note is None


@dataclass
class Walk:
    """The server and the model, which do the same."""

    operations: Tenants
    store: Store
    clock: Clock
    caller: Caller
    chance: random.Random
    jobs: dict[str, Job] = field(default_factory=dict)
    rows: dict[Key, Row] = field(default_factory=dict)
    default: str | None = None
    """The cron job that the account names."""
    done: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.target = ScriptedTarget(script=self._answer)

    def _answer(self, message: Message) -> Outcome:
        return Refused("no") if self.jobs[message.cronjob_id].refuses else Delivered(None)

    def live(self) -> list[str]:
        return [cronjob_id for cronjob_id, job in self.jobs.items() if not job.deleted]

    # What is done to both

    async def create(self, name: str) -> None:
        made = await self.operations.create_cronjob(self.caller.account_id, {**SENT, "name": name})
        self.jobs[made["cronjob_id"]] = Job(name)

    async def delete(self) -> None:
        """And create another one of the same name."""
        gone = self.chance.choice(self.live())
        await self.operations.delete_cronjob(self.caller.account_id, gone)
        self.jobs[gone].deleted = True
        for key, row in self.rows.items():
            if key[0] == gone and row.state == "pending":
                row.state, row.reason = "skipped", "deleted"
        await self.create(self.jobs[gone].name)

    async def name_one(self) -> None:
        """Of a cron job, or the account: another one, none, or the default."""
        whose = self.chance.choice([*self.live(), None])
        named = self.chance.choice([*self.jobs, "none", "default"])
        try:
            if whose is None:
                await self.operations.update_account(self.caller, {"dead_letter": named})
            else:
                await self.operations.update_cronjob(self.caller.account_id, whose, {"dead_letter": named})
        except errors.InvalidRequest:
            assert named == whose or self.jobs[named].deleted
            return
        except errors.RateLimited:
            return  # changed too often lately
        assert named in ("none", "default") or not self.jobs[named].deleted
        if whose is None:
            self.default = None if named in ("none", "default") else named
        else:
            self.jobs[whose].dead_letter = None if named == "default" else named

    async def refuse(self) -> None:
        job = self.jobs[self.chance.choice(self.live())]
        job.refuses = not job.refuses

    async def owe(self) -> None:
        """Firings of this instant, or such that have grown too old while nobody sent them."""
        for _ in range(self.chance.randrange(1, 4)):
            self.clock.forward(SECOND)
            cronjob_id, too_old = self.chance.choice(self.live()), self.chance.random() < 0.3
            at = self.clock.now - (30 * HOUR if too_old else 0)
            tried = {"attempt": 1, "lease_no": 1} if too_old else {}
            of = {"cronjob_id": cronjob_id, "account_id": self.caller.account_id}
            await make_firing(self.store, of, scheduled_at=at, created_at=at, due_at=at, **tried)
            self.rows[cronjob_id, at, "scheduled"] = Row(too_old=too_old)

    async def wait(self) -> None:
        # Not for so long that what is on its way grows too old.
        waits = any(row.state == "pending" for row in self.rows.values())
        self.clock.forward(SECOND if waits else self.chance.choice([HOUR, 12 * HOUR]))

    async def keep(self) -> None:
        """Delete what is older than the retention."""
        before = self.clock.now - RETENTION
        gone = [key for key, row in self.rows.items() if row.state != "pending" and key[1] < before]
        delete = partial(upkeep.delete_firings, account_id=self.caller.account_id, before=before, limit=1000)
        assert await self.store.transact(delete) == len(gone)
        for key in gone:
            del self.rows[key]

    async def replay(self) -> None:
        """One that may be any, or gone."""
        key = self._any_key()
        row = self.rows.get(key)
        again = self.operations.replay_firing(self.caller.account_id, *key[:2], {"kind": key[2]})
        if row is None or self.jobs[key[0]].deleted:
            with pytest.raises(errors.NotFound):
                await again
        elif row.state == "pending":
            with pytest.raises(errors.Conflict):
                await again
        else:
            await again
            self._reopen(row)

    async def replay_many(self) -> None:
        filters, chosen = self._filters()
        if not filters:
            filters = {"state": "failed"}
        meant = [key for key, row in self.rows.items() if row.dead and chosen(key)]
        account_id = self.caller.account_id
        trial = await self.operations.replay_firings(account_id, {**filters, "dry_run": "true"})
        assert trial["total"] == len(meant)
        await self.operations.replay_firings(account_id, filters)
        await finish(self.operations, self.store, self.clock, crashes=self.chance.random() < 0.5)
        for key in meant:
            if not self.jobs[key[0]].deleted:
                self._reopen(self.rows[key])

    def _reopen(self, row: Row) -> None:
        row.state, row.reason, row.note, row.too_old = "pending", None, None, False

    async def discard(self) -> None:
        key, note = self._any_key(), f"note {self.chance.random()}"
        row = self.rows.get(key)
        discarded = self.operations.discard_firing(
            self.caller.account_id, *key[:2], {"kind": key[2], "note": note}
        )
        if row is None or row.state != "failed":
            refused = errors.NotFound if row is None else errors.InvalidRequest
            with pytest.raises(errors.Conflict if row is not None and row.state == "pending" else refused):
                await discarded
        else:
            row.note = row.note or note
            assert (await discarded)["discarded_note"] == row.note

    async def discard_many(self) -> None:
        filters, chosen = self._filters()
        meant = [row for key, row in self.rows.items() if row.dead and chosen(key)]
        sent = {**(filters or {"all": "true"}), "note": "all of them"}
        trial = await self.operations.discard_firings(self.caller.account_id, {**sent, "dry_run": "true"})
        done = await self.operations.discard_firings(self.caller.account_id, sent)
        assert trial == done == {"total": len(meant), "more": False}
        for row in meant:
            row.note = "all of them"

    def _any_key(self) -> Key:
        gone = (self.chance.choice([*self.jobs]), self.clock.now - 5 * DAY, "scheduled")
        return self.chance.choice([*self.rows, gone])

    def _filters(self) -> tuple[dict[str, Any], Callable[[Key], bool]]:
        """Filters as they are sent, and which keys they select."""
        cronjob_id, name = self.chance.choice([*self.jobs]), self.chance.choice(NAMES)
        since, kind = self.clock.now - self.chance.randrange(40) * HOUR, self.chance.choice(KINDS)
        reason = self.chance.choice(["max_age", "target_refused"])
        known = {
            "cronjob_id": cronjob_id,
            "name": name,
            "since": format_iso(since),
            "until": format_iso(since + 20 * HOUR),
            "kind": kind,
            "reason": reason,
        }
        filters: dict[str, Any] = {one: value for one, value in known.items() if self.chance.random() < 0.2}
        if "cronjob_id" in filters:
            filters.pop("name", None)

        def chosen(key: Key) -> bool:
            return (
                ("cronjob_id" not in filters or key[0] == cronjob_id)
                and ("name" not in filters or self.jobs[key[0]].name == name)
                and ("since" not in filters or key[1] >= since)
                and ("until" not in filters or key[1] < since + 20 * HOUR)
                and ("kind" not in filters or key[2] == kind)
                and ("reason" not in filters or self.rows[key].reason == reason)
            )

        return filters, chosen

    # What the server does by itself

    async def send(self) -> None:
        """All that is due is sent, by one node or by two, and so is what tells of it."""
        nodes = [
            Dispatcher(
                self.store,
                vault(),
                {"http": self.target},
                Limits(),
                monotonic=lambda: self.clock.now / SECOND,
            )
            for _ in range(self.chance.choice([1, 2]))
        ]
        for _ in range(100):
            await asyncio.gather(*(work_off(node) for node in nodes))
            self.clock.forward(SECOND)
            found = await read_firings(self.store)
            if not any(row.due_at is not None for row in found):
                break
        else:
            raise AssertionError("what is due does not end")
        expected = [told for key, row in list(self.rows.items()) if (told := self._end(key, row))]
        await self._adopt(expected)

    def _end(self, key: Key, row: Row) -> tuple[Key, str] | None:
        """End a pending row; if that is to be told, of which it is and by whom."""
        if row.state != "pending":
            return None
        job = self.jobs[key[0]]
        if not (row.too_old or job.refuses):
            row.state, row.reason = "delivered", None
            return None
        row.state, row.reason = "failed", "max_age" if row.too_old else "target_refused"
        told_by = job.dead_letter or self.default
        if (
            key[2] == Kind.DEAD_LETTER
            or told_by in (None, NOT_TOLD, key[0])
            or self.jobs[told_by or ""].deleted
        ):
            return None
        assert told_by is not None
        return key, told_by

    async def _adopt(self, expected: list[tuple[Key, str]]) -> None:
        """Take over the keys of what tells, if these are as many, by whom and of which the model says."""
        page = await self.operations.list_firings(
            self.caller.account_id, {"kind": "dead_letter", "limit": "100", "since": format_iso(0)}
        )
        assert page.next_cursor is None, "the walk has few enough"
        news: Counter[tuple[Key, str]] = Counter()
        for told in page.items:
            key = (told["cronjob_id"], parse_iso(told["scheduled_at"]), told["kind"])
            if key in self.rows:
                continue
            of = told["dead_letter_of"]
            news[(of["cronjob_id"], parse_iso(of["scheduled_at"]), of["kind"]), key[0]] += 1
            refuses = self.jobs[key[0]].refuses
            self.rows[key] = Row("failed", "target_refused") if refuses else Row("delivered")
        assert news == Counter(expected)
        self.done["told"] += len(expected)

    # What has to hold

    async def check(self) -> None:
        found = {
            (row.cronjob_id, row.scheduled_at, row.kind): (row.state, row.reason, row.discarded_note)
            for row in await read_firings(self.store)
        }
        assert found == {key: (row.state, row.reason, row.note) for key, row in self.rows.items()}
        filters, chosen = self._filters()
        meant = {key for key, row in self.rows.items() if row.dead and chosen(key)}
        order, limit = self.chance.choice(["newest", "oldest"]), self.chance.choice([1, 3, 100])
        listed = [key async for key in self._listed({**filters, "order": order, "limit": str(limit)})]
        assert len(listed) == len(set(listed))
        assert set(listed) == meant, filters
        times = [key[1] for key in listed]
        assert times == sorted(times, reverse=order == "newest")
        shown = await self.operations.get_account(self.caller)
        assert shown["dead_letters"] == sum(row.dead for row in self.rows.values())
        assert shown["dead_letter"] == self.default

    async def _listed(self, sent: dict[str, Any]) -> Any:
        while True:
            page = await self.operations.list_dead_letters(self.caller.account_id, sent)
            for each in page.items:
                yield each["cronjob_id"], parse_iso(each["scheduled_at"]), each["kind"]
            if page.next_cursor is None:
                return
            sent = {**sent, "cursor": page.next_cursor}


async def walk(store: Store, clock: Clock, seed: int, steps: int) -> None:
    targets = build_targets()
    operations = Tenants(
        Operations(store, vault(), targets, max_cronjobs=len(NAMES), monotonic=lambda: clock.now / SECOND)
    )
    caller = await sign_up(operations, "walk@example.com")
    world = Walk(operations, store, clock, caller, random.Random(seed))
    for name in NAMES:
        await world.create(name)
    verbs: dict[Callable[[], Any], int] = {
        world.owe: 6,
        world.send: 6,
        world.refuse: 3,
        world.name_one: 4,
        world.replay: 3,
        world.replay_many: 1,
        world.discard: 3,
        world.discard_many: 1,
        world.wait: 2,
        world.keep: 1,
        world.delete: 1,
    }
    for verb in _each_once_then(world.chance, verbs, steps):
        world.done[verb.__name__] += 1
        await verb()
        await world.check()
    await world.send()
    await world.check()
    assert world.done["told"] > 0
    for target in targets.values():
        await target.close()


def _each_once_then(
    chance: random.Random, verbs: dict[Callable[[], Any], int], steps: int
) -> Iterator[Callable[[], Any]]:
    """So many verbs, each of them once at least."""
    chosen = [*verbs, *chance.choices([*verbs], [*verbs.values()], k=steps - len(verbs))]
    chance.shuffle(chosen)
    yield from chosen


@pytest.mark.sample
@pytest.mark.parametrize("seed", [1, 2])
async def test_walk__each_failure_is_told_once_and_listed_until_it_is_dealt_with(
    store: Store, clock: Clock, seed: int
) -> None:
    await walk(store, clock, seed, 80)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 104))
async def test_walk__long(store: Store, clock: Clock, seed: int) -> None:
    await walk(store, clock, seed, 200)
