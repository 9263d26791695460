"""The one test that waits for a real minute. Others run while it waits (`conftest`)."""

from __future__ import annotations

from datetime import datetime

from tests.acceptance.conftest import Minute
from tests.acceptance.judge import firing_id


def test_every_minute__a_message_arrives_at_the_minute(minute: Minute) -> None:
    fire_time = datetime.fromisoformat(minute.cronjob["next_fire_at"])
    assert (fire_time.second, fire_time.microsecond) == (0, 0)
    received = minute.topic.receive(1, seconds=75)
    received += minute.topic.drain()
    assert received

    minute.server.process.terminate()
    assert minute.server.process.wait(60) == 0
    # A later minute may just have come and be in the queue too.
    received += minute.topic.drain()
    rows = minute.read_rows()
    assert sorted(one.attributes["cronally-firing-id"] for one in received) == sorted(
        firing_id(*row.key) for row in rows
    )
    assert min(row.scheduled_at for row in rows) == int(fire_time.timestamp()) * 1_000_000
    by_id = {firing_id(*row.key): row for row in rows}
    for one in received:
        row = by_id[one.attributes["cronally-firing-id"]]
        assert row.state == "delivered"
        assert row.message_id == one.message_id
        assert one.message == minute.cronjob["sns_message"]
        assert one.attributes["cronally-attempt"] == str(row.attempt) == "1"
        assert row.scheduled_at % 60_000_000 == 0
        assert row.sent_at is not None
        # In its own minute, and never before it.
        assert 0 <= row.sent_at - row.scheduled_at < 60_000_000
