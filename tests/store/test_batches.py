"""Rows that travel as one JSON parameter arrive as they left, whatever stands in them, on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Connection, Integer, Text, select
from sqlalchemy.types import TypeEngine

from cronally.instants import MAX_INSTANT
from cronally.store import Store, batches
from tests.support.examples import examples

COLUMNS: dict[str, TypeEngine[Any]] = {"key": Text(), "instant": BigInteger(), "count": Integer()}
Row = tuple[str | None, int | None, int | None]


def through(rows: list[Row]) -> Any:
    def work(connection: Connection) -> list[Row]:
        batch = batches.table(connection.dialect.name, COLUMNS)
        return [tuple(row) for row in connection.execute(select(*batch.c), batches.encode(rows))]

    return work


@pytest.mark.parametrize(
    "row",
    [
        ("", 0, 0),
        (None, None, None),
        ("null", -1, 2**31 - 1),
        ("12", MAX_INSTANT, -(2**31)),
        ("true", 2**63 - 1, 1),
        ("\"[{\\'%s :x $1 \n\t\x01 \u2028", -(2**63), 1),
        ("\U0001f552 ä", 2**53 + 1, 1),
    ],
)
async def test_table__values_arrive_as_they_left(store: Store, row: Row) -> None:
    assert await store.transact(through([row])) == [row]


async def test_table__no_rows(store: Store) -> None:
    assert await store.transact(through([])) == []


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
rows = st.lists(
    st.tuples(
        st.none() | texts,
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.integers(-(2**31), 2**31 - 1),
    ),
    max_size=20,
)


@examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_table__any_rows_in_their_order(store: Store, data: st.DataObject) -> None:
    given_rows = data.draw(rows)
    assert await store.transact(through(given_rows)) == given_rows
