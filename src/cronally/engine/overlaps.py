"""Which claimed firings may not go because of others of their cron job: they wait for their turn, or are skipped.

Invariant: decided in the transaction that claims, for cron jobs that keep an order or may not overlap alone: the others
cost no statement. A firing is skipped only before its first attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection

from cronally.cronjob import QUEUED, Overlap
from cronally.engine import verdict
from cronally.engine.backoff import PUT_OFF_LEAST
from cronally.firing import Key, Kind, Reason, State
from cronally.store import order, overlap
from cronally.store.claims import Claim, Record
from cronally.store.order import Front

ORDER_CHECKED: Final = 60.0
"""Seconds after which what waits for an earlier firing is looked at: its order may be newer than that one's claim."""
_COUNTED: Final = {Overlap.SKIP: 1, Overlap.QUEUE: 1 + QUEUED}
"""Of what is open in front of a firing: the one that it is behind, and those that wait for that one."""


def hold_back(
    connection: Connection, claims: Sequence[Claim], now: int, chance: Callable[[], float]
) -> list[Record]:
    """The records of what is put off or skipped; what they say beyond a record is written."""
    single = {claim.key: claim for claim in claims if _may_not_overlap(claim)}
    ordered = {claim.key: claim for claim in claims if claim.ordered and claim.key not in single}
    records = _of_single(connection, single, now, chance) if single else []
    return records + [
        _wait(ordered[key], front, now, chance)
        for key, front in order.list_blocked(connection, ordered).items()
    ]


def _may_not_overlap(claim: Claim) -> bool:
    """Whether a claim queues, or is skipped if it would overlap: a retry is not."""
    chosen = claim.policies.overlap
    return chosen == Overlap.QUEUE or (chosen == Overlap.SKIP and not _is_kept(claim))


def _is_kept(claim: Claim) -> bool:
    """Whether a claim is never skipped: it has been attempted, or tells of a failure, of which nothing else does."""
    return claim.kind == Kind.DEAD_LETTER or (claim.attempt > 1 and not claim.only_early)


def _of_single(
    connection: Connection, claims: Mapping[Key, Claim], now: int, chance: Callable[[], float]
) -> list[Record]:
    """The records of those that may not overlap, in the order of their fire times."""
    asked = {key: _COUNTED[Overlap(claims[key].policies.overlap)] for key in sorted(claims)}
    awaited = any(claim.policies.ack_within for claim in claims.values())
    skipped: dict[Key, int] = {}
    # What is skipped here is none to be behind: who comes after it is behind the same one.
    passed: dict[tuple[str, int], int] = {}
    records = []
    for key, behind in sorted(overlap.list_behind(connection, asked, awaited=awaited).items()):
        claim = claims[key]
        reason = None if behind.front is Front.CHANGING else _reason_to_skip(claim, behind.open)
        if reason is None:
            records.append(_wait(claim, behind.front, now, chance))
            continue
        cronjob_id, scheduled_at, _ = key
        skipped[key] = passed[cronjob_id, scheduled_at] = passed.get((cronjob_id, behind.at), behind.at)
        records.append(Record(claim, State.SKIPPED, reason, attempt=claim.attempt - 1, finished_at=now))
    if skipped:
        overlap.record_behind(connection, skipped)
    return records


def _reason_to_skip(claim: Claim, in_front: int) -> Reason | None:
    """Why a claim with so many open firings in front of it ends, or None if it waits."""
    if claim.policies.overlap == Overlap.SKIP:
        return Reason.OVERLAP
    return Reason.QUEUE_FULL if in_front > QUEUED and not _is_kept(claim) else None


def _wait(claim: Claim, front: Front, now: int, chance: Callable[[], float]) -> Record:
    """The record that puts off what something is in front of."""
    if front is Front.OPEN:
        return verdict.put_off(claim, now, Reason.EARLIER_FIRING, ORDER_CHECKED, chance())
    return replace(verdict.release(claim, now + PUT_OFF_LEAST), reason=Reason.EARLIER_FIRING)
