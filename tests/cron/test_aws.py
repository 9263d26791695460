"""AWS's dialect, beside the examples in AWS's own documentation.

Sources, read in November 2026: "Setting a schedule pattern for scheduled rules" (EventBridge User
Guide, the rules and the table of examples), "Schedule types in EventBridge Scheduler" (its User Guide).
"""

from __future__ import annotations

import pytest

from cronally.clock.timetable import timetable
from cronally.cron import parse
from cronally.errors import InvalidExpression
from cronally.instants import DAY, HOUR, MINUTE, parse_iso, to_datetime

# A Thursday, noon.
NOW = parse_iso("2026-01-15T12:00:00Z")


def fire_times(text: str, days: int = 40) -> list[str]:
    table, found = timetable(text), []
    instant = table.next(NOW)
    while instant is not None and instant < NOW + days * DAY:
        found.append(to_datetime(instant).strftime("%a %m-%d %H:%M"))
        instant = table.next(instant)
    return found


# The table of examples


def test_example__10_am_every_day() -> None:
    assert fire_times("cron(0 10 * * ? *)", 3) == ["Fri 01-16 10:00", "Sat 01-17 10:00", "Sun 01-18 10:00"]


def test_example__12_15_pm_every_day() -> None:
    assert fire_times("cron(15 12 * * ? *)", 2) == ["Thu 01-15 12:15", "Fri 01-16 12:15"]


def test_example__6_pm_monday_to_friday() -> None:
    found = fire_times("cron(0 18 ? * MON-FRI *)", 8)
    assert [time[:3] for time in found] == ["Thu", "Fri", "Mon", "Tue", "Wed", "Thu"]
    assert {time[-5:] for time in found} == {"18:00"}


def test_example__8_am_every_first_day_of_the_month() -> None:
    assert fire_times("cron(0 8 1 * ? *)", 60) == ["Sun 02-01 08:00", "Sun 03-01 08:00"]


def test_example__every_15_minutes() -> None:
    assert fire_times("cron(0/15 * * * ? *)", 1)[:4] == [f"Thu 01-15 12:{n}" for n in (15, 30, 45)] + [
        "Thu 01-15 13:00"
    ]


def test_example__every_10_minutes_monday_to_friday() -> None:
    found = fire_times("cron(0/10 * ? * MON-FRI *)", 3)
    assert len(found) == 71 + 144
    assert {time[:3] for time in found} == {"Thu", "Fri"}


def test_example__every_5_minutes_monday_to_friday_from_8_am_to_5_55_pm() -> None:
    found = [time for time in fire_times("cron(0/5 8-17 ? * MON-FRI *)", 2) if time.startswith("Fri")]
    assert found[0] == "Fri 01-16 08:00"
    assert found[-1] == "Fri 01-16 17:55"
    assert len(found) == 120


def test_example__every_30_minutes_monday_to_friday_over_midnight() -> None:
    """As AWS says of it: it also runs from midnight to 2 on Monday morning, and on Saturday it does not."""
    found = fire_times("cron(0/30 20-2 ? * MON-FRI *)", 5)
    monday = [time[-5:] for time in found if time.startswith("Mon")]
    assert monday == [f"{hour:02}:{half}" for hour in (0, 1, 2, 20, 21, 22, 23) for half in ("00", "30")]
    assert not [time for time in found if time.startswith(("Sat", "Sun"))]


def test_example__10_15_am_on_the_last_friday_of_each_month_from_2022_to_2023() -> None:
    table = timetable("cron(15 10 ? * 6L 2022-2023)")
    assert table.count(0, NOW) == 24
    assert table.next(0) == parse_iso("2022-01-28T10:15:00Z")
    assert table.next(NOW) is None
    assert table.previous(NOW) == parse_iso("2023-12-29T10:15:00Z")


# The rules


def test_rule__1_10_in_minutes_is_the_11th_21st_and_31st_minute() -> None:
    assert [time[-2:] for time in fire_times("cron(1/10 * * * ? *)", 1)][:6] == [
        "01",
        "11",
        "21",
        "31",
        "41",
        "51",
    ]


def test_rule__a_list_of_months() -> None:
    found = fire_times("cron(0 0 1 JAN,FEB,MAR ? *)", 800)
    assert {time[4:6] for time in found} == {"01", "02", "03"}


def test_rule__l_is_the_last_day_of_the_month_or_of_the_week() -> None:
    assert fire_times("cron(0 9 L * ? *)") == ["Sat 01-31 09:00"]
    assert fire_times("cron(0 9 ? * L *)", 14) == ["Sat 01-17 09:00", "Sat 01-24 09:00"]


def test_rule__3w_is_the_weekday_closest_to_the_third_day_of_the_month() -> None:
    # 3 January 2026 is a Saturday, 3 May a Sunday.
    table = timetable("cron(0 9 3W * ? *)")
    assert table.previous(NOW) == parse_iso("2026-01-02T09:00:00Z")
    assert table.next(parse_iso("2026-04-15T00:00:00Z")) == parse_iso("2026-05-04T09:00:00Z")


def test_rule__3_2_is_the_second_tuesday_of_the_month() -> None:
    assert fire_times("cron(0 9 ? * 3#2 *)", 60) == ["Tue 02-10 09:00", "Tue 03-10 09:00"]
    assert fire_times("cron(0 9 ? * TUE#2 *)", 60) == ["Tue 02-10 09:00", "Tue 03-10 09:00"]


@pytest.mark.parametrize(
    ("number", "name"), list(zip("1234567", ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"], strict=True))
)
def test_rule__weekdays_count_from_sunday_as_1(number: str, name: str) -> None:
    found = fire_times(f"cron(0 9 ? * {number} *)")
    assert found == fire_times(f"cron(0 9 ? * {name} *)")
    assert {time[:3].upper() for time in found} == {name}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("cron(0 9 ? * 3#1,6#3 *)", "has a # in a list; AWS takes one such day alone"),
        ("cron(0 10 * * * *)", 'write "cron(0 10 * * ? *)" instead (same fire times)'),
        ("cron(0 10 ? * ? *)", 'write "cron(0 10 * * ? *)" instead (same fire times)'),
        ("cron(0 10 * * MON *)", 'write "cron(0 10 ? * MON *)" instead (same fire times)'),
        ("cron(0 10 1 * * *)", 'write "cron(0 10 1 * ? *)" instead (same fire times)'),
        ("cron(0 10 1 * MON *)", "write ? in one of them"),
        ("cron(? 10 * * ? *)", '"?" in minute at column 6'),
        ("cron(60 10 * * ? *)", '"60" is out of range for minute (0-59) at column 6'),
        ("cron(0 24 * * ? *)", '"24" is out of range for hour (0-23) at column 8'),
        ("cron(0 10 0 * ? *)", '"0" is out of range for day-of-month (1-31) at column 11'),
        ("cron(0 10 * 13 ? *)", '"13" is out of range for month (1-12) at column 13'),
        ("cron(0 10 ? * 0 *)", '"0" is out of range for day-of-week (1-7) at column 15'),
        ("cron(0 10 ? * 8L *)", '"8" is out of range for day-of-week (1-7) at column 15'),
        (
            "cron(0 10 ? * MON#6 *)",
            "a day of the week may be 6L (the last Friday) or 2#2 (the second Monday)",
        ),
        ("cron(0 10 * * ? 1969)", '"1969" is out of range for year (1970-2199) at column 17'),
        ("cron(0 10 * * ? 2200)", '"2200" is out of range for year (1970-2199)'),
        ("cron(0 10 * * ? 2030-2026)", '"2030-2026" in year at column 17 runs backwards'),
        ("cron(0 10 * * ?)", "cron() of AWS has six fields, not 5"),
        ("cron(0 10 * * 1)", 'write "0 10 * * 1" instead, which counts weekdays from SUN = 0'),
        ("cron(0 10 * * MON)", 'write "0 10 * * MON" instead (same fire times)'),
        ("cron(0 10 * * ? * *)", "cron() of AWS has six fields, not 7"),
        ("cron()", "cron() of AWS has six fields, not 0"),
        ("cron(0 10 * * ? *", 'has no one pair of parentheses; write "cron(0 10 * * ? *)" instead'),
        ("cron(0 10 * * ? *))", "has no one pair of parentheses"),
        ("cron(0 10 H * ? *)", '"H" in day-of-month'),
        ("cron(0 10 L-3 * ? *)", '"L-3" in day-of-month at column 11 is not accepted'),
        ("cron(0 20-2/0 * * ? *)", "has a step of 0"),
    ],
)
def test_refused(text: str, part: str) -> None:
    with pytest.raises(InvalidExpression) as caught:
        parse(text)
    assert part in caught.value.message


# rate and at


def test_rate__every_5_minutes_and_a_day_is_24_hours_over_a_change_of_the_clock() -> None:
    anchor = parse_iso("2026-03-07T12:00:00Z")
    table = timetable("rate(1 days)", "America/New_York", anchor=anchor)
    assert table.next(anchor) == anchor + 24 * HOUR
    assert timetable("rate(5 minutes)", anchor=anchor).next(anchor) == anchor + 5 * MINUTE


def test_dst__the_scheduler_skips_and_repeats_nothing() -> None:
    """As "Schedule types in EventBridge Scheduler" says; the one choice that differs from the default here."""
    options = {"zone": "America/New_York", "dst_gap": "skip", "dst_overlap": "first"}
    table = timetable("cron(30 2 * * ? *)", **options)  # type: ignore[arg-type]
    assert table.next(parse_iso("2026-03-08T00:00:00Z")) == parse_iso("2026-03-09T06:30:00Z")
    table = timetable("cron(30 1 * * ? *)", **options)  # type: ignore[arg-type]
    assert table.count(parse_iso("2026-11-01T00:00:00Z"), parse_iso("2026-11-02T00:00:00Z")) == 1
