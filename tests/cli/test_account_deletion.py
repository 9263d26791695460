"""`cronally account delete`: by its owner, who confirms which account is meant."""

from __future__ import annotations

from cronally.client import Account
from tests.cli.conftest import Run


def test_account_delete__asks_or_takes_the_address(run: Run, account: Account) -> None:
    assert "--email ADDRESS deletes without asking" in run("account", "delete", status=1).stderr
    wrong = run("account", "delete", "--email", "other@example.com", status=1)
    assert "email: is not the account's own" in wrong.stderr
    assert run("account").stdout
    done = run("account", "delete", "--email", account.email.upper())
    assert "Nothing of it fires" in done.stdout
    assert "can restore it" in done.stdout
