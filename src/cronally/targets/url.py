"""URLs, read strictly: what can be read in two ways is refused, and what is sent is exactly what was written.

https://datatracker.ietf.org/doc/html/rfc3986, without fragments and characters outside ASCII. User info is sent as
HTTP's Basic authentication (https://datatracker.ietf.org/doc/html/rfc7617), never as a part of the URL.
"""

from __future__ import annotations

import base64
import re
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

import idna

_URL: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>[^#]*)(?P<fragment>#.*)?"
)
_BEFORE_PATH: Final = re.compile(r"[^:/?#]*://[^/?#]*")
_AUTHORITY: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
_USERINFO: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*")
_REST: Final = re.compile(
    r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?"
    r"(?:\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?"
)
MAX_NAME_LENGTH: Final = 253
"""Characters of a domain name."""
_DEFAULT_PORTS: Final = {False: 80, True: 443}


class Origin(NamedTuple):
    """What a connection leads to. Requests to one origin can use the same connection."""

    secure: bool
    """Whether TLS is spoken."""
    host: str
    """A name in small letters, or an IP address without brackets."""
    port: int


class Url(NamedTuple):
    """The address of a request."""

    origin: Origin
    authority: str
    """The Host header: the host as it was written, with the port unless it is the scheme's own."""
    target: str
    """Path and query exactly as they were written; `/` for none."""
    userinfo: str | None = None
    """User name and password as they were written; None without them."""

    def __repr__(self) -> str:
        """Path, query and user info may be secret."""
        return f"Url({self.authority!r})"

    @property
    def authorization(self) -> str | None:
        """The Authorization header that user info stands for; None without it."""
        if self.userinfo is None:
            return None
        user, _, password = self.userinfo.partition(":")
        credentials = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
        return f"Basic {base64.b64encode(credentials).decode('ascii')}"


@lru_cache(maxsize=1024)
def parse_url(text: str) -> Url:
    """Read a URL. Whether its host may be called, `egress` says.

    Raises ValueError with the end of a sentence that says what to give, without repeating the text.
    """
    if not text.isascii():
        _check_host_in_unicode(text)
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("holds spaces, control characters or characters outside ASCII; percent-encode them")
    parts = _URL.fullmatch(text)
    if parts is None or parts["scheme"].lower() not in ("http", "https"):
        raise ValueError("is no URL of a web server; give one like https://example.com/hook")
    if parts["fragment"] is not None:
        raise ValueError("has a fragment (#...), which is never sent; leave it out")
    userinfo, at, where = parts["authority"].rpartition("@")
    if at:
        _check_userinfo(userinfo)
    authority = _AUTHORITY.fullmatch(where)
    if authority is None:
        raise ValueError("has no usable host; give one like https://example.com/hook")
    if not _REST.fullmatch(parts["rest"]):
        raise ValueError("holds characters that a URL cannot; percent-encode them")
    secure = parts["scheme"].lower() == "https"
    port = int(authority["port"] or _DEFAULT_PORTS[secure])
    if not 0 < port < 65_536:
        raise ValueError("has no usable port; give one from 1 to 65535")
    host = authority["host"]
    return Url(
        Origin(secure, host.strip("[]").lower(), port),
        host if port == _DEFAULT_PORTS[secure] else f"{host}:{port}",
        parts["rest"] if parts["rest"].startswith("/") else f"/{parts['rest']}",
        userinfo if at else None,
    )


def parse_origin(text: str) -> Origin:
    """What a URL leads to, whatever stands in its path and its query: there may be placeholders in them.

    Raises ValueError as `parse_url`.
    """
    found = _BEFORE_PATH.match(text)
    return parse_url(text if found is None else found[0]).origin


def host_and_port(origin: Origin) -> str:
    """How a host that speaks TLS is written where its port may be another than 443."""
    return origin.host if origin.port == _DEFAULT_PORTS[True] else f"{origin.host}:{origin.port}"


def _check_host_in_unicode(text: str) -> None:
    """Raise ValueError, with the form in ASCII, for a host that is written in other characters."""
    found = _URL.fullmatch(text)
    name = "" if found is None else found["authority"].rpartition("@")[2].partition(":")[0]
    if name.isascii():
        return
    try:
        # As browsers do it: what is equivalent is mapped first (capitals, full-width letters), then IDNA 2008.
        if len(name) > MAX_NAME_LENGTH:
            raise idna.IDNAError
        plain = idna.encode(name, uts46=True).decode("ascii")
    except idna.IDNAError:
        raise ValueError(
            "has a host that is no domain name; give one like https://example.com/hook"
        ) from None
    rest = f"{text.replace(name, '', 1)}"
    also = "" if rest.isascii() else ", and percent-encode what else is outside ASCII"
    raise ValueError(f"has a host outside ASCII; write it as {plain}{also}")


def _check_userinfo(userinfo: str) -> None:
    if "@" in userinfo:
        raise ValueError("has more than one @ before its host; write one in a password as %40")
    if not _USERINFO.fullmatch(userinfo):
        raise ValueError(
            "has a user name or password with characters that a URL cannot hold; percent-encode them"
        )
    user, _, password = userinfo.partition(":")
    if not user and not password:
        raise ValueError("has no user name before the @; give one, or leave the @ out")
    if b":" in unquote_to_bytes(user):
        raise ValueError("has a user name with a colon, which HTTP cannot send; give another user")
    if any(byte < 0x20 or byte == 0x7F for byte in unquote_to_bytes(userinfo)):
        raise ValueError("has a control character in its user name or password; leave it out")
