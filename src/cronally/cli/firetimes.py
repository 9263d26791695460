"""`cronally next`: the fire times of an expression, computed on this machine.

Invariant: needs no server, no account and no network, and computes with the code that fires.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer

from cronally.cli import inputs
from cronally.cli.failure import Failure, WrongUsage, in_quotes
from cronally.cli.options import WideOption, with_options
from cronally.cli.output import print_json, print_lines
from cronally.clock.zones import UTC
from cronally.contract.schedules import PreviewOptions
from cronally.cronjob import MAX_EXPRESSIONS, Timing, join_expressions
from cronally.errors import InvalidExpression
from cronally.instants import format_iso

_CHOSEN: Final = ("dst_gap", "dst_overlap", "starts_at", "ends_at")


@with_options(PreviewOptions, defaults=True, without=frozenset({"count"}))
def next_(
    expressions: Annotated[
        list[str],
        typer.Argument(
            metavar="EXPRESSION...",
            help='In quotes, as "0 8 * * MON-FRI", "cron(0 10 ? * 2-6 *)" or "@every 90s". Of several, when any of them'
            " fires.",
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

    Intervals are counted from --after, as of a cron job that is created then, or from --starts-at.
    """
    try:
        _show(expressions, parameters, count, wide, json)
    except InvalidExpression as error:
        unquoted = in_quotes(expressions[0], "cronally next") if len(expressions) > 1 else None
        if unquoted is not None and not _is_read(expressions[0]):
            raise WrongUsage(unquoted) from None
        # The hint of the other commands is to try it out with this one.
        raise Failure(error.message) from None


def _is_read(text: str) -> bool:
    """Whether an argument is an expression, and not the first of the words that the shell made of one."""
    from cronally.cron import parse

    try:
        parse(text, "0")
    except InvalidExpression:
        return False
    return True


def _show(texts: Sequence[str], parameters: dict[str, Any], count: int, wide: bool, json: bool) -> None:
    from cronally.clock.exclusion import Exclusion
    from cronally.contract.previews import never_fires, preview_of, search
    from cronally.contract.reading import Reading
    from cronally.contract.stored_policies import stored_value
    from cronally.contract.writing import to_json
    from cronally.cron import parse_written
    from cronally.cron.hints import of_one

    if parameters["after"] is not None:
        inputs.check_instant(parameters["after"], "--after")
    now = time.time_ns() // 1000
    sent = {name: value for name, value in parameters.items() if value is not None}
    reading = Reading(PreviewOptions, sent)
    reading.raise_complaints()
    key, after = reading.values.get("id"), reading.values.get("after", now)
    if len(texts) > MAX_EXPRESSIONS:
        raise InvalidExpression(f"there are {len(texts)} expressions; give {MAX_EXPRESSIONS} at most")
    written: dict[str, None] = {}
    for text in texts:
        try:
            written[str(parse_written(text, key))] = None
        except InvalidExpression as problem:
            raise (of_one(problem, text) if len(texts) > 1 else problem) from None
    chosen = {name: stored_value(name, reading.values.get(name)) for name in _CHOSEN}
    timing = Timing(join_expressions(written), reading.values.get("timezone", UTC), **chosen)
    table = timing.timetable(key, after)
    # It costs nobody else anything.
    exclusion = Exclusion.of(reading.values.get("exclude"), {})
    excluded = None if exclusion is None else exclusion.within(table.zone)
    found = search(table, after, count, None, excluded)
    if not found.entries:
        idle = never_fires(timing, key, after, after)
        assert idle is not None  # noqa: S101 - the search has found nothing
        raise idle.error
    answer = preview_of(table, after, found)
    if json:
        print_json({"status": "success", "response": to_json(answer)})
    else:
        from cronally.cli.preview_tables import print_preview

        print_preview(answer.schedule, answer.notes, table.zone.name, found.entries, now, wide=wide)
        if found.until is not None:
            print_lines(f"There is more: --after {format_iso(found.until)}")
