"""Statements that are compiled once for all the stores of a session, as they are once for the store of a server.

Invariant: the connections of a kind of database share its dialect and what was compiled for it, and nothing else. A
store of its own for each test would compile each statement anew, which takes longer than to run it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, Dialect, Engine, event

_MAX: Final = 3000
"""Statements that are kept; when there are more, all are forgotten: a statement takes some 20 KB."""


@contextlib.contextmanager
def compiled_once() -> Iterator[None]:
    """Share what is compiled among the engines of the block."""
    dialects: dict[str, Dialect] = {}
    compiled: dict[str, dict[Any, Any]] = {}

    def share(connection: Connection) -> None:
        kind = f"{connection.dialect.name}+{connection.dialect.driver}"
        # One that has seen a database: at this point the first has.
        connection.dialect = dialects.setdefault(kind, connection.dialect)
        of_it = compiled.setdefault(kind, {})
        if len(of_it) > _MAX:
            of_it.clear()
        connection.execution_options(compiled_cache=of_it)

    event.listen(Engine, "engine_connect", share)
    try:
        yield
    finally:
        event.remove(Engine, "engine_connect", share)
