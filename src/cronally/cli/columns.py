"""The columns that a user chooses for a table of cron jobs: `cronally list --columns name,state,next_fire_at`.

Invariant: a column is named as the key of the API's answer, so that people and programs have one name for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cronally.contract.attribute import declared
from cronally.contract.cronjobs import Cronjob
from cronally.contract.standings import Counts, LastFiring
from cronally.contract.used_connections import UsedConnection

if TYPE_CHECKING:
    from cronally.cli.layout import Column

_LEAST: Final = 12
"""What a column of texts may be wrapped to."""

COUNTED: Final = frozenset({"counts_24h", "counts_7d"})
"""Columns that are there if they are asked for, and no sooner."""

ColumnsOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="Show these columns, named as the keys of the API's answer, as name,state,next_fire_at; with --json, these"
        " keys.",
        show_default=False,
    ),
]


def read_columns(text: str) -> list[str]:
    """The names in a text with commas between them. Raises typer.BadParameter."""
    known = declared(Cronjob)
    names = [name.strip() for name in text.split(",")]
    wrong = [name for name in names if name not in known]
    if wrong:
        message = f'"{wrong[0]}" is no column; there are {", ".join(known)}'
        raise typer.BadParameter(message, param_hint="--columns")
    return list(dict.fromkeys(names))


def chosen_columns(names: Sequence[str], cronjobs: Sequence[Cronjob]) -> list[Column]:
    """A column for each name. Ids and instants never wrap."""
    from cronally.cli.layout import Column

    known = declared(Cronjob)
    made = []
    for name in names:
        keeps_width = known[name].type is datetime or name.endswith("_id")
        cells = [_cell(getattr(each, name)) for each in cronjobs]
        made.append(Column(name, cells, None if keeps_width else max(_LEAST, len(name))))
    return made


def _cell(value: object) -> object:
    from cronally.cli.layout import instant
    from cronally.cli.standing import short_counts

    match value:
        case LastFiring():
            return f"{instant(value.scheduled_at, seconds=True)} {value.state}"
        case UsedConnection():
            return value.name
        case Counts():
            return short_counts(value)
        case datetime():
            return instant(value, seconds=True)
        case bool():
            return "yes" if value else "no"
        case tuple() | list():
            return ", ".join(map(str, value))
    return value
