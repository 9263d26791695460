"""The list of all cron jobs: in pages, each in a turn of its own and read when the one before is on its way."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest

from cronally import errors
from cronally.api.addresses import Addresses
from cronally.api.answers import ListAnswer
from cronally.api.take_turns import TakeTurns
from cronally.api.turns import AT_ONCE, LIGHT, Turns, name_asker
from cronally.client import Client as CronallyClient
from cronally.contract.service import Health
from cronally.contract.values import MAX_LIMIT
from cronally.operations.lists import PAGE_BYTES
from cronally.store import cronjobs
from tests.api.serving import Api, Client
from tests.support.factories import NOON, cronjob_values, insert_rows

LARGE = 250_000


def make(api: Api, client: Client, count: int, message: str = "") -> list[str]:
    """Cron jobs of an account, oldest first; their ids."""
    destination = json.dumps({"sns_message": message}, separators=(",", ":"))
    given = {"secret": None, "target": "sns", "destination": destination, "next_fire_at": None}
    given["state"] = "completed"
    rows = [cronjob_values(client.account_id, created_at=NOON + number, **given) for number in range(count)]
    api.run(insert_rows(api.store, "cronjob", rows))
    return [row["cronjob_id"] for row in rows]


def ids(answer: Any) -> list[str]:
    return [item["cronjob_id"] for item in answer]


@pytest.mark.parametrize("count", [0, 1, MAX_LIMIT, MAX_LIMIT + 1, 2 * MAX_LIMIT + 1])
def test_list__is_whole(api: Api, client: Client, count: int) -> None:
    made = make(api, client, count)
    answer = client.ask("GET", "/cronjobs/")
    assert ids(answer.response) == made
    assert answer.json.keys() == {"status", "response"}
    assert answer.headers["Cache-Control"] == "no-store"
    chunked = answer.headers["Transfer-Encoding"] == "chunked"
    assert chunked == (count > MAX_LIMIT)
    assert chunked != ("Content-Length" in answer.headers)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """How many cron jobs were read at a time, and how many bytes they hold."""
    counted: list[tuple[int, int]] = []
    list_cronjobs = cronjobs.list_cronjobs

    def counting(*arguments: Any) -> Any:
        rows = list_cronjobs(*arguments)
        counted.append((len(rows), sum(row.size for row in rows)))
        return rows

    monkeypatch.setattr(cronjobs, "list_cronjobs", counting)
    return counted


def test_list__of_large_cronjobs_is_read_in_small_pages(
    api: Api, client: Client, read: list[tuple[int, int]]
) -> None:
    made = make(api, client, 20, "m" * LARGE)
    assert ids(client.ask("GET", "/cronjobs/").response) == made
    assert read == [(2, size) for _, size in read]
    assert all(size <= PAGE_BYTES for _, size in read)


def test_page__of_large_cronjobs_has_fewer(api: Api, client: Client, read: list[tuple[int, int]]) -> None:
    made = make(api, client, 5, "m" * LARGE)
    path, seen = "/cronjobs/?limit=100", []
    while path:
        answer = client.ask("GET", path).json
        seen.append(ids(answer["response"]))
        cursor = answer.get("next_cursor")
        path = f"/cronjobs/?limit=100&cursor={cursor}" if cursor else ""
    assert [len(part) for part in seen] == [2, 2, 1]
    assert list(itertools.chain(*seen)) == made
    assert [count for count, _ in read] == [2, 2, 1]


def test_page__has_one_at_least(api: Api, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(api, client, 3, "m" * 1000)
    monkeypatch.setattr("cronally.operations.lists.PAGE_BYTES", 10)
    assert ids(client.ask("GET", "/cronjobs/").response) == made


def test_list__head_reads_no_more_than_a_page(api: Api, client: Client, read: list[tuple[int, int]]) -> None:
    make(api, client, 3 * MAX_LIMIT)
    answer = client.ask("HEAD", "/cronjobs/")
    assert (answer.status, answer.body) == (200, b"")
    assert [count for count, _ in read] == [MAX_LIMIT]


def test_list__over_http_1_0_ends_with_the_connection(
    api: Api, client: Client, read: list[tuple[int, int]]
) -> None:
    made = make(api, client, MAX_LIMIT + 1)
    lines = [f"{name}: {value}" for name, value in client.headers("GET", "/cronjobs/").items()]
    with api.connect() as connection:
        connection.sendall(
            "\r\n".join(["GET /cronjobs/ HTTP/1.0", "Connection: keep-alive", *lines, "", ""]).encode()
        )
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"content-length" not in head
    assert b"chunked" not in head
    assert b"\r\nconnection: close" in head
    assert ids(json.loads(body)["response"]) == made
    assert len(read) == 2


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_list__sends_each_page_before_it_reads_the_next(version: str) -> None:
    events: list[str] = []

    async def pages() -> Any:
        for number in range(3):
            events.append(f"read {number}")
            yield [Health(version=str(number))]

    async def send(message: Any) -> None:
        if message.get("body"):
            events.append("send")

    scope = {"type": "http", "method": "GET", "http_version": version}
    await ListAnswer([Health(version="first")], pages())(scope, None, send)  # type: ignore[arg-type]
    assert events == ["send", "read 0", "send", "read 1", "send", "read 2", "send", "send"]


def test_list__that_breaks_off_is_seen_to_be_broken(
    api: Api, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(api, client, MAX_LIMIT + 1)
    list_cronjobs, pages = cronjobs.list_cronjobs, itertools.count()

    def failing(*arguments: Any) -> Any:
        if next(pages):
            raise errors.Unavailable
        return list_cronjobs(*arguments)

    monkeypatch.setattr(cronjobs, "list_cronjobs", failing)
    lines = [f"{name}: {value}" for name, value in client.headers("GET", "/cronjobs/").items()]
    with api.connect() as connection:
        connection.sendall("\r\n".join(["GET /cronjobs/ HTTP/1.1", "Host: x", *lines, "", ""]).encode())
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert not received.endswith(b"0\r\n\r\n")


def test_list__the_client_library_reads_it(api: Api, client: Client) -> None:
    made = make(api, client, 2 * MAX_LIMIT + 1)
    with CronallyClient(api.url, api_key=client.api_key, api_secret=client.api_secret) as library:
        assert [cronjob.cronjob_id for cronjob in library.cronjobs()] == made


async def test_list__takes_a_turn_for_each_page_and_holds_one_at_a_time() -> None:
    ticks = itertools.count()
    turns = Turns(lambda: next(ticks) / 100)
    turns.add("tenant", LIGHT)
    events: list[str] = []

    async def pages() -> Any:
        for number in range(3):
            events.append(f"read {number}, {turns.heavy.free} free")
            yield [Health(version=str(number))]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        name_asker(scope, "tenant")
        await ListAnswer([Health(version="first")], pages())(scope, receive, send)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            events.append(f"send, {turns.heavy.free} free, used {turns.used('tenant') > LIGHT}")
        await asyncio.sleep(0)

    scope = {"type": "http", "method": "GET", "path": "/", "http_version": "1.1"}
    await TakeTurns(app, turns, Addresses(), lambda _address: True)(scope, None, send)  # type: ignore[arg-type]
    sent = f"send, {AT_ONCE} free, used True"
    reads = [f"read {number}, {AT_ONCE - 1} free" for number in range(3)]
    # What was used is counted before the next page waits for its turn.
    assert events == [sent, reads[0], sent, reads[1], sent, reads[2], sent, sent, sent]
    assert turns.heavy.free == AT_ONCE
