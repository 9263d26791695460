"""Bounds, several expressions and `max_firings` at the terminal: against the real API, and `cronally next` offline."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from cronally import Client
from cronally.client import Account
from tests.cli.conftest import Run
from tests.support.relay import Relay

HOOK = (
    *("add", "--name", "hook", "--delivery-http-url", "https://1.1.1.1/in"),
    *("--delivery-http-method", "post"),
)
WEEK = ("--cron", "0 9 * * MON-FRI", "--cron", "0 11 * * SAT")


def test_add__several_expressions_and_bounds(
    run: Run, relay: Relay, client: Client, account: Account
) -> None:
    bounds = ("--starts-at", "2190-12-01T00:00:00+01:00", "--ends-at", "2191-01-01T00:00:00Z")
    result = run(*HOOK, *WEEK, *bounds, "--max-firings", "10")
    assert parse_qs(relay.last.body.decode())["cron"] == ["0 9 * * MON-FRI", "0 11 * * SAT"]
    (made,) = client.iter_cronjobs()
    assert made.cron == ("0 9 * * MON-FRI", "0 11 * * SAT")
    assert (made.max_firings, made.fired) == (10, 0)
    assert made.starts_at is not None
    assert made.starts_at.isoformat() == "2190-11-30T23:00:00+00:00"
    for said in ("0 9 * * MON-FRI", "0 11 * * SAT", "2190-11-30 23:00:00", "Max firings", "Fired"):
        assert said in result.stdout
    listed = run("list").stdout
    assert "0 11 * * SAT" in listed


def test_update__takes_them_away(run: Run, client: Client, account: Account) -> None:
    run(*HOOK, *WEEK, "--ends-at", "2190-01-01T00:00:00Z", "--max-firings", "10")
    run("update", "hook", "--ends-at", "default", "--max-firings", "default", "--cron", "0 8 * * *")
    (made,) = client.iter_cronjobs()
    assert (made.cron, made.ends_at, made.max_firings) == ("0 8 * * *", None, None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--cron", "0 8 * * *", "--cron", "30 0 8 * * *"), "fire times 30s apart"),
        (("--cron", "0 8 * * *", "--cron", "61 * * * *"), '"61 * * * *": '),
        (("--cron", "0 8 * * *", "--ends-at", "2020-01-01T00:00:00Z"), "ends_at: leaves nothing to fire"),
        (("--cron", "0 8 * * *", "--max-firings", "0"), "max_firings: is no whole number"),
        (("--cron", "0 8 * * *", "--starts-at", "tomorrow"), "starts_at: is no instant"),
    ],
)
def test_add__what_is_wrong(run: Run, account: Account, arguments: tuple[str, ...], said: str) -> None:
    result = run(*HOOK, *arguments, status=1)
    assert said in result.stderr


def shown(run: Run, *arguments: str) -> Any:
    return json.loads(run("next", *arguments, "--after", "2026-11-27T08:00:00Z", "--json").stdout)["response"]


def test_next__of_several(run: Run) -> None:
    answer = shown(run, "0 9 * * MON-FRI", "0 11 * * SAT", "--count", "3")
    assert answer["expression"] == ["0 9 * * MON-FRI", "0 11 * * SAT"]
    assert [one["scheduled_at"] for one in answer["fire_times"]] == [
        "2026-11-27T09:00:00Z",
        "2026-11-28T11:00:00Z",
        "2026-11-30T09:00:00Z",
    ]
    lines = run("next", "@daily", "@hourly").stdout.splitlines()
    assert lines[0] == "At 00:00, every day, UTC; and every hour on the hour, UTC"


def test_next__within_bounds(run: Run) -> None:
    answer = shown(
        run, "rate(1 hour)", "--starts-at", "2026-12-01T00:30:00Z", "--ends-at", "2026-12-01T02:00:00Z"
    )
    assert [one["scheduled_at"] for one in answer["fire_times"]] == [
        "2026-12-01T00:30:00Z",
        "2026-12-01T01:30:00Z",
    ]
    result = run("next", "0 8 * * *", "--ends-at", "2020-01-01T00:00:00Z", status=1)
    assert "ends_at: leaves nothing to fire" in result.stderr


def test_next__too_many_and_one_that_is_wrong(run: Run) -> None:
    result = run("next", *[f"{minute} * * * *" for minute in range(11)], status=1)
    assert "there are 11 expressions; give 10 at most" in result.stderr
    assert '"61 * * * *": ' in run("next", "0 8 * * *", "61 * * * *", status=1).stderr
    assert '"x": ' in run("next", "0 8 * * *", "x", status=1).stderr
    assert "\n" not in run("next", "0 8 * * *\n0 9 * * *", status=1).stderr.strip()
