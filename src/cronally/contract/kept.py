"""What is kept of a target's answer, as it is sealed: written by the engine, read for the account.

Invariant: pure. What comes out is what went in; a body that is no text comes out as base64, and says so.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

TEXT: Final = "utf-8"
BASE64: Final = "base64"
_LONGEST_CHARACTER: Final = 4
"""Bytes in UTF-8."""


def pack(headers: Mapping[str, str], body: bytes, *, cut: bool) -> bytes:
    """Headers and body as one text of JSON."""
    text, encoding = _written(body, cut=cut)
    packed = {"headers": dict(headers), "body": text, "encoding": encoding, "cut": cut}
    return json.dumps(packed, ensure_ascii=False, separators=(",", ":")).encode()


def unpack(packed: bytes) -> dict[str, Any]:
    """What `pack` has packed, by the names of the contract."""
    found: dict[str, Any] = json.loads(packed)
    return found


def _written(body: bytes, *, cut: bool) -> tuple[str, str]:
    """A body as a text; of one that was cut within a character, the characters before."""
    for missing in range(_LONGEST_CHARACTER if cut else 1):
        try:
            return body[: len(body) - missing].decode(), TEXT
        except UnicodeDecodeError:
            continue
    return base64.b64encode(body).decode(), BASE64
