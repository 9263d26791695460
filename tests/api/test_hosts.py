"""The Host header, over bare sockets: a page's own name never reaches the API, whatever way it is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronally.api import refusals
from cronally.api.hosts import ANY, is_address, read_host
from tests.api.serving import Api, Client, serving
from tests.api.test_limits import read_answer

PATHS = (b"/healthz", b"/readyz", b"/metrics", b"/docs", b"/openapi.json", b"/account/", b"/nope")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    path = tmp_path_factory.mktemp("hosts") / "cronally.db"
    with serving(f"sqlite:///{path}", hosts=["cron.example.com"]) as running:
        yield running


def ask(api: Api, request: bytes) -> tuple[int, str]:
    """The status, and the code of an error."""
    with api.connect() as connection:
        connection.sendall(request)
        status, _, body = read_answer(connection)
        return status, "" if status == 200 else json.loads(body)["error"]["code"]


def ask_as(api: Api, host: bytes, path: bytes = b"/healthz") -> tuple[int, str]:
    return ask(api, b"GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (path, host))


REFUSED = (421, "misdirected_request")


@pytest.mark.parametrize(
    "host",
    [
        b"cron.example.com",
        b"cron.example.com:8000",
        b"cron.example.com.",
        b"cron.example.com.:443",
        b"cron.example.com:",
        b"CRON.Example.COM",
        b"localhost",
        b"LOCALHOST.:8000",
        b"127.0.0.1",
        b"10.1.2.3:8000",
        b"192.0.2.1.",
        b"[::1]",
        b"[::1]:8000",
        b"[2001:DB8::5]",
    ],
)
def test_host__own_names_and_addresses_are_answered(api: Api, host: bytes) -> None:
    assert ask_as(api, host) == (200, "")


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example",
        b"evil.example:8000",
        b"cron.example.com.evil.example",
        b"evil.cron.example.com",
        b"xcron.example.com",
        b"cron.example.com..",
        b"localhost.evil.example",
        b"127.0.0.1.evil.example",
        b"127.0.0.1.evil.example.",
        b"10.1.2.3.4",
        b"256.1.1.1",
        b"0x7f000001",
        b"1.evil1",
    ],
)
@pytest.mark.parametrize("path", PATHS)
def test_host__other_names_are_refused_on_every_path(api: Api, host: bytes, path: bytes) -> None:
    assert ask_as(api, host, path) == REFUSED


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b".",
        b"cron.example.com, evil.example",
        b"cron.example.com evil.example",
        b"cron.example.com/",
        b"http://cron.example.com",
        b"evil@cron.example.com",
        b"cron.example.com:8000:8000",
        b"cron.example.com:port",
        b"cron%2eexample.com",
        b"[::1",
        b"[::1]x",
        b"[evil]",
        b"[:::1]",
        b"::1",
        b"\xe4.example.com",
        b"a" * 254,
    ],
)
def test_host__what_is_none_is_400(api: Api, host: bytes) -> None:
    assert ask_as(api, host) == (400, "invalid_request")


def test_host__http_1_1_names_one(api: Api) -> None:
    get = b"GET /healthz HTTP/1.1\r\n"
    assert ask(api, get + b"\r\n") == (400, "invalid_request")
    assert ask(api, get + b"Host: localhost\r\nHost: localhost\r\n\r\n") == (400, "invalid_request")
    assert ask(api, get + b"Host: localhost\r\nhOST: evil.example\r\n\r\n") == (400, "invalid_request")


def test_host__http_1_0_may_name_none(api: Api) -> None:
    get = b"GET /healthz HTTP/1.0\r\n"
    assert ask(api, get + b"\r\n") == (200, "")
    assert ask(api, get + b"Host: cron.example.com\r\n\r\n") == (200, "")
    assert ask(api, get + b"Host: evil.example\r\n\r\n") == REFUSED
    assert ask(api, get + b"Host: localhost\r\nHost: localhost\r\n\r\n") == (400, "invalid_request")


@pytest.mark.parametrize(
    ("target", "host", "expected"),
    [
        (b"http://cron.example.com/healthz", b"evil.example", (200, "")),
        (b"http://cron.example.com:80/healthz?x=y", b"cron.example.com", (200, "")),
        (b"http://[::1]:8000/healthz", b"x", (200, "")),
        (b"http://evil.example/healthz", b"cron.example.com", REFUSED),
        (b"HTTP://evil.example/healthz", b"localhost", REFUSED),
        (b"https://evil.example:443/healthz", b"localhost", REFUSED),
        (b"http://cron.example.com@evil.example/healthz", b"localhost", REFUSED),
    ],
)
def test_host__an_absolute_target_says_which(
    api: Api, target: bytes, host: bytes, expected: tuple[int, str]
) -> None:
    assert ask(api, b"GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (target, host)) == expected


def test_host__an_absolute_target_does_not_replace_the_header(api: Api) -> None:
    get = b"GET http://cron.example.com/healthz HTTP/1.1\r\n"
    assert ask(api, get + b"\r\n") == (400, "invalid_request")
    assert ask(api, get + b"Host: x\r\nHost: y\r\n\r\n") == (400, "invalid_request")


def test_host__is_looked_at_for_every_request_of_a_connection(api: Api) -> None:
    get = b"GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n"
    with api.connect() as connection:
        for host, status in ((b"localhost", 200), (b"evil.example", 421), (b"localhost", 200)):
            connection.sendall(get % host)
            assert read_answer(connection)[0] == status


def test_host__who_is_refused_too_much_loses_its_connections(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "MAX_REFUSED", 0)
    with api.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n" * 2)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.count(b"HTTP/1.1 421") == 1
    assert received.count(b"connection: close\r\n") == 1


def test_host__the_answer_says_which_name_to_add_and_it_is_counted(api: Api) -> None:
    before = refused(api)
    answer = Client(api).ask("POST", "/account/", {"email": "x"}, headers={"Host": "Cron.Other.example:8000"})
    assert answer.status == 421
    assert "cron.other.example" in answer.error["message"]
    assert "CRONALLY_HOSTS" in answer.error["message"]
    assert answer.headers["cache-control"] == "no-store"
    assert refused(api) == before + 1
    # What is no name is not repeated.
    answer = Client(api).ask("GET", "/account/", headers={"Host": "<script>"})
    assert answer.status == 400
    assert b"script" not in answer.body
    assert refused(api) == before + 2


def refused(api: Api) -> float:
    return api.registry.get_sample_value("cronally_refused_total", {"what": "host"}) or 0.0


def test_host__every_name_is_admitted_if_wanted(tmp_path: Path) -> None:
    with serving(f"sqlite:///{tmp_path / 'cronally.db'}", hosts=[ANY]) as api:
        assert ask_as(api, b"whatever.example") == (200, "")
        assert ask_as(api, b"<whatever>") == (400, "invalid_request")
        assert ask(api, b"GET /healthz HTTP/1.1\r\n\r\n") == (400, "invalid_request")


def test_host__is_read_once_and_for_all() -> None:
    assert read_host("Cron.Example.com.:8000") == "cron.example.com"
    assert read_host("[::1]:80") == "[::1]"
    assert is_address("[::1]")
    assert is_address("0.0.0.0")  # noqa: S104 - nothing listens
    assert not is_address("a.0")
