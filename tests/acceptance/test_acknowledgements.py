"""Acknowledgements through real servers: words over sockets, and kill -9 where one is begun and where its time ends."""

from __future__ import annotations

import json
import re
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from tests.acceptance.judge import firing_id
from tests.acceptance.ledger import SECOND, Seed, execute, now, read_ledger, seed, transact
from tests.acceptance.nodes import EVERYTHING, Cluster
from tests.acceptance.receiver import Publish, Receiver

_OVERDUE = re.compile(r'"overdue": ?1')
ASKS = {"ack_within": SECOND, "ack_retry": 1, "catch_up": "all"}


def ask(cluster: Cluster, job: Seed, **policies: Any) -> None:
    """Put a cron job into the database whose firings are to be acknowledged."""
    seed(cluster.url, cluster.keys, [job])
    execute(cluster.url, "UPDATE cronjob SET policies = :policies", policies=json.dumps({**ASKS, **policies}))


def acks(cluster: Cluster) -> list[tuple[str, int, str | None]]:
    """Where the acknowledgements stand, how often they were delivered again, and the states of their firings."""

    def work(connection: Connection) -> list[tuple[str, int, str | None]]:
        rows = connection.execute(
            text(
                "SELECT a.ack, a.retries, f.state FROM firing f LEFT JOIN acknowledgement a"
                " ON a.cronjob_id = f.cronjob_id AND a.scheduled_at = f.scheduled_at AND a.kind = f.kind"
            )
        )
        return [(row[0], row[1], row[2]) for row in rows]

    return transact(cluster.url, work)


def call(url: str, body: bytes | None = None) -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, body), timeout=30) as answer:  # noqa: S310 - our own
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


def url_of(got: list[Publish]) -> str:
    return got[-1].attributes["cronally-ack-url"]


@pytest.mark.sample(1)
def test_words__reach_the_ledger_through_a_real_server(
    cluster: Cluster, receiver: Receiver, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    job = Seed(now())
    ask(cluster, job, ack_within=600 * SECOND)
    settings = {"CRONALLY_PUBLIC_URL": f"http://127.0.0.1:{port}", "CRONALLY_LOG_LEVEL": "debug"}
    with cluster.node(roles=EVERYTHING, port=port, settings=settings) as node:
        node.wait_until_started()
        receiver.wait_until(lambda got: got)
        url = url_of(receiver.requests)
        assert url.startswith(f"http://127.0.0.1:{port}/ack/")
        assert [call(f"{url}start/"), call(f"{url}fail/?exit_code=1", b"no")] == [200, 200]
        assert call(url.replace("/ack/", "/ack/A")) == 404
        node.stop()
        log = node.process.output()
    assert acks(cluster) == [("failed", 0, "delivered")]
    # Another server over the same database knows the URL, whichever port it has.
    with cluster.node(roles=EVERYTHING, port=port, settings=settings) as node:
        node.wait_until_started()
        assert call(f"{url}fail/?exit_code=0") == 200
        node.stop()
        log += node.process.output()
    assert acks(cluster) == [("acknowledged", 0, "delivered")]
    assert url.split("/")[4] not in log


@pytest.mark.parametrize(
    ("database_url", "point"),
    [
        ("sqlite", "acknowledge.before_commit:1"),
        ("postgres", "acknowledge.before_commit:2"),
        pytest.param("sqlite", "acknowledge.before_commit:2", marks=pytest.mark.slow),
        pytest.param("postgres", "acknowledge.before_commit:1", marks=pytest.mark.slow),
        pytest.param("sqlite", "acknowledge.after_commit:1", marks=pytest.mark.slow),
        pytest.param("postgres", "acknowledge.after_commit:1", marks=pytest.mark.slow),
        pytest.param("sqlite", "acknowledge.after_commit:2", marks=pytest.mark.slow),
        pytest.param("postgres", "acknowledge.after_commit:2", marks=pytest.mark.slow),
    ],
    indirect=["database_url"],
)
def test_kill__where_an_acknowledgement_begins_or_its_time_ends(
    cluster: Cluster, receiver: Receiver, point: str
) -> None:
    """No crash parts the delivery from its acknowledgement, nor the end of its time from what follows."""
    job = Seed(now())
    ask(cluster, job)
    settings = {"CRONALLY_PUBLIC_URL": "https://cron.example.com"}
    with cluster.node(crash_at=point, settings=settings) as node:
        node.wait_until_killed()
    (left,) = acks(cluster)
    # The first is where the delivery is recorded, the second where it is to be delivered again.
    expected = {
        "acknowledge.before_commit:1": (None, None, "sending"),
        "acknowledge.before_commit:2": ("waiting", 0, "delivered"),
        "acknowledge.after_commit:1": ("waiting", 1, "pending"),
        "acknowledge.after_commit:2": ("overdue", 1, "delivered"),
    }
    assert left == expected[point]
    with cluster.node(settings=settings) as node:
        node.wait_until_started()
        if left[0] != "overdue":
            node.process.wait_until(lambda: _OVERDUE.search(node.process.output()))
        node.stop()
    assert acks(cluster) == [("overdue", 1, "delivered")]
    (row,) = read_ledger(cluster.url).rows
    # Once for each delivery, and once more where its record was lost; one firing, and a URL for each delivery.
    lost = point == "acknowledge.before_commit:1"
    assert receiver.counts() == {firing_id(*row.key): 3 if lost else 2}
    assert len({url_of([one]) for one in receiver.requests}) == 2
