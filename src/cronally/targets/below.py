"""What is below a URL: where the secrets of a connection may go.

Invariant: a URL is below another one only if every server that takes it apart agrees: no segment of its path leads
upwards, however it is written. A base holds no query, no user and no secret.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

from cronally.contract.url_secrets import hide_url
from cronally.targets.url import parse_url

_LAYERS: Final = 4
"""How often a path may be percent-encoded: beyond these it is below nothing."""


def check_base(text: str) -> None:
    """Raise ValueError, with the end of a sentence, for what cannot be a base. `Target.check` says the rest."""
    url = parse_url(text)
    if url.userinfo is not None:
        raise ValueError("has a user before its host; give it as username and password")
    if "?" in text:
        raise ValueError("has a query; leave it out, and give it with the URL of the cron job")
    if hide_url(text) != text:
        raise ValueError(
            "holds what looks like a secret; give it as a token, as a header or with the cron job"
        )
    if not is_below(text, text):
        raise ValueError("has a path with segments of dots; write it without them")


def whole_url(base: str, text: str) -> str:
    """The URL that a path means below a base; one that is a URL already stays as it is. Raises ValueError."""
    url = f"{base.rstrip('/')}{text}" if text.startswith("/") else text
    if not is_below(base, url):
        raise ValueError(
            f"is not below the base_url of the connection, {base}; give a path such as /run, or a URL below that,"
            " without segments of dots"
        )
    return url


def is_below(base: str, url: str) -> bool:
    """Whether a URL is the base, or below it."""
    root = base.rstrip("/")
    rest = url.removeprefix(root)
    if not url.startswith(root) or (rest and rest[0] not in "/?"):
        return False
    path = url.partition("?")[0].partition("://")[2].partition("/")[2]
    for _ in range(_LAYERS):
        segments = path.replace("\\", "/").split("/")
        # What follows a semicolon some servers leave out.
        if any(segment.partition(";")[0] in (".", "..") for segment in segments):
            return False
        decoded = unquote(path)
        if decoded == path:
            return True
        path = decoded
    return False
