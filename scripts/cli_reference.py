"""The reference of the CLI, docs/reference/cli.md, made of what `--help` prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Final

_HEAD: Final = """\
# The command `cronally`

<!-- Written by `make docs` from `cronally --help`. -->

Tables are for people and `--json` for programs: it prints the API's envelope as it is ([api.md](api.md)), without an
API secret unless `--show-secret` is given. Errors are one line on standard error. The exit status is 0, 1 for what
failed, 2 for wrong usage.

Where the server is and whose keys are used: `CRONALLY_URL`, and `CRONALLY_API_KEY` with `CRONALLY_API_SECRET`, before
the profile that `--profile` or `CRONALLY_PROFILE` names (`default` otherwise) in `cronally/credentials` under
`XDG_CONFIG_HOME` or `~/.config`. A profile named by `--profile` is used as it is, whatever the environment says.

The secret access key of `add` and `update` comes from the option, from a file, from `CRONALLY_SNS_SECRET_ACCESS_KEY`,
or from a prompt that does not show it. A URL with secrets is read from a file with `--delivery-http-url-file`.
"""


def text() -> str:
    """The whole page."""
    top = _help()
    commands = re.findall(r"^  ([a-z-]+)  ", top.partition("\nCommands:\n")[2], re.MULTILINE)
    parts = [_HEAD, _fenced(top)]
    for command in commands:
        parts.append(f"## cronally {command}\n")
        help_ = _help(command)
        parts.append(_fenced(help_))
        for one in re.findall(r"^  ([a-z-]+)  ", help_.partition("\nCommands:\n")[2], re.MULTILINE):
            parts.append(f"### cronally {command} {one}\n")
            parts.append(_fenced(_help(command, one)))
    return "\n".join(parts)


def _help(*command: str) -> str:
    """What `--help` prints, 100 columns wide."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CRONALLY_")}
    environ |= {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"}
    argv = [sys.executable, "-m", "cronally.cli", *command, "--help"]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=True)
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def _fenced(help_: str) -> str:
    return f"```\n{help_}\n```\n"
