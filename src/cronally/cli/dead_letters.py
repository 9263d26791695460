"""`cronally dead-letters`: what has failed and needs somebody: list it, send it once more, or discard it.

Invariant: without `--yes` nothing is done to more than one dead letter that a user at a terminal has not said yes to,
having read how many it is for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cronally.cli import inputs, ledger, past
from cronally.cli.asking import confirm
from cronally.cli.calling import client_of
from cronally.cli.credentials import access
from cronally.cli.failure import WrongUsage
from cronally.cli.meant import cronjob_id_of
from cronally.cli.options import (
    CRONJOB,
    JsonOption,
    ProfileOption,
    UntilOption,
    WideOption,
    YesOption,
    moment,
    with_options,
)
from cronally.cli.output import print_json, print_lines
from cronally.cli.pages import pages, print_answer, print_whole_answer
from cronally.contract.dead_letters import DeadLetterFilters, DeadLetterPage
from cronally.contract.firings import MAX_LIMIT_WITH_ATTEMPTS, OLDEST
from cronally.contract.replays import Pace
from cronally.firing import State
from cronally.instants import format_iso, from_datetime

if TYPE_CHECKING:
    from cronally.client import Client

_SETTINGS: Any = {"help_option_names": ["--help", "-h"]}
_OWN = frozenset({"cronjob_id", "since", "until", "order", "limit", "all", "dry_run"})
"""What the commands have in a form of their own."""
_CronjobOption = Annotated[
    str | None,
    typer.Option(
        "--cronjob",
        metavar=CRONJOB,
        help="Of this cron job only: its id, its name, or the beginning of its id; of a deleted one its whole id.",
        show_default=False,
    ),
]
_SinceOption = Annotated[
    str | None, moment("Those of this fire time or later: an instant, or how long ago, as 2h.")
]


class Replayed(DeadLetterFilters, Pace, total=False):
    """Which dead letters go once more, and how quickly."""


dead_letters = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=dict(_SETTINGS),
)


def _command(name: str | None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function the command of a name, or what is run without one."""
    if name is None:
        return dead_letters.callback(invoke_without_command=True)
    return dead_letters.command(name, context_settings=dict(_SETTINGS))


@_command(None)
@with_options(DeadLetterPage, without=_OWN)
def list_(
    context: typer.Context,
    *,
    parameters: dict[str, Any],
    cronjob: _CronjobOption = None,
    since: _SinceOption = None,
    until: UntilOption = None,
    oldest: Annotated[bool, typer.Option("--oldest", help="The oldest first.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help=f"How many to show. Otherwise {MAX_LIMIT_WITH_ATTEMPTS}.",
            show_default=False,
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show all of them.")] = False,
    wide: WideOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """List firings that have failed; replay or discard them.

    What is discarded leaves this list, and stays in the ledger: cronally firings --failed.
    """
    from cronally.client import calls

    chosen = {**parameters, "cronjob": cronjob, "since": since, "until": until, "limit": limit}
    if context.invoked_subcommand is not None:
        if (
            any(value is not None for value in chosen.values())
            or oldest
            or everything
            or wide
            or json
            or profile
        ):
            raise WrongUsage(
                f"give options behind the command, as in: cronally dead-letters {context.invoked_subcommand}"
            )
        return
    if everything and limit is not None:
        raise WrongUsage("--all shows all of them: leave --limit out")
    with client_of(access(profile)) as client:
        asked = {**parameters, **_whose(client, cronjob, since, until), "order": OLDEST if oldest else None}
        if parameters["attempts"] is None and not everything and (limit or 0) <= MAX_LIMIT_WITH_ATTEMPTS:
            asked["attempts"] = True
        most = None if everything else limit or MAX_LIMIT_WITH_ATTEMPTS

        def ask(page: Any) -> Any:
            call = calls.dead_letters(page)
            envelope = client.exchange(call)
            return envelope, call.read(envelope)

        found = pages(ask, asked, most)
        if json:
            print_whole_answer(found) if everything else print_answer(found)
        else:
            attempts = bool(parameters["attempts"])
            ledger.print_tables(found, of_one=False, attempts=attempts, wide=wide, filtered=True)


@_command("replay")
@with_options(Replayed, without=_OWN)
def replay(
    *,
    parameters: dict[str, Any],
    cronjob: _CronjobOption = None,
    since: _SinceOption = None,
    until: UntilOption = None,
    as_: Annotated[
        past.As | None,
        typer.Option(
            "--as",
            help="With message and address of the cron job now, or those that it was sent by then; the credentials are"
            " those of now.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing, and show which ones they are.")
    ] = False,
    yes: YesOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Send dead letters once more: all, or those that filters select."""
    sent = {name: value for name, value in parameters.items() if value is not None}
    past.may_ask(dry_run, yes)
    with client_of(access(profile)) as client:
        sent |= _whose(client, cronjob, since, until)
        past.replay_selected(client, {**sent, "state": [State.FAILED]}, as_, dry_run, yes, json)


@_command("discard")
@with_options(DeadLetterFilters, without=_OWN)
def discard(
    cronjob: Annotated[
        str | None,
        typer.Argument(
            metavar=f"[{CRONJOB}]",
            help="Of this cron job only: its id, its name, or the beginning of its id; of a deleted one its whole id.",
            show_default=False,
        ),
    ] = None,
    scheduled_at: Annotated[
        str | None,
        typer.Argument(
            metavar="[INSTANT]",
            help="The firing of this fire time alone; of --kind scheduled unless said.",
            show_default=False,
        ),
    ] = None,
    *,
    parameters: dict[str, Any],
    note: Annotated[
        str, typer.Option(metavar="TEXT", help="Why nothing more is to become of it, for people.")
    ],
    since: _SinceOption = None,
    until: UntilOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter of the account.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing, and show how many they are.")
    ] = False,
    yes: YesOption = False,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Discard dead letters, with a note: they leave the list, and stay in the ledger. A replay takes it back."""
    from cronally.client import calls

    filters = {name: value for name, value in parameters.items() if value is not None}
    if scheduled_at is not None:
        if everything or dry_run or since is not None or until is not None or filters.keys() - {"kind"}:
            raise WrongUsage("INSTANT names one firing: give it, or filters, not both")
        inputs.check_instant(scheduled_at, "INSTANT")
        with client_of(access(profile)) as client:
            cronjob_id = cronjob_id_of(client, cronjob or "")
            one = calls.discard_at(cronjob_id, scheduled_at, filters.get("kind", "scheduled"), note)
            envelope = client.exchange(one)
            if json:
                print_json(envelope)
                return
            firing = one.read(envelope)
            at = format_iso(from_datetime(firing.scheduled_at))
            print_lines(f"Firing {firing.firing_id} of {firing.cronjob_name!r} for {at} is discarded.")
        return
    chosen = cronjob is not None or since is not None or until is not None or bool(filters)
    if chosen == everything:
        raise WrongUsage(
            "--all goes with no filter: leave it out"
            if chosen
            else "select dead letters: name a CRONJOB, give a filter, such as --since 2h, or --all"
        )
    past.may_ask(dry_run, yes)
    with client_of(access(profile)) as client:
        filters |= _whose(client, cronjob, since, until) | ({"all": True} if everything else {})
        if dry_run or not yes:
            call = calls.discard_firings(filters, note, dry_run=True)
            envelope = client.exchange(call)
            found = call.read(envelope)
            if dry_run and json:
                print_json(envelope)
                return
            told = f"{'At least ' if found.more else ''}{_counted(found.total)}"
            if dry_run or not found.total:
                print_lines(f"{told}. Nothing was changed.")
                return
            confirm(f"Discard {told[0].lower()}{told[1:]}?")
        total = 0
        while True:
            call = calls.discard_firings(filters, note)
            found = client.call(call)
            total += found.total
            if not found.more or not found.total:
                break
        if json:
            print_json({"status": "success", "response": {"total": total, "more": False}})
        else:
            print_lines(f"Discarded {_counted(total)}.")


def _whose(client: Client, cronjob: str | None, since: str | None, until: str | None) -> dict[str, Any]:
    """Those of these filters that are given, as the API takes them."""
    found = {
        "cronjob_id": None if cronjob is None else cronjob_id_of(client, cronjob),
        "since": since and inputs.instant_or_ago(since, "--since"),
        "until": until and inputs.instant_or_ago(until, "--until"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _counted(count: int) -> str:
    return "1 dead letter" if count == 1 else f"{count:,} dead letters"
