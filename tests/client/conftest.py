from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cronally import Client
from tests.client.stand_in import StandIn, running_stand_in


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with running_stand_in() as stand_in:
        yield stand_in


@pytest.fixture
def account(stand_in: StandIn) -> dict[str, Any]:
    return stand_in.add_account()


@pytest.fixture
def client(stand_in: StandIn, account: dict[str, Any]) -> Iterator[Client]:
    with Client(stand_in.url, account["api_key"], account["api_secret"], backoff=0.001) as client:
        yield client
