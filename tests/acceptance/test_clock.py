"""Real servers over the last changes of the clock in New York, on every dialect, and with older zone data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.acceptance.judge import firing_id, iso
from tests.acceptance.ledger import DAY, MINUTE, SECOND, Row, Seed, execute, now, read_ledger, seed
from tests.acceptance.nodes import EVERYTHING, PATIENT, Cluster
from tests.acceptance.receiver import Receiver
from tests.support import clock_oracle
from tests.support.sampling import first

NEW_YORK = "America/New_York"
ZONE = clock_oracle.zone_info(NEW_YORK)
POLICIES = [(None, None), ("skip", "last"), ("shift", "both")]
TIMES = ["30 2", "0,30 1-2", "*/20 1-3"]
AROUND = 28 * 60
"""Minutes before and after a change."""


def last_changes() -> list[int]:
    """The last gap and the last repeated hour that are some days ago, as minutes since 1970."""
    today = datetime.now(UTC).date()
    before = (now() - 4 * DAY) // MINUTE
    passed = [
        minute for minute in clock_oracle.transitions(NEW_YORK, today.year - 2, today.year) if minute < before
    ]
    return passed[-2:]


def around(change: int, times: str) -> str:
    """An expression that fires on the day of a change and the days beside it."""
    days = [datetime.fromtimestamp(change * 60, ZONE) + timedelta(days=beside) for beside in (-1, 0, 1)]
    months = sorted({day.month for day in days})
    return f"{times} {','.join(str(day.day) for day in days)} {','.join(map(str, months))} *"


@first("postgres")
def test_clock__fires_and_suppresses_over_the_last_changes(cluster: Cluster, receiver: Receiver) -> None:
    seeds: dict[str, tuple[Seed, clock_oracle.Expected]] = {}
    for change in last_changes():
        start, stop = change - AROUND, change + AROUND
        for times in TIMES:
            for gap, overlap in POLICIES:
                cron = around(change, times)
                wanted = clock_oracle.expected(cron, NEW_YORK, start, stop, gap, overlap)
                one = Seed(
                    wanted.fires[0],
                    cron,
                    timezone=NEW_YORK,
                    dst_gap=gap,
                    dst_overlap=overlap,
                    misfire_grace=400 * DAY,
                )
                seeds[one.cronjob_id] = (one, wanted)
    assert any(wanted.held for _, wanted in seeds.values())
    assert any(wanted.skipped for _, wanted in seeds.values())
    seed(cluster.url, cluster.keys, [one for one, _ in seeds.values()])
    ids = {firing_id(key, at) for key, (_, wanted) in seeds.items() for at in wanted.fires}
    with cluster.node(settings={"CRONALLY_RETENTION": "1000d"}) as node:
        receiver.wait_until(lambda got: ids <= {publish.firing_id for publish in got})
        node.stop()

    rows: dict[str, list[Row]] = {key: [] for key in seeds}
    for row in sorted(read_ledger(cluster.url).rows, key=lambda row: row.scheduled_at):
        rows[row.cronjob_id].append(row)
    for key, (one, wanted) in seeds.items():
        clock_oracle.assert_covers(rows[key], wanted)
        for row in rows[key]:
            assert row.state == ("skipped" if row.reason else "delivered"), (one, row)
    assert {publish.firing_id for publish in receiver.requests} == ids
    assert len(receiver.requests) == len(ids)


@first("sqlite")
def test_clock__seconds_intervals_and_one_time_on_a_real_server(cluster: Cluster, receiver: Receiver) -> None:
    # The very next second: a later one than the expressions' own next would be set right by the audit.
    start = (now() // SECOND + 1) * SECOND
    moment = datetime.fromtimestamp(start // SECOND, ZONE)
    once = Seed(start, f"at({moment:%Y-%m-%dT%H:%M:%S})", timezone=NEW_YORK)
    each = Seed(start, "* * * * * *", timezone=NEW_YORK, created_at=start - SECOND)
    every = Seed(start, "@every 1s", created_at=start - SECOND)
    seed(cluster.url, cluster.keys, [once, each, every])
    wanted = {firing_id(one.cronjob_id, start + n * SECOND) for one in (each, every) for n in range(3)}
    wanted.add(firing_id(once.cronjob_id, start))
    with cluster.node(settings=PATIENT) as node:
        receiver.wait_until(lambda got: wanted <= {publish.firing_id for publish in got})
        node.stop()
    early = [one for one in receiver.requests if one.received_at < start]
    assert not early, (start, early[0])
    ledger = read_ledger(cluster.url)
    assert ledger.next_fire_at[once.cronjob_id] is None
    assert [row.state for row in ledger.rows if row.cronjob_id == once.cronjob_id] == ["delivered"]
    for one in (each, every):
        instants = sorted(row.scheduled_at for row in ledger.rows if row.cronjob_id == one.cronjob_id)
        assert instants == list(range(start, instants[-1] + 1, SECOND))


@first("sqlite")
def test_clock__a_node_with_older_zone_data_serves_but_does_not_tick(
    cluster: Cluster, receiver: Receiver
) -> None:
    one = Seed(now() - SECOND)
    seed(cluster.url, cluster.keys, [one])
    execute(cluster.url, "INSERT INTO tzdata (version, seen_at) VALUES ('2999a', 1)")
    with cluster.node(roles=EVERYTHING, settings=PATIENT) as node:
        node.wait_until_started()
        told = node.ask("/readyz")
        assert told["newest_tzdata"] == "2999a"
        assert "does not tick" in told["warning"]
        node.process.wait_until(lambda: "this node does not tick" in node.process.output())
        node.stop()
    assert receiver.requests == []
    execute(cluster.url, "DELETE FROM tzdata")
    with cluster.node(settings=PATIENT) as node:
        receiver.wait_until(lambda got: got)
        node.stop()
    (row,) = read_ledger(cluster.url).rows
    assert (row.state, iso(row.scheduled_at)) == ("delivered", iso(one.next_fire_at))
