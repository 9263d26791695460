"""Every dialect, zone and policy beside the oracle: nothing differs."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.clock.timetable import Timetable, timetable
from cronally.cron import Expression, parse
from cronally.instants import DAY, SECOND, parse_iso
from tests.clock.texts import CHANGING, POLICIES, all_zones, any_expressions, any_text, policies
from tests.cron.cron_texts import instants, spans
from tests.support import clock_oracle
from tests.support.clock_oracle import Ticks, debian_ticks, policy_ticks, zone_info, zone_names
from tests.support.examples import examples
from tests.support.oracle import Schedule, fire_times

# What a change of the clock can do to an expression: in the gap, in the repeated hour, at midnight, on the day.
EXPRESSIONS = [
    *("30 2 * * *", "0,30 2 * * *", "30 1 * * *", "*/30 1 * * *", "*/10 * * * *", "0 * * * *", "0 0 * * *"),
    *("*/5 0 * * 0", "15,45 0-4 * * *", "59 23 * * *", "0-59 2 * * *", "7 */2 * * *", "0 3 1-7 * SUN"),
    *("15 2 * * 7L", "30 0 L * *", "1 1 * 3,10 SUN#2", "cron(30 2 ? * 1L *)", "cron(0/20 0-3 * * ? *)"),
    *("*/20 30 1-3 * * *", "0 8 * * MON-FRI"),
]


def agree(table: Timetable, expected: list[int], start: int, end: int) -> None:
    """All questions to a timetable about [start, end), in seconds, have the expected fire times as an answer."""
    wanted = [second * SECOND for second in expected]
    found, fire_time = [], table.next(start * SECOND - 1)
    while fire_time is not None and fire_time < end * SECOND:
        found.append(fire_time)
        fire_time = table.next(fire_time)
    assert found == wanted, table
    backwards, fire_time = [], table.previous(end * SECOND)
    while fire_time is not None and fire_time >= start * SECOND:
        backwards.append(fire_time)
        fire_time = table.previous(fire_time)
    assert backwards[::-1] == wanted, table
    assert table.count(start * SECOND - 1, end * SECOND - 1) == len(wanted), table
    half = len(wanted) // 2
    if half:
        assert table.count(start * SECOND - 1, wanted[half - 1]) == half, table
        assert table.count(start * SECOND - 1, wanted[half - 1] - 1) == half - 1, table
        assert table.count(wanted[half - 1], end * SECOND - 1) == len(wanted) - half, table


# Without changes


@examples(100)
@given(any_expressions, instants, spans(4))
def test_utc__agrees_on_every_second_of_days(text: str, start: int, span: int) -> None:
    start, end = start // SECOND, (start + span) // SECOND
    expected = [instant // SECOND for instant in fire_times(text, start * SECOND, end * SECOND)]
    agree(timetable(text), expected, start, end)


@examples(40)
@given(any_expressions, instants, spans(3 * 366))
def test_utc__agrees_on_every_day_of_years(text: str, start: int, span: int) -> None:
    expression = parse(text)
    assert isinstance(expression, Expression)
    schedule = Schedule(text)
    first, last = start // DAY, (start + span) // DAY
    expected = [day for day in range(first, last) if schedule.fires_on(clock_oracle.day(day))]
    found, day = [], expression.days.at_or_after(first)
    while day is not None and day < last:
        found.append(day)
        day = expression.days.at_or_after(day + 1)
    assert found == expected
    assert expression.days.between(first, last) == len(expected)
    if expected:
        assert expression.days.at_or_before(last - 1) == expected[-1]


# Over changes


def check_changes(name: str, texts: list[str], first_year: int, last_year: int, random: Random | None) -> int:
    """Compare around every change of a zone; with `random`, a random policy besides Debian's rule."""
    compared = 0
    for start, stop in clock_oracle.windows(name, first_year, last_year, 90):
        zone = zone_info(name)
        debian: dict[bool, Ticks] = {
            wildcard: debian_ticks(zone, start, stop, wildcard=wildcard) for wildcard in (True, False)
        }
        gap, overlap = (random or Random(start)).choice(POLICIES)
        chosen = policy_ticks(zone, start, stop, gap, overlap)
        for text in texts:
            schedule = Schedule(text)
            expected = clock_oracle.fire_times(schedule, debian[schedule.wildcard])
            agree(timetable(text, name), expected, start * 60, stop * 60)
            if random is not None:
                expected = clock_oracle.fire_times(schedule, chosen)
                table = timetable(text, name, dst_gap=gap, dst_overlap=overlap)
                agree(table, expected, start * 60, stop * 60)
            compared += 1
    return compared


@pytest.mark.parametrize("name", CHANGING)
def test_changes__agree_in_every_kind_of_zone(name: str) -> None:
    random = Random(name)
    years = sorted(random.sample(range(2000, 2040), 3))
    for year in years:
        check_changes(name, random.sample(EXPRESSIONS, 8), year, year, random)


@pytest.mark.parametrize(
    ("name", "year"),
    [
        ("Australia/Lord_Howe", 2024),
        ("America/Havana", 2024),
        ("Asia/Beirut", 2023),
        ("America/Sao_Paulo", 2018),
        ("Europe/Dublin", 2025),
        ("Africa/Casablanca", 2026),
        ("Antarctica/Troll", 2024),
        ("Pacific/Apia", 2011),
        ("Antarctica/Casey", 2020),
        ("Asia/Pyongyang", 2018),
        ("America/Caracas", 2016),
        ("Asia/Kathmandu", 1985),
        ("Europe/Istanbul", 2016),
    ],
)
def test_changes__agree_where_others_fail(name: str, year: int) -> None:
    compared = check_changes(name, EXPRESSIONS, year, year, Random(year))
    assert compared >= len(EXPRESSIONS)


def test_changes__agree_in_a_sample_of_all_zones() -> None:
    random = Random(20261124)
    for name in random.sample(zone_names(), 60):
        years = random.randint(2000, 2040)
        check_changes(name, random.sample(EXPRESSIONS, 4), years, years, random)


_DISTINCT: dict[tuple[int, int, int], str] = {}


@pytest.mark.slow
@pytest.mark.parametrize("name", zone_names())
def test_changes__agree_at_every_one_from_2000_to_2040(name: str) -> None:
    """Zones share most of their changes: each is compared with all expressions once, then with two."""
    random = Random(name)
    for start, stop in clock_oracle.windows(name, 2000, 2040, 90):
        zone = zone_info(name)
        change = start, clock_oracle.offset(zone, start), clock_oracle.offset(zone, stop)
        texts = EXPRESSIONS if _DISTINCT.setdefault(change, name) == name else random.sample(EXPRESSIONS, 2)
        debian = {kind: debian_ticks(zone, start, stop, wildcard=kind) for kind in (True, False)}
        gap, overlap = random.choice(POLICIES)
        chosen = policy_ticks(zone, start, stop, gap, overlap)
        for text in texts:
            schedule = Schedule(text)
            expected = clock_oracle.fire_times(schedule, debian[schedule.wildcard])
            agree(timetable(text, name), expected, start * 60, stop * 60)
            expected = clock_oracle.fire_times(schedule, chosen)
            table = timetable(text, name, dst_gap=gap, dst_overlap=overlap)
            agree(table, expected, start * 60, stop * 60)


@examples(30)
@given(any_expressions, all_zones, policies, instants, st.integers(0, 3 * 24 * 60))
def test_zones__agree_for_random_expressions(
    text: str, name: str, policy: tuple[str, str] | None, start: int, length: int
) -> None:
    agree_in_window(text, name, policy, start // (60 * SECOND), length)


@examples(40)
@given(any_expressions, st.sampled_from(CHANGING), policies, st.integers(0, 10**6), st.integers(0, 600))
def test_zones__agree_for_random_expressions_around_changes(
    text: str, name: str, policy: tuple[str, str] | None, which: int, lead: int
) -> None:
    changes = clock_oracle.transitions(name, 2000, 2040) or [which * 20]
    agree_in_window(text, name, policy, changes[which % len(changes)] - lead, 900)


def agree_in_window(text: str, name: str, policy: tuple[str, str] | None, start: int, length: int) -> None:
    """Compare in a window; the simulation begins a day and a half before it, as it needs to know the past."""
    zone, schedule = zone_info(name), Schedule(text)
    first, stop = start - 36 * 60, start + length
    if clock_oracle.offset(zone, first - 300) != clock_oracle.offset(zone, first):
        first -= 300
    if policy is None:
        ticks = debian_ticks(zone, first, stop, wildcard=schedule.wildcard)
        table = timetable(text, name)
    else:
        ticks = policy_ticks(zone, first, stop + 24 * 60, *policy)
        table = timetable(text, name, dst_gap=policy[0], dst_overlap=policy[1])
    expected = [t for t in clock_oracle.fire_times(schedule, ticks) if start * 60 <= t < stop * 60]
    agree(table, expected, start * 60, stop * 60)


def test_oracle__shares_no_code_with_what_it_checks() -> None:
    """Neither reads anything of the package."""
    for module in (clock_oracle, __import__("tests.support.oracle", fromlist=["oracle"])):
        assert module.__file__ is not None
        with open(module.__file__) as file:
            assert "cronally" not in file.read()


def test_oracle__is_right_where_it_can_be_seen() -> None:
    """The worked examples of `expressions.md`, by the oracle alone."""
    new_york = zone_info("America/New_York")
    spring, autumn = parse_iso("2026-03-08T05:00:00Z"), parse_iso("2026-11-01T04:00:00Z")

    def found(text: str, start: int, policy: tuple[str, str] | None = None) -> list[str]:
        schedule = Schedule(text)
        first = start // (60 * SECOND)
        if policy is None:
            ticks = debian_ticks(new_york, first, first + 300, wildcard=schedule.wildcard)
        else:
            ticks = policy_ticks(new_york, first, first + 300, *policy)
        return [
            f"{second // 3600 % 24:02}:{second // 60 % 60:02}"
            for second in clock_oracle.fire_times(schedule, ticks)
        ]

    assert found("30 2 * * *", spring) == ["07:00"]
    assert found("30 2 * * *", spring, ("skip", "first")) == []
    assert found("30 2 * * *", spring, ("shift", "first")) == ["07:30"]
    assert found("*/30 2 * * *", spring) == []
    assert found("30 1 * * *", autumn) == ["05:30"]
    assert found("30 1 * * *", autumn, ("skip", "last")) == ["06:30"]
    assert found("30 1 * * *", autumn, ("skip", "both")) == ["05:30", "06:30"]
    assert found("*/30 1 * * *", autumn) == ["05:00", "05:30", "06:00", "06:30"]


def test_any_text__covers_the_dialects() -> None:
    random = Random(1)
    texts = [any_text(random) for _ in range(400)]
    for part in ("cron(", "L", "W", "#", "?", "*/"):
        assert sum(part in text for text in texts) > 3, part
    assert sum(len(text.split()) == 6 and "cron(" not in text for text in texts) > 10
