"""Cursors: where a list goes on, as a text that means nothing to clients.

Invariant: a cursor holds the key of the last row that was listed and no more, so it stays good while rows come and
go. One that was made for another list, or was made up, is refused; it could not open anything anyway, because every
list is the account's own.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from cronally.instants import MAX_INSTANT, MIN_INSTANT

_VERSION: Final = 1
_MAX_LENGTH: Final = 512

Position = tuple[int, *tuple[str, ...]]
"""An instant and the texts that make a row's key with it."""


def encode(listed: str, position: Position) -> str:
    """The cursor that goes on after `position`.

    :param listed: which list it belongs to
    """
    content = json.dumps([_VERSION, listed, *position], separators=(",", ":"))
    return base64.urlsafe_b64encode(content.encode()).rstrip(b"=").decode("ascii")


def decode(listed: str, texts: int, cursor: str) -> tuple[int, list[str]]:
    """The instant and the texts that `encode` took. Raises ValueError with a complaint.

    :param texts: how many texts the position holds behind its instant
    """
    match _read(cursor):
        # bool is an int to Python; and what is compared with keys is text that any database takes.
        case [version, name, int(instant), *rest] if (
            (version, name, len(rest)) == (_VERSION, listed, texts)
            and type(instant) is int
            and MIN_INSTANT <= instant <= MAX_INSTANT
            and all(isinstance(text, str) and text.isascii() and text.isprintable() for text in rest)
        ):
            return instant, rest
    raise ValueError(
        "is no cursor of this list; give the next_cursor of its last answer, or none to begin anew"
    )


def _read(cursor: str) -> Any:
    if len(cursor) > _MAX_LENGTH or not cursor.isascii():
        return None
    try:
        content = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
