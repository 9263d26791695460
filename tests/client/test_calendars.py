"""Calendars and excluded dates by both clients, against the real API."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from typing import Any

import pytest

from cronally import AsyncClient, Client
from cronally.client import Account, Calendar
from cronally.errors import InvalidRequest, NotFound
from tests.support.relay import Relay

HTTP: dict[str, Any] = {
    "delivery_type": "http",
    "delivery_http_url": "https://1.1.1.1/hook",
    "delivery_http_method": "post",
}


def test_calendar__lives_through_all_verbs(client: Client, relay: Relay) -> None:
    made = client.put_calendar("holidays", ["2026-12-25", "2026-12-24"])
    assert relay.last.form() == {"dates": "2026-12-25,2026-12-24"}
    assert isinstance(made, Calendar)
    assert (made.name, made.dates, made.created) == ("holidays", ("2026-12-24", "2026-12-25"), True)
    thousand = [str(date(2026, 1, 1) + timedelta(days=number)) for number in range(1000)]
    assert client.put_calendar("holidays", thousand).created is False
    assert client.calendar("holidays").dates == tuple(thousand)
    (listed,) = client.calendars()
    assert (listed.name, listed.count, listed.dates) == ("holidays", 1000, None)
    assert client.put_calendar("holidays", []).dates == ()
    assert client.delete_calendar("holidays").name == "holidays"
    with pytest.raises(NotFound, match="no such calendar"):
        client.calendar("holidays")
    with pytest.raises(InvalidRequest, match="letters, digits"):
        client.calendar("../cronjobs")


def test_exclude__is_sent_shown_and_taken_away(client: Client, relay: Relay) -> None:
    client.put_calendar("holidays", ["2026-12-24"])
    made = client.create_cronjob(
        name="report", cron="0 8 * * *", exclude=["holidays", "2027-01-01/2027-01-03"], **HTTP
    )
    assert made.exclude == ("2027-01-01/2027-01-03", "holidays")
    with pytest.raises(InvalidRequest, match="excluded by cron jobs"):
        client.delete_calendar("holidays")
    changed = client.update_cronjob(made.cronjob_id, exclude=[])
    assert relay.last.form() == {"exclude": ""}
    assert changed.exclude == ()
    assert client.update_cronjob(made.cronjob_id, name="other").exclude == ()
    client.delete_calendar("holidays")


def test_preview__of_an_expression_with_dates(client: Client) -> None:
    shown = client.preview(
        "0 8 * * *", after="2026-12-23T12:00:00Z", count=1, exclude=("2026-12-24/2026-12-26",)
    )
    assert [one.scheduled_at.day for one in shown.fire_times] == [27]
    assert [(one.scheduled_at.day, one.until_at.day, one.count, one.cause) for one in shown.excluded] == [
        (24, 26, 3, "2026-12-24/2026-12-26")
    ]


def test_calendar__of_asyncio(relay: Relay, account: Account) -> None:
    async def run() -> Calendar:
        async with AsyncClient(relay.url, account.api_key, account.api_secret) as client:
            await client.put_calendar("holidays", {"2026-12-24"})
            assert [one.name for one in await client.calendars()] == ["holidays"]
            assert (await client.delete_calendar("holidays")).dates == ("2026-12-24",)
            return await client.put_calendar("holidays", ["2026-12-24"])

    assert asyncio.run(run()).dates == ("2026-12-24",)
