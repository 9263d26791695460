"""`cronally next`: the fire times of an expression, computed on this machine.

Invariant: needs no server, no account and no network, and computes with the code that fires.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from cronally.cli.options import DstGapOption, DstOverlapOption, TimezoneOption
from cronally.cli.plain import print_json
from cronally.errors import InvalidExpression, InvalidRequest
from cronally.instants import parse_iso

if TYPE_CHECKING:
    from cronally.clock.timetable import Timetable


def next_(
    expression: Annotated[
        str,
        typer.Argument(
            help='In quotes, as "0 8 * * MON-FRI", "cron(0 10 ? * 2-6 *)" or "@every 90s".',
            show_default=False,
        ),
    ],
    timezone: TimezoneOption = None,
    after: Annotated[
        str | None,
        typer.Option(
            metavar="ISO", help="Show those after this instant, as 2026-11-24T08:00:00Z; default: now."
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many fire times to show.")] = 5,
    cronjob_id: Annotated[
        str | None,
        typer.Option(
            "--id", metavar="ID", help="The cron job's id, by which H is spread.", show_default=False
        ),
    ] = None,
    dst_gap: DstGapOption = None,
    dst_overlap: DstOverlapOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show when an expression fires next. Works offline.

    Intervals are counted from --after, as of a cron job that is created then.
    """
    from cronally.clock import preview_answer

    now = time.time_ns() // 1000
    try:
        start = now if after is None else parse_iso(after)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--after") from None
    table = _timetable(expression, timezone, dst_gap, dst_overlap, cronjob_id, start)
    entries = preview_answer.entries(table, start, count)
    if not entries:
        raise InvalidExpression(preview_answer.over(table, start))
    answer = preview_answer.preview_answer(table, start, entries)
    if json:
        print_json({"status": "success", "response": answer})
    else:
        from cronally.cli import screen

        screen.print_preview(answer["schedule"], table.zone.name, entries, now)


def _timetable(
    expression: str,
    timezone: str | None,
    dst_gap: str | None,
    dst_overlap: str | None,
    cronjob_id: str | None,
    anchor: int,
) -> Timetable:
    """The timetable of what was given. Raises InvalidExpression, and InvalidRequest for a zone that is none."""
    from cronally.clock import timetable, zones

    try:
        zone = zones.zone(zones.UTC if timezone is None else timezone).name
    except ValueError as error:
        raise InvalidRequest(f"{error}") from None
    gap, overlap = (None if chosen == "default" else chosen for chosen in (dst_gap, dst_overlap))
    return timetable.timetable(
        expression, zone, dst_gap=gap, dst_overlap=overlap, key=cronjob_id, anchor=anchor
    )


COMMANDS = (next_,)
