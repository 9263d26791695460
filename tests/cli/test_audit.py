"""`cronally audit` against the real API."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from cronally.cli import auditing
from cronally.client import AuditChange, AuditRow, Page
from tests.cli.conftest import Run

pytestmark = pytest.mark.usefixtures("account")


def test_audit__is_listed_filtered_and_verified(run: Run) -> None:
    assert "host.add" not in run("audit").stdout
    run("host", "add", "nobody.invalid")
    listed = run("audit", "--wide", "--since", "1h", "--action", "host.add").stdout
    assert "host.add" in listed
    assert "nobody.invalid" in listed
    (row,) = json.loads(run("audit", "--action", "host.add", "--json").stdout)["response"]
    assert (row["who"], row["subject_id"]) == ("key", "nobody.invalid")
    assert run("audit", "--who", "operator").stdout == "No rows.\n"
    checked = run("audit", "--verify").stdout
    assert checked.startswith(f"{row['number']} rows follow one another without a gap.\n")
    assert f"Newest: {row['number']}, {row['hash']}" in checked


def test_audit__wrong_usage(run: Run) -> None:
    assert "reads the whole log" in run("audit", "--verify", "--who", "key", status=2).stderr
    assert "there are" in run("audit", "--action", "cronjob.fly", status=1).stderr


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_audit__breaks_no_instant(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    row = AuditRow(
        number=1,
        at=datetime(2026, 11, 30, 21, 29, 9, tzinfo=UTC),
        who="key",
        api_key="0849e8e7-0bb7-460d-a306-8692c14d073a",
        address="203.0.113.7",
        action="cronjob.update",
        subject="cronjob",
        subject_id="0849e8e7-0bb7-460d-a306-8692c14d073a",
        count=3,
        changes=(AuditChange(name="timezone", before="UTC", after="Asia/Tokyo"),),
        previous="x",
        hash="y",
    )
    auditing._print(Page((row,), "more"), wide=False)
    said = capsys.readouterr()
    head, _, first, *_ = said.out.splitlines()
    assert len(head) <= width
    assert "2026-11-30 21:29:09" in first
    assert "cronjob.update x3" in first
    assert "--cursor more" in said.err
