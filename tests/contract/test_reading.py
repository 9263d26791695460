"""The one rule about types, for an imaginary request with a parameter of every type: JSON and text are read alike, all
complaints come at once, and no complaint repeats a value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally import errors
from cronally.contract.attribute import declared
from cronally.contract.reading import MAX_COMPLAINTS, Parameters, Reading, Repeated, refusal, unknown_name
from cronally.contract.schedules import ExpressionPreview
from cronally.instants import DAY, HOUR, MINUTE, SECOND, format_duration, format_iso
from tests.contract.imaginary import Demanding, Imaginary

CANARY = "canary-5b1d"
WORDS = st.text("abcdefghij-", min_size=1, max_size=8)


def read(sent: Mapping[str, Any], kind: Any = Imaginary) -> Reading[Any]:
    return Reading(kind, Parameters(dict(sent)))


def value(name: str, sent: Any) -> Any:
    reading = read({name: sent})
    assert not reading.complaints
    return reading.values[name]


def complaint(name: str, sent: Any) -> str:
    reading = read({name: sent})
    assert [*reading.complaints] == [name]
    assert name not in reading.values
    return reading.complaints[name]


# A value and its text are one


@given(st.integers(5, 1000))
def test_whole_number__and_its_text(number: int) -> None:
    assert value("whole_number", number) == value("whole_number", str(number)) == number


@given(st.booleans())
def test_boolean__and_its_text(truth: bool) -> None:
    assert value("true_or_false", truth) is value("true_or_false", json.dumps(truth)) is truth


@given(st.integers(0, 4_000_000_000))
def test_instant__and_its_text(second: int) -> None:
    assert value("instant", format_iso(second * SECOND)) == second * SECOND


@given(st.integers(1, 24 * 60))
def test_duration__and_its_text(minutes: int) -> None:
    assert value("duration", format_duration(minutes * MINUTE)) == minutes * MINUTE
    assert value("duration", f"{minutes}m") == minutes * MINUTE


@given(st.lists(WORDS, min_size=1, max_size=3))
def test_list__repeated_and_with_commas(words: list[str]) -> None:
    assert value("list", words) == words
    assert value("list", Repeated(words)) == words
    assert value("list", ",".join(words)) == words
    assert value("list", Repeated([", ".join(words)])) == words


@given(st.lists(st.integers(1, 9), min_size=1))
def test_list__of_numbers(numbers: list[int]) -> None:
    texts = [str(number) for number in numbers]
    assert (
        value("numbers", numbers) == value("numbers", texts) == value("numbers", ",".join(texts)) == numbers
    )


@given(st.dictionaries(WORDS, st.text("ab: c,=", max_size=8).map(str.strip), min_size=1, max_size=3))
def test_map__and_its_texts(entries: dict[str, str]) -> None:
    texts = [f"{name}: {text}" for name, text in entries.items()]
    assert value("map", entries) == entries
    assert value("map", Repeated(texts)) == entries
    if len(texts) == 1:
        assert value("map", texts[0]) == entries


@pytest.mark.parametrize(("name", "sent"), [("choice", "two"), ("colour", "blue"), ("text", "10")])
def test_text__is_as_it_was_sent(name: str, sent: str) -> None:
    assert value(name, sent) == sent


# What is refused


@pytest.mark.parametrize(
    ("name", "sent", "expected"),
    [
        ("text", 10, "is a number; send a text in quotes"),
        ("text", True, "is true or false; send a text in quotes"),
        ("text", ["a"], "is an object or a list; send a text in quotes"),
        ("text", "x" * 11, "has 11 characters; give 10 at most"),
        ("text", "", "is missing or empty; give a text"),
        ("text", None, "is null; leave it out, or send a text"),
        ("text", Repeated(["a", "b"]), "is there more than once; send it once"),
        ("whole_number", Repeated(["6", "7"]), "is there more than once; send it once"),
        ("whole_number", None, "is null; leave it out, or send a value"),
        ("true_or_false", "yes", "is neither true nor false; give one of them"),
        ("true_or_false", "True", "is neither true nor false; give one of them"),
        ("true_or_false", 1, "is neither true nor false; give one of them"),
        ("true_or_false", 0.0, "is neither true nor false; give one of them"),
        ("duration", "30s", "is out of range; give a duration between 1m and 24h"),
        ("duration", "2d", "is out of range; give a duration between 1m and 24h"),
        ("duration", 60, "is a number; send a text in quotes"),
        ("choice", "three", "is none of one, two; give one of them"),
        ("choice", "ONE", "is none of one, two; give one of them"),
        ("colour", "green", "is none of red, blue; give one of them"),
        ("list", {"a": "b"}, "is an object or a list; send a list, or texts with commas between them"),
        ("list", 5, "is a number; send a list, or texts with commas between them"),
        ("list", ["a", 5], "is a number; send a text in quotes"),
        ("list", ["a", ""], "is missing or empty; give a list"),
        ("list", ["a", None], "is null; leave it out, or send a text"),
        ("list", ["a", ["b"]], "is an object or a list; send a text in quotes"),
        ("list", ["a", "b", "c", "d"], "has 4 items; give 3 at most"),
        ("list", "a,b,c,d", "has 4 items; give 3 at most"),
        ("list", [], "has 0 items; give 1 at least"),
        ("list", ",", "has 0 items; give 1 at least"),
        ("list", Repeated(["", ""]), "is missing or empty; give a list"),
        ("numbers", [1, 10], "is no whole number between 1 and 9; give one"),
        ("numbers", "1,x", "is no whole number between 1 and 9; give one"),
        ("map", "no colon", "is no map; send each entry as `name: value`"),
        ("map", ": no name", "is no map; send each entry as `name: value`"),
        ("map", ["a: b"], "is no map; send an object of texts, or each entry as `name: value`"),
        ("map", {"a": 1}, "holds a value that is no text; send texts in quotes"),
        ("map", Repeated(["a: 1", "a: 2"]), "holds a name more than once; send each once"),
        ("map", {}, "has 0 items; give 1 at least"),
        ("map", {"a": "", "b": "", "c": "", "d": ""}, "has 4 items; give 3 at most"),
        ("secret", "ä" * 11, "has 22 bytes in UTF-8; give 20 at most"),
        ("even", 3, "is odd; give an even number"),
    ],
)
def test_complaint__says_what_is_wrong_and_what_to_send(name: str, sent: Any, expected: str) -> None:
    assert complaint(name, sent) == expected


@pytest.mark.parametrize(
    "sent",
    [
        *(
            4,
            1001,
            -6,
            10.0,
            1e2,
            float("nan"),
            True,
            [],
            {},
            "4",
            "1001",
            "-6",
            "+6",
            " 6",
            "6 ",
            "1_0",
            "10.0",
        ),
        *("1e2", "٦", "²", "0x10", "ten", "9" * 5000, 10**5000),
    ],
    ids=lambda sent: repr(sent)[:20] if not isinstance(sent, int) or sent < 10**6 else "huge",
)
def test_whole_number__is_no_other_thing(sent: Any) -> None:
    assert complaint("whole_number", sent) == "is no whole number between 5 and 1,000; give one"


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01T00:00:00Z", "2026-11-24"])
def test_instant__is_no_other_thing(text: str) -> None:
    assert complaint("instant", text).startswith("is no instant: ")


def test_instant__that_lost_its_plus() -> None:
    assert complaint("instant", "2026-11-24T08:00:00 01:00").endswith(
        "in a query the + of an offset is written %2B"
    )


# All at once


def test_complaints__come_all_at_once() -> None:
    wrong = {
        "text": 1,
        "whole_number": "x",
        "true_or_false": "maybe",
        "list": 5,
        "unknwon": "x",
        "texte": "a",
    }
    reading = read({**wrong, "choice": "two"}, Demanding)
    assert set(reading.complaints) == {*wrong, "first", "second"}
    assert reading.values == {"choice": "two"}
    assert reading.complaints["texte"] == "is no parameter here; did you mean text?"
    assert reading.complaints["first"] == "is missing or empty; give the first of two"
    with pytest.raises(errors.InvalidRequest) as raised:
        reading.raise_complaints()
    assert raised.value.fields == reading.complaints
    assert all(f"{name}: {text}" in raised.value.message for name, text in reading.complaints.items())


def test_complaints__are_bounded_in_an_answer() -> None:
    reading = read({f"unknown_{number}": "x" for number in range(50)})
    assert len(reading.complaints) == 50
    with pytest.raises(errors.InvalidRequest) as raised:
        reading.raise_complaints()
    assert len(raised.value.fields) == MAX_COMPLAINTS


def test_complaints__none() -> None:
    read({}).raise_complaints()


def test_unusable__keeps_its_complaint() -> None:
    parameters = Parameters({"text": "a"}, {"whole_number": "is not UTF-8; encode it so"})
    reading = Reading(Imaginary, parameters)
    assert reading.complaints == {"whole_number": "is not UTF-8; encode it so"}
    assert not reading.is_empty
    assert read({}).is_empty


def test_expression__alone_has_an_error_of_its_own() -> None:
    reading = read({"text": "a"})
    reading.complain("text", errors.InvalidExpression("field 1 is wrong"))
    with pytest.raises(errors.InvalidExpression):
        reading.raise_complaints()
    reading.complain("list", ValueError("is wrong"))
    with pytest.raises(errors.InvalidRequest) as raised:
        reading.raise_complaints()
    assert type(raised.value) is errors.InvalidRequest


def test_sent__names_what_can_be_used() -> None:
    reading = read({"text": "a", "whole_number": "x", "choice": "one"})
    assert reading.sent({"text", "whole_number"}) == {"text": "a"}
    assert refusal("text", "is wrong").fields == {"text": "is wrong"}


# No complaint repeats a value

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just(CANARY) | st.just(CANARY * 9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(st.just(CANARY), min_size=2, max_size=5).map(Repeated)
        | st.dictionaries(st.just(CANARY), inner, max_size=2)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*declared(Demanding), "unknown"]), ANYTHING))
def test_complaints__never_repeat_a_value(sent: dict[str, Any]) -> None:
    reading = read(sent, Demanding)
    assert CANARY not in " ".join(reading.complaints.values())
    # And every parameter is either read or complained about.
    assert set(sent) == set(reading.values) | (set(reading.complaints) & set(sent))
    assert not set(reading.values) & set(reading.complaints)


@given(st.dictionaries(st.sampled_from([*declared(Demanding)]), ANYTHING))
def test_reading__never_fails_in_another_way(sent: dict[str, Any]) -> None:
    reading = read(sent, Demanding)
    if reading.complaints:
        with pytest.raises(errors.InvalidRequest):
            reading.raise_complaints()
    else:
        reading.raise_complaints()


def test_name__that_cannot_be_printed_is_shortened_and_cleaned() -> None:
    reading = read({"a\x1b" + "b" * 100: "x"})
    with pytest.raises(errors.InvalidRequest) as raised:
        reading.raise_complaints()
    (name,) = raised.value.fields
    assert name == "a\ufffd" + "b" * 62 + "..."


def test_bounds__of_the_imaginary_request_are_those_of_these_tests() -> None:
    bounds = declared(Imaginary)["duration"].attribute
    assert (bounds.minimum, bounds.maximum) == (MINUTE, 24 * HOUR)
    assert bounds.maximum == DAY


def test_names__an_attribute_may_have_another_one() -> None:
    reading = Reading(ExpressionPreview, {"expression": "@daily"})
    assert (reading.values, reading.complaints) == ({"cron": ["@daily"]}, {})
    both = Reading(ExpressionPreview, {"expression": "@daily", "cron": "@hourly"})
    assert both.values == {"cron": ["@hourly"]}
    assert both.complaints == {"expression": "is no parameter here; did you mean cron?"}
    unusable = Reading(ExpressionPreview, Parameters(unusable={"expression": "is no text"}))
    assert unusable.complaints == {"cron": "is no text"}


def test_unknown_name__means_the_parameters_of_a_target_that_end_with_it() -> None:
    assert unknown_name("url", {"cron", "http_url"}) == "is no parameter here; did you mean http_url?"
    said = "is no parameter here; did you mean aws_input or steps_input?"
    assert unknown_name("input", {"cron", "steps_input", "aws_input"}) == said
    assert unknown_name("rl", {"cron", "http_url"}) == "is no parameter here; there are cron, http_url"
