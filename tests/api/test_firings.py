"""Lists of firings over HTTP: filters, both orders, and pages as CSV and JSON lines."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from cronally.contract import export
from cronally.instants import MINUTE
from cronally.store import listing
from tests.api.serving import Answer, Api, Client
from tests.support.factories import NOON, cronjob_values, firing_values, insert_rows

STATES = ["delivered", "failed", "missed", "skipped", "delivered"]


@pytest.fixture
def rows(api: Api, client: Client) -> list[dict[str, Any]]:
    """Ten firings of two cron jobs, oldest first."""
    jobs = [
        cronjob_values(client.account_id, secret=None, name=name, target="sns", destination="{}")
        for name in ("=cmd()", 'grüße, "du"')
    ]
    api.run(insert_rows(api.store, "cronjob", jobs))
    made = [
        firing_values(
            jobs[number % 2],
            scheduled_at=NOON + number * MINUTE,
            state=STATES[number % 5],
            reason={"failed": "max_age", "missed": "catch_up=latest"}.get(STATES[number % 5]),
            created_at=NOON,
        )
        for number in range(10)
    ]
    api.run(insert_rows(api.store, "firing", made))
    return made


def minutes(listed: list[dict[str, Any]]) -> list[int]:
    return [int(item["scheduled_at"][14:16]) for item in listed]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ("order=oldest&limit=3", [0, 1, 2]),
        ("state=failed", [6, 1]),
        ("state=failed&state=missed", [7, 6, 2, 1]),
        ("state=failed,missed", [7, 6, 2, 1]),
        ("reason=catch_up=latest", [7, 2]),
        ("reason=catch_up%3Dlatest&reason=max_age", [7, 6, 2, 1]),
        ("kind=manual", []),
        ("since=2026-11-24T12:04:00Z&until=2026-11-24T12:07:00Z", [6, 5, 4]),
        ("since=2026-11-24T12:08:00Z&order=oldest", [8, 9]),
        ("since=2026-11-24T12:08:00Z&scheduled_at=2026-11-24T12:04:00Z", []),
        ("name=%3Dcmd()&state=delivered", [4, 0]),
    ],
)
def test_firings__are_those_that_were_asked_for(
    client: Client, rows: list[dict[str, Any]], query: str, expected: list[int]
) -> None:
    assert len(rows) == 10
    assert minutes(client.ask("GET", f"/account/firings/?{query}").response) == expected


def walk(client: Client, path: str) -> list[Answer]:
    """The pages of a list in a form without an envelope."""
    answers = [client.ask("GET", path)]
    while (cursor := answers[-1].headers["Next-Cursor"]) is not None:
        answers.append(client.ask("GET", f"{path}&cursor={cursor}"))
    assert {answer.status for answer in answers} == {200}
    return answers


def test_firings__as_a_table_whose_pages_are_one(client: Client, rows: list[dict[str, Any]]) -> None:
    answers = walk(client, "/account/firings/?format=csv&limit=4&order=oldest")
    assert [answer.body.count(b"\r\n") for answer in answers] == [5, 4, 2]
    assert {answer.headers["Content-Type"] for answer in answers} == {"text/csv; charset=utf-8"}
    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}
    text = b"".join([answer.body for answer in answers]).decode()
    listed = client.ask("GET", "/account/firings/?order=oldest").response
    read = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert len(read) == len(listed) == len(rows)
    for row, item in zip(read, listed, strict=True):
        assert row.keys() == {*export.COLUMNS}
        for name, cell in row.items():
            value = item.get(name)
            assert cell == ("'=cmd()" if value == "=cmd()" else "" if value is None else str(value))


def test_firings__as_lines_of_json(client: Client, rows: list[dict[str, Any]]) -> None:
    answers = walk(client, "/account/firings/?format=jsonl&limit=4&attempts=true")
    assert {answer.headers["Content-Type"] for answer in answers} == {"application/x-ndjson"}
    lines = b"".join([answer.body for answer in answers]).splitlines()
    listed = client.ask("GET", "/account/firings/?attempts=true").response
    assert [json.loads(line) for line in lines] == listed
    assert len(listed) == len(rows)


def test_firings__head_has_the_headers_of_a_form(client: Client, rows: list[dict[str, Any]]) -> None:
    path = f"/cronjob/{rows[0]['cronjob_id']}/firings/?format=csv&limit=1"
    head, whole = client.ask("HEAD", path), client.ask("GET", path)
    assert head.body == b""
    for name in ("Content-Type", "Content-Length", "Next-Cursor"):
        assert head.headers[name] == whole.headers[name]


@pytest.mark.parametrize("form", ["json", "csv", "jsonl"])
def test_firings__a_search_that_ends_early_says_how_far_it_went(
    client: Client, rows: list[dict[str, Any]], form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST_READ", 4)
    answer = client.ask("GET", f"/account/firings/?state=skipped&limit=9&format={form}")
    assert len(rows) == 10
    if form == "json":
        assert minutes(answer.response) == [8]
        assert answer.json["searched_until"] == "2026-11-24T12:06:00Z"
        rest = client.ask("GET", f"/account/firings/?state=skipped&cursor={answer.json['next_cursor']}")
        assert minutes(rest.response) == [3]
    else:
        assert answer.headers["Searched-Until"] == "2026-11-24T12:06:00Z"
        assert answer.headers["Next-Cursor"]


def test_firings__a_cursor_belongs_to_its_order(client: Client, rows: list[dict[str, Any]]) -> None:
    cursor = client.ask("GET", "/account/firings/?limit=5").json["next_cursor"]
    answer = client.ask("GET", f"/account/firings/?order=oldest&cursor={cursor}")
    assert (answer.status, [*answer.fields]) == (400, ["cursor"])
    # Of another filter it is a place in the same order.
    again = client.ask("GET", f"/account/firings/?state=failed&cursor={cursor}")
    assert minutes(again.response) == [1]
    assert len(rows) == 10


def test_firings__a_name_that_none_has_is_not_found(
    client: Client, rows: list[dict[str, Any]], module_client: Client
) -> None:
    assert client.ask("GET", "/account/firings/?name=nobody").status == 404
    # Another account has it.
    assert module_client.ask("GET", "/account/firings/?name=%3Dcmd()").status == 404
    assert len(rows) == 10
