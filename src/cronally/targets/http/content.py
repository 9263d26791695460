"""What an HTTP request carries: its body, the type of it, and the headers that the tenant adds.

Invariant: pure. A request has a body and a content type, or neither. What is guessed takes no longer than a text of
`GUESSED` characters does, however long the body is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from cronally import instants
from cronally.contract.http_requests import WITHOUT_BODY
from cronally.targets.target import Message

METHOD: Final = "delivery_http_method"
BODY: Final = "delivery_http_body"
CONTENT_TYPE: Final = "delivery_http_content_type"
JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"
GUESSED: Final = 16_384
"""Characters. A text of 256 KiB takes up to 5 ms to parse, at each firing, and everybody's requests wait for it."""
_BRACKETS: Final = frozenset({("{", "}"), ("[", "]")})
_SPACES: Final = " \t\r\n"


def check_content(parameters: Mapping[str, Any]) -> dict[str, str]:
    """The complaints about a body that is not sent, and about the type of none, by parameter."""
    method = parameters.get(METHOD)
    if method in WITHOUT_BODY:
        complaint = f"is not sent with {method.upper()}; leave it out, or take it away with an empty text"
        return {name: complaint for name in (BODY, CONTENT_TYPE) if parameters.get(name)}
    if parameters.get(CONTENT_TYPE) and not parameters.get(BODY) and method is not None:
        return {CONTENT_TYPE: f"is that of {BODY}, which is not there; give both, or neither"}
    return {}


def has_body(parameters: Mapping[str, Any]) -> bool:
    """Whether a request with these parameters has a body."""
    method = parameters.get(METHOD)
    return method not in WITHOUT_BODY and (method != "delete" or bool(parameters.get(BODY)))


def content(public: Mapping[str, Any], message: Message) -> tuple[bytes | None, str | None]:
    """The body of a request, and its type; None for no body."""
    if not has_body(public):
        return None, None
    text = public.get(BODY)
    return (text.encode(), public.get(CONTENT_TYPE) or guess(text)) if text else (document(message), JSON)


def document(message: Message) -> bytes:
    """The JSON that says of a firing what there is to say."""
    said = {
        "firing_id": message.firing_id,
        "cronjob_id": message.cronjob_id,
        "cronjob_name": message.cronjob_name,
        "scheduled_at": instants.format_iso(message.scheduled_at),
        "attempt": message.attempt,
    }
    if message.ack_url is not None:
        said["ack_url"] = message.ack_url
    return json.dumps(said).encode()


def guess(text: str) -> str:
    """The type of a body of which none was given: of a long one, by its brackets alone."""
    if len(text) > GUESSED:
        edges = (text[:GUESSED].lstrip(_SPACES)[:1], text[-GUESSED:].rstrip(_SPACES)[-1:])
        return JSON if edges in _BRACKETS else TEXT
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return TEXT
    return JSON


def with_own(headers: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """The headers of a request, those of the tenant in place of others of the same name."""
    replaced = {name.lower() for name in own}
    return {**{name: value for name, value in headers.items() if name.lower() not in replaced}, **own}
