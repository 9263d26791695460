"""cronsim and croniter beside the clock, in zones: where they differ, it is for a reason that has a name here.

The classes are those of `docs/reference/expressions.md`. Each has an example that shows who is right by the
oracle; the random comparison then finds no difference outside of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random

import pytest
from croniter import croniter
from cronsim import CronSim, CronSimError

from cronally.clock.timetable import timetable
from cronally.instants import DAY, MINUTE, SECOND, from_datetime, parse_iso, to_datetime
from tests.clock.texts import CHANGING
from tests.cron.cron_texts import expression_text
from tests.cron.test_cron_oracles import NAMES, has_one_value_with_a_step
from tests.support.clock_oracle import debian_ticks, fire_times, transitions, zone_info
from tests.support.oracle import Schedule
from tests.support.oracle import fire_times as utc_fire_times

NEW_YORK = "America/New_York"


def by_cronsim(text: str, name: str, after: int, how_many: int) -> list[int]:
    start = to_datetime(after).astimezone(zone_info(name))
    return [from_datetime(moment.astimezone(UTC)) for moment in islice(CronSim(text, start), how_many)]


def by_croniter(text: str, name: str, after: int, how_many: int, debian: bool = True) -> list[int]:
    start = to_datetime(after).astimezone(zone_info(name))
    cron = croniter(text, start, implement_cron_bug=debian)
    return [from_datetime(cron.get_next(datetime).astimezone(UTC)) for _ in range(how_many)]


def ours(text: str, name: str, after: int, how_many: int) -> list[int]:
    table, found = timetable(text, name), []
    for _ in range(how_many):
        fire_time = table.next(after)
        assert fire_time is not None
        found.append(after := fire_time)
    return found


def by_oracle(text: str, name: str, after: int, hours: int) -> list[int]:
    """Debian's cron, simulated from a day before."""
    schedule = Schedule(text)
    first = after // MINUTE
    ticks = debian_ticks(zone_info(name), first - 24 * 60, first + hours * 60, wildcard=schedule.wildcard)
    return [t * SECOND for t in fire_times(schedule, ticks) if t * SECOND > after]


# The classes, each with an example


@pytest.mark.parametrize(
    ("text", "name", "after"),
    [
        # C1: in the second pass of a repeated hour it answers with an instant of the first.
        ("30 1 * * *", NEW_YORK, "2024-11-03T06:10:00Z"),
        # C2: after a change of half an hour, minutes of the first hour are lost.
        ("*/10 8 * * *", "Australia/Lord_Howe", "2024-10-05T15:00:00Z"),
        # C3: where midnight does not exist, a wildcard job fires at an hour that it does not name.
        ("*/5 0 * * 0", "America/Sao_Paulo", "2018-11-04T02:00:00Z"),
        # C4: a day that is none is made up for.
        ("0 8 * * *", "Pacific/Apia", "2011-12-30T00:00:00Z"),
    ],
)
def test_cronsim__class(text: str, name: str, after: str) -> None:
    start = parse_iso(after)
    right = by_oracle(text, name, start, 200)[:2]
    assert ours(text, name, start, len(right)) == right
    assert by_cronsim(text, name, start, len(right)) != right


@pytest.mark.parametrize(
    ("text", "name", "after"),
    [
        # I1: a fixed-time job in a repeated hour fires twice.
        ("30 1 * * *", NEW_YORK, "2024-11-03T04:00:00Z"),
        # I2: a wildcard job fires at the jump too.
        ("45 */2 * * *", "Asia/Beirut", "2024-03-30T20:30:00Z"),
    ],
)
def test_croniter__class(text: str, name: str, after: str) -> None:
    start = parse_iso(after)
    right = by_oracle(text, name, start, 48)[:2]
    assert ours(text, name, start, len(right)) == right
    assert by_croniter(text, name, start, len(right)) != right


def test_croniter__takes_a_step_over_a_star_for_a_list_of_days_unless_told() -> None:
    """I3: by the text `*/2` starts with a star, so a day must match both."""
    start = parse_iso("2026-01-15T12:00:00Z")
    right = by_oracle("0 0 */2 * 1", "UTC", start, 24 * 30)[:2]
    assert ours("0 0 */2 * 1", "UTC", start, 2) == right
    assert by_croniter("0 0 */2 * 1", "UTC", start, 2) == right
    assert by_croniter("0 0 */2 * 1", "UTC", start, 2, debian=False) != right


def one_value_as_a_range(text: str) -> bool:
    """I4: `13-13` is every value of its field there."""

    def number(word: str) -> int:
        return int(NAMES.get(word.upper(), word))

    return any(number(a) == number(b) for a, b in re.findall(r"\b(\w+)-(\w+)\b", text))


def star_later_in_a_list(text: str) -> bool:
    """I5: `13,*` in a field of days starts with a star there, so that both fields must match."""
    days = text.split()
    return any("*" in days[place] and not days[place].startswith("*") for place in (2, 4))


CRONITER_CLASSES: dict[str, Callable[[str], bool]] = {
    "one value as a range": one_value_as_a_range,
    "star later in a list": star_later_in_a_list,
}


def by_enumeration(text: str, name: str, after: int, how_many: int) -> list[int]:
    """Away from changes: the local times that match, in the offset that holds."""
    offset = to_datetime(after).astimezone(zone_info(name)).utcoffset()
    assert offset is not None
    shift, days = offset // timedelta(microseconds=1), 60
    found: list[int] = []
    while len(found) < how_many:
        local = utc_fire_times(text, after + shift + 1, after + shift + days * DAY)
        found = [t - shift for t in local[:how_many]]
        if found and any(changed(name, offset, t) for t in found):
            return ours(text, name, after, how_many)  # a change lies between: the oracle of zones has that
        days *= 6
    return found


def changed(name: str, offset: timedelta, instant: int) -> bool:
    return to_datetime(instant).astimezone(zone_info(name)).utcoffset() != offset


# At random


def cases(count: int) -> list[tuple[str, str, int]]:
    random = Random(20261124)
    found: list[tuple[str, str, int]] = []
    while len(found) < count:
        text = expression_text(random)
        name = random.choice(CHANGING)
        if text.startswith("@") or has_one_value_with_a_step(text):
            continue
        changes = transitions(name, 2005, 2035)
        if changes and random.random() < 0.7:
            after = (random.choice(changes) + random.randrange(-1500, 300)) * MINUTE
        else:
            after = random.randrange(1_300_000_000, 1_900_000_000) * SECOND
        found.append((text, name, after))
    return found


def near_a_change(name: str, first: int, last: int) -> bool:
    """Whether a change lies so near to the fire times that it can touch them."""
    return any(
        first - 27 * 60 * MINUTE <= minute * MINUTE <= last + 27 * 60 * MINUTE
        for minute in transitions(name, 2000, 2080)
    )


def test_cronsim__differs_in_no_other_class() -> None:
    """Away from changes never, and near one we are right by the oracle."""
    differing: Counter[str] = Counter()
    for text, name, after in cases(2000):
        mine = ours(text, name, after, 3)
        try:
            theirs = by_cronsim(text, name, after, 3)
        except CronSimError:
            continue
        if mine == theirs:
            continue
        last = max(mine[-1], theirs[-1])
        assert near_a_change(name, min(after, *theirs), last), (text, name, after)
        check(text, name, after, mine)
        differing["near a change"] += 1
    assert 0 < differing["near a change"] < 100


@pytest.mark.parametrize("count", [200, pytest.param(1200, marks=pytest.mark.slow)])
def test_croniter__differs_in_no_other_class(count: int) -> None:
    differing: Counter[str] = Counter()
    for text, name, after in cases(count):
        mine = ours(text, name, after, 3)
        theirs = by_croniter(text, name, after, 3)
        if mine == theirs:
            continue
        last = max(mine[-1], theirs[-1])
        if near_a_change(name, min(after, *theirs), last):
            check(text, name, after, mine)
            differing["near a change"] += 1
        else:
            classes = [name for name, applies in CRONITER_CLASSES.items() if applies(text)]
            assert classes, (text, name, after, mine, theirs)
            assert mine == by_enumeration(text, name, after, 3)
            differing[classes[0]] += 1
    assert set(differing) == {"near a change", *CRONITER_CLASSES}
    assert 0 < differing["near a change"] < count / 6


def check(text: str, name: str, after: int, mine: list[int]) -> None:
    """Ours is what Debian's cron does; only as far as the simulation need not run for weeks."""
    hours = 24 * 6
    expected = [t for t in by_oracle(text, name, after, hours) if t <= mine[-1]]
    reachable = [t for t in mine if t < (after // MINUTE + hours * 60) * MINUTE]
    assert reachable == expected[: len(reachable)], (text, name, after)
