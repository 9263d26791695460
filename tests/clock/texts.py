"""Random expressions of every dialect, and random zones and policies to put them in."""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st

from cronally.cron import parse
from cronally.errors import InvalidExpression
from tests.cron.cron_texts import expression_text, field_text
from tests.support.clock_oracle import zone_names

_WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
POLICIES = [
    (gap, overlap) for gap in ("run_at_jump", "skip", "shift") for overlap in ("first", "last", "both")
]

CHANGING = [
    *("America/New_York", "Europe/London", "Europe/Dublin", "Africa/Casablanca", "Antarctica/Troll"),
    *("Australia/Lord_Howe", "America/Havana", "Asia/Beirut", "America/Sao_Paulo", "Pacific/Apia"),
    *("Pacific/Chatham", "America/St_Johns", "Asia/Tehran", "America/Santiago", "Africa/Cairo"),
    *("Asia/Gaza", "America/Caracas", "Asia/Pyongyang", "Asia/Kathmandu", "Antarctica/Casey"),
    *("America/Nuuk", "Europe/Istanbul", "Europe/Volgograd", "Pacific/Norfolk", "UTC"),
]
"""Zones with every kind of change: of an hour, half an hour, two and three hours, over midnight, of a day."""


def special_day(random: Random, *, aws: bool = False) -> str:
    """A day-of-month in one of the extended forms, or a list with one."""
    forms = ["L", "LW", f"{random.randint(1, 31)}W", "?", "l", "1w"]
    if not aws:
        forms += [f"L-{random.randint(0, 30)}", f"L-{random.randint(0, 30)}W", "l-1w"]
    special = random.choice(forms)
    return special if special == "?" or random.random() < 0.7 else f"{random.randint(1, 28)},{special}"


def special_week(random: Random, lowest: int) -> str:
    """A day-of-week in one of the extended forms, or a list with one."""
    weekday = random.choice([str(random.randint(lowest, 6 + lowest)), random.choice(_WEEKDAYS)])
    special = random.choice([f"{weekday}L", f"{weekday}#{random.randint(1, 5)}"])
    listed = random.random() < 0.3 and not (lowest and "#" in special)
    return f"{random.choice(_WEEKDAYS)},{special}" if listed else special


def unix_text(random: Random) -> str:
    """An expression with extensions: that fires, by our own word."""
    while True:
        fields = expression_text(random).split()
        if len(fields) != 5:
            continue
        if random.random() < 0.5:
            fields[2] = special_day(random)
        if random.random() < 0.5:
            fields[4] = special_week(random, 0)
        if random.random() < 0.1:
            fields[3] = f"{random.choice(_MONTHS)}-{random.choice(_MONTHS)}{random.choice(['', '/2', '/3'])}"
        if random.random() < 0.1:
            fields[4] = (
                f"{random.choice(_WEEKDAYS)}-{random.choice(_WEEKDAYS)}{random.choice(['', '/2', '/3'])}"
            )
        if random.random() < 0.3:
            fields.insert(0, field_text(random, 0, 59, []))
        if fires(text := " ".join(fields)):
            return text


def aws_text(random: Random) -> str:
    """A `cron(...)` that fires, by our own word."""
    while True:
        minute, hour = field_text(random, 0, 59, []), field_text(random, 0, 23, [])
        if random.random() < 0.2:
            minute = f"{random.randint(0, 59)}/{random.randint(1, 30)}"
        if random.random() < 0.2:
            hour = f"{random.randint(0, 23)}-{random.randint(0, 23)}"
        month = random.choice(["*", field_text(random, 1, 12, _MONTHS)])
        year = random.choice(["*", "*", "*", "2020-2030", "2024/4", f"{random.randint(2018, 2040)}"])
        if random.random() < 0.5:
            day = random.choice(["*", field_text(random, 1, 31, []), special_day(random, aws=True)])
            week = "?"
        else:
            day = "?"
            week = random.choice(
                [special_week(random, 1), field_text(random, 1, 7, _WEEKDAYS), "MON-FRI", "L", "FRI-MON"]
            )
        if day != week and fires(text := f"cron({minute} {hour} {day} {month} {week} {year})"):
            return text


def any_text(random: Random) -> str:
    """A valid expression of any dialect that names times of the calendar."""
    return random.choice([expression_text, expression_text, unix_text, aws_text])(random)


def fires(text: str) -> bool:
    try:
        parse(text)
    except InvalidExpression as refused:
        if "never fires" in refused.message:
            return False
        if "beside a ?" in refused.message:
            return False
        raise
    return True


any_expressions = st.integers(0, 2**32 - 1).map(lambda seed: any_text(Random(seed)))
"""Valid expressions of any dialect, for hypothesis."""

changing_zones = st.sampled_from(CHANGING)
all_zones = st.sampled_from(zone_names())
policies = st.one_of(st.none(), st.sampled_from(POLICIES))
