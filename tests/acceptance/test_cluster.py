"""Several servers on one PostgreSQL: no leader, and nothing doubled, whoever is killed, frozen or replaced."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from cronally.engine.shares import FIRST
from tests.acceptance.judge import all_arrived, judge
from tests.acceptance.ledger import MINUTE, SECOND, Seed, now, read_ledger, seed
from tests.acceptance.nodes import EVERYTHING, LEASE, PATIENT, Cluster, most_held
from tests.acceptance.receiver import Receiver, accept, accept_after

FIRINGS = 400
ACCOUNTS = 16
IN_FLIGHT = 32


def at_once(fire_time: int, count: int = FIRINGS) -> list[Seed]:
    """Cron jobs of several accounts that all fire at one instant."""
    return [Seed(fire_time, account=f"account {number % ACCOUNTS}") for number in range(count)]


def received(receiver: Receiver, seeds: list[Seed], *, seconds: float = 60.0) -> None:
    """Wait until every firing has arrived once at least."""
    wanted = all_arrived(seeds, seeds[0].next_fire_at + 1)
    receiver.wait_until(
        lambda got: len(got) >= len(wanted) and wanted <= {publish.firing_id for publish in got},
        seconds=seconds,
    )


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_nodes__at_one_instant_fire_everything_once(
    postgres_cluster: Cluster, receiver: Receiver, count: int
) -> None:
    cluster = postgres_cluster
    with ExitStack() as stack:
        nodes = [stack.enter_context(cluster.node(settings=PATIENT)) for _ in range(count)]
        for node in nodes:
            node.wait_until_started()
        seeds = at_once(now() + 3 * SECOND // 2)
        seed(cluster.url, cluster.keys, seeds)
        received(receiver, seeds)
        for node in nodes:
            node.stop()
    ledger = read_ledger(cluster.url)
    found = judge(seeds, ledger, receiver.requests)
    assert (found.delivered, found.duplicates) == (FIRINGS, 0)
    assert {row.lease_no for row in ledger.rows} == {1}, "nothing waited for a lease to end"


def test_nodes__one_is_killed_in_the_middle_and_the_other_finishes(
    postgres_cluster: Cluster, receiver: Receiver
) -> None:
    cluster = postgres_cluster
    receiver.answer = accept_after(0.2)
    seeds = at_once(now() + SECOND // 2)
    seed(cluster.url, cluster.keys, seeds)
    limit = {"CRONALLY_IN_FLIGHT": str(IN_FLIGHT)}
    with cluster.node(settings=limit) as one, cluster.node(settings=limit) as other:
        other.wait_until_started()
        receiver.wait_until(lambda got: len(got) >= FIRINGS // 4)
        one.kill()
        killed = time.monotonic()
        held = read_ledger(cluster.url).sending()
        received(receiver, seeds)
        # What the dead node held comes last, when its leases have ended; the recorder may still be at it.
        time.sleep(max(0.0, killed + LEASE + 1.0 - time.monotonic()))
        other.stop()
    found = judge(
        seeds, read_ledger(cluster.url), receiver.requests, lost_leases=dict.fromkeys(held, 1), exact=False
    )
    assert found.delivered == FIRINGS
    assert found.duplicates <= most_held(IN_FLIGHT)


def test_node__frozen_for_longer_than_its_leases_changes_nothing_when_it_wakes(
    postgres_cluster: Cluster, receiver: Receiver
) -> None:
    cluster = postgres_cluster
    # Long enough that the node is frozen while it waits for answers. Frozen in the middle of a transaction it would
    # hold its locks until PostgreSQL ends the session, half a minute later; frozen between its last look at the time
    # and the system call that writes, it would send late, which no sender can exclude.
    receiver.answer = accept_after(0.7)
    seeds = at_once(now() + SECOND // 2, count=160)
    seed(cluster.url, cluster.keys, seeds)
    limit = {"CRONALLY_IN_FLIGHT": str(IN_FLIGHT)}
    with cluster.node(settings=limit) as frozen:
        # All that an account may have on the way before anything is known of it.
        receiver.wait_until(lambda got: len(got) >= FIRST)
        frozen.freeze()
        receiver.answer = accept
        with cluster.node(settings=limit) as other:
            # All leases that the frozen one holds end; the other one takes over whatever it held.
            received(receiver, seeds)
            other.wait_until_started()
            while (before := read_ledger(cluster.url)).sending():
                time.sleep(0.05)
            arrived = len(receiver.requests)
            frozen.thaw()
            time.sleep(1.0)  # it has answers to read and records to write, and nothing to send
            after = read_ledger(cluster.url)
            assert len(receiver.requests) == arrived, "sent under a lease that had ended"
            assert sorted(after.rows, key=str) == sorted(before.rows, key=str)
            # What it had tried is told, under the number of its own lease, and moves nothing.
            assert {(attempt.lease_no, attempt.outcome) for attempt in after.attempts} <= {(1, "unknown")}
            frozen.stop()
            other.stop()
    held = {row.key: 1 for row in before.rows if row.lease_no > 1}
    found = judge(seeds, before, receiver.requests, lost_leases=held)
    assert found.delivered == 160
    assert 1 <= found.duplicates <= most_held(IN_FLIGHT)


def rolling_restart(cluster: Cluster, receiver: Receiver, restarts: int) -> None:
    """Replace the server again and again while fire times pass, each new one started before the old one ends."""
    with ExitStack() as stack:
        node = stack.enter_context(cluster.node(settings=PATIENT)).wait_until_started()
        started = now()
        # A fire time every 20 ms, from before the first replacement until after the last.
        seeds = [
            Seed(started + number * SECOND // 50, account=f"account {number % ACCOUNTS}")
            for number in range(50 * (1 + 2 * restarts))
        ]
        seed(cluster.url, cluster.keys, seeds)
        for _ in range(restarts):
            fresh = stack.enter_context(cluster.node(settings=PATIENT))
            fresh.wait_until_started()
            node.stop()
            node = fresh
        receiver.wait_until(lambda got: len(got) >= len(seeds), seconds=60 + 6 * restarts)
        node.stop()
    # Somebody was awake at every instant, so nothing waited for a lease to end: a lease without a record would be
    # an attempt that the judge misses.
    found = judge(seeds, read_ledger(cluster.url), receiver.requests)
    assert (found.delivered, found.duplicates) == (len(seeds), 0)


def test_rolling_restart__loses_and_doubles_nothing(postgres_cluster: Cluster, receiver: Receiver) -> None:
    rolling_restart(postgres_cluster, receiver, 1)


@pytest.mark.slow
def test_rolling_restart__again_and_again(postgres_cluster: Cluster, receiver: Receiver) -> None:
    rolling_restart(postgres_cluster, receiver, 8)


@pytest.mark.slow
def test_nodes__that_start_together_after_an_outage_catch_up_once(
    postgres_cluster: Cluster, receiver: Receiver
) -> None:
    cluster = postgres_cluster
    first = (now() // MINUTE - 250) * MINUTE
    seeds = [Seed(first, "* * * * *", account=f"account {number}") for number in range(3)]
    seed(cluster.url, cluster.keys, seeds)
    with cluster.node(settings=PATIENT) as one, cluster.node(settings=PATIENT) as other:
        wanted = all_arrived(seeds, now())
        receiver.wait_until(lambda got: wanted <= {publish.firing_id for publish in got})
        one.stop()
        other.stop()
    found = judge(seeds, read_ledger(cluster.url), receiver.requests)
    assert found.delivered >= 3 * 250
    assert found.duplicates == 0


@pytest.mark.slow
def test_nodes__that_start_together_on_an_empty_database_make_it_once(
    postgres_cluster: Cluster, receiver: Receiver
) -> None:
    cluster = postgres_cluster
    with ExitStack() as stack:
        nodes = [stack.enter_context(cluster.node(roles=EVERYTHING, settings=PATIENT)) for _ in range(4)]
        for node in nodes:
            node.wait_until_started()
        seeds = at_once(now() + SECOND, count=40)
        seed(cluster.url, cluster.keys, seeds)
        received(receiver, seeds)
        for node in nodes:
            node.stop()
    judge(seeds, read_ledger(cluster.url), receiver.requests)
