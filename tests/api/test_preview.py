"""`/schedule/preview/` and the previews and explanations of cron jobs, over the wire."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from urllib.parse import urlencode

import pytest

from benchmarks.attackers import EXPENSIVE
from cronally import errors
from tests.api.serving import Client, serving
from tests.operations.parameters import HTTP

PATH = "/schedule/preview/"


def query(**parameters: str) -> str:
    return f"{PATH}?{urlencode(parameters)}"


def test_preview__needs_no_account(stranger: Client) -> None:
    asked = query(
        expression="30  1 * * *", timezone="America/New_York", after="2026-10-31T12:00:00Z", count="2"
    )
    answer = stranger.ask("GET", asked).response
    assert answer["expression"] == "30 1 * * *"
    assert answer["schedule"] == "At 01:30, every day, America/New_York"
    assert answer["fire_times"] == [
        {"scheduled_at": "2026-11-01T05:30:00Z", "local": "2026-11-01T01:30:00-04:00"},
        {"scheduled_at": "2026-11-02T06:30:00Z", "local": "2026-11-02T01:30:00-05:00"},
    ]
    assert answer["suppressed"] == [
        {
            "scheduled_at": "2026-11-01T06:30:00Z",
            "until_at": "2026-11-01T06:30:00Z",
            "local": "2026-11-01T01:30:00-05:00",
            "until_local": "2026-11-01T01:30:00-05:00",
            "count": 1,
            "mark": "suppressed",
            "reason": "dst_overlap=first",
        }
    ]


def test_preview__the_one_that_the_benchmark_attacks_with_is_answered(stranger: Client) -> None:
    assert len(stranger.ask("GET", EXPENSIVE).response["fire_times"]) > 1


def test_preview__starts_now(stranger: Client) -> None:
    times = stranger.ask("GET", query(cron="* * * * *")).response["fire_times"]
    assert len(times) == 10
    assert times[0]["scheduled_at"] > time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))


def test_preview__one_that_takes_too_many_steps_says_so_and_can_be_gone_on_with(stranger: Client) -> None:
    asked = {"expression": "30 2 * 2 SUN#5", "timezone": "America/New_York", "count": "100"}
    times: list[str] = []
    after, answers = "2026-11-24T12:00:00Z", 0
    while True:
        answer = stranger.ask("GET", query(**asked, after=after)).response
        times += [entry["scheduled_at"] for entry in answer["fire_times"]]
        answers += 1
        if answer["complete"]:
            assert "until" not in answer
            break
        assert after < answer["until"]
        after = answer["until"]
    # 29 February on a Sunday.
    assert [time[:4] for time in times] == ["2032", "2060", "2088", "2128", "2156", "2184"]
    assert 1 < answers < 10


def test_preview__every_wrong_parameter_is_named(stranger: Client) -> None:
    asked = query(
        expression="60 * * * *",
        timezone="Europe/Berln",
        after="2026-11-24T08:00:00+01:00"[:-6] + " 01:00",
        count="101",
        dst_gap="never",
        dst_overlap="never",
        id="*",
        colour="red",
    )
    fields = stranger.ask("GET", asked).fields
    names = ("cron", "timezone", "after", "count", "dst_gap", "dst_overlap", "id", "colour")
    assert fields.keys() == set(names)
    assert 'write "Europe/Berlin"' in fields["timezone"]
    assert "%2B" in fields["after"]


def test_preview__an_expression_alone_that_is_wrong_has_its_own_code(stranger: Client) -> None:
    for expression in ("60 * * * *", "H * * * *", "* * * * * *", "at(2020-01-01T00:00:00)", "x" * 10_000):
        answer = stranger.ask("GET", query(expression=expression))
        assert (answer.status, answer.error["code"]) == (400, "invalid_expression")
        assert list(answer.fields) == ["cron"]


def test_preview__does_not_need_the_database(stranger: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unavailable(*_: object) -> None:
        raise errors.Unavailable

    monkeypatch.setattr(stranger.api.store, "transact", unavailable)
    monkeypatch.setattr(stranger.api.store, "clock", unavailable)
    assert stranger.ask("GET", query(expression="@daily")).status == 200
    assert stranger.ask("HEAD", query(expression="@daily")).status == 200


def test_preview__is_limited_by_address(migrated_sqlite: Path, tmp_path: Path) -> None:
    path = tmp_path / "cronally.db"
    shutil.copy(migrated_sqlite, path)
    with serving(f"sqlite:///{path}", previews_per_minute=2) as api:
        stranger = Client(api)
        # What is refused counts, and is counted before it is looked at.
        statuses = [
            stranger.ask("GET", asked, headers={"X-Forwarded-For": f"192.0.2.{number}"}).status
            for number, asked in enumerate(
                (query(expression="@daily"), PATH, PATH, query(expression="@daily"))
            )
        ]
        assert statuses == [200, 400, 429, 429]
        limited = stranger.ask("GET", PATH)
        assert limited.error["code"] == "rate_limited"
        assert 1 <= int(limited.headers["Retry-After"]) <= 61
        assert limited.headers["RateLimit-Policy"] == '"previews";q=2;w=60'


def test_cronjob__previews_and_explains(client: Client) -> None:
    created = client.ask(
        "POST", "/cronjob/", {**HTTP, "timezone": "Australia/Lord_Howe", "dst_overlap": "both"}
    ).response
    assert (created["timezone"], created["dst_gap"], created["dst_overlap"]) == (
        "Australia/Lord_Howe",
        None,
        "both",
    )
    path = f"/cronjob/{created['cronjob_id']}/"
    shown = client.ask("GET", f"{path}preview/?count=3").response
    assert (shown["cronjob_id"], shown["state"]) == (created["cronjob_id"], "active")
    assert len(shown["fire_times"]) == 3
    assert shown["fire_times"][0]["scheduled_at"] == created["next_fire_at"]
    told = client.ask("GET", f"{path}explain?at={created['next_fire_at']}").response
    assert told["finding"] == "future"
    assert client.ask("GET", f"{path}explain/").fields.keys() == {"at"}
    assert client.ask("GET", f"{path}preview/?expression=x").fields.keys() == {"expression"}
    changed = client.ask("PATCH", path, {"timezone": "UTC", "dst_overlap": "default"}).response
    assert (changed["timezone"], changed["dst_overlap"]) == ("UTC", None)
    assert changed["next_fire_at"].endswith("T08:00:00Z")
