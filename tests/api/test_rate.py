"""How much a client may ask for in a minute: in requests, and in the server's seconds."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronally import errors
from cronally.api.rate import MAX_ASKERS, MINUTE, Rate, per_minute
from cronally.instants import DAY
from tests.api.serving import Answer, Api, Client, serving, sign_up
from tests.operations.parameters import HTTP

LIST = "/cronjobs/?limit=1"


class Now:
    """A clock in seconds, moved by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def url(migrated_sqlite: Path, tmp_path: Path) -> str:
    shutil.copy(migrated_sqlite, tmp_path / "cronally.db")
    return f"sqlite:///{tmp_path / 'cronally.db'}"


def is_told(answer: Answer, policy: str, window: int = MINUTE) -> str:
    """See that an answer says which limit is reached and for how long; return the message."""
    assert (answer.status, answer.error["code"]) == (429, "rate_limited")
    seconds = answer.headers["Retry-After"]
    assert 1 <= int(seconds) <= window + 1
    assert answer.headers["RateLimit-Policy"] == policy
    name = policy.partition(";")[0]
    assert answer.headers["RateLimit"] == f"{name};r=0;t={seconds}"
    message: str = answer.error["message"]
    return message


def test_count__by_the_minute_and_bounded() -> None:
    now = Now()
    rate = Rate(per_minute("requests", 2), clock=now)
    for address in ("a", "a", "b"):
        rate.count(address)
    now.now += 59.5
    with pytest.raises(errors.RateLimited) as caught:
        rate.count("a")
    assert caught.value.retry_after == 1
    rate.count("b")
    now.now += 10 * MINUTE + 0.5
    rate.count("a")
    for number in range(MAX_ASKERS - 1):
        rate.count(str(number))
    rate.count("a")
    # The table is full: whoever is new shares a count.
    for address in ("new", "newer"):
        rate.count(address)
    with pytest.raises(errors.RateLimited):
        rate.count("newest")
    assert len(rate._used) <= MAX_ASKERS + 1


def test_check__what_was_spent_counts_until_the_window_ends() -> None:
    now = Now()
    rate = Rate(per_minute("seconds", 2, "seconds"), "Slower.", clock=now)
    rate.check("a")
    assert [rate.spend("a", 1.25), rate.spend("b", 1.5), rate.spend("a", 0.5)] == [1.25, 1.5, 1.75]
    rate.check("a")
    rate.spend("a", 0.25)
    now.now += 45
    with pytest.raises(errors.RateLimited, match="Slower") as caught:
        rate.check("a")
    assert caught.value.retry_after == 16
    assert caught.value.limit is not None
    assert caught.value.limit.policy == '"seconds";q=2;qu="seconds";w=60'
    rate.check("b")
    now.now += 15
    rate.check("a")
    assert rate.spend("a", 1.0) == 1.0


def test_requests__an_account_that_asks_too_often_is_told_when_to_come_back(url: str) -> None:
    with serving(url, requests_per_minute=3) as api:
        hasty, calm = sign_up(api, "hasty@example.com"), sign_up(api, "calm@example.com")
        answers = [hasty.ask("GET", LIST) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 200]
        # One that stays below its limits needs no header to say so.
        assert not any("RateLimit" in name for answer in answers for name in answer.headers)
        is_told(hasty.ask("GET", LIST), '"requests";q=3;w=60')
        assert calm.ask("GET", LIST).status == 200
        kept = api.app.state.connections
        assert kept.is_known("127.0.0.1")
        kept._known.clear()
        assert hasty.ask("GET", LIST).status == 429
        assert not kept.is_known("127.0.0.1"), "who is over its limits is a stranger again"


@pytest.fixture
def slow(url: str) -> Iterator[Api]:
    """A server each step of whose requests takes an eighth of a second, by its stopwatch."""
    ticks = itertools.count()
    with serving(url, request_seconds_per_minute=1, stopwatch=lambda: next(ticks) / 8) as api:
        yield api


def test_seconds__an_account_whose_requests_take_long_is_told_when_to_come_back(slow: Api) -> None:
    dear, cheap = sign_up(slow, "dear@example.com"), sign_up(slow, "cheap@example.com")
    statuses = []
    while 429 not in statuses:
        refused = dear.ask("GET", LIST)
        statuses.append(refused.status)
    # Each took one step at least, and they go on until a second is used.
    assert statuses.count(200) <= 8
    assert statuses == [200] * (len(statuses) - 1) + [429]
    message = is_told(refused, '"request-seconds";q=1;qu="seconds";w=60')
    assert "have used 1 s of the server's time" in message
    assert "ask for smaller pages" in message
    # Refused ones cost next to nothing, and count as requests alone.
    assert dear.ask("GET", LIST).status == 429
    assert cheap.ask("GET", LIST).status == 200


def test_seconds__of_an_address_without_an_account_are_no_accounts(slow: Api) -> None:
    tenant = sign_up(slow, "tenant@example.com")
    preview = "/schedule/preview/?expression=0+8+*+*+*"
    assert {Client(slow).ask("GET", preview).status for _ in range(10)} == {200}
    assert tenant.ask("GET", LIST).status == 200


def test_changes__of_a_cronjob_are_limited_too(url: str) -> None:
    with serving(url, operations={"min_interval": DAY}) as api:
        tenant = sign_up(api, "tenant@example.com")
        path = f"/cronjob/{tenant.ask('POST', '/cronjob/', HTTP).response['cronjob_id']}/"
        statuses = [tenant.ask("PATCH", path, {"name": f"No. {number}"}).status for number in range(99)]
        assert statuses == [200] * 99
        window = 100 * 24 * 3600
        message = is_told(tenant.ask("PATCH", path, {"name": "n"}), f'"changes";q=100;w={window}', window)
        assert re.match(r"The cron job was changed 100 times in the last 100d, as often as", message)
