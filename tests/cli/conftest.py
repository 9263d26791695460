from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cronally import Client
from cronally.cli.app import app
from cronally.client import Account
from tests.support.api_fixtures import api, relay
from tests.support.relay import Relay
from tests.support.stores import migrated_sqlite, migrated_sqlite_url

__all__ = ["api", "migrated_sqlite", "migrated_sqlite_url", "relay"]

Run = Callable[..., Result]


@pytest.fixture
def config_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty config folder, and no variable of Cronally's or of AWS's from outside."""
    import os

    for name in list(os.environ):
        if name.startswith(("CRONALLY_", "AWS_")) or name == "COLUMNS":
            monkeypatch.delenv(name)
    home = tmp_path / "config"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    return home


@pytest.fixture
def account(relay: Relay, config_home: Path, monkeypatch: pytest.MonkeyPatch) -> Account:
    """An account whose keys stand in the environment."""
    with Client(relay.url) as client:
        account = client.signup("somebody@example.com")
    relay.requests.clear()
    monkeypatch.setenv("CRONALLY_URL", relay.url)
    monkeypatch.setenv("CRONALLY_API_KEY", account.api_key)
    monkeypatch.setenv("CRONALLY_API_SECRET", account.api_secret)
    return account


@pytest.fixture
def client(relay: Relay, account: Account) -> Iterator[Client]:
    """A client of the account that does not go through the relay, which keeps the requests of the CLI alone."""
    with Client(f"http://127.0.0.1:{relay.api_port}", account.api_key, account.api_secret) as client:
        yield client


@pytest.fixture
def run(config_home: Path) -> Run:
    """Run the command in this process; checks what holds for every run."""

    def invoke(*arguments: str, input: str | bytes | None = None, status: int = 0) -> Result:
        result = CliRunner().invoke(app, list(arguments), input=input, prog_name="cronally")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        if status:
            assert result.stderr.splitlines()[-1].startswith("error: ")
        assert "Traceback" not in result.output
        return result

    return invoke
