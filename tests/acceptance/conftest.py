"""What the acceptance tests share: a receiver, and a cluster of real servers over one database."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cronally.vault import new_sealing_key
from tests.acceptance.ledger import Row, read_ledger
from tests.acceptance.nodes import Cluster
from tests.acceptance.receiver import Receiver, receiver
from tests.support.aws import LocalAws, Topic
from tests.support.cronally_server import CronallyServer, cronally_server


@pytest.fixture(name="receiver")
def _receiver() -> Iterator[Receiver]:
    """The test's own SNS."""
    with receiver() as made:
        yield made


@pytest.fixture
def cluster(database_url: str, receiver: Receiver, tmp_path: Path) -> Cluster:
    """Servers over an empty database, once of each kind."""
    return Cluster(database_url, new_sealing_key(), receiver.url, tmp_path)


@pytest.fixture
def sqlite_cluster(sqlite_url: str, receiver: Receiver, tmp_path: Path) -> Cluster:
    """A server over an empty SQLite database."""
    return Cluster(sqlite_url, new_sealing_key(), receiver.url, tmp_path)


@pytest.fixture
def postgres_cluster(postgres_url: str, receiver: Receiver, tmp_path: Path) -> Cluster:
    """Servers over an empty PostgreSQL database."""
    return Cluster(postgres_url, new_sealing_key(), receiver.url, tmp_path)


@dataclass(frozen=True)
class Minute:
    """A cron job of every minute on a server of its own, added by its CLI."""

    server: CronallyServer
    topic: Topic
    cronjob: Mapping[str, Any]
    database_url: str

    def read_rows(self) -> list[Row]:
        """The ledger, once the server has ended."""
        return read_ledger(self.database_url).rows


@pytest.fixture(scope="session")
def minute(aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Minute]:
    """Sign up, add a cron job, and let it wait for its minute; SQLite, sealing keys made by the server."""
    folder = tmp_path_factory.mktemp("minute")
    url = f"sqlite:///{folder / 'cronally.db'}"
    settings = {"CRONALLY_DATABASE_URL": url, "AWS_ENDPOINT_URL_SNS": aws.url}
    with cronally_server(folder, settings) as server:
        topic = aws.make_topic("every-minute")
        keys = aws.make_publisher(topic.arn)

        def run(*arguments: str) -> Mapping[str, Any]:
            env = {"CRONALLY_SNS_SECRET_ACCESS_KEY": keys.secret_access_key}
            done = server.cli(*arguments, "--json", env=env)
            assert done.returncode == 0, done.stderr
            answer: Mapping[str, Any] = json.loads(done.stdout)["response"]
            return answer

        run("signup", "minute@example.com")
        cronjob = run(
            "add",
            *("--name", "every minute"),
            *("--cron", "* * * * *"),
            *("--sns-topic", topic.arn),
            *("--sns-message", "a minute has passed"),
            *("--sns-access-key-id", keys.access_key_id),
        )
        yield Minute(server, topic, cronjob, url)


@pytest.fixture(scope="session", autouse=True)
def _begin_the_minute_early(request: pytest.FixtureRequest) -> None:
    # A worker does not know yet whether this test will be its own.
    if not _is_worker(request.config) and any(map(_waits_for_the_minute, request.session.items)):
        request.getfixturevalue("minute")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let nobody wait for the test of the minute.

    It is the last one of this folder: until then the minute comes. Under pytest-xdist it is the first one of all: the
    other workers run what is left while one waits.
    """
    if _is_worker(config):
        items.sort(key=lambda item: not _waits_for_the_minute(item))
        return
    folder = Path(__file__).parent
    places = [place for place, item in enumerate(items) if item.path.is_relative_to(folder)]
    ordered = sorted((items[place] for place in places), key=_waits_for_the_minute)
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _waits_for_the_minute(item: pytest.Item) -> bool:
    return "minute" in getattr(item, "fixturenames", ()) and item.path.name == "test_minute.py"
