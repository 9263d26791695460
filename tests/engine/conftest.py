"""Stores, a scripted target and dispatchers for the tests of the engine."""

from __future__ import annotations

import pytest

from tests.support.factories import Monotonic, ScriptedTarget
from tests.support.sampling import take_turns
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


_STATEMENTS = frozenset({"test_claim.py", "test_dispatcher.py", "test_tick.py", "test_order.py"})
"""Of statements that the databases read differently, or hold locks for differently: on both always."""


def pytest_itemcollected(item: pytest.Item) -> None:
    # The engine has no SQL of its own.
    if item.path.name not in _STATEMENTS:
        take_turns(item, "migrated_url")


@pytest.fixture
def target() -> ScriptedTarget:
    return ScriptedTarget()


@pytest.fixture
def monotonic() -> Monotonic:
    return Monotonic()
