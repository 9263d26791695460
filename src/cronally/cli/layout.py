"""How tables are laid out, by Rich: what fits a terminal, and what a cell holds.

Invariant: what is in a cell is text, not markup and not terminal control; what is longer than its column goes on in the
next line, so nothing is cut. Columns that do not wrap keep their width for as long as the others can give way.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cronally.cli.output import printable, say_more
from cronally.instants import DAY, HOUR, MINUTE, SECOND

if TYPE_CHECKING:
    from cronally.client import Page

UNCUT: Final = 1000
"""Columns where no terminal sets the width; more if a row is longer."""
GAP: Final = 2
"""Columns between two of a table's."""

Pairs = Sequence[tuple[str, object]]
"""Labels, and what belongs to them."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: what stands above it, and a cell for each row."""

    header: str
    cells: Sequence[object]
    least: int | None = None
    """The width that it may be wrapped to where there is no room; None: it never wraps."""
    right: bool = False

    def natural(self) -> int:
        """The width at which nothing wraps."""
        return max(_width(text) for text in (self.header, *self.cells))

    def narrowest(self) -> int:
        """The least width. A header wraps where the cells may."""
        return self.natural() if self.least is None else min(self.least, self.natural())


def make_console(wide: bool = False) -> Console:
    """What tables are printed on; Rich reads COLUMNS and NO_COLOR.

    :param wide: as wide as a row needs, whatever the terminal
    """
    uncut = wide or (not sys.stdout.isatty() and "COLUMNS" not in os.environ)
    return Console(width=UNCUT if uncut else None, highlight=False, emoji=False, markup=False)


def fits(console: Console, columns: Sequence[Column]) -> bool:
    """Whether a row has room, with what may wrap as narrow as it may be."""
    return console.width >= UNCUT or _total([each.narrowest() for each in columns]) <= console.width


def first_that_fits(console: Console, layouts: Sequence[Sequence[Column]]) -> Sequence[Column]:
    """The first layout that has room; else the last one."""
    return next((each for each in layouts if fits(console, each)), layouts[-1])


def print_table(console: Console, columns: Sequence[Column], beneath: Sequence[Pairs] | None = None) -> None:
    """Print columns side by side.

    :param beneath: for each row what is printed below it, if anything
    """
    if console.width >= UNCUT:
        console.width = max(UNCUT, _total([each.natural() for each in columns]))
    widths = _widths(columns, console.width)
    table = _table(columns, widths, header=True)
    for row, cells in enumerate(zip(*[each.cells for each in columns], strict=True)):
        table.add_row(*[cell(each) for each in cells])
        if beneath is not None and beneath[row]:
            # A table of its own has the same widths, and so goes on where this one ends.
            console.print(table)
            console.print(Padding(_grid(beneath[row]), (0, 0, 0, GAP), expand=False))
            table = _table(columns, widths, header=False)
    if table.rows or table.show_header:
        console.print(table)


def print_page(
    page: Page[Any],
    layouts: Sequence[Sequence[Column]],
    when_empty: str,
    beneath: Sequence[Pairs] | None = None,
    *,
    wide: bool = False,
) -> None:
    """Print a page of a list in the first layout that has room, and how to get the next page.

    :param when_empty: what is said of a list that holds nothing
    :param beneath: as in `print_table`
    :param wide: a line for each, however long
    """
    console = make_console(wide)
    if not page.items and page.next_cursor is None:
        console.print(when_empty)
        return
    print_table(console, first_that_fits(console, layouts), beneath)
    say_more(page.next_cursor)


def print_pairs(pairs: Pairs) -> None:
    """Print labels and what belongs to them, without those that are None."""
    console = make_console()
    if console.width >= UNCUT:
        labels, values = zip(*[(label, cell(value)) for label, value in pairs], strict=True)
        console.width = max(UNCUT, GAP + max(map(_width, labels)) + max(map(_width, values)))
    console.print(_grid(pairs))


def cell(value: object) -> Text:
    """What stands in a cell; None is an empty one."""
    return value if isinstance(value, Text) else Text(printable("" if value is None else str(value)))


def stacked(*lines: object) -> Text:
    """A cell of several lines, those after the first dimmed; None is no line."""
    first, *others = [cell(line) for line in lines if line is not None] or [Text()]
    return Text("\n").join([first, *[Text.assemble(other, style="dim") for other in others]])


def joined(*parts: str | None) -> str | None:
    """Those of these texts that there are, with spaces between them."""
    return " ".join([part for part in parts if part]) or None


def instant(moment: datetime | None, *, seconds: bool = False) -> str | None:
    """An instant in UTC: `2026-11-24 08:00`, with its seconds where it has some or they are asked for."""
    if moment is None:
        return None
    return f"{moment:%Y-%m-%d %H:%M:%S}" if seconds or moment.second else f"{moment:%Y-%m-%d %H:%M}"


def distance(microseconds: int) -> str:
    """How far off an instant is: `in 3 h 12 min`, `5 min ago`."""
    return f"{span(-microseconds)} ago" if microseconds < 0 else f"in {span(microseconds)}"


def span(microseconds: int) -> str:
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


def _widths(columns: Sequence[Column], room: int) -> list[int]:
    """A width for each column: the widest gives way first; those that never wrap only where nothing else is left."""
    widths = [min(each.natural(), room) for each in columns]
    for floors in ([each.narrowest() for each in columns], [1] * len(columns)):
        while _total(widths) > room:
            loose = [place for place, width in enumerate(widths) if width > floors[place]]
            if not loose:
                break
            widths[max(loose, key=lambda place: widths[place])] -= 1
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _width(text: object) -> int:
    return max(cell_len(line) for line in cell(text).plain.split("\n"))


def _table(columns: Sequence[Column], widths: Sequence[int], *, header: bool) -> Table:
    # One column of padding and one of the box are the gap.
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), show_header=header
    )
    for column, width in zip(columns, widths, strict=True):
        justify = "right" if column.right else "left"
        table.add_column(column.header, width=width, overflow="fold", justify=justify)  # type: ignore[arg-type]
    return table


def _grid(pairs: Pairs) -> Table:
    table = Table.grid(padding=(0, GAP))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in pairs:
        if value is not None:
            table.add_row(cell(label), cell(value))
    return table
