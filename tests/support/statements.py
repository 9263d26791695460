"""What a store sends to its database while something runs: for tests that count it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Engine, event

from cronally.store import Store
from cronally.store.postgres import PostgresStore

# SQLite's transaction belongs to everything that is committed with it.
_AROUND = ("BEGIN IMMEDIATE", "SAVEPOINT", "RELEASE")


@contextlib.contextmanager
def sent_by(store: Store) -> Iterator[list[str]]:
    """The statements that a store sends; on PostgreSQL with what begins and ends a transaction."""
    sent: list[str] = []

    def record(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith(_AROUND):
            sent.append(statement)

    event.listen(Engine, "before_cursor_execute", record)
    try:
        with _transactions(store, sent) if isinstance(store, PostgresStore) else contextlib.nullcontext():
            yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", record)


@contextlib.contextmanager
def _transactions(store: PostgresStore, sent: list[str]) -> Iterator[None]:
    """Add what the driver sends by itself."""
    engine = store._engine.sync_engine
    drivers: set[Any] = set()

    def log(query: Any) -> None:
        sent.append(query.query)

    def listen(connection: Any, *_: Any) -> None:
        if connection.driver_connection not in drivers:
            drivers.add(connection.driver_connection)
            connection.driver_connection.add_query_logger(log)

    event.listen(engine, "checkout", listen)
    try:
        yield
    finally:
        event.remove(engine, "checkout", listen)
        for driver in drivers:
            driver.remove_query_logger(log)
