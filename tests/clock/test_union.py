"""Several expressions in one timetable, and its bounds, beside a slow oracle: sets of instants."""

from __future__ import annotations

from random import Random

import pytest

from cronally.clock.preview import FireTime, NoFireTime, Suppressed, explain, preview, suppressed
from cronally.clock.timetable import Timetable, UnionTimetable, timetable
from cronally.cronjob import join_expressions
from cronally.instants import DAY, HOUR, MAX_INSTANT, MINUTE, SECOND, parse_iso
from tests.clock.test_oracle import EXPRESSIONS, agree
from tests.clock.texts import CHANGING
from tests.support import clock_oracle
from tests.support.clock_oracle import Expected

NEW_YORK = "America/New_York"
NOON = parse_iso("2026-11-24T12:00:00Z")


def several(*texts: str, **options: object) -> Timetable:
    return timetable(join_expressions(texts), **options)  # type: ignore[arg-type]


def some_intervals(random: Random, start: int) -> tuple[list[str], int, list[tuple[int, int]]]:
    """Intervals, when they are counted from, and of each the first fire time and the period, in seconds."""
    periods = random.choice([[], [], [90], [61, 7 * 60], [3600]])
    anchor = start * 60 - random.randint(0, 90_000)
    return (
        [f"@every {period}s" for period in periods],
        anchor,
        [(anchor + period, period) for period in periods],
    )


def check_window(random: Random, name: str, start: int, stop: int) -> None:
    """Some expressions over one change of a zone, with bounds or without: `next`, `previous`, `count`, `preview`."""
    texts = random.sample(EXPRESSIONS, random.randint(1, 4))
    gap = random.choice([None, None, "run_at_jump", "skip", "shift"])
    overlap = random.choice([None, None, "first", "last", "both"])
    intervals, anchor, steps = some_intervals(random, start)
    wanted = clock_oracle.expected_of_several(texts, name, start, stop, gap, overlap)
    bounds: dict[str, int] = {}
    if random.random() < 0.5:
        bounds["starts_at"] = random.randint(start * 60, stop * 60) * SECOND - random.choice(
            [0, 0, 1, 500_000]
        )
    if random.random() < 0.5:
        bounds["ends_at"] = random.randint(start * 60, stop * 60) * SECOND + random.choice([0, 0, 1, 500_000])
    first, last = bounds.get("starts_at", 0), bounds.get("ends_at", MAX_INSTANT)
    if "starts_at" in bounds:  # they are counted from there
        steps = [(-(-first // SECOND), period) for _, period in steps]
    stepped = {
        at * SECOND for from_, period in steps for at in range(from_, stop * 60, period) if at >= start * 60
    }
    fires = sorted({*wanted.fires, *stepped})
    whole = Expected(fires, sorted({*wanted.held} - stepped), wanted.skipped)
    wanted = clock_oracle.within(whole, first, last)
    table = several(
        *texts, *intervals, zone=name, dst_gap=gap, dst_overlap=overlap, anchor=anchor * SECOND, **bounds
    )
    agree(table, [at // SECOND for at in wanted.fires], start * 60, stop * 60)
    check_entries(table, wanted, start * MINUTE, stop * MINUTE)


def check_entries(table: Timetable, wanted: Expected, start: int, stop: int) -> None:
    """What `preview`, `suppressed` and `explain` say is what is expected, each instant once."""
    held, skipped = {*wanted.held}, dict(wanted.skipped)
    for entry in suppressed(table, start - 1, stop - 1):
        if entry.in_gap:
            assert skipped.pop(entry.scheduled_at) == entry.count
            continue
        inside = {at for at in held if entry.scheduled_at <= at <= entry.until_at}
        assert (len(inside), min(inside), max(inside)) == (entry.count, entry.scheduled_at, entry.until_at)
        assert not [at for at in wanted.fires if entry.scheduled_at <= at <= entry.until_at]
        held -= inside
    assert (held, skipped) == (set(), {})
    found: list[int] = []
    for shown in preview(table, start - 1):
        if shown.scheduled_at >= stop:
            break
        if isinstance(shown, FireTime):
            found.append(shown.scheduled_at)
    assert found == wanted.fires
    for at in wanted.held[:3]:
        assert isinstance(explain(table, at), Suppressed)
    for at in wanted.fires[:3]:
        assert isinstance(explain(table, at), FireTime)


@pytest.mark.sample(8)
@pytest.mark.parametrize("name", CHANGING)
def test_union__agrees_with_sets_of_instants_over_changes(name: str) -> None:
    random = Random(name)
    for year in random.sample(range(2000, 2040), 2):
        for start, stop in clock_oracle.windows(name, year, year, 90):
            check_window(random, name, start, stop)
    day = parse_iso("2026-06-01T00:00:00Z") // MINUTE
    if clock_oracle.offset(clock_oracle.zone_info(name), day) % 60 == 0:
        check_window(random, name, day, day + 3 * 24 * 60)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGING)
def test_union__agrees_with_sets_of_instants_over_every_change(name: str) -> None:
    random = Random(name)
    for start, stop in clock_oracle.windows(name, 2000, 2040, 90):
        for _ in range(3):
            check_window(random, name, start, stop)


def walked(table: Timetable, after: int, until: int) -> int:
    count, at = 0, table.next(after)
    while at is not None and at <= until:
        count, at = count + 1, table.next(at)
    return count


@pytest.mark.parametrize("seed", range(8))
def test_count__of_days_is_what_a_walk_counts(seed: int) -> None:
    random = Random(seed)
    texts = random.sample(
        [
            *("*/20 * * * *", "0 9 * * MON-FRI", "0 11 * * SAT", "*/30 3-5 1,15 * *", "30 * * 3,11 *"),
            *("@every 95m", "rate(7 hours)", "rate(3 days)", "*/15 30 2 * * *", "at(2026-11-01T01:30:00)"),
        ],
        4,
    )
    zone = random.choice([NEW_YORK, "Australia/Lord_Howe", "UTC", "Asia/Kolkata"])
    table = several(*texts, zone=zone, anchor=NOON - 40 * DAY)
    assert isinstance(table, UnionTimetable)
    for _ in range(5):
        after = NOON - random.randint(0, 60 * DAY)
        until = after + random.choice([MINUTE, HOUR, DAY, 40 * DAY]) + random.randint(0, DAY)
        assert table.count(after, until) == walked(table, after, until), (texts, zone, after, until)


def test_count__of_a_century_is_counted_by_days(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0
    search = UnionTimetable._next

    def counted(self: UnionTimetable, after: int) -> int | None:
        nonlocal steps
        steps += 1
        return search(self, after)

    monkeypatch.setattr(UnionTimetable, "_next", counted)
    table = several("* * * * *", "0 0 * * *", "@every 1h", zone=NEW_YORK, anchor=0)
    assert table.count(0, 100 * 365 * DAY) == 100 * 365 * 24 * 60
    assert steps < 100 * 2 * 130, "around a change of the clock alone they are gone through one by one"


def test_count__of_an_interval_of_a_century_makes_no_large_number() -> None:
    table = several("rate(36500 days)", "0 0 1 1 *", anchor=0)
    assert table.count(0, 40 * 365 * DAY) == 39


def test_union__is_shared_and_names_its_expressions() -> None:
    table = several("0 9 * * *", "0 11 * * *", zone=NEW_YORK, key="a", anchor=1)
    assert table is several("0 9 * * *", "0 11 * * *", zone=NEW_YORK, key="b", anchor=2)
    assert table.texts == ("0 9 * * *", "0 11 * * *")
    assert "0 11 * * *" in repr(table)
    assert several("0 9 * * *") is timetable("0 9 * * *")


def test_bounds__are_included() -> None:
    table = timetable("0 * * * *", starts_at=NOON, ends_at=NOON + 2 * HOUR)
    assert [table.next(0), table.next(NOON), table.next(NOON + HOUR), table.next(NOON + 2 * HOUR)] == [
        *(NOON, NOON + HOUR, NOON + 2 * HOUR),
        None,
    ]
    assert (table.previous(NOON), table.previous(NOON + 1)) == (None, NOON)
    assert table.previous(MAX_INSTANT) == NOON + 2 * HOUR
    assert table.count(0, MAX_INSTANT) == 3
    assert table.matches(NOON)
    assert not table.matches(NOON - HOUR)


def test_bounds__that_hold_nothing() -> None:
    table = timetable("0 0 * * *", starts_at=NOON, ends_at=NOON + HOUR)
    assert (table.next(0), table.previous(MAX_INSTANT), table.count(0, MAX_INSTANT)) == (None, None, 0)


@pytest.mark.parametrize("late", [0, 1, 999_999])
def test_interval__with_a_start_fires_at_it_first(late: int) -> None:
    """At the first whole second from it on: nothing fires between two."""
    first = NOON if late == 0 else NOON + SECOND
    table = timetable("@every 90s", starts_at=NOON + late, anchor=5)
    assert table.next(0) == first
    assert table.next(first) == first + 90 * SECOND
    assert table.previous(first + 1) == first
    assert table is timetable("@every 90s", starts_at=NOON + late, anchor=6)


def test_interval__with_a_start_long_ago_goes_on_from_it() -> None:
    table = timetable("rate(1 hour)", starts_at=parse_iso("1970-01-01T00:07:00Z"))
    assert table.next(NOON) == NOON + 7 * MINUTE


def test_explain__outside_of_the_bounds_there_is_no_fire_time() -> None:
    table = timetable("0 * * * *", ends_at=NOON)
    found = explain(table, NOON + HOUR)
    assert found == NoFireTime(NOON, None)


def test_suppressed__in_a_repeated_hour_by_one_and_fired_by_another() -> None:
    """In the hour that comes twice, 01:30 of the fixed job is held back; the wildcard job fires then."""
    second = parse_iso("2026-11-01T06:30:00Z")
    alone = timetable("15,30 1 * * *", NEW_YORK)
    assert [entry.count for entry in suppressed(alone, second - HOUR, second + HOUR)] == [2]
    table = several("15,30 1 * * *", "30 * * * *", zone=NEW_YORK)
    (entry,) = suppressed(table, second - HOUR, second + HOUR)
    assert (entry.scheduled_at, entry.count) == (second - 15 * MINUTE, 1)
    fire_time = explain(table, second)
    assert isinstance(fire_time, FireTime)
    assert fire_time.mark == "doubled"


def test_fire_time__that_stands_for_skipped_ones_of_several() -> None:
    jump = parse_iso("2026-03-08T07:00:00Z")
    table = several("0 3 * * *", "30 2 * * *", "15,45 2 * * *", zone=NEW_YORK)
    fire_time = explain(table, jump)
    assert isinstance(fire_time, FireTime)
    assert (fire_time.mark, fire_time.instead_of, fire_time.count) == ("moved", "2026-03-08T02:15:00", 3)
