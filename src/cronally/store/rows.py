"""Many rows read at once.

Invariant: the rows come back in the query's own order. The query has a LIMIT, which holds SQLite to that order.
Why not row by row: `batches`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import CompoundSelect, Connection, Select, func, select


class Rows:
    """A query made once, and run with parameters. Its columns hold text and numbers, no bytes."""

    def __init__(self, query: Select[Any] | CompoundSelect[Any]) -> None:
        self._query = query
        self._count = select(func.count()).select_from(query.subquery())
        self._as_json = select(func.json_group_array(func.json_array(*query.subquery().c)))

    def read(self, connection: Connection, parameters: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """All rows."""
        if connection.dialect.name == "sqlite":
            rows: list[list[Any]] = json.loads(connection.execute(self._as_json, parameters).scalar_one())
            return rows
        return connection.execute(self._query, parameters).all()

    def count(self, connection: Connection, parameters: Mapping[str, Any]) -> int:
        """How many rows there are."""
        count: int = connection.execute(self._count, parameters).scalar_one()
        return count
