"""Instants and durations: exact, and the same after text and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.instants import (
    DAY,
    HOUR,
    MAX_INSTANT,
    MIN_INSTANT,
    MINUTE,
    SECOND,
    format_duration,
    format_iso,
    from_datetime,
    parse_duration,
    parse_iso,
    to_datetime,
)

EIGHT = 1_795_507_200 * SECOND
"""2026-11-24T08:00:00Z."""

instants = st.integers(MIN_INSTANT, MAX_INSTANT)
offsets = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24T08:00:00Z",
        "2026-11-24T08:00:00+00:00",
        "2026-11-24T08:00Z",
        "20261124T080000Z",
        "2026-11-24T08:00:00.0Z",
        "2026-11-24T08:00:00.000000Z",
        "20261124T0800Z",
        "2026-11-24T03:00:00-05:00",
        "2026-11-24T13:30:00+05:30",
        "2026-11-24T13:30:00+0530",
        "2026-11-24T09:00:00+01",
        "2026-11-24T00:00:00-08:00",
    ],
)
def test_parse_iso__reads_what_people_write(text: str) -> None:
    assert parse_iso(text) == EIGHT


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "written like"),
        ("tomorrow", "written like"),
        ("1795507200", "written like"),
        ("2026-11-24T25:00:00Z", "written like"),
        ("2026-02-29T00:00:00Z", "written like"),
        ("2026-11-24T08:00:00Z" + " " * 40, "written like"),
        ("٢٠٢٦-11-24T08:00:00Z", "written like"),
        ("2026-11-24T08:00:00\0Z", "written like"),
        ("2026-11-24T08:00:00Z\n", "written like"),
        ("2026-11-24T08:00:00.1234567Z", "written like"),
        ("2026-11-24 08:00:00Z", "written like"),
        ("2026-W48-2T08:00:00Z", "written like"),
        ("2026-11-24T08Z", "written like"),
        ("2026-11-24", "offset"),
        ("2026-11-24T08:00:00", "offset"),
        ("1969-12-31T23:59:59Z", "between the years"),
        ("2200-01-01T00:00:01Z", "between the years"),
        ("0001-01-01T00:00:00+23:59", "between the years"),
        ("9999-12-31T23:59:59-23:59", "between the years"),
    ],
)
def test_parse_iso__says_what_is_missing(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_iso(text)


@given(st.text(max_size=60))
def test_parse_iso__returns_an_instant_or_raises_value_error(text: str) -> None:
    try:
        instant = parse_iso(text)
    except ValueError:
        return
    assert MIN_INSTANT <= instant <= MAX_INSTANT


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (MIN_INSTANT, "1970-01-01T00:00:00Z"),
        (EIGHT, "2026-11-24T08:00:00Z"),
        (EIGHT + 1, "2026-11-24T08:00:00.000001Z"),
        (EIGHT + SECOND // 2, "2026-11-24T08:00:00.500000Z"),
        (MAX_INSTANT, "2200-01-01T00:00:00Z"),
    ],
)
def test_format_iso__ends_in_z(instant: int, text: str) -> None:
    assert format_iso(instant) == text


@given(instants)
def test_instant__survives_text_and_datetime(instant: int) -> None:
    assert parse_iso(format_iso(instant)) == instant
    assert from_datetime(to_datetime(instant)) == instant


@given(instants, offsets)
def test_instant__is_the_same_in_every_zone(instant: int, offset: timezone) -> None:
    assert from_datetime(to_datetime(instant).astimezone(offset)) == instant


@given(instants, instants)
def test_text__of_whole_seconds_sorts_as_its_instants(one: int, other: int) -> None:
    one, other = one // SECOND * SECOND, other // SECOND * SECOND
    assert (format_iso(one) < format_iso(other)) == (one < other)


def test_from_datetime__refuses_a_naive_one() -> None:
    with pytest.raises(ValueError, match="offset"):
        from_datetime(datetime(2026, 11, 24))


def test_to_datetime__is_in_utc() -> None:
    assert to_datetime(EIGHT) == datetime(2026, 11, 24, 8, tzinfo=UTC)
    assert to_datetime(EIGHT).tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("0s", 0),
        ("90s", 90 * SECOND),
        ("15m", 15 * MINUTE),
        ("24h", 24 * HOUR),
        ("7d", 7 * DAY),
        ("007d", 7 * DAY),
    ],
)
def test_parse_duration__reads_a_number_with_its_unit(text: str, duration: int) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text", ["", "s", "90", "1.5h", "-1s", "+1s", "1 h", "1h ", "1H", "1w", "١s", "1h30m", "1" * 10 + "s"]
)
def test_parse_duration__says_how_a_duration_is_written(text: str) -> None:
    with pytest.raises(ValueError, match="written like"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (0, "0s"),
        (90 * SECOND, "90s"),
        (MINUTE, "1m"),
        (90 * MINUTE, "90m"),
        (DAY, "24h"),
        (2 * DAY, "2d"),
        (49 * HOUR, "49h"),
    ],
)
def test_format_duration__takes_the_largest_unit_that_divides(duration: int, text: str) -> None:
    assert format_duration(duration) == text


@pytest.mark.parametrize("duration", [-SECOND, 1, SECOND + 1])
def test_format_duration__refuses_what_it_could_not_write(duration: int) -> None:
    with pytest.raises(ValueError, match="whole number of seconds"):
        format_duration(duration)


@given(st.integers(0, 10_000 * 24 * 3600))
def test_duration__survives_text(seconds: int) -> None:
    assert parse_duration(format_duration(seconds * SECOND)) == seconds * SECOND
