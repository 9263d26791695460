"""`overlap` and `window` as a tenant sees them: taken, refused, shown, changed, previewed, explained."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import update

from cronally import errors, spread
from cronally.cronjob import QUEUED
from cronally.instants import HOUR, MINUTE, SECOND, format_iso, from_datetime, parse_iso
from cronally.operations import Caller
from cronally.store import Store, tables
from cronally.targets.target import Target
from tests.operations.explained import Explained
from tests.operations.parameters import HTTP, SNS
from tests.operations.receivers import server, targets
from tests.operations.runs import deliver
from tests.operations.tenant import Json, Tenants
from tests.support.factories import NOON, Clock, make_firing, read_firings
from tests.support.scripted import ScriptedServer

__all__ = ["server", "targets"]

pytestmark = pytest.mark.sample


@pytest.fixture
def explained(operations: Tenants, caller: Caller, store: Store, clock: Clock) -> Explained:
    return Explained(operations, caller, store, clock)


async def create(operations: Tenants, caller: Caller, **sent: Any) -> Json:
    return await operations.create_cronjob(caller.account_id, {**SNS, **sent})


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ({}, ("allow", "0s")),
        ({"overlap": "skip"}, ("skip", "0s")),
        ({"overlap": "queue", "window": "10m"}, ("queue", "10m")),
        ({"window": "0s"}, ("allow", "0s")),
        ({"window": "24h"}, ("allow", "24h")),
        ({"window": "90s", "overlap": "allow"}, ("allow", "90s")),
    ],
)
async def test_create__takes_and_shows(
    operations: Tenants, caller: Caller, sent: dict[str, str], shown: tuple[str, str]
) -> None:
    made = await create(operations, caller, **sent)
    assert (made["overlap"], made["window"]) == shown
    again = await operations.update_cronjob(
        caller.account_id, made["cronjob_id"], {"overlap": "allow", "window": "0s"}
    )
    assert (again["overlap"], again["window"]) == ("allow", "0s")
    assert again["next_fire_at"] == made["next_fire_at"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"overlap": ""},
        {"overlap": "Skip"},
        {"overlap": ["skip"]},
        {"window": "25h"},
        {"window": "-1s"},
        {"window": "10"},
        {"window": "9" * 5000 + "s"},
        {"window": ""},
    ],
)
async def test_create__refuses(operations: Tenants, caller: Caller, wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await create(operations, caller, **wrong)
    assert caught.value.fields.keys() == wrong.keys()


@pytest.mark.parametrize("change", [{"overlap": "allow"}, {"overlap": "skip"}, {"name": "x"}])
async def test_change__no_longer_a_queue_lets_what_waits_go(
    operations: Tenants, caller: Caller, store: Store, change: dict[str, str]
) -> None:
    made = await create(operations, caller, overlap="queue")
    job = {"cronjob_id": made["cronjob_id"], "account_id": caller.account_id}
    tried = {"attempt": 1, "lease_no": 1, "reason": "target_unavailable"}
    await make_firing(store, job, scheduled_at=NOON - 2 * MINUTE, due_at=NOON + MINUTE, **tried)
    await make_firing(store, job, scheduled_at=NOON - MINUTE, due_at=NOON + MINUTE, reason="earlier_firing")
    await operations.update_cronjob(caller.account_id, made["cronjob_id"], change)
    first, second = await read_firings(store, made["cronjob_id"])
    assert first.due_at == NOON + MINUTE
    assert second.due_at == (NOON - MINUTE if "overlap" in change else NOON + MINUTE)


async def test_change__what_waits_for_its_place_goes_on_waiting(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    made = await create(operations, caller, overlap="queue", window="1h")
    job = {"cronjob_id": made["cronjob_id"], "account_id": caller.account_id}
    await make_firing(store, job, due_at=NOON + MINUTE, place_at=NOON + MINUTE)
    await operations.update_cronjob(
        caller.account_id, made["cronjob_id"], {"overlap": "allow", "window": "0s"}
    )
    (row,) = await read_firings(store, made["cronjob_id"])
    assert row.due_at == NOON + MINUTE


async def test_run__is_skipped_while_one_is_open(
    operations: Tenants,
    caller: Caller,
    store: Store,
    clock: Clock,
    targets: dict[str, Target],
    server: ScriptedServer,
) -> None:
    made = await create(operations, caller, overlap="skip")
    job = {"cronjob_id": made["cronjob_id"], "account_id": caller.account_id}
    busy = {"state": "sending", "attempt": 1, "lease_no": 1, "due_at": NOON + HOUR}
    await make_firing(store, job, scheduled_at=NOON - MINUTE, **busy)
    asked = await operations.run_cronjob(caller.account_id, made["cronjob_id"])
    assert asked["state"] == "pending"
    await deliver(store, targets)
    assert not server.requests
    listed = await operations.list_firings_of_cronjob(caller.account_id, made["cronjob_id"], {})
    shown = next(one for one in listed.items if one["firing_id"] == asked["firing_id"])
    assert (shown["state"], shown["reason"], shown["attempt"]) == ("skipped", "overlap", 0)
    assert shown["finished_at"] == format_iso(NOON)


async def test_run__has_no_window(operations: Tenants, caller: Caller) -> None:
    made = await create(operations, caller, window="24h")
    asked = await operations.run_cronjob(caller.account_id, made["cronjob_id"])
    assert asked["due_at"] == asked["scheduled_at"] == format_iso(NOON)


# Previews


async def test_preview__says_when_each_fire_time_starts(operations: Tenants, caller: Caller) -> None:
    made = await create(operations, caller, cron="0 * * * *", window="10m")
    shown = await operations.preview_cronjob(caller.account_id, made["cronjob_id"], {"count": 5})
    places = []
    for one in shown["fire_times"]:
        at = parse_iso(one["scheduled_at"])
        places.append(parse_iso(one["due_at"]) - at)
        assert places[-1] == spread.place(made["cronjob_id"], at, 10 * MINUTE)
    assert len(set(places)) == 5


async def test_preview__without_a_window_says_nothing_of_it(operations: Tenants, caller: Caller) -> None:
    made = await create(operations, caller)
    shown = await operations.preview_cronjob(caller.account_id, made["cronjob_id"], {})
    assert not any("due_at" in one for one in shown["fire_times"])


# What `why` says


def into(place: int) -> str:
    minutes, seconds = divmod(place // SECOND, 60)
    return f"{minutes} min {seconds} s into its window"


async def test_explain__of_a_firing_with_a_place(
    explained: Explained, store: Store, operations: Tenants, caller: Caller
) -> None:
    made = await explained.create("0 * * * *", "2026-11-24T11:30:00Z", window="30m")
    at = parse_iso("2026-11-24T12:00:00Z")
    starts = at + spread.place(made["cronjob_id"], at, 30 * MINUTE)
    where = into(starts - at).replace("0 min ", "", 1) if starts - at < MINUTE else into(starts - at)
    future = await explained.ask("2026-11-24T12:00:00Z")
    assert future["sentence"] == (
        f"In the future: it will fire at 2026-11-24T12:00:00Z, and start at {format_iso(starts)}, {where}."
    )
    await explained.awake("2026-11-24T12:00:00Z")
    waits = await explained.ask("2026-11-24T12:00:00Z")
    assert (waits["finding"], waits["reason"]) == ("pending", None)
    assert waits["sentence"] == f"Owed: it starts at {format_iso(starts)}, {where}."
    assert waits["firing"]["due_at"] == format_iso(starts)
    done = {"state": "delivered", "due_at": None, "attempt": 1, "lease_no": 1, "sent_at": starts + 1}
    table = tables.firing
    await store.transact(
        lambda connection: (
            connection.execute(update(table).values(finished_at=starts + 5000, **done)) and None
        )
    )
    sent = await explained.ask("2026-11-24T12:00:00Z")
    assert sent["sentence"] == (
        f"Fired: delivered at {format_iso(starts + 5000)}, 5 ms after its place, {where}."
    )
    assert sent["firing"]["lateness_ms"] == 5


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (0, "0 ms into its window"),
        (578_000, "578 ms into its window"),
        (3 * MINUTE + 12 * SECOND + 999_000, "3 min 12 s into its window"),
        (7 * HOUR + 5 * SECOND, "7 h 5 s into its window"),
    ],
)
async def test_explain__how_far_into_the_window(
    explained: Explained, store: Store, place: int, said: str
) -> None:
    await explained.create("0 * * * *", "2026-11-24T11:30:00Z", window="24h")
    await explained.awake("2026-11-24T12:00:00Z")
    at = from_datetime(datetime.fromisoformat("2026-11-24T12:00:00+00:00")) + place
    await store.transact(
        lambda connection: connection.execute(update(tables.firing).values(place_at=at, due_at=at)) and None
    )
    answer = await explained.ask("2026-11-24T12:00:00Z", now="2026-11-24T11:59:59Z")
    assert answer["sentence"].endswith(f", {said}.")


@pytest.mark.parametrize(
    ("reason", "more"), [("overlap", ""), ("queue_full", f", and {QUEUED} firings were open before that one")]
)
async def test_explain__of_what_was_skipped_names_what_it_was_skipped_for(
    explained: Explained, store: Store, reason: str, more: str
) -> None:
    await explained.create("* * * * *", "2026-11-24T11:59:30Z", overlap="skip")
    await explained.awake("2026-11-24T12:01:00Z")
    at = parse_iso("2026-11-24T12:01:00Z")
    table = tables.firing
    ended = {"state": "skipped", "reason": reason, "due_at": None, "lease_no": 1, "finished_at": at}
    await store.transact(
        lambda connection: (
            connection.execute(
                update(table).where(table.c.scheduled_at == at).values(behind_at=at - MINUTE, **ended)
            )
            and None
        )
    )
    answer = await explained.ask("2026-11-24T12:01:00Z")
    assert (answer["finding"], answer["reason"]) == ("skipped", reason)
    assert answer["sentence"] == f"Skipped: the firing of 2026-11-24T12:00:00Z was not finished{more}."


async def test_explain__a_reason_alone_has_its_sentence(explained: Explained, store: Store) -> None:
    await explained.create("* * * * *", "2026-11-24T11:59:30Z")
    await explained.awake("2026-11-24T12:00:00Z")
    ended = {"state": "skipped", "reason": "overlap", "due_at": None, "finished_at": NOON}
    await store.transact(
        lambda connection: connection.execute(update(tables.firing).values(**ended)) and None
    )
    answer = await explained.ask("2026-11-24T12:00:00Z")
    assert answer["sentence"] == "Skipped: an earlier firing of the cron job was not finished."


async def test_http__has_them_as_well(operations: Tenants, caller: Caller) -> None:
    made = await operations.create_cronjob(caller.account_id, {**HTTP, "overlap": "skip", "window": "5m"})
    assert (made["overlap"], made["window"]) == ("skip", "5m")
