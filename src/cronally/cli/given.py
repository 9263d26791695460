"""What a user gives: the AWS secret access key and the message, from wherever they come, and a yes or no.

Invariant: a secret need not stand in the shell's history. It comes from the option, from a file, from
CRONALLY_SNS_SECRET_ACCESS_KEY, or from a prompt that does not show it. AWS's own variables are not read: what
stands there is often a key that may do everything, and would leave this machine without having been asked for.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Mapping
from typing import Final

import typer

SECRET_VARIABLE: Final = "CRONALLY_SNS_SECRET_ACCESS_KEY"  # noqa: S105  # the name of a variable

_STDIN: Final = "-"
_MAX_SECRET: Final = 4 * 1024
_MAX_MESSAGE: Final = 1024 * 1024  # more than SNS takes; the server says exactly how much too long it is


def secret_access_key(option: str | None, file: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """The secret access key that belongs to an access key id. Raises typer.BadParameter if there is none."""
    hint = "--sns-secret-access-key-file"
    if option is not None and file is not None:
        raise typer.BadParameter("give the secret as an option or in a file, not both", param_hint=hint)
    if option is not None:
        return option
    if file is not None:
        text = _read(file, _MAX_SECRET, hint).strip()
        if not text or len(text.split()) != 1:
            raise typer.BadParameter("it holds one line, the secret access key", param_hint=hint)
        return text
    if environ.get(SECRET_VARIABLE):
        return environ[SECRET_VARIABLE]
    if sys.stdin.isatty():
        return getpass.getpass("AWS secret access key: ", stream=sys.stderr)
    raise typer.BadParameter(
        f"it is missing: give it with --sns-secret-access-key-file (- reads stdin) or in {SECRET_VARIABLE}",
        param_hint="--sns-secret-access-key",
    )


def message(option: str | None, file: str | None, secret_file: str | None = None) -> str | None:
    """The message, exactly as it is given. Raises typer.BadParameter."""
    hint = "--sns-message-file"
    if file is None:
        return option
    if option is not None:
        raise typer.BadParameter("give the message as an option or in a file, not both", param_hint=hint)
    if file == secret_file == _STDIN:
        raise typer.BadParameter("stdin cannot be both the message and the secret", param_hint=hint)
    return _read(file, _MAX_MESSAGE, hint)


def confirmed(question: str) -> bool:
    """Whether the user says yes at the terminal. The question goes to stderr: stdout is for the answer."""
    print(f"{question} [y/N]: ", end="", file=sys.stderr, flush=True)  # noqa: T201
    line = sys.stdin.readline()
    if not line:
        raise typer.Abort
    return line.strip().lower() in {"y", "yes"}


def region_of(topic: str | None) -> str | None:
    """The region in an ARN such as `arn:aws:sns:us-east-1:123456789012:report`; None for what is no ARN."""
    parts = (topic or "").split(":")
    return parts[3] or None if len(parts) == 6 and parts[0] == "arn" else None


def _read(file: str, limit: int, hint: str) -> str:
    try:
        if file == _STDIN:
            raw = sys.stdin.buffer.read(limit + 1)
        else:
            with open(file, "rb") as opened:
                raw = opened.read(limit + 1)
        text = raw.decode("utf-8")
    except OSError as error:
        raise typer.BadParameter(f"cannot read {file}: {error.strerror}", param_hint=hint) from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{file} is not UTF-8", param_hint=hint) from None
    if len(raw) > limit:
        raise typer.BadParameter(f"{file} is longer than {limit} bytes", param_hint=hint)
    return text
