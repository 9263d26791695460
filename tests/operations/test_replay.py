"""Replay: the same firing once more, once for each request, at a pace; and what is never replayed."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from sqlalchemy import select, update

from cronally import errors
from cronally.firing import firing_id
from cronally.instants import DAY, HOUR, MINUTE, SECOND, format_iso
from cronally.operations import Caller, replaying
from cronally.operations.background import ITEMS, Background
from cronally.store import Store, tables
from cronally.targets.target import Delivered, Message, Outcome, Refused, Retry
from tests.operations.conftest import sign_up
from tests.operations.parameters import SNS
from tests.operations.past import dispatch, finish, step
from tests.operations.tenant import Tenants
from tests.support.factories import (
    NOON,
    Clock,
    ScriptedTarget,
    firing_values,
    insert_rows,
    make_cronjob,
    make_firing,
    read,
    read_firing,
    read_firings,
)

LONG_AGO = NOON - 20 * DAY
ENDED: dict[str, dict[str, Any]] = {
    "failed": {"state": "failed", "reason": "max_age", "attempt": 3, "lease_no": 4, "sent_at": NOON - DAY},
    "missed": {"state": "missed", "reason": "misfire_grace"},
    "skipped": {"state": "skipped", "reason": "excluded", "cause": "holidays"},
    "delivered": {
        "state": "delivered",
        "attempt": 3,
        "lease_no": 4,
        "sent_at": NOON - DAY,
        "duration": SECOND,
        "message_id": "first",
        "version": 1,
    },
}


def gone_wrong(message: Message) -> Outcome:
    return Retry("busy")


async def job_of(store: Store, caller: Caller, **given: Any) -> dict[str, Any]:
    values = {"created_at": NOON - 30 * DAY, "next_fire_at": NOON + MINUTE, **given}
    return await make_cronjob(store, caller.account_id, **values)


async def failures(store: Store, job: dict[str, Any], count: int, **given: Any) -> list[int]:
    """Fire times of firings that failed, a minute apart, the oldest first."""
    rows = [
        firing_values(
            job,
            scheduled_at=NOON - 6 * HOUR + number * MINUTE,
            **{**ENDED["failed"], **given},
            finished_at=NOON - 1,
        )
        for number in range(count)
    ]
    await insert_rows(store, "firing", rows)
    return [row["scheduled_at"] for row in rows]


# One firing


@pytest.mark.parametrize("state", ENDED)
async def test_replay__is_the_same_firing_once_more(
    operations: Tenants, store: Store, caller: Caller, state: str
) -> None:
    """Twenty days after its fire time neither misfire_grace nor max_age ends it."""
    job = await job_of(store, caller)
    await make_firing(store, job, scheduled_at=LONG_AGO, created_at=LONG_AGO, **ENDED[state])
    attempts = ENDED[state].get("attempt", 0)
    made = await operations.replay_firing(caller.account_id, job["cronjob_id"], LONG_AGO)
    assert (made["state"], made["reason"], made["attempt"]) == ("pending", None, attempts)
    assert (made["due_at"], made["finished_at"], made["message_id"]) == (format_iso(NOON), None, None)
    with pytest.raises(errors.Conflict, match="on its way already"):
        await operations.replay_firing(caller.account_id, job["cronjob_id"], LONG_AGO)
    target = ScriptedTarget()
    await dispatch(store, target)
    (message,) = target.messages
    assert message.firing_id == made["firing_id"] == firing_id(job["cronjob_id"], LONG_AGO)
    assert (message.attempt, message.scheduled_at) == (attempts + 1, LONG_AGO)
    listed = await operations.list_firings(caller.account_id, {"attempts": "true"})
    (firing,) = listed.items
    assert (firing["state"], firing["attempt"], firing.get("cause")) == ("delivered", attempts + 1, None)
    told = [(each["attempt"], each["outcome"], each["reason"]) for each in firing["attempts"]]
    before = [(3, "delivered", "replayed")] if state == "delivered" else []
    assert told == [*before, (attempts + 1, "delivered", None)]


async def test_replay__has_all_its_retries_again(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    job = await job_of(store, caller, retry_max_attempts=1)
    await make_firing(store, job, scheduled_at=LONG_AGO, refusals=9, **ENDED["failed"])
    target = ScriptedTarget(gone_wrong)
    for attempts in (2, 4):
        await operations.replay_firing(caller.account_id, job["cronjob_id"], LONG_AGO)
        for _ in range(3):
            await dispatch(store, target)
            clock.forward(HOUR)
        row = await read_firing(store, job["cronjob_id"])
        assert (row.state, row.reason, row.attempt) == ("failed", "target_unavailable", 3 + attempts)
    assert [message.attempt for message in target.messages] == [4, 5, 6, 7]


async def test_replay__of_a_refused_one_is_tried_as_often_as_a_new_one(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    new, old = await job_of(store, caller), await job_of(store, caller)
    await make_firing(store, new)
    await make_firing(store, old, refusals=9, **ENDED["failed"])
    await operations.replay_firing(caller.account_id, old["cronjob_id"], NOON)
    target = ScriptedTarget(lambda _message: Refused("no"))
    for _ in range(20):
        await dispatch(store, target)
        clock.forward(HOUR)
    rows = {row.cronjob_id: row for row in await read_firings(store)}
    tries = [rows[job["cronjob_id"]].attempt for job in (new, old)]
    assert {row.state for row in rows.values()} == {"failed"}
    assert tries[1] == tries[0] + 3


async def test_replay__says_how_the_cron_job_stands(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    """What is delivered now is not late, though its fire time is long ago."""
    job = await job_of(store, caller)
    await make_firing(store, job, **ENDED["failed"])
    standing = {"cronjob_id": job["cronjob_id"], "health": "failing", "since": NOON, "in_a_row": 1}
    await insert_rows(store, "standing", [standing])
    clock.forward(HOUR)
    await operations.replay_firing(caller.account_id, job["cronjob_id"], NOON)
    await dispatch(store, ScriptedTarget(lambda message: Delivered(message.firing_id)))
    shown = await operations.get_cronjob(caller.account_id, job["cronjob_id"], standing=True)
    assert shown["health"] == "ok"
    assert shown["fired"] == 0


REFUSED: list[tuple[dict[str, Any], dict[str, Any], type[errors.RequestError], str]] = [
    ({"state": "pending"}, {}, errors.Conflict, "on its way already"),
    ({"state": "sending"}, {}, errors.Conflict, "on its way already"),
    (
        {"state": "missed", "until_at": NOON + HOUR, "count": 60},
        {},
        errors.InvalidRequest,
        "60 fire times that were given up",
    ),
    ({"state": "skipped", "reason": "dst_overlap=first"}, {}, errors.InvalidRequest, "no fire time"),
    ({**ENDED["delivered"], "reason": "clock_ahead"}, {"next_fire_at": NOON}, errors.Conflict, "by itself"),
    ({**ENDED["failed"], "scheduled_at": NOON + HOUR}, {}, errors.Conflict, "by itself"),
    (ENDED["failed"], {"state": "deleted", "next_fire_at": None}, errors.NotFound, "no such cron job"),
    ({**ENDED["failed"], "kind": "manual"}, {}, errors.NotFound, "no such firing"),
]


@pytest.mark.parametrize(("firing", "given", "error", "said"), REFUSED)
@pytest.mark.sample
async def test_replay__refused(
    operations: Tenants,
    store: Store,
    caller: Caller,
    firing: dict[str, Any],
    given: dict[str, Any],
    error: type[errors.RequestError],
    said: str,
) -> None:
    job = await job_of(store, caller, **given)
    made = await make_firing(store, job, **firing)
    before = await read_firings(store)
    with pytest.raises(error, match=said):
        await operations.replay_firing(caller.account_id, job["cronjob_id"], made["scheduled_at"])
    assert await read_firings(store) == before


async def test_replay__of_manual_firings_but_for_those_with_a_message_of_their_own(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    job = await operations.create_cronjob(caller.account_id, SNS)
    for sent in ({"sns_message": "own"}, {}):
        await operations.run_cronjob(caller.account_id, job["cronjob_id"], sent)
    own, plain = await read_firings(store)
    table = tables.firing
    ended = update(table).values(state="failed", due_at=None, finished_at=NOON)
    await store.transact(lambda connection: connection.execute(ended) and None)
    clock.forward(SECOND)
    manual = {"kind": "manual"}
    with pytest.raises(errors.InvalidRequest, match="message of its own, which was erased"):
        await operations.replay_firing(caller.account_id, job["cronjob_id"], own.scheduled_at, manual)
    again = await operations.replay_firing(caller.account_id, job["cronjob_id"], plain.scheduled_at, manual)
    assert again["state"] == "pending"


@pytest.mark.sample
async def test_replay__of_another_account_is_not_found(
    operations: Tenants, store: Store, caller: Caller
) -> None:
    other = await sign_up(operations, "other@example.com")
    job = await job_of(store, other)
    await failures(store, job, 1)
    with pytest.raises(errors.NotFound):
        await operations.replay_firing(caller.account_id, job["cronjob_id"], NOON - HOUR)
    for whose in ({"cronjob_id": job["cronjob_id"]}, {"name": "Reports"}):
        with pytest.raises(errors.NotFound):
            await operations.replay_firings(caller.account_id, whose)
    trial = await operations.replay_firings(caller.account_id, {"state": "failed", "dry_run": "true"})
    assert trial == {"total": 0, "firings": []}


@pytest.mark.sample
async def test_replay__of_one_account_is_bounded(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    """300 at once, and no more than 600 in any minute."""
    job = await job_of(store, caller)
    times = await failures(store, job, 302)
    for at in times[:300]:
        await operations.replay_firing(caller.account_id, job["cronjob_id"], at)
    with pytest.raises(errors.RateLimited) as caught:
        await operations.replay_firing(caller.account_id, job["cronjob_id"], times[300])
    assert caught.value.retry_after == 1
    clock.forward(SECOND // 10)
    await operations.replay_firing(caller.account_id, job["cronjob_id"], times[300])
    with pytest.raises(errors.RateLimited):
        await operations.replay_firing(caller.account_id, job["cronjob_id"], times[301])


# All that filters select


async def test_set__is_what_failed_by_default_the_oldest_first(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    job = await job_of(store, caller)
    times = await failures(store, job, 5)
    for number, state in enumerate(("delivered", "missed", "skipped")):
        await make_firing(store, job, scheduled_at=NOON - number, **ENDED[state])
    sent = {"since": format_iso(times[1]), "max_per_minute": "60"}
    trial = await operations.replay_firings(caller.account_id, sent | {"dry_run": "true"})
    assert trial["total"] == 4
    assert [each["scheduled_at"] for each in trial["firings"]] == [format_iso(at) for at in times[1:]]
    assert {row.state for row in await read_firings(store)} == {*ENDED}
    begun = await operations.replay_firings(caller.account_id, sent)
    assert (begun["action"], begun["total"]) == ("replay", 4)
    assert (begun["filters"], begun["parameters"]) == (
        {"since": format_iso(times[1])},
        {"max_per_minute": "60"},
    )
    await finish(operations, store, clock)
    done = await operations.get_operation(caller.account_id, begun["operation_id"])
    assert (done["state"], done["done"], done["failed"]) == ("completed", 4, 0)
    due = [row.due_at for row in await read_firings(store) if row.state == "pending"]
    assert due == [NOON + number * SECOND for number in range(4)]


@pytest.mark.parametrize("crashes", [False, True])
async def test_set__sends_each_once_whatever_crashes_and_however_often_it_fails(
    operations: Tenants, store: Store, caller: Caller, clock: Clock, crashes: bool
) -> None:
    """A target that refuses at once: what has failed again meanwhile is not replayed a second time."""
    job = await job_of(store, caller, retry_max_attempts=0)
    times = await failures(store, job, 2 * ITEMS + 1)
    sent = {"name": "Reports", "max_per_minute": "600"}
    begun = await operations.replay_firings(caller.account_id, sent)
    target = ScriptedTarget(gone_wrong)
    clock.forward(1)
    while (await operations.get_operation(caller.account_id, begun["operation_id"]))["state"] == "running":
        await step(operations, store, clock, crashes=crashes)
        clock.forward(SECOND)
        await dispatch(store, target)
    clock.forward(MINUTE)
    await dispatch(store, target)
    assert sorted(message.scheduled_at for message in target.messages) == times
    assert {row.attempt for row in await read_firings(store)} == {4}
    done = await operations.get_operation(caller.account_id, begun["operation_id"])
    assert (done["done"], done["failed"]) == (len(times), 0)
    due = sorted(row.owed_at for row in await read_firings(store))
    assert min(later - earlier for earlier, later in itertools.pairwise(due)) >= SECOND // 10


async def test_set__waits_for_none_that_a_freeze_holds(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    """One of them was replayed by itself, and is held."""
    job = await job_of(store, caller)
    first, *_ = await failures(store, job, 3)
    begun = await operations.replay_firings(caller.account_id, {"name": "Reports", "max_per_minute": "600"})
    await Background(store, operations.operations.actions).step()  # they are selected
    held = {"state": "pending", "reason": "frozen", "due_at": NOON + 5 * HOUR, "owed_at": NOON + 5 * HOUR}
    of_first = update(tables.firing).where(tables.firing.c.scheduled_at == first)
    await store.transact(
        lambda connection: connection.execute(of_first.values(finished_at=None, **held)) and None
    )
    await finish(operations, store, clock)
    done = await operations.get_operation(caller.account_id, begun["operation_id"])
    assert (done["state"], done["done"], done["failed"]) == ("completed", 3, 0)
    assert clock.now < NOON + 2 * MINUTE


@pytest.mark.sample
async def test_set__cancelled_leaves_the_rest(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    job = await job_of(store, caller)
    await failures(store, job, 50)
    begun = await operations.replay_firings(caller.account_id, {"state": "failed"})
    runner = Background(store, operations.operations.actions)
    while await runner.step() is not None:
        pass
    await operations.operations.tracking.cancel_operation(caller, begun["operation_id"])
    await finish(operations, store, clock)
    assert [row.state for row in await read_firings(store)].count("pending") == 6


@pytest.mark.sample
async def test_set__tells_what_cannot_be_replayed(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    job = await job_of(store, caller)
    gone = await job_of(store, caller, state="deleted", next_fire_at=None)
    await make_firing(store, job, scheduled_at=NOON - DAY, **ENDED["missed"])
    shape = {"scheduled_at": NOON - HOUR, "until_at": NOON - MINUTE, "count": 60}
    await make_firing(store, job, **ENDED["missed"], **shape)
    await make_firing(store, gone, scheduled_at=NOON - HOUR, **ENDED["missed"])
    begun = await operations.replay_firings(caller.account_id, {"state": "missed"})
    await finish(operations, store, clock)
    done = await operations.get_operation(caller.account_id, begun["operation_id"])
    assert (done["state"], done["total"], done["done"], done["failed"]) == ("completed", 3, 1, 2)
    problems = {each["cronjob_id"]: each["problem"] for each in done["problems"]}
    assert "stands for 60 fire times" in problems[job["cronjob_id"]]
    assert "no such cron job" in problems[gone["cronjob_id"]]


async def test_tags__are_those_of_the_cron_jobs_now(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    both = await job_of(store, caller, tags='["env=prod","web"]')
    one = await job_of(store, caller, tags='["env=test"]')
    await failures(store, both, 2)
    await failures(store, one, 3)
    listed = {
        tag: len((await operations.list_firings(caller.account_id, {"tag": tag})).items)
        for tag in ("web", "env=*", "env=prod,web", "env", "env=prod,env=test")
    }
    assert listed == {"web": 2, "env=*": 5, "env=prod,web": 2, "env": 0, "env=prod,env=test": 0}
    await operations.replay_firings(caller.account_id, {"tag": "env=test"})
    await finish(operations, store, clock)
    pending = [row.cronjob_id for row in await read_firings(store) if row.state == "pending"]
    assert pending == [one["cronjob_id"]] * 3


@pytest.mark.sample
async def test_wrong_requests__change_nothing(
    operations: Tenants, store: Store, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await job_of(store, caller)
    await failures(store, job, 3)
    for sent, name in (
        ({}, "state"),
        ({"max_per_minute": "60"}, "state"),
        ({"state": "pending"}, "state"),
        ({"state": "failed", "limit": "1"}, "limit"),
        ({"since": "yesterday"}, "since"),
        ({"name": "x", "cronjob_id": job["cronjob_id"]}, "name"),
    ):
        with pytest.raises(errors.InvalidRequest) as caught:
            await operations.replay_firings(caller.account_id, sent)
        assert [*caught.value.fields] == [name]
    monkeypatch.setattr(replaying, "MOST", 2)
    with pytest.raises(errors.InvalidRequest, match="More than 2 firings are like that"):
        await operations.replay_firings(caller.account_id, {"state": "failed"})
    assert {row.state for row in await read_firings(store)} == {"failed"}
    assert await read(store, select(tables.operation.c.operation_id)) == []
