"""Operations over a store of each kind, with the real targets and a clock moved by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from cronally.instants import SECOND
from cronally.operations import Caller, Operations
from cronally.store import Store
from cronally.targets.build import build_targets
from cronally.targets.target import Target
from tests.operations.tenant import Tenants
from tests.support import factories
from tests.support.sampling import take_turns
from tests.support.stores import (
    clock,
    migrated_postgres,
    migrated_postgres_url,
    migrated_sqlite,
    migrated_sqlite_url,
    migrated_url,
    store,
)

__all__ = [
    "clock",
    "migrated_postgres",
    "migrated_postgres_url",
    "migrated_sqlite",
    "migrated_sqlite_url",
    "migrated_url",
    "store",
]


def pytest_itemcollected(item: pytest.Item) -> None:
    # Operations have no SQL of their own.
    take_turns(item, "migrated_url")


@pytest.fixture
async def targets() -> AsyncIterator[dict[str, Target]]:
    targets = build_targets()
    yield targets
    for target in targets.values():
        await target.close()


@pytest.fixture
def operations(store: Store, targets: dict[str, Target], clock: factories.Clock) -> Tenants:
    made = Operations(
        store,
        factories.vault(),
        targets,
        max_cronjobs=3,
        signups_per_minute=2,
        monotonic=lambda: clock.now / SECOND,
    )
    return Tenants(made)


@pytest.fixture
async def caller(operations: Tenants) -> Caller:
    """A tenant."""
    return await sign_up(operations, "username@example.com")


async def sign_up(operations: Tenants, email: str) -> Caller:
    answer = await operations.create_account({"email": email})
    caller = await operations.find_caller(answer["api_key"])
    assert caller is not None
    return caller
