"""kill -9 in the middle of what takes several transactions, on both databases: another process goes on with the rest.

A part of a backfill, a part of a replay of a set, the lifting of a freeze: the process dies just before the commit of
the second part or just after it. What is owed then goes out, each firing once, and no faster than was asked for.
"""

from __future__ import annotations

import http.client
import itertools
from typing import Any

import pytest
from sqlalchemy import insert, select

from cronally.store import tables
from tests.acceptance.hosted_client import HostedClient
from tests.acceptance.judge import firing_id, iso
from tests.acceptance.ledger import DAY, MINUTE, SECOND, execute, now, transact
from tests.acceptance.nodes import Cluster
from tests.acceptance.receiver import Receiver

HOUR = 60 * MINUTE
COUNT = 45
"""Firings that an operation makes due: three parts."""
PART = 20
HELD = 620
"""Firings that a freeze holds: two parts."""
RELEASED = 500
PER_MINUTE = 600
POINTS = ["change.before_commit", "change.after_commit"]

SNS = {
    "name": "job",
    "sns_topic": "arn:aws:sns:us-east-1:123456789012:topic",
    "sns_region": "us-east-1",
    "sns_message": "again",
    "sns_access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "sns_secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
}


def rows(cluster: Cluster, cronjob_id: str, times: list[int]) -> dict[int, Any]:
    """The rows of the ledger for these fire times."""
    table = tables.firing
    query = select(table).where(table.c.cronjob_id == cronjob_id)
    found = transact(cluster.url, lambda connection: connection.execute(query).all())
    return {row.scheduled_at: row for row in found if row.scheduled_at in times}


def begin(client: HostedClient) -> tuple[str, list[int]]:
    """A cron job of every hour that does not fire in the next minutes, and its last fire times, the oldest first."""
    far = (now() // MINUTE + 30) % 60
    client.create_account("owner@example.com")
    made = client.add_cronjob(**SNS, cron=f"{far} * * * *")["response"]
    last = now() // HOUR * HOUR + far * MINUTE
    last -= HOUR if last > now() else 0
    return made["cronjob_id"], [last - number * HOUR for number in range(COUNT)][::-1]


def fail(cluster: Cluster, cronjob_id: str, times: list[int], **given: Any) -> None:
    """Put firings into the ledger that have failed, or what else is given."""
    account = select(tables.cronjob.c.account_id).where(tables.cronjob.c.cronjob_id == cronjob_id)
    values = {"cronjob_id": cronjob_id, "kind": "scheduled", "count": 1, "lost_leases": 0, "refusals": 0}
    values |= {"state": "failed", "reason": "target_refused", "attempt": 1, "lease_no": 1} | given

    def work(connection: Any) -> None:
        of = connection.execute(account).scalar_one()
        ended = {} if "due_at" in given else {"finished_at": times[-1]}
        each = [{**values, **ended, "account_id": of, "scheduled_at": at, "created_at": at} for at in times]
        connection.execute(insert(tables.firing), each)

    transact(cluster.url, work)


def let_arrive(cluster: Cluster, receiver: Receiver, cronjob_id: str, times: list[int]) -> dict[int, Any]:
    """Let another process go on until all has arrived; the rows then."""
    # Whoever worked on it is gone: its lease need not be waited for.
    execute(cluster.url, "UPDATE operation SET leased_until = 0")
    wanted = {firing_id(cronjob_id, at) for at in times}
    with cluster.node() as node:
        receiver.wait_until(lambda got: wanted <= {one.firing_id for one in got}, seconds=90)
        node.stop()
    found = rows(cluster, cronjob_id, times)
    assert {row.state for row in found.values()} == {"delivered"}
    assert len(found) == len(times)
    return found


@pytest.mark.sample(2)
@pytest.mark.parametrize("action", ["backfill", "replay"])
@pytest.mark.parametrize("point", POINTS)
def test_kill_in_an_operation(cluster: Cluster, receiver: Receiver, action: str, point: str) -> None:
    with cluster.node(roles=["api"]) as node:
        client = HostedClient(node.wait_until_started().url)
        cronjob_id, times = begin(client)
        sent = {"max_per_minute": str(PER_MINUTE)}
        if action == "backfill":
            stretch = {"from": iso(times[0]), "to": iso(times[-1])}
            client.signed("POST", f"/cronjob/{cronjob_id}/backfill/", sent | stretch)
        node.stop()
    if action == "replay":
        fail(cluster, cronjob_id, times)
        with cluster.node(roles=["api"]) as node:
            client.url = node.wait_until_started().url
            client.signed("POST", "/firings/replay/", {**sent, "state": "failed"})
            node.stop()

    with cluster.node(crash_at=f"{point}:2") as node:
        node.wait_until_killed()
    left = rows(cluster, cronjob_id, times)
    made = [row for row in left.values() if row.owed_at is not None]
    assert len(made) == (PART if point == "change.before_commit" else 2 * PART)
    may_repeat = {row.scheduled_at for row in made if row.state == "sending"}
    arrived = receiver.counts()

    found = let_arrive(cluster, receiver, cronjob_id, times)
    counts = receiver.counts()
    assert counts.keys() == {firing_id(cronjob_id, at) for at in times}
    again = {at for at in times if counts[firing_id(cronjob_id, at)] > 1}
    assert again <= {at for at in may_repeat if arrived[firing_id(cronjob_id, at)]}
    for row in made:
        assert found[row.scheduled_at].owed_at == row.owed_at, "made due once"
    due = sorted(row.owed_at for row in found.values())
    assert all(later - earlier >= MINUTE // PER_MINUTE for earlier, later in itertools.pairwise(due))
    table = tables.operation
    query = select(table.c.state, table.c.done, table.c.failed)
    (operation,) = transact(cluster.url, lambda connection: connection.execute(query).all())
    assert operation == ("completed", COUNT, 0)


@pytest.mark.sample(1)
@pytest.mark.parametrize("point", POINTS)
def test_kill_while_a_freeze_is_lifted(cluster: Cluster, receiver: Receiver, point: str) -> None:
    """What it held goes out without anybody asking once more."""
    with cluster.node(roles=["api"]) as node:
        client = HostedClient(node.wait_until_started().url)
        cronjob_id, (*_, last) = begin(client)
        frozen = client.signed("POST", "/freeze/", {"all": "true", "until": "1d", "rule": "all"})["response"]
        node.stop()
    times = [last - number * MINUTE for number in range(HELD)][::-1]
    held = {"state": "pending", "reason": "frozen", "cause": frozen["freeze_id"], "attempt": 0}
    fail(cluster, cronjob_id, times, **held, due_at=now() + DAY, owed_at=now() + DAY)

    # The first transaction lifts it, those behind let go what it holds.
    with cluster.node(roles=["api"], crash_at=f"{point}:2") as node:
        client.url = node.wait_until_started().url
        with pytest.raises((OSError, http.client.HTTPException)):
            client.signed("DELETE", f"/freeze/{frozen['freeze_id']}/")
        node.wait_until_killed()
    left = [row for row in rows(cluster, cronjob_id, times).values() if row.reason == "frozen"]
    assert len(left) == (HELD if point == "change.before_commit" else HELD - RELEASED)

    found = let_arrive(cluster, receiver, cronjob_id, times)
    assert receiver.counts() == {firing_id(cronjob_id, at): 1 for at in times}
    assert all(row.owed_at < now() + SECOND for row in found.values())
