"""What an outcome makes of an alert with one channel: delivered, tried again later, or failed.

Invariant: pure. The same claim, outcome and chance give the same record. A receiver that says no for good is asked
once; one that may take it later is asked for as long as the news is worth something.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from cronally.alert import Reason, State, fit
from cronally.engine import backoff
from cronally.engine.backoff import RetryPolicy
from cronally.instants import DAY, HOUR, SECOND
from cronally.store.alert_deliveries import Claim, Record
from cronally.targets.target import Delivered, Outcome, Refused, Repeated, Retry, Unauthorized, Unknown

MAX_AGE: Final = DAY
"""So old an alert is sent, at most. Microseconds."""
MAX_LOST_LEASES: Final = 5
"""Leases in a row that ended without a record: it may be what kills the workers."""
MAX_TEXT: Final = 500
SCHEDULE: Final = RetryPolicy(max_attempts=24, first=5 * SECOND, factor=2, ceiling=HOUR, jitter=0.5)
"""Over 10 to 15 hours."""
SHORT: Final = replace(SCHEDULE, max_attempts=backoff.CONSISTENCY.max_attempts)
"""For what says no and may be a matter of minutes, as permissions of AWS are: some two minutes."""

_REASONS: Final[Mapping[type[Outcome], Reason]] = {
    Retry: Reason.TARGET_UNAVAILABLE,
    Unauthorized: Reason.UNAUTHORIZED,
    Refused: Reason.REFUSED,
    Unknown: Reason.UNCONFIRMED,
}


def verdict(claim: Claim, outcome: Outcome, now: int, chance: float, reason: Reason | None = None) -> Record:
    """The record of a try that has ended.

    :param chance: uniform in [0, 1), the jitter of a retry
    :param reason: why it did not arrive, where its receiver is not the cause
    """
    if isinstance(outcome, Delivered | Repeated):  # whoever knows its id has it
        return Record(claim, State.DELIVERED, attempts=claim.attempts)
    reason = reason or _REASONS[type(outcome)]
    detail = fit(outcome.detail, MAX_TEXT)
    policy = SHORT if isinstance(outcome, Unauthorized | Refused) else SCHEDULE
    failed = Record(claim, State.FAILED, reason, detail, attempts=claim.attempts)
    if isinstance(outcome, Refused) and outcome.final:
        return failed
    if policy.max_attempts is not None and claim.attempts >= policy.max_attempts:
        return failed if policy is SHORT else replace(failed, reason=Reason.MAX_ATTEMPTS)
    due_at = backoff.next_attempt_at(
        now,
        claim.created_at + MAX_AGE,
        claim.attempts,
        chance,
        retry_after=outcome.after if isinstance(outcome, Retry) else None,
        policy=policy,
    )
    if due_at is None:
        return replace(failed, reason=Reason.MAX_AGE)
    return replace(failed, state=State.PENDING, due_at=due_at)


def give_up(claim: Claim, now: int) -> Record | None:
    """The record that closes a claim that must not be sent, or None."""
    state, reason = State.FAILED, None
    if claim.lost_leases >= MAX_LOST_LEASES:
        reason = Reason.WORKER_LOST
    elif claim.parameters is None:
        state, reason = State.SKIPPED, Reason.CHANNEL_DELETED
    elif claim.confirmed_at is None:
        state, reason = State.SKIPPED, Reason.NOT_CONFIRMED
    elif now > claim.created_at + MAX_AGE:
        reason = Reason.MAX_AGE
    if reason is None:
        return None
    return Record(claim, state, reason, attempts=claim.attempts - 1, says=False)


def put_off(claim: Claim, due_at: int) -> Record:
    """Give a claim back unsent: no attempt was burned."""
    return Record(claim, State.PENDING, due_at=due_at, attempts=claim.attempts - 1, says=False)
