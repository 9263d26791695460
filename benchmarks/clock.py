"""How long one fire time takes: microseconds per `next` beside cronsim, croniter and APScheduler, in one run.

    make bench-cron

Three tables: single expressions in UTC and New York; thousands of random ones (first with the parsing, then a `next`
alone) with median, 99th percentile and maximum; bytes per parsed expression. Each scheduler gets what it parses; each
`next` starts at another instant, so that no answer is remembered. Only ratios within one run mean anything.
"""

from __future__ import annotations

import argparse
import copy
import gc
import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from importlib.metadata import version
from random import Random
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger
from croniter import croniter
from cronsim import CronSim

from cronally import cron
from cronally.clock import timetable, zones
from cronally.clock.timetable import UtcTimetable, ZonedTimetable
from cronally.instants import SECOND, from_datetime
from tests.clock.texts import any_text
from tests.cron.cron_texts import expression_text

SINGLE: Final = ["* * * * *", "*/5 * * * *", "0 8 * * *", "15 3 * * 1-5", "30 2 1,15 * *", "0 0 29 2 *"]
ZONES: Final = ["UTC", "America/New_York"]
_YEAR: Final = 366 * 86_400 * SECOND
_START: Final = datetime(2020, 1, 1, tzinfo=UTC)

A = TypeVar("A")
B = TypeVar("B")
Parsed = Any
"""What a library makes of an expression; each has a type of its own."""


@dataclass(frozen=True)
class Library:
    """A library, by its two operations."""

    name: str
    parse: Callable[[str, str], Parsed]
    """An expression in a zone; nothing remembered from the last time."""
    next: Callable[[Parsed, datetime], object]
    """The fire time after a moment in that zone."""


def cronally_parse(text: str, zone: str) -> Parsed:
    expression = cron.parse.__wrapped__(text)
    if not isinstance(expression, cron.Expression):
        raise TypeError(text)
    kind = UtcTimetable if zone == "UTC" else ZonedTimetable
    return kind(expression, zones.zone(zone), None, None)


def cronally_next(parsed: Parsed, moment: datetime) -> object:
    # An instant is an integer everywhere in Cronally: this conversion is the benchmark's, and is counted.
    # `_next`, as `next` remembers its last answer.
    return parsed._next(from_datetime(moment))


def cronsim_parse(text: str, zone: str) -> Parsed:
    return CronSim(text, datetime(2020, 1, 1, tzinfo=_tz(zone)))


def cronsim_next(parsed: Parsed, moment: datetime) -> object:
    # It can only go on from where it is: a copy is put elsewhere, as its constructor would.
    iterator = copy.copy(parsed)
    iterator.dt = moment.replace(tzinfo=None) if iterator.fixup_tz is not None else moment
    return next(iterator)


def croniter_parse(text: str, zone: str) -> Parsed:
    return croniter(text, datetime(2020, 1, 1, tzinfo=_tz(zone)))


def croniter_next(parsed: Parsed, moment: datetime) -> object:
    return parsed.get_next(datetime, start_time=moment)


def apscheduler_parse(text: str, zone: str) -> Parsed:
    return CronTrigger.from_crontab(text, timezone=_tz(zone))


def apscheduler_next(parsed: Parsed, moment: datetime) -> object:
    return parsed.get_next_fire_time(None, moment)


def _tz(zone: str) -> tzinfo:
    return UTC if zone == "UTC" else ZoneInfo(zone)


LIBRARIES: Final = [
    Library("Cronally", cronally_parse, cronally_next),
    Library(f"cronsim {version('cronsim')}", cronsim_parse, cronsim_next),
    Library(f"croniter {version('croniter')}", croniter_parse, croniter_next),
    Library(f"APScheduler {version('apscheduler')}", apscheduler_parse, apscheduler_next),
]


def main() -> None:
    """Run all, print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--expressions", type=int, default=5_000, help="random ones; default: 5000")
    arguments.add_argument("--calls", type=int, default=2_000, help="per single expression; default: 2000")
    options = arguments.parse_args()
    print(f"Python {platform.python_version()}, tzdata {zones.version()}; microseconds, the best of 3 runs\n")
    with _no_collection():
        for zone in ZONES:
            _single(zone, options.calls)
        for zone in ZONES:
            _random(zone, options.expressions)
        _every_dialect(options.expressions)
        _sizes()


def _single(zone: str, calls: int) -> None:
    print(f"One next, {zone}".ljust(34), *(f"{text:>14}" for text in SINGLE))
    moments = list(_moments(zone, calls))
    for library in LIBRARIES:
        shown = []
        for text in SINGLE:
            parsed = library.parse(text, zone)
            best = min(_elapsed(library, parsed, moments) for _ in range(3))
            shown.append(f"{best / calls * 1e6:14.2f}")
        print(f"  {library.name}".ljust(34), *shown)
    print()


def _random(zone: str, count: int) -> None:
    """Random expressions of five fields that every library parses."""
    random = Random(1)
    texts: list[str] = []
    while len(texts) < count:
        text = expression_text(random)
        if not text.startswith("@") and all(_takes(library, text, zone) for library in LIBRARIES[1:]):
            texts.append(text)
    moments = list(_moments(zone, count))
    print(f"{count} random expressions, {zone}".ljust(42), *(f"{head:>9}" for head in ("p50", "p99", "max")))
    for library in LIBRARIES:
        cold = _each(_cold(library, zone), texts, moments)
        parsed = [library.parse(text, zone) for text in texts]
        warm = _each(library.next, parsed, moments)
        _row(f"  {library.name}: parse and next", cold)
        _row(f"  {library.name}: next", warm)
    print()


def _cold(library: Library, zone: str) -> Callable[[str, datetime], object]:
    """From the text to a fire time."""
    return lambda text, moment: library.next(library.parse(text, zone), moment)


def _every_dialect(count: int) -> None:
    """What only Cronally reads, in all its zones with changes."""
    random = Random(2)
    names = [name for name in zones.names() if not zones.zone(name).is_fixed]
    tables = [timetable.timetable(any_text(random), random.choice(names)) for _ in range(count)]
    instants = [from_datetime(moment) for moment in _moments("UTC", count)]
    print(f"{count} of every dialect, all zones".ljust(42), *(f"{head:>9}" for head in ("p50", "p99", "max")))
    for name, call in (
        ("next", lambda table, instant: table._next(instant)),
        ("previous", lambda table, instant: table.previous(instant)),
        ("count over a year", lambda table, instant: table.count(instant, instant + _YEAR)),
    ):
        _row(f"  Cronally: {name}", _each(call, tables, instants))
    print()


def _sizes() -> None:
    print("Bytes per parsed expression (2,000 random ones, New York, nothing shared with others)")
    random = Random(3)
    texts: list[str] = []
    while len(texts) < 2_000:
        text = expression_text(random)
        if not text.startswith("@") and all(_takes(library, text, ZONES[1]) for library in LIBRARIES[1:]):
            texts.append(text)
    for library in LIBRARIES:
        library.parse("0 0 * * *", ZONES[1])
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        parsed = [library.parse(text, ZONES[1]) for text in texts]
        after = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        print(f"  {library.name}".ljust(34), f"{(after - before) // len(parsed):>9}")


def _takes(library: Library, text: str, zone: str) -> bool:
    try:
        library.next(library.parse(text, zone), datetime(2026, 1, 1, tzinfo=_tz(zone)))
    except Exception:  # each has errors of its own
        return False
    return True


def _moments(zone: str, count: int) -> Iterator[datetime]:
    """Random moments of sixteen years."""
    random = Random(4)
    for _ in range(count):
        yield (_START + timedelta(seconds=random.randrange(16 * 366 * 86_400))).astimezone(_tz(zone))


def _elapsed(library: Library, parsed: Parsed, moments: list[datetime]) -> float:
    following = library.next
    begin = time.perf_counter()
    for moment in moments:
        following(parsed, moment)
    return time.perf_counter() - begin


def _each(call: Callable[[A, B], object], firsts: list[A], seconds: list[B]) -> list[float]:
    """The microseconds of each call, the best of three runs."""
    best = [float("inf")] * len(firsts)
    for _ in range(3):
        for index, (first, second) in enumerate(zip(firsts, seconds, strict=True)):
            begin = time.perf_counter()
            call(first, second)
            best[index] = min(best[index], (time.perf_counter() - begin) * 1e6)
    return best


def _row(name: str, times: list[float]) -> None:
    percentiles = statistics.quantiles(times, n=100)
    shown = (percentiles[49], percentiles[98], max(times))
    print(name.ljust(42), *(f"{value:9.1f}" for value in shown))


@contextmanager
def _no_collection() -> Iterator[None]:
    """A collection of garbage in the middle of a call is not the call's."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


if __name__ == "__main__":
    main()
