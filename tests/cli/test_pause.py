"""`cronally pause` and `cronally resume` against the real API."""

from __future__ import annotations

import json
import time

import pytest

from cronally import Client
from cronally.instants import HOUR, SECOND, parse_iso
from tests.cli.conftest import Run
from tests.support.relay import Relay

pytestmark = pytest.mark.usefixtures("account")


@pytest.fixture
def report(client: Client) -> str:
    """The id of a cron job called report."""
    made = client.create_cronjob(
        name="report",
        cron="0 8 * * *",
        delivery_type="http",
        delivery_http_url="https://1.1.1.1/hook",
        delivery_http_method="post",
    )
    return made.cronjob_id


def test_pause__shows_until_when_and_why(run: Run, report: str, relay: Relay) -> None:
    result = run("pause", "report", "--note", "deploying [2.4]", "--until", "2030-01-01T08:00:00+01:00")
    assert relay.last.form() == {"note": "deploying [2.4]", "until": "2030-01-01T08:00:00+01:00"}
    assert "paused" in result.stdout
    assert "2030-01-01 07:00:00" in result.stdout
    assert "deploying [2.4]" in result.stdout
    listed = run("list", "--state", "paused").stdout
    assert "paused until" in listed
    assert "2030-01-01 07:00" in listed
    shown = json.loads(run("resume", "report", "--json").stdout)["response"]
    assert (shown["cronjob_id"], shown["state"]) == (report, "active")
    assert "No cron job is like that." in run("list", "--state", "paused").stdout


def test_pause__for_a_duration(run: Run, report: str, relay: Relay) -> None:
    before = time.time_ns() // 1000
    run("pause", report, "--until", "2h")
    until = parse_iso(relay.last.form()["until"])
    assert before + 2 * HOUR - SECOND <= until <= time.time_ns() // 1000 + 2 * HOUR
    assert until % SECOND == 0


def test_pause__without_an_end(run: Run, report: str, relay: Relay) -> None:
    result = run("pause", "report")
    assert relay.last.form() == {}
    assert "Until" not in result.stdout


@pytest.mark.parametrize(
    ("until", "said"),
    [
        ("tomorrow", "an instant is written like 2026-11-24T08:00:00Z; a duration like 90s, 15m, 24h or 7d"),
        ("2026-11-24T08:00", "an instant needs an offset: add Z for UTC; a duration like"),
        ("999999999d", "it lies after the year 2200"),
    ],
)
def test_pause__an_end_that_is_none_is_not_sent(
    run: Run, report: str, relay: Relay, until: str, said: str
) -> None:
    relay.requests.clear()
    assert said in " ".join(run("pause", "report", "--until", until, status=2).stderr.split())
    assert not relay.requests


def test_pause__what_the_server_refuses_is_said(run: Run, report: str) -> None:
    assert (
        "until: is not in the future"
        in run("pause", "report", "--until", "2020-01-01T00:00:00Z", status=1).stderr
    )
