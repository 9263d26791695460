"""The database goes away, cuts its answers off, or is full: nothing is sent without a row, and all heals by itself."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronally.vault import new_sealing_key
from tests.acceptance.hosted_client import HostedClient
from tests.acceptance.judge import all_arrived, judge
from tests.acceptance.ledger import SECOND, Seed, now, read_ledger, seed
from tests.acceptance.nodes import EVERYTHING, LEASE, Cluster
from tests.acceptance.proxy import postgres_proxy
from tests.acceptance.receiver import Receiver, accept_after
from tests.support.postgres import PostgresServer, postgres_server
from tests.support.server_process import http_answers

PER_SECOND = 50


def steady(seconds: float, *, delay: float = 0.5) -> list[Seed]:
    """Cron jobs that fire one after the other, beginning in a moment."""
    start = now() + int(delay * SECOND)
    return [
        Seed(start + number * SECOND // PER_SECOND, account=f"account {number % 8}")
        for number in range(int(seconds * PER_SECOND))
    ]


def settle(cluster: Cluster, receiver: Receiver, seeds: list[Seed], *, seconds: float = 60.0) -> None:
    """Wait until everything has arrived, and what a lost lease may bring again has too."""
    wanted = all_arrived(seeds, seeds[-1].next_fire_at + 1)
    receiver.wait_until(lambda got: wanted <= {publish.firing_id for publish in got}, seconds=seconds)
    deadline = time.monotonic() + LEASE + 60.0
    while cluster.url.startswith("postgresql") and time.monotonic() < deadline:
        if not read_ledger(cluster.url).waiting():
            return
        time.sleep(0.1)


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL that may be shut down, and that keeps what it has committed."""
    with postgres_server(durable=True, restarts=True) as server:
        yield server


@pytest.fixture
def own_cluster(own_postgres: PostgresServer, receiver: Receiver, tmp_path: Path) -> Iterator[Cluster]:
    yield Cluster(own_postgres.create_database("own"), new_sealing_key(), receiver.url, tmp_path)
    own_postgres.drop_database("own")


def test_postgres__restarted_at_once_in_the_middle(
    own_cluster: Cluster, own_postgres: PostgresServer, receiver: Receiver
) -> None:
    cluster = own_cluster
    receiver.answer = accept_after(0.05)
    seed(cluster.url, cluster.keys, [])
    with cluster.node(roles=EVERYTHING) as node:
        client = HostedClient(node.wait_until_started().url)
        client.create_account("patient@example.com")
        seeds = steady(3.0)
        seed(cluster.url, cluster.keys, seeds)
        receiver.wait_until(lambda got: len(got) >= PER_SECOND)
        with own_postgres.down():
            status, answer = client.send("POST", "/account/", {"email": "impatient@example.com"})
            assert (status, answer["error"]["code"]) == (503, "unavailable")
            assert b"retry-after:" in client.answers[-1].lower()
            assert client.send("GET", "/healthz")[0] == 200
            time.sleep(0.7)
        settle(cluster, receiver, seeds)
        client.account()
        node.stop()
    ledger = read_ledger(cluster.url)
    # Only what was claimed in a commit whose outcome nobody learned is lost to its lease.
    found = judge(
        seeds, ledger, receiver.requests, lost_leases={row.key: 1 for row in ledger.rows}, exact=False
    )
    assert found.delivered == len(seeds)
    assert found.duplicates <= 5, "what was sent is remembered until it is recorded"
    assert "Traceback" not in node.process.output()


@pytest.mark.slow
def test_postgres__down_while_the_api_starts_again(
    own_cluster: Cluster, own_postgres: PostgresServer
) -> None:
    """The node goes on, and says in one line why there is no API."""
    with own_cluster.node(roles=EVERYTHING) as node:
        node.wait_until_started()
        with own_postgres.down():
            os.kill(node.api_pid(), signal.SIGKILL)
            node.process.wait_until(lambda: "the API cannot be served" in node.process.output())
        node.process.wait_until(http_answers(node.url + "/readyz"))
        node.stop()
    assert "Traceback" not in node.process.output()


@pytest.mark.slow
def test_sigterm__while_postgres_is_down_ends_all_the_same(
    own_cluster: Cluster, own_postgres: PostgresServer, receiver: Receiver
) -> None:
    cluster = own_cluster
    receiver.answer = accept_after(0.3)
    seeds = [Seed(now()) for _ in range(20)]
    seed(cluster.url, cluster.keys, seeds)
    with cluster.node(settings={"CRONALLY_SHUTDOWN_GRACE": "1s"}) as node:
        receiver.wait_until(lambda got: len(got) >= 10)
        with own_postgres.down():
            node.stop()  # after the grace, and five seconds for the last records
    held = read_ledger(cluster.url).sending()
    assert held, "the records could not be written"
    with cluster.node() as node:
        settle(cluster, receiver, seeds)
        node.stop()
    found = judge(seeds, read_ledger(cluster.url), receiver.requests, lost_leases=dict.fromkeys(held, 1))
    assert found.delivered == 20


@pytest.mark.parametrize(
    "forwarded",
    [
        pytest.param(False, id="before_it_arrives", marks=pytest.mark.slow),
        pytest.param(True, id="after_it_arrived"),
    ],
)
def test_postgres__cut_off_at_a_commit(
    postgres_cluster: Cluster, receiver: Receiver, tmp_path: Path, forwarded: bool
) -> None:
    """The connection breaks when COMMIT was sent: nobody knows what came of it, and it does not matter."""
    cluster = postgres_cluster
    seed(cluster.url, cluster.keys, [])
    with postgres_proxy(cluster.url, every=12, forwarded=forwarded) as (url, cuts):
        behind = Cluster(url, cluster.keys, receiver.url, tmp_path)
        with behind.node() as node:
            node.wait_until_started()
            seeds = steady(1.5)
            seed(cluster.url, cluster.keys, seeds)
            settle(cluster, receiver, seeds)
            node.stop()
    assert cuts() >= 3
    ledger = read_ledger(cluster.url)
    lost = {row.key: 5 for row in ledger.rows}
    found = judge(seeds, ledger, receiver.requests, lost_leases=lost, exact=False)
    assert found.delivered == len(seeds)
    assert found.duplicates == 0, (
        "a record that was written is not forgotten, one that was not is written again"
    )


@pytest.mark.slow
def test_sqlite__that_may_not_grow_sends_nothing_without_a_row_and_recovers(
    sqlite_cluster: Cluster, receiver: Receiver
) -> None:
    """A full disk, as the server sees it: no write may make a file larger than it is."""
    cluster = sqlite_cluster
    seeds = steady(4.0, delay=2.0)
    seed(cluster.url, cluster.keys, seeds)
    with cluster.node() as node:
        node.wait_until_started()
        receiver.wait_until(lambda got: len(got) >= PER_SECOND)
        _, hard = resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (4096, hard))
        time.sleep(0.5)
        full = len(receiver.requests)
        time.sleep(1.0)
        assert len(receiver.requests) == full, "sent without a row in the ledger"
        assert node.process.alive
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        settle(cluster, receiver, seeds)
        time.sleep(LEASE + 1.0)  # whatever was claimed when the disk was full
        node.stop()
    ledger = read_ledger(cluster.url)
    lost = {row.key: 1 for row in ledger.rows}
    found = judge(seeds, ledger, receiver.requests, lost_leases=lost, exact=False)
    assert found.delivered == len(seeds)
    assert found.duplicates == 0
