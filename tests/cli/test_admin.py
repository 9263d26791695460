"""`cronally admin`: on a database that nobody has open, and on one that a server has."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from cronally.store import Store, open_store
from tests.cli.conftest import Run
from tests.support.cronally_server import cronally_server
from tests.support.factories import make_account

KEYS = "k1:" + "A" * 43 + "="


@pytest.fixture
def account(database_url: str, config_home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An account in a database of the settings, made by its rows."""

    async def make() -> str:
        store: Store = await open_store(database_url)
        try:
            return await make_account(store)
        finally:
            await store.close()

    monkeypatch.setenv("CRONALLY_DATABASE_URL", database_url)
    monkeypatch.setenv("CRONALLY_SEALING_KEYS", KEYS)
    return asyncio.run(make())


def answer(run: Run, *arguments: str) -> Any:
    return json.loads(run("admin", *arguments, "--json").stdout)["response"]


def test_admin__suspends_resumes_and_limits(run: Run, account: str) -> None:
    (listed,) = answer(run, "accounts")
    assert (listed["account_id"], listed["state"]) == (account, "active")
    email = listed["email"]
    assert answer(run, "suspend", email, "--reason", "unpaid")["reason"] == "unpaid"
    assert [one["account_id"] for one in answer(run, "accounts", "--state", "suspended")] == [account]
    shown = run("admin", "accounts", account).stdout
    assert "suspended" in shown
    assert "unpaid" in shown
    assert answer(run, "resume", account)["suspended_at"] is None
    limited = answer(run, "limits", account, "max_cronjobs=5_000", "in_flight=1")
    assert (limited["limits"]["max_cronjobs"], limited["own_limits"]) == (5000, ["in_flight", "max_cronjobs"])
    assert answer(run, "limits", account, "--unset", "in_flight")["own_limits"] == ["max_cronjobs"]
    table = run("admin", "limits", account).stdout
    assert "5,000" in table
    assert email in run("admin", "accounts").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("suspend", "nobody@example.com", "--reason", "x"), "There is no account nobody@example.com"),
        (("suspend", "{}", "--reason", " "), "The reason holds nothing but spaces"),
        (("limits", "{}", "max_cronjobs=many"), "write it as max_cronjobs=5000"),
        (("limits", "{}", "max_jobs=1"), "max_jobs: is no limit; there are max_cronjobs"),
        (("limits", "{}", "in_flight=0"), "in_flight: is less than 1"),
    ],
)
def test_admin__says_what_is_wrong(run: Run, account: str, arguments: tuple[str, ...], said: str) -> None:
    wrong = [one.format(account) for one in arguments]
    result = run("admin", *wrong, status=2 if "many" in said or "=many" in arguments[-1] else 1)
    assert said in result.stderr


def test_keys__a_new_one_is_shown_once(run: Run, account: str) -> None:
    made = answer(run, "keys", account, "--new")
    listed = answer(run, "keys", account)
    assert [one["api_key"] for one in listed] == [made["api_key"]]
    assert "api_secret" not in listed[0]
    assert answer(run, "accounts", made["api_key"])["account_id"] == account
    shown = run("admin", "keys", account, "--new")
    assert "it is shown only now" in shown.stderr
    assert made["api_secret"] not in shown.stdout
    assert made["api_key"] in run("admin", "keys", account).stdout


def test_admin__looks_into_an_account(run: Run, account: str) -> None:
    assert answer(run, "firings", account) == []
    run("admin", "firings", account, "--state", "failed", "--limit", "5")
    assert answer(run, "forecast", account)["firings"] == 0
    assert answer(run, "forecast", "--hours", "2")["firings"] == 0
    run("admin", "forecast", account)
    frozen = answer(run, "freeze", account, "--all", "--until", "2h", "--note", "overrun")
    assert frozen["in_force"]
    assert "overrun" in run("admin", "freezes", account).stdout
    assert not answer(run, "unfreeze", account, frozen["freeze_id"])["in_force"]
    run("admin", "suspend", account, "--reason", "unpaid")
    told = answer(run, "audit", account)
    assert [one["action"] for one in told] == ["account.suspend", "freeze.lift", "freeze.create"]
    assert {one["who"] for one in told} == {"operator"}
    assert "reason: none -> unpaid" in told[0]["changes"]
    assert "account.suspend" in run("admin", "audit", account, "--limit", "1").stdout
    assert [one["number"] for one in answer(run, "audit", account, "--cursor", "2")] == [1]
    assert "none of this list" in run("admin", "audit", account, "--cursor", "x", status=1).stderr
    assert "tables" in run("admin", "migrate").stdout


def test_admin__tells_everybody_something(run: Run, account: str) -> None:
    assert account
    assert answer(run, "notice", "Slower today", "--until", "2h")["notice"] == "Slower today"
    assert "Slower today (until " in run("admin", "notice").stdout
    assert "characters of ASCII" in run("admin", "notice", "a\nb", status=1).stderr
    assert "There is no notice" in run("admin", "notice", "--clear").stdout
    run("admin", "notice", "x", "--clear", status=2)


def test_admin__deletes_with_a_question_and_restores(run: Run, account: str) -> None:
    refused = run("admin", "delete", account, status=1)
    assert "--yes deletes without asking" in refused.stderr
    deleted = answer(run, "delete", account, "--yes")
    assert deleted["state"] == "deleted"
    assert "cronally admin restore" in run("admin", "resume", account, status=1).stderr
    assert answer(run, "restore", account)["state"] == "active"
    assert answer(run, "delete", account, "--yes", "--now")["purge_at"] is not None
    assert "is over" in run("admin", "restore", account, status=1).stderr


def test_admin__of_a_server_that_holds_the_file(tmp_path: Path, sqlite_url: str) -> None:
    """As a user does it: nothing has to be stopped."""
    settings = {"CRONALLY_DATABASE_URL": sqlite_url, "CRONALLY_SEALING_KEYS": KEYS}
    with cronally_server(tmp_path, settings) as server:
        assert server.cli("signup", "somebody@example.com").returncode == 0
        done = server.cli("admin", "suspend", "somebody@example.com", "--reason", "the invoice", env=settings)
        assert (done.returncode, done.stderr) == (0, "")
        while (refused := server.cli("account")).returncode == 0:
            pass  # less than a second
        assert "the invoice" in refused.stderr
        assert server.cli("admin", "resume", "somebody@example.com", env=settings).returncode == 0
        while server.cli("account").returncode:
            pass
        wrong = server.cli("admin", "resume", "nobody@example.com", env=settings)
        assert "There is no account nobody@example.com" in wrong.stderr
    # Afterwards the command opens the file itself.
