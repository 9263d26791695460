"""What an explanation finds at an instant, as words for programs."""

from __future__ import annotations

from enum import StrEnum


class Finding(StrEnum):
    """What is found at an instant; of a row that covers it, the row's state."""

    PENDING = "pending"
    SENDING = "sending"
    HELD = "held"
    DELIVERED = "delivered"
    FAILED = "failed"
    MISSED = "missed"
    SKIPPED = "skipped"
    SUPPRESSED = "suppressed"
    """A change of the clock, and the cron job's policy, leave it out."""
    EXCLUDED = "excluded"
    """It is to be skipped when its time comes: its date is excluded."""
    NO_FIRE_TIME = "no_fire_time"
    FUTURE = "future"
    """It will fire."""
    DUE = "due"
    """It is to fire, and no scheduler has ticked since."""
    NOT_OWED = "not_owed"
    """A fire time of the timetable that the cron job went past: the zone's rules, or the clock, were others then."""
    BEFORE_CREATION = "before_creation"
    BEFORE_CHANGE = "before_change"
    """Nothing fired, and what the cron job was then is not kept."""
    INACTIVE = "inactive"
    """The cron job was paused."""
    DELETED = "deleted"
    NOT_KEPT = "not_kept"
    """Older than the ledger is kept, and nothing of it is left."""
