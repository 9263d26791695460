"""`cronally render`: what a cron job would send, for people and for programs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cronally import Client
from cronally.client import Account
from tests.cli.conftest import Run
from tests.client.test_client import SNS
from tests.support.relay import Relay

pytestmark = pytest.mark.usefixtures("account")

TEXT = "for <cronally.scheduled-local-time format='%Y-%m-%d %H:%M'>\nby <cronally.cronjob-name>"
HTTP: dict[str, Any] = {
    "delivery_type": "http",
    "delivery_http_method": "post",
    "delivery_http_url": "https://1.1.1.1/<cronally.attempt-number>?token=canary",
}


@pytest.fixture
def name(client: Client) -> str:
    client.create_cronjob(
        name="report",
        cron="0 8 * * *",
        timezone="Asia/Tokyo",
        **{**SNS, "sns_message": TEXT},
    )
    client.create_cronjob(name="hook", cron="0 8 * * *", **HTTP)
    return "report"


def test_render__shows_what_is_sent(
    run: Run, relay: Relay, name: str, client: Client, account: Account
) -> None:
    shown = run("render", name, "--at", "2026-12-01T08:00").stdout
    assert relay.last.query() == {"at": "2026-12-01T08:00"}
    assert "2026-11-30 23:00:00" in shown
    assert "cronally-cronjob-name  report" in shown.replace("   ", "  ")
    assert shown.endswith("\n\nfor 2026-12-01 08:00\nby report\n")
    answered = json.loads(run("render", name, "--at", "2026-12-01T08:00", "--json").stdout)["response"]
    found = client.render(answered["cronjob_id"], datetime(2026, 11, 30, 23, tzinfo=UTC))
    assert (found.message, found.firing_id) == (answered["message"], answered["firing_id"])
    assert found.attributes == answered["attributes"]


def test_render__of_a_request_shows_no_secret(run: Run, name: str) -> None:
    shown = run("render", "hook").stdout
    assert "POST https://1.1.1.1/1?token=***" in shown
    assert "Cronally-Firing-Id" in shown
    assert '{"firing_id": ' in shown
    assert "canary" not in shown


def test_add__with_a_signing_secret_and_as_an_event(
    run: Run, relay: Relay, client: Client, tmp_path: Path
) -> None:
    """The secret comes from a file, is in nothing that is shown, and is replaced with two at a time."""
    secret = f"whsec_{'canary' * 7}c="
    file = tmp_path / "secret"
    file.write_text(f"{secret}\n")
    options = ("--delivery-http-url", "https://1.1.1.1/", "--delivery-http-method", "post")
    signing = ("--delivery-http-signing-secret-file", str(file))
    event = ("--delivery-http-format", "cloudevents-binary")
    added = run("add", "--name", "hook", "--cron", "0 8 * * *", *options, *signing, *event)
    assert relay.last.form()["delivery_http_signing_secret"] == secret
    file.write_text(f"whsec_{'B' * 43}=,{secret}")
    updated = run("update", "hook", *signing)
    sent = {"delivery_type": "http", "delivery_http_signing_secret": file.read_text()}
    assert relay.last.form() == sent
    shown = run("render", "hook")
    assert "ce-specversion" in shown.stdout
    listed = run("show", "hook", "--json")
    assert json.loads(listed.stdout)["response"]["delivery_http_format"] == "cloudevents-binary"
    for done in (added, updated, shown, listed):
        assert "canary" not in done.output
    refused = run("update", "hook", "--delivery-http-signing-secret", "canary", status=1)
    assert "is no signing secret" in refused.stderr
    assert client.render(next(iter(client.cronjobs())).cronjob_id).method == "POST"


def test_render__says_what_is_wrong(run: Run, name: str) -> None:
    assert "--at" in run("render", name, "--at", "soon", status=2).stderr
    assert "unknown" in run("render", "unknown", status=1).stderr
