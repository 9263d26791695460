"""What of a target's URL is secret, and how the URL is shown.

Invariant: pure, and raises for no text. This is the only place that decides it: what is stored in the clear and what is
shown is made here, and both are the same text. To hide what is hidden already changes nothing. Why it is decided so:
docs/design/url-secrets.md.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

MASK: Final = "***"
"""What stands for a secret."""
PATH: Final = "/"
"""Among the parts that are marked as secret: the path."""
MAX_PIECES: Final = 32
"""Segments, parameters and names that are looked at. Of a URL with more of them all behind the host is secret: a page
shows a hundred URLs, and one of 1,000 segments took 3 to 6 ms to look at."""
_KEY_ID: Final = re.compile(r"[A-Z0-9_]*")
_SEPARATORS: Final = "/&=:"
MAX_NAME: Final = 64
"""Characters of a name. One that is longer is none, and may be a secret itself."""
_LAYERS: Final = 3
"""How often a text may be percent-encoded."""

_URL: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?"
)

# A name is read as words: apiKey, api_key, X-API-KEY, auth[key].
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_WORDS: Final = frozenset(
    (
        *(
            "auth",
            "authorization",
            "bearer",
            "cred",
            "creds",
            "hmac",
            "jwt",
            "key",
            "keys",
            "otp",
            "pass",
            "passcode",
        ),
        *("pin", "psk", "pw", "sas", "sid", "sig", "sign", "totp"),
    )
)
_WHOLE: Final = frozenset({"code", "session"})
"""Words that name no secret beside others: Azure takes the key of a function as `code`, and `zip_code` is none."""
_PART: Final = re.compile(
    r"token|secret|passw|passphrase|pwd|credential|signature|apikey|accesskey|authkey|privatekey|sharedkey|secretkey"
    r"|licen[cs]ekey|writekey|sessionid|sessid"
)
"""What stands in a name without its separators, wherever the words end: authtoken, clientsecret, JSESSIONID."""
_BEFORE_SECRETS: Final = frozenset({"apikey", "key", "password", "secret", "token"})
"""Segments of a path behind which a secret stands: /with/key/..."""

# What holds a secret though no name says so: user info of a URL inside, and tokens that say what they are.
_KNOWN_TOKEN: Final = re.compile(
    r"://[^/?#\s]*@|(?<![\w-])eyJ[\w-]{8,}+\.[\w-]|\b(?:[rs]k_(?:live|test)|gh[oprsu]|github_pat|xox[a-z]|xapp|glpat|whsec)[_-]\w"
    r"|\b(?:Basic|Bearer) \S"
)
# Possessive, and from the beginning of a name alone: the time that it takes grows with the text and no faster.
_NAMED: Final = re.compile(r"(?<![\w.\[\]-])([\w.\[\]-]++)[\"'\s]*+[:=]")
"""A name with a value behind it, of a query, a JSON document or a header inside a value."""

_CAPABILITIES: Final = (
    (".discord.com", "/api/"),
    (".discordapp.com", "/api/"),
    (".hc-ping.com", "/"),
    (".hooks.slack.com", "/"),
    (".hooks.zapier.com", "/hooks/"),
    (".make.com", "/"),
    (".ntfy.sh", "/"),
    (".outlook.office.com", "/webhook/"),
    (".pagerduty.com", "/integration/"),
    (".api.telegram.org", "/bot"),
    (".webhook.office.com", "/"),
    (".webhook.site", "/"),
)
"""Hosts, with those below them, whose URL is itself the secret, and what of its path is none."""


def hide_url(url: str, marked: Collection[str] = ()) -> str:
    """A URL as it may be shown: `***` in the place of each secret. The same text if it holds none.

    :param marked: names of query parameters that are secret whatever they are called, in any case; `PATH`: the path
    """
    found = _URL.match(url)
    if found is None:
        return MASK
    userinfo, at, host = found["authority"].rpartition("@")
    path, query = found["path"], found["query"] or ""
    if _has_many_pieces(path + query):
        path, query = f"/{MASK}" if path.strip("/") else path, f"?{MASK}" if query else ""
    path = _hide_path(host, path, PATH in marked)
    if query:
        names = frozenset(name.casefold() for name in marked)
        query = "?" + "&".join(_hide_parameter(part, names) for part in query[1:].split("&"))
    # A fragment is never sent; what stands in one is nobody's business.
    fragment = f"#{MASK}" if found.end() < len(url) else ""
    return "".join((found["scheme"], MASK if userinfo else "", at, host, path, query, fragment))


def has_part(url: str, part: str) -> bool:
    """Whether a URL has a part that can be marked: a query parameter of this name, or a path."""
    found = _URL.match(url)
    if found is None:
        return False
    if part == PATH:
        return found["path"].strip("/") != ""
    names = {_decoded(one.partition("=")[0]).casefold() for one in (found["query"] or "?")[1:].split("&")}
    # What is hidden as a whole cannot be looked into: it had the part when it was given.
    return part.casefold() in names or MASK in names


def looks_secret(name: str, value: str) -> bool:
    """Whether a value, of a header say, is secret by its name or by its form."""
    return _names_secret(name) or _holds_secret(value)


def _has_many_pieces(text: str) -> bool:
    for _ in range(_LAYERS + 1):
        if sum(map(text.count, _SEPARATORS)) > MAX_PIECES:
            return True
        if (plain := _decoded(text)) == text:
            break
        text = plain
    return False


def _hide_path(host: str, path: str, marked: bool) -> str:
    if not path.strip("/"):
        return path
    name = "." + host.partition(":")[0].lower()
    opens = next((begin for owner, begin in _CAPABILITIES if name.endswith(owner)), None)
    if marked:
        opens = PATH
    if opens is not None and path.startswith(opens) and path != opens:
        return opens + MASK
    segments, before = path.split("/"), ""
    for place, segment in enumerate(segments):
        if segment and (before in _BEFORE_SECRETS or _holds_secret(segment)):
            segments[place] = MASK
        before = _squeezed(_decoded(segment))
    return "/".join(segments)


def _hide_parameter(part: str, marked: Collection[str]) -> str:
    """A part of a query: `name=value`, or something else."""
    name, equals, value = part.partition("=")
    if not equals or _holds_secret(name):
        return MASK if part and _holds_secret(part) else part
    plain = _decoded(name)
    if value and (plain.casefold() in marked or _names_secret(plain) or _holds_secret(value)):
        return f"{name}={MASK}"
    return part


def _names_secret(name: str) -> bool:
    """Whether what a name says is that its value is secret."""
    if len(name) > MAX_NAME:
        return True
    words = [word.lower() for word in _WORD.findall(name)]
    whole = _squeezed(name)
    return whole in _WHOLE or not _WORDS.isdisjoint(words) or _PART.search(whole) is not None


def _holds_secret(text: str) -> bool:
    """Whether a value holds a secret by its form: as a URL, a query, JSON or a header, encoded up to three times."""
    for _ in range(_LAYERS):
        plain = _decoded(text)
        if _KNOWN_TOKEN.search(plain) or any(_names_secret(name) for name in _NAMED.findall(plain)):
            return True
        if plain == text:
            break
        text = plain
    return False


def _squeezed(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


def _decoded(text: str) -> str:
    """A text without percent-encoding, as a form has it."""
    if "%" not in text and "+" not in text:
        return text
    plain = re.sub(
        rb"%([0-9A-Fa-f]{2})",
        lambda found: bytes((int(found[1], 16),)),
        text.replace("+", " ").encode("utf-8", "replace"),
    )
    return plain.decode("utf-8", "replace")


def hide_key_id(text: str, values: Mapping[str, Any]) -> str:
    """An access key id as it may be shown. What is none may be the secret that was put in its place."""
    return text if _KEY_ID.fullmatch(text) else MASK
