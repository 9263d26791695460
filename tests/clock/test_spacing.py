"""How close several expressions come to each other, beside a walk over years."""

from __future__ import annotations

from random import Random

import pytest

from cronally.clock.spacing import TooClose, too_close
from cronally.clock.timetable import timetable
from cronally.cronjob import join_expressions
from cronally.instants import DAY, HOUR, MINUTE, SECOND, parse_iso

START = parse_iso("2026-01-01T00:00:00Z")


def found(
    *texts: str, least: int = MINUTE, zone: str = "UTC", anchor: int = START, starts_at: int | None = None
) -> TooClose | None:
    table = timetable(join_expressions(texts), zone, anchor=anchor, starts_at=starts_at)
    return too_close(table, least)


@pytest.mark.parametrize(
    ("texts", "distance"),
    [
        (["0 8 * * *", "30 0 8 * * *"], 30 * SECOND),
        (["0 0 * * *", "30 59 23 * * *"], 30 * SECOND),
        (["0 0 * * SUN", "30 59 23 * * SAT"], 30 * SECOND),
        (["0 0 1 1 *", "45 59 23 31 12 *"], 15 * SECOND),
        (["* * * * *", "59 30 12 29 2 *"], SECOND),
        (["rate(5 minutes)", "@every 301s"], SECOND),
        (["0 9 * * *", "0 10 * * *", "1 0 9 * * *"], SECOND),
    ],
)
def test_too_close__says_which_and_how_close(texts: list[str], distance: int) -> None:
    close = found(*texts)
    assert close is not None
    assert close.distance == distance
    assert {close.one, close.other} <= {*texts}


@pytest.mark.parametrize(
    "texts",
    [
        ["0 8 * * *", "0 8 * * MON"],  # the same instant
        ["0 8 * * *", "1 8 * * *"],
        ["0 8 * * MON-FRI", "30 0 8 * * SAT"],  # never on one day
        ["0 0 * * SUN", "30 59 23 * * SUN"],  # the one on the evening, the other on the morning before
        ["0 8 1 * *", "30 0 8 2-31 * *"],
        ["cron(0 8 * * ? 2030)", "cron(0 8 * * ? 2031)"],
        ["rate(5 minutes)", "rate(3 minutes)"],
    ],
)
def test_too_close__what_keeps_its_distance(texts: list[str]) -> None:
    assert found(*texts) is None


def test_too_close__where_least_is_long() -> None:
    assert found("0 9 * * MON-FRI", "0 11 * * SAT", least=6 * HOUR) is None
    close = found("0 9 * * MON-FRI", "0 11 * * FRI", least=6 * HOUR)
    assert close is not None
    assert close.distance == 2 * HOUR
    assert found("0 9 * * MON", "0 8 * * TUE", least=DAY) is not None
    assert found("0 9 * * MON", "0 9 * * TUE", least=DAY) is None


def test_too_close__an_interval_beside_the_calendar_fits_by_what_it_is_counted_from() -> None:
    texts = ("rate(5 minutes)", "0 9 * * *")
    close = found(*texts, anchor=START + 17 * SECOND)
    assert close is not None
    assert (close.distance, close.counted) == (17 * SECOND, True)
    assert found(*texts, anchor=START + 17 * SECOND, starts_at=START + HOUR) is None
    # A day is not looked at: it would be on some.
    assert found("rate(1 day)", "0 9 * * *", anchor=START + 9 * HOUR + 30 * SECOND) is not None
    assert found("rate(1 day)", "0 9 * * *", anchor=START + 12 * HOUR + 30 * SECOND) is None
    # The offset of the zone counts, in winter and in summer.
    assert (
        found("rate(1 day)", "0 9 * * *", zone="Europe/Berlin", anchor=START + 7 * HOUR + SECOND) is not None
    )
    assert (
        found("rate(1 day)", "0 9 * * *", zone="Europe/Berlin", anchor=START + 8 * HOUR + SECOND) is not None
    )
    assert found("rate(1 day)", "0 9 * * *", zone="Europe/Berlin", anchor=START + 6 * HOUR + SECOND) is None


@pytest.mark.parametrize("seed", range(40))
def test_too_close__overlooks_nothing_that_a_walk_finds(seed: int) -> None:
    random = Random(seed)
    texts = random.sample(
        [
            *("0 */6 * * *", "30 0 */4 * * *", "0 9 * * MON-FRI", "20 0 9 * * SAT,SUN", "15 30 */12 1-7 * *"),
            *("@every 90m", "rate(4 hours)", "@every 5401s", "45 59 23 * * *", "0 0 1 * *", "10 0 9 L * *"),
        ],
        3,
    )
    least = random.choice([10 * SECOND, MINUTE, 20 * MINUTE])
    anchor = START + random.choice([0, 20 * SECOND, 7 * MINUTE])
    table = timetable(join_expressions(texts), anchor=anchor)
    close = too_close(table, least)
    at, nearest = table.next(START), DAY
    for _ in range(4000):
        assert at is not None
        following = table.next(at)
        assert following is not None
        nearest, at = min(nearest, following - at), following
    if nearest < least:
        assert close is not None, texts
    elif close is not None:
        # Nothing but an interval, whose days are not looked at, is refused without a need.
        assert any(text.startswith(("@", "rate")) for text in (close.one, close.other)), texts
