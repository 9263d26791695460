"""Which cases of an expensive test `make test` runs: a fair sample. `make test-all` runs them all.

`@pytest.mark.sample`: as few as show each value of each parameter once. A table of ten rows on two databases is ten
cases, every other one on the other database. `@pytest.mark.sample(1)`: so many; which, is decided by the name of the
test, so that of many tests some run on the one database and some on the other. `@first("sqlite")`: this database.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal
from zlib import crc32

import pytest

Kind = Literal["sqlite", "postgres"]
Values = frozenset[tuple[str, str]]
"""The parameters of a case, each with its value."""


def mark_slow(items: Iterable[pytest.Item]) -> None:
    """Mark as slow what is no part of its test's sample."""
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("sample") and not item.get_closest_marker("slow"):
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for test, among in cases.items():
        mark = among[0].get_closest_marker("sample")
        count = mark.args[0] if mark and mark.args else None
        chosen = choose([_values(item) for item in among], count, crc32(test.encode()))
        for place, item in enumerate(among):
            if place not in chosen:
                item.add_marker(pytest.mark.slow)


def first(kind: Kind, fixture: str = "database_url") -> pytest.MarkDecorator:
    """Run a test on this database in `make test`, and on both in `make test-all`.

    :param fixture: the one that has a parameter for the kind of the database
    """
    others = (other for other in ("sqlite", "postgres") if other != kind)
    kinds = [kind, *(pytest.param(other, marks=pytest.mark.slow) for other in others)]
    return pytest.mark.parametrize(fixture, kinds, indirect=True)


def choose(cases: Sequence[Values], count: int | None, turn: int) -> set[int]:
    """Which cases are the sample, by their place.

    :param count: how many; None: as many as it takes to show each value once
    :param turn: with which case it begins
    """
    order = [(place + turn) % len(cases) for place in range(len(cases))]
    if count is not None:
        return set(order[:count])
    chosen: set[int] = set()
    missing = frozenset().union(*cases)
    while missing:
        # The first of those that show most; what was shown seldom goes before what was shown often.
        best = max(
            (place for place in order if place not in chosen),
            key=lambda place: (
                len(cases[place] & missing),
                -sum(len(cases[place] & cases[other]) for other in chosen),
            ),
        )
        chosen.add(best)
        missing -= cases[best]
    return chosen or {order[0]}


def _values(item: pytest.Item) -> Values:
    spec = getattr(item, "callspec", None)
    return (
        frozenset() if spec is None else frozenset((name, repr(value)) for name, value in spec.params.items())
    )
