"""Freezes: `freeze` makes one, `freezes` lists them, `unfreeze` lifts one before its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cronally.cli import inputs
from cronally.cli.calling import run
from cronally.cli.credentials import access
from cronally.cli.failure import WrongUsage
from cronally.cli.options import JsonOption, ProfileOption, WideOption, with_options
from cronally.cli.output import complain
from cronally.contract.freezes import NewFreeze
from cronally.instants import parse_duration

if TYPE_CHECKING:
    from cronally.client import Freeze, Page

_SELECTORS = ("tag", "host", "all")


@with_options(NewFreeze, defaults=True)
def freeze(
    *,
    parameters: dict[str, Any],
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help="The same key answers with the same freeze for 24 hours.", show_default=False
        ),
    ] = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Let a tag, a host or the account stand still for a while."""
    from cronally.client import calls

    given = [name for name in _SELECTORS if parameters.get(name) is not None]
    if len(given) != 1:
        raise WrongUsage("what is to stand still: give one of --tag, --host and --all")
    _check_until(parameters["until"])
    call = calls.freeze(parameters, idempotency_key)
    run(access(profile), call, json, _show)


def freezes(wide: WideOption = False, profile: ProfileOption = None, json: JsonOption = False) -> None:
    """List the freezes: what stands still, until when, and why."""
    from cronally.client import calls

    def show(page: Page[Freeze]) -> None:
        from cronally.cli.work_tables import print_freezes

        print_freezes(page, wide=wide)

    run(access(profile), calls.list_freezes(), json, show)


def unfreeze(
    freeze_id: Annotated[str, typer.Argument(metavar="FREEZE", help="The freeze's id.", show_default=False)],
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Lift a freeze: what it holds goes out at once."""
    from cronally.client import calls

    run(access(profile), calls.lift_freeze(freeze_id), json, _show)


def _check_until(text: str) -> None:
    """Refuse what is neither a duration nor an instant; a duration the server counts, by its own clock."""
    try:
        parse_duration(text)
    except ValueError:
        inputs.instant_or_duration(text, "--until")


def _show(freeze: Freeze) -> None:
    from cronally.cli.work_tables import print_freeze

    print_freeze(freeze)
    if freeze.in_force and freeze.cronjobs == 0:
        complain("note", "no cron job is like that now; one that is like it later is frozen, too")
