"""The store: the only place that knows SQL.

Verbs are plain functions `verb(connection, ...)`, grouped by noun (`accounts`, `cronjobs`, `leases`, ...); a `Store`
runs them in transactions. Every verb that reads or changes a tenant's rows for the tenant takes its `account_id`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from cronally import errors
from cronally.store import migrate
from cronally.store.database import Signal, Store
from cronally.store.postgres import PostgresStore
from cronally.store.sqlite import SqliteStore

__all__ = ["Signal", "Store", "open_as_it_is", "open_store", "parse_url", "readable"]

_WRITE = "Write sqlite:///path/to/cronally.db or postgresql://user@host/name."
_WHERE = ("host", "port")


def parse_url(text: str) -> URL:
    """The URL of a database that there is a store for. Raises `errors.StoreError`, without repeating the text."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        raise errors.StoreError(f"The database URL cannot be read. {_WRITE}") from None
    if url.drivername == "postgres":  # as libpq, Heroku and Kubernetes operators write it
        url = url.set(drivername="postgresql")
    # What comes before the last one belongs to the password, and is not to be shown.
    if "@" in (url.host or ""):
        raise errors.StoreError("The database URL has an @ in its user or password: write it there as %40.")
    kind = url.get_backend_name()
    if kind == "postgresql" or (kind == "sqlite" and url.database and url.database != ":memory:"):
        return url
    lacks = "names no file" if kind == "sqlite" else f"is of {kind!r}, which there is no store for"
    raise errors.StoreError(f"The database URL {lacks}. {_WRITE}")


def readable(url: URL) -> str:
    """The URL for a log: without its password, wherever in it that stands, and a file with its whole path."""
    if url.get_backend_name() == "sqlite":
        return f"sqlite:///{Path(url.database or '').resolve()}"
    return url.set(query={key: url.query[key] for key in _WHERE if key in url.query}).render_as_string()


async def open_store(url: str, *, pool_size: int = 10) -> Store:
    """Open the database at `sqlite:///path` or `postgresql://...` and migrate it.

    :param pool_size: connections to PostgreSQL that this process may hold, one that listens besides

    Raises `errors.StoreError` with one line that says what to do.
    """
    return await _open(parse_url(url), migrate.upgrade, pool_size)


async def open_as_it_is(url: str) -> Store:
    """Open a database that is there and has this version's tables, to read it.

    Raises `errors.StoreError` with one line that says what to do.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite" and not os.path.exists(parsed.database or ""):  # noqa: ASYNC240 - once
        raise errors.StoreError(f"There is no database at {readable(parsed)}. Check CRONALLY_DATABASE_URL.")
    return await _open(parsed, migrate.check, 1)


async def _open(parsed: URL, prepare: Callable[[Connection], None], pool_size: int) -> Store:
    store: Store
    if parsed.get_backend_name() == "sqlite":
        store = SqliteStore(Path(parsed.database or ""))
    else:
        store = PostgresStore(parsed, pool_size=pool_size)
    try:
        await store.transact(prepare, patience=None)
    except (errors.Unavailable, DBAPIError) as problem:
        await store.close()
        raise errors.StoreError(
            f"The database at {readable(parsed)} cannot be opened: {_reason(problem)}."
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
