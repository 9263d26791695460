"""What a command does to all cron jobs that filters select: it asks first, and shows how far it is.

Invariant: without `--yes` nothing is done that a user at a terminal has not said yes to, having read how many it is
for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from cronally.cli import inputs
from cronally.cli.asking import confirm, may_ask
from cronally.cli.calling import client_of
from cronally.cli.credentials import Profile, access
from cronally.cli.failure import WrongUsage
from cronally.cli.options import (
    AllOption,
    DryRunOption,
    JsonOption,
    ProfileOption,
    YesOption,
    flag,
    with_options,
)
from cronally.cli.output import print_json, print_lines
from cronally.cli.watching import ended, watch
from cronally.contract.bulk import ALL, Change, Selecting
from cronally.contract.writing import to_json

if TYPE_CHECKING:
    from cronally.client import Selection

_SHOWN: Final = 5

with_filters = with_options(Selecting, without=frozenset({ALL}), into="filters")
"""Adds an option for each filter; the command gets them as `filters`."""


def selection(
    cronjob: str | None,
    filters: Mapping[str, Any],
    everything: bool,
    dry_run: bool,
    missing: str = "Missing argument 'CRONJOB': name one, or select several with a filter or --all",
) -> dict[str, Any] | None:
    """What selects the cron jobs; None where the user names one. Raises WrongUsage for both, and for neither.

    :param missing: what is said of neither
    """
    sent = {name: value for name, value in filters.items() if value is not None}
    for name in sent.keys() & {"next_fire_from", "next_fire_until"}:
        sent[name] = inputs.instant_or_duration(sent[name], flag(name))
    if cronjob is not None:
        if sent or everything:
            what = flag(next(iter(sent), ALL))
            raise WrongUsage(f"{what}: give it, or CRONJOB, not both")
        if dry_run:
            raise WrongUsage("--dry-run: it is for filters, and not for one CRONJOB")
        return None
    if not sent and not everything:
        raise WrongUsage(missing)
    return {**sent, ALL: True} if everything else sent


def do(
    keys: Profile,
    action: str,
    selecting: Mapping[str, Any],
    parameters: Mapping[str, Any],
    *,
    dry_run: bool,
    yes: bool,
    json: bool,
    idempotency_key: str | None = None,
) -> None:
    """Do one thing to all that is selected, and wait for its end."""
    from cronally.client import calls

    advice = "--yes does it without asking, --dry-run shows which cron jobs it is for"
    may_ask(dry_run or yes, done="done", advice=advice)
    with client_of(keys) as client:
        trial = calls.try_many(action, selecting, parameters)
        if dry_run:
            envelope = client.exchange(trial)
            if json:
                print_json(envelope)
            else:
                from cronally.cli.work_tables import print_selection

                print_selection(trial.read(envelope))
            return
        if not yes:
            found = client.call(trial)
            if not found.total and not json:
                print_lines("No cron job is like that.")
                return
            if found.total:
                confirm(_question(action, found))
        operation = client.call(calls.many(action, selecting, parameters, idempotency_key))
        operation = watch(client, operation)
    if json:
        print_json({"status": "success", "response": {**to_json(operation), **operation.extra}})
    ended(operation, quiet=json)


def _question(action: str, found: Selection) -> str:
    names = ", ".join(repr(one.name) for one in found.cronjobs[:_SHOWN])
    more = ", ..." if found.total > _SHOWN else ""
    jobs = "cron job" if found.total == 1 else "cron jobs"
    return f"{action.capitalize()} {found.total:,} {jobs} ({names}{more})?"


@with_filters
@with_options(Change)
def change(
    *,
    filters: dict[str, Any],
    everything: AllOption = False,
    parameters: dict[str, Any],
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Change policies, or the time zone, of many cron jobs."""
    selecting = selection(
        None, filters, everything, dry_run, "select cron jobs: give a filter, such as --state, or --all"
    )
    if all(value is None for value in parameters.values()):
        raise WrongUsage("nothing to change: give at least one policy, or --timezone")
    do(access(profile), "change", selecting or {}, parameters, dry_run=dry_run, yes=yes, json=json)
