"""After a real downtime: what each policy makes of the fire times at which no server ran."""

from __future__ import annotations

import time

import pytest

from tests.acceptance.judge import all_arrived, iso, judge, owed
from tests.acceptance.ledger import DAY, MINUTE, SECOND, Row, Seed, now, read_ledger, seed
from tests.acceptance.nodes import PATIENT, Cluster
from tests.acceptance.receiver import Receiver
from tests.support.sampling import first

HOUR = 60 * MINUTE


def hours_ago(hours: int) -> int:
    """A whole minute some hours ago."""
    return (now() // MINUTE - 60 * hours) * MINUTE


@pytest.mark.turns("database_url")
def test_downtime__each_policy_does_as_it_says(cluster: Cluster, receiver: Receiver) -> None:
    down_since = hours_ago(3)
    latest = Seed(down_since, "* * * * *", catch_up="latest")
    every = Seed(down_since, "*/10 * * * *", catch_up="all")
    skip = Seed(down_since, "* * * * *", catch_up="skip")
    daily = Seed(down_since, "0 0 29 2 *", catch_up="latest")
    graceless = Seed(down_since, "*/7 * * * *", catch_up="all", misfire_grace=HOUR)
    longest = Seed(now() - 3 * DAY, "*/15 * * * *", catch_up="latest", misfire_grace=HOUR)
    seeds = [latest, every, skip, daily, graceless, longest]
    seed(cluster.url, cluster.keys, seeds)

    wanted = all_arrived([every, daily], now())
    for _ in range(
        5
    ):  # which fire times the other policies choose depends on the moment; all of them must arrive
        with cluster.node(settings=PATIENT) as node:
            receiver.wait_until(lambda got: wanted <= {publish.firing_id for publish in got})
            started = now()
            time.sleep(0.3)
            node.stop()
        ledger = read_ledger(cluster.url)
        if not ledger.waiting():
            break
    found = judge(seeds, ledger, receiver.requests)
    assert found.duplicates == 0

    rows: dict[str, list[Row]] = {one.cronjob_id: [] for one in seeds}
    for row in sorted(ledger.rows, key=lambda row: row.scheduled_at):
        rows[row.cronjob_id].append(row)

    def states(one: Seed) -> list[tuple[str, str | None]]:
        return [(row.state, row.reason) for row in rows[one.cronjob_id]]

    # latest: one range row and the last fire time; a minute that passed meanwhile, or that was on time, fires too.
    assert states(latest)[0] == ("missed", "catch_up=latest")
    assert 1 <= len(states(latest)[1:]) <= 3
    assert set(states(latest)[1:]) == {("delivered", None)}
    # all: every one of them, each its own row.
    assert len(states(every)) == len(owed(every, started)) >= 18
    assert set(states(every)) == {("delivered", None)}
    # skip: nothing that is older than a minute.
    assert states(skip)[0] == ("missed", "catch_up=skip")
    assert set(states(skip)[1:]) <= {("delivered", None)}
    assert all(row.scheduled_at > started - 2 * MINUTE for row in rows[skip.cronjob_id][1:])
    # latest with one fire time owed: that one.
    assert states(daily) == [("delivered", None)]
    # The grace comes before any policy.
    assert states(graceless)[0] == ("missed", "misfire_grace")
    assert set(states(graceless)[1:]) == {("delivered", None)}
    assert all(row.scheduled_at >= started - HOUR - 30 * SECOND for row in rows[graceless.cronjob_id][1:])
    assert states(longest)[:2] == [
        ("missed", "misfire_grace"),
        ("missed", "catch_up=latest"),
    ]
    assert states(longest)[-1] == ("delivered", None)


@first("sqlite")
def test_downtime__of_a_year_is_one_row_and_no_wedge(cluster: Cluster, receiver: Receiver) -> None:
    """Kubernetes' rule of a hundred missed starts, after which nothing fires any more, is the one not to have."""
    year_ago = (now() // MINUTE - 365 * 24 * 60) * MINUTE
    seeds = [Seed(year_ago, "* * * * *", catch_up="latest") for _ in range(4)]
    seed(cluster.url, cluster.keys, seeds)
    last = iso(now() // MINUTE * MINUTE)
    with cluster.node(settings=PATIENT) as node:
        receiver.wait_until(
            lambda got: (
                {one.message for one in seeds}
                <= {publish.message for publish in got if publish.attributes["cronally-scheduled-at"] >= last}
            )
        )
        node.stop()
    ledger = read_ledger(cluster.url)
    found = judge(seeds, ledger, receiver.requests)
    assert found.missed > 4 * 364 * 24 * 60
    assert len(ledger.rows) <= 4 * 5


@first("postgres")
def test_downtime__a_backlog_delays_nobody_who_is_on_time(cluster: Cluster, receiver: Receiver) -> None:
    """One account catches up a day of minutes; another one's fire times come while it does."""
    backlog = Seed(hours_ago(23), "* * * * *", account="catching up")
    more = [Seed(hours_ago(20), "* * * * *", account="catching up") for _ in range(3)]
    start = now()
    punctual = [
        Seed(start + SECOND + number * SECOND // 40, account="punctual", topic=topic(2))
        for number in range(40)
    ]
    seeds = [backlog, *more, *punctual]
    seed(cluster.url, cluster.keys, seeds)
    with cluster.node(settings=PATIENT) as node:
        node.wait_until_started()
        ready = now()
        wanted = all_arrived(seeds, start + 4 * SECOND)
        receiver.wait_until(lambda got: wanted <= {publish.firing_id for publish in got}, seconds=120)
        node.stop()
    judge(seeds, read_ledger(cluster.url), receiver.requests)
    due = {one.message: max(ready, one.next_fire_at) for one in punctual}
    behind = sorted(
        sum(due[publish.message] <= other.received_at < publish.received_at for other in receiver.requests)
        for publish in receiver.requests
        if publish.message in due
    )
    assert len(behind) == len(punctual)
    # Of several thousand. How long that takes says more about the machine than about fairness.
    assert behind[len(behind) // 2] < 250
    assert behind[-1] < 1000


def topic(number: int) -> str:
    return f"arn:aws:sns:us-east-1:{number:012d}:topic"
