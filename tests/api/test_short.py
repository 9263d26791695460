"""While the process is short of memory: who is answered, who is not, and that a refusal costs nobody their place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cronally.api import refusals
from cronally.api.short import RETRY_AFTER
from tests.api.serving import Api, Client, serving, sign_up
from tests.api.test_limits import read_answer


class Memory:
    short = False


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def api(tmp_path: Path, memory: Memory) -> Iterator[Api]:
    with serving(f"sqlite:///{tmp_path / 'cronally.db'}", is_short=lambda: memory.short) as running:
        yield running


def test_short__new_requests_are_refused_and_health_is_told(api: Api, memory: Memory) -> None:
    tenant = sign_up(api, "somebody@example.com")
    memory.short = True
    for method, path in (
        ("GET", "/account/"),
        ("GET", "/cronjobs"),
        ("POST", "/account/"),
        ("GET", "/schedule/preview/"),
        ("GET", "/readyz"),
        ("GET", "/docs"),
        ("GET", "/nope"),
    ):
        answer = tenant.ask(method, path)
        assert (answer.status, answer.error["code"]) == (503, "unavailable"), path
        assert answer.headers["retry-after"] == str(RETRY_AFTER)
        assert "short of memory" in answer.error["message"]
    for path in ("/healthz", "/healthz/", "/metrics", "/metrics/"):
        assert tenant.ask("GET", path).status == 200
    memory.short = False
    assert tenant.ask("GET", "/account/").status == 200


def test_short__a_body_is_dropped_and_the_connection_kept(api: Api, memory: Memory) -> None:
    memory.short = True
    with api.connect() as connection:
        size = 900_000
        connection.sendall(b"POST /cronjob/ HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        assert read_answer(connection)[0] == 503
        connection.sendall(b"a" * size)
        memory.short = False
        connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_answer(connection)[0] == 200


def test_short__blocks_no_address(api: Api, memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is refused too much for what it did itself cannot connect for a while."""
    monkeypatch.setattr(refusals, "MAX_REFUSED", 2)
    memory.short = True
    stranger = Client(api)
    assert {stranger.ask("GET", "/readyz").status for _ in range(5)} == {503}
    memory.short = False
    assert stranger.ask("GET", "/readyz").status == 200
    assert not api.app.state.connections.blocked("127.0.0.1")
