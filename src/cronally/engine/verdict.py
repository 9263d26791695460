"""What an outcome makes of a firing: delivered, tried again later, or failed.

Invariant: pure. The same claim, outcome and chance give the same record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cronally.cronjob import State as CronjobState
from cronally.engine import backoff, lateness
from cronally.firing import Reason, State
from cronally.store.claims import Claim, Record
from cronally.targets.target import Delivered, Outcome, Refused, Repeated, Retry, Unauthorized, Unknown

MAX_LOST_LEASES: Final = 5
"""Leases in a row that ended without a record before a firing is given up: it may be what kills the workers."""
MAX_TEXT: Final = 1000
"""Characters of a detail or a message id that are kept."""

_REASONS: Final[Mapping[type[Outcome], Reason]] = {
    Retry: Reason.TARGET_UNAVAILABLE,
    Unauthorized: Reason.TARGET_UNAUTHORIZED,
    Refused: Reason.TARGET_REFUSED,
    Unknown: Reason.UNCONFIRMED,
    Repeated: Reason.REPEATED,
}
_SHORT: Final = (Unauthorized, Refused, Repeated)
"""The outcomes on the short schedule; the two schedules are counted apart."""


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
        return _delivered(claim, sent, outcome.message_id)
    short = isinstance(outcome, _SHORT)
    refusals = claim.refusals + short
    due_at, reason = None, sent.reason or _REASONS[type(outcome)]
    attempt_reason = None
    if _is_held(claim, outcome):
        # Its other secrets are tried first the next time, if it has any.
        refusals = int(claim.connection_previous is not None and claim.refusals % 2 == 0)
        attempt_reason, ends = reason, lateness.age_ends(claim)
        due_at = ends + 1 if ended <= ends else None
        reason = Reason.MAX_AGE if due_at is None else Reason.CONNECTION_UNHEALTHY
    elif not _is_last(claim, outcome, refusals):
        due_at = backoff.next_attempt_at(
            ended,
            lateness.age_ends(claim),
            refusals if short else max(1, _tries(claim) - refusals),
            chance,
            retry_after=outcome.after if isinstance(outcome, Retry | Repeated) else None,
            policy=backoff.CONSISTENCY if short else backoff.listed(claim.policies.retry_delays),
        )
        if due_at is None:
            reason, attempt_reason = Reason.MAX_AGE, reason
    if due_at is None and isinstance(outcome, Repeated):
        # It has said so as often as it is asked: what it is still at after ten minutes, it has.
        return _delivered(claim, sent, None)
    return Record(
        claim,
        State.FAILED if due_at is None else State.PENDING,
        reason,
        attempt_reason=attempt_reason,
        refusals=refusals,
        due_at=due_at,
        sent_at=sent.at,
        duration=sent.duration,
        finished_at=ended if due_at is None else None,
        outcome=type(outcome).__name__.lower(),
        detail=_storable(outcome.detail),
    )


def _is_held(claim: Claim, outcome: Outcome) -> bool:
    """Whether a firing waits for other credentials of its connection: these, all that it has, are refused.

    Where it has former ones beside the new ones, both have been tried: what is unhealthy is refused both in turn.
    """
    if claim.connection_id is None or not isinstance(outcome, Unauthorized) or outcome.known:
        return False
    unhealthy = claim.connection_probe is not None
    return unhealthy or claim.connection_previous is None or claim.refusals % 2 == 1


def _is_last(claim: Claim, outcome: Outcome, refusals: int) -> bool:
    """Whether there is no attempt after this one, however young the firing is."""
    if isinstance(outcome, Refused) and outcome.final:
        return True
    if _tries(claim) > claim.policies.retry_max_attempts:
        return True
    most = backoff.CONSISTENCY.max_attempts
    return isinstance(outcome, _SHORT) and most is not None and refusals >= most


def _tries(claim: Claim) -> int:
    """The number of the attempt that a claim is for, counted from its last replay."""
    return claim.attempt - claim.attempts_before


def _delivered(claim: Claim, sent: Sent, message_id: str | None) -> Record:
    return Record(
        claim,
        State.DELIVERED,
        sent_at=sent.at,
        duration=sent.duration,
        finished_at=sent.at + sent.duration,
        message_id=None if message_id is None else _storable(message_id),
    )


def _storable(text: str) -> str:
    """What a target said, bounded, as both databases can keep it: no NUL, no half of a surrogate pair."""
    return (
        text[:MAX_TEXT].replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
    )


def give_up(claim: Claim, now: int) -> Record | None:
    """The record that closes a claim that must not be sent, or None.

    One that was never attempted is `missed` by `misfire_grace` and failed by `max_age`, whichever ends earlier.
    """
    if claim.lost_leases >= MAX_LOST_LEASES:
        state, reason = State.FAILED, Reason.WORKER_LOST
    elif claim.cronjob_state == CronjobState.DELETED:
        state, reason = State.SKIPPED, Reason.DELETED
    elif _tries(claim) - 1 > claim.policies.retry_max_attempts and not claim.only_early:
        # The last attempt was lost with its worker, or the cron job was changed since.
        state = State.FAILED
        reason = Reason.UNCONFIRMED if claim.lost_leases else Reason.RETRY_MAX_ATTEMPTS
    elif claim.attempt == 1 and now > lateness.grace_ends(claim):
        state, reason = State.MISSED, Reason.MISFIRE_GRACE
    elif now > lateness.age_ends(claim):
        state, reason = State.FAILED, Reason.MAX_AGE
    else:
        return None
    return Record(claim, state, reason, attempt=claim.attempt - 1, finished_at=now)


def release(claim: Claim, now: int) -> Record:
    """Give a claim back unsent: it is due again at once, and no attempt was burned."""
    return Record(claim, State.PENDING, due_at=now, attempt=claim.attempt - 1)


def put_off(claim: Claim, now: int, reason: Reason, seconds: float, chance: float) -> Record:
    """Give a claim back unsent until it is worth to ask again: no attempt was burned.

    :param reason: why it may not go out now
    :param seconds: in which it is worth to ask again, as far as that is known
    :param chance: uniform in [0, 1): so that not all of them ask at once
    """
    since = lateness.owed_since(claim)
    due_at = backoff.next_claim_at(now, since, lateness.last_chance(claim), seconds, chance)
    return Record(claim, State.PENDING, reason, due_at=due_at, attempt=claim.attempt - 1)
