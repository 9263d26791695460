"""Other ways to write when something happens, as expressions: plain English, ISO 8601, iCalendar, Go's durations.

Invariant: a text that is not certainly understood has no hint. None of these texts is an expression of any dialect
here, so nothing that is accepted is taken for one of them.

Sources: ISO 8601-1:2019, "Duration" and "Recurring time interval"; RFC 5545, 3.3.10 (recurrence rules); Go's
`time.ParseDuration`.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn

from cronally.cron.hints import COUNTED, Hint, quoted
from cronally.errors import InvalidExpression
from cronally.instants import DAY, HOUR, MINUTE, SECOND

_UNITS: Final = {"second": SECOND, "minute": MINUTE, "hour": HOUR, "day": DAY, "week": 7 * DAY}
_SHORT: Final = {
    "s": "second",
    "m": "minute",
    "h": "hour",
    "d": "day",
    "w": "week",
    "sec": "second",
    "min": "minute",
    "hr": "hour",
}
_UNIT: Final = r"(?P<unit>seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|weeks?|[smhdw])"
_EVERY: Final = re.compile(rf"(?:@?every |each )?(?:(?P<count>[0-9]{{1,6}}) ?)?{_UNIT}", re.IGNORECASE)
_CALENDAR: Final = re.compile(r"(?:every|each) (month|year)", re.IGNORECASE)
_DAY: Final = r"day|weekday|(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?s?"
_AT: Final = re.compile(
    rf"(?:(?P<daily>daily)|(?:every |each |on )?(?P<day>{_DAY}))?"
    r"(?: ?(?P<at>at )?(?P<hour>[0-9]{1,2})(?::(?P<minute>[0-9]{2}))? ?(?P<half>am|pm)?)?",
    re.IGNORECASE,
)
_ISO: Final = re.compile(
    r"(?:R(?P<times>[0-9]{0,6})/)?(?P<start>[0-9T:.Z+-]{4,32}/)?"
    r"P(?P<calendar>(?:[0-9]{1,6}[YM])*)(?:([0-9]{1,6})W)?(?:([0-9]{1,6})D)?(?:T(?:([0-9]{1,6})H)?(?:([0-9]{1,6})M)?(?:([0-9]{1,6})S)?)?",
    re.IGNORECASE,
)
_MOMENT: Final = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[T ](?P<time>[0-9]{2}:[0-9]{2})(?::(?P<second>[0-9]{2}))?"
    r"(?P<offset>Z|[+-][0-9]{2}:?[0-9]{2})?",
    re.IGNORECASE,
)
_GO: Final = re.compile(r"@every (?:[0-9]{1,6}(?:\.[0-9]{1,3})?[hms])+", re.IGNORECASE)
_GO_PART: Final = re.compile(r"([0-9]+)(?:\.([0-9]+))?([hms])", re.IGNORECASE)
_RULE: Final = re.compile(r"(?:RRULE *: *)?(FREQ *= *[^ ]+)", re.IGNORECASE)
_RULE_DAYS: Final = {
    "SU": "SUN",
    "MO": "MON",
    "TU": "TUE",
    "WE": "WED",
    "TH": "THU",
    "FR": "FRI",
    "SA": "SAT",
}
_RULE_DAY: Final = re.compile(r"([+-]?[0-9])?(SU|MO|TU|WE|TH|FR|SA)")
_NUMBERS: Final = re.compile(r"[0-9]{1,2}(?:,[0-9]{1,2})*")
_FREQUENCIES: Final = {
    "SECONDLY": SECOND,
    "MINUTELY": MINUTE,
    "HOURLY": HOUR,
    "DAILY": DAY,
    "WEEKLY": 7 * DAY,
}


def refuse_notation(text: str) -> None:
    """Refuse a text in one of these notations."""
    if calendar := _CALENDAR.fullmatch(text):
        month = calendar[1].lower() == "month"
        differs = f"fires at midnight on the first day of the {calendar[1].lower()}"
        _refuse(text, "English", Hint("@monthly" if month else "@yearly", differs))
    if (every := _EVERY.fullmatch(text)) and (every["count"] or " " in text):
        _refuse(
            text,
            "a duration" if text[0].isdigit() else "English",
            # M may be months, as in ISO 8601 and Java.
            *([] if every["unit"] == "M" else _every(int(every["count"] or 1), _unit(every["unit"]))),
        )
    at = _AT.fullmatch(text)
    if at and len(text) > 3 and (at["day"] or (at["hour"] and (at["daily"] or at["at"] or at["half"]))):
        _refuse(text, "English", *_at(at))
    if (iso := _ISO.fullmatch(text)) and text[-1:].upper() != "P":
        _refuse(text, "a duration or a repeating interval of ISO 8601", *_iso(iso))
    if once := moment(text):
        _refuse(text, "one instant", once)
    if rule := _RULE.fullmatch(text):
        _refuse(text, "a recurrence rule of iCalendar", *_rule(rule[1]))


def moment(text: str) -> Hint | None:
    """The hint for one instant, as `2026-12-24T18:00Z`; None for other texts."""
    named = _MOMENT.fullmatch(text.strip())
    if named is None:
        return None
    differs = "is by the clock of the cron job's timezone, not at that offset" if named["offset"] else ""
    return Hint(f"at({named['day']}T{named['time']}:{named['second'] or '00'})", differs)


def go_duration(text: str) -> str | None:
    """`@every 90m` for `@every 1.5h`; None for what is no duration, or not of whole seconds."""
    if not _GO.fullmatch(text):
        return None
    thousandths = 0
    for whole, part, unit in _GO_PART.findall(text):
        size = _UNITS[_SHORT[unit.lower()]] // SECOND
        thousandths += size * (int(whole) * 1000 + int(f"{part:0<3}"))
    return None if thousandths % 1000 or not thousandths else f"@every {thousandths // 1000}s"


def interval_of(period: int) -> str:
    """The expression for an interval. `period` is in microseconds, whole seconds."""
    for name in ("day", "hour", "minute"):
        count, rest = divmod(period, _UNITS[name])
        if count and not rest:
            return f"rate({count} {name}{'s' if count > 1 else ''})"
    return f"@every {period // SECOND}s"


def rate_of(text: str) -> str | None:
    """The interval for `5 weeks` or `90 sec`, as it may stand in `rate(...)` or after `@every`; None for others."""
    every = _EVERY.fullmatch(text.strip())
    if every is None or every["count"] is None or not int(every["count"]):
        return None
    return interval_of(int(every["count"]) * _unit(every["unit"]))


def _refuse(text: str, kind: str, *hints: Hint) -> NoReturn:
    raise InvalidExpression(f"{quoted(text)} is {kind}, not an expression", hints=hints)


def _unit(name: str) -> int:
    name = name.lower()
    return _UNITS[_SHORT.get(name) or _SHORT.get(name.removesuffix("s")) or name.removesuffix("s")]


def _every(count: int, unit: int) -> list[Hint]:
    if not count:
        return []
    hints = [Hint(interval_of(count * unit), COUNTED)]
    if unit == MINUTE and 60 % count == 0:
        hints.append(
            Hint(
                f"*/{count} * * * *" if count > 1 else "* * * * *",
                "fires by the clock, from minute 0 of each hour on",
            )
        )
    elif unit == HOUR and 24 % count == 0:
        hints.append(
            Hint(f"0 */{count} * * *" if count > 1 else "0 * * * *", "fires by the clock, from midnight on")
        )
    elif unit == DAY and count == 1:
        hints.append(Hint("0 0 * * *", "fires at midnight"))
    return hints


def _at(at: re.Match[str]) -> list[Hint]:
    """A time of the day, on some days. Without a time it is midnight."""
    day = (at["day"] or "day").lower()
    week = {"day": "*", "weekday": "MON-FRI"}.get(day.removesuffix("s"), day[:3].upper())
    differs = "" if at["day"] or at["daily"] else "fires every day"
    if at["hour"] is None:
        return [Hint(f"0 0 * * {week}", "fires at midnight")]
    hour, minute = int(at["hour"]), int(at["minute"] or 0)
    if at["half"]:
        if not 1 <= hour <= 12:
            return []
        hour = hour % 12 + (12 if at["half"].lower() == "pm" else 0)
    return [Hint(f"{minute} {hour} * * {week}", differs)]


def _iso(iso: re.Match[str]) -> list[Hint]:
    parts = iso.groups()[3:]
    period = sum(
        int(part or 0) * size for part, size in zip(parts, (7 * DAY, DAY, HOUR, MINUTE, SECOND), strict=True)
    )
    if iso["calendar"] or not period:
        return []  # months and years have no fixed length
    differs = COUNTED
    if iso["start"]:
        differs += ", not from the start"
    if iso["times"]:
        differs += ", and goes on without an end"
    return [Hint(interval_of(period), differs)]


def _rule(text: str) -> list[Hint]:
    """A recurrence rule, where it says all times itself, or names an interval alone."""
    parts = dict(part.partition("=")[::2] for part in text.upper().split(";") if part)
    frequency, interval = parts.pop("FREQ", ""), parts.pop("INTERVAL", "1")
    differs = []
    if parts.pop("COUNT", None) or parts.pop("UNTIL", None):
        differs.append("goes on without an end")
    parts.pop("WKST", None)
    if not interval.isdigit() or not 0 < len(interval) < 6 or not int(interval):
        return []
    if not parts:
        if frequency not in _FREQUENCIES:
            return []
        differs.insert(0, f"{COUNTED}, not from DTSTART")
        return [Hint(interval_of(int(interval) * _FREQUENCIES[frequency]), " and ".join(differs))]
    fields = _fields(frequency, parts) if int(interval) == 1 else None
    if fields is None:
        return []
    if "BYSECOND" not in parts:
        differs.append("fires at second 0, not at that of DTSTART")
    return [Hint(fields, " and ".join(differs))]


def _fields(frequency: str, parts: dict[str, str]) -> str | None:
    """The five fields of a rule that names its times; None where they cannot say it."""
    if parts.keys() - {"BYHOUR", "BYMINUTE", "BYSECOND", "BYMONTH", "BYMONTHDAY", "BYDAY"}:
        return None
    hour, minute, month = parts.get("BYHOUR", ""), parts.get("BYMINUTE", ""), parts.get("BYMONTH", "*")
    if not all(_NUMBERS.fullmatch(numbers) for numbers in (hour, minute, "1" if month == "*" else month)):
        return None
    if parts.get("BYSECOND", "0") != "0":
        return None
    named = {"DAILY": True, "WEEKLY": "BYDAY" in parts, "MONTHLY": "BYDAY" in parts or "BYMONTHDAY" in parts}
    both = "BYDAY" in parts and "BYMONTHDAY" in parts  # iCalendar wants both, cron either
    if both or not named.get(frequency, False):
        return None
    days = [_day_of_month(day) for day in parts["BYMONTHDAY"].split(",")] if "BYMONTHDAY" in parts else ["*"]
    week = [_day_of_week(day, frequency) for day in parts["BYDAY"].split(",")] if "BYDAY" in parts else ["*"]
    if None in days or None in week:
        return None
    return f"{minute} {hour} {','.join(map(str, days))} {month} {','.join(map(str, week))}"


def _day_of_month(text: str) -> str | None:
    if _NUMBERS.fullmatch(text):
        return text
    if not re.fullmatch(r"-[0-9]{1,2}", text) or int(text) == 0:
        return None
    return "L" if text == "-1" else f"L-{-int(text) - 1}"


def _day_of_week(text: str, frequency: str) -> str | None:
    named = _RULE_DAY.fullmatch(text)
    if named is None:
        return None
    name, nth = _RULE_DAYS[named[2]], named[1]
    if nth is None:
        return name
    if frequency != "MONTHLY":
        return None
    if nth == "-1":
        return f"{name}L"
    return f"{name}#{int(nth)}" if int(nth) > 0 else None
