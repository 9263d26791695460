"""The tables of connections: credentials that many cron jobs share. As in `tables`, which has them too.

Invariant: what is secret stands in `secret` alone, sealed.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, Table, Text

from cronally.store.columns import INSTANT, KEY, metadata
from cronally.store.types import Id

connection: Final = Table(
    "connection",
    metadata,
    # Credentials that many cron jobs share.
    Column("connection_id", Id, primary_key=True),
    Column("account_id", Id, ForeignKey("account.account_id"), nullable=False),
    Column("name", KEY, nullable=False),
    Column("kind", Text, nullable=False),
    # JSON: what may be shown of it. The secrets are sealed beside it.
    Column("parameters", Text, nullable=False),
    Column("secret", LargeBinary),
    # Bytes of name and parameters, and of what is sealed.
    Column("size", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", INSTANT, nullable=False),
    Column("updated_at", INSTANT, nullable=False),
    # The API key that changed it.
    Column("updated_by", KEY, nullable=False),
    # When a firing was last sent with it, to the minute.
    Column("last_used_at", INSTANT),
)
Index("ix_connection_name", connection.c.account_id, connection.c.name, unique=True)

connection_previous: Final = Table(
    "connection_previous",
    metadata,
    # The secrets that a connection had before, for as long as they go on beside those that it has.
    Column("connection_id", Id, ForeignKey(connection.c.connection_id, ondelete="CASCADE"), primary_key=True),
    Column("account_id", Id, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("until", INSTANT, nullable=False, index=True),
)
