"""Lists that are filtered and sorted, against an oracle that filters and sorts all rows in Python."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import Connection, update

from cronally import errors
from cronally.contract.cronjob_requests import CronjobQuery
from cronally.contract.reading import Reading
from cronally.instants import HOUR, format_iso
from cronally.operations import Caller
from cronally.store import Store, selection, tables
from tests.operations.conftest import sign_up
from tests.operations.tenant import Tenants
from tests.support.factories import (
    NOON,
    cronjob_values,
    firing_values,
    insert_rows,
    make_cronjob,
    make_firing,
)

Row = dict[str, Any]

NAMES = (
    "a",
    "A",
    "ab",
    "a b",
    "Ä",
    "ä",
    "é",
    "e\u0301",
    "茶",
    "🍵",
    "\ue000",
    "%",
    "a_",
    '"',
    "\\",
    "z" * 256,
)
TAGS = ("env=prod", "env=dev", "env=prod-2", "en", "web", "web/a", "team=a", "team=A", "web=1", "a:b.c-d_e")
SORTS = ("created", "-created", "name", "-name", "next_fire", "-next_fire", "updated", "-updated")
HTTP = {"delivery_http_url": "https://example.com/", "delivery_http_method": "get"}
POLICIES = {"catch_up": "skip"}


def make_row(account_id: str, chance: random.Random, **given: Any) -> Row:
    """A cron job with few different values of everything, so that there are ties."""
    state = chance.choice(["active"] * 5 + ["paused", "completed", "deleted"])
    keys = dict(chance.choice([tag.partition("=")[::2] for tag in TAGS]) for _ in range(chance.randrange(4)))
    tags = sorted(f"{key}={value}" if value else key for key, value in keys.items())
    is_http = chance.random() < 0.5
    return cronjob_values(
        account_id,
        **{
            "secret": None,
            "name": chance.choice(NAMES),
            "tags": json.dumps([] if state == "deleted" else tags, separators=(",", ":")),
            "state": state,
            "created_at": NOON + chance.randrange(10),
            "updated_at": NOON + chance.randrange(10),
            "next_fire_at": NOON + chance.randrange(8) * HOUR if state == "active" else None,
            "target": "http" if is_http else "sns",
            "destination": json.dumps(HTTP if is_http else {"sns_message": "m"}),
            "policies": json.dumps(chance.choice([{}, POLICIES])),
            **given,
        },
    )


def is_chosen(row: Row, filters: Mapping[str, Any]) -> bool:
    tags = json.loads(row["tags"])

    def has(tag: str) -> bool:
        if tag.endswith("=*"):
            return any(own.startswith(tag[:-1]) for own in tags)
        return tag in tags

    next_fire_at = row["next_fire_at"]
    return all(
        (
            row["state"] != "deleted",
            filters.get("name") in (None, row["name"]),
            row["name"].startswith(filters.get("name_prefix", "")),
            row["cronjob_id"].startswith(filters.get("id_prefix", "")),
            filters.get("state") in (None, row["state"]),
            filters.get("delivery_type") in (None, row["target"]),
            all(has(tag) for tag in filters.get("tag", ())),
            "next_fire_from" not in filters
            or (next_fire_at is not None and next_fire_at >= filters["next_fire_from"]),
            "next_fire_until" not in filters
            or (next_fire_at is not None and next_fire_at < filters["next_fire_until"]),
        )
    )


def in_order(rows: list[Row], sort: str) -> list[str]:
    column = {"created": "created_at", "name": "name", "next_fire": "next_fire_at", "updated": "updated_at"}[
        sort.removeprefix("-")
    ]
    descending = sort.startswith("-")
    there = [row for row in rows if row[column] is not None]
    there.sort(key=lambda row: (row[column], row["cronjob_id"]), reverse=descending)
    rest = sorted(row["cronjob_id"] for row in rows if row[column] is None)
    return [row["cronjob_id"] for row in there] + (rest[::-1] if descending else rest)


def ask(chance: random.Random) -> dict[str, Any]:
    """Filters and an order, with instants as they are stored."""
    starts = chance.randrange(9)
    possible = {
        "name": chance.choice(NAMES),
        "name_prefix": chance.choice(NAMES)[:1],
        "state": chance.choice(["active", "paused", "completed"]),
        "delivery_type": chance.choice(["sns", "http"]),
        "tag": chance.sample([*TAGS, "env=*", "web=*", "team=*", "none=*"], chance.randint(1, 3)),
        "next_fire_from": NOON + starts * HOUR,
        "next_fire_until": NOON + (starts + chance.randint(1, 4)) * HOUR,
        "id_prefix": f"{chance.randrange(16):x}",
    }
    chosen = chance.sample([*possible], chance.choice([0, 1, 1, 1, 2, 3]))
    return {"sort": chance.choice(SORTS), **{name: possible[name] for name in chosen}}


def sent(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {name: format_iso(value) if type(value) is int else value for name, value in asked.items()}


async def listed(operations: Tenants, caller: Caller, asked: Mapping[str, Any]) -> list[str]:
    page = await operations.list_cronjobs(caller.account_id, sent(asked))
    return [item["cronjob_id"] for item in page.items]


async def read_pages(
    operations: Tenants, caller: Caller, asked: Mapping[str, Any], limit: int, between: Any = None
) -> list[str]:
    """The list, page by page.

    :param between: what to await after each page
    """
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await operations.list_cronjobs(
            caller.account_id, {**sent(asked), "limit": str(limit), **cursor}
        )
        assert len(page.items) == limit or page.next_cursor is None
        found += [item["cronjob_id"] for item in page.items]
        if page.next_cursor is None:
            return found
        cursor = {"cursor": page.next_cursor}
        if between is not None:
            await between()


@pytest.fixture
async def rows(store: Store, caller: Caller, operations: Tenants) -> list[Row]:
    """The account's, among those of another."""
    chance = random.Random(7)
    other = await sign_up(operations, "other@example.com")
    made = [
        make_row(
            caller.account_id, chance, cronjob_id=f"{number % 16:x}{number:07x}-0000-4000-8000-000000000000"
        )
        for number in range(150)
    ]
    await insert_rows(store, "cronjob", made + [make_row(other.account_id, chance) for _ in range(50)])
    return made


async def test_list__is_what_the_oracle_says(operations: Tenants, caller: Caller, rows: list[Row]) -> None:
    chance, found = random.Random(11), 0
    for _ in range(40):
        asked = ask(chance)
        expected = in_order([row for row in rows if is_chosen(row, asked)], asked["sort"])
        assert await listed(operations, caller, asked) == expected, asked
        limit = chance.choice([1, 2, 7, 100]) if len(expected) < 20 else chance.choice([7, 30, 100])
        assert await read_pages(operations, caller, asked, limit) == expected, (asked, limit)
        found += len(expected)
    assert found > 500


async def test_list__filters_by_policies_beside_the_others(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    chosen = selection.Chosen(tags=("web",), policies={"catch_up": ("skip", "latest")})
    expected = []
    for tags, policies in (('["web"]', POLICIES), ('["web"]', {}), ("[]", POLICIES)):
        row = await make_cronjob(store, caller.account_id, tags=tags, policies=json.dumps(policies))
        expected.append(row["cronjob_id"])
    keys = await store.transact(
        lambda connection: selection.list_keys(connection, caller.account_id, None, 10, chosen)
    )
    assert [key.cronjob_id for key in keys] == expected[:1]


@pytest.mark.sample
@pytest.mark.parametrize("sort", SORTS)
async def test_pages__join_while_others_come_and_go(
    operations: Tenants, caller: Caller, store: Store, rows: list[Row], sort: str
) -> None:
    chance = random.Random(sort)
    asked = {"sort": sort, "tag": ["env=*"]}
    stays = [row for row in rows if is_chosen(row, asked)]
    expected = in_order(stays, sort)
    going = [make_row(caller.account_id, chance, state="active", tags='["env=x"]') for _ in range(12)]
    await insert_rows(store, "cronjob", going)

    async def between() -> None:
        come = make_row(caller.account_id, chance, state="active", tags='["env=x"]')
        await insert_rows(store, "cronjob", [come])
        gone = going.pop()["cronjob_id"] if going else come["cronjob_id"]
        table = tables.cronjob

        def delete(connection: Connection) -> None:
            change = update(table).where(table.c.cronjob_id == gone)
            connection.execute(change.values(state="deleted", next_fire_at=None, purge_at=NOON))

        await store.transact(delete)

    found = await read_pages(operations, caller, asked, 5, between)
    ids = set(expected)
    assert [cronjob_id for cronjob_id in found if cronjob_id in ids] == expected
    assert len(set(found)) == len(found)


@pytest.mark.sample
@pytest.mark.parametrize("sort", ["created", "name", "-next_fire"])
async def test_list__of_all_reads_keys_in_parts(
    operations: Tenants, caller: Caller, rows: list[Row], sort: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cronally.operations.lists.MAX_KEYS", 40)
    monkeypatch.setattr("cronally.operations.lists.PAGE_BYTES", 900)
    expected = in_order([row for row in rows if is_chosen(row, {})], sort)
    assert await listed(operations, caller, {"sort": sort}) == expected


@pytest.mark.sample
async def test_list__of_all_has_small_pages_though_cron_jobs_grow_meanwhile(
    operations: Tenants, caller: Caller, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [await make_cronjob(store, caller.account_id, created_at=NOON + at) for at in range(6)]
    size = made[0]["size"]
    monkeypatch.setattr("cronally.operations.lists.PAGE_BYTES", 2 * size)
    page = await operations.operations.list_cronjobs(caller, Reading(CronjobQuery, {}))
    assert (len(page.items), page.rest is not None) == (2, True)
    table = tables.cronjob

    def grow(connection: Connection) -> None:
        later = update(table).where(table.c.created_at.in_([NOON + 2, NOON + 3]))
        connection.execute(later.values(size=2 * size))

    await store.transact(grow)
    assert page.rest is not None
    assert [len(part) async for part in page.rest] == [1, 1, 2]


# Health


@pytest.fixture
async def healths(store: Store, caller: Caller) -> dict[str, str]:
    """Of each of the account's cron jobs its health, by what was written of its firings."""
    chance, now = random.Random(13), await store.clock()
    rows, firings, ill, healths = [], [], [], {}
    for _ in range(60):
        row = make_row(caller.account_id, chance, state="active")
        rows.append(row)
        cronjob_id = row["cronjob_id"]
        # The oldest first. What has ended behind 100 that are open is not seen, unless it is the oldest.
        ended = chance.choice(
            [[], [True], [False], [True, False], [False, True], [False, True] + [False] * 100]
        )
        ended = chance.choice([ended, [*ended, *[False] * 99], [True] + [False] * 150])
        times = [now - (len(ended) - number) * HOUR for number in range(len(ended))]
        firings += [
            firing_values(row, scheduled_at=at, state="skipped" if over else "pending")
            for at, over in zip(times, ended, strict=True)
        ]
        ahead = chance.random() < 0.3
        if ahead:
            firings.append(firing_values(row, scheduled_at=now + HOUR, state="skipped"))
        health = "ok" if ended[:1] == [True] or any(ended[-100:]) else "new"
        if chance.random() < 0.3:
            health = chance.choice(["failing", "late"])
            ill.append({"cronjob_id": cronjob_id, "health": health, "since": NOON, "in_a_row": 1})
        healths[cronjob_id] = health
    await insert_rows(store, "cronjob", rows)
    await insert_rows(store, "firing", firings)
    await insert_rows(store, "standing", ill)
    return healths


async def test_health__is_what_the_list_shows_of_each(
    operations: Tenants, caller: Caller, healths: dict[str, str]
) -> None:
    page = await operations.list_cronjobs(caller.account_id, {}, standing=True)
    assert {item["cronjob_id"]: item["health"] for item in page.items} == healths
    ids = [item["cronjob_id"] for item in page.items]
    assert {*healths.values()} == {"ok", "failing", "late", "new"}
    for health in ("ok", "failing", "late", "new"):
        expected = [cronjob_id for cronjob_id in ids if healths[cronjob_id] == health]
        assert await listed(operations, caller, {"health": health}) == expected
        assert await read_pages(operations, caller, {"health": health, "sort": "created"}, 3) == expected
        asked = {"health": health, "tag": ["env=*"], "sort": "-name"}
        of_these = await listed(operations, caller, {"tag": ["env=*"], "sort": "-name"})
        assert await listed(operations, caller, asked) == [each for each in of_these if each in expected]


# Cursors


async def cursor_of(operations: Tenants, caller: Caller, asked: Mapping[str, Any]) -> str:
    page = await operations.list_cronjobs(caller.account_id, {**asked, "limit": "1"})
    assert page.next_cursor is not None
    return page.next_cursor


async def test_cursor__of_another_order_or_filter_is_refused(
    operations: Tenants, caller: Caller, rows: list[Row]
) -> None:
    lists: list[dict[str, Any]] = [
        {},
        {"sort": "-created"},
        {"sort": "name"},
        {"tag": ["web"]},
        {"tag": ["env=*"]},
        {"state": "active"},
        {"state": "active", "sort": "next_fire"},
    ]
    cursors = [await cursor_of(operations, caller, asked) for asked in lists]
    for place, asked in enumerate(lists):
        for other, cursor in enumerate(cursors):
            request = operations.list_cronjobs(caller.account_id, {**asked, "limit": "1", "cursor": cursor})
            if place == other:
                assert (await request).items
                continue
            with pytest.raises(errors.InvalidRequest) as caught:
                await request
            assert caught.value.fields["cursor"].startswith("belongs to the same list with other filters")


async def test_cursor__the_same_filters_written_otherwise(
    operations: Tenants, caller: Caller, rows: list[Row]
) -> None:
    cursor = await cursor_of(operations, caller, {"tag": ["web", "env=*"], "sort": "created"})
    page = await operations.list_cronjobs(
        caller.account_id, {"tag": "env=*, web", "limit": "1", "cursor": cursor}
    )
    assert len(page.items) == 1


async def test_filters__what_cannot_be_meant_is_said(operations: Tenants, caller: Caller) -> None:
    at = format_iso(NOON)
    wrong: dict[str, dict[str, Any]] = {
        "next_fire_until": {"next_fire_from": at, "next_fire_until": at},
        "sort": {"sort": "size"},
        "tag": {"tag": "env=prod*"},
        "delivery_type": {"delivery_type": "smtp"},
        "health": {"health": "ill"},
        "name_prefix": {"name_prefix": "x" * 257},
        "fields": {"fields": "name,secret"},
        "next_fire_at": {"next_fire_at": at},
    }
    for name, asked in wrong.items():
        with pytest.raises(errors.InvalidRequest) as caught:
            await operations.list_cronjobs(caller.account_id, asked)
        assert [*caught.value.fields] == [name]


# Fields


async def test_fields__are_all_that_is_there(operations: Tenants, caller: Caller, rows: list[Row]) -> None:
    whole = (await operations.list_cronjobs(caller.account_id, {})).items
    for fields in (["name"], ["schedule", "next_fire_at", "cronjob_id"], ["warnings", "tags"], [*whole[0]]):
        part = (await operations.list_cronjobs(caller.account_id, {"fields": ",".join(fields)})).items
        keys = {*fields, "cronjob_id"}
        assert part == [{name: value for name, value in item.items() if name in keys} for item in whole]


async def test_fields__of_standings_and_counts(
    operations: Tenants, caller: Caller, healths: dict[str, str]
) -> None:
    account_id = caller.account_id
    whole = (await operations.list_cronjobs(account_id, {"counts": "true"}, standing=True)).items
    for fields in (["health"], ["last_firing", "in_a_row"], ["counts_7d", "name"]):
        asked = {"fields": fields, "counts": "true", "sort": "created"}
        part = (await operations.list_cronjobs(account_id, asked, standing=True)).items
        keys = {*fields, "cronjob_id"}
        assert part == [{name: value for name, value in item.items() if name in keys} for item in whole]
    part = (await operations.list_cronjobs(account_id, {"fields": "counts_7d"}, standing=True)).items
    assert all([*item] == ["cronjob_id"] for item in part)


async def test_fields__that_are_not_asked_for_are_not_read(
    operations: Tenants, caller: Caller, healths: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for read in ("lists.read_standings", "lists.read_counts", "shown.calendars.read_dates"):
        monkeypatch.setattr(f"cronally.operations.{read}", None)
    page = await operations.list_cronjobs(caller.account_id, {"fields": "name,state", "counts": "true"})
    assert len(page.items) == len(healths)
    with pytest.raises(TypeError):
        await operations.list_cronjobs(caller.account_id, {"fields": "health"})


async def test_fields__of_firings(operations: Tenants, caller: Caller, store: Store) -> None:
    row = await make_cronjob(store, caller.account_id)
    await make_firing(store, row)
    (whole,) = (await operations.list_firings(caller.account_id, {})).items
    for fields in (["state"], ["cronjob_name", "scheduled_at"], ["due_at", "until_at"]):
        keys = {*fields, "firing_id"}
        expected = [{name: value for name, value in whole.items() if name in keys}]
        asked = {"fields": fields}
        assert (await operations.list_firings(caller.account_id, asked)).items == expected
        of_one = await operations.list_firings_of_cronjob(caller.account_id, row["cronjob_id"], asked)
        assert of_one.items == expected
    with pytest.raises(errors.InvalidRequest, match="there are firing_id, cronjob_id"):
        await operations.list_firings(caller.account_id, {"fields": ["state", "size"]})
