"""What people see: tables, by Rich.

Invariant: ids and fire times are never cut, whatever the width; instants are UTC. What came from a server is
text, not markup and not terminal control.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cronally.cli.layout import (
    GAP,
    UNCUT,
    WRAPS,
    add_row,
    make_console,
    make_table,
    print_pairs,
    stacked,
    width_of,
)
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
_EXPRESSION_WIDTH: Final = 30
_STACKED: Final = 132
"""Columns below which a cron job's name and id share a column of the list."""
_NARROW: Final = 76
"""Columns below which its expression and next fire time do so too, and a firing's tries and lateness are left out."""
_WIDE: Final = 110
"""Columns from which a firing's cron job has a column of its own."""

_AT_ID: Final[dict[str, Any]] = {**WRAPS, "width": _ID_WIDTH}
"""Of a column for names with ids."""

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
    print_pairs(
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
    print_pairs(
        [
            ("Cron job", cronjob.cronjob_id),
            ("Name", cronjob.name),
            ("Expression", cronjob.cron),
            ("Time zone", cronjob.timezone),
            ("Schedule", cronjob.schedule),
            ("Changes of the clock", _joined(*_policies(cronjob))),
            ("State", _state(cronjob.state)),
            ("Reason", cronjob.state_reason),
            ("Paused", _instant(cronjob.paused_at, seconds=True)),
            ("Until", _instant(cronjob.paused_until, seconds=True)),
            ("By API key", cronjob.paused_by),
            ("Note", cronjob.paused_note),
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
            ("Test message", None if cronjob.verification is None else "delivered"),
        ]
    )


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def print_cronjobs(page: Page[Cronjob], *, wide: bool = False, filtered: bool = False) -> None:
    """Print a table of cron jobs, and how to get the next page.

    :param wide: a line for each, however long
    :param filtered: whether there may be others
    """
    console = make_console(wide)
    apart, narrow = console.width >= _STACKED, console.width < _NARROW
    table = make_table()
    room = console.width - (0 if apart else _ID_WIDTH + GAP) - (0 if narrow else _MINUTE_WIDTH + GAP)
    most = room if console.width >= UNCUT else min(_EXPRESSION_WIDTH, max(_MINUTE_WIDTH, room))
    expression = width_of([cronjob.cron for cronjob in page], "Expression", most)
    if apart:
        left = room - _ID_WIDTH - expression - 3 * GAP - _TARGET_WIDTH
        name = width_of([cronjob.name for cronjob in page], "Name", left)
        table.add_column("Id", width=_ID_WIDTH)
        table.add_column("Name", width=name, **WRAPS)
    else:
        table.add_column("Name, id", width=_ID_WIDTH, **WRAPS)
    if narrow:
        table.add_column("Expression, next fire (UTC)", width=room, **WRAPS)
    else:
        table.add_column("Expression", width=expression, **WRAPS)
        table.add_column("Next fire (UTC)", width=_MINUTE_WIDTH)
    if apart:
        table.add_column("Target", **WRAPS)
    for cronjob in page:
        # Where there is no next fire time, the state says why.
        awake = cronjob.state in (None, CronjobState.ACTIVE)
        fires = _instant(cronjob.next_fire_at) if awake else _standing(cronjob)
        whose = stacked(cronjob.name, cronjob.cronjob_id)
        if apart:
            add_row(table, cronjob.cronjob_id, cronjob.name, cronjob.cron, fires, _short_target(cronjob))
        elif narrow:
            add_row(table, whose, stacked(cronjob.cron, fires))
        else:
            add_row(table, whose, cronjob.cron, fires)
    none = "There are no cron jobs; `cronally add --help` says how to create one."
    _print_page(console, table, page, "No cron job is like that." if filtered else none)


def print_firings(page: Page[Firing], *, of_one: bool, wide: bool = False) -> None:
    """Print a table of firings, and how to get the next page.

    :param of_one: all are of one cron job, which the user named
    :param wide: a line for each, however long
    """
    console = make_console(wide)
    in_one = not of_one and console.width < _WIDE
    beside = not of_one and console.width >= UNCUT
    numbers = not in_one and console.width >= _NARROW
    taken = [_ID_WIDTH] if in_one else [_SECOND_WIDTH, *([] if of_one else [_ID_WIDTH])]
    taken += [len(FiringState.DELIVERED), *([len("Tries"), len("12 min 34 s")] if numbers else [])]
    room = console.width - sum(taken) - GAP * len(taken)
    messages = room >= _ID_WIDTH
    firing_ids = room >= _ID_WIDTH + GAP + _ID_WIDTH
    table = make_table()
    table.add_column("Fire time (UTC)", min_width=taken[0], **(_AT_ID if in_one else {}))
    if beside:
        table.add_column("Name")
    if not of_one and not in_one:
        table.add_column("Cron job", **_AT_ID)
    table.add_column("State")
    if numbers:
        table.add_column("Tries", justify="right")
        table.add_column("Late", justify="right")
    table.add_column("Reason or message id" if messages else "Reason", **WRAPS)
    if firing_ids:
        table.add_column("Firing id", min_width=_ID_WIDTH)
    for firing in page:
        when = _fire_times(firing)
        name = firing.cronjob_name or ""
        whose = stacked(name, firing.cronjob_id)
        cells: list[object] = [Text.assemble(when, "\n", whose) if in_one else when]
        if beside:
            cells += [name, firing.cronjob_id]
        elif not of_one and not in_one:
            cells.append(whose)
        cells.append(_state(firing.state))
        if numbers:
            cells += [firing.attempt, _lateness(firing.lateness_ms)]
        cells.append(_why(firing) or (firing.message_id if messages else None))
        if firing_ids:
            cells.append(firing.firing_id)
        add_row(table, *cells)
    _print_page(console, table, page, "The ledger holds no firings yet.")


def print_explanation(explanation: Explanation) -> None:
    """Print the sentence of an explanation, and the row of the ledger that it comes from."""
    console = make_console()
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
    print_pairs(pairs)


def print_preview(
    schedule: str | None, notes: Sequence[str], zone: str, entries: Sequence[FireTime | Suppressed], now: int
) -> None:
    """Print the sentence, what is to be noted, and a table of fire times.

    What is suppressed stands in its place, without a distance.

    :param now: an instant: microseconds since 1970 UTC
    """
    from cronally.clock import preview, sentence

    console = make_console()
    console.print(printable(schedule or sentence.NONE))
    for note in notes:
        console.print(printable(f"Note: {note}"))
    # Where nothing has a mark there is no column of marks.
    marked = any(entry.mark for entry in entries)
    table = make_table()
    table.add_column("Fire time (UTC)")
    if zone != "UTC":
        table.add_column(f"In {zone}")
    table.add_column("Day")
    table.add_column("From now")
    if marked:
        table.add_column("Change of the clock", **WRAPS)
    for entry in entries:
        cells: list[object] = [_instant(to_datetime(entry.scheduled_at), seconds=True)]
        if zone != "UTC":
            cells.append(entry.local.replace("T", " "))
        fires = isinstance(entry, preview.FireTime)
        cells.append(f"{datetime.fromisoformat(entry.local):%a}")
        cells.append(distance(entry.scheduled_at - now) if fires else "does not fire")
        if marked:
            cells.append(_mark(entry))
        add_row(table, *cells)
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


def _print_page(console: Console, table: Table, page: Page[Any], when_empty: str) -> None:
    if not page.items and page.next_cursor is None:
        console.print(when_empty)
        return
    console.print(table)
    if page.next_cursor is not None:
        complain("note", f"there is more: add --cursor {page.next_cursor}")


def _policies(cronjob: Cronjob) -> list[str]:
    """What was chosen for changes of the clock."""
    chosen = (("dst_gap", cronjob.dst_gap), ("dst_overlap", cronjob.dst_overlap))
    return [f"{name}={policy}" for name, policy in chosen if policy is not None]


def _state(state: str | None) -> Text | None:
    return None if state is None else Text(printable(state), style=_COLOURS.get(state, ""))


def _standing(cronjob: Cronjob) -> Text | None:
    """The state, and how long it lasts."""
    state, until = _state(cronjob.state), _instant(cronjob.paused_until)
    return state if state is None or until is None else state.append(f" until\n{until}")


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
