"""Connections: credentials that many cron jobs share.

Invariant: what is secret stands in `secret` alone, sealed.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, Table, Text, text

from cronally.store.tables.accounts import account
from cronally.store.tables.columns import INSTANT, KEY, metadata, partial_index
from cronally.store.types import Id

connection: Final = Table(
    "connection",
    metadata,
    # Credentials that many cron jobs share.
    Column("connection_id", Id, primary_key=True),
    Column("account_id", Id, ForeignKey(account.c.account_id), nullable=False),
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
    # Since when its credentials are refused, NULL while they are not; and what was said to them.
    Column("unhealthy_since", INSTANT),
    Column("unhealthy_detail", Text),
    # When they may be tried next, how often they were, by which firing they are to be, and of which cron job one was.
    Column("probe_at", INSTANT),
    Column("probes", Integer, nullable=False, server_default=text("0")),
    Column("probe", Id),
    Column("probed", Id),
    # Until when the firings that it held are due that were let go; NULL once none is left.
    Column("release_at", INSTANT),
)
partial_index("ix_connection_probe_at", "probe_at IS NOT NULL", connection.c.probe_at)
partial_index("ix_connection_release_at", "release_at IS NOT NULL", connection.c.release_at)
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
