"""Bounds, several expressions and `max_firings` as a tenant has them: created, changed, shown, explained, refused."""

from __future__ import annotations

from typing import Any

import pytest

from cronally import errors
from cronally.instants import parse_iso
from cronally.operations import Caller
from cronally.store import Store
from tests.operations.conftest import sign_up
from tests.operations.explained import Explained
from tests.operations.parameters import SNS
from tests.operations.tenant import Tenants
from tests.support.factories import NOON, Clock, read_cronjob, read_firings

pytestmark = pytest.mark.sample

NINE = "2026-11-24T09:00:00Z"
WEEK = ["0 9 * * MON-FRI", "0 11 * * SAT"]


@pytest.fixture
def job(operations: Tenants, caller: Caller, store: Store, clock: Clock) -> Explained:
    return Explained(operations, caller, store, clock)


async def create(job: Explained, at: str = NINE, **given: Any) -> dict[str, Any]:
    cron = given.pop("cron", "0 * * * *")
    return await job.create(cron, at, **given)


# Several expressions


async def test_create__several_are_a_list_in_the_answer_and_one_sentence(job: Explained) -> None:
    answer = await create(job, cron=WEEK)
    assert answer["cron"] == tuple(WEEK)
    assert answer["schedule"] == "At 09:00, Monday to Friday, UTC; and at 11:00, on Saturday, UTC"
    assert answer["next_fire_at"] == "2026-11-25T09:00:00Z"
    await job.awake("2026-11-29T00:00:00Z")
    rows = await read_firings(job._store, job.cronjob_id)
    assert [(row.scheduled_at - parse_iso(NINE)) // 3_600_000_000 for row in rows] == [24, 48, 72, 98]


async def test_create__the_same_twice_is_one(job: Explained) -> None:
    answer = await create(job, cron=["0 8 * * *", " 0  8 * * *"])
    assert answer["cron"] == "0 8 * * *"


async def test_update__to_one_and_to_several(job: Explained) -> None:
    await create(job, cron=WEEK)
    answer = await job.change("2026-11-24T10:00:00Z", cron="0 12 * * *")
    assert (answer["cron"], answer["next_fire_at"]) == ("0 12 * * *", "2026-11-24T12:00:00Z")
    answer = await job.change("2026-11-24T10:00:00Z", cron=["0 12 * * *", "0 11 * * *"])
    assert (len(answer["cron"]), answer["next_fire_at"]) == (2, "2026-11-24T11:00:00Z")
    answer = await job.change("2026-11-24T10:00:00Z", timezone="Europe/Berlin")
    assert answer["next_fire_at"] == "2026-11-24T11:00:00Z"


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        (["0 8 * * *", "61 * * * *"], '"61 * * * *": '),
        (["0 8 * * *", "30 0 8 * * *"], '"0 8 * * *" and "30 0 8 * * *" have fire times 30s apart'),
        (["rate(5 minutes)", "15 8 * * *"], "what rate() and @every are counted from is starts_at"),
        (["0 8 * * *", "* * * * * *"], '"* * * * * *" has fire times 1s apart'),
        (["0 8 * * *\n0 9 * * *"], ""),
        (["0 8 * * *", "0 9 * * *\n"], ""),
        (["at(2020-01-01T00:00:00)", "at(2021-01-01T00:00:00)"], "none of "),
        ([], "has 0 items"),
        ([f"{minute} * * * *" for minute in range(11)], "has 11 items; give 10 at most"),
        (["0 8 * * *", ""], "is missing or empty"),
        (["0 8 * * *", 5], "is a number"),
        (["0 8 * * *", "x" * 300], "300 characters"),
    ],
)
async def test_create__what_is_wrong_is_named(job: Explained, cron: Any, said: str) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await create(job, at="2026-11-24T09:00:17Z", cron=cron)
    assert caught.value.fields.keys() == {"cron"}
    assert said in caught.value.fields["cron"]


async def test_create__an_interval_beside_the_calendar_is_counted_from_its_start(job: Explained) -> None:
    cron = ["rate(30 minutes)", "0 8 * * *"]
    with pytest.raises(errors.InvalidExpression):
        await create(job, at="2026-11-24T09:00:17Z", cron=cron)
    answer = await create(job, at="2026-11-24T09:00:17Z", cron=cron, starts_at="2026-11-24T10:00:00Z")
    assert answer["next_fire_at"] == "2026-11-24T10:00:00Z"
    with pytest.raises(errors.InvalidExpression) as caught:
        await job.change("2026-11-24T09:30:00Z", starts_at="2026-11-24T10:00:20Z")
    assert "20s apart" in caught.value.fields["cron"]
    assert (await job.change("2026-11-24T09:30:00Z", name="other"))["name"] == "other"


# Bounds


async def test_bounds__only_in_december(job: Explained) -> None:
    answer = await create(job, starts_at="2026-12-01T00:00:00Z", ends_at="2026-12-01T02:00:00Z")
    assert answer["starts_at"] == "2026-12-01T00:00:00Z"
    assert answer["next_fire_at"] == "2026-12-01T00:00:00Z"
    assert answer["schedule"].endswith("; from 2026-12-01T00:00:00Z to 2026-12-01T02:00:00Z")
    await job.awake("2026-12-02T00:00:00Z")
    assert len(await read_firings(job._store, job.cronjob_id)) == 3
    assert (await read_cronjob(job._store, job.cronjob_id)).state == "completed"
    answer = await job.change("2026-12-02T00:30:00Z", ends_at="2026-12-02T02:00:00Z")
    assert (answer["state"], answer["next_fire_at"]) == ("active", "2026-12-02T01:00:00Z")
    answer = await job.change("2026-12-02T00:30:00Z", ends_at="default", starts_at="default")
    assert (answer["state"], answer["starts_at"], answer["ends_at"]) == ("active", None, None)


async def test_bounds__an_interval_fires_first_at_its_start(job: Explained) -> None:
    answer = await create(job, cron="rate(1 day)", starts_at="2026-11-24T09:10:00Z")
    assert answer["next_fire_at"] == "2026-11-24T09:10:00Z"
    assert answer["schedule"] == "Every day, counted from its start; from 2026-11-24T09:10:00Z on"
    answer = await job.change("2026-11-24T09:05:00Z", starts_at="2020-01-01T07:00:00Z")
    assert answer["next_fire_at"] == "2026-11-25T07:00:00Z"
    answer = await job.change("2026-11-24T09:05:00Z", starts_at="default")
    assert answer["next_fire_at"] == "2026-11-25T09:00:00Z"


@pytest.mark.parametrize(
    ("given", "name", "said"),
    [
        (
            {"starts_at": "2026-12-01T00:00:00Z", "ends_at": "2026-11-30T00:00:00Z"},
            "ends_at",
            "must not be earlier than starts_at",
        ),
        ({"ends_at": "2026-11-24T08:59:00Z"}, "ends_at", "would be 2026-11-24T10:00:00Z"),
        ({"ends_at": "2026-11-24T09:59:59Z"}, "ends_at", "would be 2026-11-24T10:00:00Z"),
        (
            {"cron": "at(2026-12-24T18:00:00)", "starts_at": "2027-01-01T00:00:00Z"},
            "starts_at",
            "would be 2026-12-24T18:00:00Z",
        ),
        ({"ends_at": "tomorrow"}, "ends_at", "is no instant"),
        ({"starts_at": 5}, "starts_at", "is a number"),
        ({"ends_at": None}, "ends_at", "is null"),
        ({"ends_at": "2300-01-01T00:00:00Z"}, "ends_at", "between the years 1970 and 2200"),
        ({"max_firings": 0}, "max_firings", "between 1 and 1,000,000,000"),
        ({"max_firings": 1_000_000_001}, "max_firings", "between 1 and 1,000,000,000"),
        ({"max_firings": "many"}, "max_firings", "is no whole number"),
        ({"max_firings": True}, "max_firings", "is no whole number"),
    ],
)
async def test_create__bounds_that_leave_nothing_are_refused(
    job: Explained, given: dict[str, Any], name: str, said: str
) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await create(job, **given)
    assert caught.value.fields.keys() == {name}
    assert said in caught.value.fields[name]
    if name != "max_firings" and "cron" not in given:
        await create(job)
        with pytest.raises(errors.InvalidRequest) as caught:
            await job.change(NINE, **given)
        assert caught.value.fields.keys() == {name}


async def test_explain__outside_of_the_bounds(job: Explained) -> None:
    await create(job, starts_at="2026-11-24T11:00:00Z", ends_at="2026-11-24T15:00:00Z")
    before = await job.ask("2026-11-24T10:00:00Z", now="2026-11-24T10:30:00Z")
    assert before["finding"] == "no_fire_time"
    assert "the cron job starts at 2026-11-24T11:00:00Z" in before["sentence"]
    assert before["next_at"] == "2026-11-24T11:00:00Z"
    after = await job.ask("2026-11-24T16:00:00Z", now="2026-11-24T10:30:00Z")
    assert "the cron job ends at 2026-11-24T15:00:00Z" in after["sentence"]
    assert after["next_at"] is None


async def test_pause__over_the_end(job: Explained) -> None:
    await create(job, ends_at="2026-11-24T11:00:00Z")
    await job.pause("2026-11-24T09:30:00Z")
    answer = await job.resume("2026-11-24T12:30:00Z")
    assert (answer["state"], answer["next_fire_at"]) == ("completed", None)
    (row,) = await read_firings(job._store, job.cronjob_id)
    assert (row.state, row.count) == ("skipped", 2)


# max_firings


async def test_max_firings__completes_and_goes_on_when_it_is_raised(job: Explained) -> None:
    answer = await create(job, max_firings=2)
    assert (answer["max_firings"], answer["fired"]) == (2, 0)
    await job.awake("2026-11-24T15:00:00Z")
    found = await job._operations.get_cronjob(job._account_id, job.cronjob_id)
    assert (found["state"], found["next_fire_at"], found["fired"]) == ("completed", None, 2)
    asked = await job.ask("2026-11-24T13:00:00Z", now="2026-11-24T15:10:00Z")
    assert asked["finding"] == "not_owed"
    assert "max_firings let it fire 2 times" in asked["sentence"]
    answer = await job.change("2026-11-24T15:10:00Z", max_firings=3)
    assert (answer["state"], answer["next_fire_at"]) == ("active", "2026-11-24T16:00:00Z")
    asked = await job.ask("2026-11-24T18:00:00Z", now="2026-11-24T15:10:00Z")
    assert "unless it has fired 3 times by then (max_firings)" in asked["sentence"]
    answer = await job.change("2026-11-24T15:10:00Z", max_firings=1)
    assert (answer["state"], answer["next_fire_at"]) == ("completed", None)
    answer = await job.change("2026-11-24T15:10:00Z", max_firings="default")
    assert (answer["state"], answer["max_firings"]) == ("active", None)


async def test_max_firings__manual_ones_and_skipped_ones_do_not_count(job: Explained) -> None:
    await create(job, max_firings=2)
    await job._operations.run_cronjob(job._account_id, job.cronjob_id)
    await job.pause("2026-11-24T09:30:00Z")
    await job.resume("2026-11-24T12:30:00Z")
    await job.awake("2026-11-24T13:00:00Z")
    found = await job._operations.get_cronjob(job._account_id, job.cronjob_id)
    assert (found["state"], found["fired"]) == ("active", 1)


async def test_max_firings__lowered_in_a_pause_ends_with_it(job: Explained) -> None:
    await create(job, max_firings=5)
    await job.awake("2026-11-24T11:00:00Z")
    await job.pause("2026-11-24T11:30:00Z")
    assert (await job.change("2026-11-24T11:40:00Z", max_firings=2))["state"] == "paused"
    assert (await job.resume("2026-11-24T11:50:00Z"))["state"] == "completed"


async def test_preview__says_how_many_are_left(job: Explained) -> None:
    await create(job, max_firings=3)
    await job.awake("2026-11-24T10:00:00Z")
    answer = await job._operations.preview_cronjob(job._account_id, job.cronjob_id, {"count": 1})
    assert answer["notes"] == ("The cron job has fired 1 times: max_firings lets it fire 2 more at most.",)


async def test_list__shows_them_and_is_filtered_as_ever(
    operations: Tenants, caller: Caller, clock: Clock
) -> None:
    clock.now = NOON
    for given in ({"cron": WEEK}, {"max_firings": 3, "ends_at": "2027-01-01T00:00:00Z"}):
        await operations.create_cronjob(caller.account_id, {**SNS, **given})
        clock.now += 1
    page = await operations.list_cronjobs(caller.account_id, {"state": "active"})
    assert [item["cron"] for item in page.items] == [tuple(WEEK), "0 8 * * *"]
    assert [item["max_firings"] for item in page.items] == [None, 3]
    other = await sign_up(operations, "other@example.com")
    assert (await operations.list_cronjobs(other.account_id, {})).items == []


# Previews


def test_preview__of_several_and_of_bounds(operations: Tenants) -> None:
    sent = {"cron": WEEK, "ends_at": "2026-11-28T11:00:00Z", "after": "2026-11-26T10:00:00Z"}
    answer = operations.preview_expression(sent, now=NOON)
    assert answer["expression"] == tuple(WEEK)
    assert [one["scheduled_at"] for one in answer["fire_times"]] == [
        "2026-11-27T09:00:00Z",
        "2026-11-28T11:00:00Z",
    ]
    assert (answer["starts_at"], answer["ends_at"]) == (None, "2026-11-28T11:00:00Z")


def test_preview__notes_name_their_expression(operations: Tenants) -> None:
    answer = operations.preview_expression({"cron": ["0 8 * * *", "0 12 31 * *"]}, now=NOON)
    assert len(answer["notes"]) == 1
    assert answer["notes"][0].startswith('"0 12 31 * *": ')


def test_preview__in_pages_comes_to_the_same(operations: Tenants) -> None:
    """In the years that it takes steps to go through, of expressions that the clock suppresses."""
    sent: dict[str, Any] = {
        "cron": ["30 2 8-14 3 SUN", "15 1 1-7 11 SUN", "45 1 1-7 11 SUN"],
        "timezone": "America/New_York",
        "dst_gap": "skip",
        "count": 5,
        "after": "2026-01-01T00:00:00Z",
    }
    whole = operations.preview_expression({**sent, "count": 100}, now=NOON)
    assert whole["complete"] in (True, False)
    fired: list[str] = []
    suppressed: list[tuple[str, int]] = []
    for _ in range(100):
        answer = operations.preview_expression(sent, now=NOON)
        fired += [one["scheduled_at"] for one in answer["fire_times"]]
        suppressed += [(one["scheduled_at"], one["count"]) for one in answer["suppressed"]]
        following = answer.get("until") or (fired and fired[-1])
        assert following > sent["after"]
        sent["after"] = following
        if len(fired) >= 30:
            break
    assert fired == sorted(set(fired))
    assert len(suppressed) == len(set(suppressed))
    assert (
        fired[: len(whole["fire_times"])]
        == [one["scheduled_at"] for one in whole["fire_times"]][: len(fired)]
    )


def test_preview__bounds_that_leave_nothing(operations: Tenants) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        operations.preview_expression({"cron": "0 8 * * *", "ends_at": "2026-11-24T13:00:00Z"}, now=NOON)
    assert caught.value.fields.keys() == {"ends_at"}
