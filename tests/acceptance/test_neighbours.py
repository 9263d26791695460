"""One tenant cannot hurt another: hundreds of firings to a target that never answers, and a neighbour on time."""

from __future__ import annotations

import time

from cronally.engine.shares import FIRST
from tests.acceptance.judge import all_arrived, judge
from tests.acceptance.ledger import SECOND, Seed, now, read_ledger, seed
from tests.acceptance.nodes import Cluster
from tests.acceptance.receiver import Receiver, hang, refuse
from tests.support.sampling import first

DEAD = "arn:aws:sns:us-east-1:000000000001:dead"
REFUSING = "arn:aws:sns:us-east-1:000000000002:refusing"
ALIVE = "arn:aws:sns:us-east-1:000000000003:alive"


@first("sqlite")
def test_neighbour__of_an_account_whose_target_hangs_stays_on_time(
    cluster: Cluster, receiver: Receiver
) -> None:
    receiver.answers = {DEAD: hang, REFUSING: refuse(503, "ServiceUnavailable", "later")}
    seed(cluster.url, cluster.keys, [])
    start = now()
    dead = [Seed(start, account="noisy", topic=DEAD) for _ in range(600)]
    refusing = [Seed(start, account="nervous", topic=REFUSING) for _ in range(300)]
    quiet = [
        Seed(start + 2 * SECOND + number * SECOND // 20, account=f"quiet {number % 3}", topic=ALIVE)
        for number in range(40)
    ]
    seeds = [*dead, *refusing, *quiet]
    seed(cluster.url, cluster.keys, seeds)
    settings = {
        # Longer than the test waits: nobody who is behind the noisy one in a queue comes in time.
        "CRONALLY_REQUEST_TIMEOUT": "300s",
        "CRONALLY_LEASE": "600s",
        "CRONALLY_IN_FLIGHT": "128",
        "CRONALLY_IN_FLIGHT_PER_ACCOUNT": "32",
        "CRONALLY_SHUTDOWN_GRACE": "0s",
    }
    with cluster.node(settings=settings) as node:
        node.wait_until_started()
        # Before the neighbours come, the noisy one has taken all that it can get.
        receiver.wait_until(lambda got: sum(publish.topic == DEAD for publish in got) >= FIRST)
        wanted = all_arrived(quiet, start + 60 * SECOND)
        receiver.wait_until(lambda got: wanted <= {publish.firing_id for publish in got})
        time.sleep(0.2)
        node.stop()
    requests = receiver.requests
    assert sum(publish.topic == DEAD for publish in requests) == FIRST, "its share, and not one more"
    assert sum(publish.topic == ALIVE for publish in requests) == 40, (
        "none of them waited for a request that hangs"
    )
    ledger = read_ledger(cluster.url)
    judge(seeds, ledger, requests, undelivered=["pending"])
    # What the noisy one did not get to send burned no attempt.
    assert sum(row.attempt for row in ledger.rows if row.account_id == dead[0].account_id) == FIRST
