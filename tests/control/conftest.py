"""Stores of each kind for the tests of what controls cron jobs."""

from __future__ import annotations

from tests.support.stores import (
    clock,
    migrated_postgres,
    migrated_postgres_url,
    migrated_sqlite,
    migrated_sqlite_url,
    migrated_url,
    postgres_store,
    store,
)

__all__ = [
    "clock",
    "migrated_postgres",
    "migrated_postgres_url",
    "migrated_sqlite",
    "migrated_sqlite_url",
    "migrated_url",
    "postgres_store",
    "store",
]
