"""`cronally host` against the real API."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from cronally.cli import proving
from cronally.client import Host, Page
from tests.cli.conftest import Run
from tests.support.relay import Relay

pytestmark = pytest.mark.usefixtures("account")

NOBODY = "nobody.invalid"


def test_host__is_added_verified_listed_and_removed(run: Run, relay: Relay) -> None:
    assert run("host", "list").stdout.startswith("There are no hosts")
    added = run("host", "add", NOBODY)
    made = json.loads(run("host", "add", NOBODY, "--json").stdout)["response"]
    lines = [line.strip() for line in added.stdout.splitlines()]
    assert made["url"] in lines
    assert made["text"] in lines
    assert f"cronally host verify {NOBODY}" in added.stdout
    refused = run("host", "verify", NOBODY, status=1)
    assert "does not resolve" in refused.stderr
    assert made["text"] in refused.stderr
    assert json.loads(run("host", "verify", NOBODY, "--json", status=1).stdout)["response"]["proven"] is False
    listed = run("host", "list", "--wide").stdout
    assert all(said in listed for said in (NOBODY, "no", "does not resolve"))
    assert "no terminal to ask at" in run("host", "remove", NOBODY, status=1).stderr
    assert run("host", "remove", NOBODY, "--yes").stdout == f"Host {NOBODY} removed.\n"
    gone = run("host", "verify", NOBODY, status=1).stderr
    assert "There is no such host" in gone
    assert "`cronally host list`" in gone


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_list__breaks_no_instant(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    at = datetime(2026, 11, 30, 21, 29, 9, tzinfo=UTC)
    made = Host(
        host="hooks.example.com",
        proven=True,
        url="https://hooks.example.com/x",
        text="x",
        created_at=at,
        looked_at=at,
        proven_until=at,
        detail="not sent: the host name does not resolve, or leads nowhere",
    )
    proving._print(Page((made,)), wide=False)
    head, _, first, *_ = capsys.readouterr().out.splitlines()
    assert len(head) <= width
    assert first.count("2026-11-30 21:29:09") == head.count("(UTC)")
    assert ("Looked at" in head) == (width >= 100)


def test_host__of_what_is_none(run: Run) -> None:
    assert "without a scheme" in run("host", "add", "https://a.example/", status=1).stderr
    assert "a host is a name" in run("host", "verify", "https://a.example/", status=1).stderr
    assert "not public" in run("host", "add", "10.0.0.1", status=1).stderr
