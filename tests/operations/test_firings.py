"""The ledger as a tenant reads it."""

from __future__ import annotations

from uuid import uuid4

import pytest

from cronally import errors
from cronally.firing import Reason, firing_id
from cronally.instants import MINUTE
from cronally.operations import Caller
from cronally.store import Store, early
from tests.operations.conftest import sign_up
from tests.operations.tenant import Tenants
from tests.support.factories import NOON, insert_rows, make_cronjob, make_firing


async def add_attempt(store: Store, firing: dict[str, object], number: int, detail: str = "HTTP 503") -> None:
    row = {
        **{name: firing[name] for name in ("cronjob_id", "scheduled_at", "kind")},
        "lease_no": number,
        "attempt": number,
        "started_at": NOON + number,
        "duration": 12_345,
        "version": 1,
        "outcome": "retry",
        "reason": Reason.TARGET_UNAVAILABLE,
        "detail": detail,
    }
    await insert_rows(store, "attempt", [row])


async def test_list_firings__a_delivered_one_with_its_attempts(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    cronjob = await make_cronjob(store, caller.account_id)
    firing = await make_firing(
        store,
        cronjob,
        state="delivered",
        attempt=2,
        lease_no=2,
        sent_at=NOON + 2_000_000,
        duration=45_000,
        finished_at=NOON + 2_045_678,
        message_id="m-1",
    )
    await add_attempt(store, firing, 1)
    page = await operations.list_firings_of_cronjob(
        caller.account_id, cronjob["cronjob_id"], {"attempts": "true"}
    )
    assert page.next_cursor is None
    assert page.items == [
        {
            "firing_id": firing_id(cronjob["cronjob_id"], NOON),
            "cronjob_name": cronjob["name"],
            "cronjob_id": cronjob["cronjob_id"],
            "scheduled_at": "2026-11-24T12:00:00Z",
            "kind": "scheduled",
            "state": "delivered",
            "reason": None,
            "count": 1,
            "attempt": 2,
            "created_at": "2026-11-24T12:00:00Z",
            "sent_at": "2026-11-24T12:00:02Z",
            "finished_at": "2026-11-24T12:00:02.045678Z",
            "lateness_ms": 2045,
            "message_id": "m-1",
            "attempts": [
                {
                    "attempt": 1,
                    "started_at": "2026-11-24T12:00:00.000001Z",
                    "duration_ms": 12,
                    "outcome": "retry",
                    "reason": "target_unavailable",
                    "detail": "HTTP 503",
                },
                {
                    "attempt": 2,
                    "started_at": "2026-11-24T12:00:02Z",
                    "duration_ms": 45,
                    "outcome": "delivered",
                    "reason": None,
                    "detail": None,
                },
            ],
        }
    ]


async def test_list_firings__a_pending_one_says_when_it_is_due(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    cronjob = await make_cronjob(store, caller.account_id)
    await make_firing(store, cronjob, due_at=NOON + MINUTE)
    (item,) = (await operations.list_firings(caller.account_id, {})).items
    assert (item["state"], item["due_at"]) == ("pending", "2026-11-24T12:01:00Z")
    assert item["lateness_ms"] is None
    assert "attempts" not in item


async def test_list_firings__a_range_says_how_far_it_goes(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    cronjob = await make_cronjob(store, caller.account_id)
    await make_firing(store, cronjob, state="missed", reason="misfire_grace", until_at=NOON + MINUTE, count=2)
    (item,) = (await operations.list_firings(caller.account_id, {})).items
    assert (item["state"], item["reason"]) == ("missed", "misfire_grace")
    assert (item["until_at"], item["count"]) == ("2026-11-24T12:01:00Z", 2)
    assert "due_at" not in item


async def test_list_firings__one_that_was_sent_early_shows_that_attempt_once(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    cronjob = await make_cronjob(store, caller.account_id, next_fire_at=None)
    await make_firing(
        store,
        cronjob,
        scheduled_at=NOON + MINUTE,
        state="delivered",
        attempt=1,
        lease_no=1,
        sent_at=NOON + MINUTE,
        duration=45_000,
        finished_at=NOON + MINUTE,
    )
    await store.transact(lambda connection: early.mark_sent(connection, [cronjob["cronjob_id"]], NOON, NOON))
    page = await operations.list_firings(caller.account_id, {"attempts": "true"})
    (item,) = page.items
    assert (item["state"], item["reason"]) == ("delivered", "clock_ahead")
    assert [(one["outcome"], one["reason"], one["detail"]) for one in item["attempts"]] == [
        ("delivered", "clock_ahead", early.DETAIL)
    ]
    found = await operations.explain_cronjob(
        caller.account_id, cronjob["cronjob_id"], {"at": "2026-11-24T12:01:00Z"}
    )
    assert found["sentence"].startswith("Sent early: the server's clock was ahead")


async def test_list_firings__of_many_attempts_the_last_are_shown(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    cronjob = await make_cronjob(store, caller.account_id)
    for minute in (0, 1):
        firing = await make_firing(
            store, cronjob, scheduled_at=NOON + minute * MINUTE, state="failed", attempt=25, lease_no=25
        )
        for number in range(1, 26):
            await add_attempt(store, firing, number)
    items = (await operations.list_firings(caller.account_id, {"attempts": True})).items
    assert [[attempt["attempt"] for attempt in item["attempts"]] for item in items] == [
        list(range(6, 26)),
        list(range(6, 26)),
    ]


async def test_list_firings__pages_meet_and_miss_nothing(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    cronjobs = [await make_cronjob(store, caller.account_id, cronjob_id=str(uuid4())) for _ in range(3)]
    keys = []
    for cronjob in cronjobs:
        for minute in range(3):
            for kind in ("scheduled", "manual"):
                await make_firing(store, cronjob, scheduled_at=NOON + minute * MINUTE, kind=kind, lease_no=1)
                keys.append((NOON + minute * MINUTE, cronjob["cronjob_id"], kind))
    expected = [firing_id(key[1], key[0], key[2]) for key in sorted(keys, reverse=True)]
    for limit in ("1", "4", "100"):
        seen: list[str] = []
        parameters = {"limit": limit}
        while True:
            page = await operations.list_firings(caller.account_id, parameters)
            seen += [item["firing_id"] for item in page.items]
            if page.next_cursor is None:
                break
            parameters = {"limit": limit, "cursor": page.next_cursor}
        assert seen == expected
    one = cronjobs[1]["cronjob_id"]
    expected = [firing_id(key[1], key[0], key[2]) for key in sorted(keys, reverse=True) if key[1] == one]
    first = await operations.list_firings_of_cronjob(caller.account_id, one, {"limit": "4"})
    # A cursor is good for the same list by either path.
    second = await operations.list_firings(
        caller.account_id, {"cronjob_id": one, "cursor": first.next_cursor or ""}
    )
    assert [item["firing_id"] for item in [*first.items, *second.items]] == expected


async def test_list_firings__rows_that_come_in_meanwhile_move_no_page(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    cronjob = await make_cronjob(store, caller.account_id)
    for minute in range(4):
        await make_firing(store, cronjob, scheduled_at=NOON + minute * MINUTE)
    first = await operations.list_firings(caller.account_id, {"limit": "2"})
    await make_firing(store, cronjob, scheduled_at=NOON + 9 * MINUTE)
    second = await operations.list_firings(
        caller.account_id, {"limit": "2", "cursor": first.next_cursor or ""}
    )
    assert [item["scheduled_at"] for item in second.items] == ["2026-11-24T12:01:00Z", "2026-11-24T12:00:00Z"]
    assert second.next_cursor is None


async def test_list_firings__a_cursor_of_another_list_is_refused(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    one, other = [await make_cronjob(store, caller.account_id) for _ in range(2)]
    for cronjob in (one, other):
        for minute in range(2):
            await make_firing(store, cronjob, scheduled_at=NOON + minute * MINUTE)
    cursors = [
        (await operations.list_firings(caller.account_id, {"limit": "1"})).next_cursor,
        (await operations.list_cronjobs(caller.account_id, {"limit": "1"})).next_cursor,
        (
            await operations.list_firings_of_cronjob(caller.account_id, other["cronjob_id"], {"limit": "1"})
        ).next_cursor,
    ]
    for cursor in cursors:
        with pytest.raises(errors.InvalidRequest) as caught:
            await operations.list_firings_of_cronjob(
                caller.account_id, one["cronjob_id"], {"cursor": cursor or ""}
            )
        assert list(caught.value.fields) == ["cursor"]


async def test_list_firings__shows_nothing_of_another_account(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    other = await sign_up(operations, "other@example.com")
    theirs = await make_cronjob(store, other.account_id, cronjob_id=str(uuid4()))
    firing = await make_firing(store, theirs, lease_no=2)
    await add_attempt(store, firing, 1)
    mine = await make_cronjob(store, caller.account_id)
    assert (await operations.list_firings(caller.account_id, {})).items == []
    theirs_next = await operations.list_firings(other.account_id, {})
    assert len(theirs_next.items) == 1
    for cronjob_id in (theirs["cronjob_id"], str(uuid4())):
        with pytest.raises(errors.NotFound):
            await operations.list_firings(caller.account_id, {"cronjob_id": cronjob_id})
    for cronjob_id in (theirs["cronjob_id"], "x"):
        with pytest.raises(errors.NotFound):
            await operations.list_firings_of_cronjob(caller.account_id, cronjob_id, {})
    page = await operations.list_firings_of_cronjob(caller.account_id, mine["cronjob_id"], {})
    assert page.items == []


async def test_list_firings__those_of_a_deleted_cronjob_stay_readable_by_the_account(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    cronjob_id = "11111111-1111-4111-8111-111111111111"
    cronjob = await make_cronjob(
        store, caller.account_id, cronjob_id=cronjob_id, state="deleted", next_fire_at=None
    )
    await make_firing(store, cronjob, state="skipped", reason="deleted")
    with pytest.raises(errors.NotFound):
        await operations.list_firings_of_cronjob(caller.account_id, cronjob_id, {})
    page = await operations.list_firings(caller.account_id, {"cronjob_id": cronjob_id})
    assert [item["reason"] for item in page.items] == ["deleted"]


@pytest.mark.parametrize("cronjob_id", ["", "x", "11111111-1111-4111-8111-11111111111G", "%", "a" * 10_000])
async def test_list_firings__a_bad_cronjob_id_is_named(
    operations: Tenants, caller: Caller, cronjob_id: str
) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.list_firings(caller.account_id, {"cronjob_id": cronjob_id})
    assert list(caught.value.fields) == ["cronjob_id"]


async def test_list_firings__with_attempts_a_page_is_smaller(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    cronjob = await make_cronjob(store, caller.account_id)
    for minute in range(21):
        await make_firing(store, cronjob, scheduled_at=NOON + minute * MINUTE)
    page = await operations.list_firings(caller.account_id, {"attempts": "true"})
    assert len(page.items) == 20
    assert page.next_cursor is not None
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.list_firings(caller.account_id, {"attempts": "true", "limit": "21"})
    assert caught.value.fields == {"limit": "is out of range; with attempts=true give 20 at most"}
    assert len((await operations.list_firings(caller.account_id, {"limit": "21"})).items) == 21
