"""What a host shows of whose it is: one page, over TLS, that holds a text and nothing else.

Invariant: pure. The request holds nothing of the text, so a host that repeats what it is asked proves nothing.
"""

from __future__ import annotations

import hmac
from typing import Final

from cronally.targets.answer import Answer
from cronally.targets.pool import USER_AGENT
from cronally.targets.proving import Found
from cronally.targets.target import Refused, Retry, Unauthorized, Unknown

SECONDS: Final = 5.0
"""That one look may take."""
MOST: Final = 256
"""Bytes of the page that are waited for: the text, and a line end or two."""
HEADERS: Final = {"Accept": "text/plain", "Accept-Encoding": "identity", "User-Agent": USER_AGENT}
_LATER: Final = frozenset({408, 425, 429})
"""Statuses below 500 that say nothing but to come again."""


def wanted(_ip: str, status: int) -> int:
    """How many bytes of a body are waited for."""
    return MOST if status == 200 else 0


def found(answer: Answer | Retry | Unknown | Refused | Unauthorized, text: str) -> Found:
    """What an answer says of a host that is to show the text."""
    if not isinstance(answer, Answer):
        return Found(answer.detail, final=isinstance(answer, Refused))
    if answer.status != 200:
        later = answer.status >= 500 or answer.status in _LATER
        return Found(f"HTTP {answer.status}, and no 200", final=not later)
    body = (answer.body or b"").strip()
    if hmac.compare_digest(body, text.encode()):
        return Found()
    # What is cut off in the middle of the text may have been the text.
    partial = answer.cut and len(body) < len(text) and text.encode().startswith(body)
    return Found("the page holds another text" if not partial else "the page was cut off", final=not partial)
