"""What `explain` says of instants at which a cron job was paused: by whom, from when to when, and why."""

from __future__ import annotations

import pytest

from cronally.operations import Caller
from cronally.store import Store
from tests.operations.explained import Explained
from tests.operations.tenant import API_KEY, Tenants
from tests.support.factories import Clock

SINCE, UNTIL = "2026-11-24T08:40:00Z", "2026-11-24T12:20:00Z"
BY = f"by API key {API_KEY}: deploying."


@pytest.fixture
async def job(operations: Tenants, caller: Caller, store: Store, clock: Clock) -> Explained:
    """One that fires each hour, paused from 08:40 to 12:20."""
    job = Explained(operations, caller, store, clock)
    await job.create("0 * * * *", "2026-11-24T08:30:00Z")
    await job.pause(SINCE, until=UNTIL, note="deploying")
    return job


async def ask(job: Explained, at: str, now: str) -> tuple[str, str | None, str, str]:
    answer = await job.ask(at, now)
    return answer["finding"], answer["reason"], answer["state"], answer["sentence"]


@pytest.mark.parametrize("at", ["2026-11-24T10:00:00Z", "2026-11-24T10:30:00Z"])
async def test_paused__no_row_yet(job: Explained, at: str) -> None:
    said = f"Not fired: the cron job has been paused since {SINCE} and resumes at {UNTIL}, {BY}"
    assert await ask(job, at, "2026-11-24T11:00:00Z") == ("inactive", "paused", "paused", said)


@pytest.mark.parametrize(
    ("at", "now", "finding"),
    [
        ("2026-11-24T13:00:00Z", "2026-11-24T11:00:00Z", "future"),
        ("2026-11-24T13:30:00Z", "2026-11-24T11:00:00Z", "no_fire_time"),
        ("2026-11-24T13:00:00Z", "2026-11-24T13:30:00Z", "due"),
    ],
)
async def test_paused__it_resumes_before(job: Explained, at: str, now: str, finding: str) -> None:
    assert (await job.ask(at, now))["finding"] == finding


async def test_ended__by_itself(job: Explained) -> None:
    await job.look("2026-11-24T12:20:30Z")
    said = f"Skipped: the cron job was paused from {SINCE} to {UNTIL}, {BY}"
    now = "2026-11-24T12:40:00Z"
    for at in ("2026-11-24T09:00:00Z", "2026-11-24T10:00:00Z", "2026-11-24T12:00:00Z"):
        assert await ask(job, at, now) == ("skipped", "paused", "paused", said)
    assert (await ask(job, "2026-11-24T10:30:00Z", now))[0] == "no_fire_time"
    assert (await ask(job, "2026-11-24T13:00:00Z", now))[::2] == ("future", "active")


async def test_ended__at_a_fire_time(job: Explained) -> None:
    """At its end it is active: what is owed then fires."""
    end = "2026-11-24T12:00:00Z"
    await job.pause("2026-11-24T08:50:00Z", until=end)
    await job.look("2026-11-24T12:00:01Z")
    assert (await ask(job, end, "2026-11-24T12:00:02Z"))[::2] == ("due", "active")
    await job.tick("2026-11-24T12:00:03Z")
    assert (await ask(job, end, "2026-11-24T12:00:04Z"))[::2] == ("pending", "active")
    assert (await ask(job, "2026-11-24T11:00:00Z", "2026-11-24T12:00:05Z"))[::2] == ("skipped", "paused")


async def test_ended__after_a_change_meanwhile(job: Explained) -> None:
    """The change is no end of the pause."""
    await job.change("2026-11-24T10:30:00Z", cron="15 * * * *")
    await job.resume("2026-11-24T11:30:00Z")
    said = f"Skipped: the cron job was paused from {SINCE} to 2026-11-24T11:30:00Z, {BY}"
    for at in ("2026-11-24T10:00:00Z", "2026-11-24T11:15:00Z"):
        assert await ask(job, at, "2026-11-24T12:40:00Z") == ("skipped", "paused", "paused", said)


async def test_ended__without_a_fire_time_in_it(job: Explained) -> None:
    await job.resume("2026-11-24T08:50:00Z")
    said = f"Not fired: the cron job was paused from {SINCE} to 2026-11-24T08:50:00Z, {BY}"
    found = await ask(job, "2026-11-24T08:45:00Z", "2026-11-24T08:55:00Z")
    assert found == ("inactive", "paused", "paused", said)


async def test_paused__before_the_pause_it_fired(job: Explained) -> None:
    assert (await job.ask("2026-11-24T08:35:00Z", "2026-11-24T09:30:00Z"))["state"] == "active"
