"""What people see: tables, by Rich.

Invariant: ids and fire times are never cut, whatever the width; instants are UTC. What came from a server is
text, not markup and not terminal control.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from cronally.cli.output import complain, printable
from cronally.contract.attribute import declared
from cronally.contract.cronjobs import Policies
from cronally.cronjob import State as CronjobState
from cronally.firing import State as FiringState
from cronally.instants import DAY, HOUR, MINUTE, SECOND, to_datetime

if TYPE_CHECKING:
    from cronally.client import Account, Cronjob, Explanation, Firing, Page
    from cronally.clock.preview import FireTime, Suppressed

_ID_WIDTH: Final = 36
_MINUTE_WIDTH: Final = len("2026-11-24 08:00")
_SECOND_WIDTH: Final = len("2026-11-24 08:00:00")
_TARGET_WIDTH: Final = 24
_GAP: Final = 2

_WIDE: Final = 110
"""Columns from which an id has a column of its own; below, it stands in a second line."""

_PIPE_WIDTH: Final = 1000
"""Where no terminal sets the width, nothing needs to be cut."""

_WITH_OTHERS: Final = frozenset({"dst_gap", "dst_overlap", "catch_up", "misfire_grace"})
"""Policies that share a line with others, or have one with another name."""

_COLOURS: Final[Mapping[str, str]] = {
    CronjobState.ACTIVE: "green",
    FiringState.DELIVERED: "green",
    FiringState.FAILED: "red",
    FiringState.MISSED: "yellow",
    FiringState.PENDING: "cyan",
    FiringState.SENDING: "cyan",
    CronjobState.PAUSED: "yellow",
}


def print_account(account: Account, url: str, *, show_secret: bool) -> None:
    """Print an account and where it lives; its API secret only when asked for."""
    _print_pairs(
        [
            ("Account", account.account_id),
            ("Email", account.email),
            ("Server", url),
            ("API key", account.api_key),
            ("API secret", account.api_secret if show_secret else "hidden; --show-secret shows it"),
            ("Cron jobs", account.cronjob_count),
        ]
    )


def print_cronjob(cronjob: Cronjob) -> None:
    """Print everything about one cron job."""
    _print_pairs(
        [
            ("Cron job", cronjob.cronjob_id),
            ("Name", cronjob.name),
            ("Expression", cronjob.cron),
            ("Time zone", cronjob.timezone),
            ("Schedule", cronjob.schedule),
            ("Changes of the clock", _joined(*_policies(cronjob))),
            ("State", _state(cronjob.state)),
            ("Reason", cronjob.state_reason),
            ("Next fire time (UTC)", _instant(cronjob.next_fire_at, seconds=True)),
            ("Target", _target(cronjob)),
            ("Secret parts", _joined(*(cronjob.delivery_http_secret_parts or ()))),
            ("Message", cronjob.sns_message),
            ("AWS access key", cronjob.sns_access_key_id),
            ("Catch-up", _joined(cronjob.catch_up, cronjob.misfire_grace)),
            *(
                (_label(name), getattr(cronjob, name))
                for name in declared(Policies)
                if name not in _WITH_OTHERS
            ),
            ("Created", _instant(cronjob.created_at, seconds=True)),
            ("Changed", _instant(cronjob.updated_at, seconds=True)),
        ]
    )


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def print_cronjobs(page: Page[Cronjob]) -> None:
    """Print a table of cron jobs, and how to get the next page."""
    console = _console()
    wide = console.width >= _WIDE
    expression = _width([cronjob.cron for cronjob in page], "Expression", 40 if wide else 20)
    room = console.width - expression - _MINUTE_WIDTH - 2 * _GAP
    if wide:
        room -= _ID_WIDTH + 2 * _GAP + _TARGET_WIDTH
    name = _width([cronjob.name for cronjob in page], "Name", room)
    table = _table()
    if wide:
        table.add_column("Id", width=_ID_WIDTH)
    table.add_column("Name", overflow="ellipsis", width=name if wide else max(name, _ID_WIDTH))
    table.add_column("Expression", overflow="ellipsis", width=expression)
    table.add_column("Next fire (UTC)", width=_MINUTE_WIDTH)
    if wide:
        table.add_column("Target", overflow="ellipsis", max_width=room - name + _TARGET_WIDTH)
    for cronjob in page:
        # Where there is no next fire time, the state says why.
        fires = (
            _instant(cronjob.next_fire_at)
            if cronjob.state in (None, CronjobState.ACTIVE)
            else _state(cronjob.state)
        )
        if wide:
            _add(table, cronjob.cronjob_id, cronjob.name, cronjob.cron, fires, _short_target(cronjob))
        else:
            _add(table, _stacked(_cut(cronjob.name, name), cronjob.cronjob_id), cronjob.cron, fires)
    _print_page(console, table, page, "There are no cron jobs; `cronally add --help` says how to create one.")


def print_firings(page: Page[Firing], *, of_one: bool) -> None:
    """Print a table of firings, and how to get the next page.

    :param of_one: all are of one cron job, which the user named
    """
    console = _console()
    stacked = not of_one and console.width < _WIDE
    numbers = not stacked
    taken = [_ID_WIDTH] if stacked else [_SECOND_WIDTH, *([] if of_one else [_ID_WIDTH])]
    taken += [len(FiringState.DELIVERED), *([len("Tries"), len("12 min 34 s")] if numbers else [])]
    room = console.width - sum(taken) - _GAP * len(taken)
    messages = room >= _ID_WIDTH
    firing_ids = room >= _ID_WIDTH + _GAP + _ID_WIDTH
    table = _table()
    table.add_column("Fire time (UTC)", min_width=taken[0])
    if not of_one and not stacked:
        table.add_column("Cron job", min_width=_ID_WIDTH)
    table.add_column("State")
    if numbers:
        table.add_column("Tries", justify="right")
        table.add_column("Late", justify="right")
    table.add_column("Reason or message id" if messages else "Reason", no_wrap=False, overflow="fold")
    if firing_ids:
        table.add_column("Firing id", min_width=_ID_WIDTH)
    for firing in page:
        when = _fire_times(firing)
        cells: list[object] = [_stacked(when, firing.cronjob_id) if stacked else when]
        if not of_one and not stacked:
            cells.append(firing.cronjob_id)
        cells.append(_state(firing.state))
        if numbers:
            cells += [firing.attempt, _lateness(firing.lateness_ms)]
        cells.append(_why(firing) or (firing.message_id if messages else None))
        if firing_ids:
            cells.append(firing.firing_id)
        _add(table, *cells)
    _print_page(console, table, page, "The ledger holds no firings yet.")


def print_explanation(explanation: Explanation) -> None:
    """Print the sentence of an explanation, and the row of the ledger that it comes from."""
    console = _console()
    console.print(printable(explanation.sentence), soft_wrap=True)
    firing = explanation.firing
    local = None if explanation.local is None else explanation.local.replace("T", " ")
    pairs: list[tuple[str, object]] = [
        ("Asked", _instant(explanation.at, seconds=True)),
        (f"In {explanation.timezone}", None if explanation.timezone == "UTC" else local),
    ]
    if firing is not None:
        pairs += [
            ("Ledger", _fire_times(firing)),
            ("State", _state(firing.state)),
            ("Reason", _why(firing)),
            ("Firing id", firing.firing_id),
            ("Message id", firing.message_id),
            *[
                (
                    f"Attempt {attempt.attempt}",
                    _joined(_instant(attempt.started_at, seconds=True), attempt.outcome, attempt.detail),
                )
                for attempt in firing.attempts or ()
            ],
        ]
    _print_pairs(pairs)


def print_preview(
    schedule: str | None, zone: str, entries: Sequence[FireTime | Suppressed], now: int
) -> None:
    """Print the sentence and a table of fire times; what is suppressed stands in its place, without a distance.

    :param now: an instant: microseconds since 1970 UTC
    """
    from cronally.clock import preview, sentence

    console = _console()
    console.print(printable(schedule or sentence.NONE))
    # Where nothing has a mark there is no column of marks.
    marked = any(entry.mark for entry in entries)
    table = _table()
    table.add_column("Fire time (UTC)")
    if zone != "UTC":
        table.add_column(f"In {zone}")
    table.add_column("Day")
    table.add_column("From now")
    if marked:
        table.add_column("Change of the clock", no_wrap=False, overflow="fold")
    for entry in entries:
        cells: list[object] = [_instant(to_datetime(entry.scheduled_at), seconds=True)]
        if zone != "UTC":
            cells.append(entry.local.replace("T", " "))
        fires = isinstance(entry, preview.FireTime)
        cells.append(f"{datetime.fromisoformat(entry.local):%a}")
        cells.append(distance(entry.scheduled_at - now) if fires else "does not fire")
        if marked:
            cells.append(_mark(entry))
        _add(table, *cells)
    console.print(table)


def _mark(entry: FireTime | Suppressed) -> str | None:
    """What a change of the clock made of an entry: `moved from 02:30; dst_gap=run_at_jump`."""
    if entry.mark is None:
        return None
    said = str(entry.mark)
    if (moved_from := getattr(entry, "instead_of", None)) is not None:
        said += f" from {_time_of(moved_from)}"
        if entry.count > 1:
            said += f" and {entry.count - 1} more"
    elif (until := getattr(entry, "until_local", None)) is not None and entry.count > 1:
        said += f", {entry.count} times up to {_time_of(until)}"
    return f"{said}; {entry.reason}"


def _time_of(local: str) -> str:
    """The time of day of a local time."""
    return datetime.fromisoformat(local).time().isoformat().removesuffix(":00")


def _console() -> Console:
    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=_PIPE_WIDTH if piped else None, highlight=False, emoji=False, markup=False)


class _Table(Table):
    """A table whose columns do not wrap unless they say so."""

    def add_column(
        self, header: RenderableType = "", *args: Any, no_wrap: bool = True, **options: Any
    ) -> None:
        super().add_column(header, *args, no_wrap=no_wrap, **options)


def _table() -> Table:
    # One column of padding and one of the box are the gap.
    return _Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))


def _add(table: Table, *cells: object) -> None:
    table.add_row(*[_cell(cell) for cell in cells])


def _stacked(first: str | Text, second: str) -> Text:
    return Text.assemble(first, "\n", (printable(second), "dim"))


def _width(texts: Sequence[str], header: str, most: int) -> int:
    """The width of a column that holds the texts, if `most` allows."""
    return min(max([cell_len(printable(text)) for text in (header, *texts)]), most)


def _cut(text: str, width: int) -> Text:
    cell = Text(printable(text))
    cell.truncate(width, overflow="ellipsis")
    return cell


def _print_page(console: Console, table: Table, page: Page[Any], when_empty: str) -> None:
    if not page.items and page.next_cursor is None:
        console.print(when_empty)
        return
    console.print(table)
    if page.next_cursor is not None:
        complain("note", f"there is more: add --cursor {page.next_cursor}")


def _print_pairs(pairs: Sequence[tuple[str, object]]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in pairs:
        if value is not None:
            table.add_row(label, _cell(value))
    _console().print(table)


def _cell(value: object) -> Text:
    if isinstance(value, Text):
        return value
    return Text(printable("" if value is None else str(value)))


def _policies(cronjob: Cronjob) -> list[str]:
    """What was chosen for changes of the clock."""
    chosen = (("dst_gap", cronjob.dst_gap), ("dst_overlap", cronjob.dst_overlap))
    return [f"{name}={policy}" for name, policy in chosen if policy is not None]


def _state(state: str | None) -> Text | None:
    return None if state is None else Text(printable(state), style=_COLOURS.get(state, ""))


def _target(cronjob: Cronjob) -> str | None:
    if cronjob.delivery_http_url is not None:
        return _joined((cronjob.delivery_http_method or "").upper() or None, cronjob.delivery_http_url)
    return cronjob.sns_topic


def _short_target(cronjob: Cronjob) -> str | None:
    """The topic's name, or the URL's host."""
    if cronjob.delivery_http_url is not None:
        authority = cronjob.delivery_http_url.partition("://")[2].partition("/")[0].partition("?")[0]
        return authority.rpartition("@")[2] or cronjob.delivery_http_url
    return None if cronjob.sns_topic is None else cronjob.sns_topic.rpartition(":")[2]


def _joined(*parts: str | None) -> str | None:
    return " ".join([part for part in parts if part]) or None


def _instant(moment: datetime | None, *, seconds: bool = False) -> str | None:
    if moment is None:
        return None
    return f"{moment:%Y-%m-%d %H:%M:%S}" if seconds or moment.second else f"{moment:%Y-%m-%d %H:%M}"


def _fire_times(firing: Firing) -> Text:
    text = Text(_instant(firing.scheduled_at, seconds=True) or "")
    if firing.until_at is not None:
        text.append(f"\nto {_instant(firing.until_at)}")
    return text


def _why(firing: Firing) -> str | None:
    """The reason, with what the target said at the last attempt."""
    if firing.until_at is not None:
        return f"{firing.count} fire times: {firing.reason}"
    last = firing.attempts[-1] if firing.attempts else None
    if firing.reason is None or last is None or last.reason != firing.reason or last.detail is None:
        return firing.reason
    return f"{firing.reason}: {last.detail}"


def _lateness(milliseconds: float | None) -> str | None:
    if milliseconds is None:
        return None
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    return _span(int(milliseconds * 1000))


def distance(microseconds: int) -> str:
    """How far off an instant is: `in 3 h 12 min`, `5 min ago`."""
    return f"{_span(-microseconds)} ago" if microseconds < 0 else f"in {_span(microseconds)}"


def _span(microseconds: int) -> str:
    """A duration in its two largest units: `3 h 12 min`."""
    units = ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s"))
    for position, (size, name) in enumerate(units):
        if microseconds >= size:
            count, rest = divmod(microseconds, size)
            if position + 1 < len(units):
                smaller, smaller_name = units[position + 1]
                if rest >= smaller:
                    return f"{count} {name} {rest // smaller} {smaller_name}"
            return f"{count} {name}"
    return "0 s"
