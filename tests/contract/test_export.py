"""Firings as CSV and as lines of JSON, read by the standard library's readers."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.contract import export
from cronally.contract.attribute import declared
from cronally.contract.firings import Firing

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
FIRINGS: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.fixed_dictionaries(
        {name: TEXTS | st.none() | st.integers() for name in export.COLUMNS},
        optional={"attempts": st.just([])},
    ),
    max_size=4,
)


def test_columns__are_the_attributes_of_a_firing() -> None:
    """A new attribute is a new column, at the end: a table's columns keep their places."""
    others = {"attempts", "dead_letter", "dead_letter_of", "ack_body", "ack_body_cut"}
    assert set(export.COLUMNS) == {*declared(Firing)} - others
    assert export.COLUMNS[:3] == ("firing_id", "cronjob_id", "cronjob_name")
    assert export.COLUMNS[15] == "message_id"


@given(FIRINGS)
def test_csv__comes_back_as_it_was_but_for_formulas(firings: list[dict[str, Any]]) -> None:
    text = export.CSV_HEADER + export.csv_rows(firings)
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert rows[0] == [*export.COLUMNS]
    assert len(rows) == len(firings) + 1
    for firing, row in zip(firings, rows[1:], strict=True):
        for name, cell in zip(export.COLUMNS, row, strict=True):
            value = firing[name]
            assert cell in ("" if value is None else str(value), f"'{value}")
            if isinstance(value, str):
                assert not cell.lstrip().startswith(("=", "+", "-", "@"))
            else:
                assert not cell.startswith("'")


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+49 30", "'+49 30"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        (" =1", "' =1"),
        ("\tx", "'\tx"),
        ("＝1+1", "'＝1+1"),
        ('a"b', '"a""b"'),
        ("=a,b", '"\'=a,b"'),
        ("two\r\nlines", '"two\r\nlines"'),
        ("grüße", "grüße"),
        ("a=b", "a=b"),
    ],
)
def test_csv__of_a_name(name: str, cell: str) -> None:
    assert export.csv_rows([{"cronjob_name": name}]) == f",,{cell}{',' * (len(export.COLUMNS) - 3)}\r\n"


def test_csv__a_negative_number_is_one() -> None:
    assert ",-5," in export.csv_rows([{"lateness_ms": -5}])


@given(FIRINGS)
def test_json_lines__one_a_firing_in_ascii(firings: list[dict[str, Any]]) -> None:
    text = export.json_lines(firings)
    assert text.isascii()
    assert [json.loads(line) for line in text.splitlines()] == firings
