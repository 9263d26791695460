"""Stores, a scripted target and dispatchers for the tests of the engine."""

from __future__ import annotations

import pytest

from tests.support.factories import Monotonic, ScriptedTarget
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


@pytest.fixture
def target() -> ScriptedTarget:
    return ScriptedTarget()


@pytest.fixture
def monotonic() -> Monotonic:
    return Monotonic()
