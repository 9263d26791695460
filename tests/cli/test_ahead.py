"""`cronally forecast` and `cronally calendar`: against the real API, and what is drawn."""

from __future__ import annotations

import io
import json
import sys
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from cronally import Client
from cronally.cli import charts, months
from cronally.client import Cronjob, Forecast
from cronally.contract.forecasts import BusySecond, ForecastHost, ForecastStep, SpreadCronjob, SpreadGain
from cronally.cronjob import Timing
from cronally.instants import DAY, SECOND, parse_iso, to_datetime
from tests.cli.conftest import Run
from tests.clock.texts import any_text
from tests.forecast.oracle import walked

ID = "70184d25-0f1e-43e6-9c4d-e2b8a39cb18d"
AT = datetime(2026, 11, 24, 9, 41, tzinfo=UTC)
HTTP = {"delivery_type": "http", "delivery_http_url": "https://1.1.1.1/hook", "delivery_http_method": "post"}


NOW = parse_iso("2026-11-24T12:00:00Z")


def nothing(_cronjob: Cronjob) -> None:
    """It excludes nothing."""


def make(client: Client, name: str, cron: str, **more: Any) -> Cronjob:
    return client.create_cronjob(name=name, cron=cron, **{**HTTP, **more})


# Against the API


def test_forecast__draws_and_names_what_to_spread(run: Run, client: Client) -> None:
    made = [make(client, f"report {n}", "0 * * * *") for n in range(6)]
    result = run("forecast", "--hours", "5")
    assert "30 firings from" in result.stdout
    assert "1.1.1.1" in result.stdout
    assert "gets 6 firings in one second" in result.stdout
    answer = json.loads(run("forecast", "--hours", "5", "--json").stdout)["response"]
    # The id of one may choose the very minute where it is.
    named = {one["cronjob_id"] for one in answer["spread"]["cronjobs"]}
    assert named <= {one.cronjob_id for one in made}
    assert all(cronjob_id in result.stdout for cronjob_id in named)
    assert answer["spread"]["before"] == 6
    assert answer["spread"]["after"] == client.forecast(5).spread.after < 6  # type: ignore[union-attr]
    command = next(line for line in result.stdout.splitlines() if line.startswith("For one: "))
    assert command.endswith(" --cron 'H * * * *'")


def test_forecast__of_nothing(run: Run, client: Client) -> None:
    assert "0 firings from" in run("forecast").stdout
    assert client.forecast().steps == ()


def test_forecast__wrong_usage(run: Run, client: Client) -> None:
    assert "168" in run("forecast", "--hours", "169", status=2).stderr
    assert "--profile" in run("forecast", "--all", "--profile", "x", status=2).stderr


def test_calendar__of_one_by_its_clock_and_of_all(run: Run, client: Client) -> None:
    make(client, "report", "30 2 * * *", timezone="Europe/Berlin")
    make(client, "often", "*/5 * * * *")
    one = run("calendar", "report", "--month", "2027-03").stdout
    assert "March 2027, Europe/Berlin: report (30 2 * * *)" in one
    assert "* 2027-03-28: the clock is set forward from 02:00 to 03:00" in one
    assert one.count("02:30") == 30
    assert "31 firings in March." in one
    assert max(map(len, one.splitlines())) <= 80
    every = run("calendar", "--month", "2027-03").stdout
    assert "March 2027, UTC" in every
    assert f"{31 * 289:,} firings in March." in every
    days = json.loads(run("calendar", "--month", "2027-03", "--timezone", "Europe/Berlin", "--json").stdout)
    assert days["response"]["days"][27] == {
        "date": "2027-03-28",
        "firings": 277,
        "cronjobs": 2,
        "changes": ["the clock is set forward from 02:00 to 03:00"],
    }


def test_calendar__of_a_paused_one(run: Run, client: Client) -> None:
    made = make(client, "report", "0 8 * * *")
    client.pause_cronjob(made.cronjob_id)
    assert "The cron job is paused: nothing fires." in run("calendar", "report", "--month", "2030-03").stdout
    client.pause_cronjob(made.cronjob_id, until="2030-03-30T08:00:00Z")
    assert "2 firings in March." in run("calendar", "report", "--month", "2030-03").stdout


def test_calendar__of_what_excludes_dates_has_several_expressions_and_an_end(
    run: Run, client: Client
) -> None:
    client.put_calendar("holidays", ["2030-12-24/2030-12-26"])
    make(client, "report", "0 8 * * *", exclude=["holidays", "2030-12-31"])
    assert "27 firings in December." in run("calendar", "report", "--month", "2030-12").stdout
    make(client, "several", ["0 9 * * *", "30 9 * * *"], ends_at="2030-12-02T09:00:00Z")  # type: ignore[arg-type]
    printed = run("calendar", "several", "--month", "2030-12").stdout
    assert "(0 9 * * * and 30 9 * * *)" in printed
    assert "3 firings in December." in printed
    make(client, "twice", "0 8 * * *", max_firings=2)
    assert "0 firings in December." in run("calendar", "twice", "--month", "2030-12").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--month", "2026-13"], "2026-12"),
        (["--month", "1969-12"], "1970-01"),
        (["--timezone", "Europe/Berln"], "Europe/Berlin"),
    ],
)
def test_calendar__wrong_usage(run: Run, client: Client, arguments: list[str], said: str) -> None:
    assert said in run("calendar", *arguments, status=2).stderr


# A month


def cronjob(cron: str, timezone: str, created_at: datetime) -> Cronjob:
    texts = {
        "name": "report",
        "tzdata": "2026f",
        "catch_up": "latest",
        "misfire_grace": "24h",
        "max_age": "24h",
    }
    return Cronjob(
        account_id=ID,
        cronjob_id=ID,
        cron=cron,
        timezone=timezone,
        deleted=False,
        state="active",
        retry_max_attempts=185,
        ordered=False,
        after_completion="keep",
        overlap="allow",
        window="0s",
        created_at=created_at,
        updated_at=created_at,
        version=1,
        delivery_type="http",
        **texts,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("timezone", "year", "month"),
    [
        *[("Europe/Berlin", 2026, month) for month in (3, 10, 12)],
        *[
            ("America/Havana", 2026, 3),
            ("Asia/Beirut", 2026, 3),
            ("Pacific/Apia", 2011, 12),
            ("UTC", 2024, 2),
        ],
        *[("Australia/Lord_Howe", 2026, 4), ("America/Sao_Paulo", 2018, 11), ("Africa/Casablanca", 2026, 2)],
    ],
)
def test_month__has_on_each_day_what_fires_on_it_by_another_ones_clock(
    timezone: str, year: int, month: int
) -> None:
    random = Random(month)
    zone, created_at = ZoneInfo(timezone), datetime(2005, 1, 1, tzinfo=UTC)
    shown = months.Month(year, month, timezone)
    begins_at = int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * SECOND - 2 * DAY
    for text in ("*/30 * * * *", "30 0 * * *", *(any_text(random) for _ in range(6))):
        if len(text.split()) == 6 and not text.startswith("cron"):
            continue  # by the second: too many to walk
        one = cronjob(text, random.choice(["UTC", timezone]), created_at)
        table = Timing(text, one.timezone, None, None).timetable(ID, 0)
        fired = [to_datetime(at) for at in walked(table, begins_at, begins_at + 36 * DAY)]
        local = [at.astimezone(zone) for at in fired]
        counts = Counter(at.date() for at in local)
        days = months.days_of([one], shown, NOW, nothing)
        for number, day in days.items():
            on = date.fromordinal(number + date(1970, 1, 1).toordinal())
            assert day.firings == counts[on], (text, on)
            if day.firings:
                wanted = [at for at in fired if at.astimezone(zone).date() == on]
                found = [to_datetime(at) for at, _ in day.times]
                assert found == (wanted if len(wanted) <= 3 else [wanted[0], wanted[-1]])
        assert {on.month for on in counts if on.year == year} >= (
            {month} if any(counts) and local else set()
        ) or not any(on.month == month for on in counts)


def test_month__a_day_that_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    shown = months.Month(2011, 12, "Pacific/Apia")
    one = cronjob("0 8 * * *", "Pacific/Apia", datetime(2005, 1, 1, tzinfo=UTC))
    months.print_month(months.days_of([one], shown, NOW, nothing), shown, one)
    printed = capsys.readouterr().out
    assert "left out" in printed
    assert "the clock is set forward from 2011-12-30 00:00 to 2011-12-31 00:00" in printed


# The chart


def forecast(hours: int, step: str, counts: dict[int, int]) -> Forecast:
    """:param counts: by minutes from the beginning"""
    steps = tuple(
        ForecastStep(at=AT + timedelta(minutes=at), firings=count, by_host=(count,))
        for at, count in counts.items()
    )
    named = tuple(
        SpreadCronjob(cronjob_id=ID, name=f"report {n} [bold]", cron="0 * * * *", instead="H * * * *")
        for n in range(20)
    )
    return Forecast(
        computed_at=AT,
        begins_at=AT,
        ends_at=AT + timedelta(hours=hours),
        step=step,
        firings=sum(counts.values()),
        hosts=(
            ForecastHost(host=f"{'x' * 60}.example.com", firings=9, peak=3),
            ForecastHost(host=None, firings=1_234_567, peak=2),
        ),
        steps=steps,
        busiest=(BusySecond(at=AT, host="a.example", firings=3),),
        spread=SpreadGain(at=AT, host="a.example", before=45, after=6, cronjob_count=44, cronjobs=named),
        unreadable=1,
        tzdata="2026f",
    )


def drawn(
    answer: Forecast, width: int, monkeypatch: pytest.MonkeyPatch, encoding: str = "utf-8"
) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", out)
    charts.print_forecast(answer)
    out.flush()
    buffer = out.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode(encoding).splitlines()


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize(
    ("hours", "step", "minutes"), [(1, "1m", 1), (24, "1m", 1), (100, "5m", 5), (168, "15m", 15)]
)
def test_chart__fits_and_shows_every_step_that_has_any(
    width: int, hours: int, step: str, minutes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = (hours * 60 // minutes - 1) * minutes
    lines = drawn(
        forecast(hours, step, {0: 1000, last // 2 // minutes * minutes: 1, last: 500}), width, monkeypatch
    )
    assert max(len(line.rstrip()) for line in lines) <= width
    rows = [line.partition("│")[2] for line in lines if "│" in line]
    assert len(rows) == 8
    columns = len(next(line for line in lines if "└" in line).partition("└")[2])
    assert columns <= 120
    assert [row[0] for row in rows] == ["█"] * 8
    assert rows[-1].strip() == rows[-1].rstrip()
    assert rows[-1].replace(" ", "")[1] in "▁▂"
    assert [len(row) == columns for row in rows] == [False] * 4 + [True] * 4
    assert "1 cron job is left out" in "\n".join(lines)
    assert "no second would have more than" in " ".join(" ".join(lines).split())


def test_chart__in_a_terminal_that_has_only_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = drawn(forecast(24, "1m", {0: 8, 600: 1}), 80, monkeypatch, "ascii")
    rows = [line.partition("|")[2] for line in lines if "|" in line][:8]
    assert [row.rstrip() for row in rows[:7]] == ["#"] * 7
    assert rows[7].count("#") == 2


def test_chart__is_plain_where_colours_are_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[3" not in "".join(drawn(forecast(24, "1m", {0: 8}), 80, monkeypatch))
