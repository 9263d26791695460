"""The commands, put together, and how a run of them ends.

Invariant: whatever goes wrong, stderr gets one line that says what to do, and the exit status is 1 for what
failed and 2 for wrong usage. An interrupt or a reader that went away ends the run without a word.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.main import get_command

from cronally import __version__
from cronally.cli import firetimes, ledger, operating, tenant
from cronally.cli.failure import Failure, report
from cronally.errors import CronallyError

_WRITING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class CronallyGroup(TyperGroup):
    """The root command. Its `main` is the one place where errors become a line and a status."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> NoReturn:
        try:
            status = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader has what it wanted. Nothing more can be written, not even by the interpreter's exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except OSError as error:
            # Files that a command reads and writes tell their own troubles; what is left is standard output.
            if error.errno not in _WRITING:
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(report(Failure(f"the output cannot be written: {error.strerror or error}")))
        except KeyboardInterrupt:
            sys.exit(_INTERRUPTED)
        except typer.Abort:  # the end of stdin where an answer was asked for
            sys.exit(report(Failure("cancelled; nothing was done")))
        except (CronallyError, Failure, typer.TyperException) as error:
            sys.exit(report(error))
        sys.exit(status if isinstance(status, int) else 0)


app = typer.Typer(
    cls=CronallyGroup,
    help="Cron as a service: signed API, durable scheduler, delivery to your own AWS SNS topics.",
    epilog="Where the server is: CRONALLY_URL (default http://127.0.0.1:8000), or the profile that `signup` stored.",
    no_args_is_help=False,
    rich_markup_mode=None,  # Rich's help costs 60 ms of every `--help`
    pretty_exceptions_enable=False,  # it prints local variables, which may be secrets
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Show the version, or the help when no command is given."""
    if version:
        typer.echo(f"cronally {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


for module in (tenant, ledger, firetimes, operating):
    for verb in module.COMMANDS:
        name = verb.__name__.removesuffix("_")
        app.command(name)(verb)


def command() -> CronallyGroup:
    """The root command, ready to run."""
    root_command = get_command(app)
    assert isinstance(root_command, CronallyGroup)  # noqa: S101  # `cls` above; tells the type checker
    return root_command
