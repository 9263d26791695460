"""Which cases of an expensive test `make test` runs: a fair sample. `make test-all` runs them all.

`@pytest.mark.sample`: as few as show each value of each parameter once. A table of ten rows on two databases is ten
cases, every other one on the other database. `@pytest.mark.sample(1)`: so many; which, is decided by the name of the
test, so that of many tests some run on the one database and some on the other. `@first("sqlite")`: this database.
`@pytest.mark.turns("migrated_url")`: each case once, the first one on the one database, the next one on the other. A
folder whose subject has no SQL of its own has it for all its tests (`take_turns`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Literal
from zlib import crc32

import pytest

Kind = Literal["sqlite", "postgres"]
Values = frozenset[tuple[str, str]]
"""The parameters of a case, each with its value."""


def mark_slow(items: Iterable[pytest.Item]) -> None:
    """Mark as slow what is no part of its test's sample."""
    tests: dict[str, list[pytest.Item]] = {}
    for item in items:
        marked = item.get_closest_marker("sample") or item.get_closest_marker("turns")
        if marked and not item.get_closest_marker("slow"):
            tests.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for test, among in tests.items():
        mark, turns = among[0].get_closest_marker("sample"), among[0].get_closest_marker("turns")
        count = mark.args[0] if mark and mark.args else None
        turned = frozenset(turns.args if turns else ())
        cases, turn = [_values(item) for item in among], crc32(test.encode())
        chosen = choose(cases, count, turn, turned) if mark else choose_in_turn(cases, turn, turned)
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


def take_turns(item: pytest.Item, parameter: str) -> None:
    """Let a test run once a case in `make test`, with this parameter's values in turn, unless it says otherwise.

    `@pytest.mark.turns()` says otherwise.
    """
    if not item.get_closest_marker("turns"):
        item.add_marker(pytest.mark.turns(parameter))


def choose(cases: Sequence[Values], count: int | None, turn: int, turned: Collection[str] = ()) -> set[int]:
    """Which cases are the sample, by their place.

    :param count: how many; None: as many as it takes to show each value once
    :param turn: with which case it begins
    :param turned: parameters of which not each value has to be shown, but no one more often than the others
    """
    order = [(place + turn) % len(cases) for place in range(len(cases))]
    if count is not None:
        return set(order[:count])
    chosen: set[int] = set()
    missing = _without(frozenset().union(*cases), turned)
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


def choose_in_turn(cases: Sequence[Values], turn: int, turned: Collection[str]) -> set[int]:
    """Of cases that differ in nothing but these parameters one, in turn: their places."""
    alike: dict[Values, list[int]] = {}
    for place, case in enumerate(cases):
        alike.setdefault(_without(case, turned), []).append(place)
    return {places[(turn + number) % len(places)] for number, places in enumerate(alike.values())}


def _without(values: Values, names: Collection[str]) -> Values:
    return frozenset(value for value in values if value[0] not in names)


def _values(item: pytest.Item) -> Values:
    spec = getattr(item, "callspec", None)
    return (
        frozenset() if spec is None else frozenset((name, repr(value)) for name, value in spec.params.items())
    )
