"""When a call is sent again, and that nothing is ever carried out twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cronally import AsyncClient, Client
from cronally.errors import NotFound, RateLimited, Unavailable, UnexpectedAnswer, Unreachable
from tests.client.stand_in import CUT, UNAVAILABLE, Answer, StandIn, failure, unused_url


def carry_out_and_cut(carry_out: Callable[[], Answer]) -> Answer:
    """The worst case: the server did it, and the answer is lost."""
    carry_out()
    return CUT


def test_unavailable__is_tried_again(client: Client, stand_in: StandIn, account: dict[str, Any]) -> None:
    stand_in.faults.extend([UNAVAILABLE] * 3)
    assert client.account().account_id == account["account_id"]
    assert len(stand_in.requests) == 4


def test_unavailable__ends_after_the_last_retry(client: Client, stand_in: StandIn) -> None:
    stand_in.faults.extend([UNAVAILABLE] * 9)
    with pytest.raises(Unavailable, match="database does not answer"):
        client.account()
    assert len(stand_in.requests) == 4


def test_unavailable__of_a_proxy_is_tried_again_too(client: Client, stand_in: StandIn) -> None:
    page = Answer(503, b"<html>", {"Content-Type": "text/html", "Retry-After": "60"})
    stand_in.faults.extend([Answer(503, b"<html>"), page])
    with pytest.raises(Unavailable) as caught:
        client.account()
    assert caught.value.retry_after == 60
    assert len(stand_in.requests) == 2, "a pause of a minute is the caller's to make"


def test_unavailable__retry_after_is_waited_for(
    client: Client, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("cronally.client.synchronous.time.sleep", waits.append)
    stand_in.faults.extend([failure(503, "unavailable", "later", Retry_After="7"), UNAVAILABLE, UNAVAILABLE])
    client.account()
    assert waits[0] == 7
    assert 0.001 <= waits[1] <= 0.002
    assert 0.002 <= waits[2] <= 0.004


def test_other_errors__are_not_tried_again(client: Client, stand_in: StandIn) -> None:
    for status in (400, 401, 403, 404, 429, 500, 502):
        stand_in.faults.append(Answer(status, b"?"))
        with pytest.raises(UnexpectedAnswer, match=str(status)):
            client.account()
    assert len(stand_in.requests) == 7


def test_refused_connection__is_tried_again_for_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("cronally.client.synchronous.time.sleep", waits.append)
    with (
        Client(unused_url(), retries=2) as client,
        pytest.raises(Unreachable, match="check the URL and that the server is running"),
    ):
        client.signup("a@example.com")
    assert len(waits) == 2


def test_create_cronjob__a_lost_answer_makes_no_second_one(client: Client, stand_in: StandIn) -> None:
    stand_in.faults.extend([carry_out_and_cut, CUT, UNAVAILABLE])
    created = client.create_cronjob(name="report", cron="0 8 * * *")
    assert list(stand_in.cronjobs) == [created.cronjob_id]
    assert len({request.headers["idempotency-key"] for request in stand_in.requests}) == 1
    assert len(stand_in.requests) == 4


@pytest.mark.parametrize("verb", ["signup", "delete"])
def test_lost_answer__of_what_may_not_be_repeated_is_told(
    client: Client, stand_in: StandIn, verb: str
) -> None:
    created = client.create_cronjob(name="report", cron="0 8 * * *")
    stand_in.requests.clear()
    stand_in.faults.append(carry_out_and_cut)
    with pytest.raises(Unreachable, match="it may have carried the call out"):
        client.signup("b@example.com") if verb == "signup" else client.delete_cronjob(created.cronjob_id)
    assert len(stand_in.requests) == 1
    if verb == "delete":
        with pytest.raises(NotFound):
            client.cronjob(created.cronjob_id)


def test_timeout__is_no_answer(stand_in: StandIn, account: dict[str, Any]) -> None:
    with held_up(stand_in) as hold:
        stand_in.faults.append(hold)
        with (
            Client(stand_in.url, account["api_key"], account["api_secret"], timeout=0.5, retries=0) as client,
            pytest.raises(Unreachable, match=r"does not answer within 0\.5 s"),
        ):
            client.account()


def test_each_try__is_signed_anew(client: Client, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    dates = iter(["202611240800", "202611240801"])
    monkeypatch.setattr("cronally.client.connection.signing.format_date", lambda instant: next(dates))
    stand_in.faults.extend([UNAVAILABLE, failure(429, "rate_limited", "slow down", Retry_After="30")])
    with pytest.raises(RateLimited) as caught:
        client.account()
    assert caught.value.retry_after == 30
    assert [request.headers["x-cron-date"] for request in stand_in.requests] == [
        "202611240800",
        "202611240801",
    ]
    signatures = {request.headers["x-cron-signature"] for request in stand_in.requests}
    assert len(signatures) == 2


async def test_async_client__tries_again_too(stand_in: StandIn, account: dict[str, Any]) -> None:
    stand_in.faults.extend([UNAVAILABLE, CUT, carry_out_and_cut])
    async with AsyncClient(stand_in.url, account["api_key"], account["api_secret"], backoff=0.001) as client:
        created = await client.create_cronjob(name="report", cron="0 8 * * *")
    assert list(stand_in.cronjobs) == [created.cronjob_id]
    async with AsyncClient(unused_url(), retries=1, backoff=0.001) as client:
        with pytest.raises(Unreachable):
            await client.signup("a@example.com")


@contextmanager
def held_up(stand_in: StandIn) -> Iterator[Callable[[Callable[[], Answer]], Answer]]:
    """An answer that does not come before the block ends."""
    released = threading.Event()

    def hold(carry_out: Callable[[], Answer]) -> Answer:
        released.wait(60)
        return CUT

    try:
        yield hold
    finally:
        released.set()
