"""What the tests of the targets of AWS share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvloop

from cronally.targets.aws.caller import GLOBAL
from cronally.targets.build import build_targets
from cronally.targets.target import Destination, Target
from tests.support.aws import REGION, Keys, LocalAws
from tests.targets.conftest import CANARY


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The server's alone: what differs between loops is the pool's, which has tests of its own."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def targets(aws: LocalAws) -> AsyncIterator[dict[str, Target]]:
    """All targets, towards the local AWS."""
    made = build_targets(aws_endpoints={GLOBAL: aws.url}, total_timeout=60, connect_timeout=60)
    yield made
    for target in made.values():
        await target.close()


def destination(target: str, keys: Keys | None = None, /, **public: Any) -> Destination:
    """Where to call, with keys."""
    keys = keys or Keys("AKIAIOSFODNN7EXAMPLE", CANARY)
    return Destination(
        target,
        {"aws_region": REGION, "aws_access_key_id": keys.access_key_id, **public},
        {"aws_secret_access_key": keys.secret_access_key},
    )
