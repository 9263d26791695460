"""`cronally next`: offline, in tables and in JSON."""

from __future__ import annotations

import json

import pytest

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
    assert len(lines) == 7
    assert " in " in lines[2]
    assert lines[6].split()[1].endswith("0:00")


def test_next__an_offset_is_understood(run: Run) -> None:
    result = run("next", "0 * * * *", "--after", "2026-11-24T10:30:00+02:00", "--count", "1")
    assert "2026-11-24 09:00:00  Tue  " in result.stdout


def test_next__ends_with_time_itself(run: Run) -> None:
    result = run("next", "0 0 31 12 *", "--after", "8999-06-01T00:00:00Z", "--json")
    times = json.loads(result.stdout)["response"]["fire_times"]
    assert times == [{"scheduled_at": "8999-12-31T00:00:00Z"}]


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
    ],
)
def test_next__wrong_usage(run: Run, arguments: tuple[str, ...], message: str) -> None:
    result = run("next", "0 8 * * *", *arguments, status=2)
    assert message in result.stderr
