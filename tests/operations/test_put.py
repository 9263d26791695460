"""Cron jobs by their names: created, changed to exactly what was sent, or left alone."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from cronally import errors
from cronally.instants import HOUR, SECOND
from cronally.operations import Caller
from cronally.store import Store, tables
from cronally.vault import SealContext
from tests.operations.conftest import sign_up
from tests.operations.parameters import HTTP, SECRET, SNS
from tests.operations.tenant import Tenants
from tests.support import factories
from tests.support.factories import Clock, read_cronjob

pytestmark = pytest.mark.sample

NAME = "Wake up"
BODY = {name: value for name, value in SNS.items() if name != "name"}
WITHOUT_SECRET = {name: value for name, value in BODY.items() if name != "sns_secret_access_key"}
HTTP_BODY = {name: value for name, value in HTTP.items() if name != "name"}
SHOWN = ("outcome", "version", "cronjob_id")


async def opened_secret(store: Store, cronjob_id: str) -> dict[str, str]:
    row = await read_cronjob(store, cronjob_id)
    place = SealContext(row.account_id, "cronjob", "secret", row.cronjob_id)
    secret: dict[str, str] = json.loads(factories.vault().open(row.secret, place))
    return secret


async def test_put__creates_then_leaves_alone_then_changes(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    made = await operations.put_cronjob(caller.account_id, NAME, BODY)
    cronjob_id = made["cronjob_id"]
    assert (made["outcome"], made["version"], made["name"]) == ("created", 1, NAME)
    assert made == await operations.get_cronjob(caller.account_id, cronjob_id) | {"outcome": "created"}
    clock.forward(HOUR)
    row = await read_cronjob(store, cronjob_id)
    for sent in (
        BODY,
        WITHOUT_SECRET,
        BODY | {"cron": "0  8 * * *", "timezone": "UTC", "dst_gap": "default"},
    ):
        same = await operations.put_cronjob(caller.account_id, NAME, sent)
        assert same == made | {"outcome": "unchanged"}
    assert await read_cronjob(store, cronjob_id) == row
    changed = await operations.put_cronjob(caller.account_id, NAME, BODY | {"cron": "30 8 * * *"})
    assert [changed[name] for name in SHOWN] == ["changed", 2, cronjob_id]
    assert changed["next_fire_at"] == "2026-11-25T08:30:00Z"


BEFORE: list[dict[str, Any]] = [
    SNS,
    SNS | {"timezone": "Europe/Berlin", "catch_up": "all", "dst_gap": "skip", "max_age": "1h"},
    SNS | {"sns_max_message_size": "2000", "ordered": "true", "after_completion": "delete"},
    SNS | {"sns_message": "other", "cron": "5 * * * *"},
    SNS | {"tags": "web,env=prod", "window": "10m", "overlap": "skip", "exclude": "2026-12-24"},
    SNS | {"starts_at": "2026-12-01T00:00:00Z", "ends_at": "2027-12-01T00:00:00Z", "max_firings": "10"},
    HTTP,
    HTTP | {"delivery_http_url": "https://1.1.1.1/in?token=abc", "delivery_http_secret_parts": "token"},
]
MADE = {"cronjob_id", "account_id", "created_at", "updated_at", "version", "outcome", "next_fire_at"}


WANTED: list[dict[str, Any]] = [
    BODY,
    BODY | {"timezone": "Asia/Tokyo", "catch_up": "skip"},
    BODY | {"tags": "web", "exclude": "2026-12-24/2026-12-26", "ends_at": "2027-06-01T00:00:00Z"},
    HTTP_BODY,
]


@pytest.mark.parametrize("wanted", WANTED)
@pytest.mark.parametrize("before", BEFORE)
async def test_put__makes_the_same_whatever_was_before(
    before: dict[str, Any], wanted: dict[str, Any], operations: Tenants, store: Store, caller: Caller
) -> None:
    """The oracle: another account's, which had none."""
    other = await sign_up(operations, "other@example.com")
    fresh = await operations.put_cronjob(other.account_id, NAME, wanted)
    was = await operations.create_cronjob(caller.account_id, before)
    answer = await operations.put_cronjob(caller.account_id, NAME, wanted)
    assert answer["cronjob_id"] == was["cronjob_id"]
    assert {name: answer[name] for name in answer.keys() - MADE} == {
        name: fresh[name] for name in fresh.keys() - MADE
    }
    rows = [await read_cronjob(store, one["cronjob_id"]) for one in (answer, fresh)]
    assert rows[0].policies == rows[1].policies
    assert (rows[0].tags, rows[0].next_fire_at) == (rows[1].tags, rows[1].next_fire_at)
    same = await operations.put_cronjob(caller.account_id, NAME, wanted)
    assert same == answer | {"outcome": "unchanged"}
    assert rows[0].destination == rows[1].destination
    if rows[1].secret is None:
        assert rows[0].secret is None
    else:
        secrets = [await opened_secret(store, one["cronjob_id"]) for one in (answer, fresh)]
        assert secrets[0] == secrets[1]
    again = await operations.put_cronjob(caller.account_id, NAME, wanted)
    assert again["outcome"] == "unchanged"


async def test_put__keeps_a_secret_where_it_belongs(
    operations: Tenants, store: Store, caller: Caller
) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.put_cronjob(caller.account_id, NAME, WITHOUT_SECRET)
    assert caught.value.fields.keys() == {"sns_secret_access_key"}
    made = await operations.put_cronjob(caller.account_id, NAME, BODY)
    changed = await operations.put_cronjob(
        caller.account_id, NAME, WITHOUT_SECRET | {"sns_message": "good evening"}
    )
    assert changed["outcome"] == "changed"
    assert (await opened_secret(store, made["cronjob_id"])) == {"sns_secret_access_key": SECRET}
    other_key = {"sns_access_key_id": "AKIAIOSFODNN7OTHERXX"}
    with pytest.raises(errors.InvalidRequest, match="is needed with a new sns_access_key_id"):
        await operations.put_cronjob(caller.account_id, NAME, WITHOUT_SECRET | other_key)
    other_secret = await operations.put_cronjob(
        caller.account_id, NAME, BODY | {"sns_message": "good evening", "sns_secret_access_key": "other"}
    )
    assert (other_secret["outcome"], other_secret["version"]) == ("changed", 3)
    assert (await opened_secret(store, made["cronjob_id"])) == {"sns_secret_access_key": "other"}


async def test_put__of_several_says_which(operations: Tenants, store: Store, caller: Caller) -> None:
    ids = [
        (await operations.create_cronjob(caller.account_id, SNS))["cronjob_id"],
        (await operations.create_cronjob(caller.account_id, SNS))["cronjob_id"],
    ]
    with pytest.raises(errors.Conflict) as caught:
        await operations.put_cronjob(caller.account_id, NAME, BODY)
    assert all(cronjob_id in str(caught.value) for cronjob_id in ids)
    await operations.delete_cronjob(caller.account_id, ids[0])
    answer = await operations.put_cronjob(caller.account_id, NAME, BODY)
    assert (answer["outcome"], answer["cronjob_id"]) == ("unchanged", ids[1])
    await operations.delete_cronjob(caller.account_id, ids[1])
    answer = await operations.put_cronjob(caller.account_id, NAME, BODY)
    assert answer["outcome"] == "created"
    assert answer["cronjob_id"] not in ids


async def test_put__at_once_makes_one(operations: Tenants, caller: Caller) -> None:
    other = await sign_up(operations, "other@example.com")
    callers = [caller] * 6 + [other]
    answers = await asyncio.gather(*[operations.put_cronjob(one.account_id, NAME, BODY) for one in callers])
    mine = answers[:-1]
    assert len({answer["cronjob_id"] for answer in mine}) == 1
    assert sorted(answer["outcome"] for answer in mine) == ["created", *["unchanged"] * 5]
    assert answers[-1]["outcome"] == "created"


@pytest.mark.parametrize("outcome", ["created", "changed"])
async def test_put__leaves_alone_what_is_renamed_meanwhile(
    outcome: str, operations: Tenants, store: Store, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found by its name, and before it is changed has another one: it is looked for anew."""
    first = await operations.create_cronjob(caller.account_id, SNS)
    other = await operations.create_cronjob(caller.account_id, {**SNS, "name": "other"})
    look, left = operations.operations.look, [NAME] if outcome == "changed" else []

    async def rename(caller: Caller, reading: Any) -> list[str]:
        monkeypatch.setattr(operations.operations, "look", look)
        await operations.update_cronjob(caller.account_id, first["cronjob_id"], {"name": "renamed"})
        for name in left:
            await operations.update_cronjob(caller.account_id, other["cronjob_id"], {"name": name})
        return await look(caller, reading)

    monkeypatch.setattr(operations.operations, "look", rename)
    put = await operations.put_cronjob(caller.account_id, NAME, {**BODY, "cron": "1 1 1 1 *"})
    assert (put["name"], put["outcome"]) == (NAME, outcome)
    assert (put["cronjob_id"] == other["cronjob_id"]) == (outcome == "changed")
    stays = await operations.get_cronjob(caller.account_id, first["cronjob_id"])
    assert (stays["name"], stays["cron"]) == ("renamed", first["cron"])


async def test_put__of_one_that_waits_keeps_its_pause_and_its_ledger(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    made = await operations.put_cronjob(caller.account_id, NAME, BODY)
    await operations.pause_cronjob(caller.account_id, made["cronjob_id"], {"note": "deploying"})
    clock.forward(SECOND)
    answer = await operations.put_cronjob(caller.account_id, NAME, BODY | {"cron": "9 * * * *"})
    assert (answer["state"], answer["paused_note"], answer["outcome"]) == ("paused", "deploying", "changed")


async def test_put__of_a_secret_that_cannot_be_opened_seals_it_anew(
    operations: Tenants, store: Store, caller: Caller
) -> None:
    made = await operations.put_cronjob(caller.account_id, NAME, BODY)
    foreign = factories.vault("k9", 9).seal(b"{}", SealContext("a", "b", "c", "d"))
    table = tables.cronjob
    await store.transact(
        lambda connection: connection.execute(table.update().values(secret=foreign)) and None
    )
    answer = await operations.put_cronjob(caller.account_id, NAME, BODY)
    assert answer["outcome"] == "changed"
    assert (await opened_secret(store, made["cronjob_id"])) == {"sns_secret_access_key": SECRET}


@pytest.mark.parametrize("name", ["a/b", "ü 茶 🍵", "..", "x" * 256, "100%"])
async def test_put__takes_any_name(name: str, operations: Tenants, caller: Caller) -> None:
    answer = await operations.put_cronjob(caller.account_id, name, BODY)
    assert (answer["name"], answer["outcome"]) == (name, "created")
    assert (await operations.put_cronjob(caller.account_id, name, BODY))["outcome"] == "unchanged"


@pytest.mark.parametrize(
    ("name", "sent", "named"),
    [
        ("x" * 257, {}, "name"),
        (" ", {}, "name"),
        ("a\nb", {}, "name"),
        (NAME, {"name": NAME}, "name"),
        (NAME, {"cron": "0 8 * *"}, "cron"),
        (NAME, {"cron": ""}, "cron"),
        (NAME, {"cronjob_id": "x"}, "cronjob_id"),
        (NAME, {"sns_topic": "x"}, "sns_topic"),
        (NAME, {"delivery_http_url": "https://example.com"}, "delivery_http_url"),
        (NAME, {"timezone": "x"}, "timezone"),
    ],
)
async def test_put__refuses_what_it_cannot_use_whatever_is_there(
    name: str, sent: dict[str, Any], named: str, operations: Tenants, store: Store, caller: Caller
) -> None:
    for _ in range(2):
        with pytest.raises(errors.InvalidRequest) as caught:
            await operations.put_cronjob(caller.account_id, name, BODY | sent)
        assert named in caught.value.fields
        await operations.put_cronjob(caller.account_id, NAME, BODY)
    missing = {key: value for key, value in BODY.items() if key != "sns_message"}
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.put_cronjob(caller.account_id, NAME, missing)
    assert caught.value.fields.keys() == {"sns_message"}
