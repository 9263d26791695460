"""Sets of HTTP statuses: what is read, what is refused, and that a set has one form."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.contract.status_sets import check_statuses, read_entry, read_statuses, write_statuses
from tests.support.examples import examples


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ([], []),
        (["404"], ["404"]),
        (["500-599"], ["5xx"]),
        (["2xx", "200-299", "204"], ["2xx"]),
        (["503", "500", "501-502"], ["500-503"]),
        (["399-500"], ["399", "4xx", "500"]),
        (["300-399", "400-410", "412"], ["3xx", "400-410", "412"]),
        (["350-459"], ["350-459"]),
        (["350-505"], ["350-399", "4xx", "500-505"]),
        (["100-599"], ["1xx", "2xx", "3xx", "4xx", "5xx"]),
    ],
)
def test_statuses__have_one_form(sent: list[str], kept: list[str]) -> None:
    assert check_statuses(sent) == kept


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "40",
        "4040",
        "600",
        "099",
        "6xx",
        "xxx",
        "500-",
        "-500",
        "5xx-599",
        "404 ",
        "٤٠٤",
        "404-403",
        "1-2",
    ],
)
def test_entry__is_refused(entry: str) -> None:
    with pytest.raises(
        ValueError, match=r"what is no status; give statuses, such as 404|ends before it begins"
    ):
        read_entry(entry)
    with pytest.raises(ValueError, match="has as its entry 2 "):
        check_statuses(["404", entry])


@pytest.mark.parametrize("entry", ["2xx", "299", "299-300"])
def test_statuses__stay_within_bounds(entry: str) -> None:
    with pytest.raises(ValueError, match="has as its entry 1 what goes beyond 300 to 599"):
        check_statuses([entry], 300, 599)


entries = st.one_of(
    st.integers(100, 599).map(str),
    st.integers(1, 5).map(lambda hundreds: f"{hundreds}xx"),
    st.tuples(st.integers(100, 599), st.integers(100, 599)).map(lambda two: f"{min(two)}-{max(two)}"),
)


def model(entry: str, status: int) -> bool:
    """Whether an entry holds a status, by the digits."""
    if entry.endswith("xx"):
        return str(status)[0] == entry[0]
    bounds = [int(part) for part in entry.split("-")]
    return bounds[0] <= status <= bounds[-1]


@examples(50)
@given(st.lists(entries, max_size=10))
def test_statuses__are_those_that_an_entry_holds(sent: list[str]) -> None:
    expected = {status for status in range(100, 600) if any(model(entry, status) for entry in sent)}
    assert read_statuses(tuple(sent)) == expected
    kept = check_statuses(sent)
    assert read_statuses(tuple(kept)) == expected
    assert check_statuses(list(reversed(sent))) == kept == check_statuses(kept)


@examples(50)
@given(st.sets(st.integers(100, 599), max_size=400))
def test_statuses__are_written_once_each(statuses: set[int]) -> None:
    written = write_statuses(statuses)
    assert sum(len(read_entry(entry)) for entry in written) == len(statuses)
    assert read_statuses(tuple(written)) == statuses
    assert all(re.fullmatch(r"[1-5]xx|\d{3}|\d{3}-\d{3}", entry) for entry in written)
