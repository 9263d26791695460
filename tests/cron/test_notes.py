"""What is accepted and fires at other times than it seems to name: notes, and what is refused where it is written."""

from __future__ import annotations

import pytest

from cronally.cron import Expression, notes, parse, parse_written
from cronally.errors import InvalidExpression
from tests.cron.test_cron_hostile import calls_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*/5 * * * *", []),
        ("*/60 * * * *", []),
        ("0 8 * * MON-FRI", []),
        ("0 8 * * 5-5", []),
        ("8-17/2 * * * *", []),
        ("@daily", []),
        ("rate(7 minutes)", []),
        ("at(2026-12-24T18:00:00)", []),
        ("*/7 * * * *", ['"*/7" in minute begins again each hour: the last distance is 4 minutes, not 7']),
        (
            "0-59/45 * * * *",
            ['"0-59/45" in minute begins again each hour: the last distance is 15 minutes, not 45'],
        ),
        ("0 */5 * * *", ['"*/5" in hour begins again each day: the last distance is 4 hours, not 5']),
        ("0 0 1 */5 *", ['"*/5" in month begins again each year: the last distance is 2 months, not 5']),
        ("0 0 * * */2", ['"*/2" in day-of-week begins again each week: the last distance is 1 day, not 2']),
        (
            "0 0 */2 * *",
            ['"*/2" in day-of-month begins again each month: the distance over the end of a month differs'],
        ),
        (
            "cron(5/7 * * * ? *)",
            ['"5/7" in minute begins again each hour: the last distance is 11 minutes, not 7'],
        ),
        (
            "1-5/10 * * * *",
            ['"1-5/10" in minute fires at minute 1 of each hour alone: the step is longer than the range'],
        ),
        (
            "*/90 * * * *",
            ['"*/90" in minute fires at minute 0 of each hour alone: the step is longer than the field'],
        ),
        (
            "0 0 * * */9",
            ['"*/9" in day-of-week fires at SUN of each week alone: the step is longer than the field'],
        ),
        (
            "0 8 1 * MON",
            ["a day needs to match day-of-month or day-of-week: either is enough, as in a crontab"],
        ),
        ("0 8 31 * *", ["it does not fire in FEB, APR, JUN, SEP, NOV: there is no such day"]),
        ("0 8 30W 1-3 *", ["it does not fire in FEB: there is no such day"]),
        ("0 8 29 * *", ["in FEB it fires in leap years alone"]),
        ("0 8 31,L * *", []),
        ("0 0 8 * * *", ["the first of six fields is the second"]),
        ("0 8 ? * 1-5", ["day-of-week counts from SUN = 0 here; in Quartz and AWS, which write ?, 1 is SUN"]),
        ("0 8 ? * MON", []),
    ],
)
def test_notes__of(text: str, expected: list[str]) -> None:
    assert notes(parse(text)) == expected


def test_notes__of_both_fields_of_days_with_a_star() -> None:
    found = notes(parse("0 8 */2 * MON"))
    assert found[-1] == "day-of-month and day-of-week must both match, as one of them starts with *"


LONG = {
    "*/90 * * * *": ("*/60 * * * *", "rate(90 minutes)"),
    "*/90 8 * * *": ("*/60 8 * * *", None),
    "*/61 * * * *": ("*/60 * * * *", "rate(61 minutes)"),
    "5,*/90 * * * *": ("5,*/60 * * * *", None),
    "10-20/99 * * * *": ("10 * * * *", "rate(99 minutes)"),
    "0 */36 * * *": ("0 */24 * * *", "rate(36 hours)"),
    "* */36 * * *": ("* */24 * * *", None),
    "0 0 */40 * *": ("0 0 */31 * *", "rate(40 days)"),
    "0 0 1 */13 *": ("0 0 1 */12 *", None),
    "0 0 * * */8": ("0 0 * * */7", None),
    "0 0 * * MON-FRI/9": ("0 0 * * MON", None),
    "*/90 * * * * *": ("*/60 * * * * *", "@every 90s"),
    "cron(0/90 * * * ? *)": ("cron(0 * * * ? *)", "rate(90 minutes)"),
    "cron(0 8 ? * FRI-MON/9 *)": ("cron(0 8 ? * FRI *)", None),
}


@pytest.mark.parametrize("text", LONG)
def test_long_step__is_refused_where_it_is_written_and_read_where_it_is_stored(text: str) -> None:
    same, interval = LONG[text]
    with pytest.raises(InvalidExpression) as caught:
        parse_written(text)
    assert [hint.expression for hint in caught.value.hints] == [same, *([interval] if interval else [])]
    assert not caught.value.hints[0].differs
    assert all("counts from the creation" in hint.differs for hint in caught.value.hints[1:])
    stored, offered = parse(text), parse_written(same)
    assert isinstance(stored, Expression)
    assert isinstance(offered, Expression)
    # With the same treatment at a change of the clock, and of the two fields of days.
    assert masks(stored) == masks(offered)


def masks(e: Expression) -> tuple[object, ...]:
    return e.seconds, e.minutes, e.hours, e.days, e.wildcard


@pytest.mark.parametrize("text", ["0/120 * * * *", "120/120 * * * *", "0 0/36 * * *", "0 0 MON/90 * *"])
def test_long_step__without_a_range_offers_no_step_that_is_longer_than_the_field(text: str) -> None:
    with pytest.raises(InvalidExpression) as caught:
        parse(text)
    for hint in caught.value.hints:
        assert "/" not in hint.expression


def test_long_step__says_what_it_does_and_what_may_be_meant() -> None:
    with pytest.raises(InvalidExpression) as caught:
        parse_written("*/90 * * * *")
    assert caught.value.message == (
        '"*/90" in minute at column 1 fires at minute 0 of each hour alone: the step is longer than the field;'
        ' write "*/60 * * * *" instead (same fire times), or "rate(90 minutes)", which fires every 90 minutes, and'
        " counts from the creation of the cron job"
    )


DEAR = [
    "5/10,6/10,7/10,8/10 22-6 30-2 MARCH-APRIL monday,tuesday,wednesday",
    ",".join(["5/10"] * 48) + " * * * *",
    ",".join(["/5"] * 60) + " * * * *",
    "\u00a0".join(["\uff15/10", "22-6", "30-2", "MARCH", "monday"]) + " root /usr/bin/true # all of it\n",
    "*/90 */90 */90 */90 */90",
    "0 0 31 22-2 */" + "9" * 200,
    "H(50-10) H(22-6) H(20-5) H(11-2) H(5-2)",
    "FREQ=WEEKLY;BYDAY=" + ",".join(["MO"] * 60) + ";BYHOUR=8;BYMINUTE=0",
    "every " + "1" * 200 + " minutes",
    "@every " + "1.5h" * 60,
    "R5/" + "2" * 32 + "/P" + "1Y" * 100,
    "\n".join(["0 8 * * * x"] * 20),
    "'" * 256,
    "a=" * 128,
]


@pytest.mark.parametrize("text", DEAR)
def test_hint__costs_a_few_readings_at_most(text: str) -> None:
    """A usual reading of 256 characters calls a few hundred functions."""

    def work() -> str:
        try:
            parse_written(text, "an id")
        except InvalidExpression as refused:
            return refused.message
        raise AssertionError(text)

    message, calls = calls_of(work)
    assert len(message) < 600
    assert calls < 4_000
