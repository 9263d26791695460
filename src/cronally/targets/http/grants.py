"""OAuth 2.0 client credentials: how an access token is asked for, and what the answer says.

Invariant: pure. A token that is read can stand in a header as it is. What is said of an answer holds none of the
secrets that it was asked with, and of an address that is not public nothing but the status.

Source: https://datatracker.ietf.org/doc/html/rfc6749#section-4.4, and section 5 for the answers; a token in a header is
that of https://datatracker.ietf.org/doc/html/rfc6750#section-2.1
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

from cronally.contract.connections import ClientAuthentication
from cronally.targets.answer import Answer
from cronally.targets.http.answers import ways
from cronally.targets.http.statuses import Meaning, row_of
from cronally.targets.pool import USER_AGENT
from cronally.targets.sns.answers import cleaned
from cronally.targets.target import Retry, Unauthorized

MAX_BODY: Final = 32_768
"""Bytes of an answer. With a token of `MAX_TOKEN` there is room for one that refreshes it, and for an id token."""
MAX_TOKEN: Final = 8192
"""Bytes of a token: no more of a header most web servers take."""
DEFAULT_LIFETIME: Final = 300.0
"""Seconds that a token is used whose answer does not say for how long it may be."""
MAX_LIFETIME: Final = 86_400.0
"""Seconds that one is used at most, whatever its answer says."""
BEFORE_END: Final = 60.0
"""Seconds before its end at which a token is used no longer, but never more than a quarter of its lifetime."""
_MAX_OPENED: Final = 64
"""Lists and objects in an answer, which is one object by itself: what is nested in thousands is read by nobody."""
_TOKEN: Final = re.compile("[!-~]+")
_CODE: Final = re.compile(r"[ !#-\[\]-~]{1,64}")  # RFC 6749, 5.2
_DIGITS: Final = re.compile("[0-9]{1,18}", re.ASCII)
_PASSING: Final = frozenset({"server_error", "slow_down", "temporarily_unavailable"})
"""Errors that are no fault of who asks; some endpoints say so with status 400."""
_UNUSABLE: Final = "and no token that can be sent"
"""What is said of an answer without one that nothing but the status may be told of."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What an access token is asked for with."""

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str | None = None
    audience: str | None = None
    client_authentication: str = ClientAuthentication.BASIC

    @classmethod
    def of(cls, text: str) -> Grant:
        """The one in what is sealed of a connection."""
        return cls(**json.loads(text))

    def sealed(self) -> str:
        """As it is sealed: JSON, without what it has not."""
        parts = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps(
            {name: value for name, value in parts.items() if value is not None}, separators=(",", ":")
        )

    def request(self) -> tuple[dict[str, str], bytes]:
        """The headers and the body of the question."""
        form = {"grant_type": "client_credentials"}
        form |= {
            name: value
            for name, value in (("scope", self.scope), ("audience", self.audience))
            if value is not None
        }
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/x-www-form-urlencoded",
            "User-Agent": USER_AGENT,
        }
        if self.client_authentication == ClientAuthentication.BODY:
            form |= {"client_id": self.client_id, "client_secret": self.client_secret}
        else:
            # Each is form-encoded first, so that an id may hold a colon (RFC 6749, 2.3.1).
            pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"
        return headers, urlencode(form).encode()


@dataclass(slots=True, eq=False)
class Token:
    """An access token."""

    text: str = field(repr=False)
    lifetime: float
    """Seconds, from when it was asked for, that it is used."""
    taken: bool = False
    """Whether a request with it was taken."""


def read_token(
    answer: Answer, grant: Grant, *, after: float | None, public: bool
) -> Token | Retry | Unauthorized:
    """The token in what a token endpoint answered, or what it means that there is none.

    :param after: seconds that Retry-After asks to wait
    :param public: whether its address is public
    """
    status = f"HTTP {answer.status}"
    parsed = _parse(answer)
    meaning = row_of(answer.status).of(1, after)
    if meaning is Meaning.DELIVERED:
        found = _token(parsed)
        if isinstance(found, Token):
            return found
        return Retry(f"the token endpoint answered {status}, {found if public else _UNUSABLE}")
    if 300 <= answer.status < 400:
        return Unauthorized(f"{status}: redirects are not followed; give the token_url that it leads to")
    detail, code = f"the token endpoint answered {status}", _code(parsed)
    if public and code:
        secrets = sorted({*ways(grant.client_secret)}, key=len, reverse=True)
        detail = f"{detail}: {cleaned(': '.join(filter(None, (code, _description(parsed)))), secrets)}"
    if meaning is Meaning.RETRY or code in _PASSING:
        return Retry(detail, after)
    # Wrong credentials, or what else nobody but the account can put right: its firings wait for that.
    return Unauthorized(detail)


def _parse(answer: Answer) -> Mapping[str, Any] | str:
    """The object that an answer is, or what is wrong with it."""
    body = answer.body or b""
    if answer.cut:
        return f"and more than {MAX_BODY:,} bytes, or not all of them in time"
    if body.count(b"{") + body.count(b"[") <= _MAX_OPENED:
        try:
            parsed = json.loads(body)
        except (ValueError, RecursionError):
            parsed = None
        if isinstance(parsed, dict):
            return parsed
    return "and no JSON object; is it a token endpoint?"


def _token(parsed: Mapping[str, Any] | str) -> Token | str:
    if isinstance(parsed, str):
        return parsed
    text, kind = parsed.get("access_token"), parsed.get("token_type", "Bearer")
    if not isinstance(text, str) or not text:
        return "without an access_token"
    # Some leave the type out, though they must not: there is no other that they may mean.
    if not isinstance(kind, str) or kind.lower() != "bearer":
        return "with a token whose token_type is not Bearer, which alone can be sent"
    if len(text) > MAX_TOKEN:
        return f"with an access_token of more than {MAX_TOKEN:,} bytes"
    if not _TOKEN.fullmatch(text):
        return "with an access_token that cannot stand in a header"
    lifetime = _lifetime(parsed.get("expires_in"))
    if lifetime is None:
        return "with an expires_in that is no number of seconds, or not above 0"
    return Token(text, lifetime)


def _lifetime(said: object) -> float | None:
    """Seconds that a token is used, None for what says nothing readable."""
    if said is None:
        return DEFAULT_LIFETIME
    if isinstance(said, str) and _DIGITS.fullmatch(said):  # as Microsoft's older endpoint writes it
        said = int(said)
    if isinstance(said, bool) or not isinstance(said, int | float) or not said > 0:
        return None
    lifetime = float(min(said, MAX_LIFETIME))
    return lifetime - min(BEFORE_END, lifetime / 4)


def _code(parsed: Mapping[str, Any] | str) -> str:
    """The error that an answer names."""
    found = None if isinstance(parsed, str) else parsed.get("error")
    return found if isinstance(found, str) and _CODE.fullmatch(found) else ""


def _description(parsed: Mapping[str, Any] | str) -> str:
    found = None if isinstance(parsed, str) else parsed.get("error_description")
    return found if isinstance(found, str) else ""
