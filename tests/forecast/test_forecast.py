"""The sums of a forecast, beside each fire time counted alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random
from typing import cast
from uuid import UUID

import pytest

from cronally.clock import zones
from cronally.clock.exclusion import Exclusion
from cronally.clock.timetable import Timetable
from cronally.cronjob import Timing, join_expressions
from cronally.forecast.forecast import (
    BUSIEST,
    HOSTS,
    MAX_STEPS,
    Busy,
    Forecast,
    Forecaster,
    Group,
    Host,
    run_whole,
    window,
)
from cronally.forecast.grouping import Limits, key_of
from cronally.forecast.included import end_of
from cronally.instants import DAY, HOUR, MINUTE, SECOND, parse_iso
from tests.clock.texts import CHANGING, any_text
from tests.forecast.oracle import counted, seconds_of, walked

NOW = parse_iso("2026-10-31T21:13:14.5Z")
"""A few hours before clocks are set back, in Europe; Lord Howe, New York and others follow or went before."""


def group(
    text: str, hosts: dict[str, int], timezone: str = "UTC", key: str = "0", anchor: int = NOW
) -> Group:
    timing = Timing(text, timezone, None, None)
    found = key_of(timing, key, anchor, NOW)
    return Group(found, timing.timetable(key, anchor), hosts)


def some_groups(random: Random, count: int) -> list[Group]:
    hosts = [f"host-{n}.example" for n in range(HOSTS + 5)]
    groups = []
    for _ in range(count):
        text = random.choice([any_text(random), "* * * * *", "0 * * * *", "@every 90s", "*/5 * * * *"])
        chosen = {random.choice(hosts): random.randrange(1, 50) for _ in range(random.randrange(1, 4))}
        anchor = NOW - random.randrange(10 * DAY)
        groups.append(group(text, chosen, random.choice(CHANGING), anchor=anchor))
    return groups


def forecast_of(groups: list[Group], hours: int) -> tuple[Forecaster, Forecast]:
    forecaster = Forecaster(window(NOW, hours), NOW)
    run_whole(forecaster.add(groups))
    return forecaster, run_whole(forecaster.sum())


@pytest.mark.parametrize("hours", [1, 24, 48, 168])
def test_forecast__agrees_with_every_fire_time_counted_alone(hours: int) -> None:
    random = Random(hours)
    groups = some_groups(random, 60 if hours < 168 else 20)
    _, found = forecast_of(groups, hours)
    begins_at, ends_at, step = found.window
    alone = counted([(one.table, one.hosts) for one in groups], begins_at, ends_at)
    assert found.firings == alone.total()

    totals: Counter[str] = Counter()
    for (_, host), count in alone.items():
        totals[host] += count
    ranked = sorted(totals, key=lambda host: (-totals[host], host))
    peaks = {host: max(count for (_, other), count in alone.items() if other == host) for host in ranked}
    assert found.hosts[:HOSTS] == tuple(Host(host, totals[host], peaks[host]) for host in ranked[:HOSTS])
    rest = ranked[HOSTS:]
    if rest:
        others = Host(None, sum(totals[host] for host in rest), max(peaks[host] for host in rest))
        assert found.hosts[HOSTS:] == (others,)

    columns = {host: min(number, HOSTS) for number, host in enumerate(ranked)}
    steps: dict[int, list[int]] = {}
    for (at, host), count in alone.items():
        row = steps.setdefault(at - (at - begins_at) % step, [0] * len(found.hosts))
        row[columns[host]] += count
    assert [(one.at, one.firings, list(one.by_host)) for one in found.steps] == [
        (at, sum(steps[at]), steps[at]) for at in sorted(steps)
    ]

    seconds = sorted(alone.items(), key=lambda one: (-one[1], *one[0]))
    assert found.busiest == tuple(Busy(count, at, host) for (at, host), count in seconds[:BUSIEST])


def test_forecast__of_nothing() -> None:
    forecaster, found = forecast_of([group("at(2030-01-01T00:00:00)", {"a": 1})], 24)
    assert (found.firings, found.hosts, found.steps, found.busiest) == (0, (), (), ())
    assert run_whole(forecaster.peak("a", {}, [])) == 0


def test_window__has_whole_steps_after_now_and_not_too_many() -> None:
    for hours in range(1, 169):
        begins_at, ends_at, step = window(NOW, hours)
        assert NOW < begins_at <= NOW + step
        assert begins_at % step == 0
        assert ends_at - begins_at == hours * HOUR
        assert hours * HOUR // step <= MAX_STEPS
    assert window(NOW, 24).step == MINUTE
    # What fires at the very instant has fired.
    assert window(NOW // MINUTE * MINUTE, 24).begins_at == NOW // MINUTE * MINUTE + MINUTE


def test_firing_at__are_those_that_fire_there() -> None:
    groups = [
        group("0 * * * *", {"a": 2, "b": 1}),
        group("0 22 * * *", {"a": 3}),
        group("1 * * * *", {"a": 9}),
        group("0 22 * * *", {"b": 3}, "Asia/Kathmandu"),
    ]
    forecaster, found = forecast_of(groups[:2] + groups[3:], 24)
    assert found.busiest[0] == Busy(5, parse_iso("2026-10-31T22:00:00Z"), "a")
    assert forecaster.firing_at(found.busiest[0]) == groups[:2]


def test_peak__with_other_cron_jobs_in_place_of_some() -> None:
    groups = [group("0 * * * *", {"a": 10, "b": 99}), group("30 * * * *", {"a": 4})]
    forecaster, _ = forecast_of(groups, 3)
    moved = [forecaster.bits(group(text, {})) for text in ("5 * * * *", "30 * * * *", "30 * * * *")]
    assert run_whole(forecaster.peak("a", {groups[0].key: 3}, moved)) == 7
    assert run_whole(forecaster.peak("a", {groups[0].key: 10}, moved)) == 6


def test_keys__are_equal_for_equal_fire_times() -> None:
    random = Random(3)
    texts = [
        "H * * * *",
        "H/10 * * * *",
        "H H * * *",
        "5 H(0-2) * * MON",
        "H H(1-3) * * * *",
        join_expressions(["H * * * *", "0 0 * * *"]),
        "rate(2 minutes)",
    ]
    for text in texts:
        seen: dict[object, list[int]] = {}
        for _ in range(150):
            cronjob_id, created_at = (
                str(UUID(int=random.getrandbits(128))),
                NOW - random.randrange(300 * SECOND),
            )
            timing = Timing(text, "UTC", None, None)
            times = list(walked(timing.timetable(cronjob_id, created_at), NOW, NOW + 3 * DAY))
            key = key_of(timing, cronjob_id, created_at, NOW)
            assert seen.setdefault(key, times) == times
        distinct = {tuple(times) for times in seen.values()}
        # Of intervals that have not begun to fire there is one key each.
        assert len(distinct) == len(seen) or (text.startswith("rate") and len(distinct) < len(seen) < 150)


def test_keys__of_an_upper_case_id_are_those_of_its_fire_times() -> None:
    timing = Timing("H H * * *", "UTC", None, None)
    lower, upper = "0b7e1d52-aaaa-4bbb-8ccc-0123456789ab", "0B7E1D52-AAAA-4BBB-8CCC-0123456789AB"
    assert key_of(timing, lower, None, NOW) == key_of(timing, upper, None, NOW)


def days(*dates: str) -> Exclusion:
    found = Exclusion.of(dates, {})
    assert found is not None
    return found


@pytest.mark.parametrize(
    "limits",
    [
        Limits(since=NOW + 5 * HOUR),
        Limits(rest=0),
        Limits(rest=1),
        Limits(rest=37),
        Limits(rest=10**9),
        Limits(exclusion=days("2026-11-01")),
        Limits(exclusion=days("2026-10-31/2026-11-01", "2026-11-03")),
        Limits(since=NOW + 3 * HOUR, rest=20, exclusion=days("2026-11-01")),
    ],
)
@pytest.mark.parametrize(
    "text",
    ["*/5 * * * *", "0 0 * * *", "@every 90s", "rate(7 hours)", "*/20 30 1-3 * * *", "0 * * * *\n30 1 * * *"],
)
def test_bits__of_cron_jobs_that_fire_less_than_their_timetable(text: str, limits: Limits) -> None:
    for timezone in ("UTC", "Europe/Berlin", "America/Havana"):
        timing = Timing(text, timezone, None, None)
        table = timing.timetable("0", NOW - DAY)
        excluded = None if limits.exclusion is None else limits.exclusion.within(table.zone)
        forecaster = Forecaster(window(NOW, 80), NOW)
        one = Group(key_of(timing, "0", NOW - DAY, NOW, limits), table, {"a": 1}, excluded)
        begins_at, ends_at, _ = forecaster.window
        fired: list[int] = []
        for at in walked(table, max(NOW + 1, limits.since), ends_at):
            if excluded is not None and excluded.cause(at) is not None:
                continue
            if limits.rest is None or len(fired) < limits.rest:
                fired.append(at)
        found = seconds_of(forecaster.bits(one), begins_at // SECOND)
        assert found == [at // SECOND for at in fired if at >= begins_at]


class Counting:
    """A timetable that remembers how much time it was asked to count."""

    def __init__(self, table: Timetable) -> None:
        self._table = table
        self.counted = 0

    def count(self, after: int, until: int) -> int:
        self.counted += until - after
        return self._table.count(after, until)


def test_end_of__counts_little_more_than_the_window_once() -> None:
    texts = join_expressions([f"{minute}-59/10 * * * *" for minute in range(9)] + ["@every 10m"])
    table = Counting(Timing(texts, "Europe/Berlin", None, None).timetable("0", NOW))
    end = NOW + 7 * DAY
    for excluded in (
        None,
        days("2026-11-01", "2026-11-03", "2026-11-05").within(zones.zone("Europe/Berlin")),
    ):
        table.counted = 0
        assert NOW < end_of(cast(Timetable, table), excluded, NOW, 4000, end) < end
        assert table.counted < 2.1 * 7 * DAY


def test_add__what_has_limits_is_a_piece_of_its_own() -> None:
    groups = some_groups(Random(1), 20)
    limited = [replace(each, key=each.key._replace(limits=Limits(rest=3))) for each in groups]
    assert sum(1 for _ in Forecaster(window(NOW, 24), NOW).add(groups)) == 2
    assert sum(1 for _ in Forecaster(window(NOW, 24), NOW).add(limited)) == 20


def test_forecast__what_has_a_window_is_in_no_second() -> None:
    timing = Timing("0 * * * *", "UTC", None, None)
    key = key_of(timing, None, None, NOW, Limits(spreads=True))
    loose = Group(key, timing.timetable(None, None), {"a": 7, "b": 5})
    forecaster, found = forecast_of([group("0 23 * * *", {"a": 2}), loose], 3)
    assert found.firings == 2 + 3 * 12
    assert found.hosts == (Host("a", 23, 2), Host("b", 15, 0))
    assert [step.by_host for step in found.steps] == [(7, 5), (9, 5), (7, 5)]
    assert found.busiest == (Busy(2, parse_iso("2026-10-31T23:00:00Z"), "a"),)
    assert [one.key.timing.cron for one in forecaster.firing_at(found.busiest[0])] == ["0 23 * * *"]
