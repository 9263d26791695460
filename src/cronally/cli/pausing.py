"""Whether cron jobs fire: `pause`, `resume` and `delete`, of one cron job or of all that filters select."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cronally.cli import inputs, many
from cronally.cli.asking import confirm, may_ask
from cronally.cli.calling import client_of, run_on, show_cronjob
from cronally.cli.credentials import access
from cronally.cli.many import with_filters
from cronally.cli.meant import cronjob_id_of
from cronally.cli.options import (
    AllOption,
    DryRunOption,
    JsonOption,
    OneOfManyArgument,
    ProfileOption,
    YesOption,
)
from cronally.cli.output import print_json, print_lines


@with_filters
def pause(
    cronjob: OneOfManyArgument = None,
    note: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why, for people.", show_default=False)
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="INSTANT|DURATION",
            help="When it resumes by itself, as 2026-11-24T08:00:00Z, or how long it is paused, as 2h. Without it, it"
            " stays paused until it is resumed.",
            show_default=False,
        ),
    ] = None,
    *,
    filters: dict[str, Any],
    everything: AllOption = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Let cron jobs stand still; what falls due then is skipped.

    One that is paused gets this note and this end.
    """
    from cronally.client import calls

    selecting = many.selection(cronjob, filters, everything, dry_run)
    parameters = {"note": note, "until": until and inputs.instant_or_duration(until, "--until")}
    if selecting is not None:
        many.do(access(profile), "pause", selecting, parameters, dry_run=dry_run, yes=yes, json=json)
        return
    run_on(
        access(profile),
        cronjob or "",
        lambda cronjob_id: calls.pause_cronjob(cronjob_id, parameters),
        json,
        show_cronjob,
    )


@with_filters
def resume(
    cronjob: OneOfManyArgument = None,
    *,
    filters: dict[str, Any],
    everything: AllOption = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Let paused cron jobs fire again, from the next fire time on."""
    from cronally.client import calls

    selecting = many.selection(cronjob, filters, everything, dry_run)
    if selecting is not None:
        many.do(access(profile), "resume", selecting, {}, dry_run=dry_run, yes=yes, json=json)
        return
    run_on(
        access(profile),
        cronjob or "",
        calls.resume_cronjob,
        json,
        show_cronjob,
    )


@with_filters
def delete(
    cronjob: OneOfManyArgument = None,
    *,
    filters: dict[str, Any],
    everything: AllOption = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Delete cron jobs; their ledger stays readable."""
    from cronally.client import calls

    selecting = many.selection(cronjob, filters, everything, dry_run)
    if selecting is not None:
        many.do(access(profile), "delete", selecting, {}, dry_run=dry_run, yes=yes, json=json)
        return
    may_ask(yes)
    with client_of(access(profile)) as client:
        cronjob_id = cronjob_id_of(client, cronjob or "")
        if not yes:
            found = client.cronjob(cronjob_id)
            when = found.cron if isinstance(found.cron, str) else ", ".join(found.cron)
            confirm(f"Delete the cron job {found.name!r} ({when}; {cronjob_id})?")
        call = calls.delete_cronjob(cronjob_id)
        envelope = client.exchange(call)
        if json:
            print_json(envelope)
        else:
            print_lines(
                f"Cron job {call.read(envelope).name!r} deleted.",
                f"Its ledger: cronally firings {cronjob_id}",
            )
