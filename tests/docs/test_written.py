"""What `make docs` writes is current."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from scripts import contract_tables, settings_table, written
from scripts.written import DOCUMENTS, Document
from tests.docs.markdown import ROOT, first_names, read
from tests.docs.test_links import known_variables

AGAIN = "`make docs` writes it"


@pytest.mark.slow  # `make check`, with which `make test` begins, says the same
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.path.name)
def test_documents__are_current(document: Document) -> None:
    found, text = document.current()
    assert found == text, AGAIN


def test_settings_table__is_in_the_readme() -> None:
    assert settings_table.table() in (ROOT / "README.md").read_text(), AGAIN


def test_settings_table__has_every_setting() -> None:
    listed = first_names(read(ROOT / "README.md").section("Settings"))
    assert set(listed) == set(settings_table.variables())
    assert set(listed) <= known_variables()


def test_contract_tables__are_all_in_the_api_reference() -> None:
    page = (ROOT / "docs/reference/api.md").read_text()
    assert sorted(match[2] for match in contract_tables.PLACE.finditer(page)) == sorted(
        contract_tables.tables()
    )


def test_openapi_document__is_valid() -> None:
    validate(json.loads((ROOT / "docs/reference/openapi.json").read_text()))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.path.name)
def test_check__says_what_is_stale(
    document: Document, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    current = document.path.read_text()

    # What a whole file must hold is another test's matter, and making it takes a second.
    whole = document.path.name not in ("README.md", "api.md")
    copy = Document(tmp_path / document.path.name, (lambda _: current) if whole else document.text)
    stale = (
        current.replace("`CRONALLY_HOST`", "`CRONALLY_OTHER`")
        .replace("| `cronjob_id` | id |", "| `id` | id |")
        .replace("cron job", "job" if whole else "cron job")
    )
    assert stale != current
    copy.path.write_text(stale)
    assert written.main(["--check"], [copy]) == 1
    assert f"{document.path.name} is not current; {AGAIN}" in capsys.readouterr().out
    assert copy.path.read_text() == stale
    assert written.main([], [copy]) == 0
    assert copy.path.read_text() == current
    assert written.main(["--check"], [copy]) == 0
