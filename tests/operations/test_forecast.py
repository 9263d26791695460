"""Forecasts of an account and of all accounts, on both databases: what the rows become, whose they are, what waits."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, update

from cronally import errors
from cronally.clock.exclusion import Exclusion
from cronally.contract.forecasts import ForecastRange
from cronally.contract.reading import Parameters, Reading
from cronally.contract.writing import to_json
from cronally.fairness import ASKER
from cronally.instants import DAY, HOUR, MINUTE, SECOND
from cronally.operations import Caller
from cronally.operations.forecasts import KEPT, Forecasts, forecast_of_all
from cronally.store import Store, tables
from cronally.store import forecasts as store_forecasts
from cronally.targets.target import Target
from tests.clock.texts import any_text
from tests.forecast.oracle import walked
from tests.operations.tenant import API_KEY, Tenants
from tests.operations.turns import CountedTurns
from tests.support import factories
from tests.support.factories import NOON, Clock

SNS = {
    "sns_topic": "arn:aws:sns:eu-west-1:123456789012:reports",
    "sns_region": "eu-west-1",
    "sns_message": "x",
}
ZONES = ["UTC", "Europe/Berlin", "Asia/Kathmandu"]


def caller(account_id: str) -> Caller:
    return Caller(account_id, API_KEY, b"")


def asked(**sent: Any) -> Reading[ForecastRange]:
    return Reading(ForecastRange, Parameters(dict(sent)))


def http(url: str) -> dict[str, Any]:
    destination = json.dumps({"delivery_http_url": url, "delivery_http_method": "post"})
    return {"target": "http", "destination": destination}


def sns(**more: Any) -> dict[str, Any]:
    return {"target": "sns", "destination": json.dumps({**SNS, **more})}


def due(values: dict[str, Any], now: int = NOON) -> dict[str, Any]:
    """A cron job with its next fire time."""
    row = factories.cronjob_of(values)
    following = row.timing.timetable(row.cronjob_id, row.created_at).next(now)
    return {**values, "next_fire_at": following}


def some_rows(account_ids: list[str], count: int) -> Iterator[dict[str, Any]]:
    random = Random(5)
    texts = [
        "0 * * * *",
        "*/5 * * * *",
        "H * * * *",
        "H H * * *",
        "H/20 H(9-17) * * THU",
        "@hourly",
        "@every 90s",
    ]
    urls = [
        "https://a.example/in",
        "http://a.example:81/x/y?z=1",
        "https://u:***@b.example",
        "https://c.example?a=/b",
    ]
    for number in range(count):
        target = sns() if random.random() < 0.4 else http(random.choice(urls))
        cron = random.choice([*texts, *texts, any_text(random)])
        policies: dict[str, Any] = random.choice(
            [
                *(
                    {},
                    {"dst_gap": "skip"},
                    {"retry_max_attempts": 3},
                    {"window": 10 * MINUTE},
                    {"max_firings": 4},
                ),
                *(
                    {"exclude": ["2026-11-25", "holidays"]},
                    {"starts_at": NOON + 5 * HOUR, "ends_at": NOON + DAY},
                ),
            ]
        )
        values = factories.cronjob_values(
            random.choice(account_ids),
            cronjob_id=str(UUID(int=random.getrandbits(128))),
            cron=cron,
            timezone=random.choice(ZONES),
            created_at=NOON - random.randrange(30 * DAY),
            policies=factories.encode_policies(**policies),
            name=f"job {number}",
            fired=2,
            **target,
        )
        yield due(values)


HOSTS = {
    "https://a.example/in": "a.example",
    "http://a.example:81/x/y?z=1": "a.example",
    "https://u:***@b.example": "b.example",
    "https://c.example?a=/b": "c.example",
}


HOLIDAYS = {"first": ["2026-11-24"], "second": ["2026-11-30/2026-12-03"]}
"""What the calendar of a name that two accounts have holds, by account."""


def counted(rows: list[dict[str, Any]], begins_at: int, ends_at: int) -> Counter[str]:
    """Firings by host, each cron job walked alone."""
    found: Counter[str] = Counter()
    for row in rows:
        destination = json.loads(row["destination"])
        host = HOSTS.get(destination.get("delivery_http_url"), "sns.eu-west-1.amazonaws.com")
        table = factories.cronjob_of(row).timing.timetable(row["cronjob_id"], row["created_at"])
        policies = json.loads(row["policies"])
        dates = json.dumps(HOLIDAYS[factories.name_of(row["account_id"])])
        exclusion = Exclusion.of(policies.get("exclude"), {"holidays": dates})
        excluded = None if exclusion is None else exclusion.within(table.zone)
        fired = 2
        for at in walked(table, NOON + 1, ends_at):
            if excluded is not None and excluded.cause(at) is not None:
                continue
            if fired < policies.get("max_firings", 10**9):
                fired += 1
                found[host] += at >= begins_at
    return found


@pytest.fixture
def forecasts(store: Store, targets: dict[str, Target]) -> Forecasts:
    return Forecasts(store, targets)


async def test_forecast__of_an_account_and_of_all_is_what_each_cron_job_fires(
    store: Store, forecasts: Forecasts, targets: dict[str, Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_forecasts, "PAGE", 16)
    accounts = [await factories.make_account(store, name) for name in HOLIDAYS]
    calendars = [
        {"account_id": account_id, "name": "holidays", "dates": json.dumps(dates), "count": 1, "size": 1}
        for account_id, dates in zip(accounts, HOLIDAYS.values(), strict=True)
    ]
    await factories.insert_rows(
        store, "calendar", [{**one, "created_at": 0, "updated_at": 0} for one in calendars]
    )
    rows = list(some_rows(accounts, 150))
    await factories.insert_rows(store, "cronjob", rows)
    begins_at = NOON + MINUTE
    for account_id in accounts:
        answer = await forecasts.forecast(caller(account_id), asked(hours=30))
        # A step is of 5 minutes from 26 hours on.
        assert answer.step == "5m"
        own = [row for row in rows if row["account_id"] == account_id]
        wanted = +counted(own, NOON + 5 * MINUTE, NOON + 5 * MINUTE + 30 * HOUR)
        assert {host.host: host.firings for host in answer.hosts} == wanted
        assert answer.firings == wanted.total() == sum(step.firings for step in answer.steps)

    def of_all(connection: Connection) -> Any:
        return forecast_of_all(connection, targets, 24, NOON)

    answer = await store.transact(of_all)
    wanted = +counted(rows, begins_at, begins_at + DAY)
    assert {host.host: host.firings for host in answer.hosts} == wanted
    assert answer.unreadable == 0


async def test_forecast__of_all_writes_nothing(store: Store) -> None:
    def write(connection: Connection) -> None:
        with store_forecasts.read_only(connection):
            connection.execute(update(tables.cronjob).values(name="x"))

    await factories.make_cronjob(store)
    with pytest.raises(Exception, match=r"read.?only"):
        await store.transact(write)


async def test_forecast__of_what_stands_still(store: Store, forecasts: Forecasts) -> None:
    account_id = await factories.make_account(store)
    given: list[dict[str, Any]] = [
        {"state": "paused", "next_fire_at": None, "paused_at": NOON},
        {"state": "completed", "next_fire_at": None},
        {"state": "deleted", "next_fire_at": None, "purge_at": NOON},
        {"state": "paused", "next_fire_at": None, "paused_at": NOON, "paused_until": NOON + 3 * HOUR},
        {"state": "active", "next_fire_at": NOON + HOUR},
    ]
    rows = [
        factories.cronjob_values(
            account_id, cron="0 * * * *", cronjob_id=str(UUID(int=n)), **http("https://a.example"), **each
        )
        for n, each in enumerate(given)
    ]
    await factories.insert_rows(store, "cronjob", rows)
    answer = await forecasts.forecast(caller(account_id), asked(hours=5))
    # At the very end of the pause it fires.
    assert [(step.at.hour, step.firings) for step in answer.steps] == [
        (13, 1),
        (14, 1),
        (15, 2),
        (16, 2),
        (17, 2),
    ]


async def test_forecast__leaves_out_what_cannot_be_read(store: Store, forecasts: Forecasts) -> None:
    account_id = await factories.make_account(store)
    rows = [
        factories.cronjob_values(
            account_id, cron=cron, cronjob_id=str(UUID(int=n)), next_fire_at=NOON + HOUR, **where
        )
        for n, (cron, where) in enumerate(
            [
                ("never * * * *", http("https://a.example")),
                ("0 13 * * *", sns(sns_region="mars-north-1")),
                ("0 13 * * *", {"target": "sqs", "destination": "{}"}),
                ("0 13 * * *", {"target": "http", "destination": "{}"}),
            ]
        )
    ]
    await factories.insert_rows(store, "cronjob", rows)
    answer = await forecasts.forecast(caller(account_id), asked())
    assert (answer.firings, answer.unreadable) == (3, 1)
    assert [(host.host, host.firings) for host in answer.hosts] == [("unknown", 3)]


async def test_forecast__names_what_to_spread_and_what_it_brings(
    store: Store, forecasts: Forecasts, targets: dict[str, Target]
) -> None:
    account_id, other = [await factories.make_account(store) for _ in range(2)]
    rows = [
        due(
            factories.cronjob_values(
                owner,
                cronjob_id=str(UUID(int=number << 96)),
                cron=cron,
                name=f"job {number}",
                **(http("https://a.example/in") if number % 10 else sns()),
            )
        )
        for number, (owner, cron) in enumerate(
            [(account_id, "0 * * * *")] * 40 + [(account_id, "@daily")] * 10 + [(other, "0 0 * * *")] * 20
        )
    ]
    await factories.insert_rows(store, "cronjob", rows)
    answer = await forecasts.forecast(caller(account_id), asked())
    gain = answer.spread
    assert gain is not None
    # Of one its id chooses the very minute where it is.
    assert (gain.host, gain.at.hour, gain.before, gain.cronjob_count) == ("a.example", 0, 45, 44)
    assert gain.after < 8
    assert len(gain.cronjobs) == 20
    assert {(one.cron, one.instead) for one in gain.cronjobs} == {("0 * * * *", "H * * * *")}
    names = {row["cronjob_id"]: row["name"] for row in rows if row["account_id"] == account_id}
    assert all(names[one.cronjob_id] == one.name for one in gain.cronjobs)

    whole = await store.transact(lambda connection: forecast_of_all(connection, targets, 24, NOON))
    assert whole.spread is not None
    assert (whole.spread.host, whole.spread.before, whole.spread.cronjob_count) == ("a.example", 63, 61)
    assert len(whole.spread.cronjobs) == 20

    # Whoever follows the advice finds what was said.
    def follow(connection: Connection) -> None:
        table = tables.cronjob
        for row in rows:
            if row["account_id"] == account_id and "a.example" in row["destination"]:
                instead = {"0 * * * *": "H * * * *", "@daily": "H 0 * * *"}[row["cron"]]
                values = {name: due({**row, "cron": instead})[name] for name in ("cron", "next_fire_at")}
                connection.execute(
                    update(table).where(table.c.cronjob_id == row["cronjob_id"]).values(values)
                )

    await store.transact(follow)
    again = await Forecasts(store, targets).forecast(caller(account_id), asked())
    assert next(host.peak for host in again.hosts if host.host == "a.example") == gain.after


async def test_forecast__is_kept_for_ten_seconds(store: Store, forecasts: Forecasts, clock: Clock) -> None:
    account_id = await factories.make_account(store)
    await factories.make_cronjob(store, account_id, cron="0 * * * *", next_fire_at=NOON + HOUR, **sns())
    first = await forecasts.forecast(caller(account_id), asked())
    clock.forward(9 * SECOND)
    assert await forecasts.forecast(caller(account_id), asked()) is first
    assert await forecasts.forecast(caller(account_id), asked(hours=24)) is first
    assert (await forecasts.forecast(caller(account_id), asked(hours=3))).firings == 3
    clock.forward(SECOND)
    later = await forecasts.forecast(caller(account_id), asked())
    assert later.computed_at > first.computed_at
    # A clock that was set back makes nothing old last.
    clock.now = NOON - HOUR
    assert (await forecasts.forecast(caller(account_id), asked())).computed_at < first.computed_at


async def test_forecast__only_so_many_are_kept(store: Store, forecasts: Forecasts) -> None:
    accounts = [await factories.make_account(store) for _ in range(KEPT + 1)]
    answers = [await forecasts.forecast(caller(account_id), asked()) for account_id in accounts]
    assert await forecasts.forecast(caller(accounts[-1]), asked()) is answers[-1]
    assert await forecasts.forecast(caller(accounts[0]), asked()) is not answers[0]


async def test_forecast__is_computed_once_for_all_that_ask_meanwhile_and_in_turns(
    store: Store, forecasts: Forecasts, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_id = await factories.make_account(store)
    rows = list(some_rows([account_id], 200))
    await factories.insert_rows(store, "cronjob", rows)
    turns = CountedTurns(account_id)
    token = ASKER.set(turns)
    try:
        answers = await asyncio.gather(*[forecasts.forecast(caller(account_id), asked()) for _ in range(5)])
    finally:
        ASKER.reset(token)
    assert all(answer is answers[0] for answer in answers)
    # Two hundred cron jobs of a hundred timetables, ten of them at a time; others wait outside.
    assert turns.settled == turns.taken > 15


async def test_forecast__one_that_is_given_up_leaves_the_next_its_place(
    store: Store, forecasts: Forecasts
) -> None:
    account_id = await factories.make_account(store)
    await factories.insert_rows(store, "cronjob", list(some_rows([account_id], 60)))
    first = asyncio.create_task(forecasts.forecast(caller(account_id), asked()))
    second = asyncio.create_task(forecasts.forecast(caller(account_id), asked()))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).firings > 0
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_forecast__wrong_hours_are_named(operations: Tenants, forecasts: Forecasts) -> None:
    for hours in ("0", "169", "x", "1.5"):
        with pytest.raises(errors.InvalidRequest) as refused:
            await forecasts.forecast(caller(factories.uuid_of("a")), asked(hours=hours))
        assert refused.value.fields.keys() == {"hours"}


async def test_forecast__is_bounded_in_bytes(store: Store, forecasts: Forecasts) -> None:
    account_id = await factories.make_account(store)
    rows = [
        due(
            factories.cronjob_values(
                account_id,
                cronjob_id=str(UUID(int=n << 64)),
                cron="* * * * *",
                **http(f"https://host-{n}.{'x' * 60}.example/in"),
            )
        )
        for n in range(60)
    ]
    await factories.insert_rows(store, "cronjob", rows)
    for hours in (24, 25, 168):
        answer = await forecasts.forecast(caller(account_id), asked(hours=hours))
        assert len(answer.hosts) == 21
        assert (answer.hosts[-1].host, answer.hosts[-1].firings) == (None, 40 * 60 * hours)
        assert len(answer.steps) <= 1500
        assert len(json.dumps(to_json(answer))) < 250_000
