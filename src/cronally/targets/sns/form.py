"""Percent-encoding for form bodies, fast enough for the firing path.

Invariant: `quote` gives the bytes that `urllib.parse.quote_plus` gives. There is one way to write a form here, the
one that AWS's own SDKs use: a stand-in for AWS may check a signature against the form as it would write it.

`quote_plus` walks a text byte by byte: 6 ms for a message of 256 KiB, in which no other firing is sent. Most texts
are plain but for a few different characters; for these it is one pass in C for each of them, 1 ms in all.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote_plus

_PLAIN: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_ESCAPES: Final = {byte: b"%%%02X" % byte for byte in range(256)}
_MAX_PASSES: Final = 24
_PERCENT: Final = ord("%")
_SPACE: Final = ord(" ")


def quote(data: bytes) -> bytes:
    """Encode a name or a value for application/x-www-form-urlencoded."""
    rest = data.translate(None, _PLAIN)
    if not rest:
        return data
    distinct = set(rest)
    if len(distinct) > _MAX_PASSES:
        return quote_plus(data).encode()
    if _PERCENT in distinct:  # before the other escapes bring it in
        data = data.replace(b"%", b"%25")
        distinct.remove(_PERCENT)
    plus = _SPACE in distinct
    distinct.discard(_SPACE)
    for byte in distinct:
        data = data.replace(bytes((byte,)), _ESCAPES[byte])
    return data.replace(b" ", b"+") if plus else data
