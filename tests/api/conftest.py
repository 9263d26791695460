"""A server on SQLite for a whole module, and tenants of it."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronally.api import refusals
from tests.api.serving import Api, Client, serving, sign_up
from tests.support.stores import migrated_postgres, migrated_postgres_url, migrated_sqlite

__all__ = ["migrated_postgres", "migrated_postgres_url", "migrated_sqlite"]

MANY = {"signups_per_minute": 100_000, "max_cronjobs": 1000, "max_bytes": 2**30}

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def api(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    path = tmp_path_factory.mktemp("api") / "cronally.db"
    shutil.copy(migrated_sqlite, path)
    with serving(f"sqlite:///{path}", operations=MANY, previews_per_minute=100_000) as running:
        yield running


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """All tests ask from one address, to which so much is refused that its connections would end."""
    monkeypatch.setattr(refusals, "MAX_REFUSED", 100_000)


@pytest.fixture
def stranger(api: Api) -> Client:
    """Somebody without an account."""
    return Client(api)


@pytest.fixture(scope="module")
def module_client(api: Api) -> Client:
    return sign_up(api, f"tenant{next(_numbers)}@example.com")


@pytest.fixture
def client(api: Api) -> Client:
    """A tenant of the test's own."""
    return sign_up(api, f"tenant{next(_numbers)}@example.com")
