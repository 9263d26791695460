"""Replay and backfill by both clients, against the real API."""

from __future__ import annotations

import pytest

from cronally import AsyncClient, Client
from cronally.client import Account
from cronally.errors import Conflict, InvalidRequest
from cronally.firing import State
from cronally.instants import MINUTE, format_iso, to_datetime
from tests.api.serving import Api
from tests.client.test_many import background
from tests.support.ended import add_ended
from tests.support.relay import Relay

ENDED = ("failed", "missed", "failed", "delivered")


def test_past__each_verb(client: Client, account: Account, api: Api, relay: Relay) -> None:
    cronjob_id, times = add_ended(api, account.account_id, ENDED, tags='["web"]')
    failed = [*client.iter_account_firings(state=[State.FAILED], tag=["web"], order="oldest")]
    again = client.replay_firing(failed[0])
    assert (again.firing_id, again.state) == (failed[0].firing_id, "pending")
    with pytest.raises(Conflict):
        client.replay_firing(failed[0])
    trial = client.try_replay(since=to_datetime(times[0]))
    assert (trial.total, trial.firings) == (1, (failed[1],))
    assert client.replay_firings(tag=["web"], max_per_minute=600).total == 1
    assert "idempotency-key" in relay.last.headers
    first, last = to_datetime(times[0]), format_iso(times[3])
    found = client.try_backfill(cronjob_id, first, last, order="newest")
    assert (found.fire_times, found.to_revive, found.delivered) == (4, 1, 1)
    assert found.first == (to_datetime(times[0] + MINUTE),)
    operation = client.backfill_cronjob(cronjob_id, first, last, max_per_minute=600)
    assert operation.total == 1
    while client.get_operation(operation.operation_id).finished_at is None:
        background(api)
    assert client.try_backfill(cronjob_id, first, last).to_revive == 0
    with pytest.raises(InvalidRequest, match="state"):
        client.replay_firings()
    missed = client.try_replay(cronjob_id=cronjob_id, state=[State.DELIVERED])
    assert (missed.failed, missed.problems) == (None, None)
    then = client.try_replay("then", cronjob_id=cronjob_id, state=[State.DELIVERED])
    assert then.problems is not None
    assert (then.failed, "as=now" in then.problems[0].problem) == (1, True)
    with pytest.raises(InvalidRequest, match="as=now"):
        client.replay_firing(missed.firings[0], as_="then")


async def test_past__asynchronous(account: Account, api: Api, relay: Relay) -> None:
    cronjob_id, times = add_ended(api, account.account_id, ENDED)
    async with AsyncClient(relay.url, account.api_key, account.api_secret) as client:
        assert (await client.try_replay(cronjob_id=cronjob_id)).total == 2
        assert (await client.try_backfill(cronjob_id, to_datetime(times[0]))).delivered == 1
