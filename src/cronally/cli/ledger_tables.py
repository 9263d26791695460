"""What people see of the ledger: a table of firings, and why a cron job did or did not fire at an instant.

Invariant: ids and fire times are never cut, whatever the width; instants are UTC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from cronally.cli import firing_cells
from cronally.cli.layout import Column, instant, make_console, print_page, print_pairs, stacked
from cronally.cli.output import printable
from cronally.cli.standing import coloured

if TYPE_CHECKING:
    from cronally.client import Explanation, Firing, Page

_ID_WIDTH: Final = 36
_NAME_WIDTH: Final = 24
_REASON_WIDTH: Final = 24
"""What these columns may be wrapped to before a table is laid out otherwise."""


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
    times = [firing_cells.fire_times(firing) for firing in page]
    names = [firing.cronjob_name or "" for firing in page]
    ids = [firing.cronjob_id for firing in page]
    whose = [stacked(*both) for both in zip(names, ids, strict=True)]
    time = Column("Fire time (UTC)", times)
    state = Column("State", [_state(firing) for firing in page])
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
    beneath = (
        [[*firing_cells.attempts(firing), *firing_cells.acknowledgement(firing)] for firing in page]
        if attempts
        else None
    )
    none = "No firing is like that." if filtered else "The ledger holds no firings yet."
    print_page(page, layouts, none, beneath, wide=wide)


def _state(firing: Firing) -> Text:
    """Its state, and below it where its acknowledgement stands, if it is to have one."""
    said = firing_cells.ack(firing)
    return coloured(firing.state) if said is None else stacked(coloured(firing.state), said)


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
            ("State", coloured(firing.state)),
            ("Reason", firing_cells.why(firing)),
            ("Firing id", firing.firing_id),
            ("Message id", firing.message_id),
            *firing_cells.acknowledgement(firing),
            *firing_cells.attempts(firing),
        ]
    print_pairs(pairs)
