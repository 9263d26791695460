"""The credentials that a connection holds, by their form alone.

Invariant: pure. A check raises ValueError with a complaint that never repeats the value. What passes can stand in a
header.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

MAX_HEADERS: Final = 30
MAX_HEADER_BYTES: Final = 8192
"""Of all headers of a connection together, names and values."""
MIN_SIGNING_SECRET: Final = 16
MAX_CERTIFICATES: Final = 16_384
"""Bytes of certificates in PEM."""
MAX_KEY: Final = 8192
"""Bytes of a key in PEM. One of RSA 4096 has 3,272."""

_TOKEN: Final = re.compile("[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")  # RFC 9110, 5.6.2
_VALUE: Final = re.compile(r"[!-~](?:[ \t!-~]*[!-~])?")
_VISIBLE: Final = re.compile("[!-~]+")
_PRINTABLE: Final = re.compile("[ -~]+")
_SCOPE: Final = re.compile(r"[!#-\[\]-~]+(?: [!#-\[\]-~]+)*")  # RFC 6749, 3.3
_RESERVED: Final = frozenset(
    (
        *(
            "accept-encoding",
            "connection",
            "content-length",
            "content-type",
            "expect",
            "host",
            "idempotency-key",
        ),
        *("keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "user-agent"),
    )
)
_RESERVED_BEGINNINGS: Final = ("cronally-", "proxy-", "webhook-")


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that every request of a connection gets."""
    for place, (name, value) in enumerate(headers.items(), start=1):
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"has as its entry {place} a name that no header can have")
        if name.lower() in _RESERVED or name.lower().startswith(_RESERVED_BEGINNINGS):
            raise ValueError(f"has as its entry {place} a header that Cronally sets itself; leave it out")
        if not _VALUE.fullmatch(value):
            raise ValueError(
                f"has as its entry {place} a value that is empty, or holds line ends, spaces at its ends or characters"
                " outside ASCII"
            )
    if len({name.lower() for name in headers}) < len(headers):
        raise ValueError("holds a header more than once, but for capitals; send each once")
    size = sum(len(name) + len(value) for name, value in headers.items())
    if size > MAX_HEADER_BYTES:
        raise ValueError(f"has {size:,} bytes; give {MAX_HEADER_BYTES:,} at most")
    return dict(headers)


def check_username(text: str) -> str:
    """The user of Basic authentication (https://datatracker.ietf.org/doc/html/rfc7617)."""
    if ":" in text:
        raise ValueError("has a colon, which HTTP cannot send; give another user")
    return check_password(text)


def check_password(text: str) -> str:
    """The password of Basic authentication."""
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):
        raise ValueError("holds a control character, such as a line end; remove it")
    if len(text.encode("utf-8", "replace")) > _MAX_PASSWORD:
        raise ValueError(f"is longer than {_MAX_PASSWORD} bytes")
    return text


_MAX_PASSWORD: Final = 512


def check_token(text: str) -> str:
    """A secret that stands in a header."""
    if not _VISIBLE.fullmatch(text) or len(text) > _MAX_TOKEN:
        raise ValueError(
            f"is no token, which has 1 to {_MAX_TOKEN:,} characters of ASCII and no spaces or line ends"
        )
    return text


_MAX_TOKEN: Final = 4096


def check_client_id(text: str) -> str:
    """The client of OAuth 2.0 (https://datatracker.ietf.org/doc/html/rfc6749#appendix-A)."""
    return _printable(text, "id of a client", MAX_CLIENT_ID)


def check_client_secret(text: str) -> str:
    """The secret of a client of OAuth 2.0."""
    return _printable(text, "secret of a client", _MAX_CLIENT_SECRET)


def check_audience(text: str) -> str:
    """Whom a client of OAuth 2.0 asks for."""
    return _printable(text, "audience", MAX_ASKED)


def check_scope(text: str) -> str:
    """What a client of OAuth 2.0 asks for."""
    if not _SCOPE.fullmatch(text) or len(text) > MAX_ASKED:
        raise ValueError(
            f"is no list of scopes, which has {MAX_ASKED:,} characters of ASCII at most, no quotes and backslashes, and"
            " one space between two"
        )
    return text


def check_certificates(text: str) -> str:
    """Certificates in PEM."""
    return _pem(text, MAX_CERTIFICATES)


def check_key(text: str) -> str:
    """A private key in PEM."""
    return _pem(text, MAX_KEY)


def _pem(text: str, most: int) -> str:
    if (size := len(text.encode("utf-8", "replace"))) > most:
        raise ValueError(f"has {size:,} bytes; give {most:,} at most")
    if "-----BEGIN " not in text:
        raise ValueError(
            "is no PEM, which begins with -----BEGIN; give the text itself, and not the name of a file or what is"
            " in base64"
        )
    return text


def _printable(text: str, what: str, most: int) -> str:
    if not _PRINTABLE.fullmatch(text) or len(text) > most:
        raise ValueError(f"is no {what}, which has 1 to {most:,} characters of ASCII and no line ends")
    return text


MAX_CLIENT_ID: Final = 256
MAX_ASKED: Final = 1024
"""Characters of a scope, and of an audience."""
_MAX_CLIENT_SECRET: Final = 1024


def check_signing_secret(text: str) -> str:
    """What requests are signed with."""
    if not _VISIBLE.fullmatch(text) or not MIN_SIGNING_SECRET <= len(text) <= _MAX_SIGNING_SECRET:
        raise ValueError(
            f"is no signing secret, which has {MIN_SIGNING_SECRET} to {_MAX_SIGNING_SECRET} characters of ASCII and no"
            " spaces or line ends"
        )
    return text


_MAX_SIGNING_SECRET: Final = 512
