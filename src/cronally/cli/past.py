"""`replay` and `backfill`: what has ended goes once more, and what was left out is made up for.

Invariant: without `--yes` nothing is done to more than one firing that a user at a terminal has not said yes to, having
read how many it is for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from cronally.cli import asking, inputs
from cronally.cli.calling import client_of
from cronally.cli.credentials import Profile, access
from cronally.cli.failure import Failure, WrongUsage
from cronally.cli.meant import cronjob_id_of
from cronally.cli.options import (
    CronjobArgument,
    JsonOption,
    ProfileOption,
    UntilOption,
    YesOption,
    moment,
    with_options,
)
from cronally.cli.output import print_json, print_lines
from cronally.cli.watching import ended, watch
from cronally.contract.replays import BackfillOptions, ReplayOptions
from cronally.contract.writing import to_json
from cronally.instants import format_iso, from_datetime

if TYPE_CHECKING:
    from cronally.client import BackfillTrial, Client, Operation, ReplayTrial
    from cronally.client.calls import Call

T = TypeVar("T")

_TrialOption = Annotated[bool, typer.Option("--dry-run", help="Change nothing, and show what would be done.")]


class As(StrEnum):
    """As what a firing is sent."""

    NOW = "now"
    THEN = "then"


@with_options(ReplayOptions, without=frozenset({"cronjob_id", "since", "until", "order"}))
def replay(
    cronjob: Annotated[
        str | None,
        typer.Argument(
            metavar="[CRONJOB]",
            help="Of this cron job only: its id, its name, or the beginning of its id.",
            show_default=False,
        ),
    ] = None,
    scheduled_at: Annotated[
        str | None,
        typer.Argument(
            metavar="[INSTANT]",
            help="The firing of this fire time alone, now; of --kind scheduled unless said.",
            show_default=False,
        ),
    ] = None,
    *,
    parameters: dict[str, Any],
    failed: Annotated[
        bool, typer.Option("--failed", help="Those that failed, as --state failed; so it is without --state.")
    ] = False,
    since: Annotated[
        str | None, moment("Those of this fire time or later: an instant, or how long ago, as 2h.")
    ] = None,
    until: UntilOption = None,
    newest_first: Annotated[bool, typer.Option("--newest-first", help="The newest first.")] = False,
    as_: Annotated[
        As | None,
        typer.Option(
            "--as",
            help="With message and address of the cron job now, or those that it was sent by then; the credentials are"
            " those of now.",
            show_default=False,
        ),
    ] = None,
    dry_run: _TrialOption = False,
    yes: YesOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Send firings that have ended once more: one, or many."""
    sent = {name: value for name, value in parameters.items() if value is not None}
    if scheduled_at is not None:
        _check_one(sent, failed or newest_first or dry_run or since is not None or until is not None)
        _replay_one(
            access(profile), cronjob or "", scheduled_at, yes, sent.get("kind", "scheduled"), as_, json
        )
        return
    if failed:
        sent["state"] = [*sent.get("state", ()), "failed"]
    if since is not None:
        sent["since"] = inputs.instant_or_ago(since, "--since")
    if until is not None:
        sent["until"] = inputs.instant_or_ago(until, "--until")
    if not sent.keys() - {"max_per_minute"} and cronjob is None:
        raise WrongUsage(
            "select firings: name a CRONJOB and a fire time, or give a filter, such as --failed --since 2h"
        )
    if newest_first:
        sent["order"] = "newest"
    may_ask(dry_run, yes)
    with client_of(access(profile)) as client:
        if cronjob is not None:
            sent["cronjob_id"] = cronjob_id_of(client, cronjob)
        replay_selected(client, sent, as_, dry_run, yes, json)


@with_options(BackfillOptions, without=frozenset({"order"}))
def backfill(
    cronjob: CronjobArgument,
    *,
    parameters: dict[str, Any],
    since: Annotated[
        str, moment("The first fire time, or an instant before it, or how long ago, as 2h.", "--from")
    ],
    until: Annotated[
        str | None,
        moment("The last fire time, or an instant after it, or how long ago; otherwise now.", "--to"),
    ] = None,
    newest_first: Annotated[bool, typer.Option("--newest-first", help="The newest first.")] = False,
    dry_run: _TrialOption = False,
    yes: YesOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Make up for fire times of the past that were not delivered."""
    from cronally.client import calls

    sent = {
        **parameters,
        "from": inputs.instant_or_ago(since, "--from"),
        "to": until and inputs.instant_or_ago(until, "--to"),
        "order": "newest" if newest_first else None,
    }
    may_ask(dry_run, yes)
    with client_of(access(profile)) as client:
        cronjob_id = cronjob_id_of(client, cronjob)
        trial = calls.try_backfill(cronjob_id, sent)
        if dry_run:
            _show(client, trial, json, _print_backfill)
            return
        if not yes:
            found = client.call(trial)
            if not found.to_insert + found.to_revive:
                print_lines(_counted(found))
                return
            asking.confirm(f"{_counted(found)} Make up for {found.to_insert + found.to_revive:,}?")
        _finish(client, client.call(calls.backfill_cronjob(cronjob_id, sent)), json)


def replay_selected(
    client: Client, sent: Mapping[str, Any], as_: As | None, dry_run: bool, yes: bool, json: bool
) -> None:
    """Replay what filters select, or show which firings those are; asked before, unless `yes` says that already."""
    from cronally.client import calls

    trial = calls.try_replay(sent, as_)
    if dry_run:
        _show(client, trial, json, _print_replay)
        return
    if not yes:
        found = client.call(trial)
        if not found.total:
            print_lines("No firing is like that.")
            return
        told = f" {_cannot(found.failed)}" if found.failed else ""
        asking.confirm(f"Replay {_firings(found.total)}?{told}")
    _finish(client, client.call(calls.replay_firings(sent, as_)), json)


def _check_one(sent: Mapping[str, Any], others: bool) -> None:
    """Raise WrongUsage where more is given than names one firing."""
    if others or sent.keys() - {"kind"}:
        raise WrongUsage("INSTANT names one firing: give it, or filters and --dry-run, not both")


def _replay_one(
    keys: Profile, cronjob: str, scheduled_at: str, yes: bool, kind: str, as_: str | None, json: bool
) -> None:
    from cronally.client import calls

    inputs.check_instant(scheduled_at, "INSTANT")
    with client_of(keys) as client:
        cronjob_id = cronjob_id_of(client, cronjob)
        if not yes:
            _ask_about_delivered(client, cronjob_id, scheduled_at, kind)
        call = calls.replay_at(cronjob_id, scheduled_at, kind, as_)
        envelope = client.exchange(call)
        if json:
            print_json(envelope)
            return
        firing = call.read(envelope)
        at = format_iso(from_datetime(firing.scheduled_at))
        print_lines(f"Firing {firing.firing_id} of {firing.cronjob_name!r} for {at} goes once more.")


def _ask_about_delivered(client: Client, cronjob_id: str, scheduled_at: str, kind: str) -> None:
    """Ask before what was delivered is sent again: its receiver gets it twice."""
    from cronally.client import calls

    only = {"cronjob_id": cronjob_id, "scheduled_at": scheduled_at, "kind": kind, "state": "delivered"}
    if not client.call(calls.account_firings(only)):
        return
    if not sys.stdin.isatty():
        raise Failure("nothing was done: it was delivered already", "--yes sends it again")
    asking.confirm("It was delivered already. Send it again?")


def may_ask(dry_run: bool, yes: bool) -> None:
    """Raise Failure where nobody can be asked."""
    advice = "--yes does it without asking, --dry-run shows what would be done"
    asking.may_ask(dry_run or yes, done="done", advice=advice)


def _show(client: Client, trial: Call[T], json: bool, show: Callable[[T], None]) -> None:
    envelope = client.exchange(trial)
    if json:
        print_json(envelope)
    else:
        show(trial.read(envelope))


def _finish(client: Client, operation: Operation, json: bool) -> None:
    """Watch an operation to its end, and say how that was."""
    operation = watch(client, operation)
    if json:
        print_json({"status": "success", "response": {**to_json(operation), **operation.extra}})
    ended(operation, quiet=json)


def _print_replay(trial: ReplayTrial) -> None:
    from cronally.cli.ledger_tables import print_firings
    from cronally.client import Page

    if trial.firings:
        print_firings(Page(trial.firings, None), of_one=False, attempts=False, wide=False, filtered=True)
    if trial.failed:
        print_lines(*[f"{one.name or one.cronjob_id}: {one.problem}" for one in trial.problems or ()])
        print_lines(_cannot(trial.failed))
    print_lines(f"{_firings(trial.total)}. Nothing was changed.")


def _firings(count: int) -> str:
    return f"{count:,} {'firing' if count == 1 else 'firings'}"


def _cannot(count: int) -> str:
    return f"{count:,} of them cannot be sent as {'it was' if count == 1 else 'they were'}."


def _print_backfill(trial: BackfillTrial) -> None:
    print_lines(*[format_iso(from_datetime(at)) for at in trial.first])
    print_lines(f"{_counted(trial)} Nothing was changed.")


def _counted(trial: BackfillTrial) -> str:
    """What stands in the ledger for the fire times of a range, in words."""
    counts = {
        "not in the ledger": trial.to_insert,
        "missed or skipped": trial.to_revive,
        "delivered": trial.delivered,
        "failed": trial.failed,
        "on their way": trial.on_the_way,
    }
    told = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    return f"{trial.fire_times:,} fire times{': ' if told else ''}{told}."
