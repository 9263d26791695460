"""Excluded dates and calendars: what is refused, what the ledger gets, what is shown, on both databases."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from sqlalchemy import delete, event

from cronally import errors
from cronally.contract.calendars import CalendarDates
from cronally.contract.reading import Reading
from cronally.contract.writing import to_json
from cronally.engine.scheduler import Scheduler
from cronally.fairness import ASKER
from cronally.instants import DAY, HOUR, format_iso, parse_iso
from cronally.operations import Caller
from cronally.operations.quotas import MAX_CALENDARS
from cronally.operations.shown import MAX_PASSED
from cronally.store import Store, tables
from cronally.store import calendars as verbs
from tests.operations.conftest import sign_up
from tests.operations.explained import Explained
from tests.operations.parameters import SNS
from tests.operations.tenant import Tenants
from tests.operations.turns import CountedTurns
from tests.support.factories import (
    NOON,
    Clock,
    cronjob_values,
    explain,
    insert_rows,
    make_account,
    make_cronjob,
    read_cronjob,
    read_firings,
)

TUESDAY = "2026-11-24T08:30:00Z"


async def put(operations: Tenants, caller: Caller, name: str, *dates: str) -> dict[str, Any]:
    reading = Reading(CalendarDates, {"dates": list(dates)})
    return _json(await operations.operations.calendars.put_calendar(caller, name, reading))


async def show(operations: Tenants, caller: Caller, name: str) -> dict[str, Any]:
    return _json(await operations.operations.calendars.get_calendar(caller, name))


async def remove(operations: Tenants, caller: Caller, name: str) -> dict[str, Any]:
    return _json(await operations.operations.calendars.delete_calendar(caller, name))


def _json(answer: Any) -> dict[str, Any]:
    """As it crosses the wire."""
    read: dict[str, Any] = json.loads(json.dumps(to_json(answer)))
    return read


@pytest.fixture
async def job(operations: Tenants, caller: Caller, store: Store, clock: Clock) -> Explained:
    """One that fires each six hours, not on the two days of a calendar, nor on the date after them."""
    clock.now = parse_iso(TUESDAY)
    await put(operations, caller, "holidays", "2026-11-26/2026-11-27")
    made = Explained(operations, caller, store, clock)
    await made.create("0 */6 * * *", TUESDAY, exclude=["2026-11-28", "holidays"])
    return made


async def ledger(store: Store, job: Explained) -> list[tuple[str, str, str | None, str | None, int]]:
    """First and last fire time, reason (or the state), cause and count of each row."""
    return [
        (
            format_iso(row.scheduled_at)[5:13],
            format_iso(row.until_at or row.scheduled_at)[5:13],
            row.reason or row.state,
            row.cause,
            row.count,
        )
        for row in await read_firings(store, job.cronjob_id)
    ]


async def test_tick__skips_what_is_excluded_with_its_cause(job: Explained, store: Store) -> None:
    await job.tick("2026-11-25T18:00:30Z")
    await job.tick("2026-11-28T18:00:30Z")
    await job.tick("2026-11-29T00:00:00Z")
    assert await ledger(store, job) == [
        ("11-24T12", "11-24T18", "misfire_grace", None, 2),
        ("11-25T00", "11-25T12", "catch_up=latest", None, 3),
        ("11-25T18", "11-25T18", "pending", None, 1),
        ("11-26T00", "11-27T18", "excluded", "holidays", 8),
        ("11-28T00", "11-28T18", "excluded", "2026-11-28", 4),
        ("11-29T00", "11-29T00", "pending", None, 1),
    ]


async def test_tick__a_changed_calendar_holds_at_once(
    job: Explained, store: Store, operations: Tenants, caller: Caller
) -> None:
    await job.awake("2026-11-26T06:00:00Z")
    await put(operations, caller, "holidays", "2026-11-27")
    await job.awake("2026-11-27T00:00:00Z")
    assert (await ledger(store, job))[-4:] == [
        ("11-26T00", "11-26T06", "excluded", "holidays", 2),
        ("11-26T12", "11-26T12", "pending", None, 1),
        ("11-26T18", "11-26T18", "pending", None, 1),
        ("11-27T00", "11-27T00", "excluded", "holidays", 1),
    ]


async def test_change__settles_by_what_was_excluded_before(job: Explained, store: Store) -> None:
    answer = await job.change("2026-11-27T09:00:00Z", exclude="")
    assert not answer["exclude"]
    assert answer["next_fire_at"] == "2026-11-27T12:00:00Z"
    await job.tick("2026-11-27T12:00:00Z")
    assert (await ledger(store, job))[-2:] == [
        ("11-26T00", "11-27T06", "excluded", "holidays", 6),
        ("11-27T12", "11-27T12", "pending", None, 1),
    ]


async def test_pause__wins_over_what_is_excluded(job: Explained, store: Store) -> None:
    await job.pause("2026-11-25T19:00:00Z")
    answer = await job.resume("2026-11-27T13:00:00Z")
    assert (await ledger(store, job))[-1] == ("11-26T00", "11-27T12", "paused", None, 7)
    assert answer["next_fire_at"] == "2026-11-29T00:00:00Z"


async def test_shown__the_next_one_that_fires(
    job: Explained, operations: Tenants, caller: Caller, store: Store
) -> None:
    await job.tick("2026-11-25T18:00:00Z")
    stored = (await read_cronjob(store, job.cronjob_id)).next_fire_at
    assert stored == parse_iso("2026-11-26T00:00:00Z"), "what is stored is what the ledger gets next"
    one = await operations.get_cronjob(caller.account_id, job.cronjob_id)
    page = await operations.list_cronjobs(caller.account_id, {})
    assert [one["next_fire_at"]] == [item["next_fire_at"] for item in page.items] == ["2026-11-29T00:00:00Z"]
    assert one["exclude"] == ["2026-11-28", "holidays"]
    assert one["state"] == "active"


async def test_shown__no_next_one_behind_more_ranges_than_are_passed(
    operations: Tenants, caller: Caller, clock: Clock
) -> None:
    clock.now = parse_iso("2026-01-01T00:00:00Z")
    days = [f"{2030 + number}-01-01" for number in range(MAX_PASSED + 1)]
    await put(operations, caller, "new-years-days", *days)
    sent = {**SNS, "cron": "0 8 1 1 *", "exclude": ["new-years-days", "2026-01-01/2029-12-31"]}
    made = await operations.create_cronjob(caller.account_id, sent)
    assert (made["next_fire_at"], made["state"]) == (None, "active")
    await put(operations, caller, "new-years-days", *days[:-3])
    made = await operations.get_cronjob(caller.account_id, made["cronjob_id"])
    assert made["next_fire_at"] == f"{2030 + MAX_PASSED - 2}-01-01T08:00:00Z"


async def test_explain__says_what_excludes_it(job: Explained) -> None:
    ahead = await job.ask("2026-11-26T06:00:00Z", TUESDAY)
    assert (ahead["finding"], ahead["reason"], ahead["cause"]) == ("excluded", "excluded", "holidays")
    assert ahead["sentence"] == (
        "Will not fire: its date is excluded by holidays. It is skipped when its time comes."
    )
    due = await job.ask("2026-11-26T06:00:00Z", "2026-11-26T06:01:00Z")
    assert (due["finding"], due["cause"]) == ("excluded", "holidays")
    await job.tick("2026-11-28T07:00:00Z")
    written = await job.ask("2026-11-28T06:00:00Z")
    assert (written["finding"], written["reason"]) == ("skipped", "excluded")
    assert written["sentence"] == "Skipped: its date is excluded by 2026-11-28."
    assert (written["cause"], written["firing"]["cause"]) == ("2026-11-28", "2026-11-28")
    assert (await job.ask("2026-11-26T07:00:00Z"))["finding"] == "no_fire_time"
    assert "cause" not in await job.ask("2026-11-30T06:00:00Z")


async def test_preview__what_is_excluded_stands_apart(
    job: Explained, operations: Tenants, caller: Caller
) -> None:
    sent = {"after": "2026-11-25T13:00:00Z", "count": "3"}
    shown = await operations.preview_cronjob(caller.account_id, job.cronjob_id, sent)
    assert [one["scheduled_at"] for one in shown["fire_times"]] == [
        "2026-11-25T18:00:00Z",
        "2026-11-29T00:00:00Z",
        "2026-11-29T06:00:00Z",
    ]
    assert shown["excluded"] == [
        {
            "scheduled_at": "2026-11-26T00:00:00Z",
            "until_at": "2026-11-27T18:00:00Z",
            "local": "2026-11-26T00:00:00+00:00",
            "until_local": "2026-11-27T18:00:00+00:00",
            "count": 8,
            "reason": "excluded",
            "cause": "holidays",
        },
        {
            "scheduled_at": "2026-11-28T00:00:00Z",
            "until_at": "2026-11-28T18:00:00Z",
            "local": "2026-11-28T00:00:00+00:00",
            "until_local": "2026-11-28T18:00:00+00:00",
            "count": 4,
            "reason": "excluded",
            "cause": "2026-11-28",
        },
    ]


async def test_preview__of_an_expression_excludes_dates_in_its_zone(operations: Tenants) -> None:
    sent = {"cron": "0 23 * * *", "timezone": "Asia/Tokyo", "exclude": "2026-11-25", "count": "2"}
    shown = operations.preview_expression(sent, now=NOON)
    assert [one["scheduled_at"][:13] for one in shown["fire_times"]] == ["2026-11-24T14", "2026-11-26T14"]
    assert [one["scheduled_at"][:13] for one in shown["excluded"]] == ["2026-11-25T14"]
    everything = operations.preview_expression({**sent, "exclude": "1970-01-01/2199-12-31"}, now=NOON)
    assert (everything["fire_times"], everything["complete"]) == ([], True)
    assert [one["count"] for one in everything["excluded"]] == [
        (date(2199, 12, 31) - date(2026, 11, 24)).days + 1
    ]


# Calendars


async def test_calendar__is_created_replaced_listed_and_deleted(
    operations: Tenants, caller: Caller, clock: Clock
) -> None:
    made = await put(operations, caller, "holidays", "2026-12-26", "2026-12-24", "2026-12-24")
    at = format_iso(clock.now)
    listed = {"name": "holidays", "count": 2, "created_at": at, "updated_at": at}
    assert made == {**listed, "dates": ["2026-12-24", "2026-12-26"], "created": True}
    later = format_iso(clock.forward(HOUR))
    again = await put(operations, caller, "holidays", "2027-01-01")
    assert again == {**listed, "dates": ["2027-01-01"], "count": 1, "updated_at": later, "created": False}
    del again["created"]
    assert await show(operations, caller, "holidays") == again
    await put(operations, caller, "Empty")
    page = await operations.operations.calendars.list_calendars(caller)
    assert [(one.name, one.count, one.dates) for one in page.items] == [
        ("Empty", 0, None),
        ("holidays", 1, None),
    ]
    assert await remove(operations, caller, "holidays") == again
    for verb in (show, remove):
        with pytest.raises(errors.NotFound, match="no such calendar"):
            await verb(operations, caller, "holidays")


async def test_calendar__two_accounts_have_one_of_the_same_name(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    other = await sign_up(operations, "other@example.com")
    await put(operations, caller, "holidays", "2026-11-25")
    with pytest.raises(errors.NotFound):
        await show(operations, other, "holidays")
    await put(operations, other, "holidays", "2026-11-26")
    jobs = {}
    for tenant in (caller, other):
        sent = {**SNS, "cron": "0 9 * * *", "exclude": "holidays"}
        jobs[tenant.account_id] = (await operations.create_cronjob(tenant.account_id, sent))["cronjob_id"]
    for now in (NOON + DAY, NOON + 2 * DAY):
        await Scheduler(store).tick(now - 3 * HOUR)
    causes = {
        account_id: [row.cause for row in await read_firings(store, job)] for account_id, job in jobs.items()
    }
    assert causes == {caller.account_id: ["holidays", None], other.account_id: [None, "holidays"]}
    for tenant in (caller, other):
        with pytest.raises(errors.InvalidRequest, match=jobs[tenant.account_id]):
            await remove(operations, tenant, "holidays")


async def test_delete__is_refused_while_cron_jobs_use_it(
    job: Explained, operations: Tenants, caller: Caller
) -> None:
    # A name that stands in the JSON of policies as something else.
    await put(operations, caller, "latest", "2026-12-24")
    await put(operations, caller, "exclude", "2026-12-24")
    with pytest.raises(errors.InvalidRequest) as caught:
        await remove(operations, caller, "holidays")
    assert caught.value.message == (
        f"The calendar is excluded by cron jobs: {job.cronjob_id} (Wake up); take it out of their `exclude` first."
    )
    for name in ("latest", "exclude"):
        await remove(operations, caller, name)
    await job.pause(TUESDAY)
    with pytest.raises(errors.InvalidRequest):
        await remove(operations, caller, "holidays")
    await job.change(TUESDAY, exclude="2026-11-28")
    await remove(operations, caller, "holidays")


async def test_delete__of_the_last_user_frees_it(job: Explained, operations: Tenants, caller: Caller) -> None:
    await job.delete(TUESDAY)
    await remove(operations, caller, "holidays")


@pytest.mark.parametrize("known", [[], ["a"], ["a", "b"]])
async def test_exclude__an_unknown_calendar_is_refused(
    operations: Tenants, caller: Caller, known: list[str]
) -> None:
    for name in known:
        await put(operations, caller, name, "2026-12-24")
    made = await operations.create_cronjob(caller.account_id, SNS)
    expected = {
        0: "names a calendar that there is not, for the account has none; PUT /calendar/{name}/ makes one",
        1: "names a calendar that there is not; there is a",
        2: "names a calendar that there is not; there are a, b",
    }[len(known)]
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.create_cronjob(caller.account_id, {**SNS, "exclude": "a,c"})
    assert caught.value.fields == {"exclude": expected}
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.create_cronjob(caller.account_id, {**SNS, "exclude": "a,c", "name": ""})
    assert set(caught.value.fields) == {"name", "exclude"}
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.update_cronjob(
            caller.account_id, made["cronjob_id"], {"exclude": "a,c", "cron": "61 * * * *"}
        )
    assert caught.value.fields["exclude"] == expected
    assert set(caught.value.fields) == {"cron", "exclude"}


async def test_exclude__what_leaves_nothing_is_refused(operations: Tenants, caller: Caller) -> None:
    await put(operations, caller, "always", "1970-01-01/2199-12-31")
    for exclude in ("1970-01-01/2199-12-31", "always"):
        with pytest.raises(errors.InvalidRequest) as caught:
            await operations.create_cronjob(caller.account_id, {**SNS, "exclude": exclude})
        assert caught.value.fields["exclude"].startswith("leaves nothing to fire: every fire time to come")
    once = {**SNS, "cron": "at(2026-12-24T08:00:00)"}
    with pytest.raises(errors.InvalidRequest, match="leaves nothing"):
        await operations.create_cronjob(caller.account_id, {**once, "exclude": "2026-12-24"})
    made = await operations.create_cronjob(caller.account_id, {**once, "exclude": "2026-12-23"})
    with pytest.raises(errors.InvalidRequest, match="leaves nothing"):
        await operations.update_cronjob(
            caller.account_id, made["cronjob_id"], {"cron": "at(2026-12-23T08:00:00)"}
        )


async def test_exclude__is_kept_by_a_change_of_something_else(job: Explained) -> None:
    assert (await job.change(TUESDAY, name="Tea"))["exclude"] == ["2026-11-28", "holidays"]
    assert (await job.change(TUESDAY, exclude="2026-12-24,2026-11-28, 2026-12-24"))["exclude"] == [
        "2026-11-28",
        "2026-12-24",
    ]


async def test_exclude__of_a_deleted_calendar_cannot_come_into_being(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    """A cron job that is changed while its calendar is deleted: one of the two is refused."""
    for _ in range(5):
        await put(operations, caller, "holidays", "2026-12-24")
        made = await operations.create_cronjob(caller.account_id, SNS)
        done = await asyncio.gather(
            remove(operations, caller, "holidays"),
            operations.update_cronjob(caller.account_id, made["cronjob_id"], {"exclude": "holidays"}),
            return_exceptions=True,
        )
        assert sum(isinstance(one, errors.InvalidRequest) for one in done) == 1, done
        await operations.delete_cronjob(caller.account_id, made["cronjob_id"])


async def test_tick__a_calendar_that_is_missing_sets_the_cron_job_aside(
    job: Explained, store: Store, operations: Tenants, caller: Caller
) -> None:
    await store.transact(lambda connection: connection.execute(delete(tables.calendar)) and None)
    await job.tick("2026-11-24T12:00:00Z")
    shown = await operations.get_cronjob(caller.account_id, job.cronjob_id)
    assert shown["state"] == "paused"
    assert shown["state_reason"] == (
        'Cannot be scheduled: it excludes the calendar "holidays", and the account has no such calendar'
    )
    assert [row.reason for row in await read_firings(store, job.cronjob_id)] == ["set_aside"]
    changed = await job.change("2026-11-24T13:00:00Z", exclude="2026-11-28")
    assert (changed["state"], changed["next_fire_at"]) == ("active", "2026-11-24T18:00:00Z")


# Quotas and costs


async def test_quota__so_many_calendars_and_bytes(operations: Tenants, caller: Caller) -> None:
    for number in range(MAX_CALENDARS):
        await put(operations, caller, f"c{number}")
    with pytest.raises(errors.Forbidden, match="100 calendars"):
        await put(operations, caller, "more")
    await put(operations, caller, "c0", "2026-12-24")
    limits = operations.operations.limits
    limits.servers = replace(limits.servers, max_bytes=600)
    with pytest.raises(errors.Forbidden, match="would hold more than 600 bytes"):
        await put(operations, caller, "c1", *(f"2026-{month:02}-24" for month in range(1, 13)))
    assert (await show(operations, caller, "c1"))["count"] == 0
    await put(operations, caller, "c0")


async def test_tick__reads_the_calendars_of_a_batch_in_one_query(store: Store) -> None:
    accounts = [await make_account(store) for _ in range(2)]
    calendars = [
        {
            "account_id": account,
            "name": name,
            "dates": json.dumps(["2026-11-24"]),
            "count": 1,
            "size": 20,
            "created_at": NOON,
            "updated_at": NOON,
        }
        for account in accounts
        for name in ("a", "b")
    ]
    await insert_rows(store, "calendar", calendars)
    rows = [
        cronjob_values(account, secret=None, exclude=exclude)
        for account in accounts
        for exclude in (["a"], ["a", "b"], ["b"], ["2026-11-25"])
        for _ in range(25)
    ]
    await insert_rows(store, "cronjob", rows)
    statements = await _statements(store, Scheduler(store), NOON)
    assert sum("FROM calendar" in one or "JOIN calendar" in one for one in statements) == 1
    states = [(row.state, row.cause) for row in await read_firings(store)]
    assert len(states) == 200
    assert {one for one in states if one[0] == "skipped"} == {("skipped", "a"), ("skipped", "b")}
    assert states.count(("pending", None)) == 50
    await make_cronjob(store, next_fire_at=NOON + DAY)
    await store.transact(
        lambda connection: (
            connection.execute(delete(tables.cronjob).where(tables.cronjob.c.policies.contains("exclude")))
            and None
        )
    )
    statements = await _statements(store, Scheduler(store), NOON + DAY)
    assert not [one for one in statements if "calendar" in one], "nobody excludes one"


async def _statements(store: Store, scheduler: Scheduler, now: int) -> list[str]:
    """What one tick asks the database."""
    seen: list[str] = []

    def work(connection: Any) -> None:
        def record(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            seen.append(statement)

        event.listen(connection, "before_cursor_execute", record)
        try:
            scheduler._tick(connection, now)
        finally:
            event.remove(connection, "before_cursor_execute", record)

    await store.transact(work)
    return seen


async def test_queries__find_calendars_by_their_key(store: Store) -> None:
    account = await make_account(store)
    await insert_rows(
        store,
        "calendar",
        [
            {
                "account_id": account,
                "name": f"c{number}",
                "dates": "[]",
                "count": 0,
                "size": 4,
                "created_at": NOON,
                "updated_at": NOON,
            }
            for number in range(100)
        ],
    )

    def work(connection: Any) -> None:
        verbs.get_calendar(connection, account, "c1")
        verbs.read_dates(connection, [(account, '{"exclude":["c1"]}')])

    for plan in await explain(store, work):
        assert "calendar" in plan
        assert "SCAN calendar" not in plan


async def test_list__lets_others_in_before_it_looks_behind_excluded_dates(
    operations: Tenants, store: Store
) -> None:
    account = await make_account(store)
    rows = [cronjob_values(account, secret=None, exclude=["2026-11-24"]) for _ in range(20)]
    await insert_rows(store, "cronjob", [*rows, cronjob_values(account, secret=None)])
    turns = CountedTurns(account)
    token = ASKER.set(turns)
    try:
        for sent, least in (({}, 20), ({"fields": "name"}, 0)):
            turns.settled = turns.taken = 0
            assert len((await operations.list_cronjobs(account, sent)).items) == 21
            assert turns.settled == turns.taken
            assert least <= turns.taken < least + 5
    finally:
        ASKER.reset(token)
