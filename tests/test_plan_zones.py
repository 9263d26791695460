"""`plan.plan` over changes of the clock, against the oracle: what fires and what is suppressed, each in one row."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random

import pytest

from cronally import plan as planning
from cronally.cronjob import CatchUp, Timing
from cronally.firing import Reason, State
from cronally.instants import DAY, HOUR, MINUTE, SECOND, parse_iso
from cronally.plan import Entry, Schedule
from tests.clock.test_oracle import EXPRESSIONS
from tests.clock.texts import CHANGING, any_text
from tests.support import clock_oracle
from tests.support.clock_oracle import Expected

NEW_YORK = "America/New_York"
POLICIES = '{"catch_up":"all","misfire_grace":86400000000}'
SPRING = parse_iso("2026-03-08T07:00:00Z")
AUTUMN = parse_iso("2026-11-01T06:00:00Z")


@dataclass
class Ledger:
    """What ticks and changes of one cron job write, with no database."""

    schedule: Schedule
    since: int
    rows: list[Entry] = field(default_factory=list)
    at: int | None = None

    def __post_init__(self) -> None:
        self.at = self.schedule.timetable.next(self.since)

    def _schedule(self) -> Schedule:
        assert self.at is not None
        return replace(self.schedule, next_fire_at=self.at)

    def tick(self, now: int, limit: int = planning.ROWS_PER_TICK) -> None:
        while self.at is not None and self.at <= now:
            plan = planning.plan(self._schedule(), now, since=self.since, limit=limit)
            assert plan.entries, "a plan that does not move on never ends"
            assert plan.next_fire_at is None or plan.next_fire_at > self.at
            self.rows += plan.entries
            self.at = plan.next_fire_at

    def change(self, now: int) -> None:
        """Settle, as an edit does that changes nothing."""
        if self.at is not None:
            for plan in planning.settle(self._schedule(), now, since=self.since):
                assert plan.entries, "a plan that does not move on never ends"
                assert self.at is not None
                assert plan.next_fire_at is None or plan.next_fire_at >= self.at
                self.rows += plan.entries
                self.at = plan.next_fire_at
        self.since = now

    def delete(self, now: int) -> None:
        assert self.at is not None
        self.rows += planning.skip(self._schedule(), now, Reason.DELETED, since=self.since)
        self.at = None


def job(
    text: str,
    zone: str = NEW_YORK,
    gap: str | None = None,
    overlap: str | None = None,
    catch_up: CatchUp = CatchUp.ALL,
) -> Schedule:
    return Schedule(Timing(text, zone, gap, overlap), catch_up, 30 * DAY, 0)


def check_change(random: Random, name: str, start: int, stop: int, text: str) -> None:
    """One cron job over one change, with ticks, outages and edits whenever."""
    gap = random.choice([None, None, "run_at_jump", "skip", "shift"])
    overlap = random.choice([None, None, "first", "last", "both"])
    ledger = Ledger(job(text, name, gap, overlap, random.choice([*CatchUp])), start * MINUTE - 1)
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
    wanted = clock_oracle.expected(text, name, start, stop, gap, overlap)
    clock_oracle.assert_covers(ledger.rows, wanted)


@pytest.mark.parametrize("name", CHANGING)
def test_plan__covers_everything_once_over_every_kind_of_change(name: str) -> None:
    random = Random(name)
    for year in random.sample(range(2000, 2040), 2):
        for start, stop in clock_oracle.windows(name, year, year, 90):
            for text in random.sample(EXPRESSIONS, 4):
                check_change(random, name, start, stop, text)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGING)
def test_plan__covers_everything_once_over_every_change(name: str) -> None:
    random = Random(name)
    for start, stop in clock_oracle.windows(name, 2000, 2040, 90):
        for text in [*random.sample(EXPRESSIONS, 4), any_text(random)]:
            check_change(random, name, start, stop, text)


def test_plan__an_ordinary_tick_says_nothing_of_a_change_to_come() -> None:
    ledger = Ledger(job("30 2 * * *", gap="skip"), SPRING - DAY)
    ledger.tick(SPRING - DAY + HOUR)
    assert [row.state for row in ledger.rows] == [State.PENDING]
    assert ledger.at == SPRING + 23 * HOUR + 30 * MINUTE
    ledger.tick(SPRING + 10 * HOUR)
    assert len(ledger.rows) == 1
    ledger.tick(ledger.at)
    assert ledger.rows[1:] == [
        Entry(SPRING - 1, State.SKIPPED, Reason.DST_GAP_SKIP),
        Entry(SPRING + 23 * HOUR + 30 * MINUTE),
    ]


def test_plan__a_gap_stands_beside_the_fire_time_at_the_jump() -> None:
    ledger = Ledger(job("*/20 2-3 * * *", gap="skip"), SPRING - HOUR)
    ledger.tick(SPRING)
    assert ledger.rows == [
        Entry(SPRING - 1, State.SKIPPED, Reason.DST_GAP_SKIP, SPRING - 1, 3),
        Entry(SPRING),
    ]


def test_plan__a_repeated_hour_is_one_range() -> None:
    ledger = Ledger(job("0,30 1 * * *"), AUTUMN - HOUR - 1)
    ledger.tick(AUTUMN + DAY)
    assert ledger.rows == [
        Entry(AUTUMN - HOUR),
        Entry(AUTUMN - HOUR // 2),
        Entry(AUTUMN, State.SKIPPED, Reason.DST_OVERLAP_FIRST, AUTUMN + HOUR // 2, 2),
        Entry(AUTUMN + DAY),
    ]


def test_plan__a_range_that_is_given_up_is_parted_by_what_is_suppressed() -> None:
    ledger = Ledger(job("0 0-3 * * *", catch_up=CatchUp.SKIP), AUTUMN - 3 * HOUR)
    ledger.tick(AUTUMN + 10 * HOUR)
    assert [(row.scheduled_at, row.state.value, row.count, row.until_at) for row in ledger.rows] == [
        (AUTUMN - 2 * HOUR, "missed", 2, AUTUMN - HOUR),
        (AUTUMN, "skipped", 1, None),
        (AUTUMN + HOUR, "missed", 2, AUTUMN + 2 * HOUR),
    ]


def test_plan__a_skipped_day() -> None:
    day = parse_iso("2011-12-30T10:00:00Z")
    ledger = Ledger(job("0 8,9 * * *", "Pacific/Apia"), day - DAY)
    ledger.tick(day + DAY)
    (row,) = [row for row in ledger.rows if row.state is State.SKIPPED]
    assert (row.scheduled_at, row.count) == (day - 1, 2)
    assert row.reason == "new_clock"


def test_plan__an_edit_in_the_middle_of_a_repeated_hour_parts_what_is_suppressed() -> None:
    ledger = Ledger(job("*/5 1 * * *", overlap="first"), AUTUMN - HOUR - 1)
    ledger.change(AUTUMN + 17 * MINUTE)
    ledger.change(AUTUMN + 20 * MINUTE)
    ledger.tick(AUTUMN + 24 * HOUR)
    parts = [(row.scheduled_at, row.count) for row in ledger.rows if row.state is State.SKIPPED]
    assert parts == [(AUTUMN, 4), (AUTUMN + 20 * MINUTE, 1), (AUTUMN + 25 * MINUTE, 7)]


def test_plan__a_year_of_suppressed_fire_times_goes_on_at_every_tick() -> None:
    ledger = Ledger(job("30 1 1-7 11 SUN", catch_up=CatchUp.SKIP), parse_iso("2026-01-01T00:00:00Z"))
    ledger.tick(parse_iso("2200-01-01T00:00:00Z"))
    assert sum(row.count for row in ledger.rows if row.state is State.MISSED) > 174
    spans = [(row.scheduled_at, row.until_at or row.scheduled_at) for row in ledger.rows]
    assert all(one[1] < two[0] for one, two in pairwise(spans))
    assert sum(row.state is State.SKIPPED for row in ledger.rows) >= 173


@pytest.mark.parametrize("after", [-HOUR, HOUR // 4, HOUR, 3 * HOUR])
def test_skip__covers_what_is_suppressed_until_the_deletion(after: int) -> None:
    now = AUTUMN + after
    ledger = Ledger(job("*/20 1-2 * * *", overlap="first"), AUTUMN - 2 * HOUR)
    ledger.delete(now)
    fires = [AUTUMN - HOUR + minutes * MINUTE for minutes in (0, 20, 40, 120, 140, 160)]
    held = [AUTUMN + minutes * MINUTE for minutes in (0, 20, 40)]
    wanted = Expected([at for at in fires if at <= now], [at for at in held if at <= now], {})
    clock_oracle.assert_covers(ledger.rows, wanted)


def test_plan__at_fires_once_and_completes() -> None:
    ledger = Ledger(job("at(2026-11-01T01:30:00)"), AUTUMN - DAY)
    ledger.tick(AUTUMN + DAY)
    assert (ledger.rows, ledger.at) == ([Entry(AUTUMN - HOUR // 2)], None)


def test_plan__intervals_are_counted_from_the_creation() -> None:
    made = AUTUMN - 90 * MINUTE - 17 * SECOND - 5
    given = Schedule.of("id", made, "rate(1 hour)", NEW_YORK, POLICIES, 0, 0)
    ledger = Ledger(given, made)
    ledger.tick(AUTUMN + 2 * HOUR)
    first = AUTUMN - 30 * MINUTE - 18 * SECOND
    assert [row.scheduled_at for row in ledger.rows] == [first, first + HOUR, first + 2 * HOUR]


def test_schedule__knows_of_the_cron_job_only_what_it_needs() -> None:
    def made(cronjob_id: str, text: str) -> Schedule:
        created_at = SPRING + ord(cronjob_id)
        return Schedule.of(cronjob_id, created_at, text, NEW_YORK, POLICIES, SPRING, 0)

    assert made("a", "0 8 * * *") == made("b", "0 8 * * *")
    assert made("a", "0 8 * * *").timetable is made("b", "0 8 * * *").timetable
    for text in ("H 8 * * *", "@every 90s"):
        assert made("a", text) != made("b", text)
