"""Stopping and starting: SIGTERM in the middle of everything, and servers that must not start."""

from __future__ import annotations

import signal
import socket

import pytest

from tests.acceptance.judge import all_arrived, judge
from tests.acceptance.ledger import Seed, now, read_ledger, seed
from tests.acceptance.nodes import EVERYTHING, Cluster
from tests.acceptance.receiver import Receiver, accept, accept_after, hang
from tests.support.sampling import first

FIRINGS = 300
IN_FLIGHT = 32


def storm(cluster: Cluster, *, count: int = FIRINGS) -> list[Seed]:
    """Cron jobs of several accounts, all due now."""
    at = now()
    seeds = [Seed(at, account=f"account {number % 8}") for number in range(count)]
    seed(cluster.url, cluster.keys, seeds)
    return seeds


def finish(cluster: Cluster, receiver: Receiver, seeds: list[Seed]) -> None:
    """Let another server deliver what is left."""
    wanted = all_arrived(seeds, now())
    with cluster.node() as node:
        node.wait_until_started()
        receiver.wait_until(lambda got: wanted <= {publish.firing_id for publish in got})
        node.stop()


@first("postgres")
def test_sigterm__in_the_middle_of_a_storm_loses_and_doubles_nothing(
    cluster: Cluster, receiver: Receiver
) -> None:
    seeds = storm(cluster)
    receiver.answer = accept_after(0.1)
    with cluster.node(settings={"CRONALLY_IN_FLIGHT": str(IN_FLIGHT)}) as node:
        receiver.wait_until(lambda got: len(got) >= FIRINGS // 3)
        node.stop()
    left = read_ledger(cluster.url)
    assert not left.sending(), "what was in flight is recorded or given back"
    delivered = [row for row in left.rows if row.state == "delivered"]
    assert FIRINGS // 3 <= len(delivered) == len(receiver.requests) < FIRINGS
    judge(seeds, left, receiver.requests, undelivered=["pending"], awake=False)

    finish(cluster, receiver, seeds)
    found = judge(seeds, read_ledger(cluster.url), receiver.requests)
    assert (found.delivered, found.duplicates) == (FIRINGS, 0)


@first("sqlite")
def test_sigterm__with_a_target_that_hangs_ends_after_the_grace(cluster: Cluster, receiver: Receiver) -> None:
    seeds = storm(cluster, count=20)
    receiver.answer = hang
    patient = {
        "CRONALLY_REQUEST_TIMEOUT": "300s",  # longer than the test waits for the end
        "CRONALLY_LEASE": "600s",
        "CRONALLY_SHUTDOWN_GRACE": "1s",
        "CRONALLY_IN_FLIGHT": "8",
    }
    with cluster.node(settings=patient) as node:
        receiver.wait_until(lambda got: len(got) >= 8)
        took = node.stop()
    assert took >= 1.0
    left = read_ledger(cluster.url)
    assert not left.sending(), "nobody has to wait for a lease of ten minutes"
    assert {attempt.outcome for attempt in left.attempts} == {"unknown"}
    assert len(left.attempts) == 8
    untouched = [row for row in left.rows if row.attempt == 0]
    assert len(untouched) == 12, "what was not sent burned no attempt"

    receiver.answer = accept
    finish(cluster, receiver, seeds)
    with cluster.node() as node:  # the retries of what hung are up to two seconds away
        node.wait_until_started()
        receiver.wait_until(lambda got: len(got) >= 28)
        node.stop()
    found = judge(seeds, read_ledger(cluster.url), receiver.requests)
    assert (found.delivered, found.duplicates) == (20, 8)


def test_sigterm__twice_ends_at_once(sqlite_cluster: Cluster, receiver: Receiver) -> None:
    cluster = sqlite_cluster
    storm(cluster, count=1)
    receiver.answer = hang
    # All longer than the test waits for the end.
    settings = {
        "CRONALLY_REQUEST_TIMEOUT": "300s",
        "CRONALLY_LEASE": "600s",
        "CRONALLY_SHUTDOWN_GRACE": "300s",
    }
    with cluster.node(settings=settings) as node:
        receiver.wait_until(len)
        node.process.terminate()
        node.process.wait_until(lambda: '"stopping"' in node.process.output())
        node.process.send_signal(signal.SIGINT)
        assert node.process.wait(60) == 130


@first("sqlite")
def test_sigterm__right_after_the_start_ends_well(cluster: Cluster) -> None:
    with cluster.node(roles=EVERYTHING) as node:
        node.wait_until_started()
        node.stop()
        assert "Traceback" not in node.process.output()


def refuses(cluster: Cluster, roles: tuple[str, ...], settings: dict[str, str], port: int = 0) -> str:
    """Start a server that must not start, and return the one line that it says."""
    with cluster.node(roles=roles, settings=settings, port=port) as node:
        assert node.process.wait(60) == 1
        lines = node.process.output().strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_second_server__on_the_same_sqlite_file_refuses(sqlite_cluster: Cluster, receiver: Receiver) -> None:
    cluster = sqlite_cluster
    seeds = storm(cluster, count=1)
    with cluster.node() as node:
        node.wait_until_started()
        line = refuses(cluster, ("scheduler", "dispatcher"), {})
        assert "in use by another Cronally server" in line
        # The first one never noticed.
        receiver.wait_until(lambda got: len(got) == 1)
        node.stop()
    judge(seeds, read_ledger(cluster.url), receiver.requests)


@first("postgres")
def test_server__with_other_sealing_keys_refuses(cluster: Cluster, receiver: Receiver) -> None:
    storm(cluster, count=1)
    other = "other:" + "A" * 43 + "="
    line = refuses(cluster, ("scheduler", "dispatcher"), {"CRONALLY_SEALING_KEYS": other})
    assert "not those of this database" in line
    assert "A" * 43 not in line
    assert receiver.requests == []


def test_server__whose_port_is_taken_refuses_before_it_sends_anything(
    sqlite_cluster: Cluster, receiver: Receiver
) -> None:
    cluster = sqlite_cluster
    storm(cluster, count=5)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refuses(cluster, EVERYTHING, {}, port)
    assert f"port {port}" in line
    assert "--port" in line
    assert receiver.requests == []
    assert read_ledger(cluster.url).rows == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CRONALLY_CRASH_AT", "no.such.point"),
        ("CRONALLY_LEASE", "1s"),
        ("CRONALLY_DATABASE_URL", "mysql://root@localhost/x"),
        ("CRONALLY_ROLES", "nobody"),
    ],
)
@pytest.mark.slow
def test_server__with_a_setting_that_cannot_be_used_refuses_in_one_line(
    sqlite_cluster: Cluster, name: str, value: str
) -> None:
    roles = () if name == "CRONALLY_ROLES" else ("scheduler",)
    line = refuses(sqlite_cluster, roles, {name: value})
    assert name.removeprefix("CRONALLY_").split("_")[0].lower() in line.lower()


@pytest.mark.slow
def test_sigterm__given_back_firings_are_free_at_once(postgres_cluster: Cluster, receiver: Receiver) -> None:
    """What a stopping node gives back, another node sends without waiting for a lease to end."""
    cluster = postgres_cluster
    receiver.answer = accept_after(0.3)
    long_lease = {"CRONALLY_LEASE": "600s", "CRONALLY_IN_FLIGHT": str(IN_FLIGHT)}
    seeds = storm(cluster, count=120)
    with cluster.node(settings=long_lease) as one, cluster.node(settings=long_lease) as other:
        other.wait_until_started()
        receiver.wait_until(lambda got: len(got) >= 40)
        one.stop()
        wanted = all_arrived(seeds, now())
        receiver.wait_until(lambda got: wanted <= {publish.firing_id for publish in got})
        other.stop()
    ledger = read_ledger(cluster.url)
    found = judge(seeds, ledger, receiver.requests)
    assert (found.delivered, found.duplicates) == (120, 0)
