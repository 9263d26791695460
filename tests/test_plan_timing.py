"""`plan.plan` with bounds, several expressions and `max_firings`: each fire time covered once, and no more fired."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from cronally import plan as planning
from cronally.clock.timetable import UnionTimetable
from cronally.cronjob import CatchUp, Timing, join_expressions
from cronally.firing import Reason, State
from cronally.instants import DAY, HOUR, MAX_INSTANT, MINUTE, SECOND
from cronally.plan import Entry, Plan, Schedule
from tests.clock.test_oracle import EXPRESSIONS
from tests.clock.texts import CHANGING
from tests.support import clock_oracle
from tests.support.factories import NOON
from tests.test_plan import assert_covers, run_plans
from tests.test_plan_zones import Ledger

TEXTS = ("*/7 * * * *", "0 9 * * MON-FRI", "30 11 * * SAT", "@every 11m")


def schedule(
    *texts: str,
    zone: str = "UTC",
    catch_up: str = CatchUp.ALL,
    grace: int = 30 * DAY,
    rest: int | None = None,
    **bounds: int,
) -> Schedule:
    timing = Timing(join_expressions(texts), zone, None, None, **bounds)
    return Schedule(timing, catch_up, grace, 0, anchor=NOON - HOUR, rest=rest)


def fire_times(given: Schedule, until: int) -> list[int]:
    found, at = [], given.timetable.next(NOON - 1)
    while at is not None and at <= until:
        found.append(at)
        at = given.timetable.next(at)
    return found


@pytest.mark.sample(8)
@pytest.mark.parametrize("name", CHANGING)
def test_plan__covers_several_expressions_once_over_changes(name: str) -> None:
    """What is expected is the oracle's; see `test_plan_zones` for one expression."""
    random = Random(name)
    for start, stop in clock_oracle.windows(name, 2004, 2034, 90):
        if random.random() < 0.9:
            continue
        texts = random.sample(EXPRESSIONS, random.randint(2, 4))
        gap = random.choice([None, None, "run_at_jump", "skip", "shift"])
        overlap = random.choice([None, None, "first", "last", "both"])
        bounds = {"starts_at": random.randint(start, stop) * MINUTE} if random.random() < 0.3 else {}
        timing = Timing(join_expressions(texts), name, gap, overlap, **bounds)
        job = Schedule(timing, random.choice([*CatchUp]), random.choice([0, HOUR, DAY]), 0)
        ledger = Ledger(job, start * MINUTE - 1)
        now, end = start * MINUTE, stop * MINUTE - 1
        while now < end:
            pause = random.choice([SECOND, MINUTE, 7 * MINUTE, 40 * MINUTE, 3 * HOUR, 40 * HOUR])
            now = min(now + random.randint(0, pause), end)
            if random.random() < 0.3:
                ledger.change(now)
            else:
                ledger.tick(now, random.choice([1, 2, 100]))
        ledger.change(end)
        wanted = clock_oracle.expected_of_several(texts, name, start, stop, gap, overlap)
        wanted = clock_oracle.within(wanted, bounds.get("starts_at", 0), MAX_INSTANT)
        clock_oracle.assert_covers(ledger.rows, wanted)


@pytest.mark.parametrize("catch_up", CatchUp)
@pytest.mark.parametrize("limit", [1, 7, planning.ROWS_PER_TICK])
def test_plan__covers_a_union_once_within_its_bounds(catch_up: CatchUp, limit: int) -> None:
    bounds = {"starts_at": NOON + DAY + 1, "ends_at": NOON + 3 * DAY}
    given = schedule(*TEXTS, zone="America/New_York", catch_up=catch_up, grace=DAY, **bounds)
    owed = fire_times(given, NOON + 9 * DAY)
    assert NOON + DAY < owed[0] < owed[-1] <= NOON + 3 * DAY
    entries, at = run_plans(replace(given, next_fire_at=owed[0]), NOON + 4 * DAY, limit=limit)
    assert at is None
    assert_covers(entries, owed)


@pytest.mark.parametrize("most", [1, 2, 99, 100, 101, 250])
def test_plan__fires_no_more_than_is_left(most: int) -> None:
    given = schedule("* * * * *", rest=most)
    made: list[Plan] = []
    at: int | None = NOON
    while at is not None:
        step = planning.plan(replace(given, next_fire_at=at), NOON + 10 * HOUR)
        made.append(step)
        at = step.next_fire_at
        assert given.rest is not None
        given = replace(given, rest=given.rest - len(step.entries))
    entries = [entry for step in made for entry in step.entries]
    assert [entry.scheduled_at for entry in entries] == [NOON + n * MINUTE for n in range(most)]
    assert {entry.state for entry in entries} == {State.PENDING}


def test_plan__what_is_missed_does_not_count() -> None:
    given = schedule("0 * * * *", catch_up=CatchUp.LATEST, rest=2)
    done = planning.plan(replace(given, next_fire_at=NOON), NOON + 5 * HOUR)
    assert [(entry.state, entry.count) for entry in done.entries] == [(State.MISSED, 5), (State.PENDING, 1)]
    assert done.next_fire_at == NOON + 6 * HOUR
    given = replace(given, rest=1, next_fire_at=NOON + 6 * HOUR)
    done = planning.plan(given, NOON + 6 * HOUR)
    assert (done.entries, done.next_fire_at) == ((Entry(NOON + 6 * HOUR),), None)


def test_plan__with_nothing_left_completes() -> None:
    done = planning.plan(replace(schedule("* * * * *", rest=0), next_fire_at=NOON), NOON + HOUR)
    assert done == Plan((), None)


def test_settle__counts_from_plan_to_plan() -> None:
    given = replace(schedule("* * * * *", rest=150), next_fire_at=NOON)
    plans = list(planning.settle(given, NOON + 10 * HOUR))
    assert [len(made.entries) for made in plans] == [100, 50]
    assert plans[-1].next_fire_at is None


def test_schedule__only_one_with_a_number_of_firings_has_a_rest() -> None:
    def made(policies: str, fired: int) -> Schedule:
        return Schedule.of("a", 0, "0 8 * * *\n0 9 * * *", "UTC", policies, NOON, fired)

    assert made("{}", 3) == made("{}", 4)
    assert made('{"max_firings":10}', 3).rest == 7
    started = '{"starts_at":5}'
    assert Schedule.of("a", 0, "rate(1 day)", "UTC", started, 9, 0) == Schedule.of(
        "b", 1, "rate(1 day)", "UTC", started, 9, 0
    )


def test_plan__of_a_union_goes_on_where_counting_costs_too_much() -> None:
    given = schedule("* * * * *", "0 9 * * *", catch_up=CatchUp.LATEST, grace=DAY)
    now = NOON + 250 * DAY
    first = planning.plan(replace(given, next_fire_at=NOON), now)
    (entry,) = first.entries
    assert (entry.state, entry.reason) == (State.MISSED, Reason.MISFIRE_GRACE)
    assert first.next_fire_at == NOON + UnionTimetable.countable <= now
    entries, at = run_plans(replace(given, next_fire_at=NOON), now)
    assert at == now + MINUTE
    assert sum(entry.count for entry in entries) == 250 * 24 * 60 + 1
    assert len(entries) < 8


def test_skip__of_a_union_covers_all_at_once() -> None:
    given = replace(schedule("* * * * *", "0 9 * * *"), next_fire_at=NOON)
    entries = planning.skip(given, NOON + 250 * DAY, Reason.DELETED)
    assert sum(entry.count for entry in entries) == 250 * 24 * 60 + 1
    assert len(entries) == 3
