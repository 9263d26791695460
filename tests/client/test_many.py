"""Many cron jobs at a time, operations, and cron jobs by their names, by both clients, against the real API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cronally import AsyncClient, Client
from cronally.client import Account
from cronally.contract.bulk import AT_ONCE
from cronally.errors import Conflict, InvalidRequest, NotFound
from cronally.operations.background import Background
from tests.api.serving import Api
from tests.client.test_client import HTTP
from tests.support.relay import Relay


def background(api: Api) -> None:
    """Do one part of what there is."""
    api.run(Background(api.store, api.operations.actions).step())


def make(client: Client, count: int) -> None:
    for number in range(count):
        client.create_cronjob(name=f"job {number}", cron="0 0 29 2 *", **HTTP)


def test_many__each_verb(client: Client, relay: Relay) -> None:
    make(client, 2)
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    trial = client.try_cronjobs("pause", {"name": "job 1"}, note="deploying")
    assert (trial.total, trial.cronjobs[0].name) == (1, "job 1")
    assert relay.last.form() == {"note": "deploying", "dry_run": "true"}
    done = client.pause_cronjobs({"name": "job 1"}, until=until, note="deploying", idempotency_key="k")
    assert relay.last.headers["idempotency-key"] == "k"
    assert (done.action, done.state, done.total, done.done) == ("pause", "completed", 1, 1)
    assert (
        client.pause_cronjobs({"name": "job 1"}, until=until, note="deploying", idempotency_key="k") == done
    )
    assert [each.state for each in client.cronjobs()] == ["active", "paused"]
    assert client.resume_cronjobs({"state": "paused"}).done == 1
    assert client.run_cronjobs({"all": True}, at=timedelta(hours=1)).done == 2
    assert client.change_cronjobs({"all": True}, retry_max_attempts=3, timezone="Europe/Berlin").done == 2
    assert {each.retry_max_attempts for each in client.cronjobs()} == {3}
    assert client.delete_cronjobs({"name": "job 0"}).done == 1
    assert [each.name for each in client.cronjobs()] == ["job 1"]
    with pytest.raises(InvalidRequest, match="all"):
        client.delete_cronjobs({})
    assert [each.action for each in client.list_operations(limit=2)] == ["delete", "change"]
    assert client.get_operation(done.operation_id) == done
    assert client.cancel_operation(done.operation_id) == done
    with pytest.raises(NotFound):
        client.get_operation("00000000-0000-4000-8000-000000000000")
    with pytest.raises(InvalidRequest):
        client.get_operation("../account")


def test_follow_operation__to_its_end(client: Client, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    make(client, AT_ONCE + 1)
    running = client.pause_cronjobs({"all": True})
    assert running.finished_at is None
    seen = []
    monkeypatch.setattr("time.sleep", lambda _seconds: background(api))
    for found in client.follow_operation(running):
        seen.append(found.done)
    assert seen == [20, 40, 60, 80, 100, 101]
    assert found.state == "completed"
    assert [each.done for each in client.follow_operation(found)] == [101]


async def test_asynchronous__does_the_same(client: Client, account: Account, relay: Relay) -> None:
    make(client, 1)
    async with AsyncClient(relay.url, account.api_key, account.api_secret) as same:
        done = await same.pause_cronjobs({"all": True})
        assert [found async for found in same.follow_operation(done)] == [done]
        assert await same.get_operation(done.operation_id) == done
        put = await same.put_cronjob("job 0", cron="0 0 29 2 *", **HTTP)
        assert (put.outcome, put.state) == ("unchanged", "paused")


@pytest.mark.parametrize("name", ["a/b", "ü 茶 🍵", "..", ".", "100%", "a+b?c#d", "a%2Fb", " a"])
def test_put__signs_the_path_as_it_is_sent(client: Client, name: str) -> None:
    made = client.put_cronjob(name, cron="0 0 29 2 *", **HTTP)
    assert (made.name, made.outcome) == (name, "created")
    assert client.put_cronjob(name, cron="0 0 29 2 *", **HTTP).outcome == "unchanged"
    changed = client.put_cronjob(name, cron="0 8 * * *", timezone="Europe/Berlin", **HTTP)
    assert (changed.outcome, changed.cronjob_id) == ("changed", made.cronjob_id)


def test_put__of_several_raises_conflict(client: Client) -> None:
    for _ in range(2):
        client.create_cronjob(name="twice", cron="0 8 * * *", **HTTP)
    with pytest.raises(Conflict, match="Several cron jobs have this name"):
        client.put_cronjob("twice", cron="0 8 * * *", **HTTP)
    with pytest.raises(InvalidRequest):
        client.put_cronjob("", cron="0 8 * * *", **HTTP)
