"""Random expressions for the tests of cron: valid ones of every form that the Unix dialect has."""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st

from cronally.instants import DAY, MAX_INSTANT, MIN_INSTANT, SECOND, parse_iso

_FIELDS: list[tuple[int, int, list[str]]] = [
    (0, 59, []),
    (0, 23, []),
    (1, 31, []),
    (1, 12, ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]),
    (0, 7, ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]),
]
_SHORTCUTS = ["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"]


def field_text(random: Random, low: int, high: int, names: list[str]) -> str:
    """One field in any form: star, step, number, name, range, list."""

    def value() -> int:
        return random.randint(low, high)

    def spell(number: int) -> str:
        if names and number - low < len(names) and random.random() < 0.4:
            name = names[number - low]
            return random.choice([name, name.lower(), name.capitalize()])
        return random.choice([str(number)] * 9 + [f"0{number}"])

    def span() -> str:
        first, last = sorted((value(), value()))
        return f"{spell(first)}-{spell(last)}"

    def step() -> str:
        return f"/{random.choice([1, 2, 3, 5, 7, 10, 15, 20, 30, random.randint(1, 99)])}"

    def item() -> str:
        form = random.randrange(10)
        if form < 4:
            return spell(value())
        if form < 7:
            return span()
        return (span() if form < 9 else "*") + step()

    form = random.randrange(10)
    if form < 3:
        return "*"
    if form == 3:
        return "*" + step()
    if form == 4:
        return ",".join(random.choice([item(), item(), item(), "*"]) for _ in range(random.randint(2, 5)))
    return item()


def expression_text(random: Random) -> str:
    """A valid expression that fires; spans whose two ends are the same number occur too."""
    if random.random() < 0.02:
        return random.choice(_SHORTCUTS)
    while True:
        fields = [field_text(random, *field) for field in _FIELDS]
        if not may_never_fire(fields[2], fields[3], fields[4]):
            return " ".join(fields)


def may_never_fire(day_of_month: str, month: str, day_of_week: str) -> bool:
    """Whether the days named might exist in none of the months; in doubt yes."""
    if not (day_of_month.startswith("*") or day_of_week.startswith("*")) or "*" in day_of_month:
        return False
    days = [int(item.split("/")[0].split("-")[0]) for item in day_of_month.split(",")]
    return min(days) > 28 and month != "*"


# From a seed, not from hypothesis's own Random: that one draws few forms and many repeats.
expressions = st.integers(0, 2**32 - 1).map(lambda seed: expression_text(Random(seed)))
"""Valid expressions, for hypothesis."""


def _evenly(first: int, last: int) -> st.SearchStrategy[int]:
    """Instants from one day to another. Drawn as one number, most would lie near the first."""
    parts = st.tuples(
        st.integers(first // DAY, last // DAY), st.integers(0, DAY // SECOND - 1), st.integers(0, SECOND - 1)
    )
    return parts.map(lambda drawn: min(drawn[0] * DAY + drawn[1] * SECOND + drawn[2], last))


instants = _evenly(parse_iso("1999-01-01T00:00:00Z"), parse_iso("2110-01-01T00:00:00Z"))
"""Instants of our time, evenly."""

any_instants = st.one_of(_evenly(MIN_INSTANT, MAX_INSTANT), st.integers(MIN_INSTANT, MAX_INSTANT))
"""Instants at which something may fire, the ends more often."""


def spans(days: int) -> st.SearchStrategy[int]:
    """Microseconds, evenly up to a number of days."""
    return st.integers(0, days * 24 * 60).map(lambda minutes: minutes * 60 * SECOND)
