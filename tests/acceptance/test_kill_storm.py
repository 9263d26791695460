"""kill -9 at random moments of a steady load, again and again. The moments are drawn with a fixed seed."""

from __future__ import annotations

import random
import time
from collections import Counter
from contextlib import ExitStack

import pytest

from tests.acceptance.judge import all_arrived, judge
from tests.acceptance.ledger import SECOND, Seed, now, read_ledger, seed
from tests.acceptance.nodes import LEASE, Cluster, most_held
from tests.acceptance.receiver import Receiver, accept_after

PER_SECOND = 100
IN_FLIGHT = 64


def steady(seconds: float) -> list[Seed]:
    """Cron jobs that fire one after the other from now on."""
    start = now()
    return [
        Seed(start + number * SECOND // PER_SECOND, account=f"account {number % 10}")
        for number in range(int(seconds * PER_SECOND))
    ]


@pytest.mark.slow
@pytest.mark.parametrize("chance", range(3))
def test_one_server__killed_again_and_again(cluster: Cluster, receiver: Receiver, chance: int) -> None:
    moments = random.Random(chance)
    receiver.answer = accept_after(0.03)
    kills = 6
    seeds = steady(4.0 * kills)
    seed(cluster.url, cluster.keys, seeds)
    lost: Counter[tuple[str, int, str]] = Counter()
    for _ in range(kills):
        with cluster.node(settings={"CRONALLY_IN_FLIGHT": str(IN_FLIGHT)}) as node:
            node.wait_until_started()
            time.sleep(moments.uniform(0.0, 2.5))
            node.kill()
        # A connection to PostgreSQL outlives its process by a moment; what it had sent may still be committed.
        time.sleep(0.2)
        held = read_ledger(cluster.url).sending()
        assert len(held) <= most_held(IN_FLIGHT) + sum(lost.values())
        lost.update(held)
    wanted = all_arrived(seeds, now())
    with cluster.node() as node:
        receiver.wait_until(lambda got: wanted <= {publish.firing_id for publish in got}, seconds=60)
        time.sleep(LEASE + 1.0)
        node.stop()
    found = judge(seeds, read_ledger(cluster.url), receiver.requests, lost_leases=lost, exact=False)
    assert found.delivered == len(seeds)
    assert found.duplicates <= kills * most_held(IN_FLIGHT)


@pytest.mark.slow
@pytest.mark.parametrize("chance", range(2))
def test_three_servers__one_or_another_killed_and_replaced(
    postgres_cluster: Cluster, receiver: Receiver, chance: int
) -> None:
    cluster = postgres_cluster
    moments = random.Random(chance)
    receiver.answer = accept_after(0.03)
    kills = 8
    seeds = steady(2.5 * kills)
    seed(cluster.url, cluster.keys, seeds)
    limit = {"CRONALLY_IN_FLIGHT": str(IN_FLIGHT)}
    with ExitStack() as stack:
        nodes = [stack.enter_context(cluster.node(settings=limit)).wait_until_started() for _ in range(3)]
        for _ in range(kills):
            time.sleep(moments.uniform(0.0, 2.0))
            nodes.pop(moments.randrange(len(nodes))).kill()
            nodes.append(stack.enter_context(cluster.node(settings=limit)))
        wanted = all_arrived(seeds, now())
        receiver.wait_until(lambda got: wanted <= {publish.firing_id for publish in got}, seconds=60)
        time.sleep(LEASE + 1.0)
        for node in nodes:
            node.wait_until_started().stop()
    ledger = read_ledger(cluster.url)
    lost = {row.key: kills for row in ledger.rows}
    found = judge(seeds, ledger, receiver.requests, lost_leases=lost, exact=False)
    assert found.delivered == len(seeds)
    assert found.duplicates <= kills * most_held(IN_FLIGHT)
    # Two others were awake at every moment.
    due = {one.cronjob_id: one.next_fire_at for one in seeds}
    first: dict[str, int] = {}
    for publish in receiver.requests:
        first.setdefault(publish.attributes["cronally-cronjob-id"], publish.received_at)
    assert max(first[key] - due[key] for key in due) < (LEASE + 4) * SECOND
