"""Order, with real servers that are killed in between: what arrives of a cron job that keeps it never goes back.

A firing may arrive twice, for a server died before it could record it; but none arrives once a later one has. The
moments of the kills are drawn with a fixed seed. Cron jobs without order are there to be in nobody's way.
"""

from __future__ import annotations

import itertools
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack

import pytest

from tests.acceptance.ledger import SECOND, Seed, now, read_ledger, seed
from tests.acceptance.nodes import LEASE, Cluster
from tests.acceptance.receiver import Answer, Publish, Receiver, accept_after, refuse
from tests.support.sampling import first

FIFO = "arn:aws:sns:us-east-1:123456789012:topic.fifo"
EVERY_SECOND = "* * * * * *"
OWED = 12
"""Fire times that are owed when the servers start: young enough to be fired whatever `catch_up` says."""


def lines() -> list[Seed]:
    """Cron jobs of two accounts that keep the order, by their topic or because they say so, and one that does not."""
    start = (now() // SECOND - OWED) * SECOND
    return [
        *(Seed(start, EVERY_SECOND, account=f"account {number % 2}", topic=FIFO) for number in range(2)),
        *(Seed(start, EVERY_SECOND, account=f"account {number % 2}", ordered=True) for number in range(2)),
        Seed(start, EVERY_SECOND, account="account 0"),
    ]


def keeps_order(one: Seed) -> bool:
    return one.ordered or one.topic == FIFO


def by_cronjob(arrived: Sequence[Publish]) -> dict[str, list[str]]:
    """The fire times that arrived of each cron job, in the order of their arrival."""
    found: dict[str, list[str]] = defaultdict(list)
    for publish in arrived:
        found[publish.attributes["cronally-cronjob-id"]].append(publish.attributes["cronally-scheduled-at"])
    return found


def assert_in_order(seeds: Sequence[Seed], arrived: Sequence[Publish]) -> None:
    found = by_cronjob(arrived)
    for one in filter(keeps_order, seeds):
        times = found[one.cronjob_id]
        for earlier, later in itertools.pairwise(times):
            assert earlier <= later, (one, times)


def sometimes(moments: random.Random) -> Answer:
    """Take most of it, and be busy with the rest."""
    take, busy = accept_after(0.02), refuse(503, "ServiceUnavailable", "busy")

    async def answer(publish: Publish) -> bytes | None:
        return await (busy if moments.random() < 0.1 else take)(publish)

    return answer


def wait_until_all_arrived(receiver: Receiver, seeds: Sequence[Seed], until: int) -> None:
    """Wait until everything of each line that was owed until an instant has arrived."""
    wanted = {one.cronjob_id: (until - one.next_fire_at) // SECOND + 1 for one in filter(keeps_order, seeds)}

    def enough(arrived: list[Publish]) -> bool:
        found = by_cronjob(arrived)
        return all(len(set(found[key])) >= count for key, count in wanted.items())

    receiver.wait_until(enough, seconds=120)


@first("sqlite")
@pytest.mark.parametrize("chance", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_one_server__killed_and_started_again(cluster: Cluster, receiver: Receiver, chance: int) -> None:
    moments = random.Random(chance)
    receiver.answer = sometimes(moments)
    seeds = lines()
    seed(cluster.url, cluster.keys, seeds)
    for _ in range(3):
        with cluster.node() as node:
            node.wait_until_started()
            begun = len(receiver.requests)
            receiver.wait_until(lambda got, begun=begun: len(got) > begun + 20)  # type: ignore[misc]
            time.sleep(moments.uniform(0.0, 0.2))
            node.kill()
    until = now()
    with cluster.node() as node:
        wait_until_all_arrived(receiver, seeds, until)
        node.stop()
    assert_in_order(seeds, receiver.requests)
    # A firing that was attempted has none in front of it that is not finished.
    ledger = read_ledger(cluster.url)
    for one in filter(keeps_order, seeds):
        rows = sorted(
            (row for row in ledger.rows if row.cronjob_id == one.cronjob_id), key=lambda row: row.scheduled_at
        )
        open_ = [row for row in rows if row.due_at is not None]
        if open_:
            assert all(row.attempt == 0 for row in rows[rows.index(open_[0]) + 1 :])


@pytest.mark.parametrize(("chance", "turns"), [(0, 2), pytest.param(1, 4, marks=pytest.mark.slow)])
def test_three_servers__killed_frozen_and_replaced(
    postgres_cluster: Cluster, receiver: Receiver, chance: int, turns: int
) -> None:
    cluster = postgres_cluster
    moments = random.Random(chance)
    receiver.answer = sometimes(moments)
    seeds = lines()
    seed(cluster.url, cluster.keys, seeds)
    with ExitStack() as stack:
        nodes = [stack.enter_context(cluster.node()).wait_until_started() for _ in range(3)]
        for turn in range(turns):
            begun = len(receiver.requests)
            receiver.wait_until(lambda got, begun=begun: len(got) > begun + 15)  # type: ignore[misc]
            hit = nodes.pop(moments.randrange(len(nodes)))
            if turn % 2:
                hit.freeze()
                time.sleep(1.5 * LEASE)
                hit.thaw()
                nodes.append(hit)
            else:
                hit.kill()
                nodes.append(stack.enter_context(cluster.node()))
        wait_until_all_arrived(receiver, seeds, now())
        for node in nodes:
            node.stop()
    assert_in_order(seeds, receiver.requests)
