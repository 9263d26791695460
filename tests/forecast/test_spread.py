"""The same expression at another place: which have one, and what it brings."""

from __future__ import annotations

from random import Random
from uuid import UUID

import pytest

from cronally.cronjob import Timing
from cronally.forecast.forecast import Forecaster, Group, run_whole, window
from cronally.forecast.grouping import Key, key_of
from cronally.forecast.spread import Member, spread, spread_out
from cronally.instants import HOUR, parse_iso
from tests.clock.texts import any_text
from tests.forecast.oracle import walked

NOW = parse_iso("2026-11-30T09:30:00Z")
START = parse_iso("2026-11-29T00:00:00Z")


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("0 * * * *", "H * * * *"),
        ("0 0 * * *", "H 0 * * *"),
        ("30 8-17 * * MON-FRI", "H 8-17 * * MON-FRI"),
        ("@hourly", "H * * * *"),
        ("@Daily", "H 0 * * *"),
        ("@monthly", "H 0 1 * *"),
        ("*/5 * * * *", "H/5 * * * *"),
        ("0,15,30,45 * * * *", "H/15 * * * *"),
        ("3-59/10 * * * *", "H/10 * * * *"),
        ("0 0 * * * *", "H H * * * *"),
        ("0 * * * * *", "H * * * * *"),
        ("0 1,2 * * * *", "H 1,2 * * * *"),
        ("0 H * * *", "H H * * *"),
        ("0 0 L * ?", "H 0 L * ?"),
        ("*/5 8-17 * * *", "H/5 8-17 * * *"),
        ("* * * * *", None),
        ("*/1 * * * *", None),
        ("0,5 * * * *", None),
        ("0-9 * * * *", None),
        ("*/7 * * * *", None),
        ("H * * * *", None),
        ("H(0-5) * * * *", None),
        ("rate(1 hour)", None),
        ("0 0 * * *\n0 12 * * *", None),
        ("@hourly\n0 0 * * *", None),
        ("@every 1h", None),
        ("cron(0 8 * * ? *)", None),
        ("at(2026-12-24T18:00:00)", None),
        ("no expression", None),
    ],
)
def test_spread__where_it_means_the_same(text: str, instead: str | None) -> None:
    assert spread(text, "UTC") == instead


def test_spread__not_where_the_rule_over_changes_of_the_clock_would_be_another() -> None:
    assert spread("*/5 * * * *", "Europe/Berlin") == "H/5 * * * *"
    assert spread("0 8 * * *", "Europe/Berlin") == "H 8 * * *"
    # A `*` in minute or hour makes a job that follows the real minutes.
    assert spread("*/5 8-17 * * *", "Europe/Berlin") is None


def test_spread__fires_as_often_in_the_same_hours() -> None:
    random = Random(11)
    found = 0
    for _ in range(300):
        text = any_text(random)
        instead = spread(text, "UTC")
        if instead is None:
            continue
        found += 1
        key = str(UUID(int=random.getrandbits(128)))
        before, after = (Timing(each, "UTC", None, None).timetable(key, 0) for each in (text, instead))
        hours = [[at // HOUR for at in walked(each, START, START + 120 * HOUR)] for each in (before, after)]
        assert hours[0] == hours[1], (text, instead)
    assert found > 20


def herd(texts: list[str]) -> tuple[Forecaster, list[Member]]:
    forecaster, members = Forecaster(window(NOW, 24), NOW), []
    groups: dict[Key, Group] = {}
    for number, text in enumerate(texts):
        timing, cronjob_id = Timing(text, "UTC", None, None), str(UUID(int=number << 64))
        key = key_of(timing, cronjob_id, 0, NOW)
        hosts = groups.setdefault(key, Group(key, timing.timetable(cronjob_id, 0), {})).hosts
        assert isinstance(hosts, dict)
        hosts["a"] = hosts.get("a", 0) + 1
        members.append(Member(cronjob_id, 0, key))
    run_whole(forecaster.add(groups.values()))
    return forecaster, members


def test_spread_out__says_the_peak_before_and_after() -> None:
    texts = ["0 * * * *"] * 40 + ["0 12 * * *"] * 20 + ["cron(0 12 * * ? *)"] * 3
    forecaster, members = herd(texts)
    found = run_whole(forecaster.sum())
    assert (found.busiest[0].firings, found.busiest[0].at) == (63, parse_iso("2026-11-30T12:00:00Z"))
    spread_ = run_whole(spread_out(forecaster, found.busiest[0], members))
    assert spread_ is not None
    tables = []
    for member in members:
        moved = next((one for one in spread_.moved if one.cronjob_id == member.cronjob_id), None)
        cron = member.key.timing.cron if moved is None else moved.instead
        tables.append(Timing(cron, "UTC", None, None).timetable(member.cronjob_id, 0))
    counts: dict[int, int] = {}
    for table in tables:
        for at in walked(table, found.window.begins_at, found.window.ends_at):
            counts[at] = counts.get(at, 0) + 1
    assert spread_.after == max(counts.values()) < 10
    assert {one.instead for one in spread_.moved} == {"H * * * *", "H 12 * * *"}


def test_spread_out__nothing_where_it_brings_nothing() -> None:
    for texts in (["* * * * *"] * 5, ["0 12 * * *"], ["cron(0 12 * * ? *)"] * 9):
        forecaster, members = herd(texts)
        found = run_whole(forecaster.sum())
        assert run_whole(spread_out(forecaster, found.busiest[0], members)) is None
