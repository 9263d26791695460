"""A firing: one fire time that is owed to a target, and the states that it goes through.

Invariant: a firing is identified by (cron job, fire time, kind), and its id is a pure function of the three: the
same over retries, crashes, failover and replay.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final
from uuid import UUID, uuid5

_NAMESPACE: Final = UUID("9d2b3a52-6b0c-5d0e-8f4e-5a3a7f1c2e90")
"""The namespace of Cronally's firing ids. Changing it would change every id: never do."""


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
    return str(uuid5(_NAMESPACE, f"{cronjob_id}/{scheduled_at}/{kind}"))
