"""A preview as every face answers with it: the API's JSON, and `cronally next --json` offline.

Invariant: `fire_times` holds fire times alone, each with `scheduled_at` in UTC and `local`; what a change of the clock
suppresses stands beside them, in `suppressed`. A mark is absent where there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

from cronally.clock import zones
from cronally.clock.preview import FireTime, Suppressed, preview
from cronally.clock.sentence import sentence
from cronally.clock.timetable import Timetable
from cronally.cron import parse
from cronally.cron.unix import spreads
from cronally.errors import InvalidExpression
from cronally.instants import format_iso

Json = dict[str, Any]
Entry = FireTime | Suppressed


def entries(timetable: Timetable, after: int, count: int) -> list[Entry]:
    """The next `count` fire times after an instant, and in their places what is suppressed before the last of them.

    At most `count` suppressed ones, and it ends after twice `count` entries: of an expression that is suppressed for
    ever, too.
    """
    taken: list[Entry] = []
    left = {FireTime: count, Suppressed: count}
    # Never to ask for one more than is wanted: who foretells the last one searches to the end of time.
    for entry in islice(preview(timetable, after), 2 * count):
        if left[type(entry)]:
            taken.append(entry)
            left[type(entry)] -= 1
        if not left[FireTime]:
            break
    return taken


def preview_answer(timetable: Timetable, after: int, found: Sequence[Entry]) -> Json:
    """What a timetable is, and the entries that `entries` found after an instant."""
    gap, overlap = timetable.chosen
    return {
        "expression": str(timetable.expression),
        "timezone": timetable.zone.name,
        "dst_gap": gap,
        "dst_overlap": overlap,
        "tzdata": zones.version(),
        "schedule": sentence(timetable.expression, timetable.zone.name),
        "after": format_iso(after),
        "fire_times": [fire_time_answer(entry) for entry in found if isinstance(entry, FireTime)],
        "suppressed": [suppressed_answer(entry) for entry in found if isinstance(entry, Suppressed)],
    }


def fire_time_answer(entry: FireTime) -> Json:
    """A fire time; `instead_of` and `count` only if it was moved."""
    answer: Json = {"scheduled_at": format_iso(entry.scheduled_at), "local": entry.local}
    if entry.mark is not None:
        answer |= {"mark": entry.mark, "reason": entry.reason}
    if entry.instead_of is not None:
        answer |= {"instead_of": entry.instead_of, "count": entry.count}
    return answer


def suppressed_answer(entry: Suppressed) -> Json:
    """What one change of the clock suppresses."""
    return {
        "scheduled_at": format_iso(entry.scheduled_at),
        "until_at": format_iso(entry.until_at),
        "local": entry.local,
        "until_local": entry.until_local,
        "count": entry.count,
        "mark": entry.mark,
        "reason": entry.reason,
    }


def over(table: Timetable, after: int) -> str | None:
    """Why nothing fires after an instant, as a complaint; None if something does."""
    if table.next(after) is not None:
        return None
    last = table.previous(after + 1)
    if last is not None:
        return (
            f'"{table.expression}" never fires: its last fire time was {format_iso(last)},'
            f" by the clock of {table.zone.name}; write a later one"
        )
    gap, overlap = table.dst_gap, table.dst_overlap
    return (
        f'"{table.expression}" never fires: dst_gap={gap} and dst_overlap={overlap} leave out all that it names in'
        f" {table.zone.name}"
    )


def schedule_of(text: str, zone: str, key: str) -> str | None:
    """The sentence for a cron job's expression; None where there is none, or the expression cannot be read.

    :param key: the cron job's id, which `H` is spread by
    """
    return _schedule(text, zone, key if spreads(text) else None)


@lru_cache(maxsize=4096)
def _schedule(text: str, zone: str, key: str | None) -> str | None:
    try:
        return sentence(parse(text, key), zone)
    except InvalidExpression:
        return None
