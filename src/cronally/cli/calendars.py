"""`cronally calendars`: the account's lists of dates, which cron jobs exclude.

Invariant: what a file holds is checked line by line before anything is sent, so that a complaint names the line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from cronally.cli import inputs
from cronally.cli.asking import confirm, may_ask
from cronally.cli.calling import client_of, run
from cronally.cli.credentials import access
from cronally.cli.failure import WrongUsage
from cronally.cli.options import JsonOption, ProfileOption, WideOption
from cronally.cli.output import print_json, print_lines

if TYPE_CHECKING:
    from cronally.client import Calendar, Page

_NAME_WIDTH: Final = 24
_SETTINGS: Final = {"help_option_names": ["--help", "-h"]}
NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="The name of the calendar.", show_default=False)
]

calendars = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=dict(_SETTINGS),
)


@calendars.callback(invoke_without_command=True)
def list_(
    context: typer.Context, wide: WideOption = False, profile: ProfileOption = None, json: JsonOption = False
) -> None:
    """List the account's calendars; set, show or delete one.

    A calendar is a list of dates; a cron job that excludes it does not fire on them (--exclude NAME).
    """
    from cronally.client import calls

    if context.invoked_subcommand is None:
        run(access(profile), calls.calendars(), json, lambda answer: _print(answer, wide))
    elif wide or profile is not None or json:
        raise WrongUsage(
            f"give options behind the command, as in: cronally calendars {context.invoked_subcommand}"
        )


@calendars.command("set", context_settings=dict(_SETTINGS))
def set_(
    name: NameArgument,
    dates: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DATE]...",
            help="As 2026-12-24, or 2026-12-24/2026-12-26 with both days.",
            show_default=False,
        ),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Read the dates from a file, one date or range a line; what follows a # is a comment; - is stdin.",
            show_default=False,
        ),
    ] = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Create a calendar, or replace all dates in it."""
    from cronally.client import calls

    if not dates and file is None:
        raise WrongUsage("no dates: give some, as 2026-12-24 or 2026-12-24/2026-12-26, or --file")
    listed = [*(dates or ()), *(() if file is None else inputs.read_dates(file, "--file"))]
    if file is not None and not listed:
        raise WrongUsage("--file: it holds no date; give one at least, or delete the calendar")
    with client_of(access(profile)) as client:
        call = calls.put_calendar(name, listed)
        envelope = client.exchange(call)
        if json:
            print_json(envelope)
            return
        put = call.read(envelope)
        print_lines(f"Calendar {put.name} {'created' if put.created else 'replaced'}: {_counted(put.count)}.")


@calendars.command("show", context_settings=dict(_SETTINGS))
def show(name: NameArgument, profile: ProfileOption = None, json: JsonOption = False) -> None:
    """Show a calendar with its dates, one a line."""
    from cronally.client import calls

    run(access(profile), calls.calendar(name), json, lambda answer: print_lines(*answer.dates or ()))


@calendars.command("delete", context_settings=dict(_SETTINGS))
def delete(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Delete a calendar that no cron job excludes."""
    from cronally.client import calls

    may_ask(yes)
    with client_of(access(profile)) as client:
        if not yes:
            found = client.calendar(name)
            confirm(f"Delete the calendar {name} ({_counted(found.count)})?")
        envelope = client.exchange(calls.delete_calendar(name))
        if json:
            print_json(envelope)
        else:
            print_lines(f"Calendar {name} deleted.")


def _print(page: Page[Calendar], wide: bool) -> None:
    from cronally.cli import layout

    if not page.items:
        print_lines("There are no calendars; `cronally calendars set --help` says how to create one.")
        return
    columns = [
        layout.Column("Name", [each.name for each in page], _NAME_WIDTH),
        layout.Column("Dates and ranges", [each.count for each in page], right=True),
        layout.Column("Changed (UTC)", [layout.instant(each.updated_at, seconds=True) for each in page]),
    ]
    layout.print_table(layout.make_console(wide), columns)


def _counted(count: int) -> str:
    return "1 date or range" if count == 1 else f"{count:,} dates and ranges"
