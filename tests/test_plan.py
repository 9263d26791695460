"""`plan.plan` against the oracle: every fire time covered once, in order, none early, whatever the outage."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally import errors
from cronally.clock.timetable import timetable
from cronally.cron import Expression
from cronally.cronjob import CatchUp, Timing
from cronally.firing import Reason, State
from cronally.instants import DAY, HOUR, MINUTE, SECOND
from cronally.plan import ROWS_PER_TICK, Entry, Schedule, plan, skip
from tests.cron.cron_texts import expressions
from tests.support.examples import examples
from tests.support.factories import NOON
from tests.support.oracle import fire_times

YEAR = 365 * DAY


def utc_schedule(text: str, catch_up: str, grace: int, next_fire_at: int) -> Schedule:
    return Schedule(Timing(text, "UTC", None, None), catch_up, grace, next_fire_at)


outages = st.one_of(
    st.integers(0, 3 * MINUTE),
    st.integers(0, 3 * HOUR),
    st.integers(0, 3 * DAY),
    st.integers(0, YEAR),
)
graces = st.one_of(st.just(0), st.integers(0, 5 * MINUTE), st.integers(0, 2 * DAY), st.just(DAY))
on_times = st.one_of(st.just(MINUTE), st.integers(SECOND, HOUR))


def run_plans(
    schedule: Schedule, now: int, *, on_time: int = MINUTE, limit: int = ROWS_PER_TICK
) -> tuple[list[Entry], int | None]:
    """Plan until nothing is owed, as ticks do that find the same `now`."""
    entries: list[Entry] = []
    at: int | None = schedule.next_fire_at
    while at is not None and at <= now:
        step = plan(
            replace(schedule, next_fire_at=at),
            now,
            on_time=on_time,
            limit=limit,
        )
        assert 1 <= len(step.entries) <= limit
        assert step.next_fire_at is None or step.next_fire_at > at, "a plan that does not move on never ends"
        entries += step.entries
        at = step.next_fire_at
    return entries, at


def assert_covers(entries: list[Entry], owed: list[int]) -> None:
    """Each of `owed` lies in exactly one entry, and the entries hold nothing else, in order."""
    position = 0
    for entry in entries:
        part = owed[position : position + entry.count]
        assert part, f"{entry} stands for nothing that is owed"
        assert entry.scheduled_at == part[0]
        assert len(part) == entry.count
        assert (entry.until_at or entry.scheduled_at) == part[-1]
        assert (entry.until_at is None) == (entry.count == 1)
        position += entry.count
    assert position == len(owed)


@examples(250)
@given(
    text=expressions,
    lag=st.integers(0, 90 * DAY),
    outage=outages,
    catch_up=st.sampled_from(CatchUp),
    grace=graces,
    on_time=on_times,
    limit=st.sampled_from([1, 2, 7, ROWS_PER_TICK]),
)
def test_plan__covers_every_fire_time_exactly_once(
    text: str, lag: int, outage: int, catch_up: CatchUp, grace: int, on_time: int, limit: int
) -> None:
    first = timetable(text).next(NOON + lag)
    assert first is not None
    now = first + outage
    if catch_up is CatchUp.ALL:
        grace = min(grace, 6 * HOUR)  # what fires one by one, and the oracle's patience
    on_time = min(on_time, 6 * HOUR)
    entries, at = run_plans(utc_schedule(text, catch_up, grace, first), now, on_time=on_time, limit=limit)

    owed = fire_times(text, first, now + 1)
    assert_covers(entries, owed)
    assert at == timetable(text).next(now)
    fired = {entry.scheduled_at for entry in entries if entry.state is State.PENDING}
    fresh = now - on_time
    assert fired >= {instant for instant in owed if instant >= fresh}, "what is on time always fires"
    useful = [instant for instant in owed if now - grace <= instant]
    match catch_up:
        case CatchUp.ALL:
            assert fired == {instant for instant in owed if instant >= min(now - grace, fresh)}
        case CatchUp.SKIP:
            assert fired == {instant for instant in owed if instant >= fresh}
        case CatchUp.LATEST:
            assert fired == {instant for instant in owed if instant >= fresh} | set(useful[-1:])
    for entry in entries:
        assert (entry.state is State.PENDING) == (entry.reason is None)
        if entry.state is not State.PENDING:
            assert entry.state is State.MISSED
            assert (entry.reason == Reason.MISFIRE_GRACE) == (entry.scheduled_at < min(now - grace, fresh))


@examples(100)
@given(
    text=expressions, outage=outages, catch_up=st.sampled_from(CatchUp), pauses=st.lists(outages, max_size=5)
)
def test_plan__covers_once_while_the_clock_goes_on_between_plans(
    text: str, outage: int, catch_up: CatchUp, pauses: list[int]
) -> None:
    entries: list[Entry] = []
    first = at = timetable(text).next(NOON)
    assert first is not None
    now = first + outage
    for pause in [*pauses, 0]:
        now += pause % HOUR
        while at is not None and at <= now:
            step = plan(utc_schedule(text, catch_up, HOUR, at), now, limit=3)
            entries += step.entries
            at = step.next_fire_at
            now += SECOND
    assert_covers(entries, fire_times(text, first, now + 1 if at is None else at))


def test_plan__limit_goes_on_where_it_stopped() -> None:
    now = NOON + 3 * HOUR
    first = plan(utc_schedule("* * * * *", CatchUp.ALL, DAY, NOON), now)
    assert len(first.entries) == ROWS_PER_TICK
    assert first.next_fire_at == NOON + ROWS_PER_TICK * MINUTE


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        # 10:00 to 11:58 are late, 11:59 and 12:00 are on time.
        (CatchUp.LATEST, [("missed", 119), ("pending", 1), ("pending", 1)]),
        (CatchUp.SKIP, [("missed", 119), ("pending", 1), ("pending", 1)]),
    ],
)
def test_plan__minutely_after_two_hours(catch_up: CatchUp, expected: list[tuple[str, int]]) -> None:
    done = plan(utc_schedule("* * * * *", catch_up, DAY, NOON - 2 * HOUR), NOON)
    assert [(entry.state.value, entry.count) for entry in done.entries] == expected


def test_plan__latest_fires_the_last_of_an_hourly_outage() -> None:
    now = NOON + 30 * MINUTE
    done = plan(utc_schedule("0 * * * *", CatchUp.LATEST, DAY, NOON - 30 * HOUR), now)
    # 06:00 the day before is outside the grace until 12:00, which is 24 h 30 min ago.
    assert done.entries == (
        Entry(NOON - 30 * HOUR, State.MISSED, Reason.MISFIRE_GRACE, NOON - DAY, 7),
        Entry(NOON - 23 * HOUR, State.MISSED, Reason.CATCH_UP_LATEST, NOON - HOUR, 23),
        Entry(NOON),
    )
    assert done.next_fire_at == NOON + HOUR


def test_plan__skip_gives_up_the_last_too() -> None:
    done = plan(utc_schedule("0 * * * *", CatchUp.SKIP, DAY, NOON), NOON + 30 * MINUTE)
    assert done.entries == (Entry(NOON, State.MISSED, Reason.CATCH_UP_SKIP),)


def test_plan__fire_time_exactly_at_an_edge_of_grace_and_on_time() -> None:
    at_grace = plan(utc_schedule("0 0 * * *", CatchUp.LATEST, HOUR, NOON), NOON + HOUR)
    assert [entry.state for entry in at_grace.entries] == [State.PENDING]
    past_grace = plan(utc_schedule("0 12 * * *", CatchUp.LATEST, HOUR, NOON), NOON + HOUR + 1)
    assert [entry.reason for entry in past_grace.entries] == [Reason.MISFIRE_GRACE]
    at_on_time = plan(utc_schedule("0 12 * * *", CatchUp.SKIP, HOUR, NOON), NOON + MINUTE)
    assert [entry.state for entry in at_on_time.entries] == [State.PENDING]
    past_on_time = plan(utc_schedule("0 12 * * *", CatchUp.SKIP, HOUR, NOON), NOON + MINUTE + 1)
    assert [entry.reason for entry in past_on_time.entries] == [Reason.CATCH_UP_SKIP]


def test_plan__not_due_owes_nothing() -> None:
    assert plan(utc_schedule("* * * * *", CatchUp.ALL, DAY, NOON), NOON - 1).entries == ()


@pytest.mark.parametrize("catch_up", CatchUp)
@pytest.mark.parametrize("first", [NOON + 30 * MINUTE, NOON + 30 * MINUTE + 17 * SECOND])
def test_plan__stored_fire_time_that_the_expression_does_not_hold_is_owed_and_counted(
    catch_up: CatchUp, first: int
) -> None:
    now = first + 5 * DAY
    entries, _ = run_plans(utc_schedule("0 * * * *", catch_up, HOUR, first), now)
    assert_covers(entries, [first, *fire_times("0 * * * *", first + 1, now + 1)])


def test_plan__year_of_minutes_costs_a_handful_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    evaluate = Expression.next

    def counted(self: Expression, after: int) -> int | None:
        nonlocal calls
        calls += 1
        return evaluate(self, after)

    monkeypatch.setattr(Expression, "next", counted)
    done = plan(utc_schedule("* * * * *", CatchUp.LATEST, DAY, NOON - YEAR), NOON)
    assert calls < 10
    assert sum(entry.count for entry in done.entries) == 365 * 24 * 60 + 1
    assert len(done.entries) == 4


def test_plan__unreadable_expression_raises() -> None:
    with pytest.raises(errors.InvalidExpression):
        plan(utc_schedule("61 * * * *", CatchUp.LATEST, DAY, NOON), NOON)


@examples(100)
@given(text=expressions, outage=outages)
def test_skip__covers_everything_that_is_owed(text: str, outage: int) -> None:
    first = timetable(text).next(NOON)
    assert first is not None
    (entry,) = skip(utc_schedule(text, CatchUp.ALL, DAY, first), first + outage, Reason.DELETED)
    assert_covers([entry], fire_times(text, first, first + outage + 1))
    assert (entry.state, entry.reason) == (State.SKIPPED, Reason.DELETED)


def test_skip__nothing_is_owed() -> None:
    assert skip(utc_schedule("* * * * *", CatchUp.ALL, DAY, NOON), NOON - 1, Reason.DELETED) == []


def test_skip__unreadable_expression_owes_its_stored_fire_time() -> None:
    (entry,) = skip(utc_schedule("61 * * * *", CatchUp.ALL, DAY, NOON), NOON + DAY, Reason.DELETED)
    assert entry == Entry(NOON, State.SKIPPED, Reason.DELETED)


def test_plan__one_row_however_many_fire_times_it_stands_for() -> None:
    """Every second of 200 years is more than 32 bits can count."""
    schedule = utc_schedule("* * * * * *", CatchUp.LATEST, DAY, SECOND)
    missed, *_ = plan(schedule, 200 * 365 * DAY).entries
    assert (missed.state, missed.reason) == (State.MISSED, Reason.MISFIRE_GRACE)
    assert (missed.scheduled_at, missed.until_at) == (SECOND, 199 * 365 * DAY + 364 * DAY - SECOND)
    assert missed.count == (199 * 365 + 364) * 86_400 - 1 > 2**32
