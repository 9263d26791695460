"""A request whose time is up before it was begun is not begun: the lease that allowed it may be over."""

from __future__ import annotations

import time

import pytest

from cronally.targets.connection import Connection
from cronally.targets.dialer import Dialer
from cronally.targets.egress import Egress
from cronally.targets.http.target import HttpTarget
from cronally.targets.sns.target import SnsTarget
from cronally.targets.target import Destination, Outcome, Reply, Retry
from cronally.targets.url import Origin
from tests.support.scripted import ScriptedServer
from tests.targets.conftest import make_destination, make_message

TIMEOUT = 0.5
"""Seconds; enough to connect on a busy machine."""


@pytest.fixture(autouse=True)
def _stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request meets a process that stands still, once it is connected, for longer than a request may take."""
    connect = Dialer.connect

    async def slow(dialer: Dialer, origin: Origin, account_id: str) -> Connection:
        connection = await connect(dialer, origin, account_id)
        time.sleep(TIMEOUT + 0.05)  # noqa: ASYNC251 - nothing else may run
        return connection

    monkeypatch.setattr(Dialer, "connect", slow)


def _is_not_begun(server: ScriptedServer, outcome: Outcome) -> None:
    assert outcome == Retry(f"not sent: {TIMEOUT} s have passed")
    assert outcome.reply is Reply.NOT_ASKED, "it was this process that stood still"
    assert server.connections == 1
    assert server.requests == []


async def test_sns__is_not_begun_when_its_time_is_up(server: ScriptedServer) -> None:
    target = SnsTarget(endpoint=server.url, connect_timeout=TIMEOUT, total_timeout=TIMEOUT)
    _is_not_begun(server, await target.send(make_destination(), make_message()))
    await target.close()


async def test_sns__batch_is_not_begun_when_its_time_is_up(server: ScriptedServer) -> None:
    target = SnsTarget(endpoint=server.url, connect_timeout=TIMEOUT, total_timeout=TIMEOUT)
    outcomes = await target.send_batch([(make_destination(), make_message())] * 2)
    assert outcomes is not None
    for outcome in outcomes:
        _is_not_begun(server, outcome)
    await target.close()


async def test_http__is_not_begun_when_its_time_is_up(server: ScriptedServer) -> None:
    target = HttpTarget(egress=Egress(["127.0.0.0/8"]), connect_timeout=TIMEOUT, total_timeout=TIMEOUT)
    destination = Destination("http", {"delivery_http_method": "post", "delivery_http_url": server.url + "/"})
    _is_not_begun(server, await target.send(destination, make_message()))
    await target.close()


async def test_http__that_may_take_long_is_begun_as_soon_as_any(server: ScriptedServer) -> None:
    """Its lease is renewed, which a process that stands still does not do."""
    target = HttpTarget(
        egress=Egress(["127.0.0.0/8"]), connect_timeout=TIMEOUT, total_timeout=TIMEOUT, longest=60
    )
    public = {
        "delivery_http_method": "post",
        "delivery_http_url": server.url + "/",
        "delivery_http_timeout": 60_000_000,
    }
    _is_not_begun(server, await target.send(Destination("http", public, seconds=60.0), make_message()))
    await target.close()
