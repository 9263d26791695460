"""How much a node sends of one cron job: `max_in_flight` requests at once, and `max_per_second` that begin in a second.

Invariant: what is beyond them waits, and burns no attempt. A cron job without limits is not known here; one of
which nothing is sent may be forgotten after a second. Each node counts by itself.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from cronally.store.claims import Claim

PRUNED_AT: Final = 1_000
"""Cron jobs that are known when those that nothing is sent of are looked for."""


class _Job:
    __slots__ = ("in_flight", "second", "sent", "waiting")

    def __init__(self, second: int) -> None:
        self.second = second
        self.in_flight = 0
        self.sent = 0
        """In this second."""
        self.waiting = 0.0
        """About how many firings were told to come later, by the rate, and have not come since."""


class CronjobLimits:
    """Of one node. Belongs to one event loop."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, _Job] = OrderedDict()

    def wait(self, claim: Claim, now: float) -> float | None:
        """Seconds until it is worth to ask again; None if a claim may be sent at once.

        By the rate each is told to come when its turn may be; when a place is free again nobody knows.
        """
        if not _is_limited(claim):
            return None
        policies, job = claim.policies, self._job(claim.cronjob_id, now)
        per_second = policies.max_per_second
        if job.second != int(now):
            job.waiting = max(0.0, job.waiting - (per_second or 0) * (int(now) - job.second))
            job.second, job.sent = int(now), 0
            self._jobs.move_to_end(claim.cronjob_id)
        if policies.max_in_flight is not None and job.in_flight >= policies.max_in_flight:
            return 0.0
        if per_second is not None and job.sent >= per_second:
            job.waiting += 1
            return job.waiting / per_second
        return None

    def begin(self, claim: Claim, now: float) -> None:
        """A claim is sent."""
        if _is_limited(claim):
            job = self._job(claim.cronjob_id, now)
            job.in_flight += 1
            job.sent += 1

    def end(self, claim: Claim) -> None:
        """The sending of a claim has ended."""
        if _is_limited(claim):
            self._jobs[claim.cronjob_id].in_flight -= 1

    def _job(self, cronjob_id: str, now: float) -> _Job:
        known = self._jobs.get(cronjob_id)
        if known is None:
            self._prune(int(now))
            known = self._jobs[cronjob_id] = _Job(int(now))
        return known

    def _prune(self, second: int) -> None:
        """Forget cron jobs of earlier seconds, those that were used longest ago first."""
        while len(self._jobs) >= PRUNED_AT:
            cronjob_id, known = self._jobs.popitem(last=False)
            if known.in_flight or known.second == second:
                self._jobs[cronjob_id] = known
                return


def _is_limited(claim: Claim) -> bool:
    policies = claim.policies
    return policies.max_in_flight is not None or policies.max_per_second is not None
