"""Fire times of a stretch of the past in both directions, and range rows that are parted: counted one by one."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from cronally.clock.exclusion import Excluded, Exclusion
from cronally.clock.timetable import Timetable, timetable
from cronally.instants import DAY, HOUR, MINUTE, parse_iso, to_datetime
from cronally.past import Sides, Stretch, part

START = parse_iso("2026-10-24T00:00:00Z")
"""In the ten days from here on the clocks of Berlin and of New York are set back."""
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"])
EXPRESSIONS = st.sampled_from(["*/30 * * * *", "15 1-3 * * *", "0 */7 * * MON-FRI", "45 1 * * *"])
DATES = st.lists(st.sampled_from([f"2026-10-{day}" for day in range(24, 32)]), max_size=4)
INSTANTS = st.integers(0, 10 * DAY // MINUTE).map(lambda minutes: START + minutes * MINUTE)


def excluded(dates: list[str], times: Timetable) -> Excluded | None:
    found = Exclusion.of(dates, {})
    return None if found is None else found.within(times.zone)


def one_by_one(times: Timetable, first: int, last: int) -> list[int]:
    return [at for at in range(first - first % MINUTE, last + 1, MINUTE) if at >= first and times.matches(at)]


@given(EXPRESSIONS, ZONES, DATES, INSTANTS, INSTANTS)
def test_stretch__has_the_same_fire_times_in_both_directions(
    text: str, zone: str, dates: list[str], first: int, last: int
) -> None:
    times = timetable(text, zone)
    left_out = excluded(dates, times)
    expected = [
        at
        for at in one_by_one(times, first, last)
        if left_out is None or f"{local_date(at, times)}" not in dates
    ]
    oldest = Stretch(times, left_out, first, last)
    newest = Stretch(times, left_out, first, last, newest_first=True)
    assert [*oldest.after(None)] == expected
    assert [*newest.after(None)] == expected[::-1]
    for place, at in enumerate(expected):
        assert [*oldest.after(at)] == expected[place + 1 :]
        assert [*newest.after(at)] == expected[:place][::-1]


def local_date(at: int, times: Timetable) -> object:
    offset = times.zone.span(at // 1_000_000).offset
    return (to_datetime(at) + timedelta(seconds=offset)).date()


@given(EXPRESSIONS, ZONES, INSTANTS, st.integers(1, 20), st.integers(0, 40), st.booleans())
def test_part__leaves_what_was_there_on_both_sides(
    text: str, zone: str, first: int, count: int, place: int, is_one: bool
) -> None:
    times, held, at = timetable(text, zone), list[int](), first - 1
    while len(held) < count:
        found = times.next(at)
        assert found is not None
        held.append(at := found)
    wanted = held[place % count] if is_one else held[0] + (held[-1] - held[0]) * place // 41
    before, behind = [one for one in held if one < wanted], [one for one in held if one > wanted]
    other = timetable("17 17 17 1 *", zone)
    assert part([other, times], held[0], held[-1], count, wanted) == Sides(
        before[-1] if before else None,
        len(before),
        behind[0] if behind else None,
        len(behind),
    )
    assert part([other, times], held[0], held[-1], count + 1, wanted) is None
    assert part([other], held[0], held[-1], count, wanted) is None
    assert part([times], held[0], held[-1] + HOUR // 60, count, wanted) is None or times.matches(
        held[-1] + MINUTE
    )
