"""Hints: what is offered instead of a refused expression is accepted, and is what the refused one means."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from dateutil.rrule import rrulestr  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

import cronally.cron
from cronally.cron import Expression, Interval, parse, parse_written
from cronally.cron.days import EPOCH
from cronally.errors import InvalidExpression
from cronally.instants import SECOND
from tests.clock.texts import any_expressions, any_text
from tests.cron.cron_texts import expression_text
from tests.cron.test_cron_hostile import CRON_CHARACTERS, WRITTEN
from tests.support import meant
from tests.support.examples import examples
from tests.support.meant import DAYS, MONTHS, Meant, liberal_field

KEY = "8d9f7a62-54b3-4a0c-9d55-0f2b6d1f7e11"
FIRST = date(2023, 12, 30)
LAST = date(2028, 3, 2)

Case = tuple[str, Meant]


def refused(text: str) -> InvalidExpression | None:
    try:
        parse_written(text, KEY)
    except InvalidExpression as problem:
        return problem
    return None


def check(text: str, meaning: Meant | None) -> int:
    """All hints are accepted and stand in the message; those that claim so are what is meant. How many claim it."""
    problem = refused(text)
    if problem is None:
        return 0
    same = 0
    for hint in problem.hints:
        assert hint.at is None
        expression = parse_written(hint.expression, KEY)
        assert f'"{hint.expression}"' in problem.message, text
        if hint.differs:
            assert hint.differs in problem.message, text
            continue
        same += 1
        assert "(same fire times)" in problem.message, text
        if meaning is not None:
            agree(expression, meaning, f"{text} -> {hint.expression}")
    assert bool(problem.hints) == (" instead" in problem.message), problem.message
    return same


def agree(expression: Expression | Interval, meaning: Meant, said: str) -> None:
    if isinstance(expression, Interval):
        assert meaning.period is not None, said
        assert expression.period == meaning.period * SECOND, said
        return
    for mask, wanted in (
        (expression.seconds, meaning.seconds),
        (expression.minutes, meaning.minutes),
        (expression.hours, meaning.hours),
    ):
        assert {bit for bit in range(60) if mask >> bit & 1} == wanted, said
    if meaning.wildcard is not None:
        assert expression.wildcard is meaning.wildcard, said
    for number in range(FIRST.toordinal(), LAST.toordinal()):
        assert expression.days.fires(number - EPOCH) is meaning.day(date.fromordinal(number)), (said, number)


# Kinds of texts that are refused, each with what it means


def other_forms(random: Random) -> Case:
    """Five or six fields in forms that Quartz, AWS or Jenkins take."""
    fields = [
        *(liberal_field(random, 0, 59), liberal_field(random, 0, 23), liberal_field(random, 1, 31)),
        *(liberal_field(random, 1, 12, MONTHS), liberal_field(random, 0, 6, DAYS)),
    ]
    if random.random() < 0.2:
        fields.insert(0, liberal_field(random, 0, 59))
    text = " ".join(fields)
    return text, meant.unix(text)


def one_other_form(random: Random) -> Case:
    """A usual expression with one field in such a form."""
    fields = ["0", "8", "*", "*", "*"]
    place = random.randrange(5)
    bounds = [(0, 59), (0, 23), (1, 31), (1, 12, MONTHS), (0, 6, DAYS)][place]
    fields[place] = liberal_field(random, *bounds)  # type: ignore[arg-type]
    return " ".join(fields), meant.unix(" ".join(fields))


def quartz(random: Random) -> Case:
    """Quartz: seconds first, weekdays as numbers from 1, `a/n`, perhaps a year."""
    week = random.choice(
        [
            *(liberal_field(random, 1, 7, DAYS), f"{random.randint(1, 7)}L", f"{random.randint(1, 7)}#2"),
            *(f"{random.randint(1, 7)}/{random.randint(1, 3)}", "2-6", "6-2", "L", "*", "MON,3,5"),
        ]
    )
    day = random.choice([liberal_field(random, 1, 31), "L", "LW", "L-3", "*", "?"])
    days, week = (day, "?") if random.random() < 0.4 and day != "?" else ("?", week)
    second = random.choice(["0", "0", "30", "*/10"])
    fields = [second, liberal_field(random, 0, 59), liberal_field(random, 0, 23), days, "*", week]
    if random.random() < 0.5:
        fields.append(random.choice(["*", "2026", "2024-2027", "2024,2027"]))
    return " ".join(fields), meant.quartz(" ".join(fields))


def bare_aws(random: Random) -> Case:
    """AWS's six fields without `cron()`."""
    minute, hour = random.choice(["0", "15", "0/10"]), random.choice(["8", "*", "20-2"])
    days, week = random.choice(
        [("?", "MON-FRI"), ("?", "2-6"), ("?", "3#2"), ("*", "?"), ("LW", "?"), ("3", "?")]
    )
    text = f"{minute} {hour} {days} {random.choice(['*', '3', 'JAN'])} {week} {random.choice(['*', '2026'])}"
    return text, meant.aws(text)


def year_last(random: Random) -> Case:
    """Six fields with a year at the end, but without a `?`."""
    days, week = random.choice([("*", "MON-FRI"), ("1,15", "*"), ("*", "*"), ("*", "FRI-MON")])
    text = f"0 8 {days} * {week} {random.choice(['2026', '2025-2027'])}"
    return text, meant.aws(text)


def no_question(random: Random) -> Case:
    """`cron()` of AWS with a star where it wants a `?`."""
    days, week = random.choice([("*", "*"), ("?", "?"), ("*", "MON"), ("*", "2-6"), ("1", "*"), ("L", "*")])
    fields = f"0/5 {random.choice(['8', '20-2'])} {days} * {week} *"
    return f"cron({fields})", meant.aws(fields)


TYPED = str.maketrans({" ": "\u00a0", "-": "\u2013", "*": "\u2217", ",": "\uff0c", "/": "\u2044"})
DIGITS = str.maketrans("0123456789", "\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669")
WIDE = str.maketrans({chr(n): chr(n + 0xFEE0) for n in range(0x21, 0x7F)} | {" ": "\u3000"})
PASTED: list[Callable[[str], str]] = [
    lambda text: f'"{text}"',
    lambda text: f"`{text}`",
    lambda text: f"'{text}",
    lambda text: f"\u201c{text}\u201d",
    lambda text: f'cron: "{text}"',
    lambda text: f"- schedule: '{text}'",
    lambda text: text.replace("*", "\\*") if "*" in text else f'"{text}"',
    lambda text: text.translate(TYPED) if " " in text else f"`{text}`",
    lambda text: text.translate(DIGITS) if re.search("[0-9]", text) else f"`{text}`",
    lambda text: text.translate(WIDE),
    lambda text: f"\ufeff{text}\u200b",
    lambda text: f"{text}\n",
    lambda text: f"\r\n{text}\r\n",
    lambda text: f"{text} # at night",
    lambda text: f"# every night\nMAILTO=root\n{text}\n",
    lambda text: f"SHELL=/bin/sh\nPATH=/bin\n\n{text} root /usr/bin/backup --all # nightly\n",
    lambda text: f"{text} root /usr/bin/backup",
    lambda text: f"{text} /usr/bin/backup 2>&1 | mail -s %d root",
    lambda text: f"{text}\t cd /srv && ./run",
]


def pasted(random: Random) -> Case:
    """A valid expression with what comes along with it."""
    text = expression_text(random)
    dressed = random.choice(PASTED)(text)
    spelled_out = {"@hourly": "0 * * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"}
    if text.startswith("@"):
        text = spelled_out.get(text) or ("0 0 1 1 *" if text in ("@yearly", "@annually") else "0 0 * * *")
    return dressed, meant.unix(text)


def pasted_other_forms(random: Random) -> Case:
    """Both at once."""
    text, meaning = one_other_form(random)
    return random.choice(PASTED)(text), meaning


def calendar_event(random: Random) -> Case:
    """systemd's `OnCalendar`."""
    week = random.choice([[], [0], [0, 2], [5, 6], list(range(5)), list(range(4, 7))])
    names = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    listed = ",".join(names[day] for day in week)
    if len(week) > 2:
        listed = f"{names[week[0]]}..{names[week[-1]]}"
    hour, minute = random.randrange(24), random.randrange(60)
    step = random.choice([None, None, 15, 7])
    shown = f"{minute:02}" if step is None else f"{minute}/{step}"
    minutes = {minute} if step is None else set(range(minute, 60, step))
    date_part = random.choice(["", "*-*-* ", "*-*-05 "]) if not week else random.choice(["", "*-*-* "])
    text = f"{listed} {date_part}{hour:02}:{shown}".strip()
    prefix = random.choice(["", "OnCalendar=", "OnCalendar = "])

    def day(on: date) -> bool:
        return (not week or on.weekday() in week) and ("05" not in date_part or on.day == 5)

    return prefix + text, Meant(minutes=minutes, hours={hour}, day=day)


def words(random: Random) -> Case:
    """English that names its times."""
    hour, minute = random.randrange(24), random.randrange(60)
    name, days = random.choice(
        [("day", set(range(1, 8))), ("weekday", set(range(1, 6))), ("monday", {1}), ("Sun", {7})]
    )
    clock = f"{hour}:{minute:02}"
    if random.random() < 0.4:
        clock = f"{hour % 12 or 12}:{minute:02}{random.choice(['', ' '])}{'pm' if hour >= 12 else 'am'}"
    return f"every {name} at {clock}", Meant(
        minutes={minute}, hours={hour}, day=lambda on: on.isoweekday() in days
    )


def recurrence(random: Random) -> Case:
    """A recurrence rule that names all of its times, by `dateutil`."""
    hour, minute = random.randrange(24), random.choice(["0", "15", "0,30"])
    days = random.choice(
        [
            *(
                "FREQ=DAILY",
                "FREQ=DAILY;BYDAY=MO,SA",
                "FREQ=WEEKLY;BYDAY=MO,WE,SU",
                "FREQ=MONTHLY;BYMONTHDAY=1,15",
            ),
            *("FREQ=MONTHLY;BYMONTHDAY=-1", "FREQ=MONTHLY;BYMONTHDAY=-4", "FREQ=MONTHLY;BYDAY=2MO,-1FR"),
            *("FREQ=DAILY;BYMONTH=2,12", "FREQ=MONTHLY;BYMONTHDAY=31;BYMONTH=1,2"),
        ]
    )
    rule = f"{days};BYHOUR={hour};BYMINUTE={minute};BYSECOND=0"
    fires = {
        at.date()
        for at in rrulestr(rule, dtstart=datetime(2023, 12, 1)).between(_noon(FIRST, -2), _noon(LAST, 1))
    }
    minutes = {int(one) for one in minute.split(",")}
    return random.choice(["", "RRULE:"]) + rule, Meant(minutes=minutes, hours={hour}, day=fires.__contains__)


def _noon(on: date, days: int) -> datetime:
    return datetime(on.year, on.month, on.day, 12) + timedelta(days=days)


def other_interval(random: Random) -> Case:
    """Units that `rate()` and `@every` do not take."""
    count = random.randint(1, 500)
    unit, size = random.choice(
        [("weeks", 7 * 86_400), ("seconds", 1), ("secs", 1), ("mins", 60), ("hrs", 3600)]
    )
    if random.random() < 0.5:
        return f"rate({count} {unit})", Meant(period=count * size)
    if random.random() < 0.5:
        return f"@every {count} {unit}", Meant(period=count * size)
    return f"@every {count}.5h", Meant(period=count * 3600 + 1800)


KINDS: list[Callable[[Random], Case]] = [
    *(other_forms, one_other_form, quartz, bare_aws, year_last, no_question, pasted, pasted_other_forms),
    *(calendar_event, words, recurrence, other_interval),
]


@examples(400)
@given(st.sampled_from(KINDS), st.integers(0, 2**32 - 1))
def test_hint__means_what_it_claims(kind: Callable[[Random], Case], seed: int) -> None:
    check(*kind(Random(seed)))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_hint__there_is_one_for_every_kind(kind: Callable[[Random], Case]) -> None:
    """The property above is not empty: many texts of each kind get a hint that claims to be the same."""
    random = Random(kind.__name__)
    found = sum(check(*kind(random)) > 0 for _ in range(60))
    assert found >= 15, found


@examples(300)
@given(st.one_of(WRITTEN, st.text(max_size=60)))
def test_hint__is_accepted_whatever_is_refused(text: str) -> None:
    check(text, None)


@examples(100)
@given(any_expressions, st.data())
def test_hint__is_accepted_for_a_damaged_expression(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    damage = data.draw(st.text(alphabet=CRON_CHARACTERS, max_size=2))
    check(text[:at] + damage + text[at + data.draw(st.integers(0, 2)) :], None)


def test_hint__of_what_is_accepted_there_is_none() -> None:
    """Whatever fires is what is written: no notation takes a valid expression for its own."""
    random = Random(7)
    for _ in range(2000):
        text = any_text(random)
        parse(text)
        problem = refused(text)
        assert problem is None or "the step is longer than the field" in problem.message, text


@pytest.mark.parametrize(
    ("text", "expression", "differs"),
    [
        # A word that is no field may be a command, or a weekday of six fields that nobody here knows.
        ("0 0 8 * * MONTAG", "0 0 8 * *", "takes the last word for a command; weekdays have English names"),
        ("0 0 8 * * lunes 2026", "0 0 8 * *", "takes the last word for a command"),
        ("0 0 8 * * LUN,MAR", "0 0 8 * *", "takes the last word for a command"),
        ("0 0 8 * * MON-FIR", "0 0 8 * *", "takes the last word for a command"),
        ("0 0 8 * * mon-fri;", "0 0 8 * *", "takes the last word for a command"),
        ("0 0 8 ? * LUN-VIE 2026-2027", "0 0 8 * *", "takes the last word for a command"),
        ("0 0 8 ? * LUN - VIE", "0 0 8 * *", "takes the last word for a command"),
        ("@every 5m curl -psecret", "@every 5m", "takes what follows for a command"),
        ("CRON_TZ = Asia/Tokyo\n0 8 * * *", "0 8 * * *", "is by the clock of the cron job's timezone"),
        ("CRON_TZ=Asia/Tokyo 0 8 * * *\n", "0 8 * * *", "is by the clock of the cron job's timezone"),
        ("@every_minute", "* * * * *", ""),
        ("@every_second", "* * * * * *", ""),
        ("0 0 8 * * /bin/true", "0 0 8 * *", ""),
        ("0 0 8 * * root /bin/true", "0 0 8 * *", ""),
        ("0 0 8 * MAY php x.php", None, None),
        ("CRON_TZ=Asia/Tokyo 0 8 * * *", "0 8 * * *", "is by the clock of the cron job's timezone"),
        ("TZ=UTC\n0 8 * * * root x", "0 8 * * *", "is by the clock of the cron job's timezone"),
        ("Mon *-*-* 09:00 Europe/Berlin", "0 9 * * MON", "is by the clock of the cron job's timezone"),
        ("# 0 8 * * *", "0 8 * * *", "fires, as the comment never did"),
        ("every 5 minutes", "rate(5 minutes)", "counts from the creation of the cron job"),
        ("Every 2 hours", "rate(2 hours)", "counts from the creation of the cron job"),
        ("every 2 weeks", "rate(14 days)", "counts from the creation of the cron job"),
        ("every minute", "rate(1 minute)", "counts from the creation of the cron job"),
        ("5m", "rate(5 minutes)", "counts from the creation of the cron job"),
        ("90 seconds", "@every 90s", "counts from the creation of the cron job"),
        ("every month", "@monthly", "fires at midnight on the first day of the month"),
        ("every monday", "0 0 * * MON", "fires at midnight"),
        ("at 10:00", "0 10 * * *", "fires every day"),
        ("PT5M", "rate(5 minutes)", "counts from the creation of the cron job"),
        ("R/PT90S", "@every 90s", "counts from the creation of the cron job"),
        ("P1W", "rate(7 days)", "counts from the creation of the cron job"),
        ("R5/2026-01-01T00:00:00Z/PT5M", "rate(5 minutes)", "not from the start, and goes on without an end"),
        ("FREQ=MINUTELY;INTERVAL=5", "rate(5 minutes)", "not from DTSTART"),
        ("FREQ=DAILY;BYHOUR=8;BYMINUTE=0;COUNT=3", "0 8 * * *", "goes on without an end"),
        ("FREQ=DAILY;BYHOUR=8;BYMINUTE=0", "0 8 * * *", "fires at second 0, not at that of DTSTART"),
        ("R(0-9) * * * *", "H(0-9) * * * *", "is chosen by the id of the cron job, and stays"),
        ("0 H(22-6) * * *", "0 H(0-6) * * *", "is chosen from 0-6 alone"),
        ("0 0 LW-1 * *", "0 0 L-1W * *", "is the weekday nearest to the day 1 before the last"),
        ("2026-12-24T18:00", "at(2026-12-24T18:00:00)", ""),
        ("2026-12-24 18:00:30", "at(2026-12-24T18:00:30)", ""),
        ("2026-12-24T18:00:00Z", "at(2026-12-24T18:00:00)", "not at that offset"),
        ("at(2026-12-24T18:00:00+01:00)", "at(2026-12-24T18:00:00)", "not at that offset"),
        ("at(2026-12-24 18:00)", "at(2026-12-24T18:00:00)", ""),
        ("0\u20288 * * *", "0 8 * * *", ""),
        ("@quarterly", "0 0 1 1,4,7,10 *", ""),
        ("0 8\n* * *", "0 8 * * *", ""),
    ],
)
def test_hint__says_what_differs(text: str, expression: str | None, differs: str | None) -> None:
    problem = refused(text)
    assert problem is not None
    assert "secret" not in problem.message
    assert [hint.expression for hint in problem.hints[:1]] == ([] if expression is None else [expression])
    if expression is not None:
        assert (differs or "") in problem.hints[0].differs
        assert bool(differs) == bool(problem.hints[0].differs)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("*/0 * * * *", "has a step of 0; write how many values to go on, 1 or more"),
        ("H/0 * * * *", "has a step that is not 1-60"),
        ("0 8 * * MONTAG", "is not known (names are English, of three letters: SUN MON TUE WED THU FRI SAT)"),
        ("0 8 MARDI * *", "is not known; write 1-31"),
        ("0 8 1 MARDI *", "is not known (names are English, of three letters: JAN FEB MAR"),
        ("0 8 * * MONTH", "is not known"),
        (
            "MAILTO=secret@example.com",
            '"MAILTO=" is a setting of a crontab, not part of an expression; leave it out',
        ),
        ("@reboot /usr/bin/x --password=secret", "there is no machine of yours to start"),
        ("0 8 * * MON #2", "write MON#2 without one"),
        ("5M", "is a duration, not an expression"),
        ("@every 1h 30m", "is not understood"),
        ("0 8 * * *\n0 9 * * *", "the text has 2 lines with expressions, as a crontab"),
        ("SHELL=/bin/sh\n99 8 * * * dump -psecret", "what is left of it is refused too"),
        ("\n@reboot dump -psecret\n", "what is left of it is refused too"),
        ("# nothing\nPASSWORD=secret", "none of them is an expression"),
        ("0 8 * * 1-5 2026", "there 1 is SUN in day-of-week, elsewhere it is MON: write names"),
        ("0 8 1 * MON 2026", "where one of day-of-month and day-of-week is ?"),
        ("P1M", "is a duration or a repeating interval of ISO 8601, not an expression"),
        ("FREQ=YEARLY;BYEASTER=0", "is a recurrence rule of iCalendar, not an expression"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO;BYHOUR=8;BYMINUTE=0", "is a recurrence rule of iCalendar"),
        ("Fri..Tue 09:00", "looks like a calendar event of systemd"),
        (
            "5/10 99 * * *",
            '"5-59/10 99 * * *" is refused too: "99" is out of range for hour (0-23) at column 9',
        ),
        ("0 8 * * *\n" * 40, "in several lines: make a cron job of each line"),
    ],
)
def test_refusal__without_a_hint_explains(text: str, part: str) -> None:
    problem = refused(text)
    assert problem is not None
    assert part in problem.message
    assert not problem.hints
    assert "secret" not in problem.message


@pytest.mark.parametrize(
    ("zone", "named"),
    [("Europe/Berlin", "give Europe/Berlin as"), ("UTC", "give UTC as"), ("$(id)", "give the zone as")],
)
def test_refusal__of_a_zone_names_it(zone: str, named: str) -> None:
    problem = refused(f"CRON_TZ={zone} 0 8 * * *")
    assert problem is not None
    assert named in problem.message


def test_hint__is_worded_in_one_place() -> None:
    for file in Path(cronally.cron.__file__).parent.glob("*.py"):
        if file.name != "hints.py":
            assert not re.search(r"""write \\?"\{|" instead|same fire times\)""", file.read_text()), file
