"""Cursors: where a list goes on, as a text that means nothing to clients.

Invariant: a cursor holds the key of the last row that was listed and no more, so it stays good while rows come and
go. One that was made for another list, or was made up, is refused; it could not open anything anyway, because every
list is the account's own.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, Final

from cronally.instants import MAX_INSTANT, MIN_INSTANT

_VERSION: Final = 1
_MAX_LENGTH: Final = 2048
"""More than the longest has, which holds a name of 256 characters with four bytes each."""

Position = tuple[int | str | None, *tuple[str, ...]]
"""By what a row is sorted, and the texts that make its key with it."""


def encode(listed: str, position: Position) -> str:
    """The cursor that goes on after `position`.

    :param listed: which list it belongs to, and behind a `/` how it is filtered and sorted
    """
    content = json.dumps([_VERSION, listed, *position], separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(content.encode()).rstrip(b"=").decode("ascii")


def is_instant(value: object) -> bool:
    """Whether a list that is sorted by instants may go on from a value."""
    # bool is an int to Python.
    return type(value) is int and MIN_INSTANT <= value <= MAX_INSTANT


def is_instant_or_none(value: object) -> bool:
    """The same for a list in which those without an instant come last."""
    return value is None or is_instant(value)


def is_text(value: object) -> bool:
    """The same for a list that is sorted by texts: what is compared with keys is text that any database takes."""
    return (
        isinstance(value, str)
        and "\0" not in value
        and not any("\ud800" <= each <= "\udfff" for each in value)
    )


def decode(
    listed: str, texts: int, cursor: str, first: Callable[[object], bool] = is_instant
) -> tuple[Any, list[str]]:
    """The value and the texts that `encode` took. Raises ValueError with a complaint.

    :param texts: how many texts the position holds behind its value
    :param first: whether the value can be one of this list
    """
    match _read(cursor):
        case [version, name, value, *rest] if (
            (version, name, len(rest)) == (_VERSION, listed, texts)
            and first(value)
            and all(is_text(text) for text in rest)
        ):
            return value, rest
        case [version, str(name), *_] if (
            version == _VERSION and name != listed and name.partition("/")[0] == listed.partition("/")[0]
        ):
            raise ValueError(
                "belongs to the same list with other filters or in another order; send what its first page had with"
                " each page, or leave the cursor out to begin anew"
            )
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
