"""Cron jobs: created, read, listed, changed, deleted."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from cronally import errors
from cronally.clock import zones
from cronally.engine.scheduler import Scheduler
from cronally.instants import DAY, HOUR, MINUTE, SECOND, format_iso
from cronally.operations import Caller, Operations
from cronally.store import Signal, Store
from cronally.targets.target import Target
from cronally.vault import SealContext
from tests.operations.conftest import sign_up
from tests.operations.parameters import HTTP, SECRET, SNS
from tests.operations.tenant import API_KEY, Tenants
from tests.support import factories
from tests.support.factories import (
    NOON,
    Clock,
    make_cronjob,
    make_firing,
    name_of,
    read_cronjob,
    read_firings,
)

pytestmark = pytest.mark.sample


def opened_secret(row: Any) -> dict[str, str]:
    place = SealContext(row.account_id, "cronjob", "secret", row.cronjob_id)
    secret: dict[str, str] = json.loads(factories.vault().open(row.secret, place))
    return secret


# Create


async def test_create_cronjob__answers_with_the_cronjob(operations: Tenants, caller: Caller) -> None:
    answer = await operations.create_cronjob(caller.account_id, SNS)
    assert answer.pop("cronjob_id")
    assert answer == {
        "account_id": caller.account_id,
        "name": "Wake up",
        "tags": (),
        "cron": "0 8 * * *",
        "timezone": "UTC",
        "updated_by": API_KEY,
        "dst_gap": None,
        "dst_overlap": None,
        "schedule": "At 08:00, every day, UTC",
        "deleted": False,
        "state": "active",
        "next_fire_at": "2026-11-25T08:00:00Z",
        "tzdata": zones.version(),
        "catch_up": "latest",
        "misfire_grace": "24h",
        "max_age": "24h",
        "retry_max_attempts": 185,
        "retry_schedule": "exponential",
        "retries": "up to 185 more attempts in 24 h: each at a moment by chance within 2 s, 4 s, 8 s, ... growing to"
        " 15 min",
        "dead_letter": None,
        "max_in_flight": None,
        "max_per_second": None,
        "ordered": False,
        "after_completion": "keep",
        "overlap": "allow",
        "window": "0s",
        "ack_within": "0s",
        "ack_retry": 0,
        "min_duration": "0s",
        "pause_after": None,
        "exclude": (),
        "starts_at": None,
        "ends_at": None,
        "max_firings": None,
        "fired": 0,
        "created_at": "2026-11-24T12:00:00Z",
        "updated_at": "2026-11-24T12:00:00Z",
        "version": 1,
        "delivery_type": "sns",
        "sns_topic": SNS["sns_topic"],
        "sns_region": "eu-west-1",
        "sns_message": "good morning",
        "sns_access_key_id": "AKIAIOSFODNN7EXAMPLE",
    }


async def test_create_cronjob__seals_the_secret_for_its_row(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    answer = await operations.create_cronjob(caller.account_id, SNS)
    row = await read_cronjob(store, answer["cronjob_id"])
    assert opened_secret(row) == {"sns_secret_access_key": SECRET}
    assert SECRET not in row.destination


async def test_create_cronjob__http_has_no_secret(operations: Tenants, caller: Caller, store: Store) -> None:
    answer = await operations.create_cronjob(caller.account_id, HTTP)
    assert answer["delivery_type"] == "http"
    assert answer["delivery_http_url"] == "https://1.1.1.1/in"
    assert (await read_cronjob(store, answer["cronjob_id"])).secret is None


async def test_create_cronjob__takes_the_policies(operations: Tenants, caller: Caller) -> None:
    answer = await operations.create_cronjob(
        caller.account_id, {**SNS, "catch_up": "all", "misfire_grace": "90m"}
    )
    assert answer["catch_up"] == "all"
    assert answer["misfire_grace"] == "90m"


async def test_create_cronjob__never_fires_at_once(operations: Tenants, caller: Caller) -> None:
    # It is noon to the microsecond: that minute is past.
    answer = await operations.create_cronjob(caller.account_id, {**SNS, "cron": "* * * * *"})
    assert answer["next_fire_at"] == "2026-11-24T12:01:00Z"


async def test_create_cronjob__wakes_the_scheduler(operations: Tenants, caller: Caller, store: Store) -> None:
    woken = store.subscribe(Signal.CRONJOBS)
    await operations.create_cronjob(caller.account_id, SNS)
    assert woken.is_set()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"name": ""}, {"name"}),
        ({"name": "  "}, {"name"}),
        ({"name": "x" * 257}, {"name"}),
        ({"name": "two\nlines"}, {"name"}),
        ({"name": "bell\x07"}, {"name"}),
        ({"name": "c1\x85"}, {"name"}),
        ({"name": "\uffff"}, {"name"}),
        ({"cron": ""}, {"cron"}),
        ({"cron": "0 0 31 2 *"}, {"cron"}),
        ({"cron": "x" * 100_000}, {"cron"}),
        ({"catch_up": "none"}, {"catch_up"}),
        ({"catch_up": ""}, {"catch_up"}),
        ({"misfire_grace": "59s"}, {"misfire_grace"}),
        ({"misfire_grace": "31d"}, {"misfire_grace"}),
        ({"misfire_grace": "1 h"}, {"misfire_grace"}),
        ({"misfire_grace": "\u0661h"}, {"misfire_grace"}),
        ({"delivery_type": "smtp"}, {"delivery_type"}),
        ({"sns_topic": "arn:aws:s3:::bucket"}, {"sns_topic"}),
        ({"sns_region": "us-east-1"}, {"sns_region"}),
        ({"sns_message": "x" * 262_145}, {"sns_message"}),
        ({"delivery_http_url": "https://example.com"}, {"delivery_http_url"}),
        (
            {"name": "", "cron": "*", "sns_topic": "", "colour": "red"},
            {"name", "cron", "sns_topic", "colour"},
        ),
    ],
)
async def test_create_cronjob__names_what_is_wrong(
    operations: Tenants, caller: Caller, changed: dict[str, str], named: set[str]
) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.create_cronjob(caller.account_id, {**SNS, **changed})
    assert caught.value.fields.keys() == named
    assert all(name in caught.value.message or name == "cron" for name in named)
    assert SECRET not in caught.value.message
    assert not (await operations.list_cronjobs(caller.account_id, {})).items


async def test_cronjob__of_a_target_that_there_is_not_has_no_other_complaint(
    operations: Tenants, caller: Caller
) -> None:
    """What is missing or too much depends on the target that was meant."""
    sent = {**HTTP, "delivery_type": "webhook"}
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.create_cronjob(caller.account_id, sent)
    assert caught.value.fields.keys() == {"delivery_type"}
    made = await operations.create_cronjob(caller.account_id, SNS)
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.update_cronjob(caller.account_id, made["cronjob_id"], sent)
    assert caught.value.fields.keys() == {"delivery_type"}


async def test_create_cronjob__says_what_is_missing(operations: Tenants, caller: Caller) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.create_cronjob(caller.account_id, {})
    assert caught.value.fields.keys() == SNS.keys()


async def test_create_cronjob__an_expression_alone_that_is_wrong_has_its_own_code(
    operations: Tenants, caller: Caller
) -> None:
    with pytest.raises(errors.InvalidExpression) as caught:
        await operations.create_cronjob(caller.account_id, {**SNS, "cron": "60 * * * *"})
    assert caught.value.fields == {"cron": caught.value.message}


async def test_create_cronjob__a_parameter_of_the_other_target_is_explained(
    operations: Tenants, caller: Caller
) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.create_cronjob(caller.account_id, {**HTTP, "sns_region": "eu-west-1"})
    assert caught.value.fields["sns_region"].startswith("belongs to delivery_type=sns, and this is http")


async def test_create_cronjob__what_could_not_be_read_is_not_missing(
    operations: Tenants, caller: Caller
) -> None:
    given = {name: text for name, text in SNS.items() if name not in ("name", "sns_topic")}
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.create_cronjob(
            caller.account_id, given, unusable={"name": "is null", "sns_topic": "is not UTF-8"}
        )
    assert caught.value.fields == {"name": "is null", "sns_topic": "is not UTF-8"}


async def test_create_cronjob__the_limit_counts_those_that_are_not_deleted(
    operations: Tenants, caller: Caller
) -> None:
    made = [await operations.create_cronjob(caller.account_id, SNS) for _ in range(3)]
    with pytest.raises(errors.Forbidden, match="3 cron jobs"):
        await operations.create_cronjob(caller.account_id, SNS)
    await operations.delete_cronjob(caller.account_id, made[0]["cronjob_id"])
    await operations.create_cronjob(caller.account_id, SNS)
    other = await sign_up(operations, "other@example.com")
    await operations.create_cronjob(other.account_id, SNS)


async def test_create_cronjob__the_limit_holds_for_those_at_once(operations: Tenants, caller: Caller) -> None:
    answers = await asyncio.gather(
        *(operations.create_cronjob(caller.account_id, SNS) for _ in range(6)), return_exceptions=True
    )
    assert sum(isinstance(answer, dict) for answer in answers) == 3
    assert sum(isinstance(answer, errors.Forbidden) for answer in answers) == 3


# Idempotency


async def test_create_cronjob__the_same_key_makes_one(operations: Tenants, caller: Caller) -> None:
    first = await operations.create_cronjob(caller.account_id, SNS, idempotency_key="k")
    assert await operations.create_cronjob(caller.account_id, SNS, idempotency_key="k") == first
    assert len((await operations.list_cronjobs(caller.account_id, {})).items) == 1


async def test_create_cronjob__the_same_key_at_once_makes_one(operations: Tenants, caller: Caller) -> None:
    answers = await asyncio.gather(
        *(operations.create_cronjob(caller.account_id, SNS, idempotency_key="k") for _ in range(6))
    )
    assert all(answer == answers[0] for answer in answers)


async def test_create_cronjob__the_same_key_with_other_parameters_is_refused(
    operations: Tenants, caller: Caller
) -> None:
    await operations.create_cronjob(caller.account_id, SNS, idempotency_key="k")
    for changed in ({"name": "Other"}, {"sns_secret_access_key": "x" * 40}, {"catch_up": "latest"}):
        with pytest.raises(errors.InvalidRequest) as caught:
            await operations.create_cronjob(caller.account_id, {**SNS, **changed}, idempotency_key="k")
        assert list(caught.value.fields) == ["Idempotency-Key"]


async def test_create_cronjob__a_key_answers_although_the_account_is_full(
    operations: Tenants, caller: Caller
) -> None:
    first = await operations.create_cronjob(caller.account_id, SNS, idempotency_key="k")
    for _ in range(2):
        await operations.create_cronjob(caller.account_id, SNS)
    assert await operations.create_cronjob(caller.account_id, SNS, idempotency_key="k") == first


async def test_create_cronjob__a_refused_one_leaves_its_key_free(operations: Tenants, caller: Caller) -> None:
    made = [await operations.create_cronjob(caller.account_id, SNS) for _ in range(3)]
    with pytest.raises(errors.Forbidden):
        await operations.create_cronjob(caller.account_id, SNS, idempotency_key="k")
    await operations.delete_cronjob(caller.account_id, made[0]["cronjob_id"])
    await operations.create_cronjob(caller.account_id, {**SNS, "name": "Other"}, idempotency_key="k")


async def test_create_cronjob__a_key_is_the_accounts_own(operations: Tenants, caller: Caller) -> None:
    other = await sign_up(operations, "other@example.com")
    first = await operations.create_cronjob(caller.account_id, SNS, idempotency_key="k")
    second = await operations.create_cronjob(other.account_id, {**SNS, "name": "Other"}, idempotency_key="k")
    assert first["cronjob_id"] != second["cronjob_id"]


async def test_create_cronjob__a_key_is_kept_for_a_day(
    operations: Tenants, caller: Caller, clock: Clock
) -> None:
    first = await operations.create_cronjob(caller.account_id, SNS, idempotency_key="k")
    clock.forward(DAY - SECOND)
    again = await operations.create_cronjob(caller.account_id, SNS, idempotency_key="k")
    assert again["cronjob_id"] == first["cronjob_id"]
    clock.forward(SECOND)
    later = await operations.create_cronjob(caller.account_id, SNS, idempotency_key="k")
    assert later["cronjob_id"] != first["cronjob_id"]
    clock.forward(HOUR)
    assert await operations.create_cronjob(caller.account_id, SNS, idempotency_key="k") == later


async def test_create_cronjob__a_key_of_a_deleted_one_answers_with_that(
    operations: Tenants, caller: Caller
) -> None:
    first = await operations.create_cronjob(caller.account_id, SNS, idempotency_key="k")
    await operations.delete_cronjob(caller.account_id, first["cronjob_id"])
    again = await operations.create_cronjob(caller.account_id, SNS, idempotency_key="k")
    assert again["cronjob_id"] == first["cronjob_id"]
    assert again["deleted"] is True


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "two words", "ä", "a\tb"])
async def test_create_cronjob__a_bad_key_is_named(operations: Tenants, caller: Caller, key: str) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.create_cronjob(caller.account_id, {**SNS, "name": ""}, idempotency_key=key)
    assert caught.value.fields.keys() == {"Idempotency-Key", "name"}


async def test_create_cronjob__a_key_whose_sealing_key_is_gone_is_refused(
    operations: Tenants, caller: Caller, store: Store, targets: dict[str, Target]
) -> None:
    await operations.create_cronjob(caller.account_id, SNS, idempotency_key="k")
    rotated = Tenants(Operations(store, factories.vault("k2", 9), targets))
    with pytest.raises(errors.InvalidRequest, match="Idempotency-Key"):
        await rotated.create_cronjob(caller.account_id, SNS, idempotency_key="k")


# Read


async def test_get_cronjob__what_is_not_there_looks_the_same_whatever_the_reason(
    operations: Tenants, caller: Caller
) -> None:
    other = await sign_up(operations, "other@example.com")
    foreign = (await operations.create_cronjob(other.account_id, SNS))["cronjob_id"]
    deleted = (await operations.create_cronjob(caller.account_id, SNS))["cronjob_id"]
    await operations.delete_cronjob(caller.account_id, deleted)
    messages = set()
    for cronjob_id in (foreign, deleted, "00000000-0000-0000-0000-000000000000", "x", ""):
        for asked in (
            operations.get_cronjob(caller.account_id, cronjob_id),
            operations.delete_cronjob(caller.account_id, cronjob_id),
            operations.update_cronjob(caller.account_id, cronjob_id, {"name": ""}),
            operations.update_cronjob(caller.account_id, cronjob_id, {}),
        ):
            with pytest.raises(errors.NotFound) as caught:
                await asked
            messages.add(caught.value.message)
    assert len(messages) == 1
    assert (await operations.get_cronjob(other.account_id, foreign))["name"] == "Wake up"


async def test_list_cronjobs__oldest_first_without_the_deleted(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    for number in (2, 0, 1):
        await make_cronjob(store, caller.account_id, cronjob_id=f"c{number}", created_at=NOON + number)
    await make_cronjob(store, caller.account_id, state="deleted", next_fire_at=None)
    await make_cronjob(store)
    page = await operations.list_cronjobs(caller.account_id, {})
    assert [name_of(item["cronjob_id"]) for item in page.items] == ["c0", "c1", "c2"]
    assert page.next_cursor is None


async def test_list_cronjobs__pages_meet_and_miss_nothing(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    # Ties in the instant, which the id decides.
    expected = []
    for number in range(7):
        row = await make_cronjob(store, caller.account_id, created_at=NOON + number // 3)
        expected.append(row["cronjob_id"])
    seen: list[str] = []
    parameters = {"limit": "2"}
    while True:
        page = await operations.list_cronjobs(caller.account_id, parameters)
        seen += [item["cronjob_id"] for item in page.items]
        if page.next_cursor is None:
            break
        assert len(page.items) == 2
        parameters = {"limit": "2", "cursor": page.next_cursor}
    assert seen == expected


async def test_list_cronjobs__all_of_them_without_a_limit(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    rows = [
        factories.cronjob_values(caller.account_id, created_at=NOON + number, secret=None)
        for number in range(210)
    ]
    await factories.insert_rows(store, "cronjob", rows)
    page = await operations.list_cronjobs(caller.account_id, {})
    assert [item["cronjob_id"] for item in page.items] == [row["cronjob_id"] for row in rows]
    assert page.next_cursor is None
    page = await operations.list_cronjobs(caller.account_id, {"limit": "100"})
    assert len(page.items) == 100
    page = await operations.list_cronjobs(caller.account_id, {"cursor": page.next_cursor or ""})
    assert len(page.items) == 100


@pytest.mark.parametrize("limit", ["0", "101", "-1", "+1", "1.0", "", " 1", "\u0661", "9" * 5000, "ten"])
async def test_list_cronjobs__a_bad_limit_is_named(operations: Tenants, caller: Caller, limit: str) -> None:
    for listed in (operations.list_cronjobs, operations.list_firings):
        with pytest.raises(errors.InvalidRequest) as caught:
            await listed(caller.account_id, {"limit": limit})
        assert list(caught.value.fields) == ["limit"]


async def test_list_cronjobs__says_all_at_once(operations: Tenants, caller: Caller) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.list_cronjobs(
            caller.account_id, {"limit": "0", "cursor": "!", "page": "2"}, unusable={"x": "is not UTF-8"}
        )
    assert caught.value.fields.keys() == {"limit", "cursor", "page", "x"}


# Update


async def test_update_cronjob__what_is_not_given_stays(
    operations: Tenants, caller: Caller, clock: Clock, store: Store
) -> None:
    before = await operations.create_cronjob(caller.account_id, SNS)
    clock.forward(SECOND)
    after = await operations.update_cronjob(caller.account_id, before["cronjob_id"], {"name": "Tea"})
    assert after == {**before, "name": "Tea", "version": 2, "updated_at": format_iso(clock.now)}
    assert await operations.get_cronjob(caller.account_id, before["cronjob_id"]) == after
    assert opened_secret(await read_cronjob(store, before["cronjob_id"]))["sns_secret_access_key"] == SECRET


async def test_update_cronjob__nothing_given_changes_nothing(operations: Tenants, caller: Caller) -> None:
    before = await operations.create_cronjob(caller.account_id, SNS)
    assert await operations.update_cronjob(caller.account_id, before["cronjob_id"], {}) == before


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (
            {"cron": "30  9 * * MON"},
            {
                "cron": "30 9 * * MON",
                "schedule": "At 09:30, on Monday, UTC",
                "next_fire_at": "2026-11-30T09:30:00Z",
            },
        ),
        (
            {"timezone": "Europe/Berlin"},
            {
                "timezone": "Europe/Berlin",
                "schedule": "At 08:00, every day, Europe/Berlin",
                "next_fire_at": "2026-11-25T07:00:00Z",
            },
        ),
        ({"dst_gap": "shift", "dst_overlap": "last"}, {"dst_gap": "shift", "dst_overlap": "last"}),
        ({"dst_gap": "default"}, {"dst_gap": None}),
        ({"catch_up": "skip"}, {"catch_up": "skip"}),
        ({"misfire_grace": "7d"}, {"misfire_grace": "7d"}),
        ({"sns_message": "tea"}, {"sns_message": "tea"}),
        (
            {"sns_topic": "arn:aws:sns:us-east-1:123456789012:t", "sns_region": "us-east-1"},
            {"sns_topic": "arn:aws:sns:us-east-1:123456789012:t", "sns_region": "us-east-1"},
        ),
    ],
)
async def test_update_cronjob__every_parameter_may_change(
    operations: Tenants, caller: Caller, given: dict[str, str], shown: dict[str, str]
) -> None:
    before = await operations.create_cronjob(caller.account_id, SNS)
    after = await operations.update_cronjob(caller.account_id, before["cronjob_id"], given)
    assert after == {**before, **shown, "version": 2}


async def test_update_cronjob__new_keys_replace_the_sealed_secret(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    cronjob = await operations.create_cronjob(caller.account_id, SNS)
    given = {"sns_access_key_id": "AKIA0000000000000000", "sns_secret_access_key": "new/secret"}
    after = await operations.update_cronjob(caller.account_id, cronjob["cronjob_id"], given)
    assert after["sns_access_key_id"] == "AKIA0000000000000000"
    row = await read_cronjob(store, cronjob["cronjob_id"])
    assert opened_secret(row) == {"sns_secret_access_key": "new/secret"}


async def test_update_cronjob__another_target_takes_the_old_ones_secret_away(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    cronjob = await operations.create_cronjob(caller.account_id, SNS)
    given = {name: HTTP[name] for name in HTTP.keys() - {"name", "cron"}}
    after = await operations.update_cronjob(caller.account_id, cronjob["cronjob_id"], given)
    assert after["delivery_type"] == "http"
    assert "sns_topic" not in after
    assert (await read_cronjob(store, cronjob["cronjob_id"])).secret is None
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.update_cronjob(caller.account_id, cronjob["cronjob_id"], {"delivery_type": "sns"})
    assert "sns_secret_access_key" in caught.value.fields


async def test_update_cronjob__names_all_that_is_wrong_and_changes_nothing(
    operations: Tenants, caller: Caller
) -> None:
    before = await operations.create_cronjob(caller.account_id, SNS)
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.update_cronjob(
            caller.account_id,
            before["cronjob_id"],
            {"name": "", "cron": "*", "sns_region": "mars-1", "colour": "red"},
            unusable={"catch_up": "is null"},
        )
    assert caught.value.fields.keys() == {"name", "cron", "sns_region", "colour", "catch_up"}
    assert await operations.get_cronjob(caller.account_id, before["cronjob_id"]) == before


async def test_update_cronjob__what_fell_due_before_is_in_the_ledger(
    operations: Tenants, caller: Caller, clock: Clock, store: Store
) -> None:
    cronjob = await operations.create_cronjob(caller.account_id, {**SNS, "cron": "* * * * *"})
    firings = store.subscribe(Signal.FIRINGS)
    clock.forward(MINUTE + 30 * SECOND)
    after = await operations.update_cronjob(
        caller.account_id, cronjob["cronjob_id"], {"cron": "*/10 * * * *"}
    )
    assert after["next_fire_at"] == "2026-11-24T12:10:00Z"
    rows = await read_firings(store, cronjob["cronjob_id"])
    assert [(row.scheduled_at, row.state) for row in rows] == [(NOON + MINUTE, "pending")]
    assert firings.is_set()


async def test_update_cronjob__never_fires_twice_for_a_fire_time_in_the_ledger(
    operations: Tenants, caller: Caller, clock: Clock, store: Store
) -> None:
    cronjob = await operations.create_cronjob(caller.account_id, {**SNS, "cron": "* * * * *"})
    row = {"cronjob_id": cronjob["cronjob_id"], "account_id": caller.account_id}
    # The clock jumped back after these were written.
    await make_firing(store, row, scheduled_at=NOON + 5 * MINUTE, state="delivered")
    after = await operations.update_cronjob(caller.account_id, cronjob["cronjob_id"], {"catch_up": "all"})
    assert after["next_fire_at"] == "2026-11-24T12:01:00Z"
    await Scheduler(store).tick(NOON + 5 * MINUTE)
    rows = await read_firings(store, cronjob["cronjob_id"])
    assert [row.state for row in rows if row.scheduled_at == NOON + 5 * MINUTE] == ["delivered"]


async def test_update_cronjob__a_paused_one_stays_paused(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    row = await make_cronjob(store, caller.account_id, target="sns", state="paused", next_fire_at=None)
    after = await operations.update_cronjob(caller.account_id, row["cronjob_id"], {"cron": "0 9 * * *"})
    assert (after["state"], after["next_fire_at"]) == ("paused", None)


async def test_update_cronjob__one_that_was_set_aside_comes_back_with_a_new_expression(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    row = await make_cronjob(
        store,
        caller.account_id,
        target="sns",
        cron="H H * * *",
        state="paused",
        state_reason="cannot be read",
        next_fire_at=None,
    )
    shown = await operations.get_cronjob(caller.account_id, row["cronjob_id"])
    assert shown["state_reason"] == "cannot be read"
    after = await operations.update_cronjob(caller.account_id, row["cronjob_id"], {"cron": "0 13 * * *"})
    assert (after["state"], after["next_fire_at"]) == ("active", "2026-11-24T13:00:00Z")
    assert "state_reason" not in after


async def test_update_cronjob__those_at_once_take_turns(operations: Tenants, caller: Caller) -> None:
    cronjob = await operations.create_cronjob(caller.account_id, SNS)
    answers = await asyncio.gather(
        *(
            operations.update_cronjob(caller.account_id, cronjob["cronjob_id"], {"name": f"Name {number}"})
            for number in range(5)
        )
    )
    assert sorted(answer["version"] for answer in answers) == [2, 3, 4, 5, 6]


# Delete


async def test_delete_cronjob__erases_the_secret_and_keeps_the_rest(
    operations: Tenants, caller: Caller, store: Store, clock: Clock
) -> None:
    before = await operations.create_cronjob(caller.account_id, SNS)
    clock.forward(SECOND)
    after = await operations.delete_cronjob(caller.account_id, before["cronjob_id"])
    assert after == {
        **before,
        "deleted": True,
        "state": "deleted",
        "next_fire_at": None,
        "version": 2,
        "updated_at": format_iso(clock.now),
    }
    assert (await read_cronjob(store, before["cronjob_id"])).secret is None


async def test_delete_cronjob__what_was_owed_is_skipped_with_the_reason(
    operations: Tenants, caller: Caller, store: Store, clock: Clock
) -> None:
    cronjob = await operations.create_cronjob(caller.account_id, {**SNS, "cron": "* * * * *"})
    row = {"cronjob_id": cronjob["cronjob_id"], "account_id": caller.account_id}
    await make_firing(store, row, scheduled_at=NOON, state="pending")
    await make_firing(store, row, scheduled_at=NOON - MINUTE, state="sending", lease_no=1, attempt=1)
    clock.forward(3 * MINUTE)
    await operations.delete_cronjob(caller.account_id, cronjob["cronjob_id"])
    rows = await read_firings(store, cronjob["cronjob_id"])
    assert [(row.scheduled_at, row.state, row.reason, row.count) for row in rows] == [
        (NOON - MINUTE, "sending", None, 1),
        (NOON, "skipped", "deleted", 1),
        (NOON + MINUTE, "skipped", "deleted", 3),
    ]


# Room


def _of_bytes(count: int) -> dict[str, str]:
    return SNS | {"sns_message": "m" * count}


async def test_room__of_an_account_is_bounded_over_all_its_cronjobs(
    store: Store, targets: dict[str, Target]
) -> None:
    operations = Tenants(Operations(store, factories.vault(), targets, max_bytes=10_000))
    caller = await sign_up(operations, "username@example.com")
    small = await operations.create_cronjob(caller.account_id, _of_bytes(4000))
    large = await operations.create_cronjob(caller.account_id, _of_bytes(4000))
    with pytest.raises(errors.Forbidden, match="10,000 bytes"):
        await operations.create_cronjob(caller.account_id, _of_bytes(4000))
    with pytest.raises(errors.Forbidden, match="10,000 bytes"):
        await operations.update_cronjob(caller.account_id, small["cronjob_id"], {"sns_message": "m" * 8000})
    assert len((await operations.list_cronjobs(caller.account_id, {})).items) == 2
    assert (await operations.get_cronjob(caller.account_id, small["cronjob_id"]))["version"] == 1
    await operations.delete_cronjob(caller.account_id, large["cronjob_id"])
    await operations.create_cronjob(caller.account_id, _of_bytes(4000))


async def test_delete_cronjob__drops_a_long_message(
    store: Store, operations: Tenants, caller: Caller
) -> None:
    cronjob = await operations.create_cronjob(caller.account_id, _of_bytes(200_000))
    await operations.delete_cronjob(caller.account_id, cronjob["cronjob_id"])
    kept = json.loads((await read_cronjob(store, cronjob["cronjob_id"])).destination)
    assert kept == {name: SNS[name] for name in ("sns_topic", "sns_region", "sns_access_key_id")}


async def test_delete__of_one_with_a_number_among_its_parameters(operations: Tenants, caller: Caller) -> None:
    made = await operations.create_cronjob(caller.account_id, {**SNS, "sns_max_message_size": "2000"})
    gone = await operations.delete_cronjob(caller.account_id, made["cronjob_id"])
    assert (gone["deleted"], gone["sns_max_message_size"]) == (True, 2000)
