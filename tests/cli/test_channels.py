"""`cronally channel` and `cronally alerts` against the real API."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.support.factories import CANARY
from tests.support.relay import Relay

pytestmark = pytest.mark.usefixtures("account")

SIGNING = f"whsec_{base64.b64encode(b'0123456789abcdef01234567').decode()}"
URL = f"https://1.1.1.1/services/{CANARY}"


def test_channel__is_added_listed_shown_changed_tested_and_removed(
    run: Run, relay: Relay, tmp_path: Path
) -> None:
    assert run("channel", "list").stdout.startswith("There are no channels")
    file = tmp_path / "url"
    file.write_text(f"{URL}\n")
    shown = run("channel", "add", "--name", "chat", "--kind", "slack", "--webhook-url-file", str(file)).stdout
    assert relay.last.form()["webhook_url"] == URL
    assert CANARY not in shown
    assert all(said in shown for said in ("chat", "slack", "https://1.1.1.1/***"))
    assert run("channel", "show", "chat").stdout == shown
    listed = run("channel", "list", "--wide").stdout
    assert all(said in listed for said in ("chat", "slack", "https://1.1.1.1/***", "ok"))
    changed = run("channel", "change", "chat", "--format", "discord", "--json").stdout
    assert json.loads(changed)["response"]["format"] == "discord"
    tested = run("channel", "test", "chat").stdout
    alert_id = tested.split()[-1]
    listed = run("alerts", "--wide").stdout
    assert all(said in listed for said in (alert_id, "Test of the channel chat", "chat: pending"))
    one = run("alerts", alert_id).stdout
    assert all(said in one for said in (alert_id, "test", "To chat", "pending, 0 attempts"))
    assert "There are no alerts" in run("alerts", "--state", "failed").stdout
    assert run("channel", "remove", "chat", "--yes").stdout == "Channel chat deleted.\n"
    assert "the channel was deleted" in " ".join(run("alerts", alert_id).stdout.split())
    assert "no such channel" in run("channel", "show", "chat", status=1).stderr


def test_channel__secrets_come_from_the_environment_and_are_asked_for(
    run: Run, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = ("channel", "add", "--name", "bot", "--kind", "http")
    assert "--webhook-url-file" in run(*add, status=2).stderr
    # CRONALLY_URL is the server's, and is never sent as a webhook's.
    monkeypatch.setenv("CRONALLY_SIGNING_SECRET", SIGNING)
    run(*add, "--webhook-url-file", "-", input=URL)
    assert relay.last.form()["signing_secret"] == SIGNING


def test_channel__mistakes_are_one_line(run: Run) -> None:
    assert (
        "CRONALLY_SMTP_URL"
        in run(
            "channel", "add", "--name", "ops", "--kind", "email", "--address", "ops@example.com", status=1
        ).stderr
    )
    assert "nothing to change" in run("channel", "change", "chat", status=2).stderr
    assert "address" in run("channel", "add", "--name", "ops", "--kind", "email", status=1).stderr
    assert "leave the filters out" in run("alerts", "x", "--state", "failed", status=2).stderr
    assert "no such alert" in run("alerts", "x", status=1).stderr
