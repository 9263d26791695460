"""Cron jobs that use a connection: made, changed, put, listed, tried out, on both databases."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cronally import errors
from cronally.contract.cronjobs import Cronjob
from cronally.contract.writing import from_json
from cronally.operations import Caller
from cronally.store import Store
from tests.operations.conftest import sign_up
from tests.operations.parameters import AWS, HTTP, SECRET, SNS, WEB
from tests.operations.tenant import Tenants
from tests.support.factories import CANARY, read_cronjob

OWN = ("sns_access_key_id", "sns_secret_access_key")
USING = {name: value for name, value in SNS.items() if name not in OWN} | {"connection": "billing"}
BELOW = {**HTTP, "delivery_http_url": "/run?x=1", "connection": "hooks"}
ADDRESS = f"{WEB['base_url']}/run?x=1"


@pytest.fixture
async def me(operations: Tenants, caller: Caller) -> str:
    await operations.create_connection(caller.account_id, AWS)
    await operations.create_connection(caller.account_id, WEB)
    return caller.account_id


async def stored(store: Store, job: dict[str, Any]) -> Any:
    return await read_cronjob(store, job["cronjob_id"])


async def test_sns__has_no_keys_of_its_own(operations: Tenants, me: str, store: Store) -> None:
    made = await operations.create_cronjob(me, USING)
    used = await operations.get_connection(me, "billing")
    named = {"connection_id": used["connection_id"], "name": "billing", "health": "ok"}
    assert made["connection"] == named
    assert used["used_by"] == 1
    assert not made.keys() & set(OWN)
    row = await stored(store, made)
    assert (row.connection_id, row.secret) == (used["connection_id"], None)
    assert await operations.get_cronjob(me, made["cronjob_id"]) == {
        name: value for name, value in made.items() if name != "warnings"
    }
    listed = (await operations.list_cronjobs(me, {})).items
    assert [one["connection"] for one in listed] == [made["connection"]]
    assert from_json(Cronjob, json.loads(json.dumps(made, default=str))).connection is not None
    # It is shown by the name that it has now.
    await operations.update_connection(me, "billing", {"name": "invoices"})
    assert (await operations.get_cronjob(me, made["cronjob_id"]))["connection"]["name"] == "invoices"


async def test_http__a_path_is_below_the_base_url(operations: Tenants, me: str) -> None:
    made = await operations.create_cronjob(me, BELOW)
    assert (made["delivery_http_url"], made["connection"]["name"]) == (ADDRESS, "hooks")
    changed = await operations.update_cronjob(me, made["cronjob_id"], {"delivery_http_url": "/other"})
    assert changed["delivery_http_url"] == f"{WEB['base_url']}/other"
    again = await operations.update_cronjob(me, made["cronjob_id"], {"delivery_http_url": ADDRESS})
    assert (again["delivery_http_url"], again["connection"]) == (ADDRESS, made["connection"])


@pytest.mark.parametrize("good", [USING, BELOW], ids=["keys", "path"])
async def test_connection__that_there_is_not_is_all_that_is_said(
    operations: Tenants, me: str, good: dict[str, Any]
) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.create_cronjob(me, {**good, "connection": "nobodys"})
    assert caught.value.fields.keys() == {"connection"}


WRONG: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    (USING, {"connection": "nobodys"}, "connection", "names a connection that there is not"),
    (USING, {"connection": "a b"}, "connection", "is neither the name nor the id"),
    (USING, {"connection": "hooks"}, "connection", "of no use to delivery_type=sns"),
    (BELOW, {"connection": "billing", "delivery_http_url": ADDRESS}, "connection", "of no use"),
    (USING, {"sns_access_key_id": "AKIAIOSFODNN7EXAMPLE"}, "sns_access_key_id", "comes from the connection"),
    (USING, {"sns_secret_access_key": SECRET}, "sns_secret_access_key", "comes from the connection"),
    (USING, {"connection": "default"}, "sns_secret_access_key", "is missing"),
    (
        BELOW,
        {"delivery_http_url": "https://1.0.0.1/in/run"},
        "delivery_http_url",
        "is not below the base_url",
    ),
    (BELOW, {"delivery_http_url": "/../x"}, "delivery_http_url", "is not below the base_url"),
    (BELOW, {"connection": "default"}, "delivery_http_url", "is no URL"),
]


@pytest.mark.parametrize(("good", "sent", "parameter", "complaint"), WRONG)
async def test_create__complains_where_it_is_wrong(
    operations: Tenants, me: str, good: Any, sent: Any, parameter: str, complaint: str
) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.create_cronjob(me, {**good, **sent})
    assert complaint in caught.value.fields[parameter]
    assert CANARY not in str(caught.value)


async def test_change__to_a_connection_erases_the_own_keys_and_back_needs_them(
    operations: Tenants, me: str, store: Store
) -> None:
    job = await operations.create_cronjob(me, SNS)
    assert (await stored(store, job)).secret is not None
    changed = await operations.update_cronjob(me, job["cronjob_id"], {"connection": "billing"})
    assert changed["connection"]["name"] == "billing"
    assert "sns_access_key_id" not in changed
    row = await stored(store, job)
    assert (row.secret, "sns_access_key_id" in row.destination) == (None, False)
    # What has nothing to do with it leaves it alone.
    for sent in ({"name": "other"}, {"sns_message": "hello"}, {"cron": "5 8 * * *"}):
        assert (await operations.update_cronjob(me, job["cronjob_id"], sent))["connection"]
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.update_cronjob(me, job["cronjob_id"], {"connection": "default"})
    assert set(caught.value.fields) == set(OWN)
    own = {name: SNS[name] for name in OWN}
    back = await operations.update_cronjob(me, job["cronjob_id"], {"connection": "default", **own})
    assert "connection" not in back
    row = await stored(store, job)
    assert (row.connection_id, row.secret is not None) == (None, True)


SQS = {
    "name": "Jobs",
    "cron": "0 8 * * *",
    "delivery_type": "sqs",
    "aws_region": "eu-west-1",
    "sqs_queue": "https://sqs.eu-west-1.amazonaws.com/123456789012/jobs",
    "sqs_message": "run",
}
KEYS = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": SECRET}
TEMPORARY = {**KEYS, "aws_access_key_id": "ASIAIOSFODNN7EXAMPLE", "aws_session_token": "t0ken"}


@pytest.mark.parametrize("keys", [KEYS, TEMPORARY])
async def test_change__from_keys_that_targets_share_to_a_connection_and_back(
    operations: Tenants, me: str, store: Store, keys: dict[str, str]
) -> None:
    job = await operations.create_cronjob(me, {**SQS, **keys})
    changed = await operations.update_cronjob(me, job["cronjob_id"], {"connection": "billing"})
    assert not changed.keys() & keys.keys()
    row = await stored(store, job)
    assert (row.secret, "aws_access_key_id" in row.destination) == (None, False)
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.update_cronjob(me, job["cronjob_id"], {"connection": "default"})
    assert set(caught.value.fields) == {"aws_access_key_id", "aws_secret_access_key"}
    back = await operations.update_cronjob(me, job["cronjob_id"], {"connection": "default", **keys})
    assert ("connection" in back, back["aws_access_key_id"]) == (False, keys["aws_access_key_id"])
    assert (await stored(store, job)).secret is not None


DATED = '/<cronally.cronjob-name>/run?day=<cronally.scheduled-time format="%Y-%m-%d">'


async def test_http__a_path_may_hold_placeholders(operations: Tenants, me: str) -> None:
    made = await operations.create_cronjob(me, {**BELOW, "delivery_http_url": DATED})
    assert made["delivery_http_url"] == WEB["base_url"] + DATED
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.create_cronjob(me, {**HTTP, "delivery_http_url": DATED})
    assert "is no URL" in caught.value.fields["delivery_http_url"]


async def test_http__a_name_leads_nowhere_else(operations: Tenants, me: str) -> None:
    wrong = {**BELOW, "delivery_http_url": DATED, "name": ".."}
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.create_cronjob(me, wrong)
    assert "filled in it is not below" in caught.value.fields["delivery_http_url"]
    made = await operations.create_cronjob(me, {**wrong, "name": "good"})
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.update_cronjob(me, made["cronjob_id"], {"name": ".."})
    assert "does not fit: with it, delivery_http_url" in caught.value.fields["name"]


async def test_change__of_the_connection_keeps_the_url_below_it(operations: Tenants, me: str) -> None:
    await operations.create_connection(me, {**WEB, "name": "root", "base_url": "https://1.1.1.1"})
    await operations.create_connection(me, {**WEB, "name": "other", "base_url": "https://1.0.0.1/"})
    job = await operations.create_cronjob(me, BELOW)
    moved = await operations.update_cronjob(me, job["cronjob_id"], {"connection": "root"})
    assert (moved["connection"]["name"], moved["delivery_http_url"]) == ("root", ADDRESS)
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.update_cronjob(me, job["cronjob_id"], {"connection": "other"})
    assert "is not below it" in caught.value.fields["connection"]
    both = {"connection": "other", "delivery_http_url": "/run"}
    sent = await operations.update_cronjob(me, job["cronjob_id"], both)
    assert sent["delivery_http_url"] == "https://1.0.0.1/run"


async def test_change__of_the_target_takes_the_connection_along_or_away(operations: Tenants, me: str) -> None:
    job = await operations.create_cronjob(me, USING)
    http = {name: value for name, value in HTTP.items() if name.startswith("delivery")}
    assert "connection" not in await operations.update_cronjob(me, job["cronjob_id"], http)
    using = {name: value for name, value in USING.items() if name.startswith("sns")}
    back = {**using, "delivery_type": "sns", "connection": "billing"}
    assert (await operations.update_cronjob(me, job["cronjob_id"], back))["connection"]["name"] == "billing"


async def test_put__is_the_same_whatever_was_there(operations: Tenants, me: str, store: Store) -> None:
    sent = {name: value for name, value in USING.items() if name != "name"}
    outcomes = [
        (await operations.put_cronjob(me, "report", each))["outcome"]
        for each in (sent, sent, {**sent, "sns_message": "hello"})
    ]
    assert outcomes == ["created", "unchanged", "changed"]
    own = {**{name: SNS[name] for name in OWN}, **sent, "connection": "default"}
    put = await operations.put_cronjob(me, "report", own)
    assert (put["outcome"], "connection" in put) == ("changed", False)
    assert (await operations.put_cronjob(me, "report", own))["outcome"] == "unchanged"
    assert (await operations.put_cronjob(me, "report", sent))["outcome"] == "changed"
    assert (await stored(store, put)).secret is None


async def test_list__is_filtered_by_the_connection(operations: Tenants, me: str) -> None:
    mine = await operations.create_cronjob(me, USING)
    await operations.create_cronjob(me, BELOW)
    used = await operations.get_connection(me, "billing")
    other = (await sign_up(operations, "other@example.com")).account_id
    for meant, found in (
        ("billing", 1),
        (used["connection_id"], 1),
        (used["connection_id"].upper(), 1),
        ("x", 0),
    ):
        ids = [one["cronjob_id"] for one in (await operations.list_cronjobs(me, {"connection": meant})).items]
        assert ids == [mine["cronjob_id"]] * found
        assert not (await operations.list_cronjobs(other, {"connection": meant})).items


async def test_isolation__anothers_connection_is_one_that_there_is_not(operations: Tenants, me: str) -> None:
    theirs = await operations.get_connection(me, "billing")
    other = (await sign_up(operations, "other@example.com")).account_id
    own = await operations.create_cronjob(other, SNS)
    complaints = set()
    for meant in ("billing", theirs["connection_id"], "00000000-0000-4000-8000-000000000000"):
        for ask in (
            operations.create_cronjob(other, {**USING, "connection": meant}),
            operations.create_cronjob(other, {**USING, "connection": meant, "verify": True}),
            operations.update_cronjob(other, own["cronjob_id"], {"connection": meant}),
            operations.put_cronjob(other, "x", {**_unnamed(USING), "connection": meant}),
        ):
            with pytest.raises(errors.InvalidRequest) as caught:
                await ask
            complaints.add(caught.value.fields["connection"])
    assert len(complaints) == 1
    assert (await operations.get_connection(me, "billing"))["used_by"] == 0


def _unnamed(sent: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in sent.items() if name != "name"}


async def test_delete__of_the_cron_job_lets_go_of_the_connection(
    operations: Tenants, me: str, store: Store
) -> None:
    job = await operations.create_cronjob(me, USING)
    with pytest.raises(errors.Conflict, match="Wake up"):
        await operations.delete_connection(me, "billing")
    deleted = await operations.delete_cronjob(me, job["cronjob_id"])
    assert "connection" not in deleted
    assert (await stored(store, job)).connection_id is None
    await operations.delete_connection(me, "billing")
