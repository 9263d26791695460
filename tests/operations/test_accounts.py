"""Sign-up, API keys, and the account's own answer."""

from __future__ import annotations

import asyncio
import base64
from functools import partial

import pytest
from sqlalchemy import func, select, update

from cronally import errors
from cronally.instants import MINUTE, SECOND
from cronally.operations import Caller, signing_up
from cronally.operations.signing_up import SignupLimit
from cronally.store import Store, accounts, tables
from cronally.store.postgres import PostgresStore
from tests.operations.conftest import sign_up
from tests.operations.tenant import Tenants
from tests.support.factories import Clock, make_cronjob, read
from tests.support.statements import sent_by

pytestmark = pytest.mark.sample


async def test_create_account__answers_with_key_and_secret(operations: Tenants, clock: Clock) -> None:
    answer = await operations.create_account({"email": "username@example.com"})
    assert answer["email"] == "username@example.com"
    assert answer["cronjob_count"] == 0
    assert answer["created_at"] == "2026-11-24T12:00:00Z"
    assert len(base64.b64decode(answer["api_secret"], validate=True)) == 32
    assert len({answer["account_id"], answer["api_key"], answer["api_secret"]}) == 3


async def test_create_account__seals_the_secret(operations: Tenants, store: Store) -> None:
    answer = await operations.create_account({"email": "username@example.com"})
    (row,) = await read(store, select(tables.api_key))
    secret = base64.b64decode(answer["api_secret"])
    assert secret not in row.secret
    assert answer["api_secret"].encode() not in row.secret


async def test_create_account__an_address_has_one_account_whatever_its_case(operations: Tenants) -> None:
    await operations.create_account({"email": "Username@Example.com"})
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.create_account({"email": "uSERNAME@eXAMPLE.COM"})
    assert "has an account already" in caught.value.fields["email"]


async def test_create_account__two_at_once_make_one(operations: Tenants) -> None:
    answers = await asyncio.gather(
        *(operations.create_account({"email": "username@example.com"}) for _ in range(4)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, dict) for answer in answers) == 1
    assert sum(isinstance(answer, errors.InvalidRequest) for answer in answers) == 3


@pytest.mark.parametrize(
    "email",
    [
        "",
        "username",
        "@example.com",
        "username@",
        "username@example",
        "username@example.123",
        "user name@example.com",
        "user\nname@example.com",
        "username@@example.com",
        ".username@example.com",
        "user..name@example.com",
        "username@-example.com",
        "username@example..com",
        "username@example.com.",
        '"user name"@example.com',
        "Name <username@example.com>",
        "a@example.com,b@example.com",
        f"{'a' * 65}@example.com",
        f"username@{'a' * 64}.com",
        f"a@{'b.' * 125}example.com",
        "username@exa\u200bmple.com",
    ],
)
async def test_create_account__a_bad_address_is_named(operations: Tenants, email: str) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.create_account({"email": email})
    assert list(caught.value.fields) == ["email"]


@pytest.mark.parametrize(
    "email", ["a@b.co", "user.name+tag@sub.example-host.org", "o'neil@example.com", "jörg@bücher.example"]
)
async def test_create_account__a_good_address_is_taken_as_it_is(operations: Tenants, email: str) -> None:
    assert (await operations.create_account({"email": email}))["email"] == email


async def test_create_account__says_all_at_once(operations: Tenants) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.create_account({"emial": "a@b.co", "x" * 1000: ""}, unusable={"utm": "is null"})
    fields = caught.value.fields
    assert fields["emial"] == "is no parameter here; did you mean email?"
    assert fields["email"].startswith("is missing")
    assert fields["utm"] == "is null"
    assert all(len(name) <= 70 for name in fields)


async def test_find_caller__a_key_is_found_by_itself_alone(operations: Tenants, caller: Caller) -> None:
    assert await operations.find_caller(caller.api_key) == caller
    assert await operations.find_caller(caller.api_key.upper()) is None
    assert await operations.find_caller("") is None


async def test_find_caller__a_revoked_key_is_unknown(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    await store.transact(
        lambda connection: connection.execute(update(tables.api_key).values(revoked_at=1)) and None
    )
    assert await operations.find_caller(caller.api_key) is None


async def test_caller__shows_no_secret(caller: Caller) -> None:
    assert repr(caller.secret)[2:-1] not in repr(caller)


async def test_get_account__counts_cronjobs_that_are_not_deleted(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    await make_cronjob(store, caller.account_id)
    await make_cronjob(store, caller.account_id, state="paused", next_fire_at=None)
    await make_cronjob(store, caller.account_id, state="deleted", next_fire_at=None, secret=None)
    other = await sign_up(operations, "other@example.com")
    await make_cronjob(store, other.account_id)
    answer = await operations.get_account(caller)
    assert answer["cronjob_count"] == 2
    assert answer["api_key"] == caller.api_key
    assert base64.b64decode(answer["api_secret"]) == caller.secret


async def test_get_account__asks_the_database_once(operations: Tenants, caller: Caller, store: Store) -> None:
    """One statement each for the API key and the account, and on PostgreSQL no transaction around them."""
    with sent_by(store) as sent:
        await operations.find_caller(caller.api_key)
        await operations.get_account(caller)
    assert [one.split()[0] for one in sent] == ["SELECT", "SELECT"], sent
    with sent_by(store) as sent:
        await store.transact(partial(accounts.get_account, account_id=caller.account_id))
    assert len(sent) == (3 if isinstance(store, PostgresStore) else 1), "the log has what is around it"


async def test_count_signup__an_address_is_limited_by_the_minute(operations: Tenants, clock: Clock) -> None:
    clock.forward(10 * SECOND)
    for _ in range(2):
        await operations.count_signup("192.0.2.1")
    with pytest.raises(errors.RateLimited) as caught:
        await operations.count_signup("192.0.2.1")
    assert caught.value.retry_after == 51
    await operations.count_signup("192.0.2.2")
    clock.forward(MINUTE)
    await operations.count_signup("192.0.2.1")


async def test_count_signup__of_an_address_that_used_its_minute_up_writes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it ask: who floods would keep the database's connections from others."""
    now, per_minute = [0.0], 3
    limit = SignupLimit(store, per_minute, lambda: now[0])
    for _ in range(per_minute):
        await limit.count("192.0.2.1")
    for _ in range(7):
        with pytest.raises(errors.RateLimited) as caught:
            await limit.count("192.0.2.1")
    assert caught.value.retry_after is not None
    counted = select(func.sum(tables.signup.c.count))
    assert await read(store, counted) == [(per_minute + 1,)]
    now[0] += caught.value.retry_after - 1
    with pytest.raises(errors.RateLimited) as caught:
        await limit.count("192.0.2.1")
    assert caught.value.retry_after == 1
    monkeypatch.setattr(signing_up, "REMEMBERED", 2)
    for number in range(2, 6):
        for _ in range(per_minute):
            await limit.count(f"192.0.2.{number}")
        with pytest.raises(errors.RateLimited):
            await limit.count(f"192.0.2.{number}")
    assert len(limit._used_up) == 2


async def test_count_signup__those_at_once_are_all_counted(operations: Tenants) -> None:
    asked = await asyncio.gather(
        *(operations.count_signup("192.0.2.1") for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(answer, errors.RateLimited) for answer in asked) == 3
