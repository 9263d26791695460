from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.docs.account import Account
from tests.support.cronally_server import CronallyServer, cronally_server

NOWHERE = "http://127.0.0.1:9"
"""Takes the place of AWS: what fires while a test runs leads nowhere."""

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CronallyServer]:
    """The real server, on its defaults."""
    settings = {"AWS_ENDPOINT_URL_SNS": NOWHERE, "CRONALLY_SIGNUPS_PER_MINUTE": "1000"}
    with cronally_server(tmp_path_factory.mktemp("server"), settings) as server:
        yield server


@pytest.fixture
def account(server: CronallyServer) -> Account:
    """A new account."""
    account = Account(server.url)
    assert account.sign_up(f"docs{next(_numbers)}@example.com").status == 200
    return account
