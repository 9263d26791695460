"""Many rows in one statement: they travel as one JSON parameter and the database takes it apart.

One round trip on PostgreSQL. On SQLite the reason is stronger: its driver lets go of Python's interpreter lock at
every row that it steps over and must wait for it again, so a statement a row crawls while the event loop is busy;
one statement for the whole batch runs beside it. Rows come back from SQLite the same way, as one JSON value.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Subquery,
    Table,
    Text,
    and_,
    bindparam,
    cast,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from cronally.store.types import Id

ROWS: Final = "rows"
"""The name of the statement's parameter."""
KEY: Final[Mapping[str, TypeEngine[Any]]] = {"cronjob_id": Id(), "scheduled_at": BigInteger(), "kind": Text()}
"""The columns of a batch of firings, in the order of `firing.Key`."""
LEASE: Final[Mapping[str, TypeEngine[Any]]] = {**KEY, "lease_no": Integer()}
"""Those of a batch of firings under leases."""


def encode(rows: Iterable[Sequence[Any]]) -> dict[str, str]:
    """The parameter for a statement over `table`: each row a sequence in the order of its columns."""
    return {ROWS: json.dumps(list(rows), separators=(",", ":"), ensure_ascii=False)}


def table(dialect: str, columns: Mapping[str, TypeEngine[Any]]) -> Subquery:
    """The rows of the parameter as a table named `batch`."""
    if dialect == "sqlite":
        each = func.json_each(bindparam(ROWS, type_=Text())).table_valued("value")
        picked = [
            func.json_extract(each.c.value, f"$[{index}]", type_=type_).label(name)
            for index, (name, type_) in enumerate(columns.items())
        ]
    else:
        each = func.jsonb_array_elements(cast(bindparam(ROWS, type_=Text()), JSONB)).table_valued("value")
        picked = [
            cast(each.c.value.op("->>")(index), type_).label(name)
            for index, (name, type_) in enumerate(columns.items())
        ]
    return select(*picked).select_from(each).subquery("batch")


def same(table: Table, batch: Subquery, names: Iterable[str]) -> ColumnElement[bool]:
    """Whether a row of a table has these columns as one of the batch has them."""
    return and_(*(table.c[name] == batch.c[name] for name in names))
