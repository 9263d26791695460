"""The processes that tests start: with the usual signals at their start, and ended at the end.

Invariant: what a test starts hears SIGINT, SIGHUP and SIGQUIT, also where the tests themselves were started so that
they are deaf to them (in the background of a script, under nohup).
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import FrameType
from typing import Final

_COVERAGE: Final = ("COVERAGE_PROCESS_CONFIG",)
_INHERITED: Final = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM)


def hear_ignored_signals() -> None:
    """Go on ignoring what this process was started to ignore, but let its children begin with the default.

    An ignored signal stays ignored in every program that is started from here; one that has a handler does not.
    """
    for number in _INHERITED:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _do_nothing)


def measured() -> dict[str, str]:
    """The variables that a process needs to be measured by `make coverage`; none in any other run."""
    return {name: os.environ[name] for name in _COVERAGE if name in os.environ}


def children(of: int | None = None) -> dict[int, str]:
    """The command lines of a process's living children, by process id; none where there is no /proc.

    :param of: this process by default
    """
    found: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # The second field, the name in parentheses, may hold anything.
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has just ended
            continue
        if int(parent) == (of or os.getpid()) and state != "Z":
            found[int(folder.name)] = command.strip()
    return found


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """The handler of a signal that was ignored."""
