"""What a cron job would send: its request or its message, with the placeholders filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cronally.cli import inputs
from cronally.cli.calling import run_on
from cronally.cli.credentials import access
from cronally.cli.options import CronjobArgument, JsonOption, ProfileOption

if TYPE_CHECKING:
    from cronally.client import Rendering


def render(
    cronjob: CronjobArgument,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="INSTANT",
            help="The fire time, as 2026-12-01T08:00:00Z; as 2026-12-01T08:00 it is a local time of the cron job. The"
            " next one by default.",
            show_default=False,
        ),
    ] = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
) -> None:
    """Show what a cron job would send at a fire time."""
    from cronally.client import calls

    if at is not None:
        inputs.check_moment(at, "--at")
    run_on(
        access(profile),
        cronjob,
        lambda cronjob_id: calls.render(cronjob_id, at),
        json,
        print_rendering,
    )


def print_rendering(found: Rendering) -> None:
    """Print what would be sent: first what it is, then headers or attributes, then the text as it is, line by line."""
    from cronally.cli.layout import instant, print_pairs
    from cronally.cli.output import print_lines

    more = found.headers or found.attributes or found.parameters or {}
    print_pairs(
        [
            ("Fire time (UTC)", instant(found.scheduled_at, seconds=True)),
            ("Local time", found.local.replace("T", " ")),
            ("Firing id", found.firing_id),
            ("Target", found.delivery_type),
            ("Request", None if found.url is None else f"{found.method} {found.url}"),
            *more.items(),
        ]
    )
    text = found.body if found.message is None else found.message
    if text is not None:
        print_lines("", *text.splitlines())
