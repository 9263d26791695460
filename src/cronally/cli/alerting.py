"""`cronally alerts`: what the account was told, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cronally.cli.calling import run
from cronally.cli.credentials import access
from cronally.cli.failure import WrongUsage
from cronally.cli.options import JsonOption, ProfileOption, WideOption, with_options
from cronally.contract.alerts import AlertPage

if TYPE_CHECKING:
    from cronally.client import Alert, Page


@with_options(AlertPage)
def alerts(
    alert: Annotated[
        str | None,
        typer.Argument(
            metavar="[ALERT]",
            help="The id of an alert: show that one, with all that became of it.",
            show_default=False,
        ),
    ] = None,
    *,
    parameters: dict[str, Any],
    wide: WideOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """List the alerts, newest first; or show one of them."""
    from cronally.client import calls

    if alert is not None:
        if any(value is not None for value in parameters.values()):
            raise WrongUsage("one alert is shown as it is: leave the filters out")
        run(access(profile), calls.get_alert(alert), json, _show)
        return

    def show(page: Page[Alert]) -> None:
        from cronally.cli.alert_tables import print_alerts

        print_alerts(page, wide=wide)

    run(access(profile), calls.list_alerts(parameters), json, show)


def _show(alert: Alert) -> None:
    from cronally.cli.alert_tables import print_alert

    print_alert(alert)
