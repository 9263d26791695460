"""Whether an Ed25519 signature belongs to a message: RFC 8032, 5.1, in integers, for where no library is installed.

Invariant: pure, and it verifies alone. Everything that it reads is public, so nothing has to take constant time; it
never signs. Encodings that are not canonical are refused, and so are keys of a small order, which fit any message.
"""

from __future__ import annotations

import hashlib
from typing import Final

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

_P: Final = 2**255 - 19
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, _P) % _P
_ROOT: Final = pow(2, (_P - 1) // 4, _P)
"""A square root of -1."""

_Point = tuple[int, int, int, int]
"""Extended coordinates: x/z, y/z, and x*y = z*t (RFC 8032, 5.1.4)."""

_NEUTRAL: Final[_Point] = (0, 1, 1, 0)


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature was made of the message with the private half of the key. Raises nothing."""
    if len(public_key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    key, commitment = _point(public_key), _point(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or scalar >= _ORDER or _same(_times(8, key), _NEUTRAL):
        return False
    digest = hashlib.sha512(signature[:32] + public_key + message).digest()
    challenge = int.from_bytes(digest, "little") % _ORDER
    return _same(_times(scalar, _BASE), _add(commitment, _times(challenge, key)))


def _point(encoded: bytes) -> _Point | None:
    """The point that 32 bytes encode (RFC 8032, 5.1.3); None for what is no canonical encoding of one."""
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= _P:
        return None
    x = _x(y)
    if x is None or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return (x, y, 1, x * y % _P)


def _x(y: int) -> int | None:
    """One of the two x of a y on the curve; None where there is none."""
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    return None if (x * x - square) % _P else x


def _add(one: _Point, other: _Point) -> _Point:
    a = (one[1] - one[0]) * (other[1] - other[0]) % _P
    b = (one[1] + one[0]) * (other[1] + other[0]) % _P
    c = 2 * one[3] * other[3] * _D % _P
    d = 2 * one[2] * other[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _times(count: int, point: _Point) -> _Point:
    found = _NEUTRAL
    while count:
        if count & 1:
            found = _add(found, point)
        point = _add(point, point)
        count >>= 1
    return found


def _same(one: _Point, other: _Point) -> bool:
    return (one[0] * other[2] - other[0] * one[2]) % _P == 0 and (
        one[1] * other[2] - other[1] * one[2]
    ) % _P == 0


def _base() -> _Point:
    y = 4 * pow(5, -1, _P) % _P
    x = _x(y)
    assert x is not None  # noqa: S101 - a constant
    x = x if x & 1 == 0 else _P - x
    return (x, y, 1, x * y % _P)


_BASE: Final = _base()
