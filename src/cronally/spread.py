"""Where in the window of its cron job a firing starts, so that what shares a fire time does not start at once.

Invariant: pure, and the same in every version: a firing that is planned again, by whichever node, keeps its place. The
places of many cron jobs, and of many fire times of one, are spread evenly.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

_STEP: Final = 1000
"""A place is a whole number of milliseconds."""


def place(cronjob_id: str, scheduled_at: int, window: int) -> int:
    """How much later than its fire time a firing starts, less than its window; both in microseconds.

    The same share of a window of any length. Never change what this returns.
    """
    if window < _STEP:
        return 0
    digest = sha256(f"{cronjob_id}/{scheduled_at}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") * (window // _STEP) >> 64) * _STEP
