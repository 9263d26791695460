"""The fire times of a window as sets of minutes: those of a walk by `next`, in every dialect, zone and policy."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.clock.timetable import Timetable, UtcTimetable, timetable
from cronally.clock.zones import zone
from cronally.cron import Expression, parse
from cronally.cronjob import join_expressions
from cronally.forecast.bits import fire_bits
from cronally.instants import DAY, HOUR, MAX_INSTANT, MIN_INSTANT, MINUTE, SECOND, parse_iso
from tests.clock.texts import CHANGING, POLICIES, any_expressions
from tests.cron.cron_texts import instants
from tests.forecast.oracle import seconds_of, walked
from tests.support.examples import examples

AT = parse_iso("2026-11-24T12:00:00Z")
changing = st.sampled_from(CHANGING)
policies = st.one_of(st.just((None, None)), st.sampled_from(POLICIES))


def agree(table: Timetable, begins_at: int, hours: int, since: int = 0) -> None:
    start, stop = begins_at // SECOND, begins_at // SECOND + hours * 3600
    expected = [at // SECOND for at in walked(table, begins_at, begins_at + hours * HOUR, since)]
    assert seconds_of(fire_bits(table, start, stop, since), start) == expected, table


def change_near(name: str, after: int) -> int | None:
    """The next change of a zone's clock, an instant."""
    found = next(zone(name).changes(after // SECOND, (after + 2000 * DAY) // SECOND), None)
    return None if found is None else found.at * SECOND


@examples(150)
@given(any_expressions, changing, policies, instants, st.integers(1, 60), st.integers(0, 60))
def test_bits__are_those_of_a_walk_around_changes_of_the_clock(
    text: str,
    name: str,
    chosen: tuple[str | None, str | None],
    after: int,
    hours: int,
    before: int,
) -> None:
    table = timetable(text, name, dst_gap=chosen[0], dst_overlap=chosen[1])
    change = change_near(name, after)
    begins_at = after if change is None else change - before * HOUR
    agree(table, begins_at // MINUTE * MINUTE, hours)


@pytest.mark.parametrize("name", CHANGING)
@pytest.mark.parametrize("text", ["*/5 * * * *", "30 2 * * *", "0,30 0-3 * * *", "*/20 30 1-3 * * *"])
def test_bits__of_every_policy_over_the_next_two_changes(text: str, name: str) -> None:
    for gap, overlap in [(None, None), *POLICIES]:
        table = timetable(text, name, dst_gap=gap, dst_overlap=overlap)
        after: int | None = parse_iso("2014-01-01T00:00:00Z")
        for _ in range(2):
            after = None if after is None else change_near(name, after)
            if after is not None:
                agree(table, (after - 5 * HOUR) // MINUTE * MINUTE, 10)


@examples(100)
@given(
    st.sampled_from(["rate(1 minute)", "rate(5 minutes)", "rate(7 hours)", "rate(36500 days)", "@every 90s"])
    | st.integers(1, 200_000).map("@every {}s".format),
    st.integers(-200_000, 200_000),
    st.integers(1, 30),
)
def test_bits__of_intervals(text: str, distance: int, hours: int) -> None:
    agree(timetable(text, anchor=AT + distance * SECOND + 123), AT, hours)


def test_bits__not_before_a_pause_ends() -> None:
    for text, since in (
        ("* * * * *", AT + HOUR),
        ("*/5 * * * *", AT + HOUR + 1),
        ("0 13 * * *", AT + 2 * HOUR),
    ):
        agree(timetable(text, "Europe/Berlin"), AT, 24, since)
        agree(timetable("@every 90s", anchor=AT - DAY), AT, 3, since)


class Fewer(UtcTimetable):
    """Leaves out what its expression names at noon, and fires at no other time than that says."""

    def _next(self, after: int) -> int | None:
        found = super()._next(after)
        while found is not None and found % DAY == DAY // 2:
            found = super()._next(found)
        return found

    def _count(self, after: int, until: int) -> int:
        return sum(1 for _ in walked(self, after + 1, until + 1))


def test_bits__of_a_timetable_that_leaves_some_out() -> None:
    for text in ("* * * * *", "0 12 * * *", "0 */6 * * *"):
        expression = parse(text)
        assert isinstance(expression, Expression)
        agree(Fewer(expression, zone("UTC"), None, None, (MIN_INSTANT, MAX_INSTANT)), AT - DAY, 50)


@examples(60)
@given(
    st.lists(any_expressions | st.just("@every 90s"), min_size=2, max_size=4),
    changing,
    instants,
    st.integers(-5, 40),
    st.integers(0, 40),
)
def test_bits__of_several_expressions_between_bounds(
    texts: list[str], name: str, after: int, starts: int, lasts: int
) -> None:
    begins_at = (change_near(name, after) or after) // MINUTE * MINUTE - 20 * HOUR
    starts_at = begins_at + starts * HOUR + 7
    table = timetable(join_expressions(texts), name, starts_at=starts_at, ends_at=starts_at + lasts * HOUR)
    agree(table, begins_at, 40)


def test_bits__of_seconds() -> None:
    random = Random(7)
    for _ in range(20):
        seconds = ",".join(str(random.randrange(60)) for _ in range(random.randrange(1, 9)))
        agree(timetable(f"{seconds} */7 * * * *", "America/St_Johns"), AT + 17 * MINUTE, 26)
