"""A timetable: the laws that hold for every one, its ends, what it shares, and how many steps an answer takes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.clock import timetable as module
from cronally.clock.dst import Decision, DstGap, DstOverlap
from cronally.clock.timetable import Timetable, UtcTimetable, ZonedTimetable, timetable
from cronally.clock.zoned import Stretch, ZonedTimes
from cronally.cron.days import Days
from cronally.errors import InvalidExpression
from cronally.instants import DAY, HOUR, MAX_INSTANT, MIN_INSTANT, MINUTE, SECOND, format_iso, parse_iso
from tests.clock.texts import CHANGING, any_expressions, any_text, changing_zones, policies
from tests.cron.cron_texts import any_instants, instants, spans
from tests.support.expressions import parse

NEW_YORK = "America/New_York"


def table(text: str, name: str, policy: tuple[str, str] | None) -> Timetable:
    gap, overlap = policy or (None, None)
    return timetable(text, name, dst_gap=gap, dst_overlap=overlap)


def fire_times(found: Timetable, after: str, how_many: int) -> list[str]:
    times, instant = [], parse_iso(after)
    for _ in range(how_many):
        fire_time = found.next(instant)
        if fire_time is None:
            break
        times.append(format_iso(instant := fire_time).removesuffix(":00Z"))
    return times


# Policies


@pytest.mark.parametrize(
    ("text", "gap", "expected"),
    [
        ("30 2 * * *", None, ["03-08T07:00", "03-09T06:30"]),
        ("30 2 * * *", "run_at_jump", ["03-08T07:00", "03-09T06:30"]),
        ("30 2 * * *", "skip", ["03-09T06:30"]),
        ("30 2 * * *", "shift", ["03-08T07:30", "03-09T06:30"]),
        # Several of one gap are one firing, also with one that is really then.
        ("0,30 2 * * *", None, ["03-08T07:00", "03-09T06:00"]),
        ("0,30 2,3 * * *", None, ["03-08T07:00", "03-08T07:30", "03-09T06:00"]),
        ("0,30 2 * * *", "shift", ["03-08T07:00", "03-08T07:30", "03-09T06:00"]),
        ("0,45 2,3 * * *", "shift", ["03-08T07:00", "03-08T07:45", "03-09T06:00"]),
        # A wildcard job follows the real minutes, unless something is chosen.
        ("*/30 2 * * *", None, ["03-09T06:00", "03-09T06:30"]),
        ("*/30 2 * * *", "run_at_jump", ["03-08T07:00", "03-09T06:00"]),
        ("*/30 2 * * *", "shift", ["03-08T07:00", "03-08T07:30", "03-09T06:00"]),
    ],
)
def test_gap__new_york_2026(text: str, gap: str | None, expected: list[str]) -> None:
    found = timetable(text, NEW_YORK, dst_gap=gap)
    assert fire_times(found, "2026-03-08T05:00:00Z", len(expected)) == [f"2026-{t}" for t in expected]


@pytest.mark.parametrize(
    ("text", "overlap", "expected"),
    [
        ("30 1 * * *", None, ["11-01T05:30", "11-02T06:30"]),
        ("30 1 * * *", "first", ["11-01T05:30", "11-02T06:30"]),
        ("30 1 * * *", "last", ["11-01T06:30", "11-02T06:30"]),
        ("30 1 * * *", "both", ["11-01T05:30", "11-01T06:30", "11-02T06:30"]),
        ("*/30 1 * * *", None, ["11-01T05:00", "11-01T05:30", "11-01T06:00", "11-01T06:30", "11-02T06:00"]),
        ("*/30 1 * * *", "first", ["11-01T05:00", "11-01T05:30", "11-02T06:00"]),
        ("*/30 1 * * *", "last", ["11-01T06:00", "11-01T06:30", "11-02T06:00"]),
        # The text decides: the same minutes, once as a wildcard job and once as a fixed-time job.
        ("0 * * * *", None, ["11-01T05:00", "11-01T06:00", "11-01T07:00"]),
        ("0 0-23 * * *", None, ["11-01T05:00", "11-01T07:00", "11-01T08:00"]),
    ],
)
def test_overlap__new_york_2026(text: str, overlap: str | None, expected: list[str]) -> None:
    found = timetable(text, NEW_YORK, dst_overlap=overlap)
    assert fire_times(found, "2026-11-01T04:30:00Z", len(expected)) == [f"2026-{t}" for t in expected]


@pytest.mark.parametrize(
    ("text", "zone", "after", "expected"),
    [
        # Half an hour: the hour before the change stays whole, the one after begins on time.
        (
            "*/30 1-2 * * *",
            "Australia/Lord_Howe",
            "2024-10-05T14:00:00Z",
            ["14:30", "15:00", "15:30", "14:00"],
        ),
        ("15 2 * * *", "Australia/Lord_Howe", "2024-10-05T00:00:00Z", ["15:30", "15:15"]),
        # Midnight does not exist.
        ("0 0 * * *", "America/Havana", "2024-03-09T12:00:00Z", ["05:00", "04:00"]),
        ("0 0 * * *", "Asia/Beirut", "2024-03-30T12:00:00Z", ["22:00", "21:00"]),
        ("*/30 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", ["02:00", "02:30"]),
        ("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", ["03:00", "02:00"]),
        # Winter time is the negative one.
        ("30 1 * * *", "Europe/Dublin", "2026-03-28T12:00:00Z", ["01:00", "00:30"]),
        ("30 1 * * *", "Europe/Dublin", "2026-10-24T12:00:00Z", ["00:30", "01:30"]),
        # Ramadan: back for a month, then forth.
        ("30 2 * * *", "Africa/Casablanca", "2026-02-14T12:00:00Z", ["01:30", "02:30"]),
        ("30 2 * * *", "Africa/Casablanca", "2026-03-21T12:00:00Z", ["02:00", "01:30"]),
        # Two hours.
        ("0,30 1,2 * * *", "Antarctica/Troll", "2026-03-28T12:00:00Z", ["01:00", "23:00"]),
        # A day that was none, and is not made up for.
        ("0 8 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", ["18:00", "18:00"]),
        # The offset changes without daylight saving.
        ("45 23 * * *", "Asia/Pyongyang", "2018-05-04T00:00:00Z", ["15:00", "14:45"]),
        ("45 2 * * *", "America/Caracas", "2016-04-30T12:00:00Z", ["07:00", "06:45"]),
    ],
)
def test_zones__that_others_get_wrong(text: str, zone: str, after: str, expected: list[str]) -> None:
    found = fire_times(timetable(text, zone), after, len(expected))
    assert [time[11:16] for time in found] == expected


@pytest.mark.parametrize("options", [{"dst_gap": "sometimes"}, {"dst_overlap": "Both"}, {"dst_gap": ""}])
def test_policy__that_there_is_not(options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"is not one of (run_at_jump, skip, shift|first, last, both)"):
        timetable("0 8 * * *", **options)  # type: ignore[arg-type]


def test_policy__what_applies_is_said() -> None:
    (fixed,), (wildcard,) = (timetable(text, NEW_YORK).members for text in ("0 8 * * *", "0 * * * *"))
    assert (fixed.dst_gap, fixed.dst_overlap) == (DstGap.RUN_AT_JUMP, DstOverlap.FIRST)
    assert (wildcard.dst_gap, wildcard.dst_overlap) == (DstGap.SKIP, DstOverlap.BOTH)
    assert wildcard.follows_real_minutes
    assert not fixed.follows_real_minutes
    (chosen,) = timetable("0 * * * *", NEW_YORK, dst_overlap="first").members
    assert (chosen.dst_gap, chosen.dst_overlap) == (DstGap.SKIP, DstOverlap.FIRST)
    assert chosen.chosen == (None, DstOverlap.FIRST)


# Laws


@given(any_expressions, changing_zones, policies, any_instants)
def test_next__the_same_answer_for_every_instant_between_two_fire_times(
    text: str, name: str, policy: tuple[str, str] | None, after: int
) -> None:
    found = table(text, name, policy)
    first = found.next(after)
    if first is None:
        return
    assert first > after
    assert first % SECOND == 0
    assert found.matches(first)
    assert not found.matches(first + 1)
    second = found.next(first)
    if second is None:
        return
    assert second > first
    assert found.previous(second) == first
    assert found.previous(second + 1) == second
    between = second - first
    for instant in (first + 1, first + between // 3, first + between // 2, second - SECOND, second - 1):
        assert found._next(instant) == second
        assert found.next(instant) == second
        assert found.previous(instant + 1) == first


@given(any_expressions, changing_zones, policies, instants, spans(60), st.integers(1, 2000))
def test_count__agrees_with_enumeration(
    text: str, name: str, policy: tuple[str, str] | None, after: int, span: int, limit: int
) -> None:
    found = table(text, name, policy)
    expected: list[int] = []
    instant = found.next(after)
    while instant is not None and instant <= after + span and len(expected) < limit:
        expected.append(instant)
        instant = found.next(instant)
    until = expected[-1] if len(expected) == limit else after + span
    assert found.count(after, until) == len(expected)


@given(any_expressions, changing_zones, policies, any_instants, any_instants, any_instants)
def test_count__adds_up(
    text: str, name: str, policy: tuple[str, str] | None, one: int, two: int, three: int
) -> None:
    """Over any range, centuries too: the parts are as many as the whole, and end where they should."""
    found = table(text, name, policy)
    after, middle, until = sorted((one, two, three))
    left, right = found.count(after, middle), found.count(middle, until)
    whole = found.count(after, until)
    assert left + right == whole
    first, last = found.next(after), found.previous(until + 1)
    if whole:
        assert first is not None
        assert last is not None
        assert after < first <= last <= until
        assert found.count(after, first) == 1
        assert found.count(after, last) == whole
        assert found.count(after, last - 1) == whole - 1
    else:
        assert first is None or first > until
        assert last is None or last <= after


@given(any_expressions, changing_zones, instants)
def test_next__a_chain_is_strictly_later_and_misses_nothing(text: str, name: str, after: int) -> None:
    found = timetable(text, name)
    chain, instant = [], after
    for _ in range(30):
        fire_time = found.next(instant)
        if fire_time is None:
            break
        chain.append(instant := fire_time)
    assert chain == sorted(set(chain))
    for fire_time in reversed(chain):
        before = found.previous(fire_time + 1)
        assert before == fire_time
    if chain:
        assert found.count(after, chain[-1]) == len(chain)


# Ends


@pytest.mark.parametrize("name", ["UTC", NEW_YORK, "Pacific/Kiritimati"])
def test_ends__of_time(name: str) -> None:
    found = timetable("0 0 * * *", name)
    assert found.next(MAX_INSTANT) is None
    assert found.next(MAX_INSTANT * 1000) is None
    assert found.previous(MIN_INSTANT) is None
    assert found.previous(-(10**30)) is None
    first = found.next(-(10**30))
    last = found.previous(10**30)
    assert first is not None
    assert last is not None
    assert 0 <= first < DAY
    assert MAX_INSTANT - DAY < last <= MAX_INSTANT
    assert found.next(last) is None
    count = found.count(-(10**30), 10**30)
    assert count == found.count(first - 1, last)
    assert abs(count - MAX_INSTANT // DAY) <= 1
    assert found.count(5, 4) == found.count(last, 10**30) == 0


def test_ends__of_the_years_that_are_named() -> None:
    found = timetable("cron(30 2 * * ? 2025-2026)", NEW_YORK)
    assert found.next(parse_iso("2026-12-31T23:00:00Z")) is None
    assert found.previous(parse_iso("2040-01-01T00:00:00Z")) == parse_iso("2026-12-31T07:30:00Z")
    assert found.previous(parse_iso("2025-01-01T00:00:00Z")) is None
    assert found.count(0, MAX_INSTANT) == found.count(0, parse_iso("2026-12-31T07:30:00Z")) == 730


@pytest.mark.parametrize(
    ("gap", "expected"), [(None, "07:00"), ("shift", "07:30"), ("skip", None), ("run_at_jump", "07:00")]
)
def test_ends__an_at_in_a_gap(gap: str | None, expected: str | None) -> None:
    found = timetable("at(2026-03-08T02:30:00)", NEW_YORK, dst_gap=gap)
    fire_time = found.next(0)
    assert (None if fire_time is None else format_iso(fire_time)) == (
        None if expected is None else f"2026-03-08T{expected}:00Z"
    )


# What is shared


def test_timetable__equal_ones_are_one() -> None:
    one = timetable("0 8 * * *", NEW_YORK, key="a", anchor=1)
    assert one is timetable("0 8 * * *", NEW_YORK, key="b", anchor=2)
    assert one is not timetable("0 8 * * *", NEW_YORK, dst_gap="skip")
    assert one is not timetable("0 8 * * *", "Europe/Rome")
    assert timetable("H 8 * * *", NEW_YORK, key="a") is not timetable("H 8 * * *", NEW_YORK, key="b")
    assert timetable("@every 90s", anchor=1) is not timetable("@every 90s", anchor=2)
    assert module._timetable.cache_info().maxsize == 20_000


def test_timetable__what_is_refused_is_not_kept() -> None:
    before = module._timetable.cache_info().currsize
    for _ in range(2):
        with pytest.raises(InvalidExpression):
            timetable("61 * * * *", NEW_YORK)
        with pytest.raises(ValueError, match="Europe/Rome"):
            timetable("1 * * * *", "europe/rome")
    assert module._timetable.cache_info().currsize == before


def test_next__one_computation_serves_all_who_ask_for_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    in_new_york = timetable("0 8 * * *", NEW_YORK)
    found = ZonedTimetable(parse("0 8 * * *"), in_new_york.zone, None, None)
    asked: list[int] = []
    compute = ZonedTimetable._next

    def counted(self: ZonedTimetable, after: int) -> int | None:
        asked.append(after)
        return compute(self, after)

    monkeypatch.setattr(ZonedTimetable, "_next", counted)
    now = parse_iso("2026-01-15T12:00:00Z")
    due = {found.next(now + n) for n in range(10_000)}
    assert len(due) == len(asked) == 1


def test_timetable__of_utc_is_the_expression_itself() -> None:
    for name in ("UTC", "Etc/UTC", "GMT", "Africa/Abidjan"):
        assert isinstance(timetable("0 8 * * *", name), UtcTimetable)
    assert isinstance(timetable("0 8 * * *", "Asia/Tokyo"), ZonedTimetable)
    assert repr(timetable("0 8 * * *", "Asia/Tokyo")) == "ZonedTimetable('0 8 * * *', 'Asia/Tokyo')"


def test_timetable__can_be_copied() -> None:
    found = timetable("0 8 LW * *", NEW_YORK)
    for twin in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):  # noqa: S301
        assert twin.next(0) == found.next(0)


# Cost


class Steps:
    """Counts what a search is made of: months and stretches that are looked at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.months = self.stretches = 0
        of_month, stretch, more_over = Days._of_month, ZonedTimes._stretch, ZonedTimes._more_over

        def counted_month(rule: Days, year: int, month: int, first: int) -> int:
            self.months += 1
            return of_month(rule, year, month, first)

        def counted_stretch(times: ZonedTimes, second: int) -> Stretch:
            self.stretches += 1
            return stretch(times, second)

        def counted_change(times: ZonedTimes, decision: Decision) -> int:
            self.stretches += 1
            return more_over(times, decision)

        monkeypatch.setattr(Days, "_of_month", counted_month)
        monkeypatch.setattr(ZonedTimes, "_stretch", counted_stretch)
        monkeypatch.setattr(ZonedTimes, "_more_over", counted_change)

    def of(self, call: Callable[[], object]) -> tuple[int, int]:
        """The months and the stretches of one call."""
        self.months = self.stretches = 0
        call()
        return self.months, self.stretches


RAREST = [
    *("0 0 29 2 */7", "59 23 */28 2 1", "30 2 29 2 *", "30 2 * 2 MON#5", "*/7 2 29 2 7", "0 0 31W 1 *"),
    *("cron(30 2 29 2 ? 2196)", "cron(30 2 ? 2 1#5 1972/4)", "at(2199-12-31T23:59:59)", "* * * * * *"),
]
SUPPRESSED_FOR_EVER = "30 2 * 3 SUN#2"
"""In New York, where the clock skips that local time every year since 2007."""


@pytest.mark.parametrize("policy", [None, ("shift", "both"), ("skip", "last")])
@pytest.mark.parametrize("name", ["UTC", NEW_YORK, "Africa/Casablanca"])
def test_cost__a_call_takes_few_steps(
    monkeypatch: pytest.MonkeyPatch, name: str, policy: tuple[str, str] | None
) -> None:
    steps, random = Steps(monkeypatch), Random(name)
    for text in [*RAREST, *(any_text(random) for _ in range(30))]:
        found = table(text, name, policy)
        for _ in range(3):
            instant = random.randrange(parse_iso("1990-01-01T00:00:00Z"), parse_iso("2110-01-01T00:00:00Z"))
            for search in (found._next, found.previous):
                months, stretches = steps.of(lambda: search(instant))  # noqa: B023
                assert stretches <= 3, text
                assert months <= 150, text
            # Morocco changed its clock four times a year from 2012 to 2018: for Ramadan as well.
            for years, most_months, most_stretches in ((0, 30, 2), (1, 100, 5), (10, 300, 34)):
                until = instant + DAY + years * 365 * DAY
                months, stretches = steps.of(lambda: found.count(instant, until))  # noqa: B023
                assert stretches <= most_stretches, text
                assert months <= most_months, text


@pytest.mark.parametrize("policy", [None, ("run_at_jump", "first"), ("shift", "both"), ("skip", "last")])
def test_cost__over_all_of_time_is_bounded(
    monkeypatch: pytest.MonkeyPatch, policy: tuple[str, str] | None
) -> None:
    """The worst that any expression can ask for: one step for each stretch, and few months for each."""
    steps = Steps(monkeypatch)
    for name in ("Africa/Casablanca", NEW_YORK):
        spans = timetable("0 0 * * *", name).zone.span_count
        for text in [*RAREST, SUPPRESSED_FOR_EVER, "cron(30 2 29 2 ? 1972)"]:
            found = table(text, name, policy)
            for call in (
                lambda: found._next(0),  # noqa: B023
                lambda: found._next(parse_iso("2026-01-01T00:00:00Z")),  # noqa: B023
                lambda: found.previous(MAX_INSTANT),  # noqa: B023
                lambda: found.count(0, MAX_INSTANT),  # noqa: B023
            ):
                months, stretches = steps.of(call)
                assert stretches <= spans + 1, (text, name)
                assert months <= 3 * 230 + spans, (text, name)


def test_cost__what_is_suppressed_for_ever_takes_two_steps_a_year(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps(monkeypatch)
    found = timetable(SUPPRESSED_FOR_EVER, NEW_YORK, dst_gap="skip")
    months, stretches = steps.of(lambda: found._next(parse_iso("2026-01-01T00:00:00Z")))
    assert 300 < stretches <= 2 * 175
    assert months <= 3 * 180


def test_count__a_year_of_downtime_is_counted_at_once() -> None:
    found = timetable("* * * * *", NEW_YORK)
    start = parse_iso("2026-01-01T05:00:30Z")
    assert found.count(start, start + 365 * DAY) == 525_600
    assert found.count(start, start - 30 * SECOND + 100 * MINUTE) == 100
    assert found.previous(start + 365 * DAY + HOUR) == start + 365 * DAY + HOUR - 30 * SECOND


def test_zones__are_all_accepted() -> None:
    for name in CHANGING:
        assert timetable("0 8 * * *", name).next(0) is not None


def test_timetable__what_a_policy_suppresses_for_ever() -> None:
    """New York jumps on the second Sunday of March since 2007: from then on there is no 02:30 on that day."""
    table = timetable("30 2 * 3 SUN#2", "America/New_York", dst_gap="skip")
    last = parse_iso("2006-03-12T07:30:00Z")
    for instant in (last, parse_iso("2026-01-01T00:00:00Z"), parse_iso("2190-01-01T00:00:00Z")):
        assert table.next(instant) is None
        assert table.previous(instant + 1) == last
        assert table.count(instant, MAX_INSTANT) == 0


@pytest.mark.parametrize("zone", ["America/New_York", "Africa/Casablanca", "Pacific/Chatham"])
def test_timetable__what_one_kind_of_year_alone_fires(zone: str) -> None:
    """The rarest day there is: 29 February on a given weekday, which some centuries have once in forty years."""
    for weekday in range(7):
        table = timetable(f"15 2 */28 2 {weekday}", zone, dst_gap="skip", dst_overlap="first")
        chain, instant = [], parse_iso("2080-01-01T00:00:00Z")
        while (instant := table.next(instant) or 0) and instant < MAX_INSTANT:
            chain.append(instant)
        assert table.count(parse_iso("2080-01-01T00:00:00Z"), chain[-1]) == len(chain)
        back, before = [], chain[-1] + 1
        while (before := table.previous(before) or 0) >= chain[0]:
            back.append(before)
        assert back[::-1] == chain
