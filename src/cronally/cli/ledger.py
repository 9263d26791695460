"""What became of fire times: `firings` lists the ledger, `why` explains one instant.

Invariant: both answer for a deleted cron job too; its ledger is the account's.
"""

from __future__ import annotations

from typing import Annotated

import typer

from cronally.cli.calling import client_of, run, tables
from cronally.cli.credentials import access
from cronally.cli.options import CronjobArgument, CursorOption, JsonOption, LimitOption, ProfileOption
from cronally.cli.plain import print_json
from cronally.errors import InvalidRequest, NotFound


def firings(
    cronjob_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Of this cron job only.", show_default=False)
    ] = None,
    limit: LimitOption = None,
    cursor: CursorOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Show the ledger, newest first: what fired, what did not, and why."""
    from cronally.client import calls

    with client_of(access(profile)) as client:
        call = calls.account_firings(None, limit, cursor)
        if cronjob_id is not None:
            call = calls.firings(cronjob_id, limit, cursor)
        try:
            envelope = client.exchange(call)
        except NotFound:
            # A deleted cron job is not found any more, but its ledger is the account's.
            try:
                envelope = client.exchange(calls.account_firings(cronjob_id, limit, cursor))
            except InvalidRequest:  # it never was an id
                envelope = {}
            if not envelope.get("response"):
                raise
        if json:
            print_json(envelope)
        else:
            tables().print_firings(call.read(envelope), of_one=cronjob_id is not None)


def why(
    cronjob_id: CronjobArgument,
    instant: Annotated[
        str,
        typer.Argument(
            metavar="INSTANT", help="As 2026-11-24T08:00:00Z or with an offset.", show_default=False
        ),
    ],
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Tell why a cron job did or did not fire at an instant."""
    from cronally.client import calls
    from cronally.instants import parse_iso

    try:
        parse_iso(instant)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="INSTANT") from None
    run(
        access(profile),
        calls.explain(cronjob_id, instant),
        json,
        lambda screen, answer: screen.print_explanation(answer),
    )


COMMANDS = (firings, why)
