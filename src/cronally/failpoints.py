"""Named places on the path of a firing, or of a request, where a test may end the process.

Invariant: nothing happens here unless the composition root armed a place; the names are the steps that the crash
tests go through one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

POINTS: Final = (
    "change.before_commit",
    "change.after_commit",
    "wake.before_commit",
    "wake.after_commit",
    "tick.after_select",
    "tick.before_commit",
    "tick.after_commit",
    "hold.before_commit",
    "hold.after_commit",
    "claim.before_commit",
    "claim.after_commit",
    "send.before",
    "send.after",
    "record.before_commit",
    "record.after_commit",
    "acknowledge.before_commit",
    "acknowledge.after_commit",
    "conditions.before_commit",
    "conditions.after_commit",
)
"""In the order in which a firing meets them. Those of `change` are on the way of what an owner asks for, those of
`wake` only on that of a cron job that was paused, those of `hold` only on that of a firing that a freeze keeps from
going, those of `acknowledge` only where somebody waits for its acknowledgement, and those of `conditions` on that of
what an account is told. Only a kill between `send.before` and
`record.before_commit` may make a receiver see a firing twice."""

ALERT_POINTS: Final = ("alert.after_claim", "alert.after_send", "alert.after_record")
"""The same on the way of an alert to a channel. Only a kill between the first and the last may make it arrive twice."""

_armed: dict[str, Callable[[], None]] = {}


def arm(point: str, action: Callable[[], None]) -> None:
    """Run `action` whenever `point` is reached. Raises ValueError for a name that is no point."""
    if point not in (known := (*POINTS, *ALERT_POINTS)):
        raise ValueError(f"{point!r} is no failpoint; they are {', '.join(known)}")
    _armed[point] = action


def disarm() -> None:
    """Forget everything that was armed."""
    _armed.clear()


def reach(point: str) -> None:
    """Say that this place is reached."""
    if _armed and (action := _armed.get(point)) is not None:
        action()
