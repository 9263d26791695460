"""`cronally next`: the fire times of an expression, computed on this machine.

Invariant: needs no server, no account and no network, and computes with the code that fires.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from cronally.cli import inputs
from cronally.cli.failure import Failure
from cronally.cli.options import WideOption, with_options
from cronally.cli.output import print_json, print_lines
from cronally.clock.zones import UTC
from cronally.contract.schedules import PreviewOptions
from cronally.cronjob import Timing
from cronally.errors import InvalidExpression
from cronally.instants import format_iso


@with_options(PreviewOptions, defaults=True, without=frozenset({"count"}))
def next_(
    expression: Annotated[
        str,
        typer.Argument(
            metavar="EXPRESSION",
            help='In quotes, as "0 8 * * MON-FRI", "cron(0 10 ? * 2-6 *)" or "@every 90s".',
            show_default=False,
        ),
    ],
    *,
    parameters: dict[str, Any],
    count: Annotated[
        int, typer.Option(min=1, max=1000, metavar="N", help="How many fire times to show.")
    ] = 5,
    wide: WideOption = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show when an expression fires next; works offline.

    Intervals are counted from --after, as of a cron job that is created then.
    """
    try:
        _show(expression, parameters, count, wide, json)
    except InvalidExpression as error:
        # The hint of the other commands is to try it out with this one.
        raise Failure(error.message) from None


def _show(expression: str, parameters: dict[str, Any], count: int, wide: bool, json: bool) -> None:
    from cronally.clock.exclusion import Exclusion
    from cronally.contract.policies import stored_value
    from cronally.contract.previews import never_fires, preview_of, search
    from cronally.contract.reading import Reading
    from cronally.contract.writing import to_json
    from cronally.cron import parse_written

    if parameters["after"] is not None:
        inputs.check_instant(parameters["after"], "--after")
    now = time.time_ns() // 1000
    sent = {name: value for name, value in parameters.items() if value is not None}
    reading = Reading(PreviewOptions, sent)
    reading.raise_complaints()
    after = reading.values.get("after", now)
    chosen = {name: stored_value(name, reading.values.get(name)) for name in ("dst_gap", "dst_overlap")}
    timing = Timing(expression, reading.values.get("timezone", UTC), **chosen)
    parse_written(expression, reading.values.get("id"))
    table = timing.timetable(reading.values.get("id"), after)
    # It costs nobody else anything.
    exclusion = Exclusion.of(reading.values.get("exclude"), {})
    excluded = None if exclusion is None else exclusion.within(table.zone)
    found = search(table, after, count, None, excluded)
    if not found.entries:
        raise InvalidExpression(never_fires(table, after))
    answer = preview_of(table, after, found)
    if json:
        print_json({"status": "success", "response": to_json(answer)})
    else:
        from cronally.cli import tables

        tables.print_preview(answer.schedule, answer.notes, table.zone.name, found.entries, now, wide=wide)
        if found.until is not None:
            print_lines(f"There is more: --after {format_iso(found.until)}")
