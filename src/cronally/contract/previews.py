"""Previews, made from a timetable: by the server, and by `cronally next` without one.

Invariant: `fire_times` holds fire times alone; what a change of the clock suppresses stands beside them, in
`suppressed`, and what is excluded in `excluded`, so that no reader takes it for a fire time.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from cronally.clock import zones
from cronally.clock.exclusion import Excluded, LeftOut, left_out
from cronally.clock.preview import FireTime, Steps, Suppressed, preview
from cronally.clock.sentence import sentence
from cronally.clock.timetable import Timetable
from cronally.contract import schedules
from cronally.contract.schedules import Preview
from cronally.contract.writing import make_answer
from cronally.cron import Interval, notes, parse
from cronally.cron.unix import spreads
from cronally.errors import InvalidExpression
from cronally.instants import MAX_INSTANT, format_iso, to_datetime

MAX_PASSED: Final = 1000
"""So many ranges of excluded dates are passed in search of one that fires, when a cron job is created or changed."""
MAX_STEPS: Final = 125
"""Of a search that a server makes for a client. The worst expressions take 40 to 70 µs a step."""


class Found(NamedTuple):
    """What a search found."""

    entries: list[FireTime | Suppressed | LeftOut]
    """In order."""
    until: int | None
    """None: all that was asked for. Else all up to this instant."""


def search(
    table: Timetable,
    after: int,
    count: int,
    most_steps: int | None = MAX_STEPS,
    excluded: Excluded | None = None,
) -> Found:
    """The next `count` fire times after an instant, and in their places what is suppressed or excluded before the last.

    It ends before more than `count` suppressed or excluded ones, as of an expression that is suppressed for ever, and
    when it has taken the steps that it may. What is suppressed between fire times that one entry excludes is left out.

    :param most_steps: None: as many as it needs
    """
    steps = None if most_steps is None else Steps(most_steps)
    entries: list[FireTime | Suppressed | LeftOut] = []
    left = {FireTime: count, Suppressed: count, LeftOut: count}
    for entry in _entries(table, after, steps, excluded):
        if not left[type(entry)]:
            return Found(entries, entry.scheduled_at - 1)
        entries.append(entry)
        left[type(entry)] -= 1
        # One more than is wanted is never asked for: it may be searched for to the end of time.
        if not left[FireTime]:
            return Found(entries, None)
    return Found(entries, None if steps is None else steps.until)


def _entries(
    table: Timetable, after: int, steps: Steps | None, excluded: Excluded | None
) -> Iterator[FireTime | Suppressed | LeftOut]:
    """What `preview` finds, with one entry for the fire times that one cause excludes."""
    passed: int | None = after
    while passed is not None:
        found, passed = preview(table, passed, steps), None
        for entry in found:
            segment = None if excluded is None else excluded.segment(entry.scheduled_at)
            if segment is None or segment.cause is None or isinstance(entry, Suppressed):
                yield entry
                continue
            yield left_out(table, entry.scheduled_at, segment)
            passed = segment.until - 1
            break


def preview_of(table: Timetable, after: int, found: Found) -> Preview:
    """The answer with what `search` found in a timetable after an instant."""
    gap, overlap = table.chosen
    fire_times = [_fire_time(entry) for entry in found.entries if isinstance(entry, FireTime)]
    suppressed = [
        make_answer(schedules.Suppressed, entry) for entry in found.entries if isinstance(entry, Suppressed)
    ]
    return Preview(
        expression=str(table.expression),
        timezone=table.zone.name,
        dst_gap=gap,
        dst_overlap=overlap,
        tzdata=zones.version(),
        schedule=sentence(table.expression, table.zone.name),
        notes=tuple(notes(table.expression)),
        after=to_datetime(after),
        fire_times=tuple(fire_times),
        suppressed=tuple(suppressed),
        excluded=tuple(
            [make_answer(schedules.Excluded, entry) for entry in found.entries if isinstance(entry, LeftOut)]
        ),
        complete=found.until is None,
        until=None if found.until is None else to_datetime(found.until),
    )


def _fire_time(entry: FireTime) -> schedules.FireTime:
    count = None if entry.instead_of is None else entry.count
    return make_answer(schedules.FireTime, entry, count=count)


def never_fires(table: Timetable, after: int) -> str | None:
    """Why nothing fires after an instant, as a complaint; None if something does."""
    if table.next(after) is not None:
        return None
    last = table.previous(after + 1)
    if last is not None:
        return (
            f'"{table.expression}" never fires: its last fire time was {format_iso(last)},'
            f" by the clock of {table.zone.name}; write a later one"
        )
    if isinstance(table.expression, Interval):
        return (
            f'"{table.expression}" never fires: its first fire time would not be before {format_iso(MAX_INSTANT)};'
            " write a shorter interval, or look from an earlier instant"
        )
    return (
        f'"{table.expression}" never fires: dst_gap={table.dst_gap} and dst_overlap={table.dst_overlap} leave out all'
        f" that it names in {table.zone.name}"
    )


def all_excluded(table: Timetable, after: int, excluded: Excluded) -> str | None:
    """Why nothing fires after an instant, as a complaint about what is excluded; None if something does, or may."""
    first = table.next(after)
    found, whole = excluded.first_included(table, first, MAX_PASSED)
    if first is None or found is not None or not whole:
        return None
    return "leaves nothing to fire: every fire time to come is excluded; leave out a date, or a calendar"


def schedule_of(text: str, zone: str, key: str) -> str | None:
    """The sentence for the expression of a cron job; None where there is none, or the expression cannot be read.

    :param key: the id of the cron job, which `H` is spread by
    """
    return _schedule(text, zone, key if spreads(text) else None)


@lru_cache(maxsize=4096)
def _schedule(text: str, zone: str, key: str | None) -> str | None:
    try:
        return sentence(parse(text, key), zone)
    except InvalidExpression:
        return None
