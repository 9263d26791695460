"""Parameters off the wire: one strict reader for forms, JSON and queries.

Invariant: what comes out are texts, each name once, in valid UTF-8 without U+0000, so that both databases hold them
and a form, a JSON object and the CLI mean the same by them. What cannot be read so is said by name, not guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from starlette.requests import Request

from cronally import errors
from cronally.api.limits import read_body

MAX_PARAMETERS: Final = 100
_COMPLAINTS: Final = 20

_FORM: Final = "application/x-www-form-urlencoded"
_JSON: Final = "application/json"
_MAX_MEDIA_TYPE: Final = 100
_NAME: Final = re.compile(r"[A-Za-z][0-9A-Za-z_-]{0,63}")
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_MEDIA_TYPE: Final = re.compile(r"\s*([!-~]+?)\s*(?:;\s*(?:charset\s*=\s*\"?([!-~]*?)\"?\s*)?)?")

_NUL: Final = "holds U+0000; remove it"
_ENCODING: Final = "is not UTF-8; encode it so"
_REPEATED: Final = "is there more than once; send it once"
_TOO_MANY: Final = f"holds more than {MAX_PARAMETERS} parameters"


@dataclass(slots=True)
class Parameters:
    """What a request gave."""

    values: dict[str, str] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    """Parameters that cannot be read, with what is wrong with each."""

    def add(self, name: str, value: str | None, complaint: str | None = None) -> None:
        """Take a parameter, or say why it cannot be taken."""
        if name in self.values or name in self.unusable:
            complaint = _REPEATED
        elif value is not None and "\0" in value:
            complaint = _NUL
        if complaint is not None or value is None:
            self.values.pop(name, None)
            self.unusable[name] = complaint or _ENCODING
        else:
            self.values[name] = value


def read_query(request: Request) -> Parameters:
    """The parameters of the query."""
    query = request.scope["query_string"]
    return _read_form(query, "query") if query else Parameters()


async def read_form_or_json(request: Request) -> Parameters:
    """The parameters of the body, a form or a JSON object; an empty body has none, whatever its type.

    Raises UnsupportedMediaType, and InvalidRequest, naming `body`, for what has no parameters that could be named.
    Parameters in the query have no business beside a body.
    """
    body = await read_body(request.receive)
    parameters = _read_body(request, body) if body else Parameters()
    query = read_query(request)
    for name in (*query.values, *query.unusable):
        parameters.add(name, None, "stands in the query; send it in the body")
    return parameters


async def refuse_body(request: Request) -> None:
    """See that a request whose parameters stand in path and query brings none in a body."""
    for name, value in request.scope["headers"]:
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            break
    else:
        return
    body = await read_body(request.receive)
    unwanted = _read_body(request, body) if body else Parameters()
    names = [*unwanted.values, *unwanted.unusable]
    if names:
        raise _unwanted("body", names)


async def read_nothing(request: Request) -> None:
    """See that a request that takes no parameters brings none."""
    query = read_query(request)
    names = [*query.values, *query.unusable]
    if names:
        raise _unwanted("query", names)
    await refuse_body(request)


def _unwanted(place: str, names: list[str]) -> errors.InvalidRequest:
    complaint = f"is no parameter here; there are none in the {place}"
    fields = dict.fromkeys(names[:_COMPLAINTS], complaint)
    return errors.InvalidRequest("; ".join(f"{name}: {complaint}" for name in fields), fields=fields)


def _read_body(request: Request, body: bytes) -> Parameters:
    media_type = _media_type(request)
    if media_type == _FORM:
        return _read_form(body, "body")
    return _read_json(body)


def _media_type(request: Request) -> str:
    """`_FORM` or `_JSON`. Raises UnsupportedMediaType."""
    given: list[str] = []
    for name, value in request.scope["headers"]:
        if name == b"content-type":
            given.append(value.decode("latin-1"))
        elif name == b"content-encoding" and value.strip().lower() != b"identity":
            raise errors.UnsupportedMediaType("Send the body as it is, without a Content-Encoding.")
    if not given:
        return _FORM
    match = _MEDIA_TYPE.fullmatch(given[0][:_MAX_MEDIA_TYPE])
    if len(given) > 1 or match is None or (match[2] or "utf-8").lower() not in ("utf-8", "utf8"):
        raise errors.UnsupportedMediaType()
    media_type = match[1].lower()
    if media_type not in (_FORM, _JSON):
        raise errors.UnsupportedMediaType()
    return media_type


def _read_form(content: bytes, place: str) -> Parameters:
    """Parameters in application/x-www-form-urlencoded, strictly."""
    pieces = [piece for piece in content.split(b"&", MAX_PARAMETERS) if piece]
    if len(pieces) > MAX_PARAMETERS:
        raise _unreadable(place, _TOO_MANY)
    parameters = Parameters()
    for piece in pieces:
        name, _, value = piece.partition(b"=")
        parameters.add(_check_name(_decode(name), place), _decode(value))
    return parameters


def _check_name(name: str | None, place: str) -> str:
    """A parameter's name. Answers repeat it: what is no name, such as JSON sent as a form, may be a secret."""
    if name is None or not _NAME.fullmatch(name):
        complaint = "holds something that is no parameter's name; send a form, or JSON as application/json"
        raise _unreadable(place, complaint)
    return name


def _decode(text: bytes) -> str | None:
    """Percent-decoded UTF-8, or None for what is not that."""
    if _BAD_ESCAPE.search(text):
        return None
    try:
        return unquote_to_bytes(text.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        return None


def _read_json(content: bytes) -> Parameters:
    """Parameters in a JSON object, strictly."""
    try:
        pairs = _DECODER.decode(content.decode())
    except UnicodeDecodeError:
        raise _unreadable("body", _ENCODING) from None
    except (ValueError, RecursionError):
        raise _unreadable(
            "body", "is no JSON; send an object of parameters, or a form without a JSON type"
        ) from None
    if not isinstance(pairs, _Pairs):
        raise _unreadable("body", "is no JSON object; send one with the parameters' names as its keys")
    if len(pairs.items) > MAX_PARAMETERS:
        raise _unreadable("body", _TOO_MANY)
    parameters = Parameters()
    for name, value in pairs.items:
        parameters.add(_check_name(name, "body"), *_text_of(value))
    return parameters


class _Pairs:
    """A JSON object as it was written, repeated keys and all."""

    __slots__ = ("items",)

    def __init__(self, items: Iterable[tuple[str, Any]]) -> None:
        self.items = list(items)


class _Number:
    """A JSON number, not evaluated: a long one costs, and none is wanted."""

    __slots__ = ()

    def __init__(self, _text: str) -> None:
        pass


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_Pairs, parse_int=_Number, parse_float=_Number, parse_constant=_Number
)


def _text_of(value: Any) -> tuple[str | None, str | None]:
    """The text, or why it is none."""
    match value:
        case str():
            return (
                (value, None) if _is_unicode(value) else (None, "holds half of a surrogate pair; remove it")
            )
        case None:
            return None, "is null; leave it out, or send a text"
        case bool():
            return None, "is true or false; send a text in quotes"
        case _Number():
            return None, "is a number; send a text in quotes"
        case _:
            return None, "is an object or a list; send a text in quotes"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unreadable(place: str, complaint: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(f"{place}: {complaint}", fields={place: complaint})
