"""The oracle: when an expression fires, found the slow way. For tests only.

It shares no code with the package and no method with its evaluator: sets and a walk from day to day with
`datetime`, where that one has bit masks and arithmetic. Whatever both say was reached twice, independently.
It takes valid expressions of the Unix dialect, in UTC, and checks no more than it needs.

Written from the manual page crontab(5) of Debian and its one known exception: a day-of-month or day-of-week
that starts with `*` restricts together with the other, else a day needs to match one of them only.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


def fire_times(expression: str, start: int, end: int) -> list[int]:
    """All fire times with start <= t < end, ascending. Instants are microseconds since 1970 UTC."""
    schedule = Schedule(expression)
    found: list[int] = []
    midnight = (_EPOCH + timedelta(microseconds=start)).replace(hour=0, minute=0, second=0, microsecond=0)
    while _instant(midnight) < end:
        if schedule.fires_on(midnight):
            for hour in sorted(schedule.hours):
                for minute in sorted(schedule.minutes):
                    instant = _instant(midnight.replace(hour=hour, minute=minute))
                    if start <= instant < end:
                        found.append(instant)
        midnight += timedelta(days=1)
    return found


class Schedule:
    """The five fields as sets of what they name."""

    def __init__(self, expression: str) -> None:
        text = _NICKNAMES.get(expression.strip().lower(), expression)
        minute, hour, day_of_month, month, day_of_week = text.lower().split()
        self.minutes = _members(minute, list(range(60)))
        self.hours = _members(hour, list(range(24)))
        self.days_of_month = _members(day_of_month, list(range(1, 32)))
        self.months = _members(month, list(range(1, 13)), {name: n + 1 for n, name in enumerate(_MONTHS)})
        weekdays = _members(day_of_week, list(range(8)), {name: n for n, name in enumerate(_DAYS)})
        self.iso_weekdays = {7 if n == 0 else n for n in weekdays}
        self.day_needs_both = day_of_month[0] == "*" or day_of_week[0] == "*"

    def fires_on(self, day: datetime) -> bool:
        if day.month not in self.months:
            return False
        matches = [day.day in self.days_of_month, day.isoweekday() in self.iso_weekdays]
        return all(matches) if self.day_needs_both else any(matches)


def _members(field: str, universe: list[int], names: dict[str, int] | None = None) -> set[int]:
    """The values of one field: each part between commas is a stretch of the universe, thinned by its step."""
    names = names or {}
    members: set[int] = set()
    for part in field.split(","):
        stretch, _, step = part.partition("/")
        values = universe
        if stretch != "*":
            ends = [names[word] if word in names else int(word) for word in stretch.split("-")]
            values = [value for value in universe if ends[0] <= value <= ends[-1]]
        members.update(values[:: int(step or 1)])
    return members


def _instant(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
