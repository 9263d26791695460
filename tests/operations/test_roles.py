"""Connections with a role of AWS: what they need, and the external id that they get, on both databases."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cronally import errors
from cronally.operations import Caller
from cronally.targets.build import build_targets
from cronally.targets.credentials import Credentials
from cronally.targets.target import Target
from tests.operations.conftest import sign_up
from tests.operations.parameters import AWS, SECRET, SNS
from tests.operations.tenant import Tenants
from tests.support.factories import CANARY
from tests.support.scripted import ScriptedServer, answer
from tests.targets.aws.test_roles import OWN, REFUSED, SESSION_SECRET, identity, session

ROLE = "arn:aws:iam::111111111111:role/cronally"
ALONE = {"name": "billing", "kind": "aws", "aws_role_arn": ROLE}
KEYS = {"aws_access_key_id": AWS["aws_access_key_id"], "aws_secret_access_key": SECRET}


@pytest.fixture
def me(caller: Caller) -> str:
    return caller.account_id


@pytest.fixture
def identity_() -> Credentials | None:
    """The server's own."""
    return OWN


@pytest.fixture
async def sts() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer(answer(200, identity())) as scripted:
        yield scripted


@pytest.fixture
async def targets(sts: ScriptedServer, identity_: Credentials | None) -> AsyncIterator[dict[str, Target]]:
    made = build_targets(sns_endpoint=sts.url, sts_endpoint=sts.url, aws_identity=identity_)
    yield made
    for target in made.values():
        await target.close()


async def refused(asking: Any) -> dict[str, str]:
    with pytest.raises(errors.InvalidRequest) as caught:
        await asking
    assert CANARY not in str(caught.value)
    return dict(caught.value.fields)


async def test_role__gets_an_external_id_that_nobody_chooses(operations: Tenants, me: str) -> None:
    made = await operations.create_connection(me, ALONE)
    assert made["aws_role_arn"] == ROLE
    assert "aws_access_key_id" not in made
    given = made["aws_external_id"]
    assert given.startswith("cronally-")
    assert len(given) == 41
    other = await operations.create_connection(me, {**ALONE, "name": "other"})
    assert other["aws_external_id"] != given
    stranger = await sign_up(operations, "stranger@example.com")
    theirs = await operations.create_connection(stranger.account_id, ALONE)
    assert theirs["aws_external_id"] not in (given, other["aws_external_id"])
    # It stays as it is, whatever is changed.
    moved = await operations.update_connection(me, "billing", {"aws_role_arn": f"{ROLE}2", "name": "moved"})
    assert (moved["aws_external_id"], moved["aws_role_arn"]) == (given, f"{ROLE}2")
    await operations.update_connection(me, "moved", KEYS)
    without = await operations.update_connection(me, "moved", {"aws_role_arn": "default"})
    assert ("aws_role_arn" in without, without["aws_external_id"]) == (False, given)
    again = await operations.update_connection(me, "moved", {"aws_role_arn": ROLE})
    assert again["aws_external_id"] == given


@pytest.mark.parametrize("asked", ["create", "update"])
async def test_external_id__is_no_parameter(operations: Tenants, me: str, asked: str) -> None:
    if asked == "create":
        found = await refused(operations.create_connection(me, {**ALONE, "aws_external_id": "mine"}))
    else:
        await operations.create_connection(me, ALONE)
        found = await refused(operations.update_connection(me, "billing", {"aws_external_id": "mine"}))
    assert set(found) == {"aws_external_id"}


async def test_role__is_given_to_a_connection_with_keys(operations: Tenants, me: str) -> None:
    made = await operations.create_connection(me, AWS)
    assert not made.keys() & {"aws_role_arn", "aws_external_id"}
    changed = await operations.update_connection(me, "billing", {"aws_role_arn": ROLE})
    assert changed["aws_external_id"].startswith("cronally-")
    assert changed["aws_access_key_id"] == AWS["aws_access_key_id"]


@pytest.mark.sample
@pytest.mark.parametrize("identity_", [None])
async def test_role__needs_keys_where_the_server_has_none(operations: Tenants, me: str) -> None:
    assert set(await refused(operations.create_connection(me, ALONE))) == set(KEYS)
    await operations.create_connection(me, {**ALONE, **KEYS})


@pytest.mark.sample
async def test_keys__are_whole_or_not_at_all(operations: Tenants, me: str) -> None:
    for part in (
        {"aws_access_key_id": KEYS["aws_access_key_id"]},
        {"aws_secret_access_key": SECRET},
        {"aws_session_token": "t0ken"},
    ):
        assert await refused(operations.create_connection(me, {**ALONE, **part}))
    await operations.create_connection(me, ALONE)
    for change, named in (
        ({"aws_access_key_id": KEYS["aws_access_key_id"]}, {"aws_secret_access_key"}),
        ({"aws_secret_access_key": SECRET}, {"aws_access_key_id"}),
        ({"aws_role_arn": "default"}, set(KEYS)),
    ):
        assert set(await refused(operations.update_connection(me, "billing", change))) == named
    await operations.update_connection(me, "billing", {"aws_role_arn": "default", **KEYS})


@pytest.mark.sample
@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"aws_role_arn": "arn:aws:iam::111111111111:user/x"}, "aws_role_arn"),
        ({"aws_role_arn": f"{ROLE}\n"}, "aws_role_arn"),
        ({"aws_role_arn": ROLE, "aws_region": "cn-north-1"}, "aws_region"),
    ],
)
async def test_role__that_is_none(operations: Tenants, me: str, given: dict[str, str], named: str) -> None:
    assert set(await refused(operations.create_connection(me, {**AWS, **given}))) == {named}


@pytest.mark.sample
async def test_role__goes_with_a_region_of_its_partition(operations: Tenants, me: str) -> None:
    await operations.create_connection(me, {**ALONE, "aws_region": "eu-west-1"})
    changed = {"aws_role_arn": "arn:aws-cn:iam::111111111111:role/x"}
    assert set(await refused(operations.update_connection(me, "billing", changed))) == {"aws_role_arn"}


@pytest.mark.sample
async def test_verify__tells_who_it_is_with_the_role(
    operations: Tenants, me: str, sts: ScriptedServer
) -> None:
    made = await operations.create_connection(me, ALONE)
    with_role = identity("111111111111").replace("iam::111111111111:user/", "sts::111111111111:assumed-role/")
    sts.script.extend([answer(200, identity()), answer(200, session()), answer(200, with_role)])
    found = await operations.verify_connection(me, "billing")
    assert (found["accepted"], found["aws_account"]) == (True, "111111111111")
    assert found["aws_arn"] == "arn:aws:sts::111111111111:assumed-role/cronally"
    assert SESSION_SECRET not in json.dumps(found)
    asked = sts.requests[1].form()
    assert (asked["RoleArn"], asked["ExternalId"]) == (ROLE, made["aws_external_id"])
    assert asked["RoleSessionName"] == f"cronally-{made['connection_id']}"
    sts.script.append(answer(403, REFUSED))
    found = await operations.verify_connection(me, "billing")
    assert (found["accepted"], found["outcome"], found["http_status"]) == (False, "unauthorized", 403)
    assert found["detail"].startswith("AccessDenied: User: u is not authorized")


@pytest.mark.sample
async def test_test_message__goes_with_the_role(operations: Tenants, me: str, sts: ScriptedServer) -> None:
    made = await operations.create_connection(me, ALONE)
    sts.script.extend([answer(200, identity()), answer(200, session())])
    sts.otherwise = answer(200, "<MessageId>567910cd-659e-55d4-8ccb-5aaf14679dc0</MessageId>")
    own = {name: value for name, value in SNS.items() if name not in _KEYS_OF_SNS}
    job = await operations.create_cronjob(me, {**own, "connection": "billing"})
    await operations.verify_cronjob(me, job["cronjob_id"])
    assert [request.form()["Action"] for request in sts.requests] == [
        "GetCallerIdentity",
        "AssumeRole",
        "Publish",
    ]
    assert sts.requests[1].form()["ExternalId"] == made["aws_external_id"]


_KEYS_OF_SNS = ("sns_access_key_id", "sns_secret_access_key")
