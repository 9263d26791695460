"""What a request may ask of the connection that it came over.

Invariant: what the connection does not offer, as in a test without one, is asked for in vain and without harm.
"""

from __future__ import annotations

from typing import Final, Protocol, cast

from starlette.types import Scope

KEY: Final = "cronally.exchange"


class Exchange(Protocol):
    """A connection, as the request at work sees it."""

    def drop_body(self) -> None:
        """Count no bytes of the request's body: it is read to be dropped."""

    def lengthen(self, size: int) -> None:
        """Let so many more bytes follow in an answer that has no length and no chunks."""


def drop_body(scope: Scope) -> None:
    """The body of a request is read to be dropped: it takes no room from others."""
    if (exchange := scope.get(KEY)) is not None:
        cast("Exchange", exchange).drop_body()


def lengthen(scope: Scope, size: int) -> None:
    """Let so many bytes follow in an answer over HTTP/1.0, which ends with the connection. Call it before each part."""
    if (exchange := scope.get(KEY)) is not None:
        cast("Exchange", exchange).lengthen(size)
