"""A firing: one fire time that is owed to a target, the states that it goes through, and every reason.

Invariant: a firing is identified by (cron job, fire time, kind), and its id is a pure function of the three: the
same over retries, crashes, failover and replay. A reason is one of a closed list; free text is never one.
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
    DEAD_LETTER = "dead_letter"
    """It tells of a firing that has failed: of one of another cron job, which names its own for that."""


class State(StrEnum):
    """Where a firing stands; the last four carry a reason."""

    PENDING = "pending"
    SENDING = "sending"
    HELD = "held"
    """As it is shown: the ledger has it as pending, with the reason `connection_unhealthy` (`shown`)."""
    DELIVERED = "delivered"
    FAILED = "failed"
    MISSED = "missed"
    SKIPPED = "skipped"


UNDELIVERED: Final = (State.FAILED, State.MISSED, State.SKIPPED)
"""The states in which a firing ended without being delivered."""


def shown(state: str, reason: str | None) -> str:
    """The state of a row of the ledger as everybody is told it."""
    if state == State.PENDING and reason == Reason.CONNECTION_UNHEALTHY:
        return State.HELD
    return state


def lateness(due_since: int, finished_at: int) -> int:
    """How late a firing was delivered: microseconds from when it might start; less than 0 if a clock was ahead.

    :param due_since: its fire time, or its place in the window of its cron job
    """
    return finished_at - due_since


class Reason(StrEnum):
    """Why a fire time is not delivered, or why it was moved, doubled or suppressed: for programs to switch over.

    Every `reason` of a firing, an attempt, a preview and an explanation is one of these.
    """

    sentence: str
    """The same for people: a clause in English, without a capital letter and a full stop."""

    def __new__(cls, value: str, sentence: str = "") -> Reason:
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member

    # A fire time that was given up
    MISFIRE_GRACE = "misfire_grace", "it was older than misfire_grace allows"
    MAX_AGE = "max_age", "it was older than max_age allows"
    CATCH_UP_LATEST = "catch_up=latest", "a later fire time fired instead"
    CATCH_UP_SKIP = "catch_up=skip", "the cron job does not catch up"
    DELETED = "deleted", "the cron job was deleted before it was delivered"
    SET_ASIDE = "set_aside", "the server could not read the cron job's schedule, and paused it"

    PAUSED = "paused", "the cron job was paused"
    EXCLUDED = "excluded", "its date is excluded"
    """The row's `cause` says by what."""

    FROZEN = "frozen", "it fell into a freeze"
    """It is skipped, or held until the end of the freeze, as that one says. The row's `cause` is the freeze's id."""

    SUSPENDED = "suspended", "the server's operator had suspended the account"
    ACCOUNT_DELETED = "account_deleted", "the account was deleted"

    # A firing that another one of its cron job kept from going
    OVERLAP = "overlap", "an earlier firing of the cron job was not finished"
    QUEUE_FULL = "queue_full", "ten firings of the cron job already waited for an earlier one"

    # What became of a fire time before it came
    CLOCK_AHEAD = (
        "clock_ahead",
        "the server's clock was ahead when it was sent, and it fires again at its time",
    )

    # What a change of the clock made of a fire time
    DST_GAP_RUN_AT_JUMP = "dst_gap=run_at_jump", "the clock skips its local time, and it fires at the jump"
    DST_GAP_SKIP = "dst_gap=skip", "the clock skips its local time"
    DST_GAP_SHIFT = (
        "dst_gap=shift",
        "the clock skips its local time, and it fires as much later as is skipped",
    )
    DST_OVERLAP_FIRST = "dst_overlap=first", "its local time comes twice, and it fires the first time"
    DST_OVERLAP_LAST = "dst_overlap=last", "its local time comes twice, and it fires the second time"
    DST_OVERLAP_BOTH = "dst_overlap=both", "its local time comes twice, and it fires both times"
    REAL_MINUTES = (
        "real_minutes",
        "a wildcard job fires at every real minute that its expression names, and at none that the clock skips",
    )
    """No policy was chosen for a wildcard job."""
    NEW_CLOCK = (
        "new_clock",
        "the clock changed by three hours or more: what it skips is lost, and what it repeats fires twice",
    )
    """No policy applies."""

    # A firing that waits, though it is due
    ACCOUNT_LIMIT = (
        "account_limit",
        "the account has as many firings on the way as it may have, of all that it sends or to this host or topic",
    )
    HOST_LIMIT = (
        "host_limit",
        "the host gets as many requests as may be sent to it, by all accounts together or by one whose own it is",
    )
    CRONJOB_LIMIT = (
        "cronjob_limit",
        "max_in_flight or max_per_second of the cron job lets no more go at once, or in a second",
    )
    CONNECTION_LIMIT = (
        "connection_limit",
        "max_in_flight or max_per_second of the connection lets no more go at once, or in a second",
    )
    LONG_LIMIT = (
        "long_limit",
        "its request may take long, and as many of those are on the way as the server, or the account, may have",
    )
    CIRCUIT_OPEN = "circuit_open", "the host has not answered lately, and is tried from time to time"
    EARLIER_FIRING = "earlier_firing", "an earlier firing of the cron job is not finished"
    CONNECTION_UNHEALTHY = (
        "connection_unhealthy",
        "the credentials of its connection are refused, and it is held until they are good again",
    )
    """The row's `cause` is the connection's id."""

    # A firing that may not be attempted again
    RETRY_MAX_ATTEMPTS = "retry_max_attempts", "retry_max_attempts allows no further attempt"

    # An attempt that did not deliver; `detail` of the attempt says more
    TARGET_UNAVAILABLE = "target_unavailable", "the target did not take it, and may take it later"
    TARGET_UNAUTHORIZED = "target_unauthorized", "the target refuses the cron job's credentials"
    TARGET_REFUSED = "target_refused", "the target refuses this message, or does not exist"
    UNCONFIRMED = "unconfirmed", "the target did not confirm it: it may have arrived"
    REPEATED = (
        "repeated",
        "the target says that it knows this firing from an earlier attempt, or is still at it",
    )
    UNSENDABLE = (
        "unsendable",
        "it cannot be sent: the target or the sealing key is missing, or it was to be sent as it was then",
    )
    ATTEMPT_FAILED = "attempt_failed", "an error in the server ended the attempt"
    WORKER_LOST = "worker_lost", "five workers in a row stopped while they sent it"

    # An attempt that delivered, before the firing was sent again
    REPLAYED = "replayed", "it was delivered, and sent again later because somebody asked for it"
    UNACKNOWLEDGED = (
        "unacknowledged",
        "it was delivered, and sent again later because it was not acknowledged in time",
    )


WAITS: Final = frozenset(
    {
        Reason.ACCOUNT_LIMIT,
        Reason.HOST_LIMIT,
        Reason.CRONJOB_LIMIT,
        Reason.CONNECTION_LIMIT,
        Reason.LONG_LIMIT,
        Reason.CIRCUIT_OPEN,
        Reason.EARLIER_FIRING,
        Reason.FROZEN,
        Reason.CONNECTION_UNHEALTHY,
    }
)
"""The reasons why a firing waits, though it is due; of what a freeze keeps from going, some waits, some is skipped."""
CLOCK_CHANGES: Final = frozenset(
    {
        Reason.DST_GAP_RUN_AT_JUMP,
        Reason.DST_GAP_SKIP,
        Reason.DST_GAP_SHIFT,
        Reason.DST_OVERLAP_FIRST,
        Reason.DST_OVERLAP_LAST,
        Reason.DST_OVERLAP_BOTH,
        Reason.REAL_MINUTES,
        Reason.NEW_CLOCK,
    }
)
"""The reasons that say what a change of the clock made of a fire time."""

Key = tuple[str, int, str]
"""Of a firing: cron job, fire time and kind."""


def firing_id(cronjob_id: str, scheduled_at: int, kind: str = Kind.SCHEDULED) -> str:
    """The id of a firing: UUIDv5 over cron job, fire time (microseconds since 1970 UTC) and kind."""
    # RFC 9562, 5.5, spelled out: every firing passes here, and `uuid.uuid5` takes three times as long.
    digest = sha1(
        _NAMESPACE + f"{cronjob_id}/{scheduled_at}/{kind}".encode(), usedforsecurity=False
    ).hexdigest()
    variant = _VARIANTS[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"
