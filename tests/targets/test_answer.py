"""Answers are read under bounds, however they arrive."""

from __future__ import annotations

from email.message import Message
from http.client import HTTPResponse
from io import BytesIO
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cronally.targets.answer import (
    MAX_ANSWER_BYTES,
    MAX_BYTES,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_INFORMATIONAL,
    NOT_HTTP,
    Answer,
    AnswerError,
    AnswerReader,
)

OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = OK + b"Content-Length: 0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def _read(*parts: bytes, whole: bool = True, cut: bool = False) -> tuple[Answer | str | None, bool]:
    """What comes of these bytes: an answer, what is wrong with it, or None for neither yet; and `reusable`."""
    reader = AnswerReader(whole=whole)
    try:
        for part in parts:
            reader.feed(part)
            if reader.ready:
                break
        if cut:
            reader.finish()
    except AnswerError as error:
        return str(error), reader.reusable
    return (reader.answer if reader.ready else None), reader.reusable


@pytest.mark.parametrize(
    ("data", "expected", "reusable"),
    [
        (EMPTY, Answer(200, {"content-length": "0"}, b""), True),
        (OK + b"Content-Length: 2\r\n\r\nhi", Answer(200, {"content-length": "2"}, b"hi"), True),
        (
            OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1;x=y\r\n!\r\n0\r\nRetry-After: 9\r\n\r\n",
            Answer(200, {"transfer-encoding": "chunked"}, b"hi!"),
            True,
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Answer(204, {}, b""), True),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", Answer(304, {}, b""), True),
        (OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n", None, False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", None, False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", None, True),
        (CONTINUE * MAX_INFORMATIONAL + EMPTY, Answer(200, {"content-length": "0"}, b""), True),
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + EMPTY,
            Answer(200, {"content-length": "0"}, b""),
            True,
        ),
        (
            OK + b"X: 1\r\nx: 2\r\nContent-Length: 0\r\n\r\n",
            Answer(200, {"x": "1", "content-length": "0"}, b""),
            True,
        ),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_reader__answers(data: bytes, expected: Answer | None, reusable: bool) -> None:
    answer, again = _read(data)
    assert isinstance(answer, Answer)
    assert expected is None or answer == expected
    assert again == reusable


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", NOT_HTTP),
        (b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", NOT_HTTP),
        (b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n", NOT_HTTP),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", NOT_HTTP),
        (b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n", NOT_HTTP),
        (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", NOT_HTTP),
        (OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", NOT_HTTP),
        (OK + b"Content-Length: -1\r\n\r\n", NOT_HTTP),
        (OK + b"Content-Length: 99999999999999999999999\r\n\r\n", NOT_HTTP),
        (OK + b"A\x00: 1\r\n\r\n", NOT_HTTP),
        (OK + b"A : 1\r\n\r\n", NOT_HTTP),
        (OK + b"X-Many: 1\r\n" * (MAX_HEADERS + 2), f"the answer has more than {MAX_HEADERS} headers"),
        (
            OK + b"X-Long: " + b"x" * MAX_HEAD_BYTES,
            f"the head of the answer is longer than {MAX_HEAD_BYTES} bytes",
        ),
        (
            b"HTTP/1.1 200 " + b"x" * MAX_HEAD_BYTES,
            f"the head of the answer is longer than {MAX_HEAD_BYTES} bytes",
        ),
        (
            CONTINUE * (MAX_INFORMATIONAL + 1),
            f"more than {MAX_INFORMATIONAL} informational answers came before the answer",
        ),
        (
            (b"HTTP/1.1 102 Processing\r\n" + b"X: 1\r\n" * 30 + b"\r\n") * 4,
            f"the answer has more than {MAX_HEADERS} headers",
        ),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_reader__refuses(data: bytes, expected: str, whole: bool) -> None:
    assert _read(data, whole=whole) == (expected, False)


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"Content-Length: 65537\r\n\r\n", b"x" * (MAX_ANSWER_BYTES + 1)),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"10001\r\n" + b"x" * (MAX_ANSWER_BYTES + 1)),
        (b"\r\n", b"x" * (MAX_ANSWER_BYTES + 1)),
    ],
    ids=["length", "chunked", "neither"],
)
def test_reader__body_that_is_too_long_is_left_out(framing: bytes, body: bytes) -> None:
    answer, reusable = _read(OK + framing + body)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body, reusable) == (200, None, False)


def test_reader__body_of_the_longest_length() -> None:
    answer, reusable = _read(OK + b"Content-Length: 65536\r\n\r\n" + b"x" * MAX_ANSWER_BYTES)
    assert isinstance(answer, Answer)
    assert (answer.body, reusable) == (b"x" * MAX_ANSWER_BYTES, True)


def test_reader__chunks_that_are_mostly_framing() -> None:
    chunks = b"1;" + b"e" * 200 + b"\r\nx\r\n"
    answer, _ = _read(OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunks * (MAX_BYTES // len(chunks) + 1))
    assert answer == f"the answer is longer than {MAX_BYTES} bytes"


@pytest.mark.parametrize(
    "more", [EMPTY, EMPTY * 1000, b"x", b"\x00" * MAX_BYTES, b"HTTP/1.1"], ids=lambda value: repr(value)[:20]
)
@pytest.mark.parametrize("whole", [True, False])
def test_reader__nothing_after_the_answer_is_read(more: bytes, whole: bool) -> None:
    answer, reusable = _read(EMPTY + more, whole=whole)
    assert answer == Answer(200, {"content-length": "0"}, b"")
    assert not reusable


def test_reader__head_is_enough() -> None:
    head = OK + b"Content-Length: 3\r\nRetry-After: 7\r\n\r\n"
    assert _read(head, whole=True) == (None, False)
    expected = Answer(200, {"content-length": "3", "retry-after": "7"}, None)
    assert _read(head, whole=False) == (expected, False)
    assert _read(head + b"abc", whole=False) == (expected._replace(body=b"abc"), True)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "the connection was cut"),
        (CONTINUE, "the connection was cut"),
        (OK + b"Content-Le", "the connection was cut"),
        (OK + b"Content-Length: 5\r\n\r\nabc", "the connection was cut"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "the connection was cut"),
        (OK + b"Transfer-Encoding: gzip\r\n\r\nabc", "the connection was cut"),
        (OK + b"\r\nabc", Answer(200, {}, b"abc")),
        (OK + b"\r\n", Answer(200, {}, b"")),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_reader__end_of_the_connection(data: bytes, expected: Answer | str) -> None:
    assert _read(data, cut=True) == (expected, False)


_NAMES = st.sampled_from([b"Retry-After", b"X-A", b"x-a", b"Connection", b"Server"])
_VALUES = st.sampled_from([b"", b"1", b"a b", b"close", b"keep-alive", b"caf\xc3\xa9"])
_BODIES = st.binary(max_size=40)


def _chunked(chunks: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks if chunk) + b"0\r\n\r\n"


@st.composite
def _answers(draw: st.DrawFn) -> bytes:
    head = b"HTTP/1.1 %d Status\r\n" % draw(st.sampled_from([200, 204, 404, 503]))
    head += b"".join(b"%b: %b\r\n" % pair for pair in draw(st.lists(st.tuples(_NAMES, _VALUES), max_size=4)))
    if b" 204 " in head:
        return head + b"\r\n"
    if draw(st.booleans()):
        body = draw(_BODIES)
        return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + _chunked(draw(st.lists(_BODIES, max_size=4)))


@given(_answers(), st.integers(0, 2), st.lists(st.integers(1, 30)))
def test_reader__agrees_with_the_standard_library_however_it_is_cut(
    data: bytes, informational: int, cuts: list[int]
) -> None:
    sent = CONTINUE * informational + data
    answer, _ = _read(*_cut(sent, cuts))
    assert isinstance(answer, Answer)
    oracle = _standard_library(sent)
    assert answer.status == oracle.status
    assert answer.body == oracle.read()
    headers = cast("Message[str, str]", oracle.headers)
    assert dict(answer.headers) == {name.lower(): headers[name].strip() for name in reversed(headers.keys())}


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    data = draw(_answers())
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(data)))
        data = data[:place] + draw(st.binary(max_size=3)) + data[place + 1 :]
    return data


@given(st.binary(max_size=300) | _damaged(), st.lists(st.integers(1, 30)))
@example(b"\r\n" + EMPTY, [1])
def test_reader__what_is_read_does_not_depend_on_how_it_is_cut(data: bytes, cuts: list[int]) -> None:
    at_once, _ = _read(data)
    piece_by_piece, _ = _read(*_cut(data, cuts))
    assert at_once == piece_by_piece


def _cut(data: bytes, sizes: list[int]) -> list[bytes]:
    parts = []
    for size in sizes:
        parts.append(data[:size])
        data = data[size:]
    return [part for part in [*parts, data] if part]


class _Socket:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_: Any, **__: Any) -> BytesIO:
        return BytesIO(self._data)


def _standard_library(data: bytes) -> HTTPResponse:
    response = HTTPResponse(cast("Any", _Socket(data)))
    response.begin()
    return response
