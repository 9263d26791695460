"""What an outcome makes of a firing: delivered, tried again later, or failed.

Invariant: pure. The same claim, outcome and chance give the same record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cronally.engine import backoff
from cronally.firing import Reason, State
from cronally.store.firings import Claim, Record
from cronally.targets.target import Delivered, Outcome, Refused, Retry, Unauthorized, Unknown

MAX_TEXT: Final = 1000
"""Characters of a detail or a message id that are kept."""

_REASONS: Final[Mapping[type[Outcome], Reason]] = {
    Retry: Reason.TARGET_UNAVAILABLE,
    Unauthorized: Reason.TARGET_UNAUTHORIZED,
    Refused: Reason.TARGET_REFUSED,
    Unknown: Reason.UNCONFIRMED,
}


@dataclass(frozen=True, slots=True)
class Sent:
    """One try of one firing."""

    at: int
    """When it began, an instant."""
    duration: int
    """Microseconds."""
    outcome: Outcome
    reason: Reason | None = None
    """Why it did not deliver, where the target is not the cause."""


def verdict(claim: Claim, sent: Sent, chance: float) -> Record:
    """The record of a try.

    :param chance: uniform in [0, 1), the jitter of a retry
    """
    outcome = sent.outcome
    ended = sent.at + sent.duration
    if isinstance(outcome, Delivered):
        return Record(
            claim,
            State.DELIVERED,
            sent_at=sent.at,
            duration=sent.duration,
            finished_at=ended,
            message_id=None if outcome.message_id is None else _storable(outcome.message_id),
        )
    if isinstance(outcome, Refused) and outcome.final:
        due_at = None
    else:
        patient = not isinstance(outcome, Unauthorized | Refused)
        due_at = backoff.next_attempt_at(
            ended,
            claim.created_at,
            claim.attempt,
            chance,
            retry_after=outcome.after if isinstance(outcome, Retry) else None,
            policy=backoff.DELIVERY if patient else backoff.CONSISTENCY,
        )
    return Record(
        claim,
        State.FAILED if due_at is None else State.PENDING,
        sent.reason or _REASONS[type(outcome)],
        due_at=due_at,
        sent_at=sent.at,
        duration=sent.duration,
        finished_at=ended if due_at is None else None,
        outcome=type(outcome).__name__.lower(),
        detail=_storable(outcome.detail),
    )


def _storable(text: str) -> str:
    """What a target said, bounded, as both databases can keep it: no NUL, no half of a surrogate pair."""
    return (
        text[:MAX_TEXT].replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
    )


def release(claim: Claim, now: int) -> Record:
    """Give a claim back unsent: it is due again at once, and no attempt was burned."""
    return Record(claim, State.PENDING, due_at=now, attempt=claim.attempt - 1)


def put_off(claim: Claim, now: int, reason: Reason, seconds: float, chance: float) -> Record:
    """Give a claim back unsent until it is worth to ask again: no attempt was burned.

    :param reason: why it may not go out now
    :param seconds: in which it is worth to ask again, as far as that is known
    :param chance: uniform in [0, 1): so that not all of them ask at once
    """
    due_at = backoff.next_claim_at(now, claim.created_at, seconds, chance)
    return Record(
        claim,
        State.FAILED if due_at is None else State.PENDING,
        reason,
        due_at=due_at,
        attempt=claim.attempt - 1,
        finished_at=now if due_at is None else None,
    )
