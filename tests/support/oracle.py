"""The oracle: when an expression fires, found the slow way. For tests only.

It shares no code with the package and no method with its evaluator: sets and a walk from day to day with
`datetime`, where that one has bit masks and arithmetic. Whatever both say was reached twice, independently.
It takes valid expressions of the Unix dialect and of AWS, and checks no more than it needs. `fire_times` is in
UTC; what zones make of it is said by `clock_oracle`.

Written from the manual page crontab(5) of Debian and its one known exception: a day-of-month or day-of-week
that starts with `*` restricts together with the other, else a day needs to match one of them only. The
extensions are written from AWS's "Cron expressions reference". `L-3`, and ranges of names that run over the end of
their field, from the documentation of Quartz 2.5's `CronExpression` ("an offset from the last day of the month",
"overflowing ranges ... NOV-FEB"): the code there takes the offset from the number of the last day, so `L-1` is the last
day but one, and has no such day in a month that is too short.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta

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
                    for second in sorted(schedule.seconds):
                        instant = _instant(midnight.replace(hour=hour, minute=minute, second=second))
                        if start <= instant < end:
                            found.append(instant)
        midnight += timedelta(days=1)
    return found


class Schedule:
    """The fields as sets of what they name."""

    def __init__(self, expression: str) -> None:
        text = _NICKNAMES.get(expression.strip().lower(), expression).lower()
        self.aws = text.startswith("cron(")
        words = text.removeprefix("cron(").removesuffix(")").split()
        year = words.pop() if self.aws else "*"
        self.second, minute, hour, self.day_of_month, month, self.day_of_week = ["0", *words][-6:]
        self.wildcard = any(word[0] == "*" for word in (self.second, minute, hour))
        self.seconds = _members(self.second, list(range(60)))
        self.minutes = _members(minute, list(range(60)))
        self.hours = _members(hour, list(range(24)))
        self.months = _members(month, list(range(1, 13)), {name: n + 1 for n, name in enumerate(_MONTHS)})
        self.years = _members(year, list(range(1970, 2200))) if year != "*" else None
        numbers = list(range(1, 8)) if self.aws else list(range(8))
        self.names = {name: n + numbers[0] for n, name in enumerate(_DAYS)}
        self.numbers = numbers
        self.day_needs_both = any(
            word[0] == "*" or word == "?" for word in (self.day_of_month, self.day_of_week)
        )

    def fires_on(self, day: date) -> bool:
        if day.month not in self.months or (self.years is not None and day.year not in self.years):
            return False
        of_month = any(self._day_of_month(part, day) for part in self.day_of_month.split(","))
        of_week = any(self._day_of_week(part, day) for part in self.day_of_week.split(","))
        return of_month and of_week if self.day_needs_both else of_month or of_week

    def _day_of_month(self, part: str, day: date) -> bool:
        last = monthrange(day.year, day.month)[1]
        if part == "?":
            return True
        if part == "l":
            return day.day == last
        workdays = [n for n in range(1, last + 1) if day.replace(day=n).isoweekday() <= 5]
        if part == "lw":
            return day.day == workdays[-1]
        named = part.removesuffix("w")
        before_last = named.startswith("l-")
        if not before_last and named == part:
            return day.day in _members(part, list(range(1, 32)))
        wanted = last - int(named[2:]) if before_last else int(named)
        if named != part:
            # Of two that are as near, Friday to a Sunday say, the nearer in days wins; there are never two.
            return 1 <= wanted <= last and day.day == min(workdays, key=lambda n: abs(n - wanted))
        return day.day == wanted

    def _day_of_week(self, part: str, day: date) -> bool:
        if part == "?":
            return True
        if part == "l":
            return day.isoweekday() == 6
        name, nth, k = part.partition("#")
        if nth:
            return self._is(name, day) and (day.day - 1) // 7 + 1 == int(k)
        if part.endswith("l"):
            in_a_week = day + timedelta(days=7)
            return self._is(part[:-1], day) and in_a_week.month != day.month
        return any(self._is_number(number, day) for number in _members(part, self.numbers, self.names))

    def _is(self, name: str, day: date) -> bool:
        return self._is_number(self.names[name] if name in self.names else int(name), day)

    def _is_number(self, number: int, day: date) -> bool:
        # 0 and 7 are Sunday to cron, 1 is to AWS.
        return (number - (1 if self.aws else 0)) % 7 == day.isoweekday() % 7


def _members(field: str, universe: list[int], names: dict[str, int] | None = None) -> set[int]:
    """The values of one field: each part between commas is a stretch of the universe, thinned by its step."""
    names = names or {}
    members: set[int] = set()
    for part in field.split(","):
        stretch, _, step = part.partition("/")
        values = universe
        if stretch != "*":
            ends = [names[word] if word in names else int(word) for word in stretch.split("-")]
            if step and len(ends) == 1:  # AWS alone: from there to the end
                ends.append(universe[-1])
            if ends[0] <= ends[-1]:
                values = [value for value in universe if ends[0] <= value <= ends[-1]]
            else:  # over the end: of AWS, and of names. Sunday is 0 and 7 to cron: it comes once.
                once = universe[:-1] if universe == list(range(8)) else universe
                values = [value for value in once if value >= ends[0]]
                values += [value for value in once if value <= ends[-1]]
        members.update(values[:: int(step or 1)])
    return members


def _instant(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
