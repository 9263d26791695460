"""Real servers, and a real PostgreSQL, whose clock is wrong for a while: `libfaketime` moves it.

The whole matrix, on a clock that is moved by hand: `tests/engine/test_early.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cronally.vault import new_sealing_key
from tests.acceptance.judge import firing_id
from tests.acceptance.ledger import MINUTE, SECOND, Seed, execute, now, read_ledger, seed
from tests.acceptance.nodes import EVERYTHING, PATIENT, Cluster
from tests.acceptance.receiver import Publish, Receiver
from tests.support.postgres import PostgresServer, postgres_server
from tests.support.wrong_clock import WrongClock

HOUR = 3600
YEARS = 10 * 365 * 86_400
EACH_SECOND = "* * * * * *"


class Wrong:
    """A cluster that goes by a clock which the test moves: of the machine alone, of the database in a cluster."""

    def __init__(self, cluster: Cluster, clock: WrongClock, settings: dict[str, str]) -> None:
        self.cluster = cluster
        self.clock = clock
        self.settings = {**PATIENT, **settings}


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def wrong(request: pytest.FixtureRequest) -> Wrong:
    made: Wrong = request.getfixturevalue(f"wrong_{request.param}")
    return made


@pytest.fixture
def wrong_sqlite(sqlite_cluster: Cluster) -> Wrong:
    clock = WrongClock(sqlite_cluster.folder)
    return Wrong(sqlite_cluster, clock, clock.environ)


@pytest.fixture(scope="module")
def wrong_server() -> Iterator[tuple[PostgresServer, WrongClock]]:
    clocks: list[WrongClock] = []

    def environ_of(folder: Path) -> dict[str, str]:
        clocks.append(WrongClock(folder))
        return clocks[0].environ

    with postgres_server(environ_of=environ_of) as server:
        yield server, clocks[0]


@pytest.fixture
def wrong_postgres(
    wrong_server: tuple[PostgresServer, WrongClock], receiver: Receiver, tmp_path: Path
) -> Iterator[Wrong]:
    server, clock = wrong_server
    name = f"clock_{tmp_path.name}"
    url = server.create_database(name)
    yield Wrong(Cluster(url, new_sealing_key(), receiver.url, tmp_path), clock, {})
    clock.move(0)
    server.drop_database(name)


def each_second() -> Seed:
    first = (now() // SECOND + 1) * SECOND
    return Seed(first, EACH_SECOND, created_at=first - MINUTE, catch_up="latest")


def once(at: int) -> Seed:
    """A cron job that fires at one instant alone, a whole second."""
    moment = datetime.fromtimestamp(at // SECOND, UTC)
    return Seed(at, f"at({moment:%Y-%m-%dT%H:%M:%S})")


def early(got: list[Publish]) -> list[Publish]:
    return [one for one in got if one.received_at < fire_time(one)]


def fire_time(one: Publish) -> int:
    moment = datetime.fromisoformat(one.attributes["cronally-scheduled-at"])
    return int(moment.timestamp()) * SECOND


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [10, HOUR, YEARS])
def test_clock__ahead_for_a_moment_changes_nothing(wrong: Wrong, receiver: Receiver, ahead: int) -> None:
    one = each_second()
    seed(wrong.cluster.url, wrong.cluster.keys, [one])
    with wrong.cluster.node(roles=EVERYTHING, settings=wrong.settings) as node:
        node.wait_until_started()  # the API is a process of its own, which believes the clock that it starts with
        receiver.wait_until(lambda got: len(got) >= 2)
        wrong.clock.move(ahead)
        node.process.wait_until(lambda: "the clock has jumped ahead" in node.process.output())
        asked = len(receiver.requests)
        # An answer may be a second old.
        node.process.wait_until(lambda: "is not believed yet" in node.ask("/readyz").get("warning", ""))
        receiver.wait_until(lambda got: len(got) >= asked + 3)
        wrong.clock.move(0)
        node.process.wait_until(lambda: "the clock is back" in node.process.output())
        asked = len(receiver.requests)
        receiver.wait_until(lambda got: len(got) >= asked + 3)
        node.process.wait_until(lambda: "warning" not in node.ask("/readyz"))
        node.stop()
    assert not early(receiver.requests)
    rows = [row for row in read_ledger(wrong.cluster.url).rows if row.cronjob_id == one.cronjob_id]
    assert {row.reason for row in rows} == {None}
    instants = sorted(row.scheduled_at for row in rows)
    assert instants == list(range(one.next_fire_at, instants[-1] + 1, SECOND))
    counts = {publish.firing_id for publish in receiver.requests}
    assert len(counts) == len(receiver.requests)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ahead", "killed"),
    [(HOUR, False), (HOUR, True), (YEARS, False), (YEARS, True)],
    ids=["hour", "hour-killed", "years", "years-killed"],
)
def test_clock__ahead_at_the_start_and_right_again(
    wrong: Wrong, receiver: Receiver, ahead: int, killed: bool
) -> None:
    """What fired early fires again at its time, under its id; nothing is silent for as long as the clock was ahead."""
    each = each_second()
    alone = once((now() // SECOND + 75) * SECOND)
    seed(wrong.cluster.url, wrong.cluster.keys, [each, alone])
    wrong.clock.move(ahead)
    with wrong.cluster.node(settings=wrong.settings) as node:
        # It believes the clock that it starts with, and so does everything too early. After ten years it is too late.
        expected = {firing_id(alone.cronjob_id, alone.next_fire_at)} if ahead == HOUR else set()
        receiver.wait_until(lambda got: expected <= {one.firing_id for one in got} and len(got) > 3)
        assert early(receiver.requests)
        if killed:
            node.kill()
        else:
            wrong.clock.move(0)
            put_right(wrong, receiver, each, alone)
            assert "the clock went back" in node.process.output()
            node.stop()
    if killed:
        wrong.clock.move(0)
        with wrong.cluster.node(settings=wrong.settings) as node:
            node.wait_until_started()
            put_right(wrong, receiver, each, alone)
            assert "the clock is earlier than what the ledger has" in node.process.output()
            node.stop()
    ledger = read_ledger(wrong.cluster.url)
    (row,) = [row for row in ledger.rows if row.cronjob_id == alone.cronjob_id]
    assert (row.state, row.reason, row.attempt) == ("delivered", None, 1 + len(expected))
    attempts = [(one.outcome, one.reason) for one in ledger.attempts if one.key == row.key]
    # Of one that was killed before it could record that the message was out, nothing is known.
    assert attempts == [("delivered", "clock_ahead")] * len(expected) or (killed and not attempts)
    read_at = now()
    instants = [row.scheduled_at for row in ledger.rows if row.cronjob_id == each.cronjob_id]
    assert len(instants) == len(set(instants))
    assert [at for at in instants if at > read_at] == [
        row.scheduled_at for row in ledger.rows if row.scheduled_at > read_at and row.reason == "clock_ahead"
    ]


def put_right(wrong: Wrong, receiver: Receiver, each: Seed, alone: Seed) -> None:
    """Wait until the cron jobs fire at their times again."""
    returned = now()
    fire_times = [(returned // SECOND + n) * SECOND for n in (1, 31, 32, 33)]
    ids = {firing_id(each.cronjob_id, at) for at in fire_times}
    ids.add(firing_id(alone.cronjob_id, alone.next_fire_at))
    receiver.wait_until(
        lambda got: ids <= {one.firing_id for one in got if one.received_at >= fire_time(one)}, seconds=120
    )


@pytest.mark.slow
def test_clock__nodes_that_disagree_with_the_database(wrong_postgres: Wrong, receiver: Receiver) -> None:
    """The machines' clocks are an hour ahead and an hour behind; the database's, by which they go, is right."""
    cluster = wrong_postgres.cluster
    one = each_second()
    seed(cluster.url, cluster.keys, [one])
    clocks: list[WrongClock] = []
    for name, seconds in (("ahead", HOUR), ("behind", -HOUR)):
        (cluster.folder / name).mkdir()
        clocks.append(WrongClock(cluster.folder / name))
        clocks[-1].move(seconds)
    with (
        cluster.node(settings={**PATIENT, **clocks[0].environ}) as first,
        cluster.node(settings={**PATIENT, **clocks[1].environ}) as second,
    ):
        receiver.wait_until(lambda got: len(got) >= 5)
        for node in (first, second):
            node.wait_until_started()
            assert "jumped" not in node.process.output()
            node.stop()
    assert not early(receiver.requests)


@pytest.mark.slow
def test_clock__node_that_starts_while_the_others_do_not_believe_the_clock(
    wrong_postgres: Wrong, receiver: Receiver
) -> None:
    cluster, clock = wrong_postgres.cluster, wrong_postgres.clock
    one = each_second()
    seed(cluster.url, cluster.keys, [one])
    with cluster.node(settings=wrong_postgres.settings) as first:
        receiver.wait_until(lambda got: len(got) >= 2)
        clock.move(HOUR)
        first.process.wait_until(lambda: "the clock has jumped ahead" in first.process.output())
        with cluster.node(settings=wrong_postgres.settings) as second:
            second.wait_until_started()
            assert "the clock has jumped ahead" in second.process.output()
            asked = len(receiver.requests)
            receiver.wait_until(lambda got: len(got) >= asked + 5)
            clock.move(0)
            first.process.wait_until(lambda: "the clock is back" in first.process.output())
            second.process.wait_until(lambda: "the clock is back" in second.process.output())
            second.stop()
        first.stop()
    assert not early(receiver.requests)


def test_clock__started_with_a_clock_that_is_behind_the_ledger(
    sqlite_cluster: Cluster, receiver: Receiver
) -> None:
    one = each_second()
    seed(sqlite_cluster.url, sqlite_cluster.keys, [one])
    execute(
        sqlite_cluster.url,
        f"INSERT INTO horizon (horizon_id, latest_at, steady_since) VALUES (1, {now() + HOUR * SECOND}, 1)",  # noqa: S608
    )
    with sqlite_cluster.node(settings=PATIENT) as node:
        receiver.wait_until(lambda got: len(got) >= 3)
        assert "the clock is earlier than what the ledger has" in node.process.output()
        node.stop()
    assert not early(receiver.requests)
