"""Firings that tell of one that has failed: one for each failure, whatever crashes, and none that goes round."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from cronally import failpoints
from cronally.contract import told
from cronally.cronjob import KEEP_COMPLETED
from cronally.engine.admission import Limits
from cronally.engine.dispatcher import Dispatcher
from cronally.firing import Kind, Reason, State, firing_id
from cronally.instants import DAY, MINUTE, SECOND, format_iso
from cronally.store import Store, cronjobs, leases, outcomes, removal, reopening, tables, upkeep
from cronally.store.claims import Record
from cronally.targets.target import Delivered, Message, Outcome, Refused
from tests.support.factories import (
    NOON,
    Clock,
    ScriptedTarget,
    make_cronjob,
    make_firing,
    read,
    read_firing,
    read_firings,
    uuid_of,
    vault,
    work_off,
)

BODY = "delivery_http_body"
REFUSED = Refused("no such room")


class Killed(BaseException):
    """The process dies here."""


@pytest.fixture(autouse=True)
def nothing_armed() -> Iterator[None]:
    yield
    failpoints.disarm()


@dataclass
class Two:
    """A cron job that fails, and the one that tells of it."""

    failing: dict[str, Any]
    telling: dict[str, Any]


@dataclass
class Receiver(ScriptedTarget):
    """Refuses what the cron jobs in it send, and takes everything else."""

    refuses: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.script = self._answer

    def _answer(self, message: Message) -> Outcome:
        return REFUSED if message.cronjob_id in self.refuses else Delivered(None)

    def told(self, cronjob_id: str) -> list[Any]:
        """What a cron job has sent, read as JSON."""
        pairs = zip(self.messages, self.destinations, strict=True)
        return [
            json.loads(destination.public[BODY])
            for message, destination in pairs
            if message.cronjob_id == cronjob_id
        ]


async def two(store: Store, **changed: Any) -> Two:
    """Both of one account. What is given is that of the one that fails."""
    telling = await make_cronjob(store, target="http", destination="{}", next_fire_at=None, name="Tells")
    failing = await make_cronjob(
        store,
        telling["account_id"],
        **{
            "target": "http",
            "destination": json.dumps({BODY: "hello"}),
            "next_fire_at": None,
            "dead_letter": telling["cronjob_id"],
            **changed,
        },
    )
    return Two(failing, telling)


def dispatcher(store: Store, target: ScriptedTarget) -> Dispatcher:
    """Its monotonic clock stands still, as the store's does: what fails at an instant is told at that instant."""
    return Dispatcher(store, vault(), {"http": target}, Limits(), chance=lambda: 0.5, monotonic=lambda: 0.0)


async def telling_rows(store: Store) -> list[Any]:
    return [row for row in await read_firings(store) if row.kind == Kind.DEAD_LETTER]


async def links(store: Store) -> int:
    ((count,),) = await read(store, select(func.count()).select_from(tables.dead_letter))
    return int(count)


# One failure


async def test_failure__is_told_with_reason_attempts_and_message(store: Store, clock: Clock) -> None:
    marked = {
        BODY: "run <cronally.firing-id> of <cronally.scheduled-time>",
        "templates": {BODY: "text"},
    }
    jobs = await two(store, destination=json.dumps(marked))
    target = Receiver(refuses={jobs.failing["cronjob_id"]})
    await make_firing(store, jobs.failing)
    await work_off(dispatcher(store, target))
    (row,) = await telling_rows(store)
    assert (row.cronjob_id, row.state, row.account_id) == (
        jobs.telling["cronjob_id"],
        State.DELIVERED,
        jobs.telling["account_id"],
    )
    (said,) = target.told(jobs.telling["cronjob_id"])
    key = firing_id(jobs.failing["cronjob_id"], NOON)
    assert said["message"] == f"run {key} of {format_iso(NOON)}"
    letter = said["dead_letter"]
    (attempt,) = letter.pop("attempts")
    assert letter == {
        "firing_id": key,
        "cronjob_id": jobs.failing["cronjob_id"],
        "cronjob_name": "Reports",
        "scheduled_at": format_iso(NOON),
        "kind": "scheduled",
        "state": "failed",
        "reason": Reason.TARGET_REFUSED,
        "failed_at": format_iso(row.scheduled_at),
        "attempt": 1,
    }
    assert (attempt["outcome"], attempt["detail"]) == ("refused", REFUSED.detail)
    # Its id is that of its own three, as of every firing.
    sent = next(m for m in target.messages if m.cronjob_id == jobs.telling["cronjob_id"])
    assert sent.firing_id == firing_id(row.cronjob_id, row.scheduled_at, Kind.DEAD_LETTER)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"lost_leases": 5, "lease_no": 5, "attempt": 5}, Reason.WORKER_LOST),
        ({"scheduled_at": NOON - 2 * DAY, "attempt": 1, "lease_no": 1}, Reason.MAX_AGE),
        ({"attempt": 200, "lease_no": 200, "sent_at": NOON}, Reason.RETRY_MAX_ATTEMPTS),
        ({"sent_as": 7}, Reason.UNSENDABLE),
    ],
)
@pytest.mark.sample
async def test_failure__is_told_however_it_fails(
    store: Store, clock: Clock, given: dict[str, Any], reason: Reason
) -> None:
    jobs = await two(store)
    target = Receiver()
    created = {"created_at": given.get("scheduled_at", NOON)}
    await make_firing(store, jobs.failing, **created, **given)
    await work_off(dispatcher(store, target))
    assert (await read_firing(store, jobs.failing["cronjob_id"])).state == State.FAILED
    (said,) = target.told(jobs.telling["cronjob_id"])
    assert said["dead_letter"]["reason"] == reason


@pytest.mark.parametrize("state", ["missed", "skipped", "delivered"])
@pytest.mark.sample
async def test_other_ends__are_not_told(store: Store, clock: Clock, state: str) -> None:
    late = {"scheduled_at": NOON - 2 * DAY, "created_at": NOON - 2 * DAY}
    jobs = await two(store, state="deleted" if state == "skipped" else "active")
    await make_firing(store, jobs.failing, **(late if state == "missed" else {}))
    await work_off(dispatcher(store, Receiver()))
    assert (await read_firing(store, jobs.failing["cronjob_id"])).state == state
    assert not await telling_rows(store)


async def test_message__of_its_own_is_erased_and_not_told(store: Store, clock: Clock) -> None:
    jobs = await two(store)
    target = Receiver(refuses={jobs.failing["cronjob_id"]})
    await make_firing(store, jobs.failing, kind="manual", own_message=1)
    await work_off(dispatcher(store, target))
    (said,) = target.told(jobs.telling["cronjob_id"])
    assert said["message"] is None
    assert said["dead_letter"]["kind"] == "manual"


async def test_target__that_takes_no_message_is_said(store: Store, clock: Clock) -> None:
    jobs = await two(store)
    jobs.telling = await make_cronjob(store, jobs.telling["account_id"], target="ecs", destination="{}")
    values = {"dead_letter": jobs.telling["cronjob_id"], "target": "http", "destination": "{}"}
    failing = await make_cronjob(store, jobs.telling["account_id"], **values)
    target = Receiver(refuses={failing["cronjob_id"]})
    await make_firing(store, failing)
    await work_off(Dispatcher(store, vault(), {"http": target, "ecs": target}, monotonic=lambda: 0.0))
    (row,) = await telling_rows(store)
    assert (row.state, row.reason) == (State.FAILED, Reason.UNSENDABLE)


# None goes round


async def test_failure_of_what_tells__is_told_by_none(store: Store, clock: Clock) -> None:
    """Each names the other: what fails of the one is told by the other, and there it ends."""
    one = await make_cronjob(
        store, target="http", destination="{}", next_fire_at=None, cronjob_id="one", dead_letter=""
    )
    ids = {name: (await _named(store, one["account_id"], name, other)) for name, other in _CIRCLE.items()}
    target = Receiver(refuses=set(ids.values()))
    for cronjob_id in ids.values():
        await make_firing(store, {**one, "cronjob_id": cronjob_id})
    await work_off(dispatcher(store, target))
    rows = await read_firings(store)
    assert Counter((row.kind, row.state) for row in rows) == {
        ("scheduled", "failed"): 2,
        ("dead_letter", "failed"): 2,
    }


_CIRCLE = {"circle-a": "circle-b", "circle-b": "circle-a"}


async def _named(store: Store, account_id: str, name: str, other: str) -> str:
    job = await make_cronjob(
        store,
        account_id,
        cronjob_id=name,
        dead_letter=uuid_of(other),
        target="http",
        destination="{}",
        next_fire_at=None,
    )
    return str(job["cronjob_id"])


# Once for each failure


@pytest.mark.parametrize("nodes", [1, 2])
async def test_many_at_one_instant__each_has_its_own(store: Store, clock: Clock, nodes: int) -> None:
    """All fail by the same clock, those of two cron jobs with the same fire times; two nodes record them at once."""
    jobs = await two(store)
    again = await make_cronjob(
        store,
        jobs.telling["account_id"],
        target="http",
        destination="{}",
        next_fire_at=None,
        dead_letter=jobs.telling["cronjob_id"],
    )
    failing = {jobs.failing["cronjob_id"], again["cronjob_id"]}
    target = Receiver(refuses=failing)
    for job, number in itertools.product((jobs.failing, again), range(15)):
        await make_firing(store, job, scheduled_at=NOON - number * SECOND, due_at=NOON)
    several = [dispatcher(store, target) for _ in range(nodes)]
    await asyncio.gather(*(work_off(each) for each in several))
    clock.forward(SECOND)
    await work_off(several[0])
    said = [each["dead_letter"]["firing_id"] for each in target.told(jobs.telling["cronjob_id"])]
    rows = await read_firings(store)
    failed = {
        firing_id(row.cronjob_id, row.scheduled_at, row.kind) for row in rows if row.cronjob_id in failing
    }
    assert Counter(said) == dict.fromkeys(failed, 1)
    assert len(failed) == await links(store) == 30


@pytest.mark.parametrize("point", failpoints.POINTS)
@pytest.mark.sample
async def test_crash__at_each_point_of_either_firing(store: Store, clock: Clock, point: str) -> None:
    jobs = await two(store)
    target = Receiver(refuses={jobs.failing["cronjob_id"]})
    await make_firing(store, jobs.failing)
    for reached in range(3):
        left = itertools.count()

        def kill(left: Any = left, reached: int = reached) -> None:
            if next(left) == reached:
                raise Killed

        failpoints.arm(point, kill)
        dead = dispatcher(store, target)
        with contextlib.suppress(Killed):
            await dead.step()
            await dead.settled()
            await dead.step()
            await dead.settled()
        failpoints.disarm()
        clock.forward(MINUTE)
    await work_off(dispatcher(store, target))
    (row,) = await telling_rows(store)
    assert row.state == State.DELIVERED
    assert (await read_firing(store, jobs.failing["cronjob_id"])).state == State.FAILED
    ids = {message.firing_id for message in target.messages if message.cronjob_id == row.cronjob_id}
    assert len(ids) == 1, "at least once, one id"


async def test_record__written_once_more_tells_once(store: Store, clock: Clock) -> None:
    """The commit was not heard of, so the same record is written again."""
    jobs = await two(store)
    await make_firing(store, jobs.failing)
    takes = {jobs.failing["account_id"]: 10}
    (claim,) = await store.transact(lambda c: leases.claim_firings(c, NOON, NOON + MINUTE, takes))
    record = Record(claim, State.FAILED, Reason.TARGET_REFUSED, finished_at=NOON)
    freed = [await store.transact(lambda c: outcomes.record_outcomes(c, [record])) for _ in range(2)]
    assert freed == [1, 0]
    assert await links(store) == len(await telling_rows(store)) == 1


async def test_record__of_a_lost_lease_tells_nothing(store: Store, clock: Clock) -> None:
    jobs = await two(store)
    await make_firing(store, jobs.failing)
    takes = {jobs.failing["account_id"]: 10}
    (late,) = await store.transact(lambda c: leases.claim_firings(c, NOON, NOON + SECOND, takes))
    (claim,) = await store.transact(lambda c: leases.claim_firings(c, NOON + MINUTE, NOON + DAY, takes))
    failed = Record(late, State.FAILED, Reason.TARGET_REFUSED, finished_at=NOON + MINUTE)
    assert await store.transact(lambda c: outcomes.record_outcomes(c, [failed])) == 0
    delivered = Record(claim, State.DELIVERED, finished_at=NOON + MINUTE)
    await store.transact(lambda c: outcomes.record_outcomes(c, [delivered]))
    assert not await telling_rows(store)


async def test_replay__that_fails_again_is_told_again(store: Store, clock: Clock) -> None:
    jobs = await two(store)
    target = Receiver(refuses={jobs.failing["cronjob_id"]})
    await make_firing(store, jobs.failing)
    await work_off(dispatcher(store, target))

    async def replay() -> None:
        clock.forward(MINUTE)
        row = await store.transact(
            lambda c: reopening.get_row(c, jobs.failing["cronjob_id"], NOON, Kind.SCHEDULED)
        )
        assert row is not None
        await store.transact(lambda c: reopening.reopen(c, row, clock.now))
        await work_off(dispatcher(store, target))

    await replay()
    said = target.told(jobs.telling["cronjob_id"])
    assert [len(each["dead_letter"]["attempts"]) for each in said] == [1, 2]
    target.refuses.clear()
    await replay()
    assert len(await telling_rows(store)) == 2, "what is delivered is not told"


# What becomes of the cron job that tells


@pytest.mark.parametrize("deleted", ["before", "meanwhile"])
async def test_deleted__tells_nothing_more(store: Store, clock: Clock, deleted: str) -> None:
    jobs = await two(store)
    target = Receiver(refuses={jobs.failing["cronjob_id"]})

    async def delete() -> None:
        def work(connection: Any) -> None:
            job = cronjobs.lock_cronjob(connection, jobs.telling["account_id"], jobs.telling["cronjob_id"])
            assert job is not None
            removal.delete(connection, job, clock.now, retention=DAY, changed_by=None)

        await store.transact(work)

    await make_firing(store, jobs.failing)
    if deleted == "before":
        await delete()
        await work_off(dispatcher(store, target))
        assert not await telling_rows(store)
        return
    dead = dispatcher(store, target)
    await dead.step()
    await dead.settled()
    await delete()
    await work_off(dead)
    (row,) = await telling_rows(store)
    assert (row.state, row.reason) == (State.SKIPPED, Reason.DELETED)


@pytest.mark.parametrize("overlap", ["skip", "queue"])
async def test_overlap__skips_nothing_that_tells(store: Store, clock: Clock, overlap: str) -> None:
    jobs = await two(store)
    telling = await make_cronjob(
        store,
        jobs.telling["account_id"],
        target="http",
        destination="{}",
        next_fire_at=None,
        overlap=overlap,
    )
    failing = await make_cronjob(
        store,
        jobs.telling["account_id"],
        target="http",
        destination="{}",
        next_fire_at=None,
        dead_letter=telling["cronjob_id"],
    )
    target = Receiver(refuses={failing["cronjob_id"]})
    for number in range(14):
        await make_firing(store, failing, scheduled_at=NOON - number * SECOND, due_at=NOON)
    node = dispatcher(store, target)
    for _ in range(40):
        await work_off(node)
        clock.forward(MINUTE)
    assert Counter(row.state for row in await telling_rows(store)) == {"delivered": 14}


async def test_completed__that_tells_is_not_deleted(store: Store, clock: Clock) -> None:
    jobs = await two(store)
    long_ago = NOON - KEEP_COMPLETED
    values = {"state": "completed", "next_fire_at": None, "updated_at": long_ago}
    telling = await make_cronjob(store, jobs.telling["account_id"], **values)
    other = await make_cronjob(store, jobs.telling["account_id"], **values)
    await make_cronjob(store, jobs.telling["account_id"], dead_letter=telling["cronjob_id"])
    delete = removal.delete_completed
    account_id = jobs.telling["account_id"]
    deleted = await store.transact(lambda c: delete(c, account_id, NOON, 1, retention=DAY, told=[]))
    assert deleted == 1
    table = tables.cronjob
    gone = await read(store, select(table.c.cronjob_id).where(table.c.state == "deleted"))
    assert [row.cronjob_id for row in gone] == [other["cronjob_id"]]


async def test_retention__deletes_what_is_kept_of_both(store: Store, clock: Clock) -> None:
    jobs = await two(store)
    await make_firing(store, jobs.failing)
    await work_off(dispatcher(store, Receiver(refuses={jobs.failing["cronjob_id"]})))
    account_id = jobs.failing["account_id"]
    assert await links(store) == 1
    await store.transact(lambda c: upkeep.delete_firings(c, account_id, NOON + DAY, 10))
    assert await links(store) == 0
    assert not await read_firings(store)


# The text


FIRING = {"firing_id": "x", "attempts": [{"attempt": at, "detail": "d" * 1000} for at in range(20)]}


@given(st.text(max_size=300).map(lambda text: text * 20), st.integers(600, 40_000))
def test_text__fits_and_is_json(message: str, most: int) -> None:
    def fits(text: str) -> bool:
        return len(text.encode()) <= most

    text = told.text_of(FIRING, message, fits)
    assert fits(text)
    said = json.loads(text)
    assert message.startswith(said["message"])
    assert said["message"] == message or said["message_cut"]
    attempts = said["dead_letter"]["attempts"]
    assert len(attempts) == 20 or said["dead_letter"]["attempts_cut"]
    assert attempts[-1]["attempt"] == 19
