"""The commands, put together, and how a run of them ends.

Invariant: whatever goes wrong, stderr gets one line that says what to do, and the exit status is 1 for what
failed and 2 for wrong usage. An interrupt, or a closed pipe, ends the run without a message. The module of a
command is imported when the command runs: its options come from the contract, which the help of the whole does not
need.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from cronally import __version__
from cronally.cli.failure import Failure, report
from cronally.errors import CronallyError

_WRITING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
_SETTINGS: Final[Mapping[str, Any]] = {"help_option_names": ["--help", "-h"]}
_INTERRUPTED = 130  # 128 + SIGINT, as shells report it

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "signup": ("tenant", "Create an account and store its keys."),
    "account": ("account", "Show the account, or change what holds for all of it."),
    "add": ("tenant", "Create a cron job."),
    "list": ("tenant", "List the cron jobs."),
    "show": ("tenant", "Show a cron job."),
    "update": ("tenant", "Change a cron job; what no option names stays as it is."),
    "apply": ("tenant", "Create or change the cron job of a name, to be exactly so."),
    "change": ("many", "Change policies, or the time zone, of many cron jobs."),
    "verify": ("tenant", "Send a cron job's target a test message, now."),
    "policy": ("granting", "Print the IAM policy that a cron job's keys need, and no more."),
    "run": ("running", "Fire cron jobs once, now or soon, in any state."),
    "pause": ("pausing", "Let cron jobs stand still; what falls due then is skipped."),
    "resume": ("pausing", "Let paused cron jobs fire again, from the next fire time on."),
    "delete": ("pausing", "Delete cron jobs; their ledger stays readable."),
    "freeze": ("freezing", "Let a tag, a host or the account stand still for a while."),
    "freezes": ("freezing", "List the freezes: what stands still, until when, and why."),
    "unfreeze": ("freezing", "Lift a freeze: what it holds goes out at once."),
    "replay": ("past", "Send firings that have ended once more: one, or many."),
    "backfill": ("past", "Make up for fire times of the past that were not delivered."),
    "dead-letters": ("dead_letters", "List firings that have failed; replay or discard them."),
    "operations": ("watching", "List the operations: work on many cron jobs, newest first."),
    "operation": ("watching", "Show an operation: how far it is, and what went wrong."),
    "calendars": ("calendars", "List the account's calendars; set, show or delete one."),
    "connection": ("connecting", "Keep credentials once, for many cron jobs to use."),
    "rule": ("ruling", "Choose what you are told of, for which cron jobs, and when."),
    "channel": ("channels", "Set up where alerts go: mail, a URL, a topic of SNS, a chat."),
    "alerts": ("alerting", "List the alerts, newest first; or show one of them."),
    "host": ("proving", "Prove that a host is the account's own, for a higher rate."),
    "key": ("keys", "Make API keys for one purpose each; replace or revoke them."),
    "firings": ("ledger", "Show the ledger, newest first: what fired or not, and why."),
    "why": ("ledger", "Explain why a cron job did or did not fire at an instant."),
    "render": ("rendering", "Show what a cron job would send at a fire time."),
    "forecast": ("ahead", "Show what lies ahead: firings, busy seconds, what to spread."),
    "calendar": ("ahead", "Show a month: what fires on which day, changes of the clock."),
    "next": ("firetimes", "Show when an expression fires next; works offline."),
    "audit": ("auditing", "Show the audit log: who did what, when, and what that changed."),
    "listen": ("listening", "Receive firings on this machine, and print them."),
    "serve": ("operating", "Run the server."),
    "migrate": ("operating", "Bring the database to this version's tables."),
    "rekey": ("operating", "Seal every secret again with the first sealing key."),
    "doctor": ("doctor", "Look at all that the server stands on, and say what to do."),
    "admin": ("admin", "For the operator: accounts, and what each may do."),
}
"""The module of each command, and the line about it in the help: the first of its docstring."""


class CronallyGroup(TyperGroup):
    """The root command. Its `main` is the one place where errors become a line and a status."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # What the help, the completion and the suggestions need of each command.
        self.commands = {name: TyperCommand(name, help=line) for name, (_, line) in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, found, rest = super().resolve_command(ctx, args)
        return name, found if name is None else load(name), rest

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
            # The reader has closed the pipe. Nothing more can be written, not even by the interpreter's exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except OSError as error:
            # A command reports the errors of files that it reads and writes itself; this one is of standard output.
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
    help="Cron as a service: signed API, durable scheduler, delivery to your own AWS services and HTTP addresses.",
    epilog="Where the server is: CRONALLY_URL (default http://127.0.0.1:8000), or the profile that `signup` stored.",
    no_args_is_help=False,
    context_settings=dict(_SETTINGS),
    rich_markup_mode=None,  # Rich's help costs 60 ms of every `--help`
    pretty_exceptions_enable=False,  # it prints local variables, which may be secrets
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Show the version, or the help where there is no command."""
    if version:
        typer.echo(f"cronally {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def load(name: str) -> Any:
    """Import a command and make it ready to run."""
    module = import_module(f"cronally.cli.{COMMANDS[name][0]}")
    named = name.replace("-", "_")
    function = getattr(module, named, None) or getattr(module, f"{named}_")  # `list_`: `list` is Python's
    if isinstance(function, typer.Typer):  # a command with commands of its own
        return get_command(function)
    alone = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    alone.command(name, context_settings=dict(_SETTINGS))(function)
    return get_command(alone)


def command() -> CronallyGroup:
    """The root command, ready to run."""
    root_command = get_command(app)
    assert isinstance(root_command, CronallyGroup)  # noqa: S101  # `cls` above; for the type checker
    return root_command
