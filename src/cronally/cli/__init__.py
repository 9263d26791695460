"""The command `cronally`: the tenant's verbs, fire times offline, and the operator's `serve`.

Invariant: the start stays light. Each command imports what it needs when it runs, so that `cronally --help` and
completion load neither the client, nor Rich, nor the server.
"""

from __future__ import annotations

from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    from cronally.cli.app import command

    command().main(prog_name="cronally")
