"""The evaluator beside others: the oracle, which always agrees; cronsim, which differs for known reasons."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random

import pytest
from cronsim import CronSim, CronSimError
from hypothesis import given

from cronally.cron import Expression
from cronally.errors import InvalidExpression
from cronally.instants import MAX_INSTANT, MINUTE, from_datetime, parse_iso, to_datetime
from tests.cron.cron_texts import expression_text, expressions, instants, spans
from tests.support.examples import examples
from tests.support.expressions import parse
from tests.support.oracle import fire_times


def enumerated(expression: Expression, start: int, end: int) -> list[int]:
    """The fire times with start <= t < end, by `next`."""
    found = []
    instant = expression.next(start - 1)
    while instant is not None and instant < end:
        found.append(instant)
        instant = expression.next(instant)
    return found


# The oracle


def test_oracle__is_right_where_it_can_be_seen() -> None:
    start, end = parse_iso("2026-01-15T12:00:00Z"), parse_iso("2026-02-01T00:00:00Z")

    def found(expression: str) -> list[str]:
        return [to_datetime(instant).strftime("%d %H:%M") for instant in fire_times(expression, start, end)]

    assert found("0 12 15 1 *") == ["15 12:00"]
    assert found("0 0 31 * *") == ["31 00:00"]
    assert found("0 8-9,20 * * Fri,6") == [
        f"{day} {hour}:00" for day in (16, 17, 23, 24, 30, 31) for hour in ("08", "09", "20")
    ]
    assert found("30 6 */2 jan 7") == ["25 06:30"]
    assert found("30 6 1-31/2 1 7") == [f"{day} 06:30" for day in (17, 18, 19, 21, 23, 25, 27, 29, 31)]
    assert found("@weekly") == ["18 00:00", "25 00:00"]
    assert len(found("*/7 * * * *")) == 9 * (12 + 16 * 24)
    assert fire_times("* * * * *", start, start + MINUTE) == [start]
    assert fire_times("* * * * *", start + 1, start + MINUTE) == []
    assert fire_times("* * * * *", start + MINUTE, start) == []


@examples(150)
@given(expressions, instants, spans(4))
def test_oracle__agrees_on_every_minute_of_days(text: str, start: int, span: int) -> None:
    agree(text, start, start + span, Random(start))


@examples(60)
@given(expressions, instants, spans(3 * 366))
def test_oracle__agrees_on_every_day_of_years(text: str, start: int, span: int) -> None:
    days = text.split(" ", 2)[2] if " " in text else "* * *"
    agree(f"17 {start % 24} {days}", start, start + span, Random(start))


def agree(text: str, start: int, end: int, random: Random) -> None:
    expression = parse(text)
    expected = fire_times(text, start, end)
    assert enumerated(expression, start, end) == expected
    for _ in range(5):
        after, until = sorted(random.randint(start - 1, end - 1) for _ in "ab")
        within = [instant for instant in expected if after < instant <= until]
        assert expression.count(after, until) == len(within)
        assert expression.next(after) == next((t for t in expected if t > after), expression.next(end - 1))
        if within:
            assert expression.previous(until + 1) == within[-1]


@pytest.mark.parametrize("text", ["0 0 29 2 */7", "30 1 */5 2,8 2-3", "0 6 31 1-11/2 FRI"])
def test_oracle__agrees_over_all_of_time(text: str) -> None:
    start, end = parse_iso("1970-01-01T00:00:00Z"), MAX_INSTANT
    expected = fire_times(text, start, end)
    expression = parse(text)
    assert enumerated(expression, start, end) == expected
    assert expression.count(start - 1, end - 1) == len(expected)
    for nth in (1, len(expected) // 2, len(expected)):
        assert expression.count(start - 1, expected[nth - 1]) == nth


# cronsim

# cronsim reads `5-5/7` as `5-59/7`: to it one value with a step is `a/n`. Debian's loop ends at 5.
ONE_VALUE_WITH_A_STEP = re.compile(r"\b(\w+)-(\w+)/")
NAMES = {
    name: str(number)
    for first, names in (
        (1, "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC"),
        (0, "SUN MON TUE WED THU FRI SAT"),
    )
    for number, name in enumerate(names.split(), first)
}


def has_one_value_with_a_step(text: str) -> bool:
    def number(word: str) -> int:
        return int(NAMES.get(word.upper(), word))

    return any(number(a) == number(b) for a, b in ONE_VALUE_WITH_A_STEP.findall(text))


def test_cronsim__agrees_on_random_expressions_but_in_one_class() -> None:
    random = Random(20261123)
    compared, explained = 0, 0
    while compared < 3000:
        text = expression_text(random)
        if text.startswith("@"):  # cronsim knows none of them
            continue
        compared += 1
        expression = parse(text)
        start = datetime(2016, 1, 1) + timedelta(seconds=random.randrange(10 * 366 * 86_400))
        instant = from_datetime(start.replace(tzinfo=UTC))
        for backwards in (False, True):
            step = expression.previous if backwards else expression.next
            ours, at = [], instant
            for _ in range(4):
                fire_time = step(at)
                assert fire_time is not None
                ours.append(at := fire_time)
            theirs = [
                from_datetime(moment.replace(tzinfo=UTC))
                for moment in islice(CronSim(text, start, reverse=backwards), 4)
            ]
            if ours != theirs:
                assert has_one_value_with_a_step(text), f"{text} from {start}: {ours} != {theirs}"
                explained += 1
    assert 0 < explained < 300


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("5/10 * * * *", "a step without a range: Debian refuses it, cronsim takes it for 5-59/10"),
        ("0 0 * * fr\u0131", "its upper case is FRI: cronsim does not ask for ASCII"),
        ("0 8 * *\n*", "cronsim takes a line break between fields for a space"),
    ],
)
def test_cronsim__accepts_what_is_refused_here(text: str, why: str) -> None:
    assert CronSim(text, datetime(2026, 1, 1)), why
    with pytest.raises(InvalidExpression):
        parse(text)


@pytest.mark.parametrize(
    "text", ["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"]
)
def test_cronsim__knows_no_shortcuts(text: str) -> None:
    assert parse(text)
    with pytest.raises(CronSimError):
        CronSim(text, datetime(2026, 1, 1))


@pytest.mark.parametrize(
    "text", ["0 0 31 2 *", "0 0 30,31 2 *", "14 2 31 9 *", "0 22-2 * * *", "0 0 * * 5-1"]
)
def test_cronsim__refuses_with_us_what_never_fires_and_what_runs_backwards(text: str) -> None:
    with pytest.raises(CronSimError):
        CronSim(text, datetime(2026, 1, 1))
    with pytest.raises(InvalidExpression):
        parse(text)
