"""Firings that go out in one request: each is one of the ledger's, whatever becomes of the request."""

from __future__ import annotations

from collections import Counter

from tests.acceptance.judge import all_arrived, judge
from tests.acceptance.ledger import SECOND, Seed, now, read_ledger, seed
from tests.acceptance.nodes import PATIENT, Cluster
from tests.acceptance.receiver import Answer, Publish, Receiver, accept, refuse
from tests.support.sampling import first


def due_together(cluster: Cluster, count: int) -> list[Seed]:
    """Cron jobs of one account and one topic, due in a moment."""
    at = now() + SECOND
    seeds = [Seed(at) for _ in range(count)]
    seed(cluster.url, cluster.keys, seeds)
    return seeds


def deliver_all(cluster: Cluster, receiver: Receiver, seeds: list[Seed]) -> None:
    """Run a server until all have arrived, as often as the ledger says that they must."""
    with cluster.node(settings=PATIENT) as node:
        wait_until_taken(receiver, seeds)
        node.stop()


def wait_until_taken(receiver: Receiver, seeds: list[Seed]) -> None:
    """Wait until all have arrived as they are taken: alone, or in a later attempt."""
    wanted = all_arrived(seeds, seeds[0].next_fire_at + 1)
    receiver.wait_until(lambda got: wanted <= {one.firing_id for one in got if _is_taken(one)})


def _is_taken(publish: Publish) -> bool:
    return publish.attempt > 1 or publish.together == 1


@first("sqlite")
def test_batch__killed_between_send_and_record_comes_again_whole(
    cluster: Cluster, receiver: Receiver
) -> None:
    seeds = due_together(cluster, 10)
    with cluster.node(crash_at="send.after:1") as node:
        node.wait_until_killed()
    assert [publish.together for publish in receiver.requests] == [10] * 10
    held = read_ledger(cluster.url).sending()
    assert len(held) == 10
    deliver_all(cluster, receiver, seeds)
    found = judge(seeds, read_ledger(cluster.url), receiver.requests, lost_leases=dict.fromkeys(held, 1))
    assert (found.delivered, found.duplicates) == (10, 10)
    assert set(receiver.counts().values()) == {2}


def test_batch__refused_as_such_goes_out_one_by_one_in_the_same_attempt(
    postgres_cluster: Cluster, receiver: Receiver
) -> None:
    cluster = postgres_cluster
    no_batches: Answer = refuse(403, "AuthorizationError", "not authorized to perform: SNS:PublishBatch")

    async def answer(publish: Publish) -> bytes | None:
        return await (no_batches if publish.together > 1 else accept)(publish)

    receiver.answer = answer
    seeds = due_together(cluster, 10)
    with cluster.node(settings=PATIENT) as node:
        wait_until_taken(receiver, seeds)
        # These come when the refusal is known, which is why the database is one that can be written to meanwhile.
        later = [Seed(now()) for _ in range(5)]
        seed(cluster.url, cluster.keys, later)
        wait_until_taken(receiver, later)
        node.stop()
    ledger = read_ledger(cluster.url)
    taken = [publish for publish in receiver.requests if publish.together == 1]
    found = judge(seeds + later, ledger, taken)
    assert (found.delivered, found.duplicates) == (15, 0)
    assert {row.attempt for row in ledger.rows} == {1}
    # Once refused, it is not tried again with every batch.
    assert Counter(publish.together for publish in receiver.requests) == {10: 10, 1: 15}
