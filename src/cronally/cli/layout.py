"""How tables are laid out, by Rich: what fits a terminal, and what a cell holds.

Invariant: what is in a cell is text, not markup and not terminal control; what is longer than its column goes on in the
next line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, Final

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from cronally.cli.output import printable

UNCUT: Final = 1000
"""Columns where no terminal sets the width."""
GAP: Final = 2
"""Columns between two of a table's."""

WRAPS: Final[dict[str, Any]] = {"no_wrap": False, "overflow": "fold"}
"""Of a column in which what is longer goes on in the next line, so that nothing is cut."""


def make_console(wide: bool = False) -> Console:
    """What tables are printed on; Rich reads COLUMNS and NO_COLOR.

    :param wide: as wide as a row needs, whatever the terminal
    """
    uncut = wide or (not sys.stdout.isatty() and "COLUMNS" not in os.environ)
    return Console(width=UNCUT if uncut else None, highlight=False, emoji=False, markup=False)


class _Table(Table):
    """A table whose columns do not wrap unless they say so."""

    def add_column(
        self, header: RenderableType = "", *args: Any, no_wrap: bool = True, **options: Any
    ) -> None:
        super().add_column(header, *args, no_wrap=no_wrap, **options)


def make_table() -> Table:
    """An empty table."""
    # One column of padding and one of the box are the gap.
    return _Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))


def add_row(table: Table, *cells: object) -> None:
    """Add a row; None is an empty cell."""
    table.add_row(*[cell(each) for each in cells])


def stacked(*lines: object) -> Text:
    """A cell of several lines, those after the first dimmed."""
    first, *others = [cell(line) for line in lines]
    return Text("\n").join([first, *[Text.assemble(other, style="dim") for other in others]])


def width_of(texts: Sequence[str], header: str, most: int) -> int:
    """The width of a column that holds the texts, if `most` allows."""
    return min(max([cell_len(printable(text)) for text in (header, *texts)]), most)


def print_pairs(pairs: Sequence[tuple[str, object]]) -> None:
    """Print labels and what belongs to them, without those that are None."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in pairs:
        if value is not None:
            table.add_row(label, cell(value))
    make_console().print(table)


def cell(value: object) -> Text:
    """What stands in a cell."""
    return value if isinstance(value, Text) else Text(printable("" if value is None else str(value)))
