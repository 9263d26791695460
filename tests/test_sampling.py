"""What `make test` leaves to `make test-all`."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.sampling import Values, choose, choose_in_turn

pytest_plugins = ["pytester"]


def table(*sizes: int) -> list[Values]:
    ranges = [range(size) for size in sizes]
    return [
        frozenset((str(name), str(value)) for name, value in enumerate(row))
        for row in itertools.product(*ranges)
    ]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(0, 2**32))
def test_choose__shows_each_value_and_is_no_larger_than_it_must(sizes: list[int], turn: int) -> None:
    cases = table(*sizes)
    chosen = choose(cases, None, turn)
    assert frozenset().union(*(cases[place] for place in chosen)) == frozenset().union(*cases)
    assert len(chosen) == max(sizes)


@pytest.mark.parametrize("turn", range(4))
def test_choose__takes_the_databases_in_turn(turn: int) -> None:
    cases = table(10, 2)
    chosen = choose(cases, None, turn)
    assert sum(("1", "0") in cases[place] for place in chosen) == 5


@pytest.mark.parametrize("turn", range(4))
def test_choose__so_many(turn: int) -> None:
    assert choose(table(2), 1, turn) == {turn % 2}
    assert choose([frozenset()], 1, turn) == {0}


@given(st.lists(st.integers(1, 5), min_size=2, max_size=3), st.integers(0, 2**32))
def test_choose_in_turn__shows_each_case_once_and_the_turned_values_alike(
    sizes: list[int], turn: int
) -> None:
    cases = table(*sizes)
    chosen = [cases[place] for place in sorted(choose_in_turn(cases, turn, {"0"}))]
    assert sorted(sorted(case - {("0", str(value)) for value in range(5)}) for case in chosen) == sorted(
        sorted((str(name + 1), value) for name, value in case) for case in map(renumbered, table(*sizes[1:]))
    )
    shown = [sum(("0", str(value)) in case for case in chosen) for value in range(sizes[0])]
    assert max(shown) - min(shown) <= 1


def renumbered(case: Values) -> list[tuple[int, str]]:
    return [(int(name), value) for name, value in case]


@pytest.mark.parametrize("turn", range(4))
def test_choose__need_not_show_what_is_turned(turn: int) -> None:
    assert choose(table(2), None, turn, {"0"}) == {turn % 2}
    chosen = choose(table(10, 2), None, turn, {"1"})
    assert len(chosen) == 10
    assert sum(place % 2 for place in chosen) == 5


def test_mark__leaves_the_rest_to_make_test_all(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makeconftest(
        "import pytest\n"
        "from tests.support.sampling import mark_slow\n"
        "def pytest_configure(config):\n"
        "    config.addinivalue_line('markers', 'slow')\n"
        "    config.addinivalue_line('markers', 'sample')\n"
        "    config.addinivalue_line('markers', 'turns')\n"
        "@pytest.hookimpl(tryfirst=True)\n"
        "def pytest_collection_modifyitems(items):\n"
        "    mark_slow(items)\n"
    )
    pytester.makepyfile(
        """
        import pytest
        from tests.support.sampling import first

        @pytest.mark.sample
        @pytest.mark.parametrize("database", ["sqlite", "postgres"])
        @pytest.mark.parametrize("row", range(6))
        def test_sampled(row, database): ...

        @pytest.mark.sample(1)
        @pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
        def test_slow_already(database): ...

        @pytest.mark.parametrize("database", ["sqlite", "postgres"])
        def test_whole(database): ...

        @pytest.mark.turns("database")
        @pytest.mark.parametrize("database", ["sqlite", "postgres"])
        @pytest.mark.parametrize("row", range(4))
        def test_in_turn(row, database): ...

        @pytest.fixture
        def kind(request):
            return request.param

        @first("postgres", "kind")
        def test_first(kind):
            assert kind == "postgres"
        """
    )
    pytester.runpytest_inprocess("-m", "not slow").assert_outcomes(
        passed=6 + 1 + 2 + 4 + 1, deselected=6 + 1 + 4 + 1
    )
    pytester.runpytest_inprocess().assert_outcomes(passed=12 + 2 + 2 + 8 + 1, failed=1)
