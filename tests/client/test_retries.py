"""When a call is sent again, and that nothing is ever carried out twice."""

from __future__ import annotations

import re
from typing import Any

import pytest

from cronally import AsyncClient, Client
from cronally.client import Account
from cronally.errors import NotFound, RateLimited, Unavailable, UnexpectedAnswer, Unreachable
from tests.support.relay import UNAVAILABLE, Relay, failure, unused_url
from tests.support.scripted import answer, cut, hang

HTTP: dict[str, Any] = {
    "delivery_type": "http",
    "delivery_http_url": "https://example.com/",
    "delivery_http_method": "post",
}


def test_unavailable__is_tried_again(client: Client, relay: Relay, account: Account) -> None:
    relay.script.extend([UNAVAILABLE] * 3)
    assert client.account().account_id == account.account_id
    assert len(relay.requests) == 4


def test_unavailable__ends_after_the_last_retry(client: Client, relay: Relay) -> None:
    relay.script.extend([UNAVAILABLE] * 9)
    with pytest.raises(Unavailable, match="database does not answer"):
        client.account()
    assert len(relay.requests) == 4


def test_unavailable__of_a_proxy_is_tried_again_too(client: Client, relay: Relay) -> None:
    page = answer(503, b"<html>", Content_Type="text/html", Retry_After="60")
    relay.script.extend([answer(503, b"<html>"), page])
    with pytest.raises(Unavailable) as caught:
        client.account()
    assert caught.value.retry_after == 60
    assert len(relay.requests) == 2, "a pause of a minute is the caller's to make"


def test_unavailable__retry_after_is_waited_for(
    client: Client, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("cronally.client.synchronous.time.sleep", waits.append)
    relay.script.extend([failure(503, "unavailable", "later", Retry_After="7"), UNAVAILABLE, UNAVAILABLE])
    client.account()
    assert waits[0] == 7
    assert 0.001 <= waits[1] <= 0.002
    assert 0.002 <= waits[2] <= 0.004


def test_other_errors__are_not_tried_again(client: Client, relay: Relay) -> None:
    for status in (400, 401, 403, 404, 429, 500, 502):
        relay.script.append(answer(status, b"?"))
        with pytest.raises(UnexpectedAnswer, match=str(status)):
            client.account()
    assert len(relay.requests) == 7


def test_refused_connection__is_tried_again_for_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("cronally.client.synchronous.time.sleep", waits.append)
    with (
        Client(unused_url(), retries=2) as client,
        pytest.raises(Unreachable, match="check the URL and that the server is running"),
    ):
        client.signup("a@example.com")
    assert len(waits) == 2


def test_create_cronjob__a_lost_answer_makes_no_second_one(client: Client, relay: Relay) -> None:
    relay.script.extend([relay.carry_out_and_cut, cut, UNAVAILABLE])
    created = client.create_cronjob(name="report", cron="0 8 * * *", **HTTP)
    assert len({request.headers["idempotency-key"] for request in relay.requests}) == 1
    assert len(relay.requests) == 4
    assert [job.cronjob_id for job in client.iter_cronjobs()] == [created.cronjob_id]


@pytest.mark.parametrize("verb", ["signup", "delete"])
def test_lost_answer__of_what_may_not_be_repeated_is_reported(
    client: Client, relay: Relay, verb: str
) -> None:
    created = client.create_cronjob(name="report", cron="0 8 * * *", **HTTP)
    relay.requests.clear()
    relay.script.append(relay.carry_out_and_cut)
    with pytest.raises(Unreachable, match="it may have carried the call out"):
        client.signup("b@example.com") if verb == "signup" else client.delete_cronjob(created.cronjob_id)
    assert len(relay.requests) == 1
    if verb == "delete":
        with pytest.raises(NotFound):
            client.cronjob(created.cronjob_id)


def test_timeout__is_no_answer(relay: Relay, account: Account) -> None:
    relay.script.append(hang)
    with (
        Client(relay.url, account.api_key, account.api_secret, timeout=0.5, retries=0) as client,
        pytest.raises(Unreachable, match=r"does not answer within 0\.5 s"),
    ):
        client.account()


def test_each_try__has_a_nonce_of_its_own(client: Client, relay: Relay) -> None:
    relay.script.extend([UNAVAILABLE, UNAVAILABLE])
    client.account()
    found = [re.findall('nonce="([0-9a-f]{32})"', one.headers["signature-input"]) for one in relay.requests]
    assert len({nonce for (nonce,) in found}) == 3


def test_each_try__is_signed_anew_by_version_1_too(
    relay: Relay, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(relay.url, account.api_key, account.api_secret, backoff=0.001, signature_version="v1")
    dates = iter(["202611240800", "202611240801"])
    monkeypatch.setattr("cronally.client.connection.signing.format_date", lambda instant: next(dates))
    relay.script.extend([UNAVAILABLE, failure(429, "rate_limited", "slow down", Retry_After="30")])
    with client, pytest.raises(RateLimited) as caught:
        client.account()
    assert caught.value.retry_after == 30
    assert [request.headers["x-cron-date"] for request in relay.requests] == [
        "202611240800",
        "202611240801",
    ]
    signatures = {request.headers["x-cron-signature"] for request in relay.requests}
    assert len(signatures) == 2


async def test_async_client__tries_again_too(relay: Relay, account: Account) -> None:
    relay.script.extend([UNAVAILABLE, cut, relay.carry_out_and_cut])
    async with AsyncClient(relay.url, account.api_key, account.api_secret, backoff=0.001) as client:
        created = await client.create_cronjob(name="report", cron="0 8 * * *", **HTTP)
        assert [job.cronjob_id async for job in client.iter_cronjobs()] == [created.cronjob_id]
    async with AsyncClient(unused_url(), retries=1, backoff=0.001) as client:
        with pytest.raises(Unreachable):
            await client.signup("a@example.com")


def test_pages__wait_where_the_server_asks_for_it(
    client: Client, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("cronally.client.synchronous.time.sleep", waits.append)
    for number in range(2):
        client.create_cronjob(name=f"job {number}", cron="0 8 * * *", **HTTP)
    busy = failure(429, "rate_limited", "too many requests", Retry_After="60")
    listed = client.iter_cronjobs(page_size=1)
    assert next(listed).name == "job 0"
    relay.script.extend([busy] * 5)
    assert next(listed).name == "job 1"
    assert waits == [60] * 5
    listed = client.iter_cronjobs(page_size=1)
    next(listed)
    relay.script.extend([busy] * 6)
    with pytest.raises(RateLimited):
        next(listed)
    # The first page is nobody's to wait for.
    relay.script.clear()
    relay.script.append(busy)
    with pytest.raises(RateLimited):
        next(client.iter_cronjobs())
