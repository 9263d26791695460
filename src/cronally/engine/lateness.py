"""Until when a firing may be attempted.

Invariant: pure, and by the cron job's policies as they are at the claim. `misfire_grace` bounds how late the first
attempt is, `max_age` how late any is. Both count from when it may start: its fire time, or its place in a window;
or from the later instant that the ledger says.
"""

from __future__ import annotations

from cronally.plan import ON_TIME
from cronally.store.claims import Claim


def owed_since(claim: Claim) -> int:
    """From when the age of a firing counts: when it may start; of one that was caught up, when the ledger got it.

    What `misfire_grace` lets in days after an outage would be too old at once, were its age that of its fire time.
    So would be what was held back, or is sent again, on purpose: the ledger says from when that is owed.
    """
    if claim.owed_at is not None:
        return claim.owed_at
    return claim.due_since if claim.created_at - claim.due_since <= ON_TIME else claim.created_at


def age_ends(claim: Claim) -> int:
    """The last instant at which `max_age` lets a firing be attempted."""
    return owed_since(claim) + claim.policies.max_age


def grace_ends(claim: Claim) -> int:
    """The last instant at which `misfire_grace` lets a firing be attempted for the first time.

    What a tick let in at the last moment has a minute, or the tick would have let it in for nothing.
    """
    due_since = claim.due_since if claim.owed_at is None else claim.owed_at
    return max(due_since + claim.policies.misfire_grace, claim.created_at + ON_TIME)


def last_chance(claim: Claim) -> int:
    """The last instant at which the attempt that a claim is for may begin."""
    ends = age_ends(claim)
    return min(ends, grace_ends(claim)) if claim.attempt == 1 else ends
