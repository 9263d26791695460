"""The sentence for an expression: what it says, and that it claims nothing that is not so."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random

import pytest
from hypothesis import given

from cronally.clock.sentence import sentence
from cronally.cron import parse
from tests.clock.sentences import claims
from tests.clock.texts import any_expressions, any_text
from tests.support.examples import examples
from tests.support.oracle import Schedule

ZONE = "Europe/Berlin"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 8 * * MON-FRI", "At 08:00, Monday to Friday, Europe/Berlin"),
        ("* * * * *", "Every minute, Europe/Berlin"),
        ("0-59 * * * *", "Every minute, Europe/Berlin"),
        ("*/5 * * * *", "Every 5 minutes, Europe/Berlin"),
        ("@hourly", "Every hour on the hour, Europe/Berlin"),
        ("1 * * * *", "At 1 minute past every hour, Europe/Berlin"),
        ("30 * * * *", "At 30 minutes past every hour, Europe/Berlin"),
        ("5,35 * * * *", "At 5 and 35 minutes past every hour, Europe/Berlin"),
        ("5,35 9-17 * * *", "At 5 and 35 minutes past every hour from 09 to 17, Europe/Berlin"),
        ("0 8,12,18 * * *", "At 08:00, 12:00 and 18:00, every day, Europe/Berlin"),
        ("*/15 8-17 * * *", "Every 15 minutes from 08:00 to 17:45, Europe/Berlin"),
        ("* 2 * * *", "Every minute from 02:00 to 02:59, Europe/Berlin"),
        ("*/10 6,18 * * *", "Every 10 minutes of the hours 06 and 18, Europe/Berlin"),
        ("15 */2 * * *", "Every 2 hours from 00:15, Europe/Berlin"),
        ("0 6-22 * * *", "Every hour from 06:00 to 22:00, Europe/Berlin"),
        ("@monthly", "At 00:00, on the 1st of the month, Europe/Berlin"),
        ("0 0 2,3,11,22 * *", "At 00:00, on the 2nd, 3rd, 11th and 22nd of the month, Europe/Berlin"),
        ("0 0 1-7 * *", "At 00:00, on the 1st to the 7th of the month, Europe/Berlin"),
        ("0 0 L * *", "At 00:00, on the last day of the month, Europe/Berlin"),
        ("0 0 LW * *", "At 00:00, on the last weekday of the month, Europe/Berlin"),
        ("0 0 L-3 * *", "At 00:00, on the 3rd day before the last day of the month, Europe/Berlin"),
        ("0 0 1,L-3 * *", "At 00:00, on the 3rd day before the last day and 1st of the month, Europe/Berlin"),
        (
            "0 0 L-1W * *",
            "At 00:00, on the weekday nearest to the 1st day before the last day of the month, Europe/Berlin",
        ),
        ("0 0 * * FRI-MON", "At 00:00, Friday to Monday, Europe/Berlin"),
        (
            "0 0 1W,L * *",
            "At 00:00, on the last day and weekday nearest to the 1st of the month, Europe/Berlin",
        ),
        ("0 0 1,15W * *", "At 00:00, on the 1st and weekday nearest to the 15th of the month, Europe/Berlin"),
        ("0 0 * * 5L", "At 00:00, on the last Friday of the month, Europe/Berlin"),
        ("0 0 * * MON#2", "At 00:00, on the second Monday of the month, Europe/Berlin"),
        ("0 0 13 * 5", "At 00:00, on the 13th of the month and also on Friday, Europe/Berlin"),
        (
            "0 0 */28 * 1",
            "At 00:00, on the 1st and 29th of the month if it is also on Monday, Europe/Berlin",
        ),
        ("0 0 * * 5-7", "At 00:00, Friday to Sunday, Europe/Berlin"),
        ("0 0 * * 0-4", "At 00:00, Sunday to Thursday, Europe/Berlin"),
        ("0 0 * * 0,6", "At 00:00, on Saturday and Sunday, Europe/Berlin"),
        ("0 0 1 1,7 *", "At 00:00, on the 1st of the month, in January and July, Europe/Berlin"),
        ("0 0 1 6-8 *", "At 00:00, on the 1st of the month, from June to August, Europe/Berlin"),
        ("*/10 * * * * *", "Every 10 seconds, Europe/Berlin"),
        ("5 0 8 * * *", "At 08:00:05, every day, Europe/Berlin"),
        ("cron(0 10 ? * MON-FRI *)", "At 10:00, Monday to Friday, Europe/Berlin"),
        (
            "cron(15 10 ? * 6L 2022-2023)",
            "At 10:15, on the last Friday of the month, in 2022 and 2023, Europe/Berlin",
        ),
        ("at(2026-12-24T18:00:00)", "Once, at 18:00 on 24 December 2026, Europe/Berlin"),
        ("rate(5 minutes)", "Every 5 minutes, counted from the creation"),
        ("rate(1 day)", "Every day, counted from the creation"),
        ("@every 1h30m5s", "Every 1 hour, 30 minutes and 5 seconds, counted from the creation"),
        ("0 0 */2 * 1", None),
        ("1,2,4,8,16,32,58 * * * *", None),
        ("*/7 */5 * * *", None),
    ],
)
def test_sentence__says(text: str, expected: str | None) -> None:
    assert sentence(parse(text), ZONE) == expected


def test_sentence__h_is_said_by_what_it_stands_for() -> None:
    assert sentence(parse("H(0-0) H(8-8) * * *", "any"), ZONE) == "At 08:00, every day, Europe/Berlin"


@examples(100)
@given(any_expressions)
def test_sentence__claims_what_is_so(text: str) -> None:
    """All times of the day and all days of years, by a reader of the sentence and by the oracle."""
    said = sentence(parse(text), ZONE)
    if said is None:
        return
    time, day = claims(said, ZONE)
    schedule = Schedule(text)
    seconds = range(0, 86_400, 60) if schedule.seconds == {0} else range(0, 86_400, 5)
    for second in seconds:
        fires = (
            second // 3600 in schedule.hours
            and second // 60 % 60 in schedule.minutes
            and second % 60 in schedule.seconds
        )
        assert time(second) == fires, (text, said, second)
    start = date(2018, 1, 1) + timedelta(days=Random(text).randrange(3650))
    for n in range(500):
        on = start + timedelta(days=n)
        assert day(on) == schedule.fires_on(on), (text, said, on)


def test_sentence__there_is_one_for_most() -> None:
    random = Random(5)
    texts = [any_text(random) for _ in range(1000)]
    assert sum(sentence(parse(text), ZONE) is not None for text in texts) > 500
