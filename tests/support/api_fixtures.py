"""The real API for tests of what calls it. Fixtures; a conftest.py takes them in by name.

Invariant: one server for a module, on SQLite; each test begins with an empty database and with a relay of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete

from cronally.store import tables
from tests.api.serving import Api, serving
from tests.support.relay import Relay, relaying

MANY = {"signups_per_minute": 100_000, "max_cronjobs": 1000, "max_bytes": 2**30}

_OF_THE_SERVER = ("heartbeat", "tzdata", "sealing_check")


@pytest.fixture(scope="module")
def api(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The real API on real sockets."""
    path = tmp_path_factory.mktemp("api") / "cronally.db"
    shutil.copy(migrated_sqlite, path)
    with serving(f"sqlite:///{path}", operations=MANY, previews_per_minute=100_000) as running:
        yield running


@pytest.fixture
def relay(api: Api) -> Iterator[Relay]:
    """A socket in front of the API, whose database is empty."""
    api.run(api.store.transact(_delete_everything))
    with relaying(api.port) as running:
        yield running


def _delete_everything(connection: Connection) -> None:
    for table in reversed(tables.metadata.sorted_tables):
        if table.name not in _OF_THE_SERVER:
            connection.execute(delete(table))
