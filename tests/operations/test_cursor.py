"""Cursors survive the way out and back, and nothing else gets in."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cronally.instants import MAX_INSTANT
from cronally.operations import cursor

visible = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)


@given(listed=visible, instant=st.integers(0, MAX_INSTANT), texts=st.lists(visible, max_size=3))
def test_cursor__comes_back_as_it_was(listed: str, instant: int, texts: list[str]) -> None:
    text = cursor.encode(listed, (instant, *texts))
    assert re.fullmatch(r"[0-9A-Za-z_-]+", text)
    assert cursor.decode(listed, len(texts), text) == (instant, texts)


names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=256)


@given(names)
@example("\U0001f375" * 256)
@example('"\\' * 128)
def test_cursor__of_a_list_by_name(name: str) -> None:
    text = cursor.encode("cronjobs/0123456789abcdef", (name, "id"))
    assert cursor.decode("cronjobs/0123456789abcdef", 1, text, cursor.is_text) == (name, ["id"])
    with pytest.raises(ValueError, match="is no cursor of this list"):
        cursor.decode("cronjobs/0123456789abcdef", 1, text)


def test_cursor__of_a_list_by_what_some_have_not() -> None:
    text = cursor.encode("cronjobs/a", (None, "id"))
    assert cursor.decode("cronjobs/a", 1, text, cursor.is_instant_or_none) == (None, ["id"])
    for first in (cursor.is_instant, cursor.is_text):
        with pytest.raises(ValueError, match="is no cursor of this list"):
            cursor.decode("cronjobs/a", 1, text, first)


@pytest.mark.parametrize("listed", ["cronjobs", "cronjobs/b"])
def test_cursor__of_the_same_list_otherwise_says_so(listed: str) -> None:
    text = cursor.encode(listed, (1, "id"))
    with pytest.raises(ValueError, match="belongs to the same list with other filters"):
        cursor.decode("cronjobs/a", 1, text)
    with pytest.raises(ValueError, match="is no cursor of this list"):
        cursor.decode("firings/a", 1, text)


@given(st.text(max_size=600) | st.from_regex(r"[0-9A-Za-z_-]{0,60}", fullmatch=True))
def test_cursor__any_text_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="is no cursor of this list"):
        cursor.decode("firings", 2, text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(json_values | st.tuples(st.just(1), st.just("firings"), json_values, json_values, json_values))
def test_cursor__any_json_is_refused_unless_it_is_a_position(value: Any) -> None:
    text = base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
    try:
        instant, texts = cursor.decode("firings", 2, text)
    except ValueError:
        return
    assert value == (1, "firings", instant, *texts)
    assert type(instant) is int
    assert all(type(part) is str and "\0" not in part for part in texts)


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 300,
        b'[1,"firings",1e999,"a","b"]',
        b'[1,"firings",true,"a","b"]',
        b'[1,"firings",-1,"a","b"]',
        b'[1,"firings",99999999999999999999,"a","b"]',
        b'[1,"firings",1,"a\\u0000","b"]',
        b'[1,"firings",1,"a"]',
        b'[1,"firings",1,"a","b","c"]',
        b'[1,"firings",1,"a","\\ud800"]',
        b'[1,"firings","\\udfff","a","b"]',
        b'[1,"firings",null,"a","b"]',
        b'[2,"firings",1,"a","b"]',
        b'[1,"cronjobs",1,"a","b"]',
    ],
)
def test_cursor__hostile_content_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="is no cursor of this list"):
        cursor.decode("firings", 2, base64.urlsafe_b64encode(content).decode())
