"""Hosts that an account proves to be its own: from the request to a host with TLS and back, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from cronally import errors
from cronally.contract.hosts import MAX_HOSTS, Host, NewHost
from cronally.contract.reading import Reading
from cronally.instants import DAY, HOUR, MINUTE
from cronally.operations import Caller, Operations
from cronally.operations.verifying import PER_HOST, PER_MINUTE
from cronally.store import Store
from cronally.targets import dialer
from cronally.targets.build import build_targets
from cronally.targets.egress import Egress
from cronally.targets.target import Target
from tests.operations.conftest import sign_up
from tests.operations.tenant import Tenants
from tests.support.factories import Clock, vault
from tests.support.scripted import ScriptedServer, answer, hang
from tests.targets.conftest import Certificate, certificate

__all__ = ["certificate"]


pytestmark = pytest.mark.sample


@pytest.fixture
async def server(certificate: Certificate) -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer(answer(404), tls=certificate.server_context()) as scripted:
        yield scripted


@pytest.fixture
async def targets(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[dict[str, Target]]:
    context = certificate.client_context()
    monkeypatch.setattr(dialer, "client_context", lambda: context)
    targets = build_targets(egress=Egress(["127.0.0.0/8"]), total_timeout=1.0)
    yield targets
    for target in targets.values():
        await target.close()


class Tenant:
    """The hosts of one account."""

    def __init__(self, operations: Tenants, caller: Caller) -> None:
        self.proving = operations.operations.proving
        self.caller = caller

    async def add(self, host: Any) -> Host:
        return await self.proving.add(self.caller, Reading(NewHost, {"host": host}))

    async def verify(self, host: str) -> Host:
        return await self.proving.verify(self.caller, host)

    async def hosts(self) -> list[Host]:
        return list((await self.proving.list_hosts(self.caller)).items)


@pytest.fixture
def tenant(operations: Tenants, caller: Caller) -> Tenant:
    return Tenant(operations, caller)


async def test_host__is_added_proven_looked_at_and_removed(
    tenant: Tenant, server: ScriptedServer, clock: Clock
) -> None:
    host = f"127.0.0.1:{server.port}"
    made = await tenant.add(host)
    assert (made.host, made.proven, made.looked_at, made.detail) == (host, False, None, None)
    assert made.url.startswith(f"https://{host}/.well-known/cronally-host/")
    assert await tenant.add(host) == made, "the same each time"
    missing = await tenant.verify(host)
    assert (missing.proven, missing.detail) == (False, "HTTP 404, and no 200")
    assert missing.looked_at is not None
    clock.forward(MINUTE)
    server.script.append(answer(200, f"{made.text}\n"))
    found = await tenant.verify(host)
    assert (found.proven, found.detail) == (True, None)
    assert found.proven_until is not None
    assert server.requests[-1].path == made.url.removeprefix(f"https://{host}")
    assert await tenant.hosts() == [found]
    clock.forward(2 * DAY)
    (ended,) = await tenant.hosts()
    assert (ended.proven, ended.proven_until) == (False, None), "nobody has looked at it since"
    removed = await tenant.proving.remove(tenant.caller, host)
    assert removed.host == host
    assert await tenant.hosts() == []
    with pytest.raises(errors.NotFound, match="GET /account/hosts/"):
        await tenant.verify(host)


async def test_verify__that_fails_ends_a_proof_where_the_host_says_so(
    tenant: Tenant, server: ScriptedServer, clock: Clock
) -> None:
    host = f"127.0.0.1:{server.port}"
    made = await tenant.add(host)
    server.script += [answer(200, made.text), answer(503), hang, answer(200, "sold")]
    proven = []
    for _ in range(4):
        found = await tenant.verify(host)
        proven.append((found.proven, found.detail))
        clock.forward(HOUR)
    assert proven == [
        (True, None),
        (True, "HTTP 503, and no 200"),
        (True, "no answer: 1 s have passed"),
        (False, "the page holds another text"),
    ]


async def test_host__of_another_account_is_another_proof(
    operations: Tenants, tenant: Tenant, server: ScriptedServer
) -> None:
    host = f"127.0.0.1:{server.port}"
    mine = await tenant.add(host)
    other = Tenant(operations, await sign_up(operations, "other@example.com"))
    with pytest.raises(errors.NotFound):
        await other.verify(host)
    theirs = await other.add(host)
    assert mine.text != theirs.text
    assert mine.url != theirs.url
    server.otherwise = answer(200, mine.text)
    assert not (await other.verify(host)).proven, "what proves it for one says nothing of another"
    assert (await tenant.verify(host)).proven
    server.otherwise = answer(200, theirs.text)
    assert (await other.verify(host)).proven
    assert (await tenant.hosts())[0].proven
    await tenant.proving.remove(tenant.caller, host)
    assert (await other.hosts())[0].proven


async def test_host__one_more_than_an_account_may_have(tenant: Tenant) -> None:
    for number in range(MAX_HOSTS):
        await tenant.add(f"h{number}.example.com")
    assert (await tenant.add("H0.example.com:443")).host == "h0.example.com"
    # What is added under one way to write it goes by all of them.
    assert (await tenant.proving.remove(tenant.caller, "H0.example.com:443")).host == "h0.example.com"
    await tenant.add("h0.example.com")
    with pytest.raises(errors.Forbidden, match="remove one first"):
        await tenant.add("one-more.example.com")
    assert len(await tenant.hosts()) == MAX_HOSTS


@pytest.mark.parametrize(
    ("host", "said"),
    [
        (None, "is null"),
        ("", "missing or empty"),
        ("https://a.example", "without a scheme"),
        ("a.example/x", "without a scheme"),
        ("[::1]", "is no name"),
        ("a.example.", "dot at its end"),
        ("10.0.0.1", "not public"),
        ("169.254.169.254", "not public"),
        ("2130706433", "no name and no IP address"),
        ("a.example:22", "port of another protocol"),
        ("x" * 300, "has 300 characters"),
        ("a..example", "no domain name"),
        ("ä.example", "write it as xn--4ca.example"),
    ],
)
async def test_host__of_what_is_none_is_refused(tenant: Tenant, host: Any, said: str) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await tenant.add(host)
    assert said in caught.value.fields["host"]
    assert await tenant.hosts() == []


async def test_verify__is_limited_as_test_messages_are_and_with_them(
    tenant: Tenant, server: ScriptedServer, clock: Clock
) -> None:
    host = f"127.0.0.1:{server.port}"
    await tenant.add(host)
    clock.now -= clock.now % MINUTE
    for _ in range(PER_MINUTE):
        await tenant.verify(host)
    with pytest.raises(errors.RateLimited, match="test messages in this minute"):
        await tenant.verify(host)
    assert len(server.requests) == PER_MINUTE


async def test_verify__is_limited_towards_a_host_for_all_accounts_and_for_no_other_host(
    tenant: Tenant, operations: Tenants, server: ScriptedServer, clock: Clock
) -> None:
    clock.now -= clock.now % MINUTE
    host = f"127.0.0.1:{server.port}"
    others = [Tenant(operations, await sign_up(operations, f"{n}@example.com")) for n in range(3)]
    for each in (tenant, *others):
        await each.add(host)
    asks = iter([each for each in (tenant, *others) for _ in range(PER_MINUTE)])

    async def ask_on() -> None:
        for each in asks:
            await each.verify(host)

    with pytest.raises(errors.RateLimited, match="This host was sent"):
        await ask_on()
    assert PER_MINUTE < len(server.requests) <= PER_HOST
    same_letters = f"127.0.0.10:{server.port}"
    await others[-1].add(same_letters)
    assert not (await others[-1].verify(same_letters)).proven, "another host, which nobody has asked"


async def test_verify__of_a_host_that_the_operator_has_ruled_out_asks_nobody(
    tenant: Tenant, server: ScriptedServer, store: Store, clock: Clock
) -> None:
    host = f"127.0.0.1:{server.port}"
    made = await tenant.add(host)
    server.otherwise = answer(200, made.text)
    assert (await tenant.verify(host)).proven
    asked = len(server.requests)
    targets = build_targets()
    strict = Operations(store, vault(), targets)
    found = await strict.proving.verify(tenant.caller, host)
    assert not found.proven
    assert "CRONALLY_HTTP_ALLOWED_NETWORKS" in (found.detail or "")
    assert len(server.requests) == asked
    for target in targets.values():
        await target.close()
