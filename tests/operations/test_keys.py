"""API keys: what they may be, what one may make of another, and that an account is never without one."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from cronally import errors
from cronally.contract.keys import MAX_KEYS, KeyChange, NewKey, Rotation, Scope
from cronally.contract.reading import Reading
from cronally.contract.writing import to_json
from cronally.instants import DAY, HOUR, SECOND
from cronally.operations import Caller, keys
from cronally.store import Store, api_keys, tables
from tests.operations.conftest import sign_up
from tests.operations.tenant import Tenants
from tests.support.factories import Clock, read

pytestmark = pytest.mark.sample

Json = dict[str, Any]
ALL = ",".join(Scope)
MAX_ENDED = 5
UNKNOWN = "00000000-0000-4000-8000-000000000000"


class Owner:
    """One caller's keys, with texts as the API gets them."""

    def __init__(self, operations: Tenants, caller: Caller) -> None:
        self.keys, self.caller = operations.operations.keys, caller

    async def create(self, name: str = "made", scopes: str = ALL, **sent: str) -> Json:
        reading = Reading(NewKey, {"name": name, "scopes": scopes, **sent})
        return to_json(await self.keys.create(self.caller, reading))

    async def update(self, meant: str, **sent: str) -> Json:
        return to_json(await self.keys.update(self.caller, meant, Reading(KeyChange, sent)))

    async def rotate(self, meant: str, **sent: str) -> Json:
        return to_json(await self.keys.rotate(self.caller, meant, Reading(Rotation, sent)))

    async def revoke(self, meant: str) -> Json:
        return to_json(await self.keys.revoke(self.caller, meant))

    async def get(self, meant: str) -> Json:
        return to_json(await self.keys.get(self.caller, meant))

    async def all(self) -> list[Json]:
        return [to_json(key) for key in (await self.keys.list_keys(self.caller)).items]

    async def as_key(self, api_key: str) -> Caller | None:
        return await self.keys.find_caller(api_key)

    async def asking(self, made: Json) -> Owner:
        """The same with another key of the account."""
        caller = await self.as_key(made["api_key"])
        assert caller is not None
        other = object.__new__(Owner)
        other.keys, other.caller = self.keys, caller
        return other


@pytest.fixture
def owner(operations: Tenants, caller: Caller) -> Owner:
    return Owner(operations, caller)


async def test_create__the_secret_is_in_this_answer_alone(owner: Owner, store: Store) -> None:
    made = await owner.create(scopes="run, read", tags="team=web", networks="10.0.0.0/8,::1", expires_at="1d")
    secret = base64.b64decode(made.pop("api_secret"), validate=True)
    assert len(secret) == 32
    assert made == {
        "api_key": made["api_key"],
        "name": "made",
        "scopes": ("read", "run"),
        "tags": ("team=web",),
        "networks": ("10.0.0.0/8", "::1/128"),
        "state": "live",
        "by_signup": False,
        "created_at": "2026-11-24T12:00:00Z",
        "created_by": owner.caller.api_key,
        "expires_at": "2026-11-25T12:00:00Z",
        "last_used_at": None,
        "revoked_at": None,
        "replaced_by": None,
        "replaces": None,
    }
    assert await owner.get("made") == await owner.get(made["api_key"]) == made
    assert made in await owner.all()
    found = await owner.as_key(made["api_key"])
    assert found is not None
    assert (found.name, found.secret, sorted(found.scopes)) == ("made", secret, ["read", "run"])
    assert (found.tags, found.by_signup) == (("team=web",), False)
    rows = await read(store, select(tables.api_key.c.secret))
    assert all(secret not in row.secret for row in rows)


async def test_list__has_the_key_of_the_sign_up_first(owner: Owner) -> None:
    (first,) = await owner.all()
    assert (first["api_key"], first["name"], first["by_signup"]) == (owner.caller.api_key, "sign-up", True)
    assert (first["scopes"], first["created_by"], first["expires_at"]) == (tuple(Scope), None, None)


@pytest.mark.parametrize(
    ("sent", "field", "said"),
    [
        ({"name": "two words"}, "name", "is no name of a key"),
        ({"name": UNKNOWN}, "name", "is no id"),
        ({"name": "sign-up"}, "name", "is the name of another key"),
        ({"scopes": "admin"}, "scopes", "is none of read, write, run, keys"),
        ({"scopes": ""}, "scopes", "is missing or empty"),
        ({"networks": "10.0.0.1/8"}, "networks", "no bits set behind the prefix"),
        ({"networks": "example.com"}, "networks", "holds what is no network"),
        ({"networks": ",".join(f"10.0.0.{n}" for n in range(21))}, "networks", "give 20 at most"),
        ({"tags": "a b"}, "tags", "holds what is no tag"),
        ({"tags": "team=web"}, "tags", "do not go with the scope keys"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at", "is not in the future"),
        ({"expires_at": "0s"}, "expires_at", "is not in the future"),
        ({"expires_at": "soon"}, "expires_at", "is neither a duration"),
    ],
)
async def test_create__what_is_no_key_is_refused(
    owner: Owner, sent: dict[str, str], field: str, said: str
) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await owner.create(**{"name": "made", **sent})
    assert said in caught.value.fields[field]
    assert len(await owner.all()) == 1


async def test_create__as_many_as_an_account_may_have(owner: Owner) -> None:
    await asyncio.gather(*(owner.create(f"key{number}", "read") for number in range(MAX_KEYS - 1)))
    with pytest.raises(errors.Forbidden, match="as many as it may have"):
        await owner.create("more")
    # What replaces another one is none more.
    await owner.rotate("key1")
    await owner.revoke("key2")
    await owner.create("more")
    assert sum(key["state"] == "live" for key in await owner.all()) == MAX_KEYS + 1


async def test_ended__are_kept_for_a_while_without_their_secrets(
    owner: Owner, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "MAX_ENDED", MAX_ENDED)
    names = []
    for number in range(MAX_ENDED + 3):
        names.append((await owner.create("made", "read"))["api_key"])
        clock.now += SECOND
        if number == 1:
            await owner.update("made", expires_at="1s")
            clock.now += SECOND
            assert (await owner.get(names[-1]))["state"] == "expired"
        else:
            assert (await owner.revoke(names[-1]))["state"] == "revoked"
    await owner.create("other")
    kept = {key["api_key"]: key for key in await owner.all()}
    assert [name for name in names if name not in kept] == names[:3]
    rows = await read(store, select(tables.api_key.c.secret).where(tables.api_key.c.api_key.in_(names)))
    assert {row.secret for row in rows} == {None}


# What one key may make of another


@pytest.mark.parametrize(
    ("own", "wanted", "said"),
    [
        ({"scopes": "keys,read"}, {"scopes": "read,write"}, "has not the scope write"),
        ({"scopes": "keys,read"}, {"scopes": "keys,read"}, None),
        ({"scopes": "keys", "expires_at": "1h"}, {"scopes": "keys"}, "expires"),
        ({"scopes": "keys", "expires_at": "1h"}, {"scopes": "keys", "expires_at": "61m"}, "expires"),
        ({"scopes": "keys", "expires_at": "1h"}, {"scopes": "keys", "expires_at": "1h"}, None),
        ({"scopes": "keys", "networks": "10.0.0.0/8"}, {"scopes": "keys"}, "for some networks alone"),
        (
            {"scopes": "keys", "networks": "10.0.0.0/8"},
            {"scopes": "keys", "networks": "10.1.0.0/16,11.0.0.0/8"},
            "for some networks alone",
        ),
        ({"scopes": "keys", "networks": "10.0.0.0/8"}, {"scopes": "keys", "networks": "::/96"}, "networks"),
        ({"scopes": "keys", "networks": "10.0.0.0/8"}, {"scopes": "keys", "networks": "10.1.0.0/16"}, None),
    ],
)
async def test_more__a_key_gives_no_more_than_it_has(
    owner: Owner, own: dict[str, str], wanted: dict[str, str], said: str | None
) -> None:
    weak = await owner.asking(await owner.create("weak", **own))
    if said is None:
        assert (await weak.create("made", **wanted))["created_by"] == weak.caller.api_key
        return
    with pytest.raises(errors.Forbidden, match=said):
        await weak.create("made", **wanted)
    # Neither by way of a key that has less, nor of one that has it.
    await owner.create("less", "keys", expires_at="10m", networks="10.9.0.0/16")
    change = {"expires_at": "default", "networks": "", **wanted}
    with pytest.raises(errors.Forbidden):
        await weak.update("less", **change)
    await owner.create("strong", **wanted)
    with pytest.raises(errors.Forbidden):
        await weak.rotate("strong")


async def test_more__who_has_less_may_take_away(owner: Owner) -> None:
    weak = await owner.asking(await owner.create("weak", "keys"))
    await owner.create("strong", "read,write,run")
    assert (await weak.update("strong", name="stronger"))["name"] == "stronger"
    assert (await weak.update("stronger", scopes="read,write", networks="10.0.0.0/8"))["scopes"] == (
        "read",
        "write",
    )
    assert (await weak.update("stronger", networks="10.1.0.0/16", tags="a,b"))["tags"] == ("a", "b")
    assert (await weak.update("stronger", tags="a", expires_at="1d"))["tags"] == ("a",)
    for more in ({"scopes": ALL}, {"networks": ""}, {"tags": ""}, {"tags": "c"}, {"expires_at": "2d"}):
        with pytest.raises((errors.Forbidden, errors.InvalidRequest)):
            await weak.update("stronger", **more)
    assert (await weak.revoke("stronger"))["state"] == "revoked"


# Change


async def test_update__what_is_not_sent_stays(owner: Owner) -> None:
    made = await owner.create("made", "read", tags="a", networks="10.0.0.0/8", expires_at="1d")
    del made["api_secret"]
    assert await owner.update("made") == made
    changed = await owner.update("made", name="other", tags="", networks="", expires_at="default")
    assert changed == {**made, "name": "other", "tags": (), "networks": (), "expires_at": None}
    with pytest.raises(errors.InvalidRequest, match="do not go with the scope keys"):
        await owner.update("other", tags="a", scopes="keys")
    with pytest.raises(errors.InvalidRequest, match="is the name of another key"):
        await owner.update("other", name="sign-up")
    with pytest.raises(errors.NotFound):
        await owner.update("made", name="x")


async def test_update__of_one_that_has_ended_is_refused(owner: Owner, clock: Clock) -> None:
    made = await owner.create("made", expires_at="1h")
    clock.now += HOUR
    # By its id; its name is free.
    with pytest.raises(errors.Conflict, match="nothing brings it back"):
        await owner.update(made["api_key"], expires_at="default")
    with pytest.raises(errors.NotFound):
        await owner.get("made")
    await owner.create("made")
    assert (await owner.revoke(made["api_key"]))["state"] == "expired"


# Rotation


async def test_rotate__both_go_on_for_the_overlap(owner: Owner, clock: Clock) -> None:
    made = await owner.create("made", "read,run", tags="a", networks="10.0.0.0/8", expires_at="30d")
    new = await owner.rotate("made", overlap="2h")
    assert new["api_secret"] != made["api_secret"]
    same = ("name", "scopes", "tags", "networks", "expires_at")
    assert [new[name] for name in same] == [made[name] for name in same]
    assert (new["replaces"], new["created_by"]) == (made["api_key"], owner.caller.api_key)
    before = await owner.get(made["api_key"])
    assert (before["replaced_by"], before["expires_at"]) == (new["api_key"], "2026-11-24T14:00:00Z")
    assert before["state"] == "live"
    assert (await owner.get("made"))["api_key"] == new["api_key"]
    found = await owner.as_key(made["api_key"])
    assert found is not None
    assert found.expires_at == clock.now + 2 * HOUR
    # It cannot be put off, and there is one former key at most.
    with pytest.raises(errors.Conflict, match="cannot be put off"):
        await owner.update(made["api_key"], expires_at="3h")
    assert (await owner.update(made["api_key"], expires_at="1h"))["expires_at"] == "2026-11-24T13:00:00Z"
    with pytest.raises(errors.Conflict, match=f"{new['api_key']} has replaced it"):
        await owner.rotate(made["api_key"])
    newest = await owner.rotate("made")
    assert (await owner.get(made["api_key"]))["state"] == "revoked"
    assert await owner.as_key(made["api_key"]) is None
    assert (await owner.get(new["api_key"]))["expires_at"] == "2026-11-25T12:00:00Z", "a day by default"
    assert newest["replaces"] == new["api_key"]


async def test_rotate__without_an_overlap_the_former_key_ends_now(owner: Owner) -> None:
    made = await owner.create("made")
    new = await owner.rotate("made", overlap="0s")
    assert await owner.as_key(made["api_key"]) is None
    assert (await owner.get(made["api_key"]))["state"] == "expired"
    assert new["state"] == "live"


async def test_rotate__the_overlap_makes_nothing_last_longer(owner: Owner, clock: Clock) -> None:
    made = await owner.create("made", expires_at="1h")
    new = await owner.rotate("made", overlap="2h")
    assert new["expires_at"] == (await owner.get(made["api_key"]))["expires_at"] == made["expires_at"]
    clock.now += HOUR
    with pytest.raises(errors.Conflict):
        await owner.rotate(new["api_key"])
    with pytest.raises(errors.InvalidRequest, match="between 0s and 30d"):
        await owner.rotate("sign-up", overlap="31d")


# The last one


async def test_last__is_neither_revoked_nor_restricted_nor_ended(owner: Owner) -> None:
    for change in (
        {"scopes": "read,write"},
        {"expires_at": "90d"},
        {"networks": "10.0.0.0/8"},
        {"scopes": "read", "tags": "a"},
    ):
        with pytest.raises(errors.Conflict, match="last API key with the scope keys"):
            await owner.update("sign-up", **change)
    with pytest.raises(errors.Conflict, match="Make another one first"):
        await owner.revoke("sign-up")
    # Keys that end, or that not everybody can reach, are none in its place.
    await owner.create("ends", expires_at="30d")
    await owner.create("near", networks="127.0.0.1")
    with pytest.raises(errors.Conflict):
        await owner.revoke("sign-up")
    # It can be replaced, at once too.
    new = await owner.rotate("sign-up", overlap="0s")
    with pytest.raises(errors.Conflict):
        await owner.revoke(new["api_key"])
    await owner.create("vault")
    assert (await owner.revoke("sign-up"))["api_key"] == new["api_key"]


async def test_last__of_two_that_are_revoked_at_once_one_stays(owner: Owner) -> None:
    await owner.create("other")
    both = await asyncio.gather(owner.revoke("other"), owner.revoke("sign-up"), return_exceptions=True)
    assert [type(each) for each in both].count(errors.Conflict) == 1


# What is another's, and how an account shows its own


async def test_keys__of_another_account_are_not_there(operations: Tenants, owner: Owner) -> None:
    made = await owner.create("made")
    stranger = Owner(operations, await sign_up(operations, "other@example.com"))
    for meant in (made["api_key"], "made", UNKNOWN):
        for ask in (stranger.get, stranger.update, stranger.rotate, stranger.revoke):
            with pytest.raises(errors.NotFound):
                await ask(meant)
    assert [key["name"] for key in await stranger.all()] == ["sign-up"]


async def test_account__shows_the_secret_that_it_was_made_with_until_it_is_hidden(
    operations: Tenants, owner: Owner
) -> None:
    shown = await operations.get_account(owner.caller)
    assert base64.b64decode(shown["api_secret"]) == owner.caller.secret
    other = await owner.asking(await owner.create("other"))
    assert (await operations.get_account(other.caller))["api_secret"] == ""
    assert (await operations.get_account(other.caller))["api_key"] == other.caller.api_key
    with pytest.raises(errors.InvalidRequest, match="cannot be taken back"):
        await operations.update_account(owner.caller, {"hide_secret": "false"})
    assert (await operations.update_account(other.caller, {"hide_secret": "true"}))["api_secret"] == ""
    assert (await operations.get_account(owner.caller))["api_secret"] == ""
    assert (await operations.update_account(owner.caller, {"hide_secret": "true"}))["api_secret"] == ""


async def test_account__what_replaced_the_first_key_is_not_shown(operations: Tenants, owner: Owner) -> None:
    new = await owner.asking(await owner.rotate("sign-up"))
    assert (await operations.get_account(new.caller))["api_secret"] == ""
    assert (await operations.get_account(owner.caller))["api_secret"] != ""


# When they were used


async def test_uses__the_latest_stands(owner: Owner, store: Store, clock: Clock) -> None:
    made = await owner.create("made")
    for at in (clock.now + DAY, clock.now):
        await owner.keys.record_uses({made["api_key"]: at, UNKNOWN: at})
    assert (await owner.get("made"))["last_used_at"] == "2026-11-25T12:00:00Z"
    assert (await owner.get("sign-up"))["last_used_at"] is None
    await owner.keys.record_uses({UNKNOWN: clock.now})
    # A change does not take it back.
    before = await store.transact(lambda connection: api_keys.get_live(connection, made["api_key"]))
    assert before is not None
    stale = replace(before, last_used_at=None, name="other")
    await store.transact(lambda connection: api_keys.update_key(connection, stale))
    assert (await owner.get("other"))["last_used_at"] == "2026-11-25T12:00:00Z"
