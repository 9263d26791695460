"""The store: the only place that knows SQL.

Verbs are plain functions `verb(connection, ...)`, grouped by noun (`accounts`, `cronjobs`, `firings`, ...); a `Store`
runs them in transactions. Every verb that reads or changes a tenant's rows for the tenant takes its `account_id`.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from cronally import errors
from cronally.store import migrate
from cronally.store.database import Signal, Store
from cronally.store.postgres import PostgresStore
from cronally.store.sqlite import SqliteStore

__all__ = ["Signal", "Store", "open_store"]


async def open_store(url: str, *, pool_size: int = 10) -> Store:
    """Open the database at `sqlite:///path` or `postgresql://...` and migrate it.

    :param pool_size: connections to PostgreSQL that this process may hold, one that listens besides

    Raises `errors.StoreError` with one line that says what to do.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise errors.StoreError(
            "The database URL cannot be read. Write sqlite:///path/to/cronally.db or postgresql://user@host/name."
        ) from None
    store: Store
    match parsed.get_backend_name():
        case "sqlite" if parsed.database and parsed.database != ":memory:":
            store = SqliteStore(Path(parsed.database))
        case "postgresql":
            store = PostgresStore(parsed, pool_size=pool_size)
        case other:
            raise errors.StoreError(
                f"The database URL names {other!r} or no file. Write sqlite:///path/to/cronally.db or"
                " postgresql://user@host/name."
            )
    try:
        await store.transact(migrate.upgrade)
    except (errors.Unavailable, DBAPIError) as problem:
        await store.close()
        raise errors.StoreError(
            f"The database at {parsed.set(query={}).render_as_string()} cannot be opened: {_reason(problem)}."
            " Check that it runs, and the address, user and password in CRONALLY_DATABASE_URL."
        ) from problem
    except BaseException:
        await store.close()
        raise
    return store


def _reason(problem: BaseException) -> str:
    """What the driver said, in one line."""
    if isinstance(problem, errors.Unavailable) and problem.__cause__ is not None:
        problem = problem.__cause__
    if isinstance(problem, DBAPIError) and problem.orig is not None:
        problem = problem.orig
    lines = str(problem).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(problem).__name__
