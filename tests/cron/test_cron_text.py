"""Reading an expression: what is accepted, as what, and what a refusal says."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally import cron
from cronally.cron import Expression
from cronally.errors import InvalidExpression
from tests.cron.cron_texts import expressions
from tests.support.expressions import parse


def values(mask: int) -> list[int]:
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]


def refusal(text: str) -> str:
    with pytest.raises(InvalidExpression) as caught:
        parse(text)
    assert caught.value.fields == {}
    return caught.value.message


# What is read


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", [5]),
        ("005", [5]),
        ("*", list(range(60))),
        ("*/15", [0, 15, 30, 45]),
        ("*/90", [0]),
        ("*/59", [0, 59]),
        ("0-59", list(range(60))),
        ("10-20/5", [10, 15, 20]),
        ("10-20/99", [10]),
        ("7-7/3", [7]),
        ("1,2,40-42,50-59/4", [1, 2, 40, 41, 42, 50, 54, 58]),
        ("5,*/30", [0, 5, 30]),
        ("5,5,5", [5]),
    ],
)
def test_minute__is_read_as_debian_reads_it(text: str, expected: list[int]) -> None:
    assert values(parse(f"{text} * * * *").minutes) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", [0]),
        ("7", [0]),
        ("SUN", [0]),
        ("0,7", [0]),
        ("sat", [6]),
        ("Mon-fRi", [1, 2, 3, 4, 5]),
        ("1-FRI", [1, 2, 3, 4, 5]),
        ("5-7", [0, 5, 6]),
        ("4-7/7", [4]),
        ("0-7", list(range(7))),
        # The field runs from 0 to 7, so a step may land on 7, which is Sunday.
        ("1-7/2", [0, 1, 3, 5]),
        ("*/2", [0, 2, 4, 6]),
        ("*/3", [0, 3, 6]),
        ("*/4", [0, 4]),
        ("*/5", [0, 5]),
        ("*/7", [0]),
        ("*/8", [0]),
    ],
)
def test_day_of_week__sunday_is_0_and_7(text: str, expected: list[int]) -> None:
    assert values(parse(f"0 0 * * {text}").days.weekdays) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("JAN", [1]), ("jan,Jul", [1, 7]), ("mar-9", [3, 4, 5, 6, 7, 8, 9]), ("*/5", [1, 6, 11]), ("12", [12])],
)
def test_month__takes_names_in_any_case(text: str, expected: list[int]) -> None:
    assert values(parse(f"0 0 1 {text} *").days.months) == expected


@pytest.mark.parametrize(
    ("shortcut", "spelled_out"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@Daily", "0 0 * * *"),
    ],
)
def test_shortcut__is_its_five_fields(shortcut: str, spelled_out: str) -> None:
    short, long = parse(f" {shortcut} "), parse(spelled_out)
    assert short.text == shortcut
    assert masks(short) == masks(long)


def masks(e: Expression) -> tuple[object, ...]:
    return e.minutes, e.hours, e.days, e.wildcard


@pytest.mark.parametrize(
    ("text", "wildcard"),
    [
        ("* * * * *", True),
        ("*/5 8 * * *", True),
        ("0 * * * *", True),
        ("0 */6 * * *", True),
        ("*,5 8 * * *", True),
        ("@hourly", True),
        ("0 8 * * *", False),
        ("0-59 0-23 * * *", False),
        ("0 0-23 * * *", False),
        ("0,*/5 8 * * *", False),
        ("@daily", False),
    ],
)
def test_wildcard__is_decided_by_the_text(text: str, wildcard: bool) -> None:
    assert parse(text).wildcard is wildcard


@pytest.mark.parametrize(
    ("text", "both"),
    [
        ("0 0 * * *", True),
        ("0 0 * * 1", True),
        ("0 0 13 * *", True),
        ("0 0 */2 * 1", True),
        ("0 0 13 * */2", True),
        ("0 0 *,13 * 1", True),
        ("0 0 13 * 5", False),
        ("0 0 1-31 * 1", False),
        ("0 0 1-31/2 * 1", False),
        ("0 0 13,* * 1", False),
        ("0 0 13 * 0-7", False),
    ],
)
def test_days__must_both_match_when_a_text_starts_with_a_star(text: str, both: bool) -> None:
    assert parse(text).days.both is both


def test_text__keeps_what_was_written_with_single_spaces() -> None:
    e = parse(" \t*/5\t 08  * *   mon-FRI ")
    assert e.text == str(e) == "*/5 08 * * mon-FRI"
    assert repr(e) == "Expression('*/5 08 * * mon-FRI')"


def test_expression__is_equal_by_its_text() -> None:
    assert parse("0  8 * * *") == parse("0 8 * * *")
    assert hash(parse("0  8 * * *")) == hash(parse("0 8 * * *"))
    assert parse("0 8 * * *") != parse("0 8 * * 0-7")


@given(expressions)
def test_read__round_trip(text: str) -> None:
    e = parse(text)
    assert parse(str(e)) == e
    again = parse(f"\t{text.replace(' ', '  ').swapcase()} ")
    assert masks(again) == masks(e)


def test_expression__is_remembered_in_a_bounded_cache() -> None:
    assert parse("1 2 3 4 *") is parse("1 2 3 4 *")
    assert cron.parse.cache_info().maxsize == 20_000
    before = cron.parse.cache_info().currsize
    for _ in range(2):
        with pytest.raises(InvalidExpression):
            parse("1 2 3")
    assert cron.parse.cache_info().currsize == before


# What is refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("60 * * * *", '"60" is out of range for minute (0-59) at column 1'),
        ("0 1,24 * * *", '"24" is out of range for hour (0-23) at column 5'),
        ("0  0   0 * *", '"0" is out of range for day-of-month (1-31) at column 8'),
        ("0 0 1-32 * *", '"32" is out of range for day-of-month (1-31) at column 7'),
        ("0 0 1 13 *", '"13" is out of range for month (1-12) at column 7'),
        ("0 0 * * 8", '"8" is out of range for day-of-week (0-7) at column 9'),
        # Debian takes it for 0, as no step reaches 100.
        ("0-100/200 * * * *", '"100" is out of range for minute (0-59) at column 3'),
    ],
)
def test_out_of_range__names_field_and_column(text: str, message: str) -> None:
    assert refusal(text) == message


@pytest.mark.parametrize(
    ("text", "item", "instead"),
    [
        ("0 8 * * 6-1", "6-1", "6,0-1"),
        ("0 8 * * 7-2", "7-2", "0-2"),
        ("0 22-2 * * *", "22-2", "22-23,0-2"),
        ("0 23-0 * * *", "23-0", "23,0"),
        ("0 1,22-4/2 * * *", "22-4/2", "22,0,2,4"),
        ("50-9/10 * * * *", "50-9/10", "50,0"),
        ("0 0 30-2 * *", "30-2", "30-31,1-2"),
        ("5/10 * * * *", "5/10", "5-59/10"),
        ("0 0 * * MON/2", "MON/2", "MON-SAT/2"),
        ("/5 * * * *", "/5", "*/5"),
        ("? 0 * * *", "?", "*"),
        ("0 0 * ? *", "?", "*"),
        ("0 8 * * MONDAY", "MONDAY", "MON"),
        ("0 8 1 March-APR *", "March", "MAR"),
        ("0 8 * * tues", "tues", "TUE"),
        ("0 8 * * fri-1", "fri-1", "FRI-SAT,SUN-MON"),
    ],
)
def test_refusal__spells_out_what_to_write(text: str, item: str, instead: str) -> None:
    message = refusal(text)
    assert message.startswith(f'"{item}" in ')
    assert f" at column {text.index(item) + 1} " in message
    assert message.endswith(f'; write "{text.replace(item, instead)}" instead (same fire times)')


@given(
    st.sampled_from([(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]),
    st.integers(0, 59),
    st.integers(0, 59),
    st.integers(1, 70),
)
def test_backwards__what_to_write_names_the_values_meant(
    bounds: tuple[int, int], one: int, other: int, step: int
) -> None:
    low, high = bounds
    size = high - low + 1
    last, first = sorted((low + one % size, low + other % size))
    if first == last:
        return
    place = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)].index(bounds)
    fields = ["0", "0", "1", "1", "*"]
    fields[place] = f"{first}-{last}" + (f"/{step}" if step > 1 else "")
    written = re.search(r'write "(.*)" instead', refusal(" ".join(fields)))
    assert written
    e = parse(written[1])
    mask = (e.minutes, e.hours, e.days.days_of_month << 1, e.days.months, e.days.weekdays)[place]
    meant = [value if value <= high else value - size for value in range(first, last + size + 1, step)]
    assert values(mask) == sorted(meant)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "the expression is empty; write five fields: minute hour"),
        (" \t ", "the expression is empty"),
        ("0", "has 1 field; write five: minute hour day-of-month month day-of-week"),
        ("0 8 * *", "has 4 fields; write five"),
        (
            "0 0 8 * * ? 2026",
            'has 7 fields, as in Quartz (seconds first, year last); write "cron(0 8 * * ? 2026)" instead',
        ),
        ("0 0 8 * * * *", 'write "cron(0 8 * * ? *)" instead'),
        ("0 0 8 * * MON 2026/2", 'write "cron(0 8 ? * MON 2026/2)" instead'),
        ("0 0 8 1 * MON *", "a year is accepted in cron() of AWS alone"),
        ("OnCalendar=daily", '"daily" is a word of systemd; write "@daily" instead'),
        ("OnCalendar=Mon..Fri *-*-* 08:30", 'write "30 8 * * MON-FRI" instead'),
        (
            "H(5) * * * *",
            "is not accepted: H is written H, H(0-5), H/2 or H(0-5)/2, in the dialect of Unix alone",
        ),
        ("R(0-5) * * * *", "is not accepted: a value is not chosen for you at random"),
        ("cron(H 8 * * ? *)", "is not accepted: H is written H, H(0-5), H/2 or H(0-5)/2"),
        ("5 0 8 * * ? 2026", "a year is accepted in cron() of AWS alone, which has no seconds"),
        (
            "0 0 8 ? * 2-6",
            'there 2 is a Monday, here it is a Tuesday; write "0 0 8 ? * MON-FRI" instead',
        ),
        ("0 0 8 ? * 6#3", 'write "0 0 8 ? * FRI#3" instead'),
        ("0 0 8 ? * 6L", 'write "0 0 8 ? * FRIL" instead'),
        ("0 0 8 ? * FRI#1,2", 'write "0 0 8 ? * FRI#1,MON" instead'),
        (
            "Mon *-*-* 10:00:00",
            'a calendar event of systemd; a time is written minute first; write "0 10 * * MON" instead',
        ),
        ("Mon..Fri *-*-* 08:30", 'write "30 8 * * MON-FRI" instead'),
        ("Sat,Sun 20:00:15", 'write "15 0 20 * * SAT,SUN" instead'),
        ("*-01-01 00:00:00", 'write "0 0 1 1 *" instead'),
        ("*-*-* *:15", 'write "15 * * * *" instead'),
        (
            "Mon *-*-01 10:00",
            "looks like a calendar event of systemd; a time is written minute first; write five",
        ),
        (
            "10:99",
            'a time is written minute first; "99 10 * * *" is refused too: "99" is out of range for minute (0-59)',
        ),
        (
            "*-*-01..07 10:00",
            "looks like a calendar event of systemd; a time is written minute first; write five",
        ),
        ("daily", '"daily" is a word of systemd; write "@daily" instead'),
        ("weekly", 'write "0 0 * * MON" instead'),
        ("CRON_TZ=Asia/Tokyo 0 8 * * *", "give Asia/Tokyo as the cron job's timezone"),
        ("TZ=UTC", "give UTC as the cron job's timezone"),
        ("0 8 * * 1 2 3 4", "the expression has 8 fields; write five"),
        ("@reboot", "@hourly @daily @midnight @weekly @monthly @yearly @annually and @every 90s"),
        ("@fortnightly", '"@fortnightly" is not accepted; the shortcuts are @hourly'),
        ("@daily @daily", '"@daily" has a user or a command after it'),
        ("0 0 L-31 * *", '"L-31" in day-of-month at column 5 is before the first day of every month'),
        (
            "0 0 LW-1 * *",
            'write "0 0 L-1W * *" instead, which is the weekday nearest to the day 1 before the last',
        ),
        ("0 0 L3 * *", "a day of the month may be L (the last), L-3 (three days before it)"),
        ("0 0 * * L", "a day of the week may be 5L (the last Friday) or MON#2 (the second Monday)"),
        ("0 0 * L *", "L, W and # are for days"),
        ("15W 0 * * *", "L, W and # are for days"),
        ("0 0 0W * *", '"0" is out of range for day-of-month (1-31) at column 5'),
        ("0 0 1,32W * *", '"32" is out of range for day-of-month (1-31) at column 7'),
        ("0 0 * * 8L", '"8" is out of range for day-of-week (0-7) at column 9'),
        ("0 0 * * FOO#2", '"FOO" in day-of-week at column 9 is not known'),
        (
            "0 0 * * MON#6",
            '"MON#6" in day-of-week at column 9 names a week that no month has; write #1 to #5',
        ),
        ("0 0 * * MON#0", "write #1 to #5"),
        ("0 0 ?,1 * *", '"?" in day-of-month at column 5'),
        ("R * * * *", "a value is not chosen for you"),
        ("1,,2 * * * *", '"1,,2" in minute has nothing between its commas at column 3'),
        ("1, * * * *", "nothing between its commas at column 3"),
        (", * * * *", "nothing between its commas at column 1"),
        (
            "0 8 * * FOO",
            '"FOO" in day-of-week at column 9 is not known (names are English, of three letters: SUN MON',
        ),
        ("MON * * * *", '"MON" in minute at column 1 is not known; write 0-59, *, a-b, */n'),
        ("*5 * * * *", '"*5" in minute at column 1 is not understood'),
        ("+5 * * * *", '"+5" in minute at column 1 is not understood'),
        ("-5 * * * *", '"-5" in minute at column 1 is not understood'),
        ("1-2-3 * * * *", '"1-2-3" in minute at column 1 is not understood'),
        ("*/5/5 * * * *", "is not understood"),
        ("5-/2 * * * *", "is not understood"),
        ("1-*/2 * * * *", "is not understood"),
        ("*/MON * * * *", "is not understood"),
        ("0~30 * * * *", "is not understood"),
        ("\u0665 * * * *", "the character '\\u0665' at column 1 is not accepted"),
        ("0 8 * * \uff11", "at column 9 is not accepted"),
        ("0 8 * * fr\u0131", "the character '\\u0131' at column 11"),
        ("0\u00a08 * * *", "the character '\\xa0' at column 2"),
        (
            "0 8 * * *\n",
            'ends with a line end; an expression is one line, without settings and comments; write "0 8',
        ),
        ("0 8 * * *\r\n* * * * *", "has 2 lines with expressions, as a crontab"),
        ("0 8 * * \x00", "the character '\\x00' at column 9"),
    ],
)
def test_refusal__says_what_is_accepted(text: str, part: str) -> None:
    assert part in refusal(text)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (
            "0 0 31 2 *",
            "never fires: FEB has no day 31 (day-of-month); write a day up to 29 or another month",
        ),
        ("0 0 30,31 2 *", "FEB has no day 30"),
        ("0 0 31 2,4,6,9,11 *", "FEB, APR, JUN, SEP, NOV have no day 31"),
        ("0 0 30 2 */2", "never fires"),
        ("14 2 31 9 *", "SEP has no day 31"),
    ],
)
def test_never__is_refused(text: str, part: str) -> None:
    assert part in refusal(text)


@pytest.mark.parametrize(
    "text",
    ["0 0 29 2 *", "0 0 31 2,3 *", "0 0 28-31 2 *", "0 0 31 2 MON", "0 0 */30 2 *", "0 0 29 2 */7"],
)
def test_never__is_not_said_of_what_is_rare(text: str) -> None:
    assert parse(text).next(0) is not None


@pytest.mark.parametrize("month", range(1, 13))
@pytest.mark.parametrize("day", range(28, 32))
def test_never__is_exactly_what_the_calendar_lacks(month: int, day: int) -> None:
    exists = day <= [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
    if exists:
        assert parse(f"0 0 {day} {month} *").next(0) is not None
    else:
        assert "never fires" in refusal(f"0 0 {day} {month} *")


def test_shortcuts__are_accepted_expressions() -> None:
    for shortcut, spelled_out in cron.SHORTCUTS.items():
        assert parse(shortcut)
        assert parse(spelled_out)
