"""`cronally calendars` and `--exclude` against the real API."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from cronally import Client
from cronally.instants import parse_iso
from tests.api.serving import Api
from tests.cli.conftest import Run
from tests.support.factories import make_firing
from tests.support.relay import Relay

pytestmark = pytest.mark.usefixtures("account")

HTTP = ("--delivery-http-url", "https://1.1.1.1/hook", "--delivery-http-method", "post")
ADD = ("add", "--name", "report", "--cron", "0 8 * * *", *HTTP)


def test_set__from_words_and_a_file(run: Run, relay: Relay, tmp_path: Path) -> None:
    file = tmp_path / "holidays.txt"
    file.write_text(
        "# of Hesse\n\n2026-12-24/2026-12-26   # Christmas\n  2027-01-01\r\n", encoding="utf-8-sig"
    )
    result = run("calendars", "set", "holidays", "2027-05-01", "--file", str(file))
    assert result.stdout == "Calendar holidays created: 3 dates and ranges.\n"
    assert relay.last.form() == {"dates": "2027-05-01,2026-12-24/2026-12-26,2027-01-01"}
    assert run("calendars", "show", "holidays").stdout.splitlines() == [
        "2026-12-24/2026-12-26",
        "2027-01-01",
        "2027-05-01",
    ]
    result = run("calendars", "set", "holidays", "--file", "-", input="2027-01-01\n")
    assert result.stdout == "Calendar holidays replaced: 1 date or range.\n"
    assert "holidays" in run("calendars").stdout
    assert json.loads(run("calendars", "--json").stdout)["response"][0]["count"] == 1
    shown = json.loads(run("calendars", "show", "holidays", "--json").stdout)["response"]
    assert shown["dates"] == ["2027-01-01"]


def test_set__a_wrong_line_is_named_and_nothing_is_sent(run: Run, relay: Relay, tmp_path: Path) -> None:
    file = tmp_path / "holidays.txt"
    file.write_text("2026-12-24\n24.12.2026\n")
    relay.requests.clear()
    result = run("calendars", "set", "holidays", "--file", str(file), status=2)
    assert "line 2 of" in result.stderr
    assert "neither a date" in result.stderr
    assert not relay.requests
    assert "no dates: give some" in run("calendars", "set", "holidays", status=2).stderr


def test_delete__asks_and_says_what_uses_it(run: Run) -> None:
    run("calendars", "set", "holidays", "2026-12-24")
    run(*ADD, "--exclude", "holidays")
    refused = run("calendars", "delete", "holidays", "--yes", status=1)
    assert "excluded by cron jobs" in refused.stderr
    assert "(report)" in refused.stderr
    assert "--yes" in run("calendars", "delete", "holidays", status=1).stderr
    run("update", "report", "--exclude", "")
    assert run("calendars", "delete", "holidays", "--yes").stdout == "Calendar holidays deleted.\n"
    missing = run("calendars", "show", "holidays", status=1).stderr
    assert missing == "error: There is no such calendar. Hint: `cronally calendars` lists them\n"
    assert "There are no calendars" in run("calendars").stdout


def test_calendars__options_stand_behind_the_command(run: Run) -> None:
    result = run("calendars", "--json", "show", "holidays", status=2)
    assert "cronally calendars show" in result.stderr


def test_exclude__is_sent_and_shown(run: Run, relay: Relay) -> None:
    result = run(*ADD, "--exclude", "2026-12-24/2026-12-26", "--exclude", "2027-01-01")
    assert parse_qs(relay.last.body.decode())["exclude"] == ["2026-12-24/2026-12-26", "2027-01-01"]
    assert "2026-12-24/2026-12-26, 2027-01-01" in result.stdout
    run("update", "report", "--exclude", "")
    assert relay.last.form() == {"exclude": ""}
    assert "Exclude" not in run("show", "report").stdout


def test_exclude__of_an_unknown_calendar(run: Run) -> None:
    result = run(*ADD, "--exclude", "holidays", status=1)
    assert "names a calendar that there is not, for the account has none" in result.stderr


def test_next__shows_what_is_excluded_in_its_place(run: Run) -> None:
    asked = ("next", "0 8,20 * * *", "--after", "2026-12-23T12:00:00Z", "--count", "2")
    result = run(*asked, "--exclude", "2026-12-24/2026-12-25", "--wide")
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["2026-12-23", "2026-12-24", "2026-12-26"]
    assert "does not fire" in lines[-2]
    assert "excluded, 4 times up to 2026-12-25 20:00; 2026-12-24/2026-12-25" in lines[-2]
    refused = run(*asked, "--exclude", "holidays", status=1)
    assert "has as its entry 1 neither a date" in refused.stderr


def test_firings__and_why_name_the_cause(run: Run, client: Client, api: Api) -> None:
    made = json.loads(run(*ADD, "--exclude", "2026-11-24", "--json").stdout)["response"]
    at = parse_iso("2026-11-24T08:00:00Z")
    row = {"cronjob_id": made["cronjob_id"], "account_id": made["account_id"]}
    skipped = {"state": "skipped", "reason": "excluded", "cause": "2026-11-24", "scheduled_at": at}
    api.run(make_firing(api.store, row, **skipped))
    assert "excluded: 2026-11-24" in run("firings", "report", "--wide").stdout
    result = run("why", "report", "2026-11-24T08:00:00Z")
    assert "Skipped: its date is excluded by 2026-11-24." in result.stdout
    assert next(iter(client.firings(made["cronjob_id"]))).cause == "2026-11-24"


def test_calendar__of_a_file_without_dates_is_not_emptied(run: Run, client: Client, tmp_path: Path) -> None:
    client.put_calendar("holidays", ["2026-12-25"])
    file = tmp_path / "holidays.txt"
    file.write_text("# nothing yet\n")
    assert "it holds no date" in run("calendars", "set", "holidays", "--file", str(file), status=2).stderr
    assert client.calendar("holidays").dates == ("2026-12-25",)
