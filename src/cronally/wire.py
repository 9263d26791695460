"""Names and forms that both sides of a request agree on: the headers, and how an id is written.

Invariant: each stands here once; the server, the client and the documents read it here.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import quote

API_KEY_HEADER: Final = "X-Cron-Key"
DATE_HEADER: Final = "X-Cron-Date"
SIGNATURE_HEADER: Final = "X-Cron-Signature"
ACCEPT_SIGNATURE_HEADER: Final = "Accept-Signature"
"""What a refusal says of the signatures that the server takes (RFC 9421, 5.1)."""
IDEMPOTENCY_KEY_HEADER: Final = "Idempotency-Key"
NOTICE_HEADER: Final = "Cronally-Notice"
"""The operator's notice, while there is one."""
SIGNUP_TOKEN_HEADER: Final = "X-Cronally-Signup-Token"  # noqa: S105 - a header's name
NEXT_CURSOR_HEADER: Final = "Next-Cursor"
SEARCHED_UNTIL_HEADER: Final = "Searched-Until"
REQUEST_ID_HEADER: Final = "X-Request-Id"

IDEMPOTENCY_KEY_FORM: Final = re.compile(r"[!-~]{1,255}")
"""An idempotency key: 1 to 255 visible characters of ASCII."""

UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""A UUID as Cronally writes it, and takes it: in lower case."""

NIL_UUID: Final = "00000000-0000-0000-0000-000000000000"
"""The id of nothing (RFC 9562, 5.9)."""


def header_text(text: str) -> str:
    """A text as a header's value: plain if it is plain ASCII, else percent-encoded. Decoding is right for both."""
    plain = text.isascii() and text.isprintable() and "%" not in text and text == text.strip()
    return text if plain else quote(text, safe="", errors="replace")


class Limit(NamedTuple):
    """How much of something a client may use in a time.

    As headers write it: https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/ (draft 10).
    """

    name: str
    quota: int
    window: int
    """Seconds."""
    unit: str | None = None
    """What the quota counts; None: requests."""

    @property
    def policy(self) -> str:
        """The value of `RateLimit-Policy`."""
        unit = "" if self.unit is None else f';qu="{self.unit}"'
        return f'"{self.name}";q={self.quota}{unit};w={self.window}'

    def reached(self, seconds: int) -> str:
        """The value of `RateLimit` when nothing is left.

        :param seconds: until there is more
        """
        return f'"{self.name}";r=0;t={seconds}'
