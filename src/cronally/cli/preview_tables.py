"""What people see of fire times that lie ahead: a sentence, and a table of them.

Invariant: fire times are never cut, whatever the width. What is suppressed or excluded stands in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from cronally.cli.layout import (
    Column,
    distance,
    first_that_fits,
    instant,
    make_console,
    print_table,
    stacked,
)
from cronally.cli.output import printable
from cronally.instants import to_datetime

if TYPE_CHECKING:
    from cronally.clock.exclusion import LeftOut
    from cronally.clock.preview import FireTime, Suppressed

_MARK_WIDTH: Final = 12
"""What the column of marks may be wrapped to before the table is laid out otherwise."""


def print_preview(
    schedule: str | None,
    notes: Sequence[str],
    zone: str,
    entries: Sequence[FireTime | Suppressed | LeftOut],
    now: int,
    *,
    wide: bool = False,
) -> None:
    """Print the sentence, what is to be noted, and a table of fire times.

    What is suppressed or excluded stands in its place, without a distance.

    :param now: an instant: microseconds since 1970 UTC
    :param wide: a line for each, however long
    """
    from cronally.clock import exclusion, preview, sentence

    console = make_console(wide)
    console.print(printable(schedule or sentence.NONE))
    for note in notes:
        console.print(printable(f"Note: {note}"))
    times = [instant(to_datetime(entry.scheduled_at), seconds=True) for entry in entries]
    locals_ = [entry.local.replace("T", " ") for entry in entries]
    day = Column("Day", [f"{datetime.fromisoformat(entry.local):%a}" for entry in entries])
    away = [
        distance(entry.scheduled_at - now) if isinstance(entry, preview.FireTime) else "does not fire"
        for entry in entries
    ]
    others = [day, Column("From now", away)]
    # Where nothing has a mark there is no column of marks.
    marks = [_mark(entry) for entry in entries]
    if any(marks):
        excludes = any(isinstance(entry, exclusion.LeftOut) for entry in entries)
        others.append(Column("Why" if excludes else "Change of the clock", marks, _MARK_WIDTH))
    time, local = "Fire time (UTC)", f"In {zone}"
    layouts = [[Column(time, times), *others]]
    if zone != "UTC":
        least = max(map(len, locals_))  # the name of a zone may be longer
        both = [stacked(*both) for both in zip(times, locals_, strict=True)]
        layouts = [
            [Column(time, times), Column(local, locals_, least), *others],
            [Column(f"{time}\n{local}", both, least), *others],
        ]
    print_table(console, first_that_fits(console, layouts))


def _mark(entry: FireTime | Suppressed | LeftOut) -> str | None:
    """What a change of the clock, or a date, made of an entry: `moved from 02:30; dst_gap=run_at_jump`."""
    mark, why = getattr(entry, "mark", entry.reason), getattr(entry, "cause", entry.reason)
    if mark is None:
        return None
    said = str(mark)
    if (moved_from := getattr(entry, "instead_of", None)) is not None:
        said += f" from {_time_of(moved_from)}"
        if entry.count > 1:
            said += f" and {entry.count - 1} more"
    elif (until := getattr(entry, "until_local", None)) is not None and entry.count > 1:
        last = _time_of(until) if until[:10] == entry.local[:10] else until[:16].replace("T", " ")
        said += f", {entry.count} times up to {last}"
    return f"{said}; {why}"


def _time_of(local: str) -> str:
    """The time of day of a local time."""
    return datetime.fromisoformat(local).time().isoformat().removesuffix(":00")
