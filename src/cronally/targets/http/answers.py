"""What is kept of an HTTP answer: its status, its headers and the beginning of its body.

Invariant: pure. No more is kept than the bounds below say, and none of the destination's secrets, in the ways in which
an echo writes them. A header that may hold a secret of the receiver's own is kept by its name alone.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from cronally.contract.http_requests import DEFAULT_KEEP_ANSWER, KEEP_ALWAYS, KEEP_NEVER
from cronally.contract.url_secrets import MASK, hide_url, looks_secret
from cronally.targets.answer import Answer
from cronally.targets.target import Kept, Timings

KEEP: Final = "delivery_http_keep_answer"
MAX_BODY: Final = 16_384
"""Bytes."""
MAX_HEADER_BYTES: Final = 4096
MAX_VALUE: Final = 1024
"""Characters of one header."""
_MAX_MARKS: Final = 128
"""Of what stands behind a name, in all headers that are kept: each name is looked at."""
_SECRET_HEADERS: Final = frozenset(
    {"authentication-info", "cookie", "proxy-authentication-info", "set-cookie", "set-cookie2"}
)
MAX_SECRETS: Final = 64
"""Parts of what is sealed that are looked for. Of an answer to a destination with more of them nothing is kept but the
status and the times: a URL of 1,000 secret parts would be looked for in 7,000 ways."""
_SHORTEST: Final = 3
"""Characters of a text that is no secret for being too short."""
_SEPARATORS: Final = re.compile(r"[/?&=@:]+")


def is_kept(public: Mapping[str, Any], delivered: bool) -> bool:
    """Whether a cron job keeps an answer."""
    chosen = public.get(KEEP, DEFAULT_KEEP_ANSWER)
    return chosen != KEEP_NEVER and (chosen == KEEP_ALWAYS or not delivered)


def kept_of(answer: Answer, secrets: Sequence[str] | None) -> Kept:
    """What is kept of an answer.

    :param secrets: the texts of `secrets_of`
    """
    timings = answer.timings or Timings(None, None, None, 0, 0)
    if secrets is None:
        return Kept(answer.status, {}, b"", True, timings)
    headers, all_headers = _headers(answer.headers, secrets)
    body = _without(answer.body or b"", secrets, cut=answer.cut)
    return Kept(answer.status, headers, body, answer.cut or not all_headers, timings)


def secrets_of(sealed: Iterable[object], shown: str) -> list[str] | None:
    """The secret texts in what is sealed, in each way in which they may be written, the longest first.

    None if there are too many.

    :param sealed: what is sealed of a destination, and headers that were made of it
    :param shown: the URL as it may be shown
    """
    known = {MASK, *_pieces(shown)}
    secret: set[str] = set()
    for text in _texts(sealed):
        secret.update({text, *_pieces(text)} - known)
    secret = {text for text in secret if len(text) >= _SHORTEST}
    if len(secret) > MAX_SECRETS:
        return None
    return sorted({way for text in secret for way in ways(text)} - known, key=len, reverse=True)


def _texts(value: object) -> Iterator[str]:
    """The texts in a value of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts(value.values())
    elif isinstance(value, Iterable):
        for item in value:
            yield from _texts(item)


def _pieces(text: str) -> Iterator[str]:
    """The parts of a URL, or of another text, that may be secrets of their own."""
    yield from _SEPARATORS.split(text)
    yield from text.split()


def ways(text: str) -> Iterator[str]:
    """A text as echoes write it."""
    for plain in {text, unquote(text), unquote_plus(text)}:
        yield plain
        yield quote(plain, safe="")
        yield quote_plus(plain)
        yield escape(plain)
        yield json.dumps(plain)[1:-1]
        yield json.dumps(plain, ensure_ascii=False)[1:-1]
        yield base64.b64encode(plain.encode("utf-8", "replace")).decode()


def _headers(headers: Mapping[str, str], hidden: Iterable[str]) -> tuple[dict[str, str], bool]:
    """The headers that are kept, and whether that is all of them."""
    kept: dict[str, str] = {}
    room, marks = MAX_HEADER_BYTES, _MAX_MARKS
    for name, text in headers.items():
        value = text[:MAX_VALUE]
        room -= len(name) + len(value)
        marks -= sum(map(value.count, "=:%"))
        if room < 0 or marks < 0:
            return kept, False
        if name in _SECRET_HEADERS or (name != "location" and looks_secret(name, value)):
            value = MASK
        for secret in hidden:
            value = value.replace(secret, MASK)
        if name == "location":
            value = hide_url(value) if "://" in value else MASK
        kept[name] = value
    return kept, True


def _without(body: bytes, hidden: Iterable[str], *, cut: bool) -> bytes:
    """A body without secrets. One that was cut off within a secret ends before it."""
    for secret in hidden:
        text = secret.encode("utf-8", "replace")
        body = body.replace(text, MASK.encode())
        if cut:
            body = body[: _begun(body, text)]
    return body[:MAX_BODY]


def _begun(body: bytes, text: bytes) -> int:
    """Where a text begins that a body ends within; the body's end if it ends within none."""
    begin = text[:_SHORTEST]
    place = body.find(begin, max(0, len(body) - len(text) + 1))
    while place >= 0:
        if text.startswith(body[place:]):
            return place
        place = body.find(begin, place + 1)
    return len(body)
