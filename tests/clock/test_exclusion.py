"""Which instants excluded dates are, against the oracle; how dates are written."""

from __future__ import annotations

import json
from datetime import date, timedelta
from random import Random

import pytest

from cronally.clock import zones
from cronally.clock.dates import MAX_DATES, MAX_ENTRIES, days_of, is_name, names_in, parse_range
from cronally.clock.exclusion import Exclusion, left_out
from cronally.clock.timetable import timetable
from cronally.clock.tzif import Zone
from cronally.instants import DAY, MAX_INSTANT, MINUTE, SECOND, format_iso, parse_iso
from tests.clock.texts import CHANGING
from tests.support import date_oracle
from tests.support.clock_oracle import transitions
from tests.support.date_oracle import cause_of, causes, dates_of

# Midnight does not exist, comes twice, is passed backwards a minute after it; a date does not exist.
MIDNIGHTS = {
    "America/Sao_Paulo": "2018-11-04",
    "Asia/Beirut": "2022-03-27",
    "Africa/Cairo": "2023-04-28",
    "America/Havana": "2026-11-01",
    "America/Goose_Bay": "2010-11-07",
    "America/St_Johns": "2006-10-29",
    "Asia/Amman": "2021-10-29",
    "Pacific/Apia": "2011-12-30",
    "Pacific/Kwajalein": "1993-08-21",
    "Pacific/Kiritimati": "1995-01-01",
    "Europe/Berlin": "2026-10-25",
    "UTC": "2026-12-24",
}

DATELESS = {"Pacific/Apia", "Pacific/Kwajalein", "Pacific/Kiritimati"}
"""Zones that left out a date: one that is excluded before it and one after it have nothing between them."""


def exclusion(entries: list[str], calendars: dict[str, list[str]] | None = None) -> Exclusion:
    made = Exclusion.of(entries, {name: json.dumps(dates) for name, dates in (calendars or {}).items()})
    assert made is not None
    return made


def random_entry(random: Random, around: date) -> str:
    first = around + timedelta(days=random.randint(-3, 3))
    if random.random() < 0.5:
        return str(first)
    return f"{first}/{first + timedelta(days=random.randint(0, 3))}"


def check(random: Random, name: str, around: date) -> None:
    """Every minute of the week around a date, with random dates, ranges and calendars."""
    calendars = {
        called: [random_entry(random, around) for _ in range(random.randint(0, 3))]
        for called in ("holidays", "2-weekends", "_")
    }
    entries = [random_entry(random, around) for _ in range(random.randint(0, 3))]
    entries += random.sample([*calendars], random.randint(1, 3))
    excluded = exclusion(entries, calendars).within(zones.zone(name))
    rules = causes(entries, calendars)
    start = (around - date(1970, 1, 1)).days * 1440 - 3 * 1440
    stop = start + 7 * 1440
    wanted = [cause_of(rules, on) for on in dates_of(name, start, stop)]
    for minute in range(start, stop, random.choice([7, 30])):
        segment = excluded.segment(minute * MINUTE)
        assert segment.cause == wanted[minute - start], format_iso(minute * MINUTE)
        end = min(segment.until // MINUTE, stop)
        assert set(wanted[minute - start : end - start]) == {segment.cause}
        if segment.until < stop * MINUTE and name not in DATELESS:
            assert segment.until % MINUTE == 0
            assert wanted[end - start] != segment.cause, "a segment ends where its cause does"
    for minute in random.sample(range(start, stop), 50):
        assert excluded.cause(minute * MINUTE + 59 * SECOND) == wanted[minute - start]


@pytest.mark.parametrize("name", MIDNIGHTS)
def test_segments__are_what_the_oracle_says_where_midnight_is_no_midnight(name: str) -> None:
    random = Random(name)
    for _ in range(6):
        check(random, name, date.fromisoformat(MIDNIGHTS[name]))


@pytest.mark.sample(8)
@pytest.mark.parametrize("name", CHANGING)
def test_segments__are_what_the_oracle_says_around_changes(name: str) -> None:
    random = Random(name)
    for minute in random.sample(transitions(name, 1990, 2036) or [30_000_000], 1):
        check(random, name, date(1970, 1, 1) + timedelta(days=minute // 1440))


def test_segment__a_date_that_a_zone_left_out_is_empty() -> None:
    excluded = exclusion(["2011-12-30"]).within(zones.zone("Pacific/Apia"))
    jump = parse_iso("2011-12-30T10:00:00Z")
    assert [excluded.cause(at) for at in (jump - 1, jump, jump + DAY)] == [None] * 3
    both = exclusion(["2011-12-29", "2011-12-31"]).within(zones.zone("Pacific/Apia"))
    assert [both.cause(at) for at in (jump - 1, jump)] == ["2011-12-29", "2011-12-31"]


@pytest.mark.parametrize("name", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Africa/Monrovia"])
@pytest.mark.parametrize("text", ["* * * * *", "0 0 29 2 *", "@every 90s"])
def test_search__ends_with_time_itself(name: str, text: str) -> None:
    everything = exclusion(["1970-01-01/2199-12-31"]).within(zones.zone(name))
    times = timetable(text, name, anchor=0)
    first = times.next(DAY)
    assert first is not None
    # What lies beyond the last date by a zone that is behind UTC.
    found, whole = everything.first_included(times, first, 5)
    assert whole
    assert found is None or found >= MAX_INSTANT - DAY
    segment = everything.segment(first)
    assert left_out(times, first, segment).count == 1 + times.count(first, segment.until - 1)
    assert everything.last_included(times, MAX_INSTANT - DAY, 0) in (None, *range(0, DAY, SECOND))


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia"])
def test_searches__are_what_a_walk_finds(name: str) -> None:
    random = Random(name)
    for _ in range(40):
        around = date(2011, 12, 30)
        entries = [random_entry(random, around) for _ in range(5)]
        excluded = exclusion(entries).within(zones.zone(name))
        times = timetable(random.choice(["0 */7 * * *", "*/50 8 * * *", "30 23 * * MON-FRI"]), name)
        start = parse_iso("2011-12-24T00:00:00Z") + random.randint(0, 12) * DAY + random.randint(0, DAY)
        stop = start + random.randint(0, 5 * DAY)
        at, walked = times.next(start), []
        while at is not None and at < stop + 20 * DAY:
            walked.append(at)
            at = times.next(at)
        free = [one for one in walked if excluded.cause(one) is None]
        assert excluded.first_included(times, walked[0], 50) == (free[0], True)
        before = [one for one in free if one < stop]
        assert excluded.last_included(times, stop, start + 1) == (before[-1] if before else None)


def test_first_included__passes_no_more_ranges_than_it_may() -> None:
    days = [str(date(2026, 1, 1) + timedelta(days=2 * number)) for number in range(40)]
    excluded = exclusion(["every-other-day"], {"every-other-day": days}).within(zones.zone("UTC"))
    times = timetable("0 8 */2 * *")
    first = parse_iso("2026-01-01T08:00:00Z")
    assert excluded.first_included(times, first, 3) == (None, False)
    found, whole = excluded.first_included(times, first, 100)
    assert whole
    assert found is not None
    assert excluded.cause(found) is None


def test_segment__costs_a_search_a_rule_however_many_dates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty entries, ten of them calendars of a thousand ranges: nothing is made of all their dates in the zone."""
    calendars = {
        f"c{number}": [str(date(2000, 1, 1) + timedelta(days=3 * one + number)) for one in range(MAX_DATES)]
        for number in range(10)
    }
    entries = [*calendars, *(str(date(2030, 1, 1) + timedelta(days=2 * one)) for one in range(40))]
    assert len(entries) == MAX_ENTRIES
    zone = zones.zone("America/New_York")
    steps = 0
    span_at = Zone.span_at

    def counted(self: Zone, index: int) -> object:
        nonlocal steps
        steps += 1
        return span_at(self, index)

    excluded = exclusion(entries, calendars).within(zone)
    monkeypatch.setattr(Zone, "span_at", counted)
    assert excluded.segment(parse_iso("2005-06-15T12:00:00Z")).cause is not None
    assert steps < 10


def test_equality__is_that_of_what_is_written() -> None:
    one, two = exclusion(["b", "2026-12-24"], {"b": []}), exclusion(["2026-12-24", "b"], {"b": []})
    assert one == two
    assert hash(one) == hash(two)
    assert one != exclusion(["2026-12-24", "b"], {"b": ["2026-12-25"]})
    assert Exclusion.of((), {}) is Exclusion.of(None, {}) is None


def test_within__a_calendar_that_there_is_not() -> None:
    with pytest.raises(ValueError, match='calendar "holidays", and the account has no such calendar'):
        exclusion(["holidays"]).within(zones.zone("UTC"))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("2026-12-24/", "neither"),
        ("2026-12-24/2026-12-25/2026-12-26", "neither"),
        ("2026-1-1", "neither"),
        ("20261224", "neither"),
        ("2026-W52-4", "neither"),
        ("2026-12-24\n", "neither"),
        ("２０２６-12-24", "neither"),
        ("", "neither"),
        ("2026-02-29", "not"),
        ("0000-01-01", "not"),
        ("1969-12-31", "outside"),
        ("2200-01-01", "outside"),
        ("2026-12-26/2026-12-24", "before it begins"),
    ],
)
def test_dates__that_are_none(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_range(text)


def test_days__overlapping_and_touching_ranges_are_one() -> None:
    listed = ["2026-12-26/2026-12-28", "2026-12-24", "2026-12-25", "2026-12-27/2026-12-30", "2027-01-01"]
    merged = days_of(json.dumps(listed))
    assert len(merged.starts) == len(merged.stops) == 2
    days = {merged.starts[0] + number for number in range(merged.stops[0] - merged.starts[0])}
    assert {date(1970, 1, 1) + timedelta(days=number) for number in days} == date_oracle.members(
        "2026-12-24/2026-12-30"
    )


def test_names__are_what_does_not_look_like_a_date() -> None:
    assert names_in(["2026-12-24", "2026-12-24/2026-12-26", "holidays", "-", "2026"]) == [
        "holidays",
        "-",
        "2026",
    ]
    assert not is_name("2026-99-99")
    assert not is_name("x" * 65)
    assert not is_name("a b")
