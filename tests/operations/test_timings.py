"""When a cron job fires: expression, zone and policies, given at its creation and changed later."""

from __future__ import annotations

import pytest

from cronally import errors
from cronally.clock import zones
from cronally.contract.previews import never_fires
from cronally.cronjob import Timing
from cronally.engine.scheduler import Scheduler
from cronally.instants import DAY, HOUR, MINUTE, SECOND, format_iso, parse_iso
from cronally.operations import Caller, Operations
from cronally.store import Store
from cronally.targets.target import Target
from tests.operations.conftest import sign_up
from tests.operations.explained import NEW_YORK, Explained
from tests.operations.parameters import SNS
from tests.operations.tenant import Tenants
from tests.support import factories
from tests.support.factories import NOON, Clock, make_cronjob, read_cronjob, read_firings

pytestmark = pytest.mark.sample


@pytest.fixture
def job(operations: Tenants, caller: Caller, store: Store, clock: Clock) -> Explained:
    return Explained(operations, caller, store, clock)


# Create


@pytest.mark.parametrize(
    ("given", "next_fire_at", "schedule"),
    [
        ({"cron": "30 0  8 * * *"}, "2026-11-25T08:00:30Z", "At 08:00:30, every day, UTC"),
        ({"cron": "0 18 LW * *"}, "2026-11-30T18:00:00Z", "At 18:00, on the last weekday of the month, UTC"),
        (
            {"cron": "cron(0 10 ? * MON-FRI *)", "timezone": "Asia/Tokyo"},
            "2026-11-25T01:00:00Z",
            "At 10:00, Monday to Friday, Asia/Tokyo",
        ),
        (
            {"cron": "at(2026-12-24T18:00:00)", "timezone": "Europe/Berlin"},
            "2026-12-24T17:00:00Z",
            "Once, at 18:00 on 24 December 2026, Europe/Berlin",
        ),
        ({"cron": "rate(5 minutes)"}, "2026-11-24T12:05:00Z", "Every 5 minutes, counted from the creation"),
        (
            {"cron": "@every 1h30m"},
            "2026-11-24T13:30:00Z",
            "Every 1 hour and 30 minutes, counted from the creation",
        ),
        ({"cron": "*/7 3,4 * * *"}, "2026-11-25T03:00:00Z", None),
        ({"timezone": "America/New_York"}, "2026-11-24T13:00:00Z", "At 08:00, every day, America/New_York"),
        (
            {"timezone": "UTC", "dst_gap": "skip", "dst_overlap": "both"},
            "2026-11-25T08:00:00Z",
            "At 08:00, every day, UTC",
        ),
    ],
)
async def test_create_cronjob__of_every_dialect(
    operations: Tenants, caller: Caller, given: dict[str, str], next_fire_at: str, schedule: str | None
) -> None:
    answer = await operations.create_cronjob(caller.account_id, {**SNS, **given})
    assert (answer["next_fire_at"], answer["schedule"]) == (next_fire_at, schedule)
    assert answer["cron"] == " ".join(given.get("cron", SNS["cron"]).split())
    assert answer["timezone"] == given.get("timezone", "UTC")
    assert (answer["dst_gap"], answer["dst_overlap"]) == (given.get("dst_gap"), given.get("dst_overlap"))
    assert answer["tzdata"] == zones.version()
    assert await operations.get_cronjob(caller.account_id, answer["cronjob_id"]) == answer


async def test_create_cronjob__h_is_spread_by_its_own_id(operations: Tenants, caller: Caller) -> None:
    made = [
        await operations.create_cronjob(caller.account_id, {**SNS, "cron": "H H * * *"}) for _ in range(3)
    ]
    assert len({answer["next_fire_at"] for answer in made}) > 1
    for answer in made:
        parameters = {"expression": "H H * * *", "id": answer["cronjob_id"], "count": "1"}
        preview = operations.preview_expression(parameters, now=NOON)
        assert preview["fire_times"][0]["scheduled_at"] == answer["next_fire_at"]
        assert answer["schedule"] == preview["schedule"]
        renamed = await operations.update_cronjob(caller.account_id, answer["cronjob_id"], {"name": "Other"})
        assert renamed["next_fire_at"] == answer["next_fire_at"]


@pytest.mark.parametrize(
    ("given", "complaints"),
    [
        ({"timezone": "Europe/Berln"}, {"timezone": 'write "Europe/Berlin"'}),
        ({"timezone": "localtime"}, {"timezone": "not the name of a place"}),
        ({"timezone": "Factory"}, {"timezone": "not the name of a place"}),
        ({"timezone": "+02:00"}, {"timezone": "is an offset"}),
        ({"timezone": "CEST"}, {"timezone": 'write "Europe/Paris"'}),
        ({"timezone": ""}, {"timezone": "is missing or empty"}),
        ({"timezone": "x" * 100_000}, {"timezone": "is not a time zone"}),
        ({"dst_gap": "first"}, {"dst_gap": "is none of run_at_jump, skip, shift, default"}),
        ({"dst_overlap": "skip"}, {"dst_overlap": "is none of first, last, both, default"}),
        ({"cron": "*/10 * * * * *"}, {"cron": "has fire times 10s apart; this server takes 1m at least"}),
        ({"cron": "@every 59s"}, {"cron": "has fire times 59s apart"}),
        ({"cron": "at(2026-11-24T12:00:00)"}, {"cron": "its last fire time was 2026-11-24T12:00:00Z"}),
        (
            {"cron": "at(2027-03-14T02:30:00)", "timezone": NEW_YORK, "dst_gap": "skip"},
            {"cron": "dst_gap=skip and dst_overlap=first leave out all"},
        ),
        (
            {"cron": "cron(0 8 * * ? 2020-2025)"},
            {"cron": "its last fire time was 2025-12-31T08:00:00Z"},
        ),
        (
            {"cron": "60 * * * *", "timezone": "Mars", "dst_gap": "x", "dst_overlap": "y", "name": ""},
            {
                "cron": "out of range",
                "timezone": "Mars",
                "dst_gap": "none of",
                "dst_overlap": "none of",
                "name": "",
            },
        ),
        ({"cron": "at(2020-01-01T00:00:00)", "name": ""}, {"cron": "never fires", "name": "missing"}),
    ],
)
async def test_create_cronjob__says_all_that_is_wrong_with_the_timing(
    operations: Tenants, caller: Caller, given: dict[str, str], complaints: dict[str, str]
) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.create_cronjob(caller.account_id, {**SNS, **given})
    assert caught.value.fields.keys() == complaints.keys()
    for name, complaint in complaints.items():
        assert complaint in caught.value.fields[name]
    alone = list(complaints) == ["cron"]
    assert isinstance(caught.value, errors.InvalidExpression) == alone
    assert not (await operations.list_cronjobs(caller.account_id, {})).items


async def test_create_cronjob__the_least_interval_is_a_setting(
    store: Store, targets: dict[str, Target], caller: Caller
) -> None:
    quick = Tenants(Operations(store, factories.vault(), targets, min_interval=10 * SECOND))
    assert await quick.create_cronjob(caller.account_id, {**SNS, "cron": "*/10 * * * * *"})
    slow = Tenants(Operations(store, factories.vault(), targets, min_interval=HOUR))
    with pytest.raises(errors.InvalidExpression, match="30m apart; this server takes 1h"):
        await slow.create_cronjob(caller.account_id, {**SNS, "cron": "*/30 * * * *"})
    with pytest.raises(errors.InvalidExpression):
        slow.preview_expression({"expression": "*/30 * * * *"}, now=NOON)


async def test_create_cronjob__a_repeated_request_for_what_has_fired_since(
    operations: Tenants, caller: Caller, clock: Clock
) -> None:
    once = {**SNS, "cron": "at(2026-11-24T12:30:00)"}
    first = await operations.create_cronjob(caller.account_id, once, idempotency_key="k")
    clock.forward(HOUR)
    again = await operations.create_cronjob(caller.account_id, once, idempotency_key="k")
    assert again["cronjob_id"] == first["cronjob_id"]
    with pytest.raises(errors.InvalidExpression):
        await operations.create_cronjob(caller.account_id, once, idempotency_key="other")


# Change


async def test_update_cronjob__the_zone_moves_the_next_fire_time(job: Explained) -> None:
    created = await job.create("0 8 * * *", "2026-11-24T12:00:00Z")
    changed = await job.change("2026-11-24T12:10:00Z", timezone=NEW_YORK)
    assert (created["next_fire_at"], changed["next_fire_at"]) == (
        "2026-11-25T08:00:00Z",
        "2026-11-24T13:00:00Z",
    )
    assert changed["version"] == 2


async def test_update_cronjob__a_policy_moves_the_next_fire_time(job: Explained) -> None:
    await job.create("30 2 * * *", "2027-03-13T12:00:00Z", timezone=NEW_YORK)
    expected = {
        "shift": "2027-03-14T07:30:00Z",
        "skip": "2027-03-15T06:30:00Z",
        "run_at_jump": "2027-03-14T07:00:00Z",
        "default": "2027-03-14T07:00:00Z",
    }
    for policy, at in expected.items():
        assert (await job.change("2027-03-13T13:00:00Z", dst_gap=policy))["next_fire_at"] == at


async def test_update_cronjob__settles_by_the_old_zone_first(job: Explained, store: Store) -> None:
    await job.create("0 * * * *", "2026-11-24T11:55:00Z", catch_up="all")
    changed = await job.change("2026-11-24T14:10:00Z", timezone="Asia/Kathmandu")
    rows = await read_firings(store, job.cronjob_id)
    assert [format_iso(row.scheduled_at)[11:16] for row in rows] == ["12:00", "13:00", "14:00"]
    assert changed["next_fire_at"] == "2026-11-24T14:15:00Z"


async def test_update_cronjob__a_new_name_settles_nothing_and_loses_nothing(
    job: Explained, store: Store
) -> None:
    """What was suppressed before it is written with the next fire time, as without it."""
    await job.create("30 1 * * *", "2026-10-31T12:00:00Z", timezone=NEW_YORK)
    await job.tick("2026-11-01T05:30:00Z")
    renamed = await job.change("2026-11-01T12:00:00Z", name="Other")
    assert renamed["next_fire_at"] == "2026-11-02T06:30:00Z"
    assert [row.state for row in await read_firings(store, job.cronjob_id)] == ["pending"]
    assert (await job.ask("2026-11-01T06:30:00Z"))["finding"] == "suppressed"
    await job.tick("2026-11-02T06:30:00Z")
    assert [(row.state, row.reason) for row in await read_firings(store, job.cronjob_id)] == [
        ("pending", None),
        ("skipped", "dst_overlap=first"),
        ("pending", None),
    ]
    assert (await job.ask("2026-11-01T06:30:00Z"))["finding"] == "suppressed"


async def test_update_cronjob__is_not_silent_where_the_ledger_reaches_into_the_future(job: Explained) -> None:
    await job.create("0 * * * *", "2026-11-24T11:55:00Z")
    await job.awake("2026-11-24T18:00:00Z")
    changed = await job.change("2026-11-24T12:30:00Z", timezone="Europe/Berlin")
    assert changed["next_fire_at"] == "2026-11-24T13:00:00Z"


async def test_update_cronjob__the_completed_fire_again(job: Explained) -> None:
    await job.create("at(2026-11-24T12:30:00)", "2026-11-24T12:00:00Z")
    await job.awake("2026-11-24T13:00:00Z")
    renamed = await job.change("2026-11-24T13:10:00Z", name="Other", catch_up="all")
    assert (renamed["state"], renamed["next_fire_at"]) == ("completed", None)
    with pytest.raises(errors.InvalidExpression, match="never fires"):
        await job.change("2026-11-24T13:10:00Z", dst_gap="shift")
    # The same local time comes later in New York.
    moved = await job.change("2026-11-24T13:10:00Z", timezone=NEW_YORK)
    assert (moved["state"], moved["next_fire_at"]) == ("active", "2026-11-24T17:30:00Z")
    await job.awake("2026-11-24T18:00:00Z")
    again = await job.change("2026-11-24T18:10:00Z", cron="0 8 * * *")
    assert (again["state"], again["next_fire_at"]) == ("active", "2026-11-25T13:00:00Z")


async def test_update_cronjob__completed_by_the_change_itself(job: Explained, store: Store) -> None:
    await job.create("at(2026-11-24T12:30:00)", "2026-11-24T12:00:00Z")
    renamed = await job.change("2026-11-24T12:31:00Z", catch_up="all")
    assert (renamed["state"], renamed["next_fire_at"], renamed["version"]) == ("completed", None, 2)
    assert [row.scheduled_at for row in await read_firings(store, job.cronjob_id)] == [NOON + 30 * MINUTE]


async def test_update_cronjob__intervals_are_counted_from_the_creation(job: Explained) -> None:
    await job.create("@every 7h", "2026-11-24T12:00:00.5Z")
    changed = await job.change("2026-11-24T13:00:00Z", cron="rate(45 minutes)")
    assert changed["next_fire_at"] == "2026-11-24T13:30:00Z"


async def test_update_cronjob__what_is_not_given_is_not_checked(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    """A row of another release: with a zone and an expression that this one does not take."""
    row = await make_cronjob(
        store, caller.account_id, cron="*/5 * * * * *", timezone="Mars/Olympus", next_fire_at=NOON + DAY
    )
    renamed = await operations.update_cronjob(caller.account_id, row["cronjob_id"], {"name": "Other"})
    assert (renamed["name"], renamed["timezone"]) == ("Other", "Mars/Olympus")
    assert (renamed["state"], renamed["next_fire_at"]) == ("active", "2026-11-25T12:00:00Z")
    for given, named in (({"cron": "0 8 * * *"}, "timezone"), ({"dst_gap": "skip"}, "timezone")):
        with pytest.raises(errors.InvalidRequest) as caught:
            await operations.update_cronjob(caller.account_id, row["cronjob_id"], given)
        assert list(caught.value.fields) == [named]
    mended = await operations.update_cronjob(
        caller.account_id, row["cronjob_id"], {"cron": "0 8 * * *", "timezone": "Europe/Berlin"}
    )
    assert mended["next_fire_at"] == "2026-11-25T07:00:00Z"


async def test_update_cronjob__a_long_step_that_is_stored_goes_on_firing(
    operations: Tenants, caller: Caller, store: Store, clock: Clock
) -> None:
    """Of an earlier release: what is written now is refused, what is stored fires, and may be sent again as it is."""
    row = await make_cronjob(store, caller.account_id, cron="*/90 * * * *", next_fire_at=NOON)
    cronjob_id = row["cronjob_id"]
    await Scheduler(store).tick(clock.now)
    assert [firing.scheduled_at for firing in await read_firings(store, cronjob_id)] == [NOON]
    for given in ({"name": "Other"}, {"timezone": "Europe/Berlin"}, {"cron": "*/90  * * * *"}):
        changed = await operations.update_cronjob(caller.account_id, cronjob_id, given)
        assert (changed["cron"], changed["state"]) == ("*/90 * * * *", "active")
        assert changed["next_fire_at"] == "2026-11-24T13:00:00Z"
    shown = await operations.preview_cronjob(caller.account_id, cronjob_id, {"count": "1"})
    note = '"*/90" in minute fires at minute 0 of each hour alone: the step is longer than the field'
    assert list(shown["notes"]) == [note]
    with pytest.raises(errors.InvalidExpression, match='write "\\*/60 \\* \\* \\* \\*" instead'):
        await operations.update_cronjob(caller.account_id, cronjob_id, {"cron": "*/91 * * * *"})
    with pytest.raises(errors.InvalidExpression, match="rate"):
        await operations.create_cronjob(caller.account_id, {**SNS, "cron": "*/90 * * * *"})
    with pytest.raises(errors.InvalidExpression, match="rate"):
        operations.preview_expression({"expression": "*/90 * * * *"}, now=NOON)
    mended = await operations.update_cronjob(caller.account_id, cronjob_id, {"cron": "*/60 * * * *"})
    assert mended["next_fire_at"] == "2026-11-24T13:00:00Z"


async def test_update_cronjob__another_zone_frees_what_was_set_aside(
    operations: Tenants, caller: Caller, store: Store, clock: Clock
) -> None:
    row = await make_cronjob(store, caller.account_id, cron="0 * * * *", timezone="Mars/Olympus")
    await Scheduler(store).tick(clock.now)
    aside = await operations.get_cronjob(caller.account_id, row["cronjob_id"])
    assert aside["state"] == "paused"
    assert "Mars/Olympus" in aside["state_reason"]
    assert (await operations.list_cronjobs(caller.account_id, {})).items == [aside]
    with pytest.raises(errors.InvalidExpression, match="Mars/Olympus"):
        await operations.preview_cronjob(caller.account_id, row["cronjob_id"], {})
    freed = await operations.update_cronjob(caller.account_id, row["cronjob_id"], {"timezone": "UTC"})
    assert (freed["state"], freed["next_fire_at"]) == ("active", "2026-11-24T13:00:00Z")
    assert "state_reason" not in freed


# Foretell


async def test_preview_cronjob__is_what_fires(job: Explained, operations: Tenants, store: Store) -> None:
    await job.create("0,30 1 * * *", "2026-10-30T12:00:00Z", timezone=NEW_YORK, dst_overlap="last")
    account_id = (await read_cronjob(store, job.cronjob_id)).account_id
    preview = await operations.preview_cronjob(account_id, job.cronjob_id, {"count": "6"})
    assert (preview["cronjob_id"], preview["state"]) == (job.cronjob_id, "active")
    await job.awake("2026-11-02T12:00:00Z")
    rows = await read_firings(store, job.cronjob_id)
    fired = [format_iso(row.scheduled_at) for row in rows if row.state == "pending"]
    assert [entry["scheduled_at"] for entry in preview["fire_times"]] == fired
    (left_out,) = [row for row in rows if row.state == "skipped"]
    (suppressed,) = preview["suppressed"]
    assert (
        suppressed["scheduled_at"],
        suppressed["until_at"],
        suppressed["count"],
        suppressed["reason"],
    ) == (
        format_iso(left_out.scheduled_at),
        format_iso(left_out.until_at),
        left_out.count,
        left_out.reason,
    )


async def test_preview_cronjob__of_one_that_is_over(
    job: Explained, operations: Tenants, store: Store
) -> None:
    await job.create("at(2026-11-24T12:30:00)", "2026-11-24T12:00:00Z")
    await job.awake("2026-11-24T13:00:00Z")
    account_id = (await read_cronjob(store, job.cronjob_id)).account_id
    over = await operations.preview_cronjob(account_id, job.cronjob_id, {})
    assert (over["state"], over["fire_times"]) == ("completed", [])
    past = await operations.preview_cronjob(account_id, job.cronjob_id, {"after": "2026-11-24T12:00:00Z"})
    assert [entry["scheduled_at"] for entry in past["fire_times"]] == ["2026-11-24T12:30:00Z"]


async def test_preview_cronjob__what_is_not_the_tenants_is_not_there(
    job: Explained, operations: Tenants
) -> None:
    await job.create("0 8 * * *", "2026-11-24T12:00:00Z")
    other = await sign_up(operations, "other@example.com")
    with pytest.raises(errors.NotFound):
        await operations.preview_cronjob(other.account_id, job.cronjob_id, {"count": "x"})


def test_preview_expression__what_a_policy_suppresses_for_ever_is_shown(operations: Tenants) -> None:
    parameters = {"expression": "30 2 * 3 SUN#2", "timezone": NEW_YORK, "dst_gap": "skip", "count": "3"}
    preview = operations.preview_expression(parameters, now=NOON)
    assert preview["fire_times"] == []
    assert [entry["local"] for entry in preview["suppressed"]] == [
        "2027-03-14T02:30:00",
        "2028-03-12T02:30:00",
        "2029-03-11T02:30:00",
    ]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, {"cron"}),
        ({"expression": "x" * 100_000}, {"cron"}),
        ({"expression": "H * * * *"}, {"cron"}),
        ({"expression": "H * * * *", "id": ""}, {"id"}),
        ({"expression": "H * * * *", "id": "a b"}, {"id"}),
        ({"expression": "@daily", "count": "0"}, {"count"}),
        ({"expression": "@daily", "count": "101"}, {"count"}),
        ({"expression": "@daily", "count": "\u0661"}, {"count"}),
        ({"expression": "@daily", "after": "noon"}, {"after"}),
        ({"expression": "@daily", "after": "2200-01-01T00:00:00Z"}, {"cron"}),
        ({"expression": "@daily", "cron": "@daily"}, {"expression"}),
        ({"expression": "rate(5 weeks)", "timezone": "x"}, {"cron", "timezone"}),
    ],
)
def test_preview_expression__names_what_is_wrong(
    operations: Tenants, given: dict[str, str], named: set[str]
) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        operations.preview_expression(given, now=NOON)
    assert caught.value.fields.keys() == named


@pytest.mark.parametrize("count", ["1", "2"])
def test_preview_expression__what_is_suppressed_takes_no_fire_times_place(
    operations: Tenants, count: str
) -> None:
    parameters = {"expression": "30 2 * * SUN", "timezone": NEW_YORK, "dst_gap": "skip", "count": count}
    preview = operations.preview_expression({**parameters, "after": "2027-03-13T12:00:00Z"}, now=NOON)
    assert [entry["local"][:10] for entry in preview["fire_times"]] == ["2027-03-21", "2027-03-28"][
        : int(count)
    ]
    assert [entry["local"] for entry in preview["suppressed"]] == ["2027-03-14T02:30:00"]


def test_preview_expression__knows_the_name_that_cron_jobs_use(operations: Tenants) -> None:
    by_its_name = operations.preview_expression({"cron": "@daily"}, now=NOON)
    assert by_its_name == operations.preview_expression({"expression": "@daily"}, now=NOON)


def test_preview_expression__intervals_are_counted_from_after(operations: Tenants) -> None:
    parameters = {"expression": "@every 90m", "after": "2026-11-24T12:00:00.5Z", "count": "2"}
    times = operations.preview_expression(parameters, now=0)["fire_times"]
    assert [entry["scheduled_at"] for entry in times] == ["2026-11-24T13:30:00Z", "2026-11-24T15:00:00Z"]
    assert parse_iso(times[0]["scheduled_at"]) - NOON == 90 * MINUTE


def test_never_fires__an_interval_that_ends_after_the_last_year() -> None:
    created_at = parse_iso("2199-12-30T00:00:00Z")
    assert never_fires(Timing("@every 30d", "UTC", None, None), None, created_at, created_at) == (
        "cron",
        '"@every 30d" never fires: its first fire time would not be before 2200-01-01T00:00:00Z;'
        " write a shorter interval, or look from an earlier instant",
    )
