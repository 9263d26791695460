"""A forecast for people: a chart of what lies ahead, and tables beneath it.

Invariant: as wide as the terminal, with characters that it has. A column of the chart is as high as the busiest step in
it, so that a herd in one minute is not levelled by the quiet ones beside it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

from cronally.cli.layout import Column, instant, make_console, print_table, span
from cronally.cli.output import printable
from cronally.instants import DAY, HOUR, MINUTE, from_datetime, parse_duration

if TYPE_CHECKING:
    from cronally.client import Forecast, SpreadGain

_HEIGHT: Final = 8
_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_ASCII_BLOCKS: Final = "    ####"
"""By how much of a character's height is filled, in eighths."""
_MOST_COLUMNS: Final = 120
_WIDTHS: Final = (
    *(MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 20 * MINUTE, 30 * MINUTE),
    *(HOUR, 2 * HOUR, 3 * HOUR, 4 * HOUR, 6 * HOUR),
)
"""How much time a column may stand for."""
_DISTANCES: Final = (
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    4 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
)
"""How far two labels below the chart may be from each other."""
_NAME_WIDTH: Final = 16
_HOST_WIDTH: Final = 24
_EXPRESSION_WIDTH: Final = 14


def print_forecast(forecast: Forecast) -> None:
    """Print a forecast."""
    console = make_console()
    begins, ends = instant(forecast.begins_at), instant(forecast.ends_at)
    _say(console, f"{_counted(forecast.firings, 'firing')} from {begins} to {ends} UTC.")
    if forecast.unreadable:
        what = "cron job is" if forecast.unreadable == 1 else "cron jobs are"
        _say(console, f"{forecast.unreadable:,} {what} left out: this server cannot read the schedule.")
    if not forecast.firings:
        return
    _print_chart(console, forecast)
    print_table(
        console,
        [
            Column("Host", [host.host or "all others" for host in forecast.hosts], _HOST_WIDTH),
            Column("Firings", [f"{host.firings:,}" for host in forecast.hosts], right=True),
            Column("Most in a second", [f"{host.peak:,}" for host in forecast.hosts], right=True),
        ],
    )
    _say(console, "")
    print_table(
        console,
        [
            Column("Busiest seconds (UTC)", [instant(one.at, seconds=True) for one in forecast.busiest]),
            Column("Host", [one.host for one in forecast.busiest], _HOST_WIDTH),
            Column("Firings", [f"{one.firings:,}" for one in forecast.busiest], right=True),
        ],
    )
    if forecast.spread is not None:
        _print_gain(console, forecast.spread)


def _print_gain(console: Console, gain: SpreadGain) -> None:
    named = gain.cronjobs
    _say(console, "")
    _say(
        console,
        f"At {instant(gain.at, seconds=True)} {gain.host} gets {_counted(gain.before, 'firing')} in one second. With H"
        f" in the expressions of {_counted(gain.cronjob_count, 'cron job')}, no second would have more than"
        f" {gain.after:,}.",
    )
    if not named:
        return
    _say(console, "")
    print_table(
        console,
        [
            Column("Id", [one.cronjob_id for one in named]),
            Column("Name", [one.name for one in named], _NAME_WIDTH),
            Column("Expression", [one.cron for one in named], 1),
            Column("Spread", [one.instead for one in named], 1),
        ],
    )
    if gain.cronjob_count > len(named):
        _say(console, f"And {gain.cronjob_count - len(named):,} more.")
    _say(console, "")
    _say(console, f"For one: cronally update {named[0].cronjob_id} --cron '{named[0].instead}'")


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _say(console: Console, text: str) -> None:
    console.print(Text(printable(text)))


# The chart


def _print_chart(console: Console, forecast: Forecast) -> None:
    blocks = _ASCII_BLOCKS if console.options.ascii_only else _BLOCKS
    corner, bar, line = "+|-" if console.options.ascii_only else "└│─"
    begins, ends = from_datetime(forecast.begins_at), from_datetime(forecast.ends_at)
    step = parse_duration(forecast.step)
    top = max(one.firings for one in forecast.steps)
    margin = len(f"{top:,}")
    room = min(console.width, _MOST_COLUMNS) - margin - 2
    width = next(
        (each for each in _WIDTHS if each >= step and -(-(ends - begins) // each) <= room), _WIDTHS[-1]
    )
    columns = [0] * -(-(ends - begins) // width)
    for one in forecast.steps:
        number = (from_datetime(one.at) - begins) // width
        columns[number] = max(columns[number], one.firings)
    _say(console, "")
    for row in reversed(range(_HEIGHT)):
        label = f"{top:,}" if row == _HEIGHT - 1 else ""
        drawn = "".join(_block(count, top, row, blocks) for count in columns)
        console.print(Text(f"{label:>{margin}} {bar}").append(drawn.rstrip(), style="cyan"), soft_wrap=True)
    console.print(Text(f"{'0':>{margin}} {corner}{line * len(columns)}"), soft_wrap=True)
    _say(console, " " * (margin + 2) + _labels(begins, ends, width, len(columns)))
    each = f"The busiest {_unit(step)} of each {_unit(width)}" if width > step else f"Each {_unit(step)}"
    _say(console, f"{each}, UTC.")
    _say(console, "")


def _unit(duration: int) -> str:
    return {MINUTE: "minute", HOUR: "hour"}.get(duration, span(duration))


def _block(count: int, top: int, row: int, blocks: str) -> str:
    """What is drawn of a column in a row, from 0 at the bottom. What is not 0 is seen."""
    eighths = -(-count * _HEIGHT * 8 // top) - row * 8
    if row == 0 and count:
        eighths = max(eighths, blocks.rfind(" ") + 1)
    return blocks[min(max(eighths, 0), len(blocks) - 1)]


def _labels(begins: int, ends: int, width: int, columns: int) -> str:
    """Times beneath the columns in which they lie."""
    distance = next(
        (each for each in _DISTANCES if each >= 9 * width and each * 12 >= ends - begins),
        _DISTANCES[-1],
    )
    line = ""
    at = -(-begins // distance) * distance
    while at < ends:
        place = (at - begins) // width
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)
        label = f"{moment:%m-%d}" if at % DAY == 0 else f"{moment:%H:%M}"
        if len(line) < place + (1 if not line else 0) + 1 and place + len(label) <= columns + 2:
            line = f"{line:{place}}{label}"
        at += distance
    return line
