"""A preview stops after a bounded number of steps, says so, and can be gone on with: steps are counted, not time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.clock import preview as previews
from cronally.clock.exclusion import Exclusion, LeftOut
from cronally.clock.preview import FireTime, Steps, Suppressed, preview
from cronally.clock.timetable import Timetable, UnionTimetable, _timetable, timetable
from cronally.clock.zoned import ZonedTimes
from cronally.contract.previews import MAX_STEPS, Found, search
from cronally.cron.days import Days
from cronally.instants import DAY, MAX_INSTANT, parse_iso
from tests.clock.texts import any_expressions, changing_zones, policies
from tests.cron.cron_texts import instants

Entries = list[FireTime | Suppressed | LeftOut]

NOON = parse_iso("2026-11-24T12:00:00Z")
FIRST = parse_iso("1970-01-02T00:00:00Z")
MONTHS = 12 * (2200 - 1969)

WORST: list[tuple[str, str, dict[str, Any]]] = [
    ("30 2 * 3 SUN#2", "America/New_York", {}),
    ("30 2 * 3 SUN#2", "America/New_York", {"dst_gap": "skip"}),  # for ever suppressed
    ("*/5 2 31 2 SUN#5", "Asia/Gaza", {"dst_gap": "skip", "dst_overlap": "first"}),
    ("30 2 * 2 SUN#5", "America/New_York", {"dst_gap": "skip"}),
    ("0 0 29 2 MON#5", "Antarctica/Troll", {}),
    ("59 23 * 2 MON#5", "Antarctica/Troll", {"dst_gap": "skip"}),
    ("0 0 1 1 *", "Africa/Casablanca", {"dst_overlap": "last"}),
    ("30 1,2 29 10 SUNL", "Europe/Dublin", {"dst_gap": "skip"}),
    ("* * * * *", "Australia/Lord_Howe", {}),
    ("0 0 31 * SUN#5", "UTC", {}),
]


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each part of a search ran: months, spans of a zone, changes of its clock."""
    counted: Counter[str] = Counter()

    def counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            counted[name] += 1
            return function(*arguments)

        return run

    monkeypatch.setattr(Days, "_of_month", counting("months", Days._of_month))
    monkeypatch.setattr(ZonedTimes, "_first_in", counting("spans", ZonedTimes._first_in))
    monkeypatch.setattr(previews, "_entry", counting("changes", previews._entry))
    return counted


@pytest.mark.parametrize("after", [FIRST, NOON])
@pytest.mark.parametrize(("text", "zone", "given_"), WORST)
def test_search__takes_a_bounded_number_of_steps(
    work: Counter[str], text: str, zone: str, given_: dict[str, Any], after: int
) -> None:
    _timetable.cache_clear()
    table = timetable(text, zone, **given_)
    work.clear()
    found = search(table, after, 100)
    assert len(found.entries) <= MAX_STEPS
    assert work["changes"] <= MAX_STEPS
    # Each search for a fire time begins in one span, and none is searched twice but that one.
    assert work["spans"] <= table.zone.span_count + 2 * MAX_STEPS
    # Each change that is looked at, and each span, searches in a month or two.
    assert work["months"] <= MONTHS + 8 * MAX_STEPS + 4 * table.zone.span_count


def test_search__the_same_question_always_ends_at_the_same_place() -> None:
    text, zone, given_ = WORST[1]
    answers = []
    for _ in range(2):
        _timetable.cache_clear()
        table = timetable(text, zone, **given_)
        answers.append(search(table, NOON, 100))
        # What is remembered of another search changes nothing.
        table.next(parse_iso("2150-01-01T00:00:00Z"))
        assert search(table, NOON, 100) == answers[-1]
    assert answers[0] == answers[1]
    assert answers[0].until is not None


SEVERAL = "\n".join([*[f"{minute}-59/10 * * * *" for minute in range(9)], "@every 10m"])


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_search__counts_a_bounded_part_of_what_is_excluded(
    monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    """Of several expressions, which are counted day by day."""
    table = timetable(SEVERAL, zone, anchor=NOON)
    excluded = Exclusion((("2026-12-01/2199-12-31",) * 2,)).within(table.zone)
    counted = []
    count = UnionTimetable._count

    def counting(self: UnionTimetable, after: int, until: int) -> int:
        counted.append(until - after)
        return count(self, after, until)

    monkeypatch.setattr(UnionTimetable, "_count", counting)
    found = search(table, parse_iso("2026-12-02T00:00:00Z"), 100, excluded=excluded)
    assert found.until is not None
    assert 0 < sum(counted) <= MAX_STEPS * 10 * DAY + 20 * DAY


def test_search__gone_on_with_counts_all_that_is_excluded() -> None:
    table = timetable(SEVERAL, "Europe/Berlin", anchor=NOON)
    excluded = Exclusion((("2027-01-01/2040-12-31",) * 2,)).within(table.zone)
    after, parts, searches = parse_iso("2026-12-31T22:30:00Z"), 0, 0
    until = parse_iso("2041-01-01T00:30:00Z")
    whole = [one for one in search(table, after, 1000, None, excluded).entries if isinstance(one, LeftOut)]
    count = 0
    while after < until:
        found = search(table, after, 100, MAX_STEPS, excluded)
        searches += 1
        parts += sum(isinstance(one, LeftOut) for one in found.entries)
        count += sum(one.count for one in found.entries if isinstance(one, LeftOut))
        if found.until is None:
            break
        assert found.until > after
        after = found.until
    assert [one.count for one in whole] == [count]
    assert parts > 40
    assert searches > 1


def gone_on_with(table: Timetable, after: int, count: int, steps: int) -> tuple[Entries, int]:
    """All that is found when each search goes on where the one before ended, and how many searches that takes."""
    entries: Entries = []
    searches = 0
    while True:
        found = search(table, after, count, steps)
        searches += 1
        entries += found.entries
        if found.until is None:
            return entries, searches
        assert found.until > after, "it gets further"
        assert all(after < entry.scheduled_at <= found.until for entry in found.entries)
        after = found.until


@pytest.mark.parametrize(("text", "zone", "given_"), WORST[:8])
def test_search__gone_on_with_finds_all(text: str, zone: str, given_: dict[str, Any]) -> None:
    table = timetable(text, zone, **given_)
    everything = list(preview(table, NOON))
    entries, searches = gone_on_with(table, NOON, 1000, MAX_STEPS)
    assert entries == everything
    assert searches > 1


@given(any_expressions, changing_zones, policies, instants, st.integers(10, 40))
def test_search__gone_on_with_finds_what_one_without_a_bound_finds(
    text: str, name: str, policy: tuple[str, str] | None, after: int, steps: int
) -> None:
    gap, overlap = policy or (None, None)
    table = timetable(text, name, dst_gap=gap, dst_overlap=overlap)
    wanted = 30
    entries: Entries = []
    at = after
    for _ in range(100):
        found = search(table, at, wanted, steps)
        entries += found.entries
        if found.until is None or len(entries) >= wanted:
            break
        at = found.until
    expected = search(table, after, wanted, None).entries
    both = min(len(entries), len(expected))
    assert entries[:both] == expected[:both]


def test_search__too_many_that_are_suppressed_end_it() -> None:
    """`count` is for both kinds."""
    table = timetable("30 2 * 3 SUN#2", "America/New_York", dst_gap="skip")
    found = search(table, NOON, 3, None)
    assert [type(entry) for entry in found.entries].count(Suppressed) <= 3
    assert found == search(table, NOON, 3)


def test_search__that_finds_nothing_in_its_steps_does_not_say_that_nothing_fires() -> None:
    table = timetable("30 2 * 2 SUN#5", "America/New_York")
    assert search(table, NOON, 1, 5) == Found([], search(table, NOON, 1, 5).until)
    assert search(table, NOON, 1, 5).until is not None


def test_search__at_the_end_of_time_is_complete() -> None:
    table = timetable("0 0 1 1 *", "America/New_York")
    found = search(table, parse_iso("2190-01-02T00:00:00Z"), 100)
    assert (len(found.entries), found.until) == (9, None)
    assert search(table, MAX_INSTANT, 100) == Found([], None)


def test_steps__are_counted_and_say_where_they_ended() -> None:
    steps = Steps(2)
    assert [steps.take(1), steps.take(2)] == [True, True]
    assert (steps.taken, steps.until) == (2, None)
    assert not steps.take(3)
    assert (steps.taken, steps.until) == (2, 3)
