"""The retry schedule of a cron job: how far apart attempts are, and how that is said in words.

Invariant: pure. A schedule says how far apart attempts are and nothing else: how many there may be is
`retry_max_attempts`, and until when is `max_age`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from cronally.instants import DAY, HOUR, MINUTE, SECOND, format_duration, parse_duration

EXPONENTIAL: Final = "exponential"

FIRST: Final = 2 * SECOND
"""The longest delay after the first attempt, of the exponential schedule. Microseconds, as all that follows."""
FACTOR: Final = 2
CEILING: Final = 15 * MINUTE
"""Where it stops growing."""

MIN_DELAY: Final = SECOND
MAX_DELAY: Final = DAY
MAX_DELAYS: Final = 50
JITTER: Final = 0.1
"""By which share of itself a listed delay may be longer: it is never shorter than it was written."""

_SHOWN: Final = 6
_EXPECTED: Final = f"give {EXPONENTIAL}, or delays such as 10s,1m,10m,1h"
_UNITS: Final = ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s"))

Delays = tuple[int, ...]
"""Listed delays; the last one repeats. None at all: the exponential schedule."""


def check_schedule(texts: list[str]) -> str | list[str]:
    """A schedule as it was sent: the word, or delays, one a text or with commas between them.

    Returns it as it is stored. Raises ValueError with a complaint.
    """
    parts = [part.strip() for text in texts for part in text.split(",")]
    if parts == [EXPONENTIAL]:
        return EXPONENTIAL
    if len(parts) > MAX_DELAYS:
        raise ValueError(f"has {len(parts):,} delays; give {MAX_DELAYS} at most, the last one repeats")
    found = []
    for place, part in enumerate(parts, start=1):
        try:
            delay = parse_duration(part)
        except ValueError:
            raise ValueError(f"has as its entry {place:,} what is no duration; {_EXPECTED}") from None
        if not MIN_DELAY <= delay <= MAX_DELAY:
            raise ValueError(
                f"has as its entry {place:,} a delay out of range; give {format_duration(MIN_DELAY)} to"
                f" {format_duration(MAX_DELAY)}"
            )
        found.append(format_duration(delay))
    return found


def read_schedule(stored: object) -> Delays | None:
    """The delays of a schedule as it is stored; None for what is none."""
    if stored == EXPONENTIAL:
        return ()
    if not isinstance(stored, list) or not 1 <= len(stored) <= MAX_DELAYS:
        return None
    try:
        return tuple([parse_duration(text) for text in stored])
    except (TypeError, ValueError):
        return None


def listed_delay(delays: Sequence[int], retry: int) -> int:
    """The delay before a retry, without chance.

    :param retry: its number, from 1
    """
    return delays[min(retry, len(delays)) - 1]


@lru_cache(maxsize=4096)
def sentence(delays: Delays, most: int, max_age: int) -> str:
    """How a firing is tried again, in words.

    :param delays: none for the exponential schedule
    :param most: attempts that may follow the first
    :param max_age: how old it may be at an attempt
    """
    if most == 0:
        return "none: there is one attempt"
    if not delays:
        return _exponential(most, max_age)
    count = _fitting(delays, most, max_age)
    if count == 0:
        return f"none: the first would come after {in_words(delays[0])}, when it is older than max_age allows"
    shown = list(delays[:count])
    said = ", ".join([in_words(each) for each in shown[:_SHOWN]])
    if len(shown) > _SHOWN:
        said += f" and {len(shown) - _SHOWN} more delays, the last of {in_words(shown[-1])}"
    if count > len(delays):
        said += f", then every {in_words(delays[-1])}"
    return f"up to {_attempts(count)} in {in_words(max_age)}: after {said}"


def _exponential(most: int, max_age: int) -> str:
    growing: list[str] = []
    delay = FIRST
    while delay < CEILING and len(growing) < min(most, 3):
        growing.append(in_words(delay))
        delay *= FACTOR
    more = "" if most <= len(growing) else f", ... growing to {in_words(CEILING)}"
    return (
        f"up to {_attempts(most)} in {in_words(max_age)}: each at a moment by chance within"
        f" {', '.join(growing)}{more}"
    )


def _fitting(delays: Sequence[int], most: int, max_age: int) -> int:
    """How many retries begin in time, where attempts take no time and chance adds nothing."""
    total = 0
    for retry in range(1, most + 1):
        total += listed_delay(delays, retry)
        if total > max_age:
            return retry - 1
    return most


def _attempts(count: int) -> str:
    return "1 more attempt" if count == 1 else f"{count:,} more attempts"


def in_words(duration: int) -> str:
    """A duration of whole seconds, in its units, with days from two on: `24 h`, `1 h 30 min`."""
    parts = []
    for size, name in _UNITS:
        if size == DAY and duration < 2 * DAY:
            continue
        count, duration = divmod(duration, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts)
