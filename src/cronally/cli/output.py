"""Lines and JSON, without Rich, which takes longer to import than to print them.

Invariant: what is printed holds no control character, so what a server or a file says cannot steer the terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any


def print_json(value: Mapping[str, Any]) -> None:
    """JSON in ASCII, which every terminal and every pipe takes: a line for programs, indented for people."""
    print(json.dumps(value, indent=2 if sys.stdout.isatty() else None))  # noqa: T201


def print_account_json(envelope: Mapping[str, Any], *, show_secret: bool) -> None:
    """An answer with an account; without its API secret unless that is asked for.

    What is printed lands in logs of scripts, and the CLI itself reads the secret from where it is stored. The key is
    left out, not masked, so that no script takes a mask for a secret.
    """
    answer = envelope.get("response")
    if not show_secret and isinstance(answer, dict):
        envelope = {**envelope, "response": {name: answer[name] for name in answer if name != "api_secret"}}
    print_json(envelope)


def print_lines(*lines: str) -> None:
    """Print lines for people, made harmless for a terminal."""
    for line in lines:
        print(printable(line))  # noqa: T201


def complain(kind: str, text: str) -> None:
    """A line on stderr: `error: ...`, `warning: ...`, `note: ...`."""
    print(f"{kind}: {printable(' '.join(text.split()))}", file=sys.stderr)  # noqa: T201


def say_more(cursor: str | None) -> None:
    """Say on stderr how a list goes on, if it does."""
    if cursor is not None:
        complain("note", f"there is more: add --cursor {cursor}")


def printable(text: str) -> str:
    """The text without characters that steer a terminal or that it cannot show."""
    if text.isprintable():
        return text
    return "".join(
        [character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text]
    )
