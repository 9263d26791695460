"""A request whose time is up before it was begun is not begun: the lease that allowed it may be over."""

from __future__ import annotations

import time
from typing import Any

import pytest
from aiohttp import TCPConnector

from cronally.target import Destination, Outcome, Retry
from cronally.targets.egress import Egress
from cronally.targets.http import HttpTarget
from cronally.targets.sns import SnsTarget
from tests.targets.conftest import make_destination, make_message
from tests.targets.scripted import ScriptedServer

TIMEOUT = 0.2


@pytest.fixture
def _stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection comes about, and then the whole process stands still for longer than a request may take."""
    connect: Any = TCPConnector.connect

    async def slow(self: TCPConnector, *arguments: Any, **options: Any) -> Any:
        connection = await connect(self, *arguments, **options)
        time.sleep(TIMEOUT + 0.05)  # noqa: ASYNC251 - nothing else may run
        return connection

    monkeypatch.setattr(TCPConnector, "connect", slow)


def _is_not_begun(server: ScriptedServer, outcome: Outcome) -> None:
    assert outcome == Retry(f"not sent: {TIMEOUT} s have passed")
    assert server.connections == 1
    assert server.requests == []


@pytest.mark.usefixtures("_stands_still")
async def test_sns__is_not_begun_when_its_time_is_up(server: ScriptedServer) -> None:
    target = SnsTarget(endpoint=server.url, connect_timeout=TIMEOUT, total_timeout=TIMEOUT)
    _is_not_begun(server, await target.send(make_destination(), make_message()))
    await target.close()


@pytest.mark.usefixtures("_stands_still")
@pytest.mark.parametrize("method", ["get", "post"])
async def test_http__is_not_begun_when_its_time_is_up(server: ScriptedServer, method: str) -> None:
    target = HttpTarget(egress=Egress(["127.0.0.0/8"]), connect_timeout=TIMEOUT, total_timeout=TIMEOUT)
    destination = Destination("http", {"delivery_http_method": method, "delivery_http_url": server.url + "/"})
    _is_not_begun(server, await target.send(destination, make_message()))
    await target.close()
