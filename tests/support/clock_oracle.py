"""The oracle for zones: what Debian's cron, and each policy, makes of the changes of a clock, minute by minute.

It shares no code with the package. Local time is `zoneinfo`'s, read from the same `tzdata` package; what a minute of it
runs is a simulation of the loop in `cron.c` of Debian's cron 3.0pl1, which wakes at every real minute and
compares the clock with the minute that it ran last. Several runs at one instant are one firing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Protocol
from zoneinfo import ZoneInfo

from tests.support.oracle import Schedule

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CIVIL_EPOCH = datetime(1970, 1, 1)

Ticks = list[tuple[int, list[int], list[int]]]
"""Real minutes since 1970, each with the local minutes that it runs jobs for, and those that it catches up with:
for them a job runs once and at once, whatever seconds it names."""


@cache
def zone_info(name: str) -> ZoneInfo:
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def zone_names() -> list[str]:
    return sorted(set(files("tzdata").joinpath("zones").read_text().split()) - {"Factory"})


@cache
def transitions(name: str, first_year: int, last_year: int) -> list[int]:
    """The minutes since 1970 at which the offset changes, found by looking at every hour, then at every minute."""
    zone = zone_info(name)
    found = []
    day = int(datetime(first_year, 1, 1, tzinfo=UTC).timestamp()) // 60
    end = int(datetime(last_year + 1, 1, 1, tzinfo=UTC).timestamp()) // 60
    before = offset(zone, day)
    while day < end:
        after = offset(zone, day + 1440)
        if after != before:
            low, high = day, day + 1440  # no zone changes twice in a day
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(zone, middle) == before else (low, middle)
            found.append(high)
        before = after
        day += 1440
    return found


def offset(zone: ZoneInfo, minute: int) -> int:
    """Minutes east of UTC at a real minute, rounded down."""
    moment = (_EPOCH + timedelta(minutes=minute)).astimezone(zone)
    seconds = moment.utcoffset()
    assert seconds is not None
    return seconds // timedelta(minutes=1)


def debian_ticks(zone: ZoneInfo, start: int, stop: int, *, wildcard: bool) -> Ticks:
    """What Debian's cron runs at the real minutes with start <= t < stop, of wildcard or of fixed-time jobs.

    No change may lie just before `start`.
    """
    virtual = start - 1 + offset(zone, start - 1)
    ticks: Ticks = []
    for minute in range(start, stop):
        running = minute + offset(zone, minute)
        behind = running - virtual
        if 0 < behind <= 5:
            ticks.append((minute, list(range(virtual + 1, running + 1)), []))
            virtual = running
        elif 5 < behind <= 180:
            ticks.append((minute, [running], [] if wildcard else list(range(virtual + 1, running))))
            virtual = running
        elif -180 < behind <= 0:
            ticks.append((minute, [running] if wildcard else [], []))
        else:
            ticks.append((minute, [running], []))
            virtual = running
    return ticks


def policy_ticks(zone: ZoneInfo, start: int, stop: int, gap: str, overlap: str) -> Ticks:
    """The same by chosen policies, for both kinds of job; from the definition of each policy, by `fold`."""
    real: dict[int, list[int]] = {minute: [] for minute in range(start, stop)}
    caught_up: dict[int, list[int]] = {}
    for minute in range(start, stop):
        local = (_EPOCH + timedelta(minutes=minute)).astimezone(zone)
        one, two = local.replace(fold=0).utcoffset(), local.replace(fold=1).utcoffset()
        assert one is not None
        assert two is not None
        civil = minute + offset(zone, minute)
        twice = timedelta() < one - two <= timedelta(hours=3)
        if not twice or overlap == "both" or overlap == ("last" if local.fold else "first"):
            real[minute].append(civil)
        skipped = civil - (minute - 1 + offset(zone, minute - 1)) - 1
        if 0 < skipped < 180 and gap != "skip":
            missing = list(range(civil - skipped, civil))
            if gap == "run_at_jump":
                caught_up[minute] = missing
            else:
                for one_missing in missing:
                    real[_as_if_unchanged(zone, one_missing)].append(one_missing)
    return [(minute, runs, caught_up.get(minute, [])) for minute, runs in real.items()]


def _as_if_unchanged(zone: ZoneInfo, civil: int) -> int:
    """The real minute of a local time that does not exist, by the offset before the change."""
    local = (_CIVIL_EPOCH + timedelta(minutes=civil)).replace(tzinfo=zone, fold=0)
    return (local.astimezone(UTC) - _EPOCH) // timedelta(minutes=1)


def fire_times(schedule: Schedule, ticks: Ticks) -> list[int]:
    """The instants, in seconds since 1970, at which a job fires, given what each minute runs."""
    days: dict[int, bool] = {}

    def matches(civil: int) -> bool:
        on, time = divmod(civil, 1440)
        if time // 60 not in schedule.hours or time % 60 not in schedule.minutes:
            return False
        if on not in days:
            days[on] = schedule.fires_on(day(on))
        return days[on]

    found: set[int] = set()
    for minute, runs, caught_up in ticks:
        if any(map(matches, runs)):
            found.update(minute * 60 + second for second in schedule.seconds)
        if any(map(matches, caught_up)):
            found.add(minute * 60)
    return sorted(found)


def suppressed(
    schedule: Schedule, name: str, start: int, stop: int, gap: str | None, overlap: str | None
) -> tuple[list[int], dict[int, int]]:
    """What a policy (None: the default) suppresses in real minutes with start <= t < stop.

    Of a repeated hour, the instants in seconds. Of a gap, the second of the jump, and how many local times it skips.
    """
    zone = zone_info(name)
    ticks_gap = gap or ("skip" if schedule.wildcard else "run_at_jump")
    ticks_overlap = overlap or ("both" if schedule.wildcard else "first")
    both = fire_times(schedule, policy_ticks(zone, start, stop, ticks_gap, "both"))
    held = set(both) - set(fire_times(schedule, policy_ticks(zone, start, stop, ticks_gap, ticks_overlap)))
    skipped: dict[int, int] = {}
    for minute in range(start, stop):
        civil = minute + offset(zone, minute)
        before = minute - 1 + offset(zone, minute - 1)
        out = (schedule.wildcard and gap is None) or civil - before - 1 <= 0
        if out or not (gap == "skip" or civil - before - 1 >= 180):
            continue
        times = fire_times(schedule, [(one, [one], []) for one in range(before + 1, civil)])
        if times:
            skipped[minute * 60] = len(times)
    return sorted(held), skipped


@dataclass(frozen=True)
class Expected:
    """What a ledger is to say of one cron job. Microseconds since 1970."""

    fires: list[int]
    held: list[int]
    """What a policy suppresses of a repeated hour."""
    skipped: dict[int, int]
    """How many local times a policy suppresses, by the jump."""


def expected(
    text: str, name: str, start: int, stop: int, gap: str | None = None, overlap: str | None = None
) -> Expected:
    """Of real minutes with start <= t < stop; a policy that is None is the default.

    No change may lie just before `start`, and one at most in the range.
    """
    schedule, zone = Schedule(text), zone_info(name)
    if gap is overlap is None:
        ticks = debian_ticks(zone, start, stop, wildcard=schedule.wildcard)
    else:
        ticks = policy_ticks(
            zone,
            start,
            stop,
            gap or ("skip" if schedule.wildcard else "run_at_jump"),
            overlap or ("both" if schedule.wildcard else "first"),
        )
    held, skipped = suppressed(schedule, name, start, stop, gap, overlap)
    return Expected(
        [second * 1_000_000 for second in fire_times(schedule, ticks)],
        [second * 1_000_000 for second in held],
        {second * 1_000_000: count for second, count in skipped.items()},
    )


def expected_of_several(
    texts: Sequence[str], name: str, start: int, stop: int, gap: str | None = None, overlap: str | None = None
) -> Expected:
    """What `expected` says of several expressions of one cron job together: each instant and local time once, and what
    one of them suppresses fires where another one fires then."""
    found = [expected(text, name, start, stop, gap, overlap) for text in texts]
    fires = {instant for one in found for instant in one.fires}
    held = {instant for one in found for instant in one.held} - fires
    zone, skipped = zone_info(name), {}
    for jump in {jump for one in found for jump in one.skipped}:
        minute = jump // 60_000_000
        before, civil = minute - 1 + offset(zone, minute - 1), minute + offset(zone, minute)
        ticks: Ticks = [(one, [one], []) for one in range(before + 1, civil)]
        times = {
            time
            for text, one in zip(texts, found, strict=True)
            if jump in one.skipped
            for time in fire_times(Schedule(text), ticks)
        }
        skipped[jump] = len(times)
    return Expected(sorted(fires), sorted(held), skipped)


def within(wanted: Expected, first: int, last: int) -> Expected:
    """What of it lies between two instants, both included. What a gap skips lies before its jump."""
    return Expected(
        [instant for instant in wanted.fires if first <= instant <= last],
        [instant for instant in wanted.held if first <= instant <= last],
        {jump: count for jump, count in wanted.skipped.items() if first < jump <= last},
    )


class Row(Protocol):
    """A row of a ledger, or one that is to be written."""

    @property
    def scheduled_at(self) -> int: ...
    @property
    def until_at(self) -> int | None: ...
    @property
    def count(self) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def reason(self) -> str | None: ...


def assert_covers(rows: Sequence[Row], wanted: Expected) -> None:
    """Rows cover exactly what is expected, each once, in order, and do not overlap."""
    free, kept, skipped = list(wanted.fires), list(wanted.held), dict(wanted.skipped)
    spans = []
    for row in rows:
        last = row.until_at or row.scheduled_at
        spans.append((row.scheduled_at, last))
        if row.scheduled_at % 1_000_000:
            gap = (row.state, row.count, last)
            assert gap == ("skipped", skipped.pop(row.scheduled_at + 1), row.scheduled_at), row
            continue
        pool = free
        if row.reason is not None and row.reason.startswith("dst_overlap"):
            assert row.state == "skipped"
            pool = kept
        inside = [instant for instant in pool if row.scheduled_at <= instant <= last]
        assert inside, row
        assert (len(inside), inside[0], inside[-1]) == (row.count, row.scheduled_at, last), row
        for instant in inside:
            pool.remove(instant)
    assert (free, kept, skipped) == ([], [], {}), f"no row has these; there are {[*rows]}"
    assert spans == sorted(spans)
    assert all(one[1] < two[0] for one, two in pairwise(spans)), "two rows overlap"


def day(number: int) -> date:
    """A day by its number, 1970-01-01 being 0."""
    return date(1970, 1, 1) + timedelta(days=number)


def windows(name: str, first_year: int, last_year: int, margin: int) -> Iterator[tuple[int, int]]:
    """A window of real minutes around each change of a zone, wide enough for what a change moves."""
    for minute in transitions(name, first_year, last_year):
        zone = zone_info(name)
        change = abs(offset(zone, minute) - offset(zone, minute - 1))
        yield minute - change - margin, minute + change + margin
