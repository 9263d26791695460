"""The options that several commands of the tenant have, each described once.

Invariant: an option is named as the API's parameter, with `-` for `_`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from cronally.cli import given
from cronally.cli.credentials import credentials_path, profiles
from cronally.cli.failure import Failure


def _stored_profiles(incomplete: str) -> list[str]:
    try:
        return [name for name in profiles(credentials_path()) if name.startswith(incomplete)]
    except Failure:
        return []  # while a line is being completed, nobody can be told


ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="Use this profile of the credentials file; CRONALLY_PROFILE otherwise.",
        autocompletion=_stored_profiles,
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the API's answer as it is.")]
CronjobArgument = Annotated[str, typer.Argument(metavar="ID", help="The cron job's id.", show_default=False)]
LimitOption = Annotated[int | None, typer.Option(min=1, help="How many to show at most.", show_default=False)]
CursorOption = Annotated[
    str | None, typer.Option(help="Go on where the last answer ended.", show_default=False)
]

NameOption = Annotated[str | None, typer.Option(help="The cron job's name.", show_default=False)]
CronOption = Annotated[
    str | None, typer.Option(help='The expression, in quotes, as "0 8 * * *".', show_default=False)
]
TimezoneOption = Annotated[
    str | None,
    typer.Option(
        metavar="TZ",
        help="By the clock of this time zone, as Europe/Berlin. Default: UTC.",
        show_default=False,
    ),
]
DstGapOption = Annotated[
    Literal["run_at_jump", "skip", "shift", "default"] | None,
    typer.Option(help="What becomes of a fire time whose local time is skipped.", show_default=False),
]
DstOverlapOption = Annotated[
    Literal["first", "last", "both", "default"] | None,
    typer.Option(help="When to fire at a local time that comes twice.", show_default=False),
]
TopicOption = Annotated[
    str | None, typer.Option(metavar="ARN", help="The SNS topic to publish on.", show_default=False)
]
MessageOption = Annotated[
    str | None, typer.Option(metavar="TEXT", help="The message to publish.", show_default=False)
]
MessageFileOption = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Read the message from a file; - is stdin.", show_default=False),
]
RegionOption = Annotated[
    str | None, typer.Option(metavar="REGION", help="Default: the topic's region.", show_default=False)
]
AccessKeyIdOption = Annotated[
    str | None,
    typer.Option(metavar="ID", help="The AWS access key that may publish on the topic.", show_default=False),
]
SecretOption = Annotated[
    str | None,
    typer.Option(
        metavar="SECRET",
        help="Better not on the command line, where it stays in the shell's history: without this option it"
        f" comes from the file, from {given.SECRET_VARIABLE}, or from a prompt.",
        show_default=False,
    ),
]
SecretFileOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="Read the secret access key from a file; - is stdin.", show_default=False
    ),
]
DeliveryTypeOption = Annotated[
    Literal["sns", "http"] | None, typer.Option(help="Default: sns, or http with a URL.", show_default=False)
]
HttpUrlOption = Annotated[
    str | None, typer.Option(metavar="URL", help="Where to send an HTTP request.", show_default=False)
]
HttpMethodOption = Annotated[Literal["get", "post"] | None, typer.Option(show_default=False)]
CatchUpOption = Annotated[
    Literal["latest", "all", "skip"] | None,
    typer.Option(help="What to do with fire times that nobody was awake for.", show_default=False),
]
GraceOption = Annotated[
    str | None,
    typer.Option(metavar="DURATION", help="How late is still useful, as 90s, 15m, 24h.", show_default=False),
]
