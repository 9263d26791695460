"""kill -9 at every step of a firing's way, on both databases: nothing lost, nothing early, one id a fire time.

The workload of each test: fire times of several past minutes (an outage, caught up), fire times that come while the
server starts, and some a moment later. The server dies at one point, the ledger is read as it was left, a second
server runs without the crash point until everything has arrived, and the judge compares.
"""

from __future__ import annotations

import pytest

from cronally.failpoints import POINTS
from tests.acceptance.judge import Finding, Key, all_arrived, firing_id, iso, judge
from tests.acceptance.ledger import DAY, MINUTE, SECOND, Ledger, Seed, execute, now, read_ledger, seed
from tests.acceptance.nodes import Cluster, most_held
from tests.acceptance.receiver import Publish, Receiver

MAY_REPEAT = POINTS[POINTS.index("send.before") : POINTS.index("record.before_commit") + 1]
"""The steps between which a firing is with the receiver and not in the ledger."""

WAKING = [point for point in POINTS if point.startswith("wake.")]
"""The steps that only a cron job meets that was paused."""
HOLDING = [point for point in POINTS if point.startswith("hold.")]
"""The steps that only a firing meets that a freeze keeps from going."""
ASKING = [point for point in POINTS if point.startswith("change.")]
"""The steps of what an owner asks for: see `test_control_crashes` and `test_operation_crashes`."""
ACKNOWLEDGING = [point for point in POINTS if point.startswith("acknowledge.")]
"""The steps that only a firing meets that is to be acknowledged: see `test_acknowledgements`."""
TELLING = [point for point in POINTS if point.startswith("conditions.")]
"""The steps that only an account meets that has rules."""
STEPS = [point for point in POINTS if point not in WAKING + HOLDING + ASKING + ACKNOWLEDGING + TELLING]

PAST = 3
"""Whole minutes that the cron jobs of every minute are behind at the start."""


def workload(*, soon: int, apart: int) -> list[Seed]:
    """Cron jobs of four accounts.

    :param soon: how many fire times come one after the other from now on
    :param apart: microseconds between them
    """
    started = now()
    past = (started // MINUTE - PAST) * MINUTE
    every_minute = [Seed(past, "* * * * *", account=f"account {number}") for number in range(2)]
    latest = Seed(past, "* * * * *", catch_up="latest", account="account 2")
    beyond_grace = Seed(past - 2 * MINUTE, "* * * * *", catch_up="skip", account="account 3")
    coming = [
        Seed(started + SECOND + number * apart, account=f"account {number % 4}") for number in range(soon)
    ]
    return [*every_minute, latest, beyond_grace, *coming]


def run_to_the_end(cluster: Cluster, receiver: Receiver, seeds: list[Seed], held: set[Key]) -> Ledger:
    """Start a server that is not killed, let it deliver all that is due by now, and stop it.

    :param held: the firings that the killed server held: they must come again, whether or not they had come
    """
    until = max(now(), *(one.next_fire_at + 1 for one in seeds))
    last = iso(until // MINUTE * MINUTE)
    again = {firing_id(*key) for key in held}
    every = all_arrived((one for one in seeds if one.catch_up == "all"), until)
    wanted = {(key, 1) for key in every - again} | {(key, 2) for key in again}
    # Of the other policies' fire times only the last one must fire, whichever that is when the server ticks.
    lasts = {one.cronjob_id for one in seeds if one.catch_up != "all"}

    def complete(got: list[Publish]) -> bool:
        return wanted <= {(publish.firing_id, publish.attempt) for publish in got} and lasts <= {
            publish.attributes["cronally-cronjob-id"]
            for publish in got
            if publish.attributes["cronally-scheduled-at"] >= last
        }

    with cluster.node() as node:
        receiver.wait_until(complete, seconds=90)
        node.stop()
    return read_ledger(cluster.url)


def crash_and_recover(
    cluster: Cluster, receiver: Receiver, point: str, *, in_flight: int, times: int
) -> Finding:
    """The whole test; what is left to the caller is the number of duplicates."""
    # What falls due together goes one way together. A server that starts slowly must still meet the point so often.
    seeds = workload(soon=20 if times == 1 else 50, apart=SECOND // (10 if times == 1 else 4))
    seed(cluster.url, cluster.keys, seeds)
    with cluster.node(crash_at=f"{point}:{times}", settings={"CRONALLY_IN_FLIGHT": str(in_flight)}) as node:
        node.wait_until_killed()
    left = read_ledger(cluster.url)
    before = receiver.counts()
    held = left.sending()

    for row in left.rows:
        count = before[firing_id(*row.key)]
        match row.state:
            case "delivered":
                assert count == 1, f"recorded at the kill, received {count} times: {row}"
            case "sending":
                assert count <= 1, row
            case _:
                assert count == 0, f"received {count} times and not even claimed: {row}"
    assert before.keys() <= {firing_id(*row.key) for row in left.rows}, "something was sent without a row"
    assert len(held) <= most_held(in_flight)

    ledger = run_to_the_end(cluster, receiver, seeds, held)
    found = judge(seeds, ledger, receiver.requests, lost_leases=dict.fromkeys(held, 1))
    # A firing that the ledger had recorded is never sent again, and one that was not even claimed once.
    repeated = {key for key, count in receiver.counts().items() if count > 1}
    assert repeated == {key for key in before if key in {firing_id(*row) for row in held}}
    return found


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("database_url", "point"),
    [
        ("sqlite", "tick.before_commit"),
        ("postgres", "send.after"),
        ("sqlite", "record.before_commit"),
    ],
    indirect=["database_url"],
)
def test_kill_at_a_step__a_sample(cluster: Cluster, receiver: Receiver, point: str) -> None:
    found = crash_and_recover(cluster, receiver, point, in_flight=64, times=1)
    assert found.duplicates <= most_held(64)


@pytest.mark.slow
@pytest.mark.parametrize("point", STEPS)
@pytest.mark.parametrize("times", [1, 3])
def test_kill_at_every_step__one_in_flight(
    cluster: Cluster, receiver: Receiver, point: str, times: int
) -> None:
    found = crash_and_recover(cluster, receiver, point, in_flight=1, times=times)
    if point in MAY_REPEAT[1:]:
        assert found.duplicates == 1
    elif point.startswith("tick.") and times > 1:
        # The scheduler ticks beside the sender, which may be anywhere with what it got from an earlier tick.
        assert found.duplicates <= 1
    else:
        # Before the send nothing has left, after the commit nothing is left to do.
        assert found.duplicates == 0


@pytest.mark.slow
@pytest.mark.parametrize("point", STEPS)
@pytest.mark.parametrize("times", [1, 4, 9])
def test_kill_at_every_step__many_in_flight(
    cluster: Cluster, receiver: Receiver, point: str, times: int
) -> None:
    found = crash_and_recover(cluster, receiver, point, in_flight=64, times=times)
    assert found.duplicates <= most_held(64)
    if POINTS.index(point) < POINTS.index("send.before") and times == 1:
        assert found.duplicates == 0


@pytest.mark.parametrize(
    ("database_url", "point"),
    [
        ("sqlite", "wake.before_commit"),
        pytest.param("sqlite", "wake.after_commit", marks=pytest.mark.slow),
        pytest.param("postgres", "wake.before_commit", marks=pytest.mark.slow),
        pytest.param("postgres", "wake.after_commit", marks=pytest.mark.slow),
    ],
    indirect=["database_url"],
)
def test_kill_while_a_pause_ends(cluster: Cluster, receiver: Receiver, point: str) -> None:
    """What it skipped has one row, what came after its end fires once each."""
    past = (now() // MINUTE - PAST) * MINUTE
    until = past + 2 * MINUTE
    job = Seed(past, "* * * * *")
    seed(cluster.url, cluster.keys, [job])
    execute(
        cluster.url,
        "UPDATE cronjob SET state = 'paused', next_fire_at = NULL, paused_at = settled_at, paused_until = :until,"
        " wake_at = :until",
        until=until,
    )
    with cluster.node(crash_at=f"{point}:1") as node:
        node.wait_until_killed()
    skipped = (past, past + MINUTE, 2, "skipped", "paused")
    left = [
        (row.scheduled_at, row.until_at, row.count, row.state, row.reason)
        for row in read_ledger(cluster.url).rows
    ]
    assert left == ([] if point == "wake.before_commit" else [skipped])

    owed = {firing_id(job.cronjob_id, at, "scheduled") for at in range(until, now(), MINUTE)}
    with cluster.node() as node:
        receiver.wait_until(lambda got: owed <= {publish.firing_id for publish in got}, seconds=90)
        node.stop()
    first, *fired = sorted(read_ledger(cluster.url).rows, key=lambda row: row.scheduled_at)
    assert (first.scheduled_at, first.until_at, first.count, first.state, first.reason) == skipped
    assert [row.scheduled_at for row in fired] == [until + number * MINUTE for number in range(len(fired))]
    assert {row.state for row in fired} == {"delivered"}
    assert set(receiver.counts().values()) == {1}


@pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)], indirect=True
)
def test_kill_while_a_freeze_holds(cluster: Cluster, receiver: Receiver) -> None:
    """It holds nothing by halves; and what it holds goes out once it is lifted, though who lifted it died, too."""
    past = (now() // MINUTE - PAST) * MINUTE
    job = Seed(past, "* * * * *")
    seed(cluster.url, cluster.keys, [job])
    execute(
        cluster.url,
        'INSERT INTO "freeze" (freeze_id, account_id, selector, rule, created_at, until, created_by)'
        " VALUES (:of, :account, 'account', 'latest', :made, :until, 'key')",
        of=job.cronjob_id,
        account=job.account_id,
        made=past,
        until=now() + DAY,
    )
    with cluster.node(crash_at="hold.before_commit:1") as node:
        node.wait_until_killed()
    # On SQLite the tick may have been in the same group, and gone with it.
    assert {(row.state, row.lease_no) for row in read_ledger(cluster.url).rows} <= {("pending", 0)}
    with cluster.node(crash_at="hold.after_commit:1") as node:
        node.wait_until_killed()
    *skipped, held = sorted(read_ledger(cluster.url).rows, key=lambda row: row.scheduled_at)
    assert {(row.state, row.reason, row.due_at) for row in skipped} == {("skipped", "frozen", None)}
    assert (held.state, held.reason, held.attempt) == ("pending", "frozen", 0)
    assert receiver.counts() == {}

    execute(cluster.url, "UPDATE \"freeze\" SET lifted_at = :now, lifted_by = 'key'", now=now())
    with cluster.node() as node:
        receiver.wait_until(
            lambda got: firing_id(*held.key) in {publish.firing_id for publish in got}, seconds=90
        )
        node.stop()
    by_state = {row.key: row.state for row in read_ledger(cluster.url).rows}
    assert by_state[held.key] == "delivered"
    assert {by_state[row.key] for row in skipped} == {"skipped"}
    assert set(receiver.counts().values()) == {1}
