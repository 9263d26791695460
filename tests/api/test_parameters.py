"""The reader of parameters: strict, bounded, the same for forms and JSON."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Annotated, Any, TypedDict
from urllib.parse import quote_plus, unquote_to_bytes, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.requests import Request

from cronally import errors
from cronally.api import parameters
from cronally.api.parameters import (
    _ENDS,
    _JSON_TOKENS,
    MAX_ITEMS,
    MAX_PARAMETERS,
    _decode,
    read_form_or_json,
    read_query,
)
from cronally.contract.attribute import Attribute
from cronally.contract.reading import Parameters, Reading


class TwoTexts(TypedDict, total=False):
    """A request of two texts."""

    a: Annotated[str, Attribute("One text")]
    good: Annotated[str, Attribute("Another text")]


FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


async def read(
    body: bytes, content_type: str | None = FORM, query: bytes = b"", **headers: str
) -> Parameters:
    """Read one request, whose body comes in two pieces."""
    pieces = [body[: len(body) // 2], body[len(body) // 2 :]]

    async def receive() -> dict[str, Any]:
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    if content_type is not None:
        lines.append((b"content-type", content_type.encode("latin-1")))
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": query, "headers": lines}
    return await read_form_or_json(Request(scope, receive))


async def refused(body: bytes, content_type: str | None = FORM) -> dict[str, str]:
    """What the reader says of a body that has no parameters to name."""
    with pytest.raises(errors.InvalidRequest) as caught:
        await read(body, content_type)
    return caught.value.fields


async def try_to_read(body: bytes, content_type: str | None) -> tuple[Parameters | None, dict[str, str]]:
    try:
        return await read(body, content_type), {}
    except errors.InvalidRequest as problem:
        return None, problem.fields


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
names = st.from_regex(r"[A-Za-z][0-9A-Za-z_-]{0,63}", fullmatch=True)


@given(st.dictionaries(names, texts, max_size=8))
async def test_parameters__a_form_comes_back_as_it_was(values: dict[str, str]) -> None:
    read_back = await read(urlencode(values).encode())
    assert (read_back.values, read_back.unusable) == (values, {})


@given(st.dictionaries(names, texts, max_size=8), st.booleans())
async def test_parameters__json_comes_back_as_it_was(values: dict[str, str], ascii_only: bool) -> None:
    read_back = await read(json.dumps(values, ensure_ascii=ascii_only).encode(), JSON)
    assert (read_back.values, read_back.unusable) == (values, {})


@given(st.binary(max_size=200), st.sampled_from([FORM, JSON, None]))
async def test_parameters__any_bytes_are_read_or_refused(body: bytes, content_type: str | None) -> None:
    parameters, complaints = await try_to_read(body, content_type)
    if parameters is None:
        assert list(complaints) == ["body"]
        return
    for name, value in parameters.values.items():
        assert "\0" not in name + value
        (name + value).encode()
    assert not parameters.values.keys() & parameters.unusable.keys()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(json_values)
async def test_parameters__any_json_is_read_or_refused(value: Any) -> None:
    parameters, complaints = await try_to_read(json.dumps(value).encode(), JSON)
    if parameters is None:
        assert list(complaints) == ["body"]
        return
    assert isinstance(value, dict)
    for name, read_value in parameters.values.items():
        assert value[name] == read_value


@pytest.mark.parametrize(
    "content_type", [FORM, JSON, None, "multipart/form-data; boundary=x", "text/plain", "\xe9"]
)
async def test_parameters__an_empty_body_has_none_whatever_its_type(content_type: str | None) -> None:
    assert await read(b"", content_type) == Parameters()


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        FORM,
        "application/x-www-form-urlencoded; charset=utf-8",
        'Application/X-WWW-Form-Urlencoded;charset="UTF-8"',
    ],
)
async def test_parameters__what_is_a_form(content_type: str | None) -> None:
    assert (await read(b"a=1&b=%C3%A4+%2B", content_type)).values == {"a": "1", "b": "ä +"}


@pytest.mark.parametrize(
    "content_type", [JSON, "application/json;charset=UTF-8", "APPLICATION/JSON ; charset=utf8"]
)
async def test_parameters__what_is_json(content_type: str) -> None:
    assert (await read(b'{"a": "\\u00e4"}', content_type)).values == {"a": "ä"}


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data; boundary=x",
        "text/plain",
        "text/json",
        "application/json; charset=latin-1",
        "application/json; profile=x",
        "application/jsonx",
        "application",
        "",
        ";",
        "a" * 10_000,
        "charset=;" * 1_000,
        "\xe9",
    ],
)
async def test_parameters__anything_else_is_refused(content_type: str) -> None:
    with pytest.raises(errors.UnsupportedMediaType):
        await read(b"a=1", content_type)


async def test_parameters__a_compressed_body_is_refused() -> None:
    with pytest.raises(errors.UnsupportedMediaType):
        await read(b"a=1", FORM, content_encoding="gzip")
    assert (await read(b"a=1", FORM, content_encoding="identity")).values == {"a": "1"}


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"a=1&a=1", "more than once"),
        (b"a=1&a=2&a=3", "more than once"),
        (b"a=%", "not UTF-8"),
        (b"a=%zz", "not UTF-8"),
        (b"a=%4", "not UTF-8"),
        (b"a=%FF", "not UTF-8"),
        (b"a=\xff", "not UTF-8"),
        (b"a=%C3", "not UTF-8"),
        (b"a=%ED%A0%80", "not UTF-8"),
        (b"a=%C0%80", "not UTF-8"),
        (b"a=%00", "U+0000"),
    ],
)
async def test_parameters__a_form_names_what_it_cannot_read(body: bytes, complaint: str) -> None:
    reading = Reading(TwoTexts, await read(body + b"&good=1"))
    assert reading.values == {"good": "1"}
    assert list(reading.complaints) == ["a"]
    assert complaint in reading.complaints["a"]


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("null", "null"),
        ("true", "true or false"),
        ("1", "number"),
        ("1" * 50_000, "number"),
        ("1e99999", "number"),
        ("NaN", "number"),
        ("-Infinity", "number"),
        ("[]", "object or a list"),
        ('{"b": "c"}', "object or a list"),
        ('["x"]', "object or a list"),
        ('"\\u0000"', "U+0000"),
        ('"\\ud800"', "surrogate"),
        ('"a", "a": "b"', "more than once"),
    ],
)
async def test_parameters__json_names_what_it_cannot_read(value: str, complaint: str) -> None:
    reading = Reading(TwoTexts, await read(f'{{"a": {value}, "good": "1"}}'.encode(), JSON))
    assert reading.values == {"good": "1"}
    assert list(reading.complaints) == ["a"]
    assert complaint in reading.complaints["a"]


async def test_parameters__a_list_and_a_map_are_bounded() -> None:
    for value in ([0] * (MAX_ITEMS + 1), {f"k{n}": "" for n in range(MAX_ITEMS + 1)}):
        parameters = await read(json.dumps({"a": value}).encode(), JSON)
        assert parameters.unusable == {"a": "holds more than 1,000 items; send fewer"}


@pytest.mark.parametrize(
    "body",
    [
        b"a=1",
        b"[]",
        b'"a"',
        b"null",
        b"1",
        b"{",
        b'{"a": "1"} x',
        b"{'a': '1'}",
        b'{"a": "1",}',
        b'\xef\xbb\xbf{"a": "1"}',
        b'{"a": "\xff"}',
        b'{"a": "\n"}',
        '{"a": "1"}'.encode("utf-16"),
        b'{"": "1"}',
        b'{"a b": "1"}',
        b'{"a.b": "1"}',
        b'{"%s": "1"}' % (b"a" * 65),
        b'{"\\u0000": "1"}',
        b'{"\\udfff": "1"}',
        b"[" * 500_000,
        b'{"a":' * 100_000,
        json.dumps({f"p{number}": "" for number in range(MAX_PARAMETERS + 1)}).encode(),
    ],
)
async def test_parameters__json_that_holds_no_parameters_is_refused(body: bytes) -> None:
    assert list(await refused(body, JSON)) == ["body"]


@pytest.mark.parametrize(
    "body",
    [
        b"=1",
        b'{"a": "1"}',
        b"a%20b=1",
        b"a" * 65,
        b"%00=1",
        b"%ff=1",
        b"%=1",
        b"&".join([b"a=1"] * (MAX_PARAMETERS + 1)),
    ],
)
async def test_parameters__a_form_whose_names_cannot_be_read_is_refused(body: bytes) -> None:
    assert list(await refused(body)) == ["body"]


async def test_parameters__a_form_may_have_empty_places() -> None:
    assert (await read(b"&a=1&&b&")).values == {"a": "1", "b": ""}


async def test_parameters__those_in_the_query_do_not_belong_to_a_body() -> None:
    parameters = await read(b"a=1", query=b"a=2&b=3&c=%FF")
    assert parameters.values == {}
    assert parameters.unusable.keys() == {"a", "b", "c"}


def test_parameters__a_query_is_read_as_a_form() -> None:
    scope = {"type": "http", "query_string": b"a=%C3%A4+b&c=%", "headers": []}
    parameters = read_query(Request(scope))
    assert parameters.values == {"a": "ä b"}
    assert list(parameters.unusable) == ["c"]


@given(texts)
async def test_parameters__plus_and_percent_mean_what_they_do_in_forms(text: str) -> None:
    assert (await read(f"a={quote_plus(text)}".encode())).values == {"a": text}


@given(
    st.binary(max_size=60)
    | st.text("%=+&\n\r\t aF0fé_", max_size=60).map(str.encode)
    | st.lists(st.sampled_from(["%", "=", "%41", "%ff", "%C3%A9", "\n", "\r\n", "%0a", "%3d", " ", "+"])).map(
        lambda parts: "".join(parts).encode()
    )
)
@example(b"%ff=")
@example(b"\xff%3d")
@example(b"a%\n41")
def test_decode__agrees_with_the_standard_library(text: bytes) -> None:
    decoded = _decode(text)
    expected = None
    if not re.search(rb"%(?![0-9A-Fa-f]{2})", text):
        with suppress(UnicodeDecodeError):
            expected = unquote_to_bytes(text.replace(b"+", b" ")).decode()
    assert decoded == expected if isinstance(decoded, str) else expected is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=20,
    ),
    st.booleans(),
)
def test_json_tokens__are_those_of_the_document(value: Any, ascii_only: bool) -> None:
    document = json.dumps(value, ensure_ascii=ascii_only)
    ends = 1 if isinstance(value, str) else _ENDS  # behind a text there is only the end
    assert len(_JSON_TOKENS.findall(document.encode())) == _tokens(value) + ends


def _tokens(value: Any) -> int:
    """Counted in the value itself: brackets that open, commas, colons and texts."""
    match value:
        case str():
            return 1
        case list():
            return 1 + max(len(value) - 1, 0) + sum(map(_tokens, value))
        case dict():
            return 1 + max(len(value) - 1, 0) + 2 * len(value) + sum(map(_tokens, value.values()))
    return 0


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"[]," * 300_000 + b"[]]",
        b"{" + b",".join(b'"a%d":1' % number for number in range(90_000)) + b"}",
        b'{"a":[' + b"1," * 500_000 + b"1]}",
        b"[" * 1_000_000,
    ],
    ids=["lists", "members", "numbers", "deep"],
)
async def test_parameters__json_of_very_many_values_is_not_parsed(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parameters, "_decode_json", None)
    assert await refused(body, JSON) == {
        "body": "holds too many values; a list or a map has at most 1,000 items"
    }


@given(st.binary(max_size=60) | st.text(' "\\{}[]:,x', max_size=60).map(str.encode))
def test_json__what_it_holds_is_counted_in_one_pass(content: bytes) -> None:
    """Where a search for the next text or bracket can fail, it is tried again from each byte behind: 60 KB of spaces
    took seconds, and 1 MiB minutes, of the event loop."""
    for start in range(len(content) + 1):
        assert _JSON_TOKENS.match(content, start) is not None


@pytest.mark.parametrize("rest", [b" " * 1_000_000, b'"' + b"\\" * 999_999, b'"' * 999_999, b"1" * 1_000_000])
def test_json__that_holds_nothing_for_long_is_read_or_refused(rest: bytes) -> None:
    with suppress(errors.InvalidRequest):
        parameters._read_json(b'{"name": "x"}' + rest)
