"""What went wrong, in one line with a hint.

Invariant: one line for one error, whatever its message holds; the status is 2 for wrong usage, else 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import typer

from cronally.cli.output import complain
from cronally.errors import (
    CronallyError,
    Forbidden,
    InvalidExpression,
    NotFound,
    RateLimited,
    RequestError,
    SettingsError,
    Unauthorized,
    VerificationFailed,
)

_HINTS: Final[dict[type[Exception], str]] = {
    InvalidExpression: 'try it out first, as in: cronally next "0 8 * * MON-FRI"',
    Unauthorized: "is it the server, and the database, that the account was made on? Check the profile or CRONALLY_URL,"
    " CRONALLY_API_KEY and CRONALLY_API_SECRET; `cronally signup EMAIL --profile NAME` makes another account",
    NotFound: "`cronally list` shows the cron jobs and their ids",
}
_LISTED_BY: Final = {
    "There is no such calendar": "`cronally calendars` lists them",
    "There is no such connection": "`cronally connection list` lists them",
    "There is no such freeze": "`cronally freezes` lists them",
    "There is no such rule": "`cronally rule list` lists them",
    "There is no such host": "`cronally host list` lists them",
    "The link was used already": "`cronally signup` or `cronally account recover` sends a new one",
    "There is no such API key": "`cronally key list` lists them",
    "There is no such operation": "`cronally operations` lists them",
    "The ledger has no such firing": "`cronally firings` lists them; of fire times that were missed together it has one"
    " row, which `cronally backfill` makes up for",
}
_LISTING: Final = re.compile(r"GET /(\w+)/ lists (?:them|those of the account)")
_COMMANDS: Final = {
    "cronjobs": "list",
    "connections": "connection list",
    "channels": "channel list",
    "freezes": "freezes",
    "calendars": "calendars",
    "operations": "operations",
    "rules": "rule list",
}
"""What lists in the terminal what a request lists for a program."""
_PYDANTIC: Final = tuple(
    (re.compile(theirs), ours)
    for theirs, ours in (
        (r": Value error, ", ": "),
        (
            r"Input should be a valid (?:integer|number)(?:, unable to parse string as an? \w+)?",
            "is not a number",
        ),
        (r"Input should be greater than or equal to (\S+?)(?=\.?$)", r"\1 is the least"),
        (r"Input should be less than or equal to (\S+?)(?=\.?$)", r"\1 is the most"),
    )
)
"""What Typer says of a value in pydantic's words, and how it is said here."""
_EXTRA: Final = "Got unexpected extra argument"
_CLOCK: Final = "The server's clock says"
_NOT_SIGNED: Final = "The request is not signed by a known API key"
_VERSION_1: Final = "refuses signatures of version 1"
_BY_VERSION_2: Final = "take v1 out of CRONALLY_SIGNATURE_VERSION, and out of the profile"
_NOT_KNOWN: Final = "the server does not know this API key with this secret, or one of the clocks is wrong."
_WRONG_ADDRESS: Final = "check the server's URL, in CRONALLY_URL or the profile: is there a path too much?"


class Failure(Exception):
    """The command cannot be carried out, for a reason of this machine: exit status 1."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class WrongUsage(typer.BadParameter):
    """Options that do not go together, or that are missing: exit status 2."""

    def format_message(self) -> str:
        return self.message


def report(error: CronallyError | Failure | typer.TyperException) -> int:
    """Print an error and return the exit status."""
    if isinstance(error, SettingsError):
        # One problem a line: an operator wants to mend all of them at once.
        for line in error.message.splitlines():
            complain("error", line)
        return 1
    message, hint, status = _parts(error)
    if hint:
        message += f" Hint: {hint}" if message.endswith((".", "!", "?")) else f". Hint: {hint}"
    complain("error", message)
    return status


def in_quotes(first: str, usage: str) -> str | None:
    """What to say of an expression that the shell took apart; None if the first word of it has spaces in it."""
    if any(letter.isspace() for letter in first):
        return None
    return (
        f'the expression has to be in quotes, as in {usage} "0 8 * * MON-FRI"; only "{first}" of it arrived'
    )


def _unquoted(message: str, given: Mapping[str, Any]) -> str:
    """What to say of too many words: the shell took an argument with spaces for several, and `*` for names of files."""
    # Of several options the last one stands before what is too much.
    if (given.get("cron") or ()) and (said := in_quotes(given["cron"][-1], "--cron")) is not None:
        return said
    return f"{message}; what has spaces in it has to be in quotes"


def _for_people(complaint: str) -> str:
    """A complaint about a parameter, with the command where it names a request."""
    return _LISTING.sub(lambda found: f"`cronally {_COMMANDS[found[1]]}` lists them", complaint)


def _plain(message: str) -> str:
    """What Typer says of a value, without pydantic's words."""
    for theirs, ours in _PYDANTIC:
        message = theirs.sub(ours, message, count=1)
    return message


def _parts(error: CronallyError | Failure | typer.TyperException) -> tuple[str, str | None, int]:
    if isinstance(error, Failure):
        return error.message, error.hint, 1
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        hint = None if context is None else f"{context.command_path} --help"
        message = _plain(error.format_message())
        if message.startswith(_EXTRA) and context is not None:
            message = _unquoted(message, context.params)
        return message, hint, error.exit_code
    hint = next((_HINTS[kind] for kind in type(error).__mro__ if kind in _HINTS), None)
    message = error.message
    if isinstance(error, NotFound):
        if message == NotFound().message:  # of the server, not of a cron job
            hint = _WRONG_ADDRESS
        hint = next((by for what, by in _LISTED_BY.items() if message.startswith(what)), hint)
        # What follows is advice for a program; the hint is for the terminal.
        message = message.partition(";")[0]
    if isinstance(error, Unauthorized) and (clock := message.find(_CLOCK)) > 0:
        if message.startswith(_NOT_SIGNED):
            # How to sign is advice for a program.
            message = f"{_NOT_KNOWN} {message[clock:]}"
        else:
            # Who has signed right has no wrong clock, nor other keys.
            message, hint = message[:clock].rstrip(), _BY_VERSION_2 if _VERSION_1 in message else None
    if isinstance(error, RequestError) and error.fields and not isinstance(error, VerificationFailed):
        message = "; ".join([f"{name}: {_for_people(text)}" for name, text in error.fields.items()])
    if isinstance(error, RateLimited | Forbidden) and error.retry_after is not None:
        hint = f"try again in {error.retry_after} s"
        message = message.partition("; try again after the number of")[0]  # advice for a program
    return message, hint, 1
