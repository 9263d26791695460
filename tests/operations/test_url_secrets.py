"""Secrets in a target's URL: sealed whole, shown as `***`, kept by a change, and never put into another URL."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cronally import errors
from cronally.operations import Caller
from cronally.store import Store
from cronally.vault import SealContext
from tests.operations.parameters import HTTP
from tests.operations.tenant import Tenants
from tests.support import factories
from tests.support.factories import CANARY, read_cronjob

pytestmark = pytest.mark.sample

URL = f"https://user:{CANARY}@1.1.1.1/in?token={CANARY}&chat={CANARY}&a=b"
SHOWN = "https://***@1.1.1.1/in?token=***&chat=***&a=b"
SENT = {**HTTP, "delivery_http_url": URL, "delivery_http_secret_parts": "chat"}


async def stored(store: Store, cronjob_id: str) -> tuple[Any, Any]:
    """What stands in the clear, and what is sealed."""
    row = await read_cronjob(store, cronjob_id)
    if row.secret is None:
        return json.loads(row.destination), None
    place = SealContext(row.account_id, "cronjob", "secret", row.cronjob_id)
    return json.loads(row.destination), json.loads(factories.vault().open(row.secret, place))


@pytest.fixture
async def made(operations: Tenants, caller: Caller) -> dict[str, Any]:
    return await operations.create_cronjob(caller.account_id, SENT)


async def test_create__seals_the_url_and_shows_the_rest(store: Store, made: dict[str, Any]) -> None:
    assert made["delivery_http_url"] == SHOWN
    assert list(made["delivery_http_secret_parts"]) == ["chat"]
    public, secret = await stored(store, made["cronjob_id"])
    assert secret == {"delivery_http_url": URL}
    assert public["delivery_http_url"] == SHOWN
    assert CANARY not in json.dumps(public)


async def test_read__hides_what_is_not_sealed_yet(operations: Tenants, caller: Caller, store: Store) -> None:
    """Of another version that still runs."""
    row = await factories.make_cronjob(
        store,
        caller.account_id,
        target="http",
        destination=json.dumps({"delivery_http_url": URL}),
        secret=None,
    )
    read = await operations.get_cronjob(caller.account_id, row["cronjob_id"])
    (listed,) = (await operations.list_cronjobs(caller.account_id, {})).items
    assert read["delivery_http_url"] == listed["delivery_http_url"]
    assert "token=***" in read["delivery_http_url"]


async def test_update__seals_what_is_not_sealed_yet(
    operations: Tenants, caller: Caller, store: Store
) -> None:
    """By a version that hides more of a URL than the one that stored it; nothing of it is lost."""
    row = await factories.make_cronjob(
        store,
        caller.account_id,
        target="http",
        destination=json.dumps({"delivery_http_url": URL, "delivery_http_method": "post"}),
        secret=None,
    )
    await operations.update_cronjob(caller.account_id, row["cronjob_id"], {"delivery_http_method": "get"})
    public, secret = await stored(store, row["cronjob_id"])
    assert CANARY not in public["delivery_http_url"].replace(f"chat={CANARY}", "")
    assert secret == {"delivery_http_url": URL}


@pytest.mark.parametrize(
    "sent",
    [
        {"delivery_http_url": SHOWN},
        {"delivery_http_url": SHOWN, "delivery_http_secret_parts": "chat"},
        {"delivery_http_method": "get"},
        {"delivery_http_secret_parts": ["chat"]},
        {"delivery_type": "http", "delivery_http_method": "post", "delivery_http_url": SHOWN},
        {"name": "Tea"},
    ],
)
async def test_update__what_is_shown_means_what_is_stored(
    operations: Tenants, caller: Caller, store: Store, made: dict[str, Any], sent: dict[str, Any]
) -> None:
    after = await operations.update_cronjob(caller.account_id, made["cronjob_id"], sent)
    assert after["delivery_http_url"] == SHOWN
    _, secret = await stored(store, made["cronjob_id"])
    assert secret == {"delivery_http_url": URL}


async def test_update__with_all_that_is_shown_changes_nothing(
    operations: Tenants, caller: Caller, store: Store, made: dict[str, Any]
) -> None:
    """`show --json`, edited or not, and back."""
    given = {name: value for name, value in made.items() if name in SENT}
    given["delivery_http_secret_parts"] = list(given["delivery_http_secret_parts"])
    after = await operations.update_cronjob(caller.account_id, made["cronjob_id"], given)
    assert after == {**made, "version": 2}
    assert (await stored(store, made["cronjob_id"]))[1] == {"delivery_http_url": URL}


@pytest.mark.parametrize(
    "url",
    [
        SHOWN.replace("1.1.1.1", "evil.example"),
        SHOWN.replace("https:", "http:"),
        SHOWN.replace("1.1.1.1", "1.1.1.1:8443"),
        SHOWN.replace("/in", "/out"),
        SHOWN.replace("a=b", "a=c"),
        SHOWN.replace("***@", ""),
        SHOWN.replace("***@", "user:other@"),
        SHOWN + "&other=***",
        "https://evil.example/?x=***",
        "https://evil.example/***",
    ],
)
async def test_update__a_secret_goes_into_no_other_url(
    operations: Tenants, caller: Caller, store: Store, made: dict[str, Any], url: str
) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.update_cronjob(caller.account_id, made["cronjob_id"], {"delivery_http_url": url})
    assert caught.value.fields.keys() == {"delivery_http_url"}
    assert "give it whole, with its secrets" in caught.value.fields["delivery_http_url"]
    assert (await stored(store, made["cronjob_id"]))[1] == {"delivery_http_url": URL}


async def test_create__a_secret_that_is_hidden_is_none(operations: Tenants, caller: Caller) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.create_cronjob(caller.account_id, {**SENT, "delivery_http_url": SHOWN})
    assert caught.value.fields.keys() == {"delivery_http_url"}


@pytest.mark.parametrize("parts", [["token"], ["chat", "a"], ["/"], []])
async def test_update__other_parts_need_the_whole_url(
    operations: Tenants, caller: Caller, store: Store, made: dict[str, Any], parts: list[str]
) -> None:
    """Nobody takes a mark away and reads what it hid."""
    for sent in ({}, {"delivery_http_url": SHOWN}):
        given: dict[str, Any] = {**sent, "delivery_http_secret_parts": parts}
        with pytest.raises(errors.InvalidRequest) as caught:
            await operations.update_cronjob(caller.account_id, made["cronjob_id"], given)
        assert caught.value.fields.keys() == {"delivery_http_url"}
    given = {"delivery_http_url": URL, "delivery_http_secret_parts": parts}
    after = await operations.update_cronjob(caller.account_id, made["cronjob_id"], given)
    assert ("chat=***" in after["delivery_http_url"]) == ("chat" in parts)
    assert (await stored(store, made["cronjob_id"]))[1] == {"delivery_http_url": URL}


@pytest.mark.parametrize("before", [URL, "https://1.1.1.1/in", f"https://1.1.1.1/in?key={CANARY}"])
@pytest.mark.parametrize(
    "url",
    [
        "https://user:new@1.1.1.1/in?token=new&chat=new&a=b",
        "https://1.1.1.1/other?token=new",
        "https://new@1.1.1.1/in?chat=b",
        "https://1.1.1.1/token/new?chat=b",
    ],
)
async def test_update__a_new_url_is_sealed_whole(
    operations: Tenants, caller: Caller, store: Store, before: str, url: str
) -> None:
    """Both hide their secrets when they are shown, which does not make them the same."""
    made = await operations.create_cronjob(caller.account_id, {**HTTP, "delivery_http_url": before})
    change = {"delivery_http_url": url}
    after = await operations.update_cronjob(caller.account_id, made["cronjob_id"], change)
    assert "***" in after["delivery_http_url"]
    public, secret = await stored(store, made["cronjob_id"])
    assert secret == {"delivery_http_url": url}
    assert public["delivery_http_url"] == after["delivery_http_url"]
    again = {"delivery_http_url": after["delivery_http_url"]}
    await operations.update_cronjob(caller.account_id, made["cronjob_id"], again)
    assert (await stored(store, made["cronjob_id"]))[1] == {"delivery_http_url": url}


@pytest.mark.parametrize("parts", ["chatt", ["chat", "b"]])
async def test_create__a_part_that_is_not_there_is_refused(
    operations: Tenants, caller: Caller, parts: Any
) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.create_cronjob(caller.account_id, {**SENT, "delivery_http_secret_parts": parts})
    assert caught.value.fields.keys() == {"delivery_http_secret_parts"}


async def test_update__a_url_without_secrets_takes_the_sealed_one_away(
    operations: Tenants, caller: Caller, store: Store, made: dict[str, Any]
) -> None:
    given = {"delivery_http_url": "https://1.1.1.1/in"}
    after = await operations.update_cronjob(caller.account_id, made["cronjob_id"], given)
    assert after["delivery_http_url"] == given["delivery_http_url"]
    public, secret = await stored(store, made["cronjob_id"])
    assert (public["delivery_http_url"], secret) == (given["delivery_http_url"], None)


async def test_delete__keeps_the_url_as_it_is_shown(
    operations: Tenants, caller: Caller, store: Store, made: dict[str, Any]
) -> None:
    deleted = await operations.delete_cronjob(caller.account_id, made["cronjob_id"])
    assert deleted["delivery_http_url"] == SHOWN
    public, secret = await stored(store, made["cronjob_id"])
    assert secret is None
    assert CANARY not in json.dumps(public)


async def test_create__repeated_with_another_secret_is_another_request(
    operations: Tenants, caller: Caller
) -> None:
    first = await operations.create_cronjob(caller.account_id, SENT, idempotency_key="one")
    assert await operations.create_cronjob(caller.account_id, SENT, idempotency_key="one") == first
    other = {**SENT, "delivery_http_url": URL.replace("token=", "token=x")}
    with pytest.raises(errors.InvalidRequest, match="other parameters"):
        await operations.create_cronjob(caller.account_id, other, idempotency_key="one")


async def test_create__parts_belong_to_http(operations: Tenants, caller: Caller) -> None:
    from tests.operations.parameters import SNS

    for parts in ("chat", ["chat"]):
        with pytest.raises(errors.InvalidRequest) as caught:
            await operations.create_cronjob(caller.account_id, {**SNS, "delivery_http_secret_parts": parts})
        assert "belongs to delivery_type=http" in caught.value.fields["delivery_http_secret_parts"]
