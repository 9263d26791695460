from __future__ import annotations

from collections.abc import Iterator

import pytest

from cronally import Client
from cronally.client import Account
from tests.support.api_fixtures import api, relay
from tests.support.relay import Relay
from tests.support.stores import migrated_sqlite, migrated_sqlite_url

__all__ = ["api", "migrated_sqlite", "migrated_sqlite_url", "relay"]


@pytest.fixture
def account(relay: Relay) -> Account:
    with Client(relay.url) as client:
        account = client.signup("somebody@example.com")
    relay.requests.clear()
    return account


@pytest.fixture
def client(relay: Relay, account: Account) -> Iterator[Client]:
    with Client(relay.url, account.api_key, account.api_secret, backoff=0.001) as client:
        yield client
