"""The type of the columns that hold the id of an account or of a cron job.

Invariant: Python sees an id as the text of a UUID in lower case on both databases, and both sort ids alike, by bytes.
An id that is no such text belongs to no row: it finds nothing.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Dialect, Text, TypeDecorator
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from cronally import wire


class Id(TypeDecorator[str]):
    """Text on SQLite, where JSON has no shorter form for it; `uuid` on PostgreSQL. Why: docs/design/keys.md."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """How a database holds it."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.UUID(as_uuid=False))
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """The empty text sorts before every id. Other texts that are no UUID become NULL, which equals nothing."""
        if dialect.name != "postgresql" or value is None or wire.UUID.fullmatch(value):
            return value
        return None if value else wire.NIL_UUID  # it sorts before every id, and is none
