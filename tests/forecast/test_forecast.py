"""The sums of a forecast, beside each fire time counted alone."""

from __future__ import annotations

from collections import Counter
from random import Random
from uuid import UUID

import pytest

from cronally.cronjob import Timing
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
from cronally.forecast.grouping import key_of
from cronally.instants import DAY, HOUR, MINUTE, SECOND, parse_iso
from tests.clock.texts import CHANGING, any_text
from tests.forecast.oracle import counted, walked

NOW = parse_iso("2026-10-31T21:13:14.5Z")
"""A few hours before clocks are set back, in Europe; Lord Howe, New York and others follow or went before."""


def group(
    text: str, hosts: dict[str, int], timezone: str = "UTC", key: str = "0", anchor: int = NOW
) -> Group:
    timing = Timing(text, timezone, None, None)
    found = key_of(timing, key, anchor, 0, NOW)
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
    forecaster = Forecaster(window(NOW, hours))
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
    moved = [forecaster.bits(group(text, {}).table) for text in ("5 * * * *", "30 * * * *", "30 * * * *")]
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
            key = key_of(timing, cronjob_id, created_at, 0, NOW)
            assert seen.setdefault(key, times) == times
        distinct = {tuple(times) for times in seen.values()}
        # Of intervals that have not begun to fire there is one key each.
        assert len(distinct) == len(seen) or (text.startswith("rate") and len(distinct) < len(seen) < 150)


def test_keys__of_an_upper_case_id_are_those_of_its_fire_times() -> None:
    timing = Timing("H H * * *", "UTC", None, None)
    lower, upper = "0b7e1d52-aaaa-4bbb-8ccc-0123456789ab", "0B7E1D52-AAAA-4BBB-8CCC-0123456789AB"
    assert key_of(timing, lower, None, 0, NOW) == key_of(timing, upper, None, 0, NOW)
