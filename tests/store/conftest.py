"""Stores of both kinds, empty and migrated."""

from tests.support.stores import (
    clock,
    migrated_postgres,
    migrated_postgres_url,
    migrated_sqlite,
    migrated_sqlite_url,
    migrated_url,
    postgres_store,
    sqlite_store,
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
    "sqlite_store",
    "store",
]
