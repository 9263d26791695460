"""When an expression fires: vectors, boundaries, and the laws that hold for every expression."""

from __future__ import annotations

import copy
import pickle
import sys
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.clock.timetable import timetable
from cronally.cron import Expression
from cronally.instants import (
    DAY,
    HOUR,
    MAX_INSTANT,
    MIN_INSTANT,
    MINUTE,
    SECOND,
    format_iso,
    from_datetime,
    parse_iso,
)
from tests.cron.cron_texts import any_instants, expressions, instants, spans
from tests.support.examples import examples
from tests.support.expressions import parse

YEAR = 365 * DAY
# The rarest that fire: 29 February on one weekday, up to 40 years apart.
RARE = ["0 0 29 2 */7", "59 23 */28 2 1", "0 12 29 FEB *"]

all_expressions = st.one_of(expressions, st.sampled_from(RARE))


def following(text: str, after: str, how_many: int) -> list[str]:
    expression, found, instant = parse(text), [], parse_iso(after)
    for _ in range(how_many):
        fire_time = expression.next(instant)
        assert fire_time is not None
        instant = fire_time
        found.append(format_iso(instant).removesuffix(":00Z"))
    return found


# Vectors


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("* * * * *", ["2026-01-15T12:01", "2026-01-15T12:02", "2026-01-15T12:03"]),
        ("*/5 * * * *", ["2026-01-15T12:05", "2026-01-15T12:10", "2026-01-15T12:15"]),
        ("*/7 * * * *", ["2026-01-15T12:07", "2026-01-15T12:14", "2026-01-15T12:21"]),
        ("*/50 * * * *", ["2026-01-15T12:50", "2026-01-15T13:00", "2026-01-15T13:50"]),
        ("*/90 * * * *", ["2026-01-15T13:00", "2026-01-15T14:00"]),
        ("0 8 * * *", ["2026-01-16T08:00", "2026-01-17T08:00"]),
        ("0 12 * * *", ["2026-01-16T12:00", "2026-01-17T12:00"]),
        ("30 */5 * * *", ["2026-01-15T15:30", "2026-01-15T20:30", "2026-01-16T00:30"]),
        ("59 23 31 12 *", ["2026-12-31T23:59", "2027-12-31T23:59"]),
        ("15 3 * * 1-5", ["2026-01-16T03:15", "2026-01-19T03:15", "2026-01-20T03:15"]),
        ("0 0 * * 5-7", ["2026-01-16T00:00", "2026-01-17T00:00", "2026-01-18T00:00", "2026-01-23T00:00"]),
        ("0 0 29 2 *", ["2028-02-29T00:00", "2032-02-29T00:00"]),
        ("0 0 31 * *", ["2026-01-31T00:00", "2026-03-31T00:00", "2026-05-31T00:00"]),
        ("0 0 13 * 5", ["2026-01-16T00:00", "2026-01-23T00:00", "2026-01-30T00:00", "2026-02-06T00:00"]),
        ("0 0 */12 * 5", ["2026-02-13T00:00", "2026-03-13T00:00", "2026-05-01T00:00"]),
        ("0 0 13 * */5", ["2026-02-13T00:00", "2026-03-13T00:00", "2026-09-13T00:00"]),
        # A step over the star means and, the same days written as a range mean or.
        ("0 0 */2 * 1", ["2026-01-19T00:00", "2026-02-09T00:00", "2026-02-23T00:00"]),
        ("0 0 1-31/2 * 1", ["2026-01-17T00:00", "2026-01-19T00:00", "2026-01-21T00:00"]),
        ("0 0 31 2 1", ["2026-02-02T00:00", "2026-02-09T00:00"]),
        ("@hourly", ["2026-01-15T13:00", "2026-01-15T14:00"]),
        ("@daily", ["2026-01-16T00:00", "2026-01-17T00:00"]),
        ("@weekly", ["2026-01-18T00:00", "2026-01-25T00:00"]),
        ("@monthly", ["2026-02-01T00:00", "2026-03-01T00:00"]),
        ("@yearly", ["2027-01-01T00:00", "2028-01-01T00:00"]),
    ],
)
def test_next__vectors(text: str, expected: list[str]) -> None:
    assert following(text, "2026-01-15T12:00:00Z", len(expected)) == expected


def test_next__is_strictly_later_to_the_microsecond() -> None:
    every_minute, noon = parse("* * * * *"), parse_iso("2026-01-15T12:00:00Z")
    assert every_minute.next(noon - 1) == noon
    assert every_minute.next(noon) == noon + MINUTE
    assert every_minute.next(noon + 1) == noon + MINUTE
    assert every_minute.next(noon + MINUTE - 1) == noon + MINUTE


def test_previous__is_strictly_earlier_to_the_microsecond() -> None:
    every_minute, noon = parse("* * * * *"), parse_iso("2026-01-15T12:00:00Z")
    assert every_minute.previous(noon + 1) == noon
    assert every_minute.previous(noon) == noon - MINUTE
    assert every_minute.previous(noon - MINUTE + 1) == noon - MINUTE


def test_leap_day__2100_has_none_and_2000_has() -> None:
    assert following("0 0 29 2 *", "2096-01-01T00:00:00Z", 2) == ["2096-02-29T00:00", "2104-02-29T00:00"]
    assert following("0 0 29 2 *", "1996-03-01T00:00:00Z", 1) == ["2000-02-29T00:00"]
    expression = parse("0 0 29 2 *")
    assert expression.previous(parse_iso("2104-02-29T00:00:00Z")) == parse_iso("2096-02-29T00:00:00Z")


@pytest.mark.parametrize("weekday", range(7))
def test_leap_day__on_one_weekday_fires_up_to_40_years_apart(weekday: int) -> None:
    """Star in front of day-of-month: the day must be the 1st or 29th, in February, and that weekday."""
    expression = parse(f"0 0 */28 2 {weekday}")
    on = [
        date(year, 2, day)
        for year in range(1970, 2200)
        for day in (1, 29)
        if (day == 1 or year % 400 == 0 or (year % 4 == 0 and year % 100))
        and date(year, 2, day).isoweekday() % 7 == weekday
    ]
    expected = [from_datetime(datetime(day.year, day.month, day.day, tzinfo=UTC)) for day in on]
    assert chain(expression, -1, expected[-1]) == expected


def test_leap_day__sundays_over_2100() -> None:
    expected = ["2060-02-29T00:00", "2088-02-29T00:00", "2128-02-29T00:00"]
    assert following("0 0 29 2 */7", "2059-01-01T00:00:00Z", 3) == expected


def chain(expression: Expression, after: int, until: int) -> list[int]:
    found = []
    instant = expression.next(after)
    while instant is not None and instant <= until:
        found.append(instant)
        instant = expression.next(instant)
    return found


# Boundaries


def test_next__stops_at_the_last_instant() -> None:
    midnight = parse("0 0 * * *")
    assert midnight.next(MAX_INSTANT - 1) == MAX_INSTANT
    assert midnight.next(MAX_INSTANT) is None
    assert parse("1 0 * * *").next(MAX_INSTANT - 1) is None
    assert midnight.next(MAX_INSTANT * 1_000_000) is None
    for text in RARE:
        assert parse(text).next(MAX_INSTANT - 1) is None


def test_previous__stops_at_the_first_instant() -> None:
    midnight = parse("0 0 * * *")
    assert midnight.previous(1) == MIN_INSTANT
    assert midnight.previous(MIN_INSTANT) is None
    assert parse("1 0 * * *").previous(MINUTE) is None
    assert midnight.previous(-(10**30)) is None
    for text in RARE:
        assert parse(text).previous(YEAR) is None


def test_next__from_before_1970_and_previous__from_beyond_the_last_instant() -> None:
    midnight = parse("0 0 * * *")
    assert midnight.next(-1) == midnight.next(-(10**30)) == MIN_INSTANT
    assert midnight.previous(MAX_INSTANT + 1) == midnight.previous(10**30) == MAX_INSTANT
    assert midnight.count(-(10**30), 10**30) == MAX_INSTANT // DAY + 1


def test_count__includes_until_and_excludes_after() -> None:
    hourly, noon = parse("0 * * * *"), parse_iso("2026-01-15T12:00:00Z")
    assert hourly.count(noon, noon + HOUR) == 1
    assert hourly.count(noon - 1, noon + HOUR) == 2
    assert hourly.count(noon, noon + HOUR - 1) == 0
    assert hourly.count(noon, noon) == 0
    assert hourly.count(noon, noon - DAY) == 0


def test_count__a_year_of_minutes() -> None:
    every_minute, start = parse("* * * * *"), parse_iso("2026-01-01T00:00:30Z")
    assert every_minute.count(start, start + YEAR) == 525_600
    assert every_minute.count(start, start + 100 * MINUTE - 30_000_000) == 100
    assert every_minute.previous(start + YEAR) == start + YEAR - 30_000_000


def test_count__over_all_of_time() -> None:
    leap_days = parse("0 0 29 2 *")
    years = [y for y in range(1970, 2200) if y % 400 == 0 or (y % 4 == 0 and y % 100)]
    assert leap_days.count(0, MAX_INSTANT) == len(years)
    assert leap_days.previous(MAX_INSTANT) == parse_iso("2196-02-29T00:00:00Z")
    for nth in (1, 20, 40, len(years)):
        expected = from_datetime(datetime(years[nth - 1], 2, 29, tzinfo=UTC))
        assert leap_days.count(0, expected) == nth
        assert leap_days.count(0, expected - 1) == nth - 1


def test_next__of_each_second_before_a_fire_time_is_it() -> None:
    eight, at = timetable("0 8 * * *"), parse_iso("2026-01-15T08:00:00Z")
    assert eight.matches(at)
    assert not eight.matches(at + 1)
    assert not eight.matches(at + MINUTE)
    assert not eight.matches(at - 1)
    assert not eight.matches(MAX_INSTANT + 8 * HOUR)
    assert not eight.matches(8 * HOUR - DAY)


# Laws


@given(all_expressions, any_instants)
def test_next__the_same_answer_for_every_instant_between_two_fire_times(text: str, after: int) -> None:
    expression = parse(text)
    first = expression.next(after)
    if first is None:
        return
    assert first > after
    assert first % MINUTE == 0
    assert expression.next(first - 1) == first
    second = expression.next(first)
    if second is None:
        return
    assert second > first
    assert expression.previous(second) == first
    assert expression.previous(second + 1) == second
    between = second - first
    for instant in (first + 1, first + between // 3, first + between // 2, second - MINUTE, second - 1):
        assert expression.next(instant) == second
        assert expression.previous(instant + 1) == first


@given(all_expressions, any_instants)
def test_next__misses_nothing_that_matches(text: str, after: int) -> None:
    """Each of the next minutes, looked at alone, and a chain of `next` agree."""
    expression = parse(text)
    start = min(after - after % MINUTE, MAX_INSTANT - 200 * MINUTE)
    minutes = range(start + MINUTE, start + 200 * MINUTE, MINUTE)
    matching = [t for t in minutes if expression.civil_count(t // SECOND, t // SECOND + 1)]
    assert matching == chain(expression, start, minutes[-1])


@examples(200)
@given(all_expressions, instants, spans(60), st.integers(1, 3000))
def test_count__agrees_with_enumeration(text: str, after: int, span: int, limit: int) -> None:
    expression = parse(text)
    fire_times: list[int] = []
    instant = expression.next(after)
    while instant is not None and instant <= after + span and len(fire_times) < limit:
        fire_times.append(instant)
        instant = expression.next(instant)
    until = fire_times[-1] if len(fire_times) == limit else after + span
    assert expression.count(after, until) == len(fire_times)


@given(all_expressions, any_instants, any_instants, any_instants)
def test_count__adds_up(text: str, one: int, two: int, three: int) -> None:
    """Over any range, centuries too: the parts are as many as the whole, and end where they should."""
    expression = parse(text)
    after, middle, until = sorted((one, two, three))
    left, right = expression.count(after, middle), expression.count(middle, until)
    whole = expression.count(after, until)
    assert left + right == whole
    first, last = expression.next(after), expression.previous(until + 1)
    if whole:
        assert first is not None
        assert last is not None
        assert after < first <= last <= until
        assert expression.count(after, first) == 1
        assert expression.count(after, last) == whole
        assert expression.count(after, last - 1) == whole - 1
    else:
        assert first is None or first > until
        assert last is None or last <= after


# The object


@pytest.mark.parametrize("text", ["* * * * *", "*/5 8-18 1,15 JAN-JUN MON-FRI", "0 0 29 2 */7"])
def test_expression__is_small_immutable_and_can_be_copied(text: str) -> None:
    expression = parse(text)
    parts = [getattr(expression, name) for name in Expression.__slots__]
    assert sys.getsizeof(expression) + sum(map(sys.getsizeof, parts)) < 700
    with pytest.raises(AttributeError):
        expression.text = "0 8 * * *"  # type: ignore[misc]
    for twin in (copy.deepcopy(expression), pickle.loads(pickle.dumps(expression))):  # noqa: S301
        assert twin == expression
        assert twin.next(0) == expression.next(0)


def test_civil_seconds__are_the_rule_without_a_zone() -> None:
    """What a zone builds on: a second on the clock on the wall in, the nearest one that matches out."""
    expression = parse("30 2 * * 7")
    sunday = (date(2026, 3, 29) - date(1970, 1, 1)) // timedelta(seconds=1)
    at = sunday + (2 * 60 + 30) * 60
    week = 7 * 24 * 60 * 60
    assert expression.civil_at_or_after(sunday) == expression.civil_at_or_after(at) == at
    assert expression.civil_at_or_before(at) == expression.civil_at_or_before(at + week - 1) == at
    assert expression.civil_count(at, at + week) == 1
    assert expression.civil_count(at, at + week + 1) == 2
    # Zones put civil times a little outside the instants.
    before = expression.civil_at_or_before(0)
    assert before is not None
    assert before < 0
