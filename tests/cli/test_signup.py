"""Sign-up: the account's secret is shown once, so it must not be lost and must not be shared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cronally import Client
from cronally.api.signup import Signup
from tests.api.serving import serving
from tests.cli.conftest import Run
from tests.support.relay import Relay, failure, success, unused_url


@pytest.fixture(autouse=True)
def url(relay: Relay, config_home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("CRONALLY_URL", relay.url)
    return relay.url


def test_signup__stores_the_keys_for_their_owner_alone(run: Run, config_home: Path, url: str) -> None:
    result = run("signup", "somebody@example.com")
    file = config_home / "cronally" / "credentials"
    assert result.stdout == (
        f"Account somebody@example.com created.\nIts keys are stored in {file}, profile default.\n"
    )
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in file.parent.iterdir()] == ["credentials"]
    assert "somebody@example.com" in run("account").stdout
    assert file.read_text().splitlines()[:2] == ["[default]", f"url = {url}"]


def test_signup__never_overwrites_a_profile_unasked(run: Run, relay: Relay, config_home: Path) -> None:
    run("signup", "one@example.com")
    before = (config_home / "cronally" / "credentials").read_text()
    sent = len(relay.requests)
    result = run("signup", "two@example.com", status=1)
    assert "the profile default exists already" in result.stderr
    assert "Hint: --profile NAME, or --force" in result.stderr
    assert len(relay.requests) == sent, "no account is made whose keys have no place"
    assert (config_home / "cronally" / "credentials").read_text() == before


def test_signup__profiles_stand_side_by_side(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("signup", "one@example.com")
    run("signup", "two@example.com", "--profile", "work")
    assert "one@example.com" in run("account").stdout
    assert "two@example.com" in run("account", "--profile", "work").stdout
    monkeypatch.setenv("CRONALLY_PROFILE", "work")
    assert "two@example.com" in run("account").stdout


def test_signup__force_replaces_one_profile_and_keeps_the_rest(run: Run, config_home: Path) -> None:
    run("signup", "one@example.com")
    run("signup", "two@example.com", "--profile", "work")
    file = config_home / "cronally" / "credentials"
    file.write_text("# mine\n" + file.read_text())
    run("signup", "three@example.com", "--force")
    assert "three@example.com" in run("account").stdout
    assert "two@example.com" in run("account", "--profile", "work").stdout
    text = file.read_text()
    assert text.startswith("# mine\n")
    assert text.count("[default]") == text.count("[work]") == 1


def test_signup__json_is_the_answer_as_it_is(run: Run, relay: Relay) -> None:
    result = run("signup", "somebody@example.com", "--json", "--show-secret")
    answered = json.loads(result.stdout)
    assert answered["status"] == "success"
    shown = run("account", "--json", "--show-secret")
    assert shown.stdout == result.stdout, "the same account, with the same keys"
    assert result.stderr.startswith("note: the keys are stored in ")


def test_signup__json_has_no_secret_unless_asked(run: Run, config_home: Path) -> None:
    """It is stored; in the output it would land in the log of a script."""
    result = run("signup", "somebody@example.com", "--json")
    stored = (config_home / "cronally" / "credentials").read_text()
    assert json.loads(result.stdout)["response"].keys() >= {"account_id", "api_key"}
    secret = json.loads(run("account", "--json", "--show-secret").stdout)["response"]["api_secret"]
    assert secret in stored
    assert secret not in result.output + run("account", "--json").output


def test_signup__url_option_and_operators_token(
    run: Run, migrated_sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRONALLY_URL", unused_url())
    with serving(migrated_sqlite_url, signup=Signup("token", "let-me-in")) as api:
        result = run("signup", "a@example.com", "--url", api.url, "--token", "wrong", status=1)
        assert result.stderr == (
            "error: sign-up needs the token of the server's operator. Hint: --token TOKEN\n"
        )
        run("signup", "a@example.com", "--url", api.url, "--token", "let-me-in")
        monkeypatch.delenv("CRONALLY_URL")
        assert "a@example.com" in run("account").stdout, "the profile knows its server"


def test_signup__keys_that_cannot_be_stored_are_printed(
    run: Run, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cronally.cli.credentials.os.fsync", full)
    result = run("signup", "somebody@example.com", status=1)
    printed = json.loads(result.stdout)["response"]
    with Client(relay.url, printed["api_key"], printed["api_secret"]) as client:
        assert client.account().email == "somebody@example.com"
    assert "keep what is printed above" in result.stderr
    assert "No space left on device" in result.stderr


def test_signup__makes_no_account_when_the_profiles_cannot_be_read(
    run: Run, relay: Relay, config_home: Path
) -> None:
    config_home.write_text("a file where a folder should be")
    assert "cannot read" in run("signup", "somebody@example.com", status=1).stderr
    assert relay.requests == []


@pytest.mark.parametrize(
    "changed", [{"api_secret": None}, {"api_key": "a\n[other]\napi_key = b"}, {"api_secret": "ä"}]
)
def test_signup__an_answer_that_cannot_be_stored_is_printed(
    run: Run, relay: Relay, config_home: Path, changed: dict[str, object]
) -> None:
    account = {"account_id": "1", "email": "a@b.c", "api_key": "k", "api_secret": "cw==", "cronjob_count": 0}
    answer = {**account, "created_at": "2026-11-24T08:00:00Z", **changed}
    relay.script.append(success(answer))
    result = run("signup", "somebody@example.com", status=1)
    assert json.loads(result.stdout)["response"] == answer
    assert not (config_home / "cronally" / "credentials").exists()


def test_signup__errors_name_the_parameter(run: Run, relay: Relay, config_home: Path) -> None:
    assert run("signup", "nobody", status=1).stderr == (
        "error: email: is no email address; give one like username@example.com\n"
    )
    relay.script.append(failure(429, "rate_limited", "Too many sign-ups", Retry_After="30"))
    result = run("signup", "a@example.com", status=1)
    assert result.stderr == "error: Too many sign-ups. Hint: try again in 30 s\n"
    assert not config_home.exists()


def test_signup__shows_the_secret_if_asked(run: Run, config_home: Path) -> None:
    shown = run("signup", "somebody@example.com", "--show-secret").stdout
    secret = json.loads(run("account", "--json", "--show-secret").stdout)["response"]["api_secret"]
    assert secret in shown
    assert secret not in run("signup", "other@example.com", "--profile", "other").output
