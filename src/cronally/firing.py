"""A firing: one fire time that is owed to a target, and the states that it goes through.

Invariant: a firing is identified by (cron job, fire time, kind), and its id is a pure function of the three: the
same over retries, crashes, failover and replay.
"""

from __future__ import annotations

from enum import StrEnum
from hashlib import sha1
from typing import Final
from uuid import UUID

_NAMESPACE: Final = UUID("9d2b3a52-6b0c-5d0e-8f4e-5a3a7f1c2e90").bytes
"""The namespace of Cronally's firing ids. Changing it would change every id: never do."""
_VARIANTS: Final = "89ab"


class Kind(StrEnum):
    """Why a firing exists."""

    SCHEDULED = "scheduled"
    MANUAL = "manual"


class State(StrEnum):
    """Where a firing stands; the last four carry a reason."""

    PENDING = "pending"
    SENDING = "sending"
    DELIVERED = "delivered"
    FAILED = "failed"
    MISSED = "missed"
    SKIPPED = "skipped"


TERMINAL: Final = frozenset({State.DELIVERED, State.FAILED, State.MISSED, State.SKIPPED})


def firing_id(cronjob_id: str, scheduled_at: int, kind: str = Kind.SCHEDULED) -> str:
    """The id of a firing: UUIDv5 over cron job, fire time (microseconds since 1970 UTC) and kind."""
    # RFC 9562, 5.5, spelled out: every firing passes here, and `uuid.uuid5` takes three times as long.
    digest = sha1(
        _NAMESPACE + f"{cronjob_id}/{scheduled_at}/{kind}".encode(), usedforsecurity=False
    ).hexdigest()
    variant = _VARIANTS[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"
