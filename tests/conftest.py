"""What every test may use: a clean environment, an empty database of either kind, a local AWS.

Invariant: a server is started when the first test asks for it, once per session, and ends with the session. Under
pytest-xdist each worker is a session of its own, with servers, ports and folders that no other worker knows. Two runs
of `make test` on the same code try the same examples; `make test-all` goes looking for new ones.
"""

from __future__ import annotations

import gc
import itertools
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support import processes, sampling
from tests.support.aws import LocalAws, local_aws
from tests.support.fork_server import fork_server
from tests.support.postgres import PostgresServer, postgres_server

# No deadline: how long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.register_profile("search", max_examples=1000, deadline=None, print_blob=True)
hypothesis.settings.load_profile("steady")

_FOREIGN_PREFIXES = ("CRONALLY_", "AWS_", "PG", "XDG_")


@pytest.hookimpl(tryfirst=True)  # before `-m` is looked at
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    sampling.mark_slow(items)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let no round of the collector go through all modules and tests, which only become more meanwhile, or later."""
    gc.disable()
    collected = yield
    gc.freeze()
    gc.enable()
    return collected


@pytest.fixture(scope="session", autouse=True)
def no_orphans() -> Iterator[None]:
    """Whatever the session (with pytest-xdist: the worker) has started has ended when the session ends."""
    processes.hear_ignored_signals()
    with fork_server() as forked:
        yield
        left = forked()
    left |= processes.children()
    assert not left, f"these processes were started by a test and not ended: {left}"


@pytest.fixture(scope="session", autouse=True)
def clean_environ(no_orphans: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of the developer's settings, credentials and home reaches a test or a server of the session."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(_FOREIGN_PREFIXES):
                patch.delenv(name)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The session's PostgreSQL."""
    with postgres_server() as server:
        yield server


_numbers = itertools.count(1)


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """The URL of an empty PostgreSQL database of the test's own."""
    name = f"test_{next(_numbers)}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of an SQLite database of the test's own, whose file does not exist yet."""
    return f"sqlite:///{tmp_path / 'cronally.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, once of each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """The session's AWS. Tests share it: each makes its own topics and users."""
    with local_aws(tmp_path_factory.mktemp("aws")) as server:
        yield server
