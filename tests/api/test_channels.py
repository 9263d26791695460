"""Channels and alerts over HTTP: the page that confirms an address, and lists in pages."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from cronally.alert import Alert, Event, alert_id
from cronally.instants import SECOND
from cronally.store import alerts
from cronally.targets.mail.mail import Mail
from cronally.targets.mail.server import SmtpServer
from tests.api.conftest import MANY
from tests.api.serving import Api, Client, serving, sign_up
from tests.support.factories import NOON
from tests.support.smtp import Mailbox, smtp_server

CHAT = {"kind": "slack", "webhook_url": "https://1.1.1.1/services/x"}
HTML = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture(scope="module")
def mailing(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Api, Mailbox]]:
    """A server that sends mail."""
    import shutil

    path = tmp_path_factory.mktemp("mailing") / "cronally.db"
    shutil.copy(migrated_sqlite, path)
    server = SmtpServer("127.0.0.1", 1, "off")
    mail = Mail(server, "cron@example.com")
    options = {**MANY, "mail": mail, "public_url": "https://cron.example.com"}
    with serving(f"sqlite:///{path}", operations=options) as api:
        running = smtp_server()
        mailbox = api.run(running.__aenter__())
        mail._server = SmtpServer("127.0.0.1", mailbox.port, "off")
        yield api, mailbox
        api.run(running.__aexit__(None, None, None))


def test_confirm__to_look_changes_nothing_and_to_press_confirms_once(mailing: tuple[Api, Mailbox]) -> None:
    api, mailbox = mailing
    owner, stranger = sign_up(api, "owner@example.com"), Client(api)
    sent = {"name": "ops", "kind": "email", "address": "ops@example.com"}
    assert not owner.ask("POST", "/channel/", sent).response["confirmed"]
    text = mailbox.received[-1].mail.get_content()
    (link,) = [line for line in text.splitlines() if line.startswith("https://cron.example.com/")]
    path = link.removeprefix("https://cron.example.com")
    made_up = f"/channel/confirm/{'x' * 43}/"
    for _ in range(2):
        page = stranger.ask("GET", path, signed=False)
        assert page.status == 200
        assert page.body == stranger.ask("GET", made_up, signed=False).body
        assert b'<form method="post">' in page.body
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        assert (page.headers["referrer-policy"], page.headers["cache-control"]) == ("no-referrer", "no-store")
    assert stranger.ask("HEAD", path, signed=False).status == 200
    assert not owner.ask("GET", "/channel/ops/").response["confirmed"]
    wrong = stranger.ask("POST", made_up, signed=False)
    assert (wrong.status, wrong.json["status"]) == (404, "error")
    done = stranger.ask("POST", path, signed=False, headers=HTML)
    assert done.status == 200
    assert b"ops gets alerts now" in done.body
    assert owner.ask("GET", "/channel/ops/").response["confirmed"]
    again = stranger.ask("POST", path, signed=False, headers=HTML)
    assert again.status == 404
    assert b"used already" in again.body
    assert stranger.ask("POST", path, signed=False).status == 404
    assert stranger.ask("GET", "/channel/confirm/short/", signed=False).status in (401, 404, 405)


def test_confirm__answers_programs_with_json(mailing: tuple[Api, Mailbox]) -> None:
    api, mailbox = mailing
    owner = sign_up(api, "programs@example.com")
    owner.ask("POST", "/channel/", {"name": "ops", "kind": "email", "address": "bot@example.com"})
    token = mailbox.received[-1].mail.get_content().partition("/channel/confirm/")[2][:43]
    done = Client(api).ask("POST", f"/channel/confirm/{token}/", signed=False)
    assert done.response == {"channel": "ops"}


def test_email__without_mail_is_one_sentence(client: Client) -> None:
    refused = client.ask("POST", "/channel/", {"name": "ops", "kind": "email", "address": "ops@example.com"})
    assert refused.status == 400
    assert refused.fields["kind"] == (
        "email needs mail. This server sends no mail; its operator sets CRONALLY_SMTP_URL."
    )


def test_alerts__are_listed_in_pages_and_by_filters(api: Api, client: Client) -> None:
    made = client.ask("POST", "/channel/", {**CHAT, "name": "chat"}).response
    ids = []
    for number in range(5):
        alert = Alert(
            alert_id=alert_id(client.account_id, "late", "account", "x", Event.BEGAN, NOON, number),
            account_id=client.account_id,
            condition="late" if number % 2 else "failure",
            event=Event.BEGAN if number < 3 else Event.ENDED,
            subject_kind="account",
            subject_id="x",
            title=f"Number {number}",
            # Two of one instant.
            created_at=NOON + number // 2 * SECOND,
        )
        channels = [made["channel_id"]] if number else []
        api.run(api.store.transact(partial(alerts.insert_alert, alert=alert, channel_ids=channels)))
        ids.append((alert.created_at, alert.alert_id))
    newest = [each for _, each in sorted(ids, reverse=True)]

    def listed(query: str) -> list[str]:
        return [one["alert_id"] for one in client.ask("GET", f"/account/alerts/{query}").response]

    assert listed("") == newest
    seen, cursor = [], ""
    while True:
        page = client.ask("GET", f"/account/alerts/?limit=2{cursor}")
        seen += [one["alert_id"] for one in page.response]
        if "next_cursor" not in page.json or page.json["next_cursor"] is None:
            break
        cursor = f"&cursor={page.json['next_cursor']}"
    assert seen == newest
    assert len(listed("?condition=late")) == 2
    assert len(listed("?event=ended")) == 2
    assert len(listed("?channel=chat")) == 4
    assert len(listed("?state=pending&channel=chat&condition=failure")) == 2
    assert listed("?state=delivered") == []
    assert len(listed("?since=2026-11-24T12:00:01Z")) <= 5
    assert client.ask("GET", "/account/alerts/?state=lost").status == 400
    assert client.ask("GET", "/account/alerts/?channel=nobodys").status == 404


def test_test__an_unknown_word_is_no_channel(client: Client) -> None:
    assert client.ask("POST", "/channel/nobodys/test/").status == 404
    refused = client.ask("POST", "/channel/", {**CHAT, "name": "confirm"})
    assert "confirm" in refused.fields["name"]
