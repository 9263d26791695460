"""A host with a certificate that is not AWS's: nothing is sent to it, and every firing ends with a reason; on both
databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from cronally.instants import SECOND
from cronally.operations import Caller
from cronally.store import Store
from cronally.targets import dialer
from cronally.targets.aws.caller import GLOBAL
from cronally.targets.build import build_targets
from cronally.targets.contexts import make_context
from cronally.targets.own_tls import OwnTls
from cronally.targets.target import Target
from tests.operations.parameters import AWS
from tests.operations.runs import deliver_all
from tests.operations.tenant import Tenants
from tests.operations.test_aws_faults import OF, error
from tests.support.certificates import Authority, Issued, self_signed, server_context
from tests.support.factories import Clock, read_attempts, read_firings
from tests.support.scripted import ScriptedServer

SITE = Authority("site")
YESTERDAY = datetime.now(UTC) - timedelta(days=1)
FAULTS: dict[str, tuple[Issued, str]] = {
    "expired": (SITE.issue(begins=YESTERDAY - timedelta(days=1), ends=YESTERDAY), "certificate has expired"),
    "another name": (SITE.issue(host="sqs.example.com"), "certificate is not valid for '127.0.0.1'"),
    "self-signed": (self_signed(), "signed certificate"),
    "another authority": (Authority("others").issue(), "unable to get local issuer certificate"),
}
ATTEMPTS = 2


@pytest.fixture(autouse=True)
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine trusts one authority."""
    context = make_context(OwnTls("", b"", authorities=SITE.certificate))
    monkeypatch.setattr(dialer, "client_context", lambda: context)


@pytest.fixture
async def server(request: pytest.FixtureRequest) -> AsyncIterator[ScriptedServer]:
    shown, _ = FAULTS.get(request.param, (SITE.issue(), ""))
    async with ScriptedServer(error(400, "ValidationException"), tls=server_context(shown)) as made:
        yield made


@pytest.fixture
async def targets(server: ScriptedServer) -> AsyncIterator[dict[str, Target]]:
    made = build_targets(sns_endpoint=server.url, aws_endpoints={GLOBAL: server.url})
    yield made
    for target in made.values():
        await target.close()


async def run_out(
    operations: Tenants, me: str, store: Store, targets: dict[str, Target], clock: Clock, kind: str
) -> str:
    """Let a firing of a cron job of this kind be tried until it has ended; the cron job."""
    await operations.create_connection(me, AWS)
    sent = {"name": "x", "cron": "0 8 * * *", "delivery_type": kind, "connection": "billing", **OF[kind]}
    sent |= {} if kind == "sns" else {"aws_region": "eu-west-1"}
    job = await operations.create_cronjob(me, {**sent, "retry_max_attempts": ATTEMPTS - 1})
    await operations.run_cronjob(me, job["cronjob_id"])
    clock.forward(SECOND)
    await deliver_all(store, targets, clock, 2 * ATTEMPTS)
    return str(job["cronjob_id"])


@pytest.mark.sample
@pytest.mark.parametrize("server", FAULTS, indirect=True)
@pytest.mark.parametrize("kind", OF)
async def test_aws__nothing_is_sent_to_a_host_that_is_not_aws(
    operations: Tenants,
    caller: Caller,
    store: Store,
    targets: dict[str, Target],
    server: ScriptedServer,
    clock: Clock,
    kind: str,
    request: pytest.FixtureRequest,
) -> None:
    job = await run_out(operations, caller.account_id, store, targets, clock, kind)
    (row,) = await read_firings(store)
    assert (row.state, row.reason) == ("failed", "target_unavailable")
    attempts = await read_attempts(store, job)
    assert [attempt.outcome for attempt in attempts] == ["retry"] * ATTEMPTS
    _, said = FAULTS[request.node.callspec.params["server"]]
    for attempt in attempts:
        assert attempt.detail.startswith("not sent: the host's TLS certificate is not valid (")
        assert said in attempt.detail
    assert server.requests == []
    shown = await operations.get_connection(caller.account_id, "billing")
    assert shown["health"] == "ok", "nobody has said anything of its keys"


@pytest.mark.sample(1)
@pytest.mark.parametrize("server", ["trusted"], indirect=True)
@pytest.mark.parametrize("kind", OF)
async def test_aws__what_is_sent_reaches_the_right_host(
    operations: Tenants,
    caller: Caller,
    store: Store,
    targets: dict[str, Target],
    server: ScriptedServer,
    clock: Clock,
    kind: str,
) -> None:
    await run_out(operations, caller.account_id, store, targets, clock, kind)
    (row,) = await read_firings(store)
    assert row.state == "failed"
    assert len(server.requests) == 1, "the error that it answers with is final"
