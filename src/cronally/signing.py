"""The signature of a request, version 1: what both sides compute from path, method, date and API secret.

Invariant: pure, and the same for client and server. Nothing that a client sent is ever decoded: a signature
is compared as the text it is, in constant time. Source of every rule: the API reference ("Authentication")
and its wire facts. Version 1 signs neither query nor body.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from datetime import UTC, datetime
from typing import Final

from cronally.instants import MAX_INSTANT, MIN_INSTANT, from_datetime, to_datetime

_DATE_LENGTH: Final = 12


def string_to_sign(path: str, method: str, date: str) -> bytes:
    """`/account/GET200601021504`: path, method and date, with nothing between them.

    :param path: exactly as sent, trailing slash included, without scheme, host and query. Bytes that are no
        UTF-8 stand in it as `surrogateescape` decodes them.
    :param method: in capitals, as in the request line
    :param date: as `format_date` writes it
    """
    return f"{path}{method}{date}".encode("utf-8", "surrogateescape")


def format_date(instant: int) -> str:
    """What `X-Cron-Date` holds at an instant: UTC, `%Y%m%d%H%M`, seconds cut off."""
    return to_datetime(instant).strftime("%Y%m%d%H%M")


def parse_date(text: str) -> int | None:
    """The instant at which the minute of an `X-Cron-Date` begins.

    None for anything but 12 ASCII digits that name a minute between the years 1970 and 2200.
    """
    if len(text) != _DATE_LENGTH or not (text.isascii() and text.isdigit()):
        return None
    try:
        moment = datetime(
            int(text[:4]), int(text[4:6]), int(text[6:8]), int(text[8:10]), int(text[10:]), tzinfo=UTC
        )
    except ValueError:
        return None
    instant = from_datetime(moment)
    return instant if MIN_INSTANT <= instant <= MAX_INSTANT else None


def sign(secret: bytes, path: str, method: str, date: str) -> str:
    """What `X-Cron-Signature` holds: standard base64 of the HMAC-SHA256, 44 characters.

    :param secret: the API secret, decoded (`decode_secret`)
    """
    return base64.b64encode(_digest(secret, path, method, date)).decode("ascii")


def verify(secret: bytes, path: str, method: str, date: str, signature: bytes | str) -> bool:
    """Whether `signature` is the request's: in base64, or in hex of either case.

    Takes the same time for every signature of the same length, and never raises for what a signature holds.
    """
    digest = _digest(secret, path, method, date)
    sent = signature.encode("utf-8", "replace") if isinstance(signature, str) else signature
    as_base64 = hmac.compare_digest(base64.b64encode(digest), sent)
    as_hex = hmac.compare_digest(binascii.hexlify(digest), sent.lower())
    return as_base64 | as_hex


def decode_secret(api_secret: str) -> bytes:
    """The bytes of an API secret, with which requests are signed.

    Raises ValueError, whose message does not hold the secret, for what is not standard base64 or is empty.
    """
    try:
        secret = base64.b64decode(api_secret, validate=True)
    except ValueError:  # binascii.Error is one, and so is the error for characters beyond ASCII
        secret = b""
    if not secret:
        raise ValueError("the API secret is not the base64 text that sign-up gave")
    return secret


def _digest(secret: bytes, path: str, method: str, date: str) -> bytes:
    return hmac.digest(secret, string_to_sign(path, method, date), "sha256")
