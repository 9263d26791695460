"""Sign-up by mail in the terminal: what is said, and that no key is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronally import Client
from cronally.api.signup import Signup
from cronally.contract.accounts import Signup as NewAccount
from cronally.contract.reading import Reading
from tests.api.serving import Api, serving
from tests.cli.conftest import Run
from tests.support.mailboxes import links_of, mail_to, running_mailbox, text_of
from tests.support.relay import Relay, success
from tests.support.smtp import Mailbox

PUBLIC = "https://cron.example.com"


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with running_mailbox() as running:
        yield running


@pytest.fixture
def verified(
    mailbox: Mailbox, migrated_sqlite_url: str, config_home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Api]:
    options = {"mail": mail_to(mailbox), "public_url": PUBLIC}
    with serving(migrated_sqlite_url, operations=options, signup=Signup("verified")) as api:
        monkeypatch.setenv("CRONALLY_URL", api.url)
        yield api


def link_in(mailbox: Mailbox) -> str:
    (link,) = links_of(text_of(mailbox))
    return link


def test_signup__by_mail_says_what_to_do_and_confirm_stores_the_keys(
    run: Run, verified: Api, mailbox: Mailbox, config_home: Path
) -> None:
    asked = run("signup", "somebody@example.com")
    assert asked.stdout == (
        "A mail is on its way to somebody@example.com. Open the link in it, or give it to `cronally account confirm`.\n"
    )
    assert not config_home.exists()
    done = run("account", "confirm", link_in(mailbox))
    file = config_home / "cronally" / "credentials"
    assert done.stdout.endswith(f"Its keys are stored in {file}, profile default.\n")
    assert "somebody@example.com" in run("account").stdout
    secret = json.loads(run("account", "--json", "--show-secret").stdout)["response"]["api_secret"]
    assert secret not in done.output
    again = run("account", "confirm", link_in(mailbox), "--profile", "other", status=1)
    assert again.stderr.startswith("error: The link was used already, or it is over")


def test_confirm__uses_no_link_whose_keys_have_no_place(
    run: Run, verified: Api, mailbox: Mailbox, config_home: Path
) -> None:
    run("signup", "one@example.com")
    link = link_in(mailbox)
    run("account", "confirm", link)
    run("signup", "two@example.com", "--profile", "two")
    link = link_in(mailbox)
    refused = run("account", "confirm", link, status=1)
    assert "the profile default exists already" in refused.stderr
    shown = run("account", "confirm", link, "--profile", "two", "--json", "--show-secret")
    assert (
        json.loads(shown.stdout)["response"]["api_secret"]
        in (config_home / "cronally" / "credentials").read_text()
    ), "the link was not used up"


def test_signup__json_has_the_answer(run: Run, verified: Api) -> None:
    answer = json.loads(run("signup", "somebody@example.com", "--json").stdout)["response"]
    assert (answer["email"], answer["purpose"]) == ("somebody@example.com", "signup")


@pytest.mark.parametrize("link", ["", "no link", "https://cron.example.com/account/confirm/"])
def test_confirm__what_is_no_link_is_said(run: Run, verified: Api, link: str) -> None:
    assert "link: is no link of a mail" in run("account", "confirm", link, status=1).stderr


def test_confirm__keys_that_cannot_be_stored_are_printed(
    run: Run, verified: Api, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("signup", "somebody@example.com")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cronally.cli.credentials.os.fsync", full)
    result = run("account", "confirm", link_in(mailbox), status=1)
    assert json.loads(result.stdout)["response"]["api_secret"]
    assert "keep what is printed above" in result.stderr


def test_confirm__asks_the_server_in_the_link_where_none_is_named(
    run: Run, relay: Relay, config_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = {
        "purpose": "signup",
        "email": "a@example.com",
        "message": "Done.",
        "api_key": "k",
        "api_secret": "cw==",
    }
    relay.script.append(success(used))
    run("account", "confirm", f"{relay.url}/account/confirm/signup-abc/")
    assert f"url = {relay.url}" in (config_home / "cronally" / "credentials").read_text()


def test_recover__gives_keys_back_and_lists_all(
    run: Run, verified: Api, mailbox: Mailbox, config_home: Path
) -> None:
    run("signup", "somebody@example.com")
    run("account", "confirm", link_in(mailbox))
    file = config_home / "cronally" / "credentials"
    refused = run("account", "recover", "somebody@example.com", status=1)
    assert "the profile default exists already" in refused.stderr
    file.unlink()
    run("account", "recover", "somebody@example.com")
    done = run("account", "confirm", link_in(mailbox))
    assert "  sign-up  " in done.stdout
    assert "  recovery  " in done.stdout
    assert "somebody@example.com" in run("account").stdout


def test_recover__may_end_all_others(run: Run, verified: Api, mailbox: Mailbox) -> None:
    run("signup", "somebody@example.com")
    run("account", "confirm", link_in(mailbox))
    run("account", "recover", "somebody@example.com", "--profile", "new")
    run("account", "confirm", link_in(mailbox), "--profile", "new", "--revoke-others")
    assert "does not know this API key" in run("account", status=1).stderr
    assert "somebody@example.com" in run("account", "--profile", "new").stdout


def test_confirm__without_a_link_asks_for_one(
    run: Run, verified: Api, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = verified.run(verified.operations.create_account(Reading(NewAccount, {"email": "old@example.com"})))
    monkeypatch.setenv("CRONALLY_API_KEY", made.api_key)
    monkeypatch.setenv("CRONALLY_API_SECRET", made.api_secret)
    assert "old@example.com (not confirmed)" in run("account").stdout
    assert "A mail is on its way" in run("account", "confirm").stdout
    assert "is confirmed" in run("account", "confirm", link_in(mailbox)).stdout
    assert "not confirmed" not in run("account").stdout
    assert "confirmed already" in run("account", "confirm", status=1).stderr
    with Client(verified.url, made.api_key, made.api_secret) as client:
        assert client.account().email_confirmed
    assert run("account", "confirm", "--force", status=2).stderr


def test_change__of_the_address_is_shown_while_it_waits(run: Run, verified: Api, mailbox: Mailbox) -> None:
    run("signup", "old@example.com")
    run("account", "confirm", link_in(mailbox))
    shown = run("account", "change", "--email", "new@example.com").stdout
    assert "new@example.com; waits for the link in the mail that went there" in shown
    (new,) = links_of(text_of(mailbox, -2))
    assert "or else at" in run("account", "confirm", new).stdout
    assert "waits for the old address, until" in run("account").stdout
    refuse, agree = links_of(text_of(mailbox))
    assert "/refuse-" in refuse
    assert "is new@example.com now" in run("account", "confirm", agree).stdout
    assert "old@example.com" not in run("account").stdout
