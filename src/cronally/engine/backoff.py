"""When a firing that was not delivered is tried again, and when it has been tried enough.

Invariant: pure. The chance comes in, so the same arguments give the same instant; a next attempt is never
earlier than now, and never later than the firing's age allows.

Two schedules. `DELIVERY`, in the shape of EventBridge Scheduler's (24 hours, 185 retries, exponential, with
jitter: its API reference, RetryPolicy), is for a target that may take the firing later; `max_age` and
`retry_max_attempts` of the cron job end it, and a `retry_schedule` of its own says other delays. `CONSISTENCY` is for
a refusal that may be a matter of minutes, because IAM and topics are eventually consistent. The arithmetic
of both is in docs/design/retries.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from cronally import retries
from cronally.instants import HOUR, MINUTE, SECOND

MAX_RETRY_AFTER: Final = HOUR
"""The longest wait (microseconds) that a target can ask for: none may park a firing for its whole life."""

PUT_OFF_LEAST: Final = SECOND // 10
"""The shortest time (microseconds) that a firing is put off."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and at what distances. Durations in microseconds."""

    max_attempts: int | None
    """Attempts on this schedule, the first included; None for as many as the cron job has."""
    first: int
    """The longest delay after the first attempt."""
    factor: int
    """By which the longest delay grows from attempt to attempt."""
    ceiling: int
    """Where it stops growing."""
    jitter: float
    """The share of a delay that is left to chance: 1 is full jitter."""
    delays: retries.Delays = ()
    """Listed delays, of which the last one repeats, in place of those that grow; chance makes them longer, by up to
    `retries.JITTER`."""


DELIVERY: Final = RetryPolicy(
    max_attempts=None,
    first=retries.FIRST,
    factor=retries.FACTOR,
    ceiling=retries.CEILING,
    jitter=1.0,
)
"""For `Retry` and `Unknown`: the first retry within 2 s; 185 retries take 22 h on average."""

CONSISTENCY: Final = RetryPolicy(max_attempts=5, first=8 * SECOND, factor=4, ceiling=10 * MINUTE, jitter=0.2)
"""For `Unauthorized`, `Repeated` and `Refused` that is not final: five attempts over 9 to 11 minutes."""


@lru_cache(maxsize=4096)
def listed(delays: retries.Delays) -> RetryPolicy:
    """The schedule for `Retry` and `Unknown` of a cron job that lists these delays; `DELIVERY` if it lists none."""
    return replace(DELIVERY, delays=delays) if delays else DELIVERY


def delay(attempt: int, chance: float, policy: RetryPolicy = DELIVERY) -> int:
    """Microseconds to wait after an attempt.

    :param attempt: the number of the attempt that was just made among those on this schedule, from 1
    :param chance: uniform in [0, 1)
    """
    if policy.delays:
        return int(retries.listed_delay(policy.delays, attempt) * (1 + retries.JITTER * chance))
    exponent = min(attempt - 1, 64)  # past every ceiling, and no number to fear
    longest = min(policy.ceiling, policy.first * policy.factor**exponent)
    return int(longest * (1 - policy.jitter + policy.jitter * chance))


def next_attempt_at(
    now: int,
    ends: int,
    attempt: int,
    chance: float,
    *,
    retry_after: float | None = None,
    policy: RetryPolicy = DELIVERY,
) -> int | None:
    """The instant of the next attempt; None if that would be too late.

    It is not made at the last moment instead: all that survived an outage would come in one instant.

    :param now: when the attempt ended
    :param ends: until when it may be attempted
    :param attempt: the number of the attempt that was just made among those on this schedule, from 1
    :param chance: uniform in [0, 1)
    :param retry_after: seconds that the target asked to wait. At least that long is waited, up to
        `MAX_RETRY_AFTER`, and a moment by chance more, so that all that got the same answer do not come at once
    """
    wait = delay(attempt, chance, policy)
    if retry_after is not None and retry_after > 0:  # false for NaN too
        asked = int(min(retry_after * SECOND, MAX_RETRY_AFTER))
        wait = max(wait, asked + int(policy.first * chance))
    due_at = now + wait
    return None if due_at > ends else due_at


def next_claim_at(now: int, since: int, ends: int, seconds: float, chance: float) -> int:
    """When a firing that was put off is claimed again: once its time is over at the latest.

    It waits for about half as long again as it has waited: some 120 claims in a day at most, however often it is
    put off; and a firing that waits for a moment waits for a moment more.

    :param since: from when it has waited
    :param ends: until when it may be attempted
    :param seconds: that it has to wait at least, as far as that is known
    :param chance: uniform in [0, 1): a quarter more or less
    """
    wait = min(max((now - since) // 2, PUT_OFF_LEAST), DELIVERY.ceiling)
    due_at = now + int(max(wait, seconds * SECOND) * (0.75 + chance / 2))
    return max(now, min(due_at, ends + 1))
