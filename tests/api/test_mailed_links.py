"""Links of mails over HTTP: a page that does nothing, a button that does, and JSON for programs."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronally.api import Signup
from tests.api.conftest import MANY
from tests.api.serving import Api, Client, serving
from tests.support.mailboxes import links_of, mail_to, running_mailbox, text_of
from tests.support.smtp import Mailbox

PUBLIC = "https://cron.example.com"
HTML = {"Accept": "text/html,application/xhtml+xml"}
MADE_UP = f"/account/confirm/signup-{'x' * 43}/"


@pytest.fixture(scope="module")
def mailbox() -> Iterator[Mailbox]:
    with running_mailbox() as running:
        yield running


@pytest.fixture(scope="module")
def verified(
    mailbox: Mailbox, migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Api]:
    """A server on which sign-up is verified."""
    path = tmp_path_factory.mktemp("verified") / "cronally.db"
    shutil.copy(migrated_sqlite, path)
    options = {**MANY, "mail": mail_to(mailbox), "public_url": PUBLIC}
    with serving(f"sqlite:///{path}", operations=options, signup=Signup("verified")) as api:
        yield api


def path_in(mailbox: Mailbox) -> str:
    """The path of the link in the last mail."""
    (link,) = links_of(text_of(mailbox))
    return link.removeprefix(PUBLIC)


def test_signup__is_answered_with_202_and_no_secret(verified: Api, mailbox: Mailbox) -> None:
    stranger = Client(verified)
    first = stranger.ask("POST", "/account/", {"email": "one@example.com"})
    assert (first.status, first.json["status"]) == (202, "success")
    assert first.json["response"].keys() == {"email", "purpose", "until", "message"}
    made = stranger.ask("POST", path_in(mailbox)).response
    again = stranger.ask("POST", "/account/", {"email": "one@example.com"})
    same = {"until": ""}
    assert (again.status, {**again.json["response"], **same}) == (202, {**first.json["response"], **same})
    assert "has one already" in text_of(mailbox)
    owner = Client(verified, made["api_key"], made["api_secret"])
    assert owner.ask("GET", "/account/").response["email_confirmed"] is True


def test_page__to_look_does_nothing_and_to_press_does_it_once(verified: Api, mailbox: Mailbox) -> None:
    stranger = Client(verified)
    assert stranger.ask("POST", "/account/", {"email": "two@example.com"}).status == 202
    path = path_in(mailbox)
    for _ in range(3):
        page = stranger.ask("GET", path, headers=HTML)
        assert page.status == 200
        assert page.body == stranger.ask("GET", MADE_UP).body, "a GET looks nothing up"
        assert stranger.ask("HEAD", path).status == 200
    assert b'<form method="post" action="">' in page.body
    done = stranger.ask("POST", path, {}, headers=HTML)
    assert done.status == 200
    key, secret = re.findall(rb"<code>([^<]+)</code>", done.body)[2:]
    owner = Client(verified, key.decode(), secret.decode())
    assert owner.ask("GET", "/account/").response["email"] == "two@example.com"
    for answer in (page, done):
        policy = answer.headers["Content-Security-Policy"]
        (style,) = re.findall(rb"<style>(.*?)</style>", answer.body, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style).digest()).decode()
        assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'")
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert b"<script" not in answer.body
        assert b"http" not in answer.body.partition(b"<body>")[2]
    used = stranger.ask("POST", path, {}, headers=HTML)
    assert (used.status, b"used already" in used.body) == (404, True)
    assert stranger.ask("POST", path).error["code"] == "not_found"


@pytest.mark.parametrize("token", ["x", "signup", "signup_", "nothing-abc", "%3Cb%3E", "a" * 101])
def test_page__of_what_is_no_link(verified: Api, token: str) -> None:
    for method in ("GET", "POST"):
        answer = Client(verified).ask(method, f"/account/confirm/{token}/", headers=HTML)
        assert answer.status in (200, 404) if token.startswith("signup") else answer.status == 404
        assert b"<b>" not in answer.body


def test_link__takes_no_parameters_and_names_them(verified: Api) -> None:
    answer = Client(verified).ask("POST", MADE_UP, {"email": "x@example.com"})
    assert answer.status == 400
    assert list(answer.fields) == ["email"]


def test_signup__of_another_site_gets_no_mail(verified: Api, mailbox: Mailbox) -> None:
    before = len(mailbox.received)
    sent = {"Sec-Fetch-Site": "cross-site"}
    answer = Client(verified).ask("POST", "/account/", {"email": "a@example.com"}, headers=sent)
    assert answer.status == 403
    assert len(mailbox.received) == before


def test_signup__in_other_modes_is_as_it_was(api: Api) -> None:
    made = Client(api).ask("POST", "/account/", {"email": "open@example.com"})
    assert made.status == 200
    assert made.response["api_secret"]
    assert made.response["email_confirmed"] is False


def test_recover__is_a_page_with_a_choice_and_lists_the_keys(verified: Api, mailbox: Mailbox) -> None:
    stranger = Client(verified)
    stranger.ask("POST", "/account/", {"email": "lost@example.com"})
    old = stranger.ask("POST", path_in(mailbox)).response
    asked = stranger.ask("POST", "/account/recover/", {"email": "lost@example.com"})
    unknown = stranger.ask("POST", "/account/recover/", {"email": "none@example.com"})
    assert asked.status == unknown.status == 202
    headers = [{**answer.headers, "date": None, "x-request-id": None} for answer in (asked, unknown)]
    assert headers[0] == headers[1]
    assert not links_of(text_of(mailbox))
    (link,) = links_of(text_of(mailbox, -2))
    path = link.removeprefix(PUBLIC)
    page = stranger.ask("GET", path, headers=HTML)
    assert b'<input type="checkbox" name="revoke_others" value="true">' in page.body
    done = stranger.ask("POST", path, {"revoke_others": "true"}, headers=HTML)
    assert done.status == 200
    assert f"sign-up: <code>{old['api_key']}</code>, revoked".encode() in done.body
    assert old["api_secret"].encode() not in done.body


def test_confirm__is_signed_and_says_where_there_is_nothing_to_do(verified: Api, mailbox: Mailbox) -> None:
    stranger = Client(verified)
    stranger.ask("POST", "/account/", {"email": "signed@example.com"})
    made = stranger.ask("POST", path_in(mailbox)).response
    owner = Client(verified, made["api_key"], made["api_secret"])
    assert owner.ask("POST", "/account/confirm/").status == 409
    assert stranger.ask("POST", "/account/confirm/").status == 401


def test_recover__without_mail_is_one_sentence(api: Api) -> None:
    answer = Client(api).ask("POST", "/account/recover/", {"email": "a@example.com"})
    assert (answer.status, answer.fields) == (400, {})
    assert "`cronally admin keys`" in answer.error["message"]


@pytest.mark.parametrize("path", ["/account/recover/", "/account/"])
def test_mails__are_not_sent_for_pages_of_other_sites(verified: Api, mailbox: Mailbox, path: str) -> None:
    before = len(mailbox.received)
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://elsewhere.example"}):
        assert Client(verified).ask("POST", path, {"email": "a@example.com"}, headers=headers).status == 403
    assert len(mailbox.received) == before
