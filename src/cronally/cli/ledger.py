"""What became of fire times: `firings` lists the ledger, `why` explains one instant.

Invariant: both answer for a deleted cron job too; its ledger is the account's.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cronally.cli import inputs
from cronally.cli.calling import client_of, run_on, tables
from cronally.cli.credentials import access
from cronally.cli.meant import cronjob_id_of
from cronally.cli.options import CRONJOB, CronjobArgument, JsonOption, ProfileOption, WideOption, with_options
from cronally.cli.output import complain, print_json
from cronally.contract.firings import MAX_LIMIT_WITH_ATTEMPTS, FiringsOfCronjob
from cronally.errors import NotFound


@with_options(FiringsOfCronjob)
def firings(
    cronjob: Annotated[
        str | None,
        typer.Argument(
            metavar=f"[{CRONJOB}]",
            help="Of this cron job only: its id, its name, or the beginning of its id; of a deleted one"
            " its whole id.",
            show_default=False,
        ),
    ] = None,
    *,
    parameters: dict[str, Any],
    wide: WideOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Show the ledger, newest first: what fired or did not, and why."""
    from cronally.client import calls

    attempts = bool(parameters["attempts"])
    if parameters["attempts"] is None and (parameters["limit"] or 0) <= MAX_LIMIT_WITH_ATTEMPTS:
        parameters["attempts"] = True  # they hold what a target said
    with client_of(access(profile)) as client:
        cronjob_id = None if cronjob is None else cronjob_id_of(client, cronjob)
        call = calls.account_firings(parameters)
        if cronjob_id is not None:
            call = calls.firings(cronjob_id, parameters)
        try:
            envelope = client.exchange(call)
        except NotFound:
            # A deleted cron job is not found any more, but its ledger is the account's; none of its own is not found.
            envelope = client.exchange(calls.account_firings({"cronjob_id": cronjob_id, **parameters}))
            complain("note", f"the cron job {cronjob_id} is deleted; its ledger stays readable")
        if json:
            print_json(envelope)
        else:
            tables().print_firings(
                call.read(envelope), of_one=cronjob_id is not None, attempts=attempts, wide=wide
            )


def why(
    cronjob: CronjobArgument,
    instant: Annotated[
        str,
        typer.Argument(
            metavar="INSTANT", help="As 2026-11-24T08:00:00Z or with an offset.", show_default=False
        ),
    ],
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Explain why a cron job did or did not fire at an instant."""
    from cronally.client import calls

    inputs.check_instant(instant, "INSTANT")
    run_on(
        access(profile),
        cronjob,
        lambda cronjob_id: calls.explain(cronjob_id, instant),
        json,
        lambda tables, answer: tables.print_explanation(answer),
    )
