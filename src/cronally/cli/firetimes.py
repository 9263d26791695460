"""`cronally next`: the fire times of an expression, computed on this machine.

Invariant: needs no server, no account and no network, and computes with the code that fires.
"""

from __future__ import annotations

import time
from typing import Annotated

import typer

from cronally.cli.plain import print_json
from cronally.instants import format_iso, parse_iso


def next_(
    expression: Annotated[str, typer.Argument(help='In quotes, as "0 8 * * MON-FRI".', show_default=False)],
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many fire times to show.")] = 5,
    after: Annotated[
        str | None,
        typer.Option(
            metavar="ISO", help="Show those after this instant, as 2026-11-24T08:00:00Z; default: now."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show when an expression fires next. Works offline."""
    from cronally import cron

    now = time.time_ns() // 1000
    try:
        start = now if after is None else parse_iso(after)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--after") from None
    parsed = cron.expression(expression)
    times: list[int] = []
    following = parsed.next(start)
    while following is not None and len(times) < count:
        times.append(following)
        following = parsed.next(following)
    if json:
        fire_times = [{"scheduled_at": format_iso(instant)} for instant in times]
        response = {"expression": parsed.text, "timezone": "UTC", "fire_times": fire_times}
        print_json({"status": "success", "response": response})
    else:
        from cronally.cli import screen

        screen.print_fire_times(times, now)


COMMANDS = (next_,)
