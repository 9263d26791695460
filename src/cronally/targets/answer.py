"""An HTTP answer, read under bounds that are enforced as bytes arrive.

Invariant: whatever the other side sends, an answer takes no more memory and no more steps than the bounds below allow.
Nothing is read after the answer: a connection that brings more is not used again.

The parser is llhttp, in compiled code. It refuses what can be read in two ways (two lengths, a length besides chunks,
bare line feeds), and it knows no bounds: a header's value would grow for as long as bytes come.
https://datatracker.ietf.org/doc/html/rfc9112
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Final, NamedTuple

import httptools

from cronally.targets.target import Timings

MAX_HEAD_BYTES: Final = 32_768
"""Of status line and headers, those of all informational answers included."""
MAX_HEADERS: Final = 100
MAX_INFORMATIONAL: Final = 8
"""Answers like `100 Continue` or `103 Early Hints` before the answer."""
MAX_ANSWER_BYTES: Final = 65_536
"""Of the body. SNS's answers have less than 4 KiB."""
MAX_BYTES: Final = MAX_HEAD_BYTES + 2 * MAX_ANSWER_BYTES
"""Of all that is parsed of one answer: a body in tiny chunks is mostly their sizes."""

Wanted = Callable[[int], int]
"""How many bytes of the body are waited for, by the status of the answer. What is beyond is cut off."""

NOT_HTTP: Final = "what came back is not HTTP"


class AnswerError(Exception):
    """The answer cannot be used. The text says why, for the account to read; it repeats nothing of the answer."""


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    """By names in small letters; the first one of several with the same name. No trailers."""
    body: bytes | None
    """None if it is longer than `MAX_ANSWER_BYTES`, or was not waited for."""
    cut: bool = False
    """Whether there may have been more of the body: where so many bytes of it were wanted, what came is there."""
    timings: Timings | None = None
    """Where a part of the body was wanted."""
    ip: str = ""
    """The address that it came from, likewise."""


class AnswerReader:
    """Reads the answer to one request. The methods `_on_...` are called by the parser."""

    def __init__(self, *, whole: bool, wanted: Wanted | None = None, bodiless: bool = False) -> None:
        """
        :param whole: whether to wait for the body. Without it there is an answer as soon as its head is complete.
        :param wanted: in place of `whole`: how much of the body to wait for. Once the head is complete there is an
            answer whatever comes of the body: what has come is kept. Must not raise.
        :param bodiless: whether there is no body, whatever the head says: the answer to HEAD
        """
        self._whole = whole
        self._wanted = wanted
        self._bodiless = bodiless
        self._most = MAX_ANSWER_BYTES
        self._over = False
        """Whether no more is to be read, though the answer is not complete."""
        weak = weakref.proxy(self)
        self._parser = httptools.HttpResponseParser(
            SimpleNamespace(
                on_message_begin=partial(AnswerReader._on_message_begin, weak),
                on_header=partial(AnswerReader._on_header, weak),
                on_headers_complete=partial(AnswerReader._on_headers_complete, weak),
                on_body=partial(AnswerReader._on_body, weak),
                on_message_complete=partial(AnswerReader._on_message_complete, weak),
            )
        )
        """Holds what it calls, and that must not hold this in turn: an answer would be kept until the collector comes,
        which counts objects and not bytes."""
        self._parsed = 0
        self._informational = 0
        self._header_count = 0
        self._headers: dict[str, str] = {}
        self._status: int | None = None
        self._body = bytearray()
        self._too_long = False
        self._complete = False
        self._keep_alive = False
        self._error: AnswerError | None = None

    @property
    def ready(self) -> bool:
        """Whether as much of the answer is here as was asked for."""
        return self._status is not None and (
            self._complete or self._too_long or self._over or not self._whole
        )

    @property
    def waits_for_body(self) -> bool:
        """Whether the head is complete, and a part of the body is wanted that is not here yet."""
        return self._wanted is not None and self._status is not None and not self.ready

    def take_what_came(self) -> bool:
        """Read no more; return whether what has come is an answer."""
        self._keep_alive = False
        if self._wanted is not None and self._status is not None:
            self._over, self._complete = True, False
            return True
        return False

    @property
    def answer(self) -> Answer:
        """The answer, once it is ready."""
        if self._wanted is not None:
            return Answer(self._status or 0, self._headers, bytes(self._body), cut=not self._complete)
        return Answer(self._status or 0, self._headers, bytes(self._body) if self._complete else None)

    @property
    def reusable(self) -> bool:
        """Whether the connection can take another request: all of the answer was read, and nothing else came."""
        return self._complete and self._keep_alive

    def feed(self, data: bytes) -> None:
        """Go on with what has arrived. Raises AnswerError unless the answer is ready."""
        rest = memoryview(data)
        while rest:
            limit = MAX_HEAD_BYTES if self._status is None else MAX_BYTES
            part, rest = rest[: limit - self._parsed], rest[limit - self._parsed :]
            if not part:
                self._end(self._longer())
                return
            self._parsed += len(part)
            try:
                self._parser.feed_data(part)
            except httptools.HttpParserError:
                self._end(self._error or AnswerError(NOT_HTTP))
                return
            if self.ready and not self._complete:
                return

    def finish(self) -> None:
        """The other side sends no more. Raises AnswerError unless that makes the answer ready."""
        if self._status is not None and not {"content-length", "transfer-encoding"} & self._headers.keys():
            self._complete = True  # RFC 9112, 6.3: an answer with neither ends with the connection
        self._end(AnswerError("the connection was cut"))

    def _end(self, error: AnswerError) -> None:
        self._keep_alive = False
        if not self.ready and not self.take_what_came():
            raise error

    def _longer(self) -> AnswerError:
        if self._status is None:
            return AnswerError(f"the head of the answer is longer than {MAX_HEAD_BYTES} bytes")
        return AnswerError(f"the answer is longer than {MAX_BYTES} bytes")

    def _stop(self, error: AnswerError) -> None:
        """Stop the parser within the bytes that it is at."""
        self._error = error
        raise error

    def _on_message_begin(self) -> None:
        """An answer begins."""
        if self._status is not None:
            self._stop(AnswerError("more came back than one answer"))

    def _on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer."""
        if self._status is not None:
            return  # a trailer
        self._header_count += 1
        if self._header_count > MAX_HEADERS:
            self._stop(AnswerError(f"the answer has more than {MAX_HEADERS} headers"))
        self._headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))

    def _on_headers_complete(self) -> None:
        """The head of an answer is complete."""
        status = self._parser.get_status_code()
        if self._parser.get_http_version() not in ("1.1", "1.0") or not 100 <= status <= 999 or status == 101:
            self._stop(AnswerError(NOT_HTTP))
        if status >= 200:
            self._status = status
            self._keep_alive = self._parser.should_keep_alive()
            self._complete = self._bodiless
            if self._wanted is not None:
                self._most = self._wanted(status)
                self._whole = self._most > 0
            return
        self._informational += 1
        if self._informational > MAX_INFORMATIONAL:
            self._stop(
                AnswerError(f"more than {MAX_INFORMATIONAL} informational answers came before the answer")
            )
        self._headers.clear()

    def _on_body(self, data: bytes) -> None:
        """A part of the body."""
        if self._bodiless:
            self._keep_alive = False  # what was not to come
            return
        if not self._most:
            return
        if len(self._body) + len(data) <= self._most:
            self._body += data
        elif self._wanted is None:
            self._too_long = True
        else:
            self._body += data[: self._most - len(self._body)]
            self._too_long = True

    def _on_message_complete(self) -> None:
        """An answer is complete."""
        if self._status is not None:
            self._complete = not self._too_long
