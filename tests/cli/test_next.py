"""`cronally next`: offline, in tables and in JSON."""

from __future__ import annotations

import json

import pytest

from cronally.clock import zones
from tests.cli.conftest import Run


def test_next__json_has_the_fire_times_after_an_instant(run: Run) -> None:
    result = run("next", "0 8 * * MON-FRI", "--after", "2026-11-26T08:00:00Z", "--count", "3", "--json")
    response = json.loads(result.stdout)["response"]
    assert response["expression"] == "0 8 * * MON-FRI"
    assert [time["scheduled_at"] for time in response["fire_times"]] == [
        "2026-11-27T08:00:00Z",
        "2026-11-30T08:00:00Z",
        "2026-12-01T08:00:00Z",
    ]


def test_next__shows_five_from_now_with_their_distance(run: Run) -> None:
    lines = run("next", "*/10 * * * *").stdout.splitlines()
    assert len(lines) == 8
    assert lines[0] == "Every 10 minutes, UTC"
    assert " in " in lines[3]
    assert lines[7].split()[1].endswith("0:00")


def test_next__an_offset_is_understood(run: Run) -> None:
    result = run("next", "0 * * * *", "--after", "2026-11-24T10:30:00+02:00", "--count", "1")
    assert "2026-11-24 09:00:00  Tue  " in result.stdout


def test_next__ends_with_time_itself(run: Run) -> None:
    result = run("next", "0 0 31 12 *", "--after", "2199-06-01T00:00:00Z", "--json")
    times = json.loads(result.stdout)["response"]["fire_times"]
    assert times == [{"scheduled_at": "2199-12-31T00:00:00Z", "local": "2199-12-31T00:00:00+00:00"}]


NEW_YORK = ("--timezone", "America/New_York")


def test_next__json_in_a_zone_with_its_marks(run: Run) -> None:
    result = run(
        "next", "0,30 2 * * *", *NEW_YORK, "--after", "2026-03-08T00:00:00Z", "--count", "2", "--json"
    )
    assert json.loads(result.stdout)["response"] == {
        "expression": "0,30 2 * * *",
        "timezone": "America/New_York",
        "dst_gap": None,
        "dst_overlap": None,
        "starts_at": None,
        "ends_at": None,
        "tzdata": zones.version(),
        "schedule": "At 02:00 and 02:30, every day, America/New_York",
        "notes": [],
        "after": "2026-03-08T00:00:00Z",
        "fire_times": [
            {
                "scheduled_at": "2026-03-08T07:00:00Z",
                "local": "2026-03-08T03:00:00-04:00",
                "mark": "moved",
                "reason": "dst_gap=run_at_jump",
                "instead_of": "2026-03-08T02:00:00",
                "count": 2,
            },
            {"scheduled_at": "2026-03-09T06:00:00Z", "local": "2026-03-09T02:00:00-04:00"},
        ],
        "suppressed": [],
        "excluded": [],
        "complete": True,
    }


def test_next__too_many_that_are_suppressed_say_where_to_go_on(run: Run) -> None:
    asked = ("next", "30 2 * 3 SUN#2", *NEW_YORK, "--dst-gap", "skip", "--after", "2026-11-24T12:00:00Z")
    lines = run(*asked, "--count", "1").stdout.splitlines()
    assert lines[-1].startswith("There is more: --after 20")
    more = run(*asked[:-1], lines[-1].rpartition(" ")[2], "--count", "1")
    assert more.stdout.splitlines()[-2] != lines[-2]


def test_next__what_is_suppressed_is_no_fire_time(run: Run) -> None:
    asked = ("next", "30 1 * * *", *NEW_YORK, "--after", "2026-11-01T00:00:00Z", "--count", "2")
    response = json.loads(run(*asked, "--json").stdout)["response"]
    assert [time["scheduled_at"] for time in response["fire_times"]] == [
        "2026-11-01T05:30:00Z",
        "2026-11-02T06:30:00Z",
    ]
    assert [entry["reason"] for entry in response["suppressed"]] == ["dst_overlap=first"]
    lines = run(*asked).stdout.splitlines()
    assert lines[0] == "At 01:30, every day, America/New_York"
    assert [line.split()[1] for line in lines[3:]] == ["05:30:00", "06:30:00", "06:30:00"]
    assert "does not fire  suppressed; dst_overlap=first" in lines[4]
    both = run(*asked, "--dst-overlap", "both").stdout
    assert "doubled; dst_overlap=both" in both


def test_next__the_gap_in_the_table(run: Run) -> None:
    asked = ("next", "0,20,40 2 * * *", *NEW_YORK, "--after", "2026-03-08T00:00:00Z", "--count", "1")
    assert "moved from 02:00 and 2 more; dst_gap=run_at_jump" in run(*asked).stdout
    skipped = run(*asked, "--dst-gap", "skip").stdout
    assert "suppressed, 3 times up to 02:40; dst_gap=skip" in skipped
    assert run(*asked, "--dst-gap", "default").stdout == run(*asked).stdout


def test_next__every_dialect(run: Run) -> None:
    after = ("--after", "2026-11-24T12:00:00Z", "--count", "1", "--json")
    for expression, expected in (
        ("cron(0 10 ? * MON-FRI *)", "2026-11-25T10:00:00Z"),
        ("at(2026-12-24T18:00:00)", "2026-12-24T18:00:00Z"),
        ("rate(5 minutes)", "2026-11-24T12:05:00Z"),
        ("@every 90s", "2026-11-24T12:01:30Z"),
        ("30 0 8 * * *", "2026-11-25T08:00:30Z"),
        ("0 9 * * MON#2", "2026-12-14T09:00:00Z"),
    ):
        response = json.loads(run("next", expression, *after).stdout)["response"]
        assert [time["scheduled_at"] for time in response["fire_times"]] == [expected]


def test_next__h_is_spread_by_the_id(run: Run) -> None:
    cronjob_id = "70184d25-0f1e-43e6-9c4d-e2b8a39cb18d"
    asked = ("next", "H H * * *", "--after", "2026-11-24T12:00:00Z", "--json")
    first, again = (run(*asked, "--id", spelled).stdout for spelled in (cronjob_id, cronjob_id.upper()))
    assert first == again
    assert run(*asked, "--id", "another").stdout != first
    assert "--id" in run(*asked, status=1).stderr


def test_next__says_so_where_there_is_no_sentence(run: Run) -> None:
    assert run("next", "*/7 3,4 * * *").stdout.startswith("There is no sentence for this expression;")
    assert json.loads(run("next", "*/7 3,4 * * *", "--json").stdout)["response"]["schedule"] is None


def test_next__notes_what_may_not_be_expected(run: Run) -> None:
    note = '"*/7" in minute begins again each hour: the last distance is 4 minutes, not 7'
    assert run("next", "*/7 * * * *").stdout.splitlines()[1] == f"Note: {note}"
    assert json.loads(run("next", "*/7 * * * *", "--json").stdout)["response"]["notes"] == [note]
    assert "Note" not in run("next", "*/5 * * * *").stdout


def test_next__a_step_longer_than_its_field_is_refused(run: Run) -> None:
    result = run("next", "*/90 * * * *", status=1)
    assert 'write "*/60 * * * *" instead (same fire times), or "rate(90 minutes)"' in result.stderr
    assert result.stderr.count("\n") == 1


def test_next__what_is_over_is_refused(run: Run) -> None:
    result = run("next", "at(2020-01-01T08:00:00)", "--timezone", "Europe/Berlin", status=1)
    assert (
        "never fires: its last fire time was 2020-01-01T07:00:00Z, by the clock of Europe/Berlin;"
        in result.stderr
    )
    early = run("next", "at(2020-01-01T08:00:00)", "--after", "2019-01-01T00:00:00Z")
    assert "2020-01-01 08:00:00" in early.stdout


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("Europe/Berln", 'write "Europe/Berlin"'),
        ("localtime", "not the name of a place"),
        ("Factory", "not the name of a place"),
        ("+02:00", "is an offset"),
        ("", "empty"),
        ("\x1b[2J", "not a time zone"),
    ],
)
def test_next__a_zone_that_is_none(run: Run, zone: str, said: str) -> None:
    result = run("next", "0 8 * * *", "--timezone", zone, status=1)
    assert result.stderr.count("\n") == 1
    assert said in result.stderr
    assert "\x1b" not in result.stderr


@pytest.mark.parametrize("expression", ["61 8 * * *", "0 8 * *", "0 0 31 2 *", "", "x", "0\x1b[2J 8 * * *"])
def test_next__an_expression_that_cannot_be_used(run: Run, expression: str) -> None:
    result = run("next", expression, status=1)
    assert result.stderr.count("\n") == 1
    assert "\x1b" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--after", "tomorrow"), "an instant is written like"),
        (("--after", "2026-11-24T08:00:00"), "an instant needs an offset"),
        (("--count", "0"), "--count"),
        (("--count", "1001"), "--count"),
        (("--count", "x"), "--count"),
        (("--dst-gap", "first"), "--dst-gap"),
        (("--dst-overlap", "skip"), "--dst-overlap"),
    ],
)
def test_next__wrong_usage(run: Run, arguments: tuple[str, ...], message: str) -> None:
    result = run("next", "0 8 * * *", *arguments, status=2)
    assert message in result.stderr


def test_next__an_error_does_not_advise_what_was_just_done(run: Run) -> None:
    assert "Hint" not in run("next", "61 * * * *", status=1).stderr


def test_next__wide_is_one_line_a_fire_time(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ("next", "0 2 * * *", *NEW_YORK, "--after", "2026-03-07T00:00:00Z")
    monkeypatch.setenv("COLUMNS", "40")
    narrow, wide = run(*asked), run(*asked, "--wide")
    monkeypatch.delenv("COLUMNS")
    assert wide.stdout == run(*asked).stdout
    assert len(wide.stdout.splitlines()) == 3 + 5 < len(narrow.stdout.splitlines())
