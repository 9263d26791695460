from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cronally.cli.app import app
from tests.client.stand_in import StandIn, running_stand_in

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
def stand_in() -> Iterator[StandIn]:
    with running_stand_in() as stand_in:
        yield stand_in


@pytest.fixture
def account(stand_in: StandIn, config_home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An account whose keys stand in the environment."""
    account = stand_in.add_account()
    monkeypatch.setenv("CRONALLY_URL", stand_in.url)
    monkeypatch.setenv("CRONALLY_API_KEY", account["api_key"])
    monkeypatch.setenv("CRONALLY_API_SECRET", account["api_secret"])
    return account


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
