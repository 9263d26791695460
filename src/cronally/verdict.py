"""What an outcome makes of a firing: delivered, tried again later, or failed.

Invariant: pure. The same claim, outcome and chance give the same record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cronally import backoff
from cronally.firing import State
from cronally.store.firings import Claim, Record
from cronally.target import Delivered, Outcome, Refused, Retry, Unauthorized

MAX_REASON: Final = 1000
"""Characters of a reason that are kept."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One try: when it began (an instant), how long it took (microseconds), what came of it."""

    at: int
    duration: int
    outcome: Outcome


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
            message_id=outcome.message_id,
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
        # PostgreSQL's text holds no NUL.
        outcome.reason.replace("\0", "\N{REPLACEMENT CHARACTER}")[:MAX_REASON],
        due_at=due_at,
        sent_at=sent.at,
        duration=sent.duration,
        finished_at=ended if due_at is None else None,
        outcome=type(outcome).__name__.lower(),
    )


def release(claim: Claim, now: int) -> Record:
    """Give a claim back unsent: it is due again at once, and no attempt was burned."""
    return Record(claim, State.PENDING, due_at=now, attempt=claim.attempt - 1)
