"""Local times and their instants, against the standard library's zones: it asks each instant what its clock shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.clock import zones
from cronally.clock.civil import Civil, instants, is_civil, parse_civil
from cronally.instants import SECOND, format_iso, from_datetime

# Of a day, of an hour, of half an hour, of a day that was left out, of no change at all.
ZONES = ["America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Europe/Dublin", "Asia/Kathmandu", "UTC"]
LOCAL = st.datetimes(datetime(1971, 1, 1), datetime(2036, 1, 1))


def near_changes() -> st.SearchStrategy[tuple[str, datetime]]:
    """A zone and a local time around one of its changes."""

    def local(name: str, number: int, minutes: int) -> tuple[str, datetime]:
        changes = [*zones.zone(name).changes(32_000_000, 2_000_000_000)]
        if not changes:
            return name, datetime(2026, 11, 24, 8) + timedelta(minutes=minutes)
        change = changes[number % len(changes)]
        return name, datetime(1970, 1, 1) + timedelta(seconds=change.at + change.before, minutes=minutes)

    return st.builds(local, st.sampled_from(ZONES), st.integers(0, 500), st.integers(-1600, 1600))


@given(st.one_of(st.tuples(st.sampled_from(ZONES), LOCAL), near_changes()))
def test_instants__are_those_at_which_the_clock_shows_it(made: tuple[str, datetime]) -> None:
    name, local = made
    local = local.replace(microsecond=0)
    zone = ZoneInfo(name)
    # A text of the standard library's, read back, and each reading asked what its clock shows.
    first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    shown = sorted({at for at in (first, second) if at.astimezone(zone).replace(tzinfo=None) == local})
    found = instants(zones.zone(name), parse_civil(local.isoformat()))
    if shown:
        assert found == [from_datetime(at) for at in shown]
    else:
        # By the offset before the gap, which `fold=0` takes as well (PEP 495).
        assert found == [from_datetime(first)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-07-01T08:00", ["2026-07-01T12:00:00Z"]),
        ("2026-07-01 08:00:30", ["2026-07-01T12:00:30Z"]),
        ("2026-11-01T01:30", ["2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z"]),
        ("2026-03-08T02:30", ["2026-03-08T07:30:00Z"]),
        ("1970-01-01T00:00", ["1970-01-01T05:00:00Z"]),
        ("2200-01-01T00:00", ["2200-01-01T00:00:00Z"]),
    ],
)
def test_instants__of_new_york(text: str, expected: list[str]) -> None:
    assert is_civil(text)
    assert [format_iso(at) for at in instants(zones.zone("America/New_York"), parse_civil(text))] == expected


@pytest.mark.parametrize(
    "text", ["2026-11-31T08:00", "2026-11-24T24:00", "1969-12-31T23:59", "2201-01-01T00:00"]
)
def test_local__that_there_is_not(text: str) -> None:
    assert is_civil(text)
    with pytest.raises(ValueError, match="there is no such day or time"):
        parse_civil(text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24",
        "2026-11-24T08",
        "2026-11-24T08:00Z",
        "2026-11-24T08:00:00.5",
        "2026-11-24T08:00 ",
        "8:00",
    ],
)
def test_local__is_written_in_one_way(text: str) -> None:
    assert not is_civil(text)


def test_civil__counts_days_of_86400_seconds() -> None:
    assert parse_civil("1970-01-02T00:00:01") == Civil(86_401)
    assert instants(zones.zone("UTC"), Civil(1)) == [SECOND]
