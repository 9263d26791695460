"""One request for many cron jobs: which ones, at once or in the background, and what a crash repeats."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from cronally import errors
from cronally.contract.bulk import AT_ONCE, BULK
from cronally.instants import MINUTE, SECOND, format_iso
from cronally.operations import Caller
from cronally.operations.background import ITEMS, LEASE, Background, Running
from cronally.operations.bulk import PATIENCE, BulkAction
from cronally.operations.tracking import MAX_RUNNING
from cronally.store import Store, background, tables
from tests.operations.conftest import sign_up
from tests.operations.tenant import Tenants
from tests.support.factories import (
    NOON,
    Clock,
    Monotonic,
    cronjob_values,
    insert_rows,
    make_cronjob,
    read,
    read_firings,
)

pytestmark = pytest.mark.sample

MANY = AT_ONCE + 1
ALL = {"all": "true"}
DRY = {"dry_run": "true"}
SENT: dict[str, dict[str, str]] = {
    "pause": {"note": "deploying"},
    "resume": {},
    "run": {"at": "10m"},
    "delete": {},
    "change": {"retry_max_attempts": "3"},
}


async def make(store: Store, account_id: str, count: int, **given: Any) -> list[str]:
    """The ids of so many cron jobs, the oldest first; each was made a second after the one before."""
    first = NOON - MINUTE - count * SECOND
    rows = [
        cronjob_values(
            account_id,
            **{
                "secret": None,
                "next_fire_at": None if given.get("state", "active") != "active" else NOON + MINUTE,
                "created_at": first + number * SECOND,
                "cronjob_id": f"job-{count}-{number:04}",
                **given,
            },
        )
        for number in range(count)
    ]
    await insert_rows(store, "cronjob", rows)
    return [row["cronjob_id"] for row in rows]


async def states(store: Store, account_id: str) -> Counter[str]:
    table = tables.cronjob
    rows = await read(store, select(table.c.state).where(table.c.account_id == account_id))
    return Counter(row.state for row in rows)


async def work_off(operations: Tenants, store: Store) -> int:
    """Let the background do all that there is; in how many parts."""
    runner = Background(store, operations.operations.actions)
    parts = 0
    while await runner.step() is not None:
        parts += 1
    return parts


async def is_done(store: Store, action: str, cronjob_id: str) -> bool:
    """Whether it was done to a cron job, exactly once."""
    (row,) = await read(store, select(tables.cronjob).where(tables.cronjob.c.cronjob_id == cronjob_id))
    runs = [firing for firing in await read_firings(store, cronjob_id) if firing.kind == "manual"]
    match action:
        case "run":
            return len(runs) == 1 and row.version == 1
        case "pause":
            return (row.state, row.paused_note, row.version) == ("paused", "deploying", 2)
        case "resume":
            return bool((row.state, row.version) == ("active", 2))
        case "delete":
            return bool((row.state, row.version) == ("deleted", 2))
        case _:
            return row.version == 2 and '"retry_max_attempts":3' in row.policies


def before(action: str) -> dict[str, Any]:
    """What cron jobs are so that an action changes them."""
    paused = {"state": "paused", "paused_at": NOON - MINUTE, "paused_by": "key", "wake_at": NOON + MINUTE}
    return paused if action == "resume" else {}


@pytest.mark.parametrize("action", BULK)
async def test_few__are_done_when_the_request_is(
    action: str, operations: Tenants, store: Store, caller: Caller
) -> None:
    mine = await make(store, caller.account_id, 3, **before(action))
    other = await sign_up(operations, "other@example.com")
    others = await make(store, other.account_id, 2, **before(action))
    answer = await operations.ask_many(caller.account_id, action, ALL, SENT[action])
    assert (answer["action"], answer["state"], answer["total"]) == (action, "completed", 3)
    assert (answer["done"], answer["failed"], answer["problems"]) == (3, 0, [])
    assert answer["finished_at"] == "2026-11-24T12:00:00Z"
    assert answer.get("parameters", {}) == SENT[action]
    assert [await is_done(store, action, cronjob_id) for cronjob_id in mine] == [True] * 3
    assert [await is_done(store, action, cronjob_id) for cronjob_id in others] == [False] * 2
    assert await operations.get_operation(caller.account_id, answer["operation_id"]) == answer
    assert await work_off(operations, store) == 0


@pytest.mark.parametrize("action", BULK)
async def test_many__are_done_in_the_background(
    action: str, operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    mine = await make(store, caller.account_id, MANY, **before(action))
    answer = await operations.ask_many(caller.account_id, action, ALL, SENT[action])
    assert (answer["state"], answer["total"], answer["done"]) == ("running", MANY, 0)
    assert not await is_done(store, action, mine[0])
    late = await make_cronjob(store, caller.account_id, created_at=NOON + 1, **before(action))
    clock.forward(SECOND)
    # The first part selects nothing more than it does.
    assert await work_off(operations, store) == -(-MANY // ITEMS)
    answer = await operations.get_operation(caller.account_id, answer["operation_id"])
    assert (answer["state"], answer["done"], answer["failed"]) == ("completed", MANY, 0)
    done = [await is_done(store, action, cronjob_id) for cronjob_id in (mine[0], mine[50], mine[-1])]
    assert done == [True] * 3
    assert not await is_done(store, action, late["cronjob_id"])


async def test_filters__of_tags_and_health_select_what_the_list_shows(
    operations: Tenants, store: Store, caller: Caller
) -> None:
    account_id = caller.account_id
    web = await make(store, account_id, MANY, tags='["env=prod","web"]')
    await make(store, account_id, 3, tags='["web"]')
    ill = [{"cronjob_id": web[at], "health": "failing", "since": NOON, "in_a_row": 1} for at in (0, 70)]
    await insert_rows(store, "standing", ill)
    both = {"tag": ["env=*", "web"]}
    assert (await operations.ask_many(account_id, "pause", both, DRY))["total"] == MANY
    failing = await operations.ask_many(account_id, "pause", both | {"health": "failing"}, DRY)
    assert [one["cronjob_id"] for one in failing["cronjobs"]] == [web[0], web[70]]
    sick = await operations.ask_many(account_id, "pause", {"health": "late"}, {})
    assert (sick["state"], sick["total"]) == ("completed", 0)
    answer = await operations.ask_many(account_id, "pause", both | {"health": "new"}, {})
    assert answer["total"] == MANY - 2
    await operations.ask_many(account_id, "pause", both, {})
    await work_off(operations, store)
    assert await states(store, account_id) == {"paused": MANY, "active": 3}
    at = "2026-11-24T12:00:00Z"
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.ask_many(account_id, "pause", {"next_fire_from": at, "next_fire_until": at}, {})
    assert [*caught.value.fields] == ["next_fire_until"]


@pytest.mark.parametrize("action", BULK)
async def test_crash__between_doing_and_recording_repeats_nothing(
    action: str, operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    mine = await make(store, caller.account_id, MANY, **before(action))
    answer = await operations.ask_many(
        caller.account_id, action, {"state": before(action).get("state", "active")}, SENT[action]
    )
    actions = operations.operations.actions
    for _ in range(3):  # it dies after each of its first parts
        claim = partial(background.claim_operation, now=clock.now, lease=LEASE, actions=actions.keys())
        claimed = await store.transact(claim)
        assert claimed is not None
        stored = json.loads(claimed.parameters)
        running = Running(
            claimed.operation_id,
            claimed.account_id,
            claimed.created_by,
            claimed.created_at,
            stored,
            claimed.cursor,
        )
        assert (await actions[action].part(running, ITEMS)).done > 0
        clock.forward(LEASE)
        runner = Background(store, actions)
        assert await runner.step() == 0
    await work_off(operations, store)
    answer = await operations.get_operation(caller.account_id, answer["operation_id"])
    # With a filter on the state, what was done and not recorded is not selected a second time.
    assert (answer["state"], answer["failed"]) == ("completed", 0)
    assert [cronjob_id for cronjob_id in mine if not await is_done(store, action, cronjob_id)] == []


@pytest.mark.parametrize("action", BULK)
async def test_dry_run__says_which_and_changes_nothing(
    action: str, operations: Tenants, store: Store, caller: Caller
) -> None:
    mine = await make(store, caller.account_id, MANY, **before(action))
    await make(store, caller.account_id, 2, state="completed")
    state = before(action).get("state", "active")
    answer = await operations.ask_many(caller.account_id, action, {"state": state}, SENT[action] | DRY)
    assert answer == {
        "total": MANY,
        "cronjobs": [{"cronjob_id": each, "name": "Reports", "state": state} for each in mine[:AT_ONCE]],
    }
    assert not await is_done(store, action, mine[0])
    assert await read(store, select(tables.operation.c.operation_id)) == []


NEEDED = "is needed where there is no filter: send a filter, or all=true for every cron job"
STATES = "is none of active, paused, completed; give one of them"


NOTHING = "nothing to change: send at least one policy, or timezone"
WRONG: list[tuple[str, dict[str, str], dict[str, str], dict[str, str]]] = [
    ("pause", {}, {}, {"all": NEEDED}),
    ("pause", {"all": "false"}, {}, {"all": NEEDED}),
    ("pause", {"all": "true", "name": "x"}, {}, {"all": "contradicts the filters; leave it out, or them"}),
    (
        "pause",
        {"state": "new"},
        {"until": "2026-11-24T11:00:00Z"},
        {"state": STATES, "until": "is not in the future; give a later instant"},
    ),
    ("resume", ALL, {"note": "x"}, {"note": "is no parameter here; there are dry_run"}),
    ("change", ALL, {}, {"parameters": NOTHING}),
    ("run", ALL, {"at": "2d"}, {"at": "lies more than 24h ahead; give an earlier instant"}),
]
UNKNOWN = [
    ("delete", {"limit": "1"}, {}),
    ("change", ALL, {"timezone": "Mars/Olympus"}),
    ("change", ALL, {"name": "x"}),
    ("change", ALL, {"cron": "* * * * *"}),
    ("change", ALL, {"sns_message": "x"}),
    ("run", ALL, {"sns_message": "x"}),
]
"""What is refused, whatever is said of it."""


async def test_wrong_requests__change_nothing(operations: Tenants, store: Store, caller: Caller) -> None:
    await make(store, caller.account_id, 1)
    for action, filters, sent, complaints in [*WRONG, *((*one, None) for one in UNKNOWN)]:
        for trial in ({}, DRY):
            with pytest.raises(errors.InvalidRequest) as caught:
                await operations.ask_many(caller.account_id, action, filters, sent | trial)
            if complaints is None:
                assert caught.value.fields.keys() <= filters.keys() | sent.keys()
            else:
                assert caught.value.fields == complaints
    assert await states(store, caller.account_id) == {"active": 1}


async def test_problems__keep_no_other(operations: Tenants, store: Store, caller: Caller) -> None:
    (ended,) = await make(store, caller.account_id, 1, state="completed", name="Ended")
    mine = await make(store, caller.account_id, 3)
    answer = await operations.ask_many(caller.account_id, "pause", ALL, {"note": "deploying"})
    assert (answer["state"], answer["done"], answer["failed"]) == ("completed", 3, 1)
    (problem,) = answer["problems"]
    assert (problem["cronjob_id"], problem["name"]) == (ended, "Ended")
    assert "is completed: nothing is left to fire" in problem["problem"]
    assert all([await is_done(store, "pause", cronjob_id) for cronjob_id in mine])


async def test_limits__of_each_cron_job_hold(operations: Tenants, store: Store, caller: Caller) -> None:
    await make(store, caller.account_id, 2)
    sent = SENT["run"]
    answers = [await operations.ask_many(caller.account_id, "run", ALL, sent) for _ in range(61)]
    assert [answer["failed"] for answer in answers] == [*[0] * 60, 2]
    assert "was asked to fire 60 times" in answers[-1]["problems"][0]["problem"]


async def test_change__of_what_is_so_already_writes_nothing(
    operations: Tenants, store: Store, caller: Caller
) -> None:
    (cronjob_id,) = await make(store, caller.account_id, 1)
    for _ in range(2):
        answer = await operations.ask_many(caller.account_id, "change", ALL, SENT["change"])
        assert answer["done"] == 1
        assert await is_done(store, "change", cronjob_id)


@pytest.mark.parametrize("count", [2, MANY])
async def test_idempotency_key__makes_one_operation(
    count: int, operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    mine = await make(store, caller.account_id, count)
    ask = partial(operations.ask_many, caller.account_id, "run", ALL, idempotency_key="once")
    first = await ask({"at": "10m"})
    clock.forward(SECOND)
    again = await ask({"at": "10m"})
    assert again == first
    with pytest.raises(errors.InvalidRequest, match="Idempotency-Key"):
        await ask({"at": "11m"})
    await work_off(operations, store)
    assert await is_done(store, "run", mine[0])
    (firing, *_) = await read_firings(store, mine[0])
    assert firing.scheduled_at == NOON + 10 * MINUTE


@pytest.mark.parametrize("sent", [{}, DRY])
async def test_change__to_a_calendar_that_there_is_not_is_refused_at_once(
    sent: dict[str, str], operations: Tenants, store: Store, caller: Caller
) -> None:
    """It would go wrong with each of them."""
    await make(store, caller.account_id, 2)
    with pytest.raises(errors.InvalidRequest, match="calendar that there is not") as caught:
        await operations.ask_many(caller.account_id, "change", ALL, {"exclude": "holidays", **sent})
    assert [*caught.value.fields] == ["exclude"]
    assert await read(store, select(tables.operation.c.operation_id)) == []


@pytest.mark.parametrize(("action", "name"), [("run", "at"), ("pause", "until")])
async def test_idempotency_key__answers_when_the_instant_has_passed(
    action: str, name: str, operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    """As for one cron job: who asks again has lost the answer, maybe for long."""
    await make(store, caller.account_id, 2)
    sent = {name: format_iso(NOON + MINUTE)}
    ask = partial(operations.ask_many, caller.account_id, action, ALL)
    first = await ask(sent, idempotency_key="once")
    clock.forward(2 * MINUTE)
    assert await ask(sent, idempotency_key="once") == first
    for other in (sent | DRY, sent):
        with pytest.raises(errors.InvalidRequest, match=name):
            await ask(other, idempotency_key="once" if other is not sent else "twice")
    with pytest.raises(errors.InvalidRequest, match="Idempotency-Key"):
        await ask({name: format_iso(NOON + 5 * MINUTE)}, idempotency_key="once")


async def test_run__is_not_late_where_the_background_is(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    """The instant has passed when their turn comes: they fire at once."""
    mine = await make(store, caller.account_id, MANY)
    await operations.ask_many(caller.account_id, "run", ALL, {"at": "1m"})
    clock.forward(2 * MINUTE)
    await work_off(operations, store)
    (firing,) = await read_firings(store, mine[0])
    assert firing.scheduled_at == NOON + 2 * MINUTE


async def test_cancel__leaves_the_rest(operations: Tenants, store: Store, caller: Caller) -> None:
    await make(store, caller.account_id, MANY)
    answer = await operations.ask_many(caller.account_id, "delete", ALL)
    await Background(store, operations.operations.actions).step()
    cancelled = await operations.operations.tracking.cancel_operation(caller, answer["operation_id"])
    assert (cancelled.state, cancelled.done) == ("cancelled", ITEMS)
    assert await work_off(operations, store) == 0
    assert await states(store, caller.account_id) == {"deleted": ITEMS, "active": MANY - ITEMS}


async def test_part__ends_when_it_takes_long(operations: Tenants, store: Store, caller: Caller) -> None:
    mine = await make(store, caller.account_id, 3)
    clock, seen = Monotonic(), []

    async def slow(_caller: Caller, cronjob_id: str, _running: Running) -> None:
        seen.append(cronjob_id)
        clock.now += PATIENCE

    act_as = operations.operations.bulk.actions["pause"]._act_as
    action = BulkAction(store, slow, act_as, gone_is_done=False, monotonic=clock)
    running = partial(Running, "id", caller.account_id, "key", NOON, {"filters": {}, "parameters": {}})
    cursor, over = None, False
    for count in (1, 2, 3):
        assert not over
        part = await action.part(running(cursor), ITEMS)
        cursor, over = part.cursor, part.over
        assert seen == mine[:count]
    assert over


async def test_requests__are_as_many_as_operations_may_run(
    operations: Tenants, store: Store, caller: Caller
) -> None:
    await make(store, caller.account_id, MANY)
    for _ in range(MAX_RUNNING):
        await operations.ask_many(caller.account_id, "resume", ALL)
    with pytest.raises(errors.RateLimited):
        await operations.ask_many(caller.account_id, "resume", ALL)
    await operations.ask_many(caller.account_id, "resume", ALL, DRY)


FILTERS = (
    {"name": "Reports"},
    {"name": "Other"},
    {"state": "paused"},
    {"state": "active", "name": "Reports"},
    {"id_prefix": "6a6f622d"},
)


async def test_filters__select_what_the_list_shows(operations: Tenants, store: Store, caller: Caller) -> None:
    await make(store, caller.account_id, 5)
    await make(store, caller.account_id, 3, name="Other")
    await make(store, caller.account_id, 2, **before("resume"))
    await make(store, caller.account_id, 1, state="deleted")
    for filters in FILTERS:
        listed = await operations.list_cronjobs(caller.account_id, filters)
        answer = await operations.ask_many(caller.account_id, "resume", filters, DRY)
        assert answer["total"] == len(listed.items) > 0
        shown = [(each["cronjob_id"], each["name"], each["state"]) for each in answer["cronjobs"]]
        assert shown == [(each["cronjob_id"], each["name"], each["state"]) for each in listed.items]
