"""Connections: what they hold, how they change, who may see them, on both databases."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, select

from cronally import errors
from cronally.contract.connection_requests import NewConnection
from cronally.contract.reading import Reading
from cronally.instants import DAY, HOUR, SECOND, format_iso
from cronally.operations import Caller, Operations
from cronally.operations.connection_rules import NOTHING, check_contents
from cronally.operations.using import place_of
from cronally.server import keys
from cronally.store import Store, connections, tables
from cronally.store.connections import USE_NOTED, StoredConnection
from cronally.targets.target import Target
from cronally.vault import Purpose, SealingKey, Vault, open_secret
from tests.operations.conftest import sign_up
from tests.operations.parameters import AWS, SECRET, WEB
from tests.operations.tenant import Tenants
from tests.support.factories import CANARY, NOON, Clock, explain, make_account, make_cronjob, read, vault

OTHER_KEY = "AKIAIOSFODNN7ANOTHER"
SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SIGNED = {"signing_secret": SIGNING, "signature_format": "message-signatures"}


@pytest.fixture
def me(caller: Caller) -> str:
    return caller.account_id


async def opened(store: Store, name: str = "billing", previous: bool = False) -> dict[str, str]:
    """What is sealed of a connection, or of its former secrets."""
    (row,) = await read(store, select(tables.connection).where(tables.connection.c.name == name))
    sealed, table = row.secret, "connection"
    if previous:
        former = tables.connection_previous
        found = await read(store, select(former.c.secret).where(former.c.connection_id == row.connection_id))
        if not found:
            return {}
        sealed, table = found[0].secret, "connection_previous"
    if sealed is None:
        return {}
    stored = StoredConnection(**{name: getattr(row, name) for name in StoredConnection.__dataclass_fields__})
    held: dict[str, str] = json.loads(open_secret(vault(), sealed, place_of(stored, table), Purpose.SEND))
    return held


async def use(store: Store, me: str, connection_id: str, name: str = "Reports") -> dict[str, Any]:
    return await make_cronjob(store, me, name=name, connection_id=connection_id)


async def test_aws__holds_keys_and_shows_no_secret(operations: Tenants, me: str, store: Store) -> None:
    made = await operations.create_connection(me, {**AWS, "aws_region": "eu-west-1"})
    assert CANARY not in json.dumps(made)
    assert {name: made[name] for name in ("name", "kind", "aws_access_key_id", "aws_region", "version")} == {
        "name": "billing",
        "kind": "aws",
        "aws_access_key_id": "AKIAIOSFODNN7EXAMPLE",
        "aws_region": "eu-west-1",
        "version": 1,
    }
    assert (made["used_by"], made["last_used_at"], made["has_session_token"]) == (0, None, False)
    assert await opened(store) == {"aws_secret_access_key": SECRET}
    assert await operations.get_connection(me, made["connection_id"]) == made
    assert await operations.get_connection(me, "billing") == made
    assert (await operations.list_connections(me)).items == [made]


@pytest.mark.parametrize(
    ("sent", "shown", "authorization"),
    [
        ({"token": "abc"}, {"authentication": "bearer"}, "Bearer abc"),
        (
            {"username": "Aladdin", "password": "open sesame"},
            {"authentication": "basic", "username": "Aladdin"},
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",  # RFC 7617, 2
        ),
        ({}, {"authentication": "none"}, None),
    ],
)
async def test_http__authenticates_by_what_is_sent(
    operations: Tenants, me: str, store: Store, sent: Any, shown: Any, authorization: str | None
) -> None:
    new = {name: value for name, value in WEB.items() if name != "token"}
    made = await operations.create_connection(
        me, {**new, **sent, "headers": {"X-Key": "abc"}, "signing_secret": SIGNING}
    )
    expected = {"base_url": WEB["base_url"], "header_names": ("X-Key",), "signs": True, **shown}
    assert {name: made[name] for name in expected} == expected
    held = await opened(store, "hooks")
    assert held.get("authorization") == authorization
    assert json.loads(held["headers"]) == {"X-Key": "abc"}
    assert held["signing_secret"] == SIGNING


async def test_http__has_a_timeout_if_it_says(operations: Tenants, me: str) -> None:
    made = await operations.create_connection(me, {**WEB, "timeout": "5s"})
    assert made["timeout"] == "5s"
    assert (await operations.update_connection(me, "hooks", {"name": "other"}))["timeout"] == "5s"
    for wrong in ("0s", "11s", "16m", "soon", ""):
        with pytest.raises(errors.InvalidRequest) as caught:
            await operations.update_connection(me, "other", {"timeout": wrong})
        assert caught.value.fields.keys() == {"timeout"}
    assert (await operations.update_connection(me, "other", {"timeout": "10s"}))["timeout"] == "10s"
    assert "timeout" not in await operations.update_connection(me, "other", {"timeout": "default"})


@pytest.mark.parametrize("kind", [AWS, WEB], ids=["aws", "http"])
async def test_limits__of_both_kinds(
    operations: Tenants, me: str, store: Store, kind: dict[str, Any]
) -> None:
    names = ("max_in_flight", "max_per_second")

    def shown(made: dict[str, Any]) -> list[Any]:
        return [made[name] for name in names]

    name = kind["name"]
    assert shown(await operations.create_connection(me, kind)) == [None, None]
    held = await opened(store, name)
    assert shown(await operations.update_connection(me, name, {"max_in_flight": "2"})) == [2, None]
    assert shown(await operations.update_connection(me, name, {"max_per_second": "1000"})) == [2, 1000]
    assert shown(await operations.update_connection(me, name, {"name": "other"})) == [2, 1000]
    assert shown(await operations.update_connection(me, "other", {"max_in_flight": "default"})) == [
        None,
        1000,
    ]
    assert shown(await operations.get_connection(me, "other")) == [None, 1000]
    assert await opened(store, "other") == held, "what is sealed stays"
    for wrong in ("0", "1001", "-1", "two", "1.5", ""):
        with pytest.raises(errors.InvalidRequest) as caught:
            await operations.update_connection(me, "other", dict.fromkeys(names, wrong))
        assert caught.value.fields.keys() == set(names)
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.update_connection(me, "other", {"max_in_flight": "3", "overlap": "1h"})
    assert caught.value.fields.keys() == {"overlap"}
    again = {**kind, "name": "third", "max_in_flight": "1", "max_per_second": "7"}
    assert shown(await operations.create_connection(me, again)) == [1, 7]


WRONG: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    (AWS, {"name": "default"}, "name", "is no name of a connection"),
    (AWS, {"name": "00000000-0000-4000-8000-000000000000"}, "name", "is no name of a connection"),
    (AWS, {"name": "-x"}, "name", "is no name of a connection"),
    (AWS, {"kind": "ftp"}, "kind", "is none of aws, http"),
    (AWS, {"aws_access_key_id": "ASIAIOSFODNN7EXAMPLE"}, "aws_access_key_id", "temporary credentials"),
    (AWS, {"aws_access_key_id": SECRET}, "aws_access_key_id", "is it the secret"),
    (AWS, {"aws_secret_access_key": "AKIAIOSFODNN7EXAMPLE"}, "aws_secret_access_key", "is an access key id"),
    (AWS, {"aws_secret_access_key": None}, "aws_secret_access_key", "is null"),
    (AWS, {"aws_session_token": "a b"}, "aws_session_token", "is no token"),
    (AWS, {"aws_region": "eu-west"}, "aws_region", "is not a region"),
    (AWS, {"base_url": "https://example.com"}, "base_url", "belongs to the kind http"),
    (AWS, {"timeout": "5s"}, "timeout", "belongs to the kind http"),
    (WEB, {"aws_region": "eu-west-1"}, "aws_region", "belongs to the kind aws"),
    (WEB, {"base_url": "https://a:b@1.1.1.1/"}, "base_url", "has a user"),
    (WEB, {"base_url": "https://1.1.1.1/?x=1"}, "base_url", "has a query"),
    (WEB, {"base_url": "https://1.1.1.1/a/../b"}, "base_url", "segments of dots"),
    (WEB, {"base_url": "https://1.1.1.1/key/s3cr3t"}, "base_url", "looks like a secret"),
    (WEB, {"base_url": "http://169.254.169.254/"}, "base_url", "not public"),
    (WEB, {"base_url": "ftp://1.1.1.1/"}, "base_url", "is no URL"),
    (WEB, {"username": "x"}, "token", "goes with authentication=bearer"),
    (WEB, {"username": "x", "authentication": "bearer"}, "username", "goes with authentication=basic"),
    (WEB, {"authentication": "none"}, "token", "authentication=bearer, and this is none; leave it out"),
    (WEB, {"token": "a\nb"}, "token", "is no token"),
    (WEB, {"headers": {"Host": "evil"}}, "headers", "Cronally sets itself"),
    (WEB, {"headers": {"Webhook-Id": "x"}}, "headers", "Cronally sets itself"),
    (WEB, {"headers": {"X": "a\r\nY: b"}}, "headers", "line ends"),
    (WEB, {"headers": {"X Y": "a"}}, "headers", "no header can have"),
    (WEB, {"headers": {"X": "a", "x": "b"}}, "headers", "more than once"),
    (WEB, {"headers": {"X": "a" * 9000}}, "headers", "8,192 at most"),
    (WEB, {"headers": {f"X{n}": "a" for n in range(31)}}, "headers", "30 at most"),
    (WEB, {"headers": {"Authorization": "x"}}, "headers", "twice"),
    (WEB, {"signing_secret": "short"}, "signing_secret", "is no signing secret"),
    (WEB, {"signing_secret": "0123456789abcdef"}, "signing_secret", "begins with whsec_ or whsk_"),
    (WEB, {"signing_secret": "whsec_0123456789abcdef"}, "signing_secret", "with 12 bytes"),
    (WEB, {"signing_secret": f"{SIGNING},{SIGNING}"}, "signing_secret", "no base64"),
    (WEB, {"signature_format": "both"}, "signature_format", "goes with a signing_secret, and there is none"),
    (WEB, {"signing_secret": SIGNING, "signature_format": "jwt"}, "signature_format", "is none of standard"),
    (WEB, {**SIGNED, "headers": {"Signature": "x"}}, "headers", "sends itself; leave it out"),
    (AWS, {"signature_format": "both"}, "signature_format", "belongs to the kind http"),
]


@pytest.mark.parametrize(("good", "sent", "parameter", "complaint"), WRONG)
async def test_contents__complain_where_they_are_wrong_and_repeat_nothing(
    targets: dict[str, Target], good: Any, sent: Any, parameter: str, complaint: str
) -> None:
    reading = Reading(NewConnection, {**good, **sent})
    check_contents(reading, good["kind"], NOTHING, targets, NOON)
    assert complaint in reading.complaints[parameter]
    with pytest.raises(errors.InvalidRequest) as caught:
        reading.raise_complaints()
    assert CANARY not in str(caught.value)


async def test_create__of_what_is_wrong_makes_nothing(operations: Tenants, me: str) -> None:
    with pytest.raises(errors.InvalidRequest, match="colour"):
        await operations.create_connection(me, {**AWS, "colour": "red"})
    with pytest.raises(errors.InvalidRequest, match="not public"):
        await operations.create_connection(me, {**WEB, "base_url": "http://localhost/"})
    assert not (await operations.list_connections(me)).items


async def test_create__what_is_missing_is_said_of_each_kind(operations: Tenants, me: str) -> None:
    for kind, missing in (("aws", {"aws_access_key_id", "aws_secret_access_key"}), ("http", {"base_url"})):
        with pytest.raises(errors.InvalidRequest) as caught:
            await operations.create_connection(me, {"name": "x", "kind": kind})
        assert set(caught.value.fields) == missing
    basic = {"name": "x", "kind": "http", "base_url": "https://1.1.1.1", "authentication": "basic"}
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.create_connection(me, basic)
    assert set(caught.value.fields) == {"username", "password"}


async def test_create__names_are_the_accounts_own_and_each_once(operations: Tenants, me: str) -> None:
    made = await operations.create_connection(me, AWS)
    with pytest.raises(errors.InvalidRequest, match="another connection"):
        await operations.create_connection(me, AWS)
    other = (await sign_up(operations, "other@example.com")).account_id
    theirs = await operations.create_connection(other, AWS)
    assert theirs["connection_id"] != made["connection_id"]
    await operations.create_connection(me, WEB)
    with pytest.raises(errors.InvalidRequest, match="another connection"):
        await operations.update_connection(me, "hooks", {"name": "billing"})


async def test_create__a_key_makes_one(operations: Tenants, me: str) -> None:
    made = await operations.create_connection(me, AWS, idempotency_key="once")
    assert await operations.create_connection(me, AWS, idempotency_key="once") == made
    with pytest.raises(errors.InvalidRequest, match="other parameters"):
        await operations.create_connection(me, {**AWS, "name": "b"}, idempotency_key="once")
    await operations.delete_connection(me, "billing")
    with pytest.raises(errors.InvalidRequest, match="other parameters"):
        await operations.create_connection(me, AWS, idempotency_key="once")


async def test_create__as_many_as_the_operator_allows(
    store: Store, targets: dict[str, Target], operations: Tenants, me: str
) -> None:
    bounded = Tenants(Operations(store, vault(), targets, max_connections=2))
    for name in ("a", "b"):
        await bounded.create_connection(me, {**AWS, "name": name})
    with pytest.raises(errors.Forbidden, match="2 connections"):
        await bounded.create_connection(me, {**AWS, "name": "c"})
    both = [bounded.create_connection(me, {**AWS, "name": "d"}) for _ in range(2)]
    await bounded.delete_connection(me, "a")
    outcomes = await asyncio.gather(*both, return_exceptions=True)
    assert sorted(type(one).__name__ for one in outcomes) == ["Forbidden", "dict"]
    full = Tenants(Operations(store, vault(), targets, max_bytes=1024))
    with pytest.raises(errors.Forbidden, match="bytes"):
        await full.create_connection(me, {**WEB, "headers": {"X": "a" * 2000}})


async def test_list__pages_by_name(operations: Tenants, me: str) -> None:
    for name in ("c", "A", "b"):
        await operations.create_connection(me, {**AWS, "name": name})
    first = await operations.list_connections(me, {"limit": 2})
    assert [one["name"] for one in first.items] == ["A", "b"]
    assert first.next_cursor is not None
    second = await operations.list_connections(me, {"cursor": first.next_cursor})
    assert ([one["name"] for one in second.items], second.next_cursor) == (["c"], None)
    with pytest.raises(errors.InvalidRequest, match="cursor"):
        await operations.list_connections(me, {"cursor": "x"})


async def test_change__what_is_not_sent_stays(
    operations: Tenants, me: str, store: Store, clock: Clock
) -> None:
    made = await operations.create_connection(me, {**WEB, "headers": {"X": "a"}})
    assert await operations.update_connection(me, "hooks", {}) == made
    clock.forward(SECOND)
    secret = SIGNING
    changed = await operations.update_connection(me, "hooks", {"name": "new", "signing_secret": secret})
    assert (changed["name"], changed["version"], changed["signs"]) == ("new", 2, True)
    assert changed["updated_at"] == format_iso(clock.now)
    assert changed["connection_id"] == made["connection_id"]
    held = await opened(store, "new")
    assert (held["authorization"], json.loads(held["headers"])) == (f"Bearer {WEB['token']}", {"X": "a"})
    await operations.update_connection(me, "new", {"headers": {}, "signing_secret": "default"})
    assert await opened(store, "new") == {"authorization": f"Bearer {WEB['token']}"}
    bare = await operations.update_connection(me, "new", {"authentication": "none"})
    assert (bare["authentication"], bare["header_names"], bare["signs"]) == ("none", (), False)
    assert await opened(store, "new") == {}


@pytest.mark.parametrize(
    ("good", "sent", "needed"),
    [
        (AWS, {"aws_access_key_id": OTHER_KEY}, {"aws_secret_access_key"}),
        ({**WEB, "headers": {"X": "a"}}, {"base_url": "https://1.0.0.1/"}, {"token", "headers"}),
        (
            {**WEB, "token": None, "username": "a", "password": "b"},
            {"base_url": "https://1.0.0.1/"},
            {"password"},
        ),
        ({**WEB, "token": None, "username": "a", "password": "b"}, {"username": "c"}, {"password"}),
        (WEB, {"authentication": "basic"}, {"username", "password"}),
    ],
)
async def test_change__of_where_a_secret_goes_needs_the_secret(
    operations: Tenants, me: str, store: Store, good: Any, sent: Any, needed: set[str]
) -> None:
    await operations.create_connection(me, {name: value for name, value in good.items() if value is not None})
    before = await opened(store, good["name"])
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.update_connection(me, good["name"], sent)
    assert set(caught.value.fields) == needed
    assert await opened(store, good["name"]) == before


async def test_change__new_keys_drop_the_token_of_the_former_ones(
    operations: Tenants, me: str, store: Store
) -> None:
    temporary = {**AWS, "aws_access_key_id": "ASIAIOSFODNN7EXAMPLE", "aws_session_token": "t0ken"}
    made = await operations.create_connection(me, temporary)
    assert made["has_session_token"]
    with pytest.raises(errors.InvalidRequest, match="temporary"):
        await operations.update_connection(me, "billing", {"aws_secret_access_key": "other"})
    keys = {"aws_access_key_id": OTHER_KEY, "aws_secret_access_key": "other"}
    assert not (await operations.update_connection(me, "billing", keys))["has_session_token"]
    assert await opened(store) == {"aws_secret_access_key": "other"}


async def test_overlap__former_secrets_go_on_for_as_long_as_is_said(
    operations: Tenants, me: str, store: Store, clock: Clock
) -> None:
    await operations.create_connection(me, AWS)
    keys = {"aws_access_key_id": OTHER_KEY, "aws_secret_access_key": "other"}
    changed = await operations.update_connection(me, "billing", {**keys, "overlap": "24h"})
    assert changed["previous_until"] == format_iso(NOON + DAY)
    former = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": SECRET}
    assert await opened(store, previous=True) == former
    # What replaces no secret leaves them alone.
    renamed = await operations.update_connection(me, "billing", {"aws_region": "eu-west-1"})
    assert renamed["previous_until"] == changed["previous_until"]
    assert "previous_until" in (await operations.list_connections(me)).items[0]
    clock.forward(DAY)
    assert "previous_until" not in await operations.get_connection(me, "billing")
    assert await store.transact(lambda connection: connections.erase_ended(connection, clock.now)) == 1
    assert await opened(store, previous=True) == {}


@pytest.mark.parametrize("ends", [{"overlap": "0s"}, {"aws_secret_access_key": "third"}])
async def test_overlap__is_ended_by_hand_and_by_the_next_secret(
    operations: Tenants, me: str, store: Store, ends: Any
) -> None:
    await operations.create_connection(me, AWS)
    await operations.update_connection(me, "billing", {"aws_secret_access_key": "other", "overlap": "1h"})
    assert await opened(store, previous=True)
    assert "previous_until" not in await operations.update_connection(me, "billing", ends)
    assert await opened(store, previous=True) == {}


@pytest.mark.parametrize("sent", [{"overlap": "1h"}, {"aws_secret_access_key": SECRET, "overlap": "1h"}])
async def test_overlap__without_a_new_secret_is_refused(operations: Tenants, me: str, sent: Any) -> None:
    await operations.create_connection(me, AWS)
    with pytest.raises(errors.InvalidRequest, match="none is sent"):
        await operations.update_connection(me, "billing", sent)
    with pytest.raises(errors.InvalidRequest, match="out of range"):
        await operations.update_connection(me, "billing", {**sent, "overlap": "8d"})


async def test_overlap__ends_where_the_secrets_go_elsewhere(
    operations: Tenants, me: str, store: Store
) -> None:
    await operations.create_connection(me, WEB)
    await operations.update_connection(me, "hooks", {"token": "new", "overlap": "24h"})
    moved = {"base_url": "https://1.0.0.1/", "token": "new"}
    with pytest.raises(errors.InvalidRequest, match="were given for the one before"):
        await operations.update_connection(me, "hooks", {**moved, "token": "newer", "overlap": "24h"})
    assert "Bearer" in (await opened(store, "hooks", previous=True))["authorization"]
    # The secret itself is not replaced: what goes is the one before.
    assert "previous_until" not in await operations.update_connection(me, "hooks", moved)
    assert await opened(store, "hooks", previous=True) == {}


async def test_delete__erases_everything(operations: Tenants, me: str, store: Store) -> None:
    made = await operations.create_connection(me, AWS)
    await operations.update_connection(me, "billing", {"aws_secret_access_key": "other", "overlap": "1h"})
    deleted = await operations.delete_connection(me, made["connection_id"])
    assert deleted["connection_id"] == made["connection_id"]
    for table in (tables.connection, tables.connection_previous):
        assert not await read(store, select(table))
    for meant in ("billing", made["connection_id"]):
        with pytest.raises(errors.NotFound, match="no such connection"):
            await operations.delete_connection(me, meant)


async def test_delete__of_one_in_use_names_some_of_its_cron_jobs(
    operations: Tenants, me: str, store: Store
) -> None:
    made = await operations.create_connection(me, AWS)
    jobs = [await use(store, me, made["connection_id"], f"job-{n:02}") for n in range(11)]
    assert (await operations.get_connection(me, "billing"))["used_by"] == 11
    assert (await operations.list_connections(me)).items[0]["used_by"] == 11
    with pytest.raises(errors.Conflict) as caught:
        await operations.delete_connection(me, "billing")
    assert all(job["name"] in str(caught.value) for job in jobs[:10])
    assert "job-10" not in str(caught.value)
    assert str(caught.value).endswith(" and others; before it is deleted, let them use another one, or none.")
    for job in jobs:
        await operations.delete_cronjob(me, job["cronjob_id"])
    assert (await operations.delete_connection(me, "billing"))["used_by"] == 0


async def test_change__of_a_base_url_in_use_is_refused(operations: Tenants, me: str, store: Store) -> None:
    made = await operations.create_connection(me, WEB)
    await use(store, me, made["connection_id"])
    moved = {"base_url": "https://1.0.0.1/", "token": "other"}
    with pytest.raises(errors.Conflict, match=r"Reports.*; before it gets another base_url, let"):
        await operations.update_connection(me, "hooks", moved)
    assert (await operations.get_connection(me, "hooks"))["base_url"] == WEB["base_url"]
    assert await opened(store, "hooks") == {"authorization": f"Bearer {WEB['token']}"}


async def test_isolation__anothers_is_not_there(operations: Tenants, me: str, store: Store) -> None:
    made = await operations.create_connection(me, AWS)
    other = (await sign_up(operations, "other@example.com")).account_id
    for meant in ("billing", made["connection_id"]):
        for ask in (
            operations.get_connection(other, meant),
            operations.update_connection(other, meant, {"name": "stolen"}),
            operations.update_connection(other, meant, {"name": "-"}),
            operations.delete_connection(other, meant),
        ):
            with pytest.raises(errors.NotFound, match="no such connection"):
                await ask
    assert not (await operations.list_connections(other)).items
    assert await operations.get_connection(me, "billing") == made


async def test_rekey__seals_connections_and_former_secrets_anew(
    operations: Tenants, me: str, store: Store
) -> None:
    await operations.create_connection(me, AWS)
    await operations.update_connection(me, "billing", {"aws_secret_access_key": "other", "overlap": "1h"})
    both = Vault([SealingKey("k2", bytes([8]) * 32), SealingKey("k1", bytes([7]) * 32)])
    assert await keys.rekey(store, both) >= 2
    for table in (tables.connection, tables.connection_previous):
        ((sealed,),) = await read(store, select(table.c.secret))
        assert both.key_id(sealed) == "k2"


async def test_uses__are_noted_once_a_minute_and_never_back(
    operations: Tenants, me: str, store: Store
) -> None:
    made = await operations.create_connection(me, AWS)
    noted = []
    for at in (NOON, NOON + USE_NOTED - 1, NOON + USE_NOTED, NOON - HOUR):
        await store.transact(partial(connections.record_uses, uses={made["connection_id"]: at}))
        noted.append((await operations.get_connection(me, "billing"))["last_used_at"])
    assert noted == [format_iso(at) for at in (NOON, NOON, NOON + USE_NOTED, NOON + USE_NOTED)]
    # A change keeps it.
    assert (await operations.update_connection(me, "billing", {"name": "b"}))["version"] == 2
    assert (await operations.get_connection(me, "b"))["last_used_at"] == noted[-1]


async def test_verbs__find_rows_by_an_index(store: Store) -> None:
    account = await make_account(store)
    row = StoredConnection("0" * 8 + "-0000-4000-8000-" + "0" * 12, account, "a", "aws", "{}", 1, 1, 1, "k")

    works: list[Callable[[Connection], object]] = [
        lambda connection: connections.get_connection(connection, account, "a"),
        lambda connection: connections.get_connection(connection, account, row.connection_id),
        lambda connection: connections.find_public(connection, row.connection_id, NOON),
        lambda connection: connections.list_connections(connection, account, "", 10),
        lambda connection: connections.names_of(connection, account, [row.connection_id]),
        lambda connection: connections.read_standings(connection, [row], NOON),
        lambda connection: connections.count_connections(connection, account),
        lambda connection: connections.list_users(connection, account, row.connection_id, 5),
        lambda connection: connections.record_uses(connection, {row.connection_id: NOON}),
        lambda connection: connections.erase_ended(connection, NOON),
        lambda connection: connections.delete_connection(connection, row),
    ]
    for work in works:
        for plan in await explain(store, work):
            assert "SCAN cronjob" not in plan, plan
            assert "SCAN connection\n" not in plan, plan
            assert "Seq Scan on cronjob" not in plan, plan
