"""Every dialect beyond Debian's five fields: what is read as what, and what is refused."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.clock.timetable import timetable
from cronally.cron import Expression, Interval, parse
from cronally.cron.unix import spreads
from cronally.errors import InvalidExpression
from cronally.instants import DAY, HOUR, MINUTE, SECOND, format_iso, parse_iso
from tests.clock.texts import any_expressions
from tests.support.oracle import Schedule


def following(text: str, after: str, how_many: int, **options: str) -> list[str]:
    table, found, instant = timetable(text, **options), [], parse_iso(after)  # type: ignore[arg-type]
    for _ in range(how_many):
        fire_time = table.next(instant)
        if fire_time is None:
            break
        found.append(format_iso(instant := fire_time).removesuffix(":00Z"))
    return found


def refusal(text: str, key: str | None = None) -> str:
    with pytest.raises(InvalidExpression) as caught:
        parse(text, key)
    assert caught.value.message.isascii()
    return caught.value.message


# Days


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 0 L * *", ["2026-01-31T00:00", "2026-02-28T00:00", "2026-03-31T00:00", "2026-04-30T00:00"]),
        ("0 0 l 2 *", ["2026-02-28T00:00", "2027-02-28T00:00", "2028-02-29T00:00"]),
        ("0 0 1,L * *", ["2026-01-31T00:00", "2026-02-01T00:00", "2026-02-28T00:00"]),
        # The last day less three; none in a month that is too short.
        ("0 0 L-3 * *", ["2026-01-28T00:00", "2026-02-25T00:00", "2026-03-28T00:00", "2026-04-27T00:00"]),
        ("0 0 l-1 2 *", ["2026-02-27T00:00", "2027-02-27T00:00", "2028-02-28T00:00"]),
        ("0 0 L-0 * *", ["2026-01-31T00:00", "2026-02-28T00:00"]),
        ("0 0 L-30 * *", ["2026-03-01T00:00", "2026-05-01T00:00", "2026-07-01T00:00"]),
        ("0 0 L-28 2 *", ["2028-02-01T00:00", "2032-02-01T00:00"]),
        ("0 0 1,L-1 * *", ["2026-01-30T00:00", "2026-02-01T00:00", "2026-02-27T00:00", "2026-03-01T00:00"]),
        # 30 May 2026 is a Saturday, 27 June too; 1 August is one at the start of its month.
        ("0 0 L-1W 5 *", ["2026-05-29T00:00"]),
        ("0 0 L-3W 6 *", ["2026-06-26T00:00"]),
        ("0 0 L-30W 8 *", ["2026-08-03T00:00"]),
        ("0 0 * * FRI-MON", ["2026-01-16T00:00", "2026-01-17T00:00", "2026-01-18T00:00", "2026-01-19T00:00"]),
        ("0 0 * * sat-sun", ["2026-01-17T00:00", "2026-01-18T00:00", "2026-01-24T00:00"]),
        (
            "0 0 * * FRI-TUE/2",
            ["2026-01-16T00:00", "2026-01-18T00:00", "2026-01-20T00:00", "2026-01-23T00:00"],
        ),
        ("0 0 1 NOV-FEB *", ["2026-02-01T00:00", "2026-11-01T00:00", "2026-12-01T00:00", "2027-01-01T00:00"]),
        ("0 0 LW * *", ["2026-01-30T00:00", "2026-02-27T00:00", "2026-03-31T00:00"]),
        # The 15th of February 2026 is a Sunday, of March too, of April a Wednesday.
        ("0 0 15W * *", ["2026-02-16T00:00", "2026-03-16T00:00", "2026-04-15T00:00"]),
        # Never into another month: 1 February 2026 is a Sunday, 1 August a Saturday.
        ("0 0 1W * *", ["2026-02-02T00:00", "2026-03-02T00:00", "2026-04-01T00:00"]),
        ("0 0 1W 8 *", ["2026-08-03T00:00"]),
        ("0 0 31W 1,5 *", ["2026-01-30T00:00", "2026-05-29T00:00"]),
        # A month without a 31st has no nearest to it.
        ("0 0 31W 2-4 *", ["2026-03-31T00:00", "2027-03-31T00:00"]),
        ("0 0 * * 5L", ["2026-01-30T00:00", "2026-02-27T00:00", "2026-03-27T00:00"]),
        ("0 0 * * friL", ["2026-01-30T00:00", "2026-02-27T00:00"]),
        ("0 0 * * 0L", ["2026-01-25T00:00", "2026-02-22T00:00"]),
        ("0 0 * * 7L", ["2026-01-25T00:00", "2026-02-22T00:00"]),
        ("0 0 * * MON#2", ["2026-02-09T00:00", "2026-03-09T00:00"]),
        ("0 0 * * 1#1,3#1", ["2026-02-02T00:00", "2026-02-04T00:00", "2026-03-02T00:00"]),
        ("0 0 * * FRI#5", ["2026-01-30T00:00", "2026-05-29T00:00", "2026-07-31T00:00"]),
        ("0 0 * 2 MON#5", ["2044-02-29T00:00", "2072-02-29T00:00"]),
        # Two fields of days, neither with a star: one is enough.
        ("0 0 L * MON#1", ["2026-01-31T00:00", "2026-02-02T00:00", "2026-02-28T00:00"]),
        ("0 0 */31 * FRI#1", ["2026-05-01T00:00", "2027-01-01T00:00"]),
        ("0 0 ? * 1", ["2026-01-19T00:00", "2026-01-26T00:00"]),
        ("0 0 13 * ?", ["2026-02-13T00:00", "2026-03-13T00:00"]),
        ("0 0 ? * ?", ["2026-01-16T00:00", "2026-01-17T00:00"]),
    ],
)
def test_days__vectors(text: str, expected: list[str]) -> None:
    assert following(text, "2026-01-15T12:00:00Z", len(expected)) == expected


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("0 0 LW * */6", "never fires: no day is all that day-of-month, month, day-of-week say"),
        ("0 0 31W 2,4 */2", "never fires"),
        ("0 0 L-30 2,4 *", "never fires"),
        ("0 0 L-29W 2 *", "never fires"),
        ("cron(0 0 31 2 ? *)", "FEB has no day 31"),
        ("cron(0 0 31W 2 ? *)", "never fires"),
        ("cron(0 0 29 2 ? 2025-2027)", "day-of-week and year say"),
        ("cron(0 0 ? 2 2#5 2025-2043)", "day-of-week and year say"),
    ],
)
def test_never__is_refused(text: str, part: str) -> None:
    assert part in refusal(text)


@pytest.mark.parametrize("text", ["0 0 * 2 MON#5", "0 0 30W 2,3 *", "cron(0 0 29 2 ? 2028)", "0 0 L 2 *"])
def test_never__is_not_said_of_what_is_rare(text: str) -> None:
    assert timetable(text).next(0) is not None


# Seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*/20 * * * * *", ["2026-01-15T12:00:20Z", "2026-01-15T12:00:40Z", "2026-01-15T12:01"]),
        ("30 0 8 * * *", ["2026-01-16T08:00:30Z", "2026-01-17T08:00:30Z"]),
        ("0 0 8 * * MON-FRI", ["2026-01-16T08:00", "2026-01-19T08:00"]),
        ("59 59 23 31 12 *", ["2026-12-31T23:59:59Z", "2027-12-31T23:59:59Z"]),
        ("0 0 8 ? * MON-FRI", ["2026-01-16T08:00", "2026-01-19T08:00"]),
        ("0 0 12 * * ?", ["2026-01-16T12:00", "2026-01-17T12:00"]),
        ("10-12 5 8 * * *", ["2026-01-16T08:05:10Z", "2026-01-16T08:05:11Z", "2026-01-16T08:05:12Z"]),
    ],
)
def test_six_fields__have_the_seconds_first(text: str, expected: list[str]) -> None:
    assert following(text, "2026-01-15T12:00:00Z", len(expected)) == expected


@pytest.mark.parametrize(
    ("text", "wildcard"),
    [("*/10 0 2 * * *", True), ("0 * 2 * * *", True), ("0 0 * * * *", True), ("0-59 0 2 * * *", False)],
)
def test_six_fields__are_wildcard_by_the_text(text: str, wildcard: bool) -> None:
    expression = parse(text)
    assert isinstance(expression, Expression)
    assert expression.wildcard is wildcard


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("* * * * *", MINUTE),
        ("*/5 * * * *", 5 * MINUTE),
        ("*/7 * * * *", 4 * MINUTE),
        ("0,59 * * * *", MINUTE),
        ("0,59 8 * * *", 59 * MINUTE),
        ("59 0 * * *", DAY),
        ("0,10 0,23 * * *", 10 * MINUTE),
        ("30 0,23 * * *", HOUR),
        ("30 0,23 1 * *", 23 * HOUR),
        ("30 0,23 1,L * *", HOUR),
        ("0 8 * * *", DAY),
        ("* * * * * *", SECOND),
        ("*/45 * * * * *", 15 * SECOND),
        ("0,45 0 * * * *", 45 * SECOND),
        ("59 59 23 * * *", DAY),
        ("0 0 0 1,L * *", DAY),
        ("cron(0/10 8 ? * MON *)", 10 * MINUTE),
        ("rate(5 minutes)", 5 * MINUTE),
        ("@every 30s", 30 * SECOND),
        ("at(2026-12-24T18:00:00)", None),
    ],
)
def test_shortest_interval__of(text: str, expected: int | None) -> None:
    assert parse(text).shortest_interval() == expected


@given(any_expressions)
def test_shortest_interval__is_found_in_the_fire_times(text: str) -> None:
    """None is shorter; and below a day, in years enough, one is as short."""
    shortest = parse(text).shortest_interval()
    assert shortest is not None
    schedule = Schedule(text)
    times = sorted(
        hour * 3600 + minute * 60 + second
        for hour in schedule.hours
        for minute in schedule.minutes
        for second in schedule.seconds
    )
    within = min((b - a for a, b in pairwise(times)), default=10**9)
    over_midnight = 86_400 - times[-1] + times[0]
    assert shortest in (within * SECOND, over_midnight * SECOND, (86_400 + over_midnight) * SECOND)
    table, instant = timetable(text), parse_iso("2019-12-31T00:00:00Z")
    for _ in range(200):
        first = table.next(instant)
        second_time = None if first is None else table.next(first)
        if first is None or second_time is None:
            return
        assert second_time - first >= shortest
        instant = first


# H


def test_spread__is_the_same_for_the_same_id_whatever_else_is_written() -> None:
    first, second = parse("H H * * *", "one"), parse("H H 1 * MON", "one")
    assert isinstance(first, Expression)
    assert isinstance(second, Expression)
    assert (first.minutes, first.hours) == (second.minutes, second.hours)
    assert parse("H H * * *", "two") != first
    assert first.minutes.bit_count() == first.hours.bit_count() == 1
    # As it is today, and was when cron jobs were made.
    assert following("H H * * *", "2026-01-15T12:00:00Z", 1, key="8d9f7a62-54b3-4a0c-9d55-0f2b6d1f7e11") == [
        "2026-01-15T23:14"
    ]
    upper = "8D9F7A62-54B3-4A0C-9D55-0F2B6D1F7E11"
    assert timetable("H H * * *", key=upper) is timetable("H H * * *", key=upper.lower())


@pytest.mark.parametrize(
    ("text", "field", "low", "high", "step"),
    [
        ("H * * * *", "minutes", 0, 59, None),
        ("H(0-29) * * * *", "minutes", 0, 29, None),
        ("H(10-10) * * * *", "minutes", 10, 10, None),
        ("h/15 * * * *", "minutes", 0, 59, 15),
        ("H(0-29)/10 * * * *", "minutes", 0, 29, 10),
        ("0 H(8-17) * * *", "hours", 8, 17, None),
        ("H 0 0 * * *", "seconds", 0, 59, None),
    ],
)
def test_spread__covers_its_range(text: str, field: str, low: int, high: int, step: int | None) -> None:
    found = set()
    for key in range(1500):
        expression = parse.__wrapped__(text, str(key))
        mask = getattr(expression, field)
        values = [bit for bit in range(60) if mask >> bit & 1]
        found.update(values)
        assert low <= values[0] <= values[-1] <= high
        if step is None:
            assert len(values) == 1
        else:
            assert values == list(range(values[0], high + 1, step))
            assert values[0] < low + step
    assert found == set(range(low, high + 1))


def test_spread__days_exist_in_every_month() -> None:
    days, weekdays = set(), set()
    for key in range(1000):
        expression = parse.__wrapped__("0 0 H * H", str(key))
        assert isinstance(expression, Expression)
        days.add(expression.days.days_of_month.bit_length())
        weekdays.add(expression.days.weekdays.bit_length() - 1)
    assert days == set(range(1, 29))
    assert weekdays == set(range(7))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("H(30-10) * * * *", 'write "H(30-59) * * * *" instead, which is chosen from 30-59 alone'),
        ("0 H(22-6) * * *", 'write "0 H(0-6) * * *" instead, which is chosen from 0-6 alone'),
        ("0 H(22-6)/3 * * *", 'write "0 H(0-6)/3 * * *" instead, which is chosen from 0-6 alone'),
        ("H(0-60) * * * *", '"60" is out of range for minute (0-59) at column 5'),
        ("H/0 * * * *", "has a step that is not 1-60"),
        ("H(0-9)/11 * * * *", "has a step that is not 1-10"),
        ("H( * * * *", "is not accepted"),
        ("H() * * * *", "is not accepted"),
        ("H-5 * * * *", '"H" in minute at column 1'),
        ("0 0 H(29-31) 2 *", "never fires: FEB has no day 31"),
        ("0 0 31 H *", "never fires"),
        ("0 0 H(30-31) H(2-3) *", "never fires"),
    ],
)
def test_spread__refused_for_every_id_alike(text: str, part: str) -> None:
    for key in "abc":
        assert part in refusal(text, key)


def test_spread__needs_the_id() -> None:
    assert '"H" in hour is chosen by the id of the cron job: give the id as well (--id)' in refusal(
        "0 H * * *"
    )
    for text in ("H * * * *", "0 h(1-5) * * *", "0 0 * * 1,H", "H/5 * * * *"):
        assert spreads(text)
    for text in ("0 0 * * THU", "0 0 * MARCH *", "@hourly", "0 8 * * *"):
        assert not spreads(text)


# Intervals


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("rate(1 minute)", MINUTE),
        ("rate(5 minutes)", 5 * MINUTE),
        ("rate( 1  hour )", HOUR),
        ("rate(12 hours)", 12 * HOUR),
        ("rate(1 day)", DAY),
        ("rate(7 days)", 7 * DAY),
        ("@every 90s", 90 * SECOND),
        ("@every 15m", 15 * MINUTE),
        ("@Every 1h30m", 90 * MINUTE),
        ("@every 2d", 2 * DAY),
    ],
)
def test_interval__is_read(text: str, period: int) -> None:
    expression = parse(text)
    assert isinstance(expression, Interval)
    assert expression.period == period
    assert str(expression) == " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("rate(5 weeks)", 'write "rate(35 days)" instead (same fire times)'),
        ("rate(5 seconds)", 'write "@every 5s" instead (same fire times)'),
        ("rate(5 months)", 'as "rate(5 minutes)"'),
        ("rate(5)", "is not understood"),
        ("rate(-5 minutes)", "is not understood"),
        ("rate(1.5 hours)", "is not understood"),
        ("rate(5 minutes", "is not understood"),
        ("rate(0 minutes)", "has no length"),
        ("rate(999999999 days)", "longer than a hundred years"),
        ("@every", 'as "@every 90s"'),
        ("@every 90", "is not understood"),
        ("@every 1.5h", "is not understood"),
        ("@every 500ms", "is not understood"),
        ("@every 0s", "has no length"),
        ("@everyday", "is not understood"),
    ],
)
def test_interval__refused(text: str, part: str) -> None:
    assert part in refusal(text)


def test_interval__is_counted_from_the_second_of_the_anchor() -> None:
    anchor = parse_iso("2026-01-15T12:00:07.654321Z")
    table = timetable("rate(5 minutes)", "America/New_York", anchor=anchor)
    first = parse_iso("2026-01-15T12:05:07Z")
    assert table.next(0) == table.next(anchor) == first
    assert table.next(first) == first + 5 * MINUTE
    assert table.previous(first) is None
    assert table.previous(first + 1) == first
    assert table.count(0, first + HOUR) == 13
    assert table.count(0, first + HOUR - 1) == 12
    assert table.count(first, first + 25 * MINUTE) == 5
    assert table.count(0, first - 1) == 0
    assert table.matches(first)
    assert not table.matches(first + 1)


@given(st.integers(0, 10**7), st.integers(1, 10**5), st.integers(-(10**7), 10**8), st.integers(0, 10**6))
def test_interval__laws(anchor: int, period: int, after: int, span: int) -> None:
    table = timetable(f"@every {period}s", anchor=anchor * 1000)
    start, until = after * 1000, (after + span) * 1000
    first = table.next(start)
    assert first is not None
    assert first > start
    assert (first - anchor * 1000 // SECOND * SECOND) % (period * SECOND) == 0
    expected: list[int] = []
    instant = table.next(start)
    while instant is not None and instant <= until and len(expected) < 50:
        expected.append(instant)
        instant = table.next(instant)
    until = expected[-1] if len(expected) == 50 else until
    assert table.count(start, until) == len(expected)
    if expected:
        assert table.previous(expected[-1] + 1) == expected[-1]


def test_interval__needs_an_anchor() -> None:
    with pytest.raises(InvalidExpression, match="is counted from an instant"):
        timetable("rate(5 minutes)")


# at()


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("UTC", "2026-12-24T18:00"),
        ("Europe/Berlin", "2026-12-24T17:00"),
        ("Pacific/Apia", "2026-12-24T05:00"),
    ],
)
def test_at__fires_once(zone: str, expected: str) -> None:
    table = timetable("at(2026-12-24T18:00:00)", zone)
    assert following("at(2026-12-24T18:00:00)", "2026-01-15T12:00:00Z", 3, zone=zone) == [expected]
    fire_time = parse_iso(f"{expected}:00Z")
    assert table.next(fire_time) is None
    assert table.previous(fire_time) is None
    assert table.previous(fire_time + 1) == fire_time
    assert table.count(0, fire_time) == table.count(0, 10**17) == 1


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("at(2026-12-24)", "does not name a time; write at(2026-12-24T18:00:00), in the cron job's timezone"),
        ("at(2026-02-30T00:00:00)", "does not name a time"),
        ("at(2026-12-24T24:00:00)", "does not name a time"),
        ("at(2026-12-24T18:00:00Z)", "does not name a time"),
        ("at(2026-12-24T18:00)", "does not name a time"),
        ("at(1969-12-24T18:00:00)", '"1969" is out of range for year (1970-2199)'),
        ("at(2200-12-24T18:00:00)", '"2200" is out of range for year (1970-2199)'),
        ("at()", "does not name a time"),
        ("at(2026-12-24T18:00:00", 'write "at(2026-12-24T18:00:00)" instead'),
    ],
)
def test_at__refused(text: str, part: str) -> None:
    assert part in refusal(text)


def test_parse__is_remembered() -> None:
    random = Random(1)
    text = f"{random.randrange(60)} 3 * * *"
    assert parse(text) is parse(text)
