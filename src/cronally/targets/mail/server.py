"""Where mail is handed over: the operator's SMTP server, as a setting writes it.

Invariant: no text of an error, and no repr, holds the password. Nothing is sent without TLS unless the operator says
so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

_PORTS: Final = {"smtp": 587, "smtps": 465}
_EXPECTED: Final = (
    "write smtp://host:port, which begins TLS by STARTTLS, or smtps://host:port, with user:password@ before the host"
    " if it asks for that, percent-encoded"
)


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """An SMTP server and how it is spoken to."""

    host: str
    port: int
    tls: Literal["starttls", "at once", "off"]
    user: str | None = None
    password: str = field(default="", repr=False)


def parse_smtp_url(text: str, *, plain: bool = False) -> SmtpServer:
    """Read the URL of an SMTP server. Raises ValueError, without repeating the text, for what is none.

    :param plain: whether the operator lets mail go without TLS
    """
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise ValueError(_EXPECTED) from None
    if parts.scheme not in _PORTS or not host or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(_EXPECTED)
    if any(ord(character) <= ord(" ") for character in text) or "@" in host:
        raise ValueError(_EXPECTED)
    user = None if not parts.username else unquote(parts.username)
    if user is not None and parts.password is None:
        raise ValueError(f"has a user and no password; {_EXPECTED}")
    tls: Literal["starttls", "at once", "off"] = "at once" if parts.scheme == "smtps" else "starttls"
    if plain:
        if parts.scheme == "smtps":
            raise ValueError("smtps:// is TLS from the first byte; write smtp:// for a server without TLS")
        tls = "off"
    return SmtpServer(host, port or _PORTS[parts.scheme], tls, user, unquote(parts.password or ""))
