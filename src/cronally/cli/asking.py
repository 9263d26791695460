"""Asking at the terminal before something that cannot be taken back.

Invariant: where nobody can be asked, nothing is done, and the error says how it is done without asking. The question
goes to stderr: stdout is for the answer.
"""

from __future__ import annotations

import sys

import typer

from cronally.cli.failure import Failure
from cronally.cli.output import printable


def may_ask(settled: bool, *, done: str = "deleted", advice: str = "--yes deletes without asking") -> None:
    """Raise Failure where somebody has to be asked, and nobody can be.

    :param settled: whether nobody has to be asked
    :param done: what nothing was
    """
    if not settled and not sys.stdin.isatty():
        raise Failure(f"nothing was {done}: there is no terminal to ask at", advice)


def confirm(question: str) -> None:
    """Ask; raise Failure unless the answer is yes."""
    print(f"{printable(question)} [y/N]: ", end="", file=sys.stderr, flush=True)  # noqa: T201
    line = sys.stdin.readline()
    if not line:
        raise typer.Abort
    if line.strip().lower() not in {"y", "yes"}:
        raise Failure("cancelled; nothing was done")
