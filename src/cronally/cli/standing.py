"""What people see of how a cron job stands: states in colours, its last firing, its health, and how its firings ended.

Invariant: what a server does not say, such as an older one, is not shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from rich.text import Text

from cronally.cli.layout import Column, cell, instant, stacked
from cronally.cli.output import printable
from cronally.cronjob import State as CronjobState
from cronally.firing import UNDELIVERED, State
from cronally.standing import Health

if TYPE_CHECKING:
    from cronally.client import Counts, Cronjob

_COLOURS: Final[Mapping[str, str]] = {
    CronjobState.ACTIVE: "green",
    CronjobState.PAUSED: "yellow",
    State.DELIVERED: "green",
    State.FAILED: "red",
    State.MISSED: "yellow",
    State.PENDING: "cyan",
    State.SENDING: "cyan",
    State.HELD: "yellow",
    Health.OK: "green",
    Health.FAILING: "red",
    Health.LATE: "yellow",
    Health.NEW: "cyan",
}
_APART: Final = timedelta(days=6)
"""Between the beginnings of the two spans that are counted, where all is counted."""


def coloured(word: str) -> Text:
    """A state or a health in its colour; one that a newer server has, without."""
    return Text(printable(word), style=_COLOURS.get(word, ""))


def short_health(cronjob: Cronjob) -> Text | None:
    """The health, and how many firings in a row say so, if they are several."""
    if cronjob.health is None:
        return None
    many = cronjob.in_a_row is not None and cronjob.in_a_row > 1
    return stacked(coloured(cronjob.health), f"{cronjob.in_a_row:,} times" if many else None)


def standing_columns(
    lasts: Sequence[Text | None], healths: Sequence[Text | None]
) -> tuple[list[Column], list[Column]]:
    """The columns of last firings and of healths; none where no cron job has any."""
    last = [Column("Last firing (UTC)", lasts)] if any(lasts) else []
    return last, [Column("Health", healths)] if any(healths) else []


def in_one_line(columns: Sequence[Column]) -> list[Column]:
    """Columns in whose cells the lines stand beside each other."""
    return [
        replace(column, cells=[Text(" ").join(cell(each).split("\n")) for each in column.cells])
        for column in columns
    ]


def whole_health(cronjob: Cronjob) -> Text | None:
    """The health in a line: `failing since 2026-11-30 07:05:00, 12 in a row`."""
    if cronjob.health is None:
        return None
    text = coloured(cronjob.health)
    if cronjob.health_since is not None:
        text.append(f" since {instant(cronjob.health_since, seconds=True)}")
    if cronjob.in_a_row is not None:
        text.append(f", {cronjob.in_a_row:,} in a row")
    return text


def short_last_firing(cronjob: Cronjob) -> Text | None:
    """When the last firing was to fire, and its state."""
    last = cronjob.last_firing
    return None if last is None else stacked(instant(last.scheduled_at), coloured(last.state))


def whole_last_firing(cronjob: Cronjob) -> Text | None:
    """The last firing in a line: `2026-11-30 08:00:00 failed (target_unavailable)`."""
    last = cronjob.last_firing
    if last is None:
        return None
    text = Text.assemble(instant(last.scheduled_at, seconds=True) or "", " ", coloured(last.state))
    if last.count > 1:
        text.append(f", {last.count:,} fire times")
    if last.reason is not None:
        text.append(f" ({printable(last.reason)})")
    elif last.lateness_ms is not None:
        text.append(f" after {last.lateness_ms:,} ms")
    return text


def counts_of(cronjob: Cronjob) -> list[tuple[str, str | None]]:
    """How the firings of the last 24 hours and 7 days ended, with their labels."""
    day, week = cronjob.counts_24h, cronjob.counts_7d
    if day is None or week is None:
        return []
    whole = day.since - week.since >= _APART
    return [
        ("Last 24 hours", _counted(day, whole or day.since > week.since)),
        ("Last 7 days", _counted(week, whole)),
    ]


def short_counts(counts: Counts) -> str:
    """`1,437 delivered, 3 failed`."""
    states = (State.DELIVERED, *UNDELIVERED)
    found = [f"{count:,} {state}" for state in states if (count := getattr(counts, state.value))]
    return ", ".join(found) or "none"


def _counted(counts: Counts, whole: bool) -> str:
    """`1,437 delivered, 3 failed`; and since when, if not the whole span was counted."""
    shown = short_counts(counts)
    return shown if whole else f"{shown}; counted since {instant(counts.since, seconds=True)}"
