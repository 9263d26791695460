"""The parameters in the bytes of a request: one strict parser for forms, JSON and queries.

Invariant: every text is valid UTF-8 without U+0000, so that both databases can hold it, and every name of JSON stands
once. What cannot be read is said by name, not guessed. What a value must be is not decided here: `contract.reading`.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Collection
from itertools import islice
from typing import Any, Final

from starlette.requests import Request

from cronally import errors
from cronally.api.limits import read_body
from cronally.api.signed_once import check_body
from cronally.api.turns import BYTE, CHANGE, SEARCH, SHOW, take_turn
from cronally.contract.reading import MAX_COMPLAINTS, Parameters, Repeated

MAX_PARAMETERS: Final = 100
MAX_ITEMS: Final = 1000
"""Of one list or map: none has more, and a body could hold half a million."""
MAX_TOKENS: Final = 10_000
"""Texts, brackets, commas and colons of a JSON body. They are counted before anything is made of them: half a million
of lists take 0.4 s to parse."""

_FORM: Final = "application/x-www-form-urlencoded"
_JSON: Final = "application/json"
_MAX_MEDIA_TYPE: Final = 100
_NAME: Final = re.compile(r"[A-Za-z][0-9A-Za-z_-]{0,63}")
_JSON_TOKENS: Final = re.compile(
    rb'[^"\[{,:]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[{,:]|\Z)', re.DOTALL
)
"""The texts of a JSON document, and what begins or separates values outside of them; at last what is behind them, and
the end. It matches wherever it is tried: where it could fail, it would be tried again from each byte that follows, and
1 MiB of spaces would take minutes."""
_ENDS: Final = 2
_MEDIA_TYPE: Final = re.compile(r"\s*([!-~]+?)\s*(?:;\s*(?:charset\s*=\s*\"?([!-~]*?)\"?\s*)?)?")

_NUL: Final = "holds U+0000; remove it"
_ENCODING: Final = "is not UTF-8; encode it so"
_SURROGATE: Final = "holds half of a surrogate pair; remove it"
_REPEATED: Final = "is there more than once; send it once"
_TOO_FULL: Final = f"holds too many values; a list or a map has at most {MAX_ITEMS:,} items"
_TOO_MANY: Final = f"holds more than {MAX_PARAMETERS} parameters"


def _add(parameters: Parameters, name: str, value: Any, complaint: str | None = None) -> None:
    """Take a parameter, or say why it cannot be taken."""
    complaint = complaint or _complaint(value)
    if name in parameters.unusable:
        return
    if complaint is not None:
        parameters.values.pop(name, None)
        parameters.unusable[name] = complaint
    elif name not in parameters.values:
        parameters.values[name] = value
    elif isinstance(parameters.values[name], Repeated):
        parameters.values[name].append(value)
    else:
        parameters.values[name] = Repeated([parameters.values[name], value])


def _complaint(value: Any) -> str | None:
    """What is wrong with the texts of a value, however deep they stand in it."""
    match value:
        case _Undecodable():
            return _ENCODING
        case str():
            return _NUL if "\0" in value else None if _is_unicode(value) else _SURROGATE
        case list():
            return next(filter(None, map(_complaint, value)), None)
        case dict():
            return next(filter(None, map(_complaint, [*value, *value.values()])), None)
    return None


def read_query(request: Request) -> Parameters:
    """The parameters of the query."""
    query = request.scope["query_string"]
    return _read_form(query, "query") if query else Parameters()


async def read_form_or_json(request: Request, refused: Collection[str] | None = None) -> Parameters:
    """The parameters of the body, a form or a JSON object; an empty body has none, whatever its type.

    Raises UnsupportedMediaType, and InvalidRequest, naming `body`, for what has no parameters that could be named.
    Parameters in the query have no business beside a body.

    :param refused: which ones, where others have; None for all
    """
    body = await read_body(request.receive)
    await take_turn(request.scope, CHANGE + BYTE * len(body))
    check_body(request.scope, body)
    parameters = _read_body(request, body) if body else Parameters()
    query = read_query(request)
    for name in (*query.values, *query.unusable):
        if refused is not None and name not in refused:
            continue
        parameters.unusable.pop(name, None)
        complaint = _REPEATED if name in parameters.values else "stands in the query; send it in the body"
        _add(parameters, name, "", complaint)
    return parameters


async def refuse_body(request: Request, expected: float = SEARCH) -> None:
    """See that a request whose parameters stand in path and query brings no body. None of it is read.

    :param expected: seconds that it will use
    """
    for name, value in request.scope["headers"]:
        if name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0")):
            method = request.scope["method"]
            raise _unreadable("body", f"is not read with {method}; send parameters in the query, and no body")
    check_body(request.scope, b"")
    await take_turn(request.scope, expected)


async def read_nothing(request: Request) -> None:
    """See that a request that takes no parameters brings none."""
    query = read_query(request)
    names = [*query.values, *query.unusable]
    if names:
        raise _unwanted(names)
    await refuse_body(request, CHANGE if request.method == "DELETE" else SHOW)


def _unwanted(names: list[str]) -> errors.InvalidRequest:
    complaint = "is no parameter here; there are none in the query"
    fields = dict.fromkeys(names[:MAX_COMPLAINTS], complaint)
    return errors.InvalidRequest("; ".join(f"{name}: {complaint}" for name in fields), fields=fields)


def _read_body(request: Request, body: bytes) -> Parameters:
    media_type = _media_type(request)
    if media_type == _FORM:
        return _read_form(body, "body")
    return _read_json(body)


def _media_type(request: Request) -> str:
    """`_FORM` or `_JSON`. Raises UnsupportedMediaType."""
    found: list[str] = []
    for name, value in request.scope["headers"]:
        if name == b"content-type":
            found.append(value.decode("latin-1"))
        elif name == b"content-encoding" and value.strip().lower() != b"identity":
            raise errors.UnsupportedMediaType("Send the body as it is, without a Content-Encoding.")
    if not found:
        return _FORM
    match = _MEDIA_TYPE.fullmatch(found[0][:_MAX_MEDIA_TYPE])
    if len(found) > 1 or match is None or (match[2] or "utf-8").lower() not in ("utf-8", "utf8"):
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
        _add(parameters, _check_name(_decode(name), place), _decode(value))
    return parameters


def _check_name(name: Any, place: str) -> str:
    """A parameter's name. Answers repeat it: what is no name, such as JSON sent as a form, may be a secret."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        complaint = "holds something that is no parameter's name; send a form, or JSON as application/json"
        raise _unreadable(place, complaint)
    return name


_SWAP: Final = bytes.maketrans(b"%=+", b"=\xff ")
_NEVER_UTF8: Final = re.compile(rb"\xff|%[Ff]{2}")


def _decode(text: bytes) -> str | _Undecodable:
    """Percent-decoded UTF-8, in compiled code.

    The standard library's own decoder takes 150 ms for 1 MiB of escapes. The one for quoted-printable, whose escapes
    are `=XX`, takes 4: `%` becomes `=`, and `=` meanwhile the byte that no UTF-8 has.
    """
    try:
        if b"%" not in text:
            return text.replace(b"+", b" ").decode()
        if _NEVER_UTF8.search(text) or b"%\n" in text or b"%\r" in text:  # the last two: a line that goes on
            return _Undecodable()
        decoded = binascii.a2b_qp(text.translate(_SWAP)).replace(b"\xff", b"=")
        if len(decoded) != len(text) - 2 * text.count(b"%"):
            return _Undecodable()  # a % without two hexadecimal digits
        return decoded.decode()
    except UnicodeDecodeError:
        return _Undecodable()


def _read_json(content: bytes) -> Parameters:
    """Parameters in a JSON object, strictly."""
    most = MAX_TOKENS + _ENDS
    if sum(1 for _ in islice(_JSON_TOKENS.finditer(content), most + 1)) > most:
        raise _unreadable("body", _TOO_FULL)
    try:
        pairs = _decode_json(content.decode())
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
        repeated = name in parameters.values or name in parameters.unusable
        parameters.unusable.pop(name, None) if repeated else None
        _add(parameters, _check_name(name, "body"), *((None, _REPEATED) if repeated else _natural(value)))
    return parameters


class _Pairs:
    """A JSON object as it was written, repeated keys and all."""

    __slots__ = ("items",)

    def __init__(self, items: list[tuple[str, Any]]) -> None:
        self.items = items


class _Undecodable:
    """Stands for a text that is not UTF-8."""


# Numbers are parsed by the interpreter's own types: a class of ours would cost 20 times as much for each of the
# half million that fit in a body.
_DECODER: Final = json.JSONDecoder(object_pairs_hook=_Pairs, parse_constant=float)


def _decode_json(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        # A number of thousands of digits, which `int` refuses. No parameter is one, but the complaint names it.
        return json.JSONDecoder(object_pairs_hook=_Pairs, parse_int=float, parse_constant=float).decode(text)


def _natural(value: Any) -> tuple[Any, str | None]:
    """A value with its objects as dictionaries; or what is wrong with it."""
    size = len(value.items) if isinstance(value, _Pairs) else len(value) if isinstance(value, list) else 0
    if size > MAX_ITEMS:
        return None, f"holds more than {MAX_ITEMS:,} items; send fewer"
    if isinstance(value, _Pairs):
        inside = {name: part for name, part in value.items if not isinstance(part, _Pairs | list)}
        if len(inside) < len(value.items):
            return None, "is an object with a name twice, or with an object or a list in it; send texts in it"
        return inside, None
    if isinstance(value, list) and any(isinstance(part, _Pairs | list) for part in value):
        return None, "is a list with an object or a list in it; send texts in it"
    return value, None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unreadable(place: str, complaint: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(f"{place}: {complaint}", fields={place: complaint})
