"""What lies ahead: `forecast` draws the firings to come, `calendar` a month.

Invariant: a forecast is computed by the server, which knows every host; of all accounts by the operator's own process.
A calendar is computed on this machine from the list of cron jobs, with the code that fires, and counts instead of
walking: a cron job that fires every minute costs as much as another.
"""

from __future__ import annotations

import re
import time
from typing import Annotated, Any, Final

import typer

from cronally.cli.calling import client_of, run
from cronally.cli.credentials import access
from cronally.cli.failure import WrongUsage
from cronally.cli.meant import cronjob_id_of
from cronally.cli.options import CRONJOB, JsonOption, ProfileOption, with_options
from cronally.cli.output import print_json
from cronally.clock.zones import UTC
from cronally.contract.forecasts import DEFAULT_HOURS, ForecastRange
from cronally.instants import to_datetime

_MONTH: Final = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
_YEARS: Final = range(1970, 2200)


@with_options(ForecastRange)
def forecast(
    *,
    parameters: dict[str, Any],
    all_: Annotated[
        bool,
        typer.Option(
            "--all",
            help="For the operator: of all accounts, from the database in CRONALLY_DATABASE_URL; on SQLite stop the"
            " server first.",
        ),
    ] = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Show what lies ahead: firings, busy seconds, what to spread."""
    hours = parameters["hours"]
    if all_:
        if profile is not None:
            raise WrongUsage("--all asks no server: leave --profile out")
        from cronally.cli.operating import forecast_of_all
        from cronally.contract.writing import to_json

        answer = forecast_of_all(DEFAULT_HOURS if hours is None else hours)
        if json:
            print_json({"status": "success", "response": to_json(answer)})
        else:
            _print_forecast(answer)
        return
    from cronally.client import calls

    run(access(profile), calls.forecast(hours), json, _print_forecast)


def _print_forecast(answer: Any) -> None:
    from cronally.cli.charts import print_forecast

    print_forecast(answer)


def calendar(
    cronjob: Annotated[
        str | None,
        typer.Argument(
            metavar=f"[{CRONJOB}]",
            help="Of this cron job only: its id, its name, or the beginning of its id; by its own clock.",
            show_default=False,
        ),
    ] = None,
    month: Annotated[
        str | None,
        typer.Option(metavar="YYYY-MM", help="As 2026-12; this month by default.", show_default=False),
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(
            metavar="TIMEZONE",
            help="The IANA name of the time zone whose days are shown. Default: UTC, or the cron job's.",
            show_default=False,
        ),
    ] = None,
    profile: ProfileOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a month: what fires on which day, changes of the clock.

    It is what the schedules say now; of days that have passed, `cronally firings` shows what became of them.
    """
    from cronally.cli import months
    from cronally.clock import zones

    now = time.time_ns() // 1000
    year, number = _month(month, now)
    if timezone is not None:
        try:
            zones.zone(timezone)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--timezone") from None
    with client_of(access(profile)) as client:
        if cronjob is not None:
            one = client.cronjob(cronjob_id_of(client, cronjob))
            shown = months.Month(year, number, timezone or one.timezone)
            found = months.days_of([one], shown, now, months.Calendars(client).of)
        else:
            one = None
            shown = months.Month(year, number, timezone or UTC)
            every = client.iter_cronjobs()
            found = months.days_of(every, shown, now, months.Calendars(client).of)
    if json:
        print_json({"status": "success", "response": months.as_json(found, shown, one)})
    else:
        months.print_month(found, shown, one)


def _month(text: str | None, now: int) -> tuple[int, int]:
    if text is None:
        today = to_datetime(now)
        return today.year, today.month
    found = _MONTH.fullmatch(text)
    if found is None or int(found[1]) not in _YEARS:
        raise typer.BadParameter(
            f"{text!a} is no month from 1970-01 to 2199-12; write one as 2026-12", param_hint="--month"
        )
    return int(found[1]), int(found[2])
