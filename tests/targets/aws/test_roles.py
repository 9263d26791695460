"""Roles: when one is assumed, how long its session is used, and what becomes of it; over real HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from cronally.contract.permissions import trust_of
from cronally.targets.aws.caller import Caller
from cronally.targets.aws.named import NAMED
from cronally.targets.aws.roles import BEFORE_END, Roles, role_arn_complaint
from cronally.targets.aws.sts import SESSION_SECONDS, Sts
from cronally.targets.build import build_targets
from cronally.targets.credentials import Credentials
from cronally.targets.sessions import DOUBTED_SECONDS, FAILED_SECONDS
from cronally.targets.sns.target import SnsTarget
from cronally.targets.target import Delivered, Destination, Outcome, Reply, Retry, Role, Unauthorized
from cronally.targets.trying import TryingTarget
from tests.support.aws import REGION, LocalAws
from tests.support.scripted import ScriptedServer, Step, answer, cut
from tests.targets.aws.conftest import destination as on_aws
from tests.targets.conftest import CANARY, PUBLISHED, make_destination, make_message

ROLE = Role("arn:aws:iam::111111111111:role/cronally", "cronally-external", "cronally-conn", "eu-west-1")
OWN = Credentials("AKIAOWNIDENTITY00000", "the-operators-own-secret", None)
SESSION_KEY = "ASIASESSION000000000"
SESSION_SECRET = "wJalrXUtnFEMI/SESSION+SECRET"
SESSION_TOKEN = "FwoGZXIvYXdzEBYaD+canary/token=="
REFUSED = (
    "<ErrorResponse><Error><Code>AccessDenied</Code><Message>User: u is not authorized to perform:"
    f" sts:AssumeRole {CANARY}</Message></Error></ErrorResponse>"
)


def identity(account: str = "999999999999") -> str:
    return (
        "<GetCallerIdentityResponse><GetCallerIdentityResult>"
        f"<Arn>arn:aws:iam::{account}:user/cronally</Arn><Account>{account}</Account>"
        "</GetCallerIdentityResult></GetCallerIdentityResponse>"
    )


def session(number: int = 0) -> str:
    # https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html#API_AssumeRole_Examples
    return (
        "<AssumeRoleResponse><AssumeRoleResult><AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/x/y</Arn>"
        f"</AssumedRoleUser><Credentials><AccessKeyId>{SESSION_KEY[:-1]}{number}</AccessKeyId>"
        f"<SecretAccessKey>{SESSION_SECRET}</SecretAccessKey><SessionToken>{SESSION_TOKEN}</SessionToken>"
        "<Expiration>2026-11-24T09:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
    )


def with_role(role: Role = ROLE, **changes: str) -> Destination:
    return replace(make_destination(**changes), role=role)


def without_keys(role: Role = ROLE) -> Destination:
    return replace(make_destination(), secret={}, role=role)


class Monotonic:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Monotonic:
    return Monotonic()


@pytest.fixture
async def sts() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer(answer(200, session())) as scripted:
        yield scripted


@asynccontextmanager
async def opened(
    sts: ScriptedServer, clock: Monotonic, own: Credentials | None = None, **given: Any
) -> AsyncIterator[Roles]:
    roles = Roles(Sts(endpoint=sts.url), own, monotonic=clock, **given)
    yield roles
    await roles.close()


@pytest.fixture
async def roles(sts: ScriptedServer, clock: Monotonic) -> AsyncIterator[Roles]:
    async with opened(sts, clock) as made:
        yield made


async def keys(roles: Roles, destination: Destination) -> Credentials | Retry | Unauthorized:
    return await roles.keys(destination, "sns", begun=time.monotonic())


async def test_keys__without_a_role_are_the_destinations_own(roles: Roles, sts: ScriptedServer) -> None:
    found = await keys(roles, make_destination())
    assert isinstance(found, Credentials)
    assert found.secret_access_key == CANARY
    missing = await keys(roles, Destination("sns", make_destination().public))
    assert missing == Unauthorized("the cron job has no secret access key; give it sns_secret_access_key")
    assert not sts.requests


async def test_keys__a_role_is_assumed_with_the_external_id(roles: Roles, sts: ScriptedServer) -> None:
    found = await keys(roles, with_role())
    assert found == Credentials(SESSION_KEY, SESSION_SECRET, SESSION_TOKEN)
    assert SESSION_SECRET not in repr(found)
    (request,) = sts.requests
    assert request.form() == {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": ROLE.arn,
        "RoleSessionName": "cronally-conn",
        "ExternalId": "cronally-external",
        "DurationSeconds": "3600",
    }
    assert "/eu-west-1/sts/aws4_request" in request.headers["authorization"]


async def test_keys__are_used_until_shortly_before_they_end(
    roles: Roles, sts: ScriptedServer, clock: Monotonic
) -> None:
    sts.script.extend(answer(200, session(number)) for number in (1, 2))
    first = await keys(roles, with_role())
    clock.now += SESSION_SECONDS - BEFORE_END - 1
    assert await keys(roles, with_role()) == first
    assert len(sts.requests) == 1
    clock.now += 1
    second = await keys(roles, with_role())
    assert isinstance(second, Credentials)
    assert second.access_key_id.endswith("2")
    assert len(sts.requests) == 2


async def test_keys__one_question_at_a_time_for_all_that_wait(roles: Roles, sts: ScriptedServer) -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def hesitate(writer: asyncio.StreamWriter) -> None:
        asked.set()
        await go.wait()
        await answer(200, session())(writer)

    sts.otherwise = hesitate
    waiting = [asyncio.create_task(keys(roles, with_role())) for _ in range(20)]
    await asked.wait()
    waiting[0].cancel()  # whoever asked first may go: the others still get their answer
    go.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert set(found[1:]) == {Credentials(SESSION_KEY, SESSION_SECRET, SESSION_TOKEN)}
    assert len(sts.requests) == 1


async def test_keys__nobody_waits_longer_than_a_request(roles: Roles, sts: ScriptedServer) -> None:
    asked, over = asyncio.Event(), asyncio.Event()

    async def hang(_: asyncio.StreamWriter) -> None:
        asked.set()
        await over.wait()

    sts.otherwise = hang
    first = asyncio.create_task(keys(roles, with_role()))
    await asked.wait()
    late = await roles.keys(with_role(), "sns", begun=time.monotonic() - 10)
    assert late == Retry("not sent: AWS STS gave no session of the role in time")
    assert isinstance(late, Retry)
    assert late.reply is Reply.NOT_ASKED
    over.set()
    await asyncio.wait([first])


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (answer(403, REFUSED), Unauthorized),
        (answer(400, "<Code>ValidationError</Code>"), Unauthorized),
        (answer(400, "<Code>Throttling</Code><Message>Rate exceeded</Message>"), Retry),
        (answer(503), Retry),
        (answer(200, "<html>"), Retry),
        (cut, Retry),
    ],
)
async def test_keys__a_refusal_is_kept_for_seconds(
    roles: Roles, sts: ScriptedServer, clock: Monotonic, step: Step, kind: type[Outcome]
) -> None:
    sts.script.append(step)
    said = await keys(roles, with_role())
    assert isinstance(said, kind)
    assert not isinstance(said, Credentials)
    assert "the role was not assumed" in said.detail
    assert CANARY not in said.detail
    assert not isinstance(said, Retry) or said.reply is Reply.NOT_ASKED
    assert await keys(roles, with_role()) == said
    assert len(sts.requests) == 1
    clock.now += FAILED_SECONDS
    assert isinstance(await keys(roles, with_role()), Credentials)


@pytest.mark.parametrize(
    "other",
    [
        with_role(replace(ROLE, external_id="cronally-other")),
        with_role(replace(ROLE, arn="arn:aws:iam::222222222222:role/cronally")),
        with_role(secret_access_key="another"),
        with_role(access_key_id="AKIAANOTHER000000000"),
    ],
)
async def test_keys__a_session_is_nobody_elses(roles: Roles, sts: ScriptedServer, other: Destination) -> None:
    await keys(roles, with_role())
    await keys(roles, other)
    assert len(sts.requests) == 2


async def test_keys__sessions_are_bounded(sts: ScriptedServer, clock: Monotonic) -> None:
    async with opened(sts, clock, capacity=2) as roles:
        one, two, three = (with_role(replace(ROLE, external_id=each)) for each in ("1", "2", "3"))
        for each in (one, two, one, three):
            await keys(roles, each)
        assert (len(roles._sessions), len(sts.requests)) == (2, 3)
        await keys(roles, one)  # it was used after the second
        assert len(sts.requests) == 3
        await keys(roles, two)
        assert len(sts.requests) == 4


async def test_identity__assumes_where_the_connection_has_no_keys(
    sts: ScriptedServer, clock: Monotonic
) -> None:
    async with opened(sts, clock, OWN) as roles:
        sts.script.append(answer(200, identity()))
        assert isinstance(await keys(roles, without_keys()), Credentials)
        assert [request.form()["Action"] for request in sts.requests] == ["GetCallerIdentity", "AssumeRole"]
        assert all(OWN.access_key_id in request.headers["authorization"] for request in sts.requests)
        # It is known from now on; and a connection's own keys come first.
        await keys(roles, without_keys(replace(ROLE, external_id="2")))
        await keys(roles, with_role())
        assert len(sts.requests) == 4
        assert "AKIAIOSFODNN7EXAMPLE" in sts.requests[3].headers["authorization"]
        # Without a role it signs nothing.
        assert isinstance(await keys(roles, replace(without_keys(), role=None)), Unauthorized)


async def test_identity__does_not_assume_roles_of_its_own_account(
    sts: ScriptedServer, clock: Monotonic
) -> None:
    sts.otherwise = answer(200, identity("111111111111"))
    async with opened(sts, clock, OWN) as roles:
        said = await keys(roles, without_keys())
        assert isinstance(said, Unauthorized)
        assert "the account of Cronally's own identity" in said.detail
    assert [request.form()["Action"] for request in sts.requests] == ["GetCallerIdentity"]


async def test_identity__that_is_refused_is_the_operators_task(
    sts: ScriptedServer, clock: Monotonic, caplog: pytest.LogCaptureFixture
) -> None:
    sts.otherwise = answer(403, REFUSED)
    async with opened(sts, clock, OWN) as roles:
        said = await keys(roles, without_keys())
    assert isinstance(said, Retry)
    assert "its operator's task" in said.detail
    assert "identity of AWS is not known" in caplog.text
    assert OWN.secret_access_key not in caplog.text


async def test_identity__that_there_is_not(roles: Roles, sts: ScriptedServer) -> None:
    said = await keys(roles, without_keys())
    assert isinstance(said, Unauthorized)
    assert "has no identity of its own" in said.detail
    assert not sts.requests


async def test_send__a_session_that_is_refused_is_given_up_after_a_while(
    roles: Roles, sts: ScriptedServer, server: ScriptedServer, clock: Monotonic
) -> None:
    sts.script.extend(answer(200, session(number)) for number in (1, 2))
    target = SnsTarget(endpoint=server.url, roles=roles)
    assert isinstance(await target.send(with_role(), make_message()), Delivered)
    echo = f"<Code>ExpiredToken</Code><Message>{SESSION_TOKEN} {SESSION_SECRET}</Message>"
    server.otherwise = answer(403, echo)
    said = await target.send(with_role(), make_message())
    assert said == Unauthorized("ExpiredToken: *** ***")
    assert len(sts.requests) == 1, "a new one is not given up: a role may be refused for ever"
    clock.now += DOUBTED_SECONDS
    await target.send(with_role(), make_message())
    server.otherwise = answer(200, PUBLISHED)
    assert isinstance(await target.send(with_role(), make_message()), Delivered)
    assert len(sts.requests) == 2
    assert server.requests[0].headers["x-amz-security-token"] == SESSION_TOKEN
    assert SESSION_KEY[:-1] + "2" in server.requests[-1].headers["authorization"]
    await target.close()


async def test_send__a_role_that_is_refused_sends_nothing(
    roles: Roles, sts: ScriptedServer, server: ScriptedServer
) -> None:
    sts.otherwise = answer(403, REFUSED)
    target = SnsTarget(endpoint=server.url, roles=roles)
    alone = await target.send(with_role(), make_message())
    together = await target.send_batch([(with_role(), make_message())] * 2)
    assert isinstance(alone, Unauthorized)
    assert together == [alone, alone]
    caller = Caller(endpoints={"AWS_ENDPOINT_URL": server.url}, roles=roles)
    (sqs,) = (kind(caller) for kind in NAMED if kind.name == "sqs")
    queue = replace(
        on_aws("sqs", sqs_queue=f"arn:aws:sqs:{REGION}:123456789012:q", sqs_message="x"), role=ROLE
    )
    assert isinstance(await sqs.send(queue, make_message()), Unauthorized)
    assert not server.requests
    await target.close()
    await sqs.close()


def test_batches__go_by_the_role(roles_of: Callable[..., list[list[int]]]) -> None:
    other = replace(ROLE, external_id="cronally-other")
    assert roles_of(with_role(), with_role(), with_role(other), make_destination()) == [[0, 1], [2], [3]]
    assert roles_of(without_keys(), without_keys(), without_keys(other)) == [[0, 1], [2]]
    fifo = replace(without_keys(), public={**without_keys().public, "sns_topic": "arn:x.fifo"})
    assert roles_of(fifo, fifo) == [[0], [1]]


@pytest.fixture
def roles_of() -> Callable[..., list[list[int]]]:
    """What goes out together."""

    def split(*destinations: Destination) -> list[list[int]]:
        return SnsTarget().batches([(each, make_message()) for each in destinations])

    return split


@pytest.mark.parametrize("own", [False, True])
async def test_aws__publishes_with_a_session_of_a_real_sts(aws: LocalAws, own: bool) -> None:
    topic = aws.make_topic()
    account = "210987654321" if own else "123456789012"
    assuming = {"Effect": "Allow", "Action": ["sts:AssumeRole"], "Resource": "*"}
    user = aws.make_user(assuming)
    trust = trust_of(aws.client("sts", user).get_caller_identity()["Arn"], "cronally-x")
    mine = Credentials(user.access_key_id, user.secret_access_key, None)
    targets = build_targets(sns_endpoint=aws.url, sts_endpoint=aws.url, aws_identity=mine if own else None)
    arn = f"arn:aws:iam::{account}:role/cronally" if own else aws.make_publishing_role(topic.arn, trust)
    sns = targets["sns"]
    assert isinstance(sns, TryingTarget)
    public: dict[str, Any] = {
        "aws_role_arn": arn,
        "aws_external_id": "cronally-x",
        "connection_id": "conn",
        "aws_region": REGION,
    }
    secret: dict[str, str] = {}
    if not own:
        public["aws_access_key_id"] = user.access_key_id
        secret["aws_secret_access_key"] = user.secret_access_key
    tried = await sns.try_credentials(public, secret, "me")
    assert tried.accepted, tried
    assert tried.aws_account == account
    assert tried.aws_arn is not None
    assert ":assumed-role/" in tried.aws_arn
    assert tried.aws_arn.endswith("/cronally-conn")
    if not own:
        role = Role(arn, "cronally-x", "cronally-conn", REGION)
        to = make_destination(
            topic=topic.arn,
            region=REGION,
            access_key_id=user.access_key_id,
            secret_access_key=user.secret_access_key,
        )
        assert isinstance(await sns.send(to, make_message()), Unauthorized), "the user itself may not"
        outcome = await sns.send(replace(to, role=role), make_message())
        assert isinstance(outcome, Delivered), outcome
        assert [one.message for one in topic.receive()] == ["time to report"]
        other = replace(role, external_id="cronally-of-another-tenant")
        said = await sns.send(replace(to, role=other), make_message())
        assert isinstance(said, Unauthorized)
        assert "the role was not assumed: AccessDenied" in said.detail
    for target in targets.values():
        await target.close()


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:iam::123456789012:role/x",
        "arn:aws:iam::123456789012:role/service/of/mine/x+=,.@_-",
        "arn:aws-cn:iam::123456789012:role/x",
    ],
)
def test_role_arn__good(arn: str) -> None:
    assert role_arn_complaint(arn) is None


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "x",
        "arn:aws:iam::123456789012:user/x",
        "arn:aws:iam::12345678901:role/x",
        "arn:aws:sts::123456789012:assumed-role/x/y",
        "arn:aws:iam::123456789012:role/",
        "arn:aws:iam::123456789012:role/x y",
        "arn:aws:iam::123456789012:role/" + "x" * 65,
        "arn:aws-moon:iam::123456789012:role/x",
    ],
)
def test_role_arn__bad(arn: str) -> None:
    assert role_arn_complaint(arn) is not None
