"""`plan.plan` with excluded dates, against the oracles: every fire time once, what is excluded with its cause."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.clock.exclusion import Exclusion
from cronally.clock.timetable import timetable
from cronally.cronjob import CatchUp, Timing
from cronally.firing import Reason, State
from cronally.instants import DAY, HOUR, MINUTE, SECOND, parse_iso
from cronally.plan import ROWS_PER_TICK, Entry, Schedule, plan, settle, skip
from tests.clock.test_oracle import EXPRESSIONS
from tests.clock.texts import CHANGING
from tests.cron.cron_texts import expressions
from tests.support import clock_oracle
from tests.support.date_oracle import cause_of, causes, dates_of
from tests.support.examples import examples
from tests.support.factories import NOON
from tests.support.oracle import fire_times
from tests.test_plan import assert_covers, outages, run_plans
from tests.test_plan_zones import Ledger, job

FIRST_DAY = date(2026, 11, 24)
CALENDARS = {
    "holidays": ["2026-11-26/2026-11-27", "2026-12-01", "2026-12-24/2027-01-02"],
    "2nd": ["2026-11-27"],
}
TEXTS = {name: json.dumps(dates) for name, dates in CALENDARS.items()}


def a_range(start: int, days: int) -> str:
    first = FIRST_DAY + timedelta(days=start)
    return f"{first}/{first + timedelta(days=days)}" if days else str(first)


entries = st.lists(
    st.one_of(st.builds(a_range, st.integers(-2, 40), st.integers(0, 5)), st.sampled_from([*CALENDARS])),
    min_size=1,
    max_size=6,
)


def schedule(text: str, catch_up: str, grace: int, next_fire_at: int, excluded: list[str]) -> Schedule:
    timing = Timing(text, "UTC", None, None)
    exclusion = Exclusion.of(excluded, TEXTS)
    return Schedule(timing, catch_up, grace, next_fire_at, exclusion=exclusion)


def utc_date(at: int) -> date:
    return datetime.fromtimestamp(at // SECOND, UTC).date()


@examples(120)
@given(
    text=expressions,
    lag=st.integers(0, 30 * DAY),
    outage=outages,
    catch_up=st.sampled_from(CatchUp),
    grace=st.one_of(st.just(0), st.integers(0, 6 * HOUR), st.integers(0, 20 * DAY), st.just(DAY)),
    on_time=st.one_of(st.just(MINUTE), st.integers(SECOND, HOUR)),
    limit=st.sampled_from([1, 2, 7, ROWS_PER_TICK]),
    excluded=entries,
)
def test_plan__covers_everything_once_and_skips_what_is_excluded(
    text: str,
    lag: int,
    outage: int,
    catch_up: CatchUp,
    grace: int,
    on_time: int,
    limit: int,
    excluded: list[str],
) -> None:
    first = timetable(text).next(NOON + lag)
    assert first is not None
    now = first + outage
    if catch_up is CatchUp.ALL:
        grace = min(grace, 6 * HOUR)  # what fires one by one, and the oracle's patience
    rows, at = run_plans(schedule(text, catch_up, grace, first, excluded), now, on_time=on_time, limit=limit)

    owed = fire_times(text, first, now + 1)
    assert_covers(rows, owed)
    assert at == timetable(text).next(now)
    rules = causes(excluded, CALENDARS)
    free = [one for one in owed if cause_of(rules, utc_date(one)) is None]
    place = 0
    for row in rows:
        inside = owed[place : place + row.count]
        place += row.count
        held = {cause_of(rules, utc_date(one)) for one in inside}
        assert held == {row.cause}
        assert (row.reason == Reason.EXCLUDED) == (row.cause is not None) == (row.state is State.SKIPPED)
    fired = {row.scheduled_at for row in rows if row.state is State.PENDING}
    fresh = now - on_time
    useful = [one for one in free if now - grace <= one]
    on_time_ones = {one for one in free if one >= fresh}
    match catch_up:
        case CatchUp.ALL:
            assert fired == {one for one in free if one >= min(now - grace, fresh)}
        case CatchUp.SKIP:
            assert fired == on_time_ones
        case CatchUp.LATEST:
            assert fired == on_time_ones | set(useful[-1:]), "the last that is not excluded"


def check_change(random: Random, name: str, start: int, stop: int, text: str) -> None:
    """One cron job over one change of the clock, with ticks, outages and edits whenever."""
    around = date(1970, 1, 1) + timedelta(days=(start + stop) // 2880)
    dates = [str(around + timedelta(days=random.randint(-2, 2))) for _ in range(random.randint(1, 3))]
    given_job = job(text, name, catch_up=random.choice([*CatchUp]))
    given_job = replace(given_job, exclusion=Exclusion.of(["held"], {"held": json.dumps(sorted(dates))}))
    ledger = Ledger(given_job, start * MINUTE - 1)
    ledger.schedule = replace(ledger.schedule, misfire_grace=random.choice([0, HOUR, DAY]))
    now, end = start * MINUTE, stop * MINUTE - 1
    while now < end:
        pause = random.choice([SECOND, MINUTE, 7 * MINUTE, 40 * MINUTE, 3 * HOUR, 40 * HOUR])
        now = min(now + random.randint(0, pause), end)
        if random.random() < 0.3:
            ledger.change(now)
        else:
            ledger.tick(now, random.choice([1, 2, 100]))
    ledger.change(end)
    clock_oracle.assert_covers(ledger.rows, clock_oracle.expected(text, name, start, stop))
    for row, following in pairwise(ledger.rows):
        assert (row.until_at or row.scheduled_at) < following.scheduled_at, "one after the other"
    # From before the window, so that the date at its beginning is the latest so far.
    on = dates_of(name, start - 2880, stop)[2880:]
    rules = causes(["held"], {"held": dates})
    for row in ledger.rows:
        if row.scheduled_at % SECOND or (row.reason or "").startswith(("dst", "new_clock")):
            continue  # what the clock suppresses keeps its own reason
        minutes = range(row.scheduled_at // MINUTE, (row.until_at or row.scheduled_at) // MINUTE + 1)
        held = {cause_of(rules, on[minute - start]) for minute in (minutes[0], minutes[-1])}
        assert held == {row.cause}, row
        assert (row.reason == Reason.EXCLUDED) == (row.cause is not None) == (row.state is State.SKIPPED)


@pytest.mark.sample(6)
@pytest.mark.parametrize("name", CHANGING)
def test_plan__covers_everything_once_over_changes_of_the_clock(name: str) -> None:
    random = Random(name)
    for year in random.sample(range(2000, 2040), 1):
        for start, stop in clock_oracle.windows(name, year, year, 900):
            for text in random.sample(EXPRESSIONS, 3):
                check_change(random, name, start, stop, text)


def test_plan__an_outage_over_an_excluded_day() -> None:
    """Missed around it, skipped on it, and the last one that is not excluded fires."""
    first, now = parse_iso("2026-12-23T18:00:00Z"), parse_iso("2026-12-25T11:30:00Z")
    done = plan(schedule("0 */6 * * *", CatchUp.LATEST, 7 * DAY, first, ["2026-12-24"]), now)
    day = parse_iso("2026-12-24T00:00:00Z")
    assert done.entries == (
        Entry(first, State.MISSED, Reason.CATCH_UP_LATEST),
        Entry(day, State.SKIPPED, Reason.EXCLUDED, day + 18 * HOUR, 4, "2026-12-24"),
        Entry(day + 24 * HOUR, State.MISSED, Reason.CATCH_UP_LATEST),
        Entry(day + 30 * HOUR),
    )
    within = plan(schedule("0 */6 * * *", CatchUp.LATEST, 7 * DAY, first, ["2026-12-24/2026-12-25"]), now)
    assert within.entries == (
        Entry(first),
        Entry(day, State.SKIPPED, Reason.EXCLUDED, day + 30 * HOUR, 6, "2026-12-24/2026-12-25"),
    )


def test_plan__excluded_wins_over_the_grace() -> None:
    first = parse_iso("2026-12-23T12:00:00Z")
    done = plan(schedule("0 12 * * *", CatchUp.LATEST, HOUR, first, ["holidays"]), first + 5 * DAY)
    assert [(row.reason, row.cause, row.count) for row in done.entries] == [
        (Reason.MISFIRE_GRACE, None, 1),
        (Reason.EXCLUDED, "holidays", 5),
    ]


@pytest.mark.parametrize(
    ("text", "day", "now", "reasons"),
    [
        # The grace ends on the excluded day, before the clock jumps at 02:00.
        (
            "30 0-23 * * *",
            "2026-03-08",
            "2026-03-09T06:00:00Z",
            ["misfire_grace", "excluded", "dst_gap=skip", "excluded", "catch_up=latest", None],
        ),
        (
            "*/30 0-23 * * *",
            "2026-11-01",
            "2026-11-02T05:10:00Z",
            ["misfire_grace", "excluded", "dst_overlap=first", "excluded", None],
        ),
    ],
)
def test_plan__excluded_beyond_the_grace_is_parted_by_what_is_suppressed(
    text: str, day: str, now: str, reasons: list[str | None]
) -> None:
    timing, at = Timing(text, "America/New_York", "skip", "first"), parse_iso(now)
    first = timing.timetable(None, None).next(at - 30 * HOUR)
    assert first is not None
    asked = Schedule(timing, CatchUp.LATEST, DAY, first, exclusion=Exclusion.of([day], {}))
    rows = plan(asked, at, since=first - 1).entries
    assert [row.reason for row in rows] == reasons
    for row, following in pairwise(rows):
        assert (row.until_at or row.scheduled_at) < following.scheduled_at


def test_plan__of_two_causes_the_first_in_order_has_its_dates() -> None:
    first = parse_iso("2026-11-26T00:00:00Z")
    done = plan(schedule("0 * * * *", CatchUp.SKIP, DAY, first, ["holidays", "2nd"]), first + 3 * DAY)
    assert [(row.cause, row.count) for row in done.entries[:2]] == [("holidays", 24), ("2nd", 24)]


def test_plan__an_excluded_day_of_minutes_is_one_row_a_tick() -> None:
    midnight = parse_iso("2026-12-24T00:00:00Z")
    asked = schedule("* * * * *", CatchUp.ALL, DAY, midnight, ["2026-12-24"])
    done = plan(asked, midnight + DAY - 1)
    assert done.entries == (
        Entry(midnight, State.SKIPPED, Reason.EXCLUDED, midnight + DAY - MINUTE, 1440, "2026-12-24"),
    )
    assert done.next_fire_at == midnight + DAY
    assert plan(asked, midnight).entries == (
        Entry(midnight, State.SKIPPED, Reason.EXCLUDED, None, 1, "2026-12-24"),
    )


def test_plan__a_calendar_that_there_is_not_raises() -> None:
    asked = replace(schedule("* * * * *", CatchUp.ALL, DAY, NOON, []), exclusion=Exclusion.of(["gone"], {}))
    with pytest.raises(ValueError, match='excludes the calendar "gone"'):
        plan(asked, NOON)
    with pytest.raises(ValueError, match='excludes the calendar "gone"'):
        list(settle(asked, NOON))


def test_skip__other_reasons_win() -> None:
    midnight = parse_iso("2026-12-23T23:00:00Z")
    asked = schedule("0 * * * *", CatchUp.ALL, DAY, midnight, ["2026-12-24", "gone"])
    assert skip(asked, midnight + DAY, Reason.PAUSED) == [
        Entry(midnight, State.SKIPPED, Reason.PAUSED, midnight + DAY, 25)
    ]


def test_schedule__equal_ones_share_a_plan_and_others_do_not() -> None:
    def made(exclude: list[str], dates: str) -> Schedule:
        policies = json.dumps({"exclude": exclude})
        return Schedule.of("a", NOON, "0 8 * * *", "UTC", policies, NOON, 0, {"holidays": dates})

    one = made(["holidays"], '["2026-12-24"]')
    assert one == made(["holidays"], '["2026-12-24"]')
    assert hash(one) == hash(made(["holidays"], '["2026-12-24"]'))
    assert one != made(["holidays"], '["2026-12-25"]')
    assert made([], "[]") == Schedule.of("a", NOON, "0 8 * * *", "UTC", "{}", NOON, 0)
