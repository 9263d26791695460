"""Alembic asks this file how to reach the database: over the connection that `migrate.upgrade` hands in."""

from __future__ import annotations

from alembic import context

from cronally.store import tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.metadata,
    # The caller holds the transaction: the whole upgrade is in it, or nothing is.
    transactional_ddl=True,
)
context.run_migrations()
