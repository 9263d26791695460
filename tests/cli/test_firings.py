"""`cronally firings`: what is chosen, how far it goes, and the forms that it prints."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from cronally import Client
from cronally.client import Account
from cronally.contract import export
from cronally.instants import HOUR, format_iso, parse_iso
from cronally.store import listing
from tests.api.serving import Api
from tests.cli.conftest import Run
from tests.support.api_database import EIGHT, add_deliveries, add_refusal
from tests.support.factories import make_firing
from tests.support.relay import Relay, failure
from tests.support.scripted import cut

CRONALLY = [sys.executable, "-W", "error", "-m", "cronally.cli"]
BUSY = failure(429, "rate_limited", "too many requests", Retry_After="7")


@pytest.fixture
def cronjob_id(client: Client) -> str:
    """A cron job called `=report`."""
    target = {"delivery_http_url": "https://1.1.1.1/", "delivery_http_method": "post"}
    made = client.create_cronjob(name="=report", cron="0 8 * * *", delivery_type="http", **target)  # type: ignore[arg-type]
    return made.cronjob_id


@pytest.fixture
def ledger(api: Api, account: Account, cronjob_id: str) -> str:
    """250 delivered firings from 08:00 on, one that failed and one that was missed; the cron job's id."""
    add_deliveries(api, account.account_id, cronjob_id, 250)
    add_refusal(api, account.account_id, cronjob_id, EIGHT + 30, "NotFound: no such topic")
    row = {"account_id": account.account_id, "cronjob_id": cronjob_id}
    missed = {"state": "missed", "reason": "catch_up=latest", "created_at": EIGHT}
    api.run(make_firing(api.store, row, scheduled_at=EIGHT + 60, **missed))
    return cronjob_id


def listed(output: str) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(output, newline=""), strict=True))


def test_firings__that_failed_since_two_hours(run: Run, api: Api, account: Account, cronjob_id: str) -> None:
    import time

    now = time.time_ns() // 1000
    for ago in (HOUR, 3 * HOUR):
        add_refusal(api, account.account_id, cronjob_id, now - ago, "NotFound: no such topic")
    found = json.loads(run("firings", "--failed", "--since", "2h", "--json").stdout)["response"]
    assert [item["scheduled_at"] for item in found] == [format_iso(now - HOUR)]
    shown = run("firings", "=report", "--failed", "--since", "4h", "--until", "2h", "--wide").stdout
    assert shown.count("target_refused: NotFound: no such topic") == 1
    assert run("firings", "--missed").stdout == "No firing is like that.\n"


def test_firings__states_add_up(run: Run, relay: Relay, ledger: str) -> None:
    run("firings", "--failed", "--missed", "--state", "skipped", "--kind", "scheduled", "--oldest")
    query = relay.last.path
    assert "state=skipped&state=failed&state=missed" in query
    assert "kind=scheduled" in query
    assert "order=oldest" in query
    out = run("firings", "--failed", "--missed", "--oldest", "--format", "jsonl").stdout
    assert [json.loads(line)["state"] for line in out.splitlines()] == ["failed", "missed"]
    reasoned = run("firings", ledger, "--reason", "catch_up=latest", "--format", "jsonl").stdout
    assert [json.loads(line)["state"] for line in reasoned.splitlines()] == ["missed"]


def test_firings__by_a_name(run: Run, ledger: str) -> None:
    assert json.loads(run("firings", "--name", "=report", "--failed", "--json").stdout)["response"]
    assert ledger in run("firings", "--name", "=report", "--failed").stdout
    assert "There is no such cron job" in run("firings", "--name", "nobody", status=1).stderr


def test_firings__as_csv_are_all(run: Run, relay: Relay, ledger: str) -> None:
    relay.requests.clear()
    result = run("firings", ledger, "--format", "csv", "--oldest")
    rows = listed(result.stdout_bytes.decode())
    assert len(rows) == 252
    assert rows[0].keys() == {*export.COLUMNS}
    assert {row["cronjob_name"] for row in rows} == {"'=report"}
    assert len({row["firing_id"] for row in rows}) == 252
    times = [parse_iso(row["scheduled_at"]) for row in rows]
    assert times == sorted(times)
    assert len(relay.requests) == 3
    assert result.stderr == ""
    assert result.stdout_bytes.count(b"\r\n") == 253


def test_firings__with_a_limit_say_how_to_go_on(run: Run, ledger: str) -> None:
    first = run("firings", "--format", "csv", "--limit", "150")
    assert len(listed(first.stdout_bytes.decode())) == 150
    cursor = first.stderr.removeprefix("note: there is more: add --cursor ").strip()
    rest = run("firings", "--format", "csv", "--cursor", cursor)
    assert rest.stderr == ""
    # Its rows belong to the same table.
    rows = listed(first.stdout_bytes.decode() + rest.stdout_bytes.decode())
    assert len({row["firing_id"] for row in rows}) == len(rows) == 252


def test_firings__as_lines_of_json_are_those_of_the_api(run: Run, client: Client, ledger: str) -> None:
    lines = run("firings", "--format", "jsonl", "--attempts", "--limit", "30").stdout.splitlines()
    items = [json.loads(line) for line in lines]
    assert [item["firing_id"] for item in items] == [
        firing.firing_id for firing, _ in zip(client.iter_firings(ledger), range(30), strict=False)
    ]
    assert all(item["attempts"] for item in items)


def test_firings__all_as_one_answer(run: Run, ledger: str) -> None:
    answer = json.loads(run("firings", ledger, "--json", "--all").stdout)
    assert answer.keys() == {"status", "response"}
    assert len(answer["response"]) == 252
    none = json.loads(run("firings", "--state", "skipped", "--json", "--all").stdout)
    assert none == {"status": "success", "response": []}
    some = json.loads(run("firings", "--format", "json", "--limit", "150").stdout)
    assert len(some["response"]) == 150
    assert some["next_cursor"]


def test_firings__all_as_tables(run: Run, ledger: str) -> None:
    shown = run("firings", ledger, "--all")
    assert shown.stdout.count("Fire time (UTC)") == 3
    assert shown.stdout.count("message-") == 250
    assert shown.stderr == ""


def test_firings__go_on_where_a_search_ends_early(
    run: Run, relay: Relay, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST_READ", 60)
    relay.requests.clear()
    shown = run("firings", ledger, "--state", "failed")
    assert "no such topic" in shown.stdout
    assert shown.stdout.count("Fire time (UTC)") == 1
    assert len(relay.requests) == 5
    found = json.loads(run("firings", ledger, "--state", "failed", "--json").stdout)
    assert [item["state"] for item in found["response"]] == ["failed"]
    assert found.keys() == {"status", "response"}


def test_firings__wait_where_the_server_asks_for_it(
    run: Run, relay: Relay, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            relay.script.append(BUSY)

    monkeypatch.setattr("cronally.cli.pages.time.sleep", sleep)
    monkeypatch.setattr("cronally.cli.pages._write", lambda text: _busy_after(text))

    def _busy_after(text: str) -> None:
        if not waits:
            relay.script.append(BUSY)
        sys.stdout.write(text)

    result = run("firings", ledger, "--format", "jsonl")
    assert len(result.stdout.splitlines()) == 252
    assert waits == [7, 7]
    assert result.stderr == 2 * "note: the server is asked too often; it goes on in 7 s\n"
    # The first page is answered at once, whatever it is.
    relay.script.append(BUSY)
    assert "try again in 7 s" in run("firings", ledger, status=1).stderr


def test_firings__that_break_off_say_how_to_go_on(
    run: Run, relay: Relay, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(text: str) -> None:
        relay.script.extend([cut] * 3)
        sys.stdout.write(text)

    monkeypatch.setattr("cronally.cli.pages._write", write)
    monkeypatch.setattr("cronally.client.synchronous.time.sleep", lambda _: None)
    result = run("firings", ledger, "--format", "jsonl", status=1)
    assert len(result.stdout.splitlines()) == 100
    note, error = result.stderr.splitlines()
    assert note.startswith("note: the list breaks off: it goes on with --cursor ")
    assert "does not answer" in error
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--since", "yesterday"], "a duration like 90s"),
        (["--until", "2x"], "a duration like 90s"),
        (["--format", "xml"], "'xml'"),
        (["--json", "--format", "csv"], "--json is --format json"),
        (["--all", "--limit", "5"], "leave --limit out"),
        (["--limit", "0"], "--limit"),
        (["--format", "csv", "--attempts"], "--format jsonl has them"),
        (["x", "--name", "y"], "--name goes with no CRONJOB"),
    ],
)
def test_firings__wrong_usage(run: Run, account: Account, options: list[str], complaint: str) -> None:
    assert account
    assert complaint in run("firings", *options, status=2).stderr


def test_firings__what_the_server_refuses_is_named(run: Run, account: Account) -> None:
    assert account
    assert "state: is none of" in run("firings", "--state", "dead", status=1).stderr


@pytest.mark.parametrize("form", ["csv", "jsonl", "json", "table"])
def test_firings__a_closed_pipe_ends_them_quietly(ledger: str, form: str) -> None:
    everything = [] if form in ("csv", "jsonl") else ["--all"]
    command = [*CRONALLY, "firings", ledger, "--format", form, *everything]
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")
