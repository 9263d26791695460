"""What people see: tables, by Rich.

Invariant: ids and fire times are never cut, whatever the width; instants are UTC. What came from a server is
text, not markup and not terminal control.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.text import Text

from cronally.cli import firing_cells
from cronally.cli.aws_cells import aws_rows, aws_target
from cronally.cli.columns import chosen_columns
from cronally.cli.layout import (
    Column,
    Pairs,
    cell,
    distance,
    first_that_fits,
    instant,
    joined,
    make_console,
    print_pairs,
    print_table,
    stacked,
)
from cronally.cli.output import complain, printable
from cronally.cli.standing import (
    counts_of,
    in_one_line,
    short_health,
    short_last_firing,
    standing_columns,
    whole_health,
    whole_last_firing,
)
from cronally.contract.attribute import declared
from cronally.contract.aws import NAMING
from cronally.contract.connections import Health
from cronally.contract.policies import Policies
from cronally.cronjob import State as CronjobState
from cronally.firing import State as FiringState
from cronally.instants import to_datetime

if TYPE_CHECKING:
    from cronally.client import Account, Cronjob, Explanation, Firing, Page
    from cronally.clock.exclusion import LeftOut
    from cronally.clock.preview import FireTime, Suppressed

_ID_WIDTH: Final = 36
_SECOND_WIDTH: Final = len("2026-11-24 08:00:00")
_NAME_WIDTH: Final = 24
_EXPRESSION_WIDTH: Final = 13
_TARGET_WIDTH: Final = 20
_REASON_WIDTH: Final = 24
_MARK_WIDTH: Final = 12
"""What these columns may be wrapped to before a table is laid out otherwise."""

_USER: Final = re.compile("^[^/?#]*@")
"""What stands before the host of a URL without its scheme."""

_WITH_OTHERS: Final = frozenset({"dst_gap", "dst_overlap", "catch_up", "misfire_grace"})
"""Policies that share a line with others, or have one with another name."""

_COLOURS: Final[Mapping[str, str]] = {
    CronjobState.ACTIVE: "green",
    FiringState.DELIVERED: "green",
    FiringState.FAILED: "red",
    FiringState.MISSED: "yellow",
    FiringState.PENDING: "cyan",
    FiringState.SENDING: "cyan",
    FiringState.HELD: "yellow",
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
            ("Dead letters", account.dead_letters),
        ]
    )


def print_cronjob(cronjob: Cronjob) -> None:
    """Print everything about one cron job."""
    print_pairs(
        [
            ("Cron job", cronjob.cronjob_id),
            ("Name", cronjob.name),
            ("Tags", joined(*cronjob.tags)),
            ("Expression", _expressions(cronjob)),
            ("Time zone", cronjob.timezone),
            ("Schedule", cronjob.schedule),
            ("Changes of the clock", joined(*_policies(cronjob))),
            ("State", _state(cronjob.state)),
            ("Reason", cronjob.state_reason),
            ("Paused", instant(cronjob.paused_at, seconds=True)),
            ("Until", instant(cronjob.paused_until, seconds=True)),
            ("By API key", cronjob.paused_by),
            ("Note", cronjob.paused_note),
            ("Frozen until", instant(cronjob.frozen_until, seconds=True)),
            ("By freeze", cronjob.frozen_by),
            ("Next fire time (UTC)", instant(cronjob.next_fire_at, seconds=True)),
            ("Last firing (UTC)", whole_last_firing(cronjob, _last_state(cronjob))),
            ("Health", whole_health(cronjob)),
            *counts_of(cronjob),
            ("Target", _target(cronjob)),
            ("Secret parts", joined(*(cronjob.delivery_http_secret_parts or ()))),
            ("Headers", _headers(cronjob.delivery_http_headers)),
            ("Body", cronjob.delivery_http_body),
            ("Content type", cronjob.delivery_http_content_type),
            ("Success", _value(cronjob.delivery_http_success)),
            ("Keeps answers", cronjob.delivery_http_keep_answer),
            ("Request timeout", cronjob.delivery_http_timeout),
            ("Retry statuses", _value(cronjob.delivery_http_retry_statuses)),
            ("Refused statuses", _value(cronjob.delivery_http_refused_statuses)),
            ("Message", cronjob.sns_message),
            ("Connection", _connection(cronjob)),
            ("Subject", cronjob.sns_subject),
            ("Message structure", cronjob.sns_message_structure),
            ("Message attributes", cronjob.sns_attributes),
            ("Message group", cronjob.sns_group_id),
            ("Deduplication id", cronjob.sns_deduplication_id),
            ("AWS access key", cronjob.sns_access_key_id),
            *aws_rows(cronjob),
            ("Catch-up", joined(cronjob.catch_up, cronjob.misfire_grace)),
            *(
                (_label(name), _value(getattr(cronjob, name)))
                for name in declared(Policies)
                if name not in _WITH_OTHERS
            ),
            ("Retries", cronjob.retries),
            ("Fired", cronjob.fired),
            ("Created", instant(cronjob.created_at, seconds=True)),
            ("Changed", instant(cronjob.updated_at, seconds=True)),
            ("Test message", None if cronjob.verification is None else "delivered"),
        ]
    )


def _value(value: object) -> object:
    """The value of a policy; a list in one line, an empty one as none."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or None
    return instant(value, seconds=True) if isinstance(value, datetime) else value


def _expressions(cronjob: Cronjob) -> Text:
    """The expressions of a cron job, one a line."""
    several = [cronjob.cron] if isinstance(cronjob.cron, str) else cronjob.cron
    return Text("\n").join([cell(one) for one in several])


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def print_cronjobs(
    page: Page[Cronjob], *, wide: bool = False, filtered: bool = False, chosen: Sequence[str] = ()
) -> None:
    """Print a table of cron jobs, and how to get the next page.

    :param wide: a line for each, however long
    :param filtered: whether there may be others
    :param chosen: the keys whose columns are wanted; none: those that fit
    """
    console = make_console(wide)
    names = [cronjob.name for cronjob in page]
    ids = [cronjob.cronjob_id for cronjob in page]
    expressions = [_expressions(cronjob) for cronjob in page]
    # Where there is no next fire time, the state says why.
    fires = [
        instant(each.next_fire_at) if each.state in (None, CronjobState.ACTIVE) else _standing(each)
        for each in page
    ]
    whose = Column("Name, id", [stacked(*both) for both in zip(names, ids, strict=True)], _ID_WIDTH)
    expression = Column("Expression", expressions, _EXPRESSION_WIDTH)
    next_fire = Column("Next fire (UTC)", fires)
    target = Column("Target", [_short_target(each) for each in page], _TARGET_WIDTH)
    lasts = [short_last_firing(each, _last_state(each)) for each in page]
    healths = [short_health(each) for each in page]
    times = [stacked(*both) for both in zip(fires, lasts, strict=True)]
    all_ = [stacked(*each) for each in zip(expressions, fires, lasts, healths, strict=True)]
    last, health = standing_columns(lasts, healths)
    whole = [Column("Id", ids), Column("Name", names, _NAME_WIDTH), expression, next_fire]
    layouts: Sequence[Sequence[Column]] = (
        [*whole, *in_one_line([*last, *health]), target],
        [whose, expression, next_fire, *last, *health, target],
        [whose, expression, next_fire, *last, *health],
        [whose, expression, Column("Next, last (UTC)", times), *health],
        [whose, Column("Expression, next, last (UTC), health", all_, _SECOND_WIDTH)],
    )
    if chosen:
        layouts = [chosen_columns(chosen, page.items)]
    beneath = None if chosen else [counts_of(each) for each in page]
    none = "There are no cron jobs; `cronally add --help` says how to create one."
    when_empty = "No cron job is like that." if filtered else none
    _print_page(console, first_that_fits(console, layouts), page, when_empty, beneath)


def print_firings(
    page: Page[Firing],
    *,
    of_one: bool,
    attempts: bool = False,
    wide: bool = False,
    filtered: bool = False,
) -> None:
    """Print a table of firings, and how to get the next page.

    :param of_one: all are of one cron job, which the user named
    :param attempts: each with its attempts beneath it
    :param wide: a line for each, however long
    :param filtered: whether there may be others
    """
    console = make_console(wide)
    times = [firing_cells.fire_times(firing) for firing in page]
    names = [firing.cronjob_name or "" for firing in page]
    ids = [firing.cronjob_id for firing in page]
    whose = [stacked(*both) for both in zip(names, ids, strict=True)]
    time = Column("Fire time (UTC)", times)
    state = Column("State", [_state(firing.state) for firing in page])
    numbers = [
        Column("Tries", [firing.attempt for firing in page], right=True),
        Column("Late", [firing_cells.lateness(firing.lateness_ms) for firing in page], right=True),
    ]
    reasons = [firing_cells.why(firing) for firing in page]
    reason = Column("Reason", reasons, _REASON_WIDTH)
    said = [why or firing.message_id for why, firing in zip(reasons, page, strict=True)]
    message = Column("Reason or message id", said, _ID_WIDTH)
    firing_id = Column("Firing id", [firing.firing_id for firing in page])
    if of_one:
        kinds: list[list[Column]] = [[time]]
    else:
        beside = [time, Column("Name", names, _NAME_WIDTH), Column("Cron job", ids)]
        kinds = [beside, [time, Column("Cron job", whose, _ID_WIDTH)]]
    layouts = [
        [*kind, state, *numbers, *last] for kind in kinds for last in ([message, firing_id], [message])
    ]
    if of_one:
        narrow = [time]
    else:
        together = [Text.assemble(*parts) for parts in zip(times, ["\n"] * len(times), whose, strict=True)]
        narrow = [Column("Fire time (UTC)", together, _ID_WIDTH)]
    both = [stacked(*both) for both in zip(state.cells, reasons, strict=True)]
    layouts += [
        [*narrow, state, *numbers, reason],
        [*narrow, state, reason],
        [*narrow, Column("State, reason", both, 1)],
    ]
    beneath = [firing_cells.attempts(firing) for firing in page] if attempts else None
    columns = first_that_fits(console, layouts)
    none = "No firing is like that." if filtered else "The ledger holds no firings yet."
    _print_page(console, columns, page, none, beneath)


def print_explanation(explanation: Explanation) -> None:
    """Print the sentence of an explanation, and the row of the ledger that it comes from."""
    console = make_console()
    console.print(printable(explanation.sentence), soft_wrap=True)
    firing = explanation.firing
    local = None if explanation.local is None else explanation.local.replace("T", " ")
    pairs: list[tuple[str, object]] = [
        ("Asked", instant(explanation.at, seconds=True)),
        (f"In {explanation.timezone}", None if explanation.timezone == "UTC" else local),
    ]
    if firing is not None:
        pairs += [
            ("Ledger", firing_cells.fire_times(firing)),
            ("State", _state(firing.state)),
            ("Reason", firing_cells.why(firing)),
            ("Firing id", firing.firing_id),
            ("Message id", firing.message_id),
            *firing_cells.attempts(firing),
        ]
    print_pairs(pairs)


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


def _print_page(
    console: Console,
    columns: Sequence[Column],
    page: Page[Any],
    when_empty: str,
    beneath: Sequence[Pairs] | None = None,
) -> None:
    if not page.items and page.next_cursor is None:
        console.print(when_empty)
        return
    print_table(console, columns, beneath)
    if page.next_cursor is not None:
        complain("note", f"there is more: add --cursor {page.next_cursor}")


def _policies(cronjob: Cronjob) -> list[str]:
    """What was chosen for changes of the clock."""
    chosen = (("dst_gap", cronjob.dst_gap), ("dst_overlap", cronjob.dst_overlap))
    return [f"{name}={policy}" for name, policy in chosen if policy is not None]


def _state(state: str | None) -> Text | None:
    return None if state is None else Text(printable(state), style=_COLOURS.get(state, ""))


def _connection(cronjob: Cronjob) -> str | None:
    """The name of the connection that it uses, and how that is where its credentials are refused."""
    used = cronjob.connection
    if used is None:
        return None
    return used.name if used.health == Health.OK else f"{used.name} ({used.health})"


def _headers(headers: Mapping[str, str] | None) -> str | None:
    return "\n".join(f"{name}: {value}" for name, value in (headers or {}).items()) or None


def _last_state(cronjob: Cronjob) -> Text | None:
    return None if cronjob.last_firing is None else _state(cronjob.last_firing.state)


def _standing(cronjob: Cronjob) -> Text | None:
    """The state, and how long it lasts."""
    state, until = _state(cronjob.state), instant(cronjob.paused_until)
    return state if state is None or until is None else state.append(f" until\n{until}")


def _target(cronjob: Cronjob) -> str | None:
    if cronjob.delivery_type in NAMING:
        return aws_target(cronjob)
    if cronjob.delivery_http_url is not None:
        return joined((cronjob.delivery_http_method or "").upper() or None, cronjob.delivery_http_url)
    return cronjob.sns_topic


def _short_target(cronjob: Cronjob) -> str | None:
    """The topic's name, or the URL without its scheme and user, as the server shows it: secrets are hidden."""
    if cronjob.delivery_type in NAMING:
        return aws_target(cronjob)
    if cronjob.delivery_http_url is not None:
        rest = cronjob.delivery_http_url.partition("://")[2] or cronjob.delivery_http_url
        return _USER.sub("", rest)
    return None if cronjob.sns_topic is None else cronjob.sns_topic.rpartition(":")[2]
