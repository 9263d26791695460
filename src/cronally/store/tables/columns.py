"""What the tables are made of: the schema that they belong to, the types of their columns, partial indexes.

Invariant: the same names and types on both databases.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Column, Index, MetaData, Text, text

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Byte order, as SQLite has it: the loose scan over accounts and every cursor compare keys with `>`, and a
# locale's collation is several times slower and need not agree between two machines.
KEY: Final = Text().with_variant(Text(collation="C"), "postgresql")
INSTANT: Final = BigInteger()


def partial_index(name: str, where: str, *columns: Column[Any]) -> None:
    """An index of those rows that a condition holds for, on both databases."""
    Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))
