"""Sets of HTTP statuses, as a cron job names them: `404`, a class (`5xx`), a range (`500-504`).

Invariant: pure, and closed: an entry is one of the three forms, of statuses between 100 and 599. The same set has one
canonical form, which reads as the same set.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Final

LOWEST: Final = 100
HIGHEST: Final = 599
MAX_ENTRIES: Final = 50
EXPECTED: Final = "statuses, such as 404, 5xx or 500-504"

_FORM: Final = re.compile(r"([1-5])xx|([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")


def read_entry(text: str) -> range:
    """The statuses of one entry. Raises ValueError with a complaint that does not repeat it."""
    matched = _FORM.fullmatch(text.lower())
    if matched is None:
        raise ValueError(f"what is no status; give {EXPECTED}")
    hundreds, low, high = matched.groups()
    if hundreds is not None:
        return range(int(hundreds) * 100, int(hundreds) * 100 + 100)
    if high is not None and int(high) < int(low):
        raise ValueError("a range that ends before it begins; write the lower status first")
    return range(int(low), int(high or low) + 1)


def check_statuses(texts: list[str], low: int = LOWEST, high: int = HIGHEST) -> list[str]:
    """A set of statuses in its canonical form. Raises ValueError with a complaint.

    :param low: the lowest status that may be in it
    :param high: the highest
    """
    found: set[int] = set()
    for place, text in enumerate(texts, start=1):
        try:
            statuses = read_entry(text)
        except ValueError as problem:
            raise ValueError(f"has as its entry {place:,} {problem}") from None
        if statuses[0] < low or statuses[-1] > high:
            raise ValueError(f"has as its entry {place:,} what goes beyond {low} to {high}")
        found.update(statuses)
    return write_statuses(found)


@lru_cache(maxsize=4096)
def read_statuses(texts: Sequence[str]) -> frozenset[int]:
    """The statuses of entries that were checked, as a tuple. Raises ValueError for others."""
    return frozenset(status for text in texts for status in read_entry(text))


def write_statuses(statuses: Collection[int]) -> list[str]:
    """The entries of a set, lowest first: classes that are whole as such, then runs, then single statuses."""
    return [entry for low, high in _runs(statuses) for entry in _entries(low, high)]


def _runs(statuses: Collection[int]) -> Iterable[tuple[int, int]]:
    """The first and the last status of each stretch without a gap."""
    ordered = sorted(statuses)
    firsts = [each for each in ordered if each - 1 not in statuses]
    lasts = [each for each in ordered if each + 1 not in statuses]
    return zip(firsts, lasts, strict=True)


def _entries(low: int, high: int) -> Iterable[str]:
    while low <= high:
        if low % 100 == 0 and low + 99 <= high:
            yield f"{low // 100}xx"
            low += 100
            continue
        # Up to the next class that is whole, if one follows.
        end = high if high < low - low % 100 + 199 else low - low % 100 + 99
        yield str(low) if end == low else f"{low}-{end}"
        low = end + 1
