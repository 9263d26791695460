"""Stores for tests: open, migrated, empty, with a clock moved by hand. Fixtures; a conftest.py takes them in by name.

Invariant: the migrations run once per session and kind; each test gets a copy of what they made.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cronally.store import Store, open_store
from cronally.store.sqlite import SqliteStore
from tests.support.factories import Clock
from tests.support.postgres import PostgresServer

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a migrated, empty SQLite database."""
    path = tmp_path_factory.mktemp("migrated") / "cronally.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres: PostgresServer) -> str:
    """The name of a migrated, empty PostgreSQL database."""
    # Not one name: each folder's conftest.py that takes this fixture in has it once a session of its own.
    name = f"migrated_{next(_numbers)}"
    _migrate(postgres.create_database(name))
    return name


@pytest.fixture
def migrated_sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    path = tmp_path / "cronally.db"
    shutil.copy(migrated_sqlite, path)
    return f"sqlite:///{path}"


@pytest.fixture
def migrated_postgres_url(migrated_postgres: str, postgres: PostgresServer) -> Iterator[str]:
    name = f"store_{next(_numbers)}"
    yield postgres.create_database(name, migrated_postgres)
    postgres.drop_database(name)


@pytest.fixture(params=["sqlite", "postgres"])
def migrated_url(request: pytest.FixtureRequest) -> str:
    """The URL of a migrated, empty database of the test's own, once of each kind."""
    url: str = request.getfixturevalue(f"migrated_{request.param}_url")
    return url


@pytest.fixture
def clock() -> Clock:
    """The time in `store`."""
    return Clock()


@pytest.fixture
async def store(migrated_url: str, clock: Clock) -> AsyncIterator[Store]:
    """An open store of each kind whose clock is `clock`."""
    async for opened in _open(migrated_url, clock):
        yield opened


@pytest.fixture
async def sqlite_store(migrated_sqlite_url: str, clock: Clock) -> AsyncIterator[SqliteStore]:
    async for opened in _open(migrated_sqlite_url, clock):
        assert isinstance(opened, SqliteStore)
        yield opened


@pytest.fixture
async def postgres_store(migrated_postgres_url: str, clock: Clock) -> AsyncIterator[Store]:
    async for opened in _open(migrated_postgres_url, clock):
        yield opened


async def _open(url: str, clock: Callable[[], object]) -> AsyncIterator[Store]:
    store = await open_store(url)
    store.clock = clock  # type: ignore[method-assign, assignment]
    yield store
    await store.close()


def _migrate(url: str) -> None:
    """Migrate, on a thread of its own: whether an event loop runs here is no matter."""

    async def run() -> None:
        await (await open_store(url)).close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, run()).result()
