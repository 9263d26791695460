"""Pause and resume: what is shown, what the ledger gets, and what fires again, on both databases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import update

from cronally import errors
from cronally.instants import SECOND, format_iso, parse_iso
from cronally.operations import Caller
from cronally.store import Store, tables
from tests.operations.conftest import sign_up
from tests.operations.explained import Explained
from tests.operations.tenant import API_KEY, Tenants
from tests.support.factories import Clock, read_cronjob, read_firings

SHOWN = ("state", "paused_at", "paused_until", "paused_by", "paused_note", "next_fire_at")
NINE, TEN, ELEVEN = "2026-11-24T09:00:00Z", "2026-11-24T10:00:00Z", "2026-11-24T11:00:00Z"
HALF_PAST_TEN = "2026-11-24T10:30:00Z"
NOT_PAUSED = dict.fromkeys(("paused_at", "paused_until", "paused_by", "paused_note"))


@pytest.fixture
async def job(operations: Tenants, caller: Caller, store: Store, clock: Clock) -> Explained:
    """One that fires each hour."""
    job = Explained(operations, caller, store, clock)
    await job.create("0 * * * *", "2026-11-24T08:30:00Z")
    return job


def shown(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {name: answer.get(name) for name in SHOWN}


async def covered(store: Store, job: Explained) -> list[tuple[str, str, str | None, int]]:
    """The ledger: first fire time, last fire time, reason (or the state) and count of each row."""
    return [
        (
            format_iso(row.scheduled_at)[11:16],
            format_iso(row.until_at or row.scheduled_at)[11:16],
            row.reason or row.state,
            row.count,
        )
        for row in await read_firings(store, job.cronjob_id)
    ]


async def test_pause__shows_who_and_why_and_how_long(job: Explained) -> None:
    answer = await job.pause("2026-11-24T08:40:00Z", note="deploying", until=TEN)
    assert shown(answer) == {
        "state": "paused",
        "paused_at": "2026-11-24T08:40:00Z",
        "paused_until": TEN,
        "paused_by": API_KEY,
        "paused_note": "deploying",
        "next_fire_at": None,
    }
    assert (answer["version"], answer["updated_by"]) == (2, API_KEY)
    answer = await job.resume("2026-11-24T09:30:00Z")
    assert shown(answer) == {**NOT_PAUSED, "state": "active", "next_fire_at": TEN}
    assert "paused_at" not in answer
    assert (answer["version"], answer["updated_at"]) == (3, "2026-11-24T09:30:00Z")


@pytest.mark.parametrize(
    ("again", "version"),
    [
        ({"note": "deploying", "until": TEN}, 2),
        ({"note": "still deploying", "until": ELEVEN}, 3),
        ({"note": "for ever"}, 3),
        ({}, 3),
    ],
)
async def test_pause__of_a_paused_one_changes_note_and_end_alone(
    job: Explained, store: Store, again: dict[str, str], version: int
) -> None:
    await job.pause("2026-11-24T08:40:00Z", note="deploying", until=TEN)
    answer = await job.pause("2026-11-24T08:50:00Z", **again)
    assert shown(answer) == {
        "state": "paused",
        "paused_at": "2026-11-24T08:40:00Z",
        "paused_until": again.get("until"),
        "paused_by": API_KEY,
        "paused_note": again.get("note"),
        "next_fire_at": None,
    }
    assert answer["version"] == version
    # The scheduler looks no later than at its end, and no later than a day after its beginning.
    assert (await read_cronjob(store, job.cronjob_id)).wake_at == parse_iso(TEN)


PAST = "is not in the future; give a later instant"


@pytest.mark.parametrize(
    ("sent", "complaint"),
    [
        ({"until": "2026-11-24T08:39:59Z"}, PAST),
        ({"until": "2026-11-24T08:40:00Z"}, PAST),
        ({"until": "2036-11-25T08:40:00Z"}, "is more than 10 years ahead; give an earlier instant"),
        ({"until": "2h"}, "is no instant: an instant is written like 2026-11-24T08:00:00Z"),
        ({"note": "x" * 257}, "has 257 characters; give 256 at most"),
        ({"note": "  "}, "holds nothing but spaces; give a reason, or leave it out"),
        ({"note": "a\nb"}, "holds a control character, such as a line end; remove it"),
        ({"why": "x"}, "is no parameter here; there are note, until"),
    ],
)
async def test_pause__refuses_what_it_cannot_use(
    job: Explained, store: Store, sent: dict[str, str], complaint: str
) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await job.pause("2026-11-24T08:40:00Z", **sent)
    assert list(caught.value.fields.values()) == [complaint]
    assert (await read_cronjob(store, job.cronjob_id)).state == "active"


async def test_pause__until_in_ten_years(job: Explained) -> None:
    answer = await job.pause("2026-11-24T08:40:00Z", until="2036-11-24T08:40:00Z")
    assert answer["paused_until"] == "2036-11-24T08:40:00Z"


async def test_pause__of_another_account_is_not_found(
    job: Explained, operations: Tenants, store: Store
) -> None:
    other = await sign_up(operations, "other@example.com")
    with pytest.raises(errors.NotFound):
        await operations.pause_cronjob(other.account_id, job.cronjob_id, {})
    await job.pause(NINE)
    with pytest.raises(errors.NotFound):
        await operations.resume_cronjob(other.account_id, job.cronjob_id)
    assert (await read_cronjob(store, job.cronjob_id)).state == "paused"
    await job.delete(TEN)
    for late in (job.pause(ELEVEN), job.resume(ELEVEN)):
        with pytest.raises(errors.NotFound):
            await late


async def test_resume__of_one_that_is_not_paused_changes_nothing(
    job: Explained, operations: Tenants, caller: Caller
) -> None:
    before = await operations.get_cronjob(caller.account_id, job.cronjob_id)
    assert await job.resume("2026-11-24T08:45:00Z") == before
    await job.create("at(2026-11-24T08:50:00)", "2026-11-24T08:45:00Z")
    await job.tick(NINE)
    with pytest.raises(errors.InvalidRequest, match="is completed: nothing is left to fire"):
        await job.pause(TEN)
    assert (await job.resume(TEN))["state"] == "completed"


async def test_pause__what_is_due_and_not_ticked_yet_fires(job: Explained, store: Store) -> None:
    """At the very instant of the pause too."""
    await job.pause(NINE)
    assert await covered(store, job) == [("09:00", "09:00", "pending", 1)]
    await job.resume("2026-11-24T09:30:00Z")
    assert await covered(store, job) == [("09:00", "09:00", "pending", 1)]


async def test_resume__old_fire_times_are_skipped_as_one_range(job: Explained, store: Store) -> None:
    await job.pause("2026-11-24T08:40:00Z")
    await job.tick("2026-11-24T12:10:00Z")
    answer = await job.resume("2026-11-24T13:00:00Z")
    assert answer["next_fire_at"] == "2026-11-24T14:00:00Z"
    assert await covered(store, job) == [("09:00", "13:00", "paused", 5)]
    await job.tick("2026-11-24T14:00:00Z")
    assert await covered(store, job) == [("09:00", "13:00", "paused", 5), ("14:00", "14:00", "pending", 1)]


async def test_pause__for_ever_is_settled_once_a_day(job: Explained, store: Store) -> None:
    await job.pause("2026-11-24T08:40:00Z")
    assert await job.look("2026-11-25T08:39:59Z") == 0
    assert await job.look("2026-11-25T08:40:00Z") == 1
    assert await job.look("2026-11-25T08:40:00Z") == 0
    assert await covered(store, job) == [("09:00", "08:00", "paused", 24)]
    assert await job.look("2026-11-29T08:50:00Z") == 1
    rows = await read_firings(store, job.cronjob_id)
    assert [row.count for row in rows] == [24, 96]
    assert (await read_cronjob(store, job.cronjob_id)).version == 2


@pytest.mark.parametrize("looked_at", [TEN, "2026-11-24T10:00:30Z", "2026-11-24T12:10:00Z"])
@pytest.mark.parametrize(
    ("until", "skipped", "fires_at"),
    [
        ("2026-11-24T09:59:59.999999Z", ("09:00", "09:00", "paused", 1), TEN),
        (TEN, ("09:00", "09:00", "paused", 1), TEN),
        ("2026-11-24T09:00:00Z", None, NINE),
        ("2026-11-24T09:00:00.000001Z", ("09:00", "09:00", "paused", 1), TEN),
    ],
)
async def test_until__what_is_due_at_that_instant_fires(
    job: Explained,
    store: Store,
    until: str,
    skipped: tuple[str, str, str, int] | None,
    fires_at: str,
    looked_at: str,
) -> None:
    """Whenever somebody looks."""
    await job.pause("2026-11-24T08:40:00Z", until=until)
    assert await job.look(looked_at) == 1
    row = await read_cronjob(store, job.cronjob_id)
    assert (row.state, row.next_fire_at, row.wake_at) == ("active", parse_iso(fires_at), None)
    assert (row.updated_at, row.updated_by, row.version) == (parse_iso(until), None, 3)
    assert await covered(store, job) == [skipped] * (skipped is not None)


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        ("all", [("10:00", "10:00", "pending", 1), ("11:00", "11:00", "pending", 1)]),
        ("latest", [("10:00", "10:00", "catch_up=latest", 1), ("11:00", "11:00", "pending", 1)]),
        ("skip", [("10:00", "11:00", "catch_up=skip", 2)]),
    ],
)
async def test_until__an_outage_after_it_is_one(
    job: Explained, store: Store, catch_up: str, expected: list[tuple[str, str, str, int]]
) -> None:
    await job.change("2026-11-24T08:35:00Z", catch_up=catch_up)
    await job.pause("2026-11-24T08:40:00Z", until=TEN)
    await job.look("2026-11-24T11:30:00Z")
    await job.tick("2026-11-24T11:30:00Z")
    assert await covered(store, job) == [("09:00", "09:00", "paused", 1), *expected]


async def test_until__that_has_passed_ends_before_what_comes_next(job: Explained, store: Store) -> None:
    """No scheduler has looked; a change, a resumption and another pause find it active."""
    await job.pause("2026-11-24T08:40:00Z", until="2026-11-24T09:30:00Z")
    answer = await job.resume(HALF_PAST_TEN)
    assert (answer["state"], answer["version"], answer["next_fire_at"]) == ("active", 3, TEN)
    answer = await job.pause(HALF_PAST_TEN)
    assert (answer["version"], answer["paused_at"]) == (4, HALF_PAST_TEN)
    assert await covered(store, job) == [("09:00", "09:00", "paused", 1), ("10:00", "10:00", "pending", 1)]


async def test_change__of_a_paused_one_leaves_it_paused(job: Explained, store: Store) -> None:
    await job.pause("2026-11-24T08:40:00Z", until="2026-11-24T12:20:00Z", note="deploying")
    answer = await job.change(HALF_PAST_TEN, cron="15 * * * *", name="Other")
    assert shown(answer) == {
        "state": "paused",
        "paused_at": "2026-11-24T08:40:00Z",
        "paused_until": "2026-11-24T12:20:00Z",
        "paused_by": API_KEY,
        "paused_note": "deploying",
        "next_fire_at": None,
    }
    assert await covered(store, job) == [("09:00", "10:00", "paused", 2)]
    await job.look("2026-11-24T12:20:00Z")
    assert await covered(store, job) == [("09:00", "10:00", "paused", 2), ("11:15", "12:15", "paused", 2)]
    assert (await read_cronjob(store, job.cronjob_id)).next_fire_at == parse_iso("2026-11-24T13:15:00Z")


async def test_delete__of_a_paused_one(job: Explained, store: Store) -> None:
    """What it skipped was skipped by the pause; what was owed before it is skipped by the deletion."""
    await job.pause(NINE)
    await job.delete("2026-11-24T12:10:00Z")
    assert await covered(store, job) == [("09:00", "09:00", "deleted", 1), ("10:00", "12:00", "paused", 3)]
    row = await read_cronjob(store, job.cronjob_id)
    assert (row.state, row.paused_at, row.paused_note, row.wake_at) == ("deleted", None, None, None)
    assert await job.look("2026-11-26T12:10:00Z") == 0


async def test_pause__over_changes_of_the_clock(job: Explained, store: Store) -> None:
    """What they suppress has its own rows, and no range counts it."""
    await job.create("30 1,2,3 * * *", "2026-10-24T10:00:00Z", timezone="Europe/Berlin", dst_overlap="first")
    await job.pause("2026-10-24T11:00:00Z")
    await job.resume("2026-10-26T11:00:00Z")
    rows = await read_firings(store, job.cronjob_id)
    assert [(format_iso(row.scheduled_at), row.reason, row.count) for row in rows] == [
        ("2026-10-24T23:30:00Z", "paused", 2),
        ("2026-10-25T01:30:00Z", "dst_overlap=first", 1),
        ("2026-10-25T02:30:00Z", "paused", 4),
    ]


async def test_after_completion__waits_for_the_end_of_the_pause(job: Explained, store: Store) -> None:
    await job.create("at(2026-11-24T12:00:00)", "2026-11-24T08:45:00Z", after_completion="delete")
    await job.pause(NINE)
    await job.look("2026-11-26T09:00:00Z")
    assert (await read_cronjob(store, job.cronjob_id)).state == "paused"
    assert await covered(store, job) == [("12:00", "12:00", "paused", 1)]
    assert (await job.resume("2026-11-26T10:00:00Z"))["state"] == "completed"


async def spoil(store: Store, job: Explained, **values: Any) -> None:
    """Make the cron job one that another version stored."""
    table = tables.cronjob
    await store.transact(
        lambda connection: (
            connection.execute(update(table).where(table.c.cronjob_id == job.cronjob_id).values(**values))
            and None
        )
    )


async def test_set_aside__stays_what_it_is(job: Explained, store: Store) -> None:
    await spoil(store, job, timezone="Mars/Olympus")
    await job.tick(NINE)
    with pytest.raises(errors.InvalidExpression, match=r"cannot be resumed, .*Mars/Olympus"):
        await job.resume("2026-11-24T09:30:00Z")
    answer = await job.pause("2026-11-24T09:40:00Z", note="mine", until="2026-11-24T12:30:00Z")
    assert answer["state_reason"].startswith("Cannot be scheduled: ")
    assert answer["paused_note"] == "mine"
    await spoil(store, job, timezone="UTC")
    await job.look("2026-11-24T12:30:00Z")
    assert await covered(store, job) == [
        ("09:00", "09:00", "set_aside", 1),
        ("10:00", "12:00", "set_aside", 3),
    ]
    row = await read_cronjob(store, job.cronjob_id)
    assert (row.state, row.state_reason, row.next_fire_at) == (
        "active",
        None,
        parse_iso("2026-11-24T13:00:00Z"),
    )


async def test_set_aside__another_expression_does_not_end_the_pause(job: Explained, store: Store) -> None:
    await spoil(store, job, timezone="Mars/Olympus")
    await job.tick(NINE)
    await job.pause("2026-11-24T09:40:00Z")
    answer = await job.change(TEN, timezone="Europe/Berlin")
    assert (answer["state"], answer.get("state_reason")) == ("paused", None)
    assert (await job.resume(ELEVEN))["state"] == "active"


async def test_until__of_one_that_cannot_be_read_sets_it_aside(job: Explained, store: Store) -> None:
    await job.pause("2026-11-24T08:40:00Z", until=TEN)
    await spoil(store, job, timezone="Mars/Olympus")
    await job.look(TEN)
    row = await read_cronjob(store, job.cronjob_id)
    assert (row.state, row.paused_at, row.paused_until, row.wake_at) == ("paused", None, None, None)
    assert row.state_reason.startswith("Cannot be scheduled: ")
    await spoil(store, job, timezone="UTC")
    assert (await job.resume(HALF_PAST_TEN))["state"] == "active"
    assert await covered(store, job) == [("09:00", "10:00", "set_aside", 2)]


async def test_settling__of_one_that_cannot_be_read_loses_nothing(job: Explained, store: Store) -> None:
    await job.pause("2026-11-24T08:40:00Z")
    await spoil(store, job, timezone="Mars/Olympus")
    assert await job.look("2026-11-25T08:40:00Z") == 1
    assert await job.look("2026-11-25T08:40:01Z") == 0
    await spoil(store, job, timezone="UTC")
    await job.resume("2026-11-25T09:30:00Z")
    assert await covered(store, job) == [("09:00", "09:00", "paused", 25)]


async def test_pause__is_a_change_that_is_counted(job: Explained) -> None:
    for number in range(49):
        await job.pause(format_iso(parse_iso(NINE) + number * SECOND))
        await job.resume(format_iso(parse_iso(NINE) + number * SECOND))
    await job.pause(TEN)
    with pytest.raises(errors.RateLimited):
        await job.resume(TEN)


async def test_list_and_preview__say_that_it_is_paused(
    job: Explained, operations: Tenants, caller: Caller
) -> None:
    await job.create("30 * * * *", "2026-11-24T08:45:00Z")
    await job.pause(NINE, until=ELEVEN)
    page = await operations.list_cronjobs(caller.account_id, {"state": "paused"})
    assert [one["cronjob_id"] for one in page.items] == [job.cronjob_id]
    preview = await operations.preview_cronjob(caller.account_id, job.cronjob_id, {"count": 1})
    assert preview["state"] == "paused"
    assert list(preview["notes"]) == [f"The cron job is paused: what falls due before {ELEVEN} is skipped."]
    await job.pause(NINE)
    preview = await operations.preview_cronjob(caller.account_id, job.cronjob_id, {"count": 1})
    assert list(preview["notes"]) == [
        "The cron job is paused: what falls due before it is resumed is skipped."
    ]
