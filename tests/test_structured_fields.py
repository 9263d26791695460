"""Structured fields: what is read and written, held to the parser of another library (`http_sf`)."""

from __future__ import annotations

from typing import Any

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.structured_fields import InnerList, Item, Malformed, read_dictionary, write, write_dictionary
from tests.support.examples import examples

KEYS = st.from_regex(r"[a-z*][a-z0-9_.*-]{0,8}", fullmatch=True)
TEXTS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)
VALUES = st.one_of(st.integers(-(10**15) + 1, 10**15 - 1), TEXTS, st.binary(max_size=40))
PARAMETERS = st.dictionaries(KEYS, VALUES, max_size=3)
LISTS = st.tuples(st.lists(st.tuples(VALUES, PARAMETERS), max_size=4), PARAMETERS)
MEMBERS = st.one_of(st.tuples(VALUES, PARAMETERS), LISTS)


def item(value: Any, parameters: dict[str, Any]) -> Item:
    bare = write(value)
    return Item(bare.value, bare.written, {name: write(one) for name, one in parameters.items()})


def member(value: Any, parameters: dict[str, Any]) -> Item | InnerList:
    if not isinstance(value, list):
        return item(value, parameters)
    return InnerList([item(*one) for one in value], {name: write(one) for name, one in parameters.items()})


def parsed(text: str) -> dict[str, Any]:
    """What the other library reads."""
    found = http_sf.parse(text.encode("latin-1", "replace"), tltype="dictionary")
    assert isinstance(found, dict)
    return found


@examples(100)
@given(st.dictionaries(KEYS, MEMBERS, min_size=1, max_size=4))
def test_written__is_what_another_parser_reads(members: dict[str, Any]) -> None:
    text = write_dictionary({key: member(*one) for key, one in members.items()})
    found = parsed(text)
    assert list(found) == list(members)
    for key, (value, parameters) in members.items():
        assert found[key] == (value, parameters), text
    again = read_dictionary(text)
    assert write_dictionary(again) == text
    assert http_sf.ser(found) == text


SOME = st.text(st.sampled_from('ab*-_.01 \t;,=()"\\?:/+~'), max_size=24)
EACH = (
    *("a", "a=1", "a=-0", "a=007", "a=1.50", "a=-0.0", "a=1.", "a=1.2345", "a=1234567890123456", "a=1_0"),
    *(
        'a="x\\"y\\\\"',
        'a="\\x"',
        "a=?1",
        "a=?2",
        "a=tok/en:*",
        "a=:aGk=:",
        "a=:aGk:",
        "a=:a:",
        "a=:aGk=x:",
    ),
    *("a=(1 2)", "a=(1  2 )", "a=(1 2", "a=(1,2)", 'a=("x""y")', "a=();b", "a;b;c=1", "a; b=2", "a ;b"),
    *("a=1, b=2", "a=1,b", "a=1 ,\tb=2", "a=1,", ",", "a=1 b=2", "A=1", "a=1, b=2, a=(3)", "a;x=1;y;x=2", ""),
)
FORMS = st.sampled_from(EACH)


def check(text: str) -> None:
    """That both libraries read the same of a text, or refuse it."""
    try:
        expected: Any = http_sf.ser(parsed(text)) if text.strip(" ") else ""
    except ValueError:
        expected = None
    try:
        found = write_dictionary(read_dictionary(text))
    except Malformed:
        found = None
    assert found == expected, text


@pytest.mark.parametrize("text", EACH)
def test_read__of_each_form_is_what_another_parser_reads(text: str) -> None:
    check(text)


@examples(200)
@given(st.one_of(SOME, st.tuples(FORMS, SOME, FORMS).map("".join)))
def test_read__takes_and_refuses_what_another_parser_does(text: str) -> None:
    check(text)


@pytest.mark.parametrize("text", ["é", "a\n", "\x7f"])
def test_write__refuses_what_no_text_of_a_field_may_hold(text: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        write(text)


def test_read__of_a_long_text_is_as_long_as_the_text() -> None:
    """No form is read twice: of each of these a reader that went back would take minutes."""
    for text in (
        "a=" + "(" * 30_000,
        'a="' + '\\"' * 15_000,
        "a;" * 15_000,
        "a=" + "1" * 30_000,
        "a=:" + "A" * 30_000,
    ):
        with pytest.raises(Malformed):
            read_dictionary(text)
