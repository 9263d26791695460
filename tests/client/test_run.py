"""Running a cron job and following its firing, by both clients, against the real API and its engine."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cronally import AsyncClient, Client
from cronally.client import Account, Cronjob, calls
from cronally.client.following import FIRST_PAUSE, MAX_PAUSE, Following
from cronally.contract.firings import Firing
from cronally.engine.dispatcher import Dispatcher
from cronally.errors import InvalidRequest, NotFound
from cronally.targets.target import Delivered, Outcome, Retry
from tests.api.serving import Api
from tests.client.test_client import HTTP, SNS
from tests.support.factories import Monotonic, ScriptedTarget, vault
from tests.support.relay import Relay


@pytest.fixture
def cronjob(client: Client, relay: Relay) -> Cronjob:
    made = client.create_cronjob(name="report", cron="0 0 29 2 *", **SNS)
    relay.requests.clear()
    return made


def engine(api: Api, *outcomes: Outcome) -> Callable[[], None]:
    """What delivers once each time that it is called, with one of these outcomes after the other."""
    left = list(outcomes)
    target = ScriptedTarget(name="sns", script=lambda _message: left.pop(0))

    async def deliver() -> None:
        dispatcher = Dispatcher(api.store, vault(), {"sns": target}, chance=lambda: 0.0)
        await dispatcher.step()
        await dispatcher.settled()

    return lambda: api.run(deliver())


def test_run__sends_what_it_is_given_once(client: Client, relay: Relay, cronjob: Cronjob) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    made = client.run_cronjob(cronjob.cronjob_id, at=at, sns_message="ä", idempotency_key="k")
    assert relay.last.form() == {"at": at.isoformat().replace("+00:00", "Z"), "sns_message": "ä"}
    assert relay.last.headers["idempotency-key"] == "k"
    assert (made.kind, made.state, made.scheduled_at) == ("manual", "pending", at)
    assert client.run_cronjob(cronjob.cronjob_id, at=at, sns_message="ä", idempotency_key="k") == made
    later = client.run_cronjob(cronjob.cronjob_id, at=timedelta(minutes=10))
    assert relay.last.form() == {"at": "10m"}
    assert relay.last.headers["idempotency-key"], "a random one, so that it may be repeated"
    assert len(client.firings(cronjob.cronjob_id)) == 2
    assert client.call(calls.same_firing(later)).firing_id == later.firing_id
    with pytest.raises(NotFound):
        client.run_cronjob("00000000-0000-4000-8000-000000000000")
    with pytest.raises(InvalidRequest):
        client.run_cronjob(cronjob.cronjob_id, **HTTP)


def test_run__a_cut_connection_makes_no_second_one(client: Client, relay: Relay, cronjob: Cronjob) -> None:
    relay.script.append(relay.carry_out_and_cut)
    client.run_cronjob(cronjob.cronjob_id)
    assert len(client.firings(cronjob.cronjob_id)) == 1


def test_follow__tells_each_change_until_the_end(client: Client, api: Api, cronjob: Cronjob) -> None:
    deliver = engine(api, Retry("busy", after=0.0), Delivered("m"))
    firing = client.run_cronjob(cronjob.cronjob_id)
    seen = []
    for found in client.follow(firing):
        seen.append((found.state, found.attempt, found.reason, len(found.attempts or ())))
        deliver()
    assert seen[0] == ("pending", 0, None, 0)
    assert ("pending", 1, "target_unavailable", 1) in seen
    assert seen[-1] == ("delivered", 2, None, 2)


def test_follow__ends_when_the_time_is_over_and_goes_on_after_a_deletion(
    client: Client, cronjob: Cronjob
) -> None:
    firing = client.run_cronjob(cronjob.cronjob_id, at="1h")
    assert [found.state for found in client.follow(firing, seconds=0.3)] == ["pending"]
    client.delete_cronjob(cronjob.cronjob_id)
    assert [(found.state, found.reason) for found in client.follow(firing)] == [("skipped", "deleted")]


async def test_follow__of_the_other_client(
    relay: Relay, account: Account, client: Client, cronjob: Cronjob, api: Api
) -> None:
    firing = client.run_cronjob(cronjob.cronjob_id)
    client.delete_cronjob(cronjob.cronjob_id)
    async with AsyncClient(relay.url, account.api_key, account.api_secret) as other:
        assert [found.state async for found in other.follow(firing)] == ["skipped"]
        with pytest.raises(NotFound):
            await other.run_cronjob(cronjob.cronjob_id)


def test_clients__have_the_same_parameters() -> None:
    for name in ("run_cronjob", "follow"):
        ours, theirs = getattr(Client, name), getattr(AsyncClient, name)
        assert inspect.signature(ours).parameters.keys() == inspect.signature(theirs).parameters.keys()


def firing(**given: Any) -> Firing:
    values: dict[str, Any] = {
        "firing_id": "f",
        "cronjob_id": "c",
        "scheduled_at": datetime(2026, 11, 24, 8, tzinfo=UTC),
        "kind": "manual",
        "state": "pending",
        "count": 1,
        "attempt": 0,
        "created_at": datetime(2026, 11, 24, 8, tzinfo=UTC),
    }
    return Firing(**values | given)


def test_following__pauses_grow_and_end() -> None:
    clock = Monotonic()
    following = Following(firing(), 60.0, clock)
    pauses = []
    while (pause := following.pause()) is not None:
        pauses.append(pause)
        clock.now += pause
    assert pauses[0] == FIRST_PAUSE
    assert max(pauses) == MAX_PAUSE
    assert sum(pauses) == pytest.approx(60.0)
    assert len(pauses) < 25


def test_following__slows_down_and_knows_what_is_news() -> None:
    following = Following(firing(), None)
    following.slow_down(17)
    assert following.pause() == 17.0
    assert following.has_changed(firing())
    assert not following.has_changed(firing())
    ended = firing(state="delivered", finished_at=datetime(2026, 11, 24, 9, tzinfo=UTC))
    assert following.has_changed(ended)
    assert following.pause() is None
    # One that had ended when it was asked for is asked for once: its attempts are not known yet.
    following = Following(ended, None)
    assert following.pause() is not None
