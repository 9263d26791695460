"""Answers to JSON and back: nothing is lost, what a newer server says is kept, and what is no answer is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.contract.writing import from_json, to_json
from cronally.errors import UnexpectedAnswer
from tests.contract.imaginary import Colour, Part, Whole

INSTANTS = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))
PARTS = st.builds(Part, part_id=st.uuids().map(str), at=INSTANTS)
WHOLES = st.builds(
    Whole,
    name=st.text(),
    size=st.integers(0),
    flag=st.booleans(),
    colour=st.sampled_from(Colour) | st.text(min_size=1),
    at=st.none() | INSTANTS,
    left_out=st.none() | INSTANTS,
    note=st.none() | st.text(),
    words=st.lists(st.text(min_size=1)).map(tuple),
    notes=st.none() | st.dictionaries(st.text(), st.text()),
    part=st.none() | PARTS,
    parts=st.lists(PARTS).map(tuple),
)
AT = datetime(2026, 11, 24, 8, tzinfo=UTC)
SMALL = Whole(name="n", size=1, flag=False, colour=Colour.RED)


def over_the_wire(value: Any) -> Any:
    return json.loads(json.dumps(value))


@given(WHOLES)
def test_answer__to_json_and_back(whole: Whole) -> None:
    assert from_json(Whole, over_the_wire(to_json(whole))) == whole


def test_to_json__keys_without_a_value() -> None:
    written = to_json(SMALL)
    assert written["at"] is None
    assert "left_out" not in written
    assert written["words"] == ()
    assert to_json(replace(SMALL, left_out=AT))["left_out"] == "2026-11-24T08:00:00Z"


def test_to_json__instants_are_utc_with_microseconds_only_where_there_are_any() -> None:
    assert to_json(replace(SMALL, at=AT))["at"] == "2026-11-24T08:00:00Z"
    later = AT + timedelta(microseconds=2952)
    assert to_json(replace(SMALL, at=later))["at"] == "2026-11-24T08:00:00.002952Z"


def test_to_json__of_objects_in_it() -> None:
    part = Part(part_id="p", at=AT)
    written = over_the_wire(to_json(replace(SMALL, part=part, parts=(part, part))))
    assert written["part"] == {"part_id": "p", "at": "2026-11-24T08:00:00Z"}
    assert written["parts"] == [written["part"]] * 2


def test_from_json__what_it_does_not_know_is_kept() -> None:
    sent = {**to_json(replace(SMALL, part=Part(part_id="p", at=AT))), "priority": 5, "labels": ["a"]}
    sent["part"]["weight"] = 7
    read = from_json(Whole, over_the_wire(sent))
    assert read.extra == {"priority": 5, "labels": ["a"]}
    assert read.part is not None
    assert read.part.extra == {"weight": 7}
    # It is beside the answer, not a part of it.
    assert read == from_json(Whole, over_the_wire({**sent, "priority": 6}))


def test_from_json__a_word_that_is_new_stays_a_text() -> None:
    assert from_json(Whole, {**over_the_wire(to_json(SMALL)), "colour": "green"}).colour == "green"


def test_from_json__what_is_optional_may_be_absent() -> None:
    assert from_json(Whole, {"name": "n", "size": 1, "flag": False, "colour": "red"}) == SMALL


@pytest.mark.parametrize("name", ["name", "size", "flag", "colour"])
@pytest.mark.parametrize("null", [True, False])
def test_from_json__what_must_be_there(name: str, null: bool) -> None:
    sent = over_the_wire(to_json(SMALL))
    if null:
        sent[name] = None
    else:
        del sent[name]
    with pytest.raises(UnexpectedAnswer, match=f"holds no `{name}`"):
        from_json(Whole, sent)


@pytest.mark.parametrize("sent", [None, [], "text", 5])
def test_from_json__what_is_no_object(sent: Any) -> None:
    with pytest.raises(UnexpectedAnswer, match="holds no whole; check the URL"):
        from_json(Whole, sent)


@pytest.mark.parametrize(
    ("name", "sent", "expected"),
    [
        ("at", "yesterday", "`at` in the server's answer is no instant"),
        ("at", 5, "`at` in the server's answer is no instant"),
        ("words", "a", "`words` in the server's answer is no list"),
        ("parts", {}, "`parts` in the server's answer is no list"),
        ("part", "p", "the server's answer holds no part; check the URL"),
        ("parts", [{"part_id": "p"}], "the server's answer holds no `at`; check the URL"),
    ],
)
def test_from_json__what_cannot_be_read(name: str, sent: Any, expected: str) -> None:
    with pytest.raises(UnexpectedAnswer) as raised:
        from_json(Whole, {**over_the_wire(to_json(SMALL)), name: sent})
    assert expected in raised.value.message
