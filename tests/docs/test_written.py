"""What `make docs` writes is current."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from scripts import cli_reference, openapi_document, settings_table
from tests.docs.markdown import ROOT, first_names, read
from tests.docs.test_links import known_variables

AGAIN = "`make docs` writes it"


def test_settings_table__is_current() -> None:
    text = settings_table.README.read_text()
    assert settings_table.table() in text, AGAIN
    assert settings_table.main(["--check"]) == 0


def test_settings_table__has_every_setting() -> None:
    listed = first_names(read(ROOT / "README.md").section("Settings"))
    assert set(listed) == set(settings_table.variables())
    assert set(listed) <= known_variables()


def test_openapi_document__is_current() -> None:
    assert openapi_document.main(["--check"]) == 0, AGAIN


def test_openapi_document__is_valid() -> None:
    validate(json.loads(openapi_document.DOCUMENT.read_text()))


def test_cli_reference__is_current() -> None:
    assert cli_reference.main(["--check"]) == 0, AGAIN


@pytest.mark.parametrize("script", [openapi_document, cli_reference, settings_table])
def test_check__tells_what_is_stale(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "README" if script is settings_table else "DOCUMENT"
    written = getattr(script, name).read_text()
    copy = tmp_path / "written"
    monkeypatch.setattr(script, name, copy)
    if script is not settings_table:
        # That this is what it makes is another test's matter, and making it takes a second.
        monkeypatch.setattr(script, "text", lambda: written)
    stale = written.replace("`CRONALLY_HOST`", "`CRONALLY_OTHER`").replace("cron job", "job")
    assert stale != written
    copy.write_text(stale)
    assert script.main(["--check"]) == 1
    assert AGAIN in capsys.readouterr().out
    assert script.main([]) == 0
    if script is not settings_table:  # which writes a part of its file
        assert copy.read_text() == written
    assert script.main(["--check"]) == 0
