"""What a process stands on says where it is."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from cronally.instants import parse_duration
from cronally.server.environment import read_settings
from cronally.server.resources import open_database, open_targets


async def test_open_database__says_which_file_it_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("CRONALLY_DATABASE_URL", "sqlite:///here.db")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        async with open_database(read_settings()):
            pass
    (made,) = [record for record in caplog.records if record.message == "made a new, empty database"]
    assert made.database == f"sqlite:///{tmp_path / 'here.db'}"  # type: ignore[attr-defined]
    # From another folder the same path leads to another file: that is said too.
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    async with open_database(read_settings()):
        pass
    assert sum(record.message == "made a new, empty database" for record in caplog.records) == 2


@pytest.mark.parametrize(("places", "allowed"), [("0", "10s"), ("1", "15m")])
async def test_open_targets__take_a_long_timeout_if_there_are_places_for_it(
    monkeypatch: pytest.MonkeyPatch, places: str, allowed: str
) -> None:
    monkeypatch.setenv("CRONALLY_LONG_IN_FLIGHT", places)
    async with open_targets(read_settings()) as targets:
        most = parse_duration(allowed)
        assert targets["http"].check({"delivery_http_timeout": most}) == {}
        assert targets["http"].check({"delivery_http_timeout": most + 1}) == {
            "delivery_http_timeout": f"is longer than a request of this server may take; give {allowed} at most"
        }
        assert {target.request_timeout for target in targets.values()} == {10.0}
