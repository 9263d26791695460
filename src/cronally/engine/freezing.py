"""Which claimed firings a freeze keeps from going: they are held until its end, or skipped, as its rule says; and those
of an account that is suspended or deleted, which are skipped.

Invariant: decided in the transaction that claims, by the freezes that are in force then: from the moment that one is
there nothing of it is claimed and sent. The claim says itself whether an account has one, or stands still; the others
cost no statement.
Of a cron job no two fire times that were never attempted are held by a freeze whose rule is `latest`; an attempted
firing is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from cronally import failpoints
from cronally.contract.freezes import Rule, Selector
from cronally.engine import verdict
from cronally.engine.backoff import PUT_OFF_LEAST
from cronally.firing import Key, Kind, Reason, State
from cronally.store import freezes, outcomes
from cronally.store.claims import Claim, Record
from cronally.store.freezes import Freeze
from cronally.targets.host import host_of
from cronally.targets.target import Target


def hold_back(
    connection: Connection, claims: Sequence[Claim], now: int, targets: Mapping[str, Target]
) -> list[Record]:
    """The records of what is held or skipped, written already."""
    accounts = sorted({claim.account_id for claim in claims if claim.freezes})
    in_force, stopped = freezes.list_keeping(connection, accounts, now) if accounts else ([], {})
    if not in_force and not stopped:
        return []
    ended = _end(connection, claims, stopped, now)
    claims = [claim for claim in claims if claim.account_id not in stopped]
    return [*ended, *_hold_back(connection, claims, in_force, now, targets)]


def _end(
    connection: Connection, claims: Sequence[Claim], stopped: Mapping[str, Reason], now: int
) -> list[Record]:
    """The records of what accounts that stand still owe: it is skipped, whoever asked for it and whatever froze it."""
    records = [
        Record(claim, State.SKIPPED, reason, attempt=claim.attempt - 1, finished_at=now)
        for claim in claims
        if (reason := stopped.get(claim.account_id)) is not None
    ]
    outcomes.record_outcomes(connection, records)
    return records


def _hold_back(
    connection: Connection,
    claims: Sequence[Claim],
    in_force: Sequence[Freeze],
    now: int,
    targets: Mapping[str, Target],
) -> list[Record]:
    """The records of what freezes keep from going."""
    frozen = _frozen(connection, claims, in_force, targets) if in_force else []
    if not frozen:
        return []
    # Another transaction may be lifting one, or holding firings for it: it is asked again in a moment.
    locked = freezes.lock_in_force(connection, {freeze.freeze_id for _, freeze in frozen}, now)
    skipped = _outdone(connection, [one for one in frozen if one[1].freeze_id in locked], now)
    records = []
    said: dict[Key, tuple[str, int | None]] = {}
    for claim, freeze in frozen:
        is_locked = freeze.freeze_id in locked
        if not is_locked:
            record = replace(verdict.release(claim, now + PUT_OFF_LEAST), reason=Reason.FROZEN)
        elif freeze.rule == Rule.SKIP or claim.key in skipped:
            attempt = claim.attempt - 1
            record = Record(claim, State.SKIPPED, Reason.FROZEN, attempt=attempt, finished_at=now)
        else:
            record = replace(verdict.release(claim, freeze.until), reason=Reason.FROZEN)
        records.append(record)
        is_held = is_locked and record.state is State.PENDING
        said[claim.key] = freeze.freeze_id, freeze.until if is_held else None
    outcomes.record_outcomes(connection, records)
    freezes.record_frozen(connection, said)
    failpoints.reach("hold.before_commit")
    return records


def _frozen(
    connection: Connection,
    claims: Sequence[Claim],
    in_force: Sequence[Freeze],
    targets: Mapping[str, Target],
) -> list[tuple[Claim, Freeze]]:
    """The claims that freezes are for, each with the first of them."""
    of: defaultdict[str, list[Freeze]] = defaultdict(list)
    for freeze in in_force:
        of[freeze.account_id].append(freeze)
    by = {account: {freeze.selector for freeze in several} for account, several in of.items()}
    tagged = {claim.cronjob_id for claim in claims if Selector.TAG in by.get(claim.account_id, ())}
    tags = freezes.read_tags(connection, tagged)
    frozen = []
    for claim in claims:
        several = of.get(claim.account_id)
        if several is None:
            continue
        by_host = Selector.HOST in by[claim.account_id]
        host = host_of(targets, claim.target, claim.destination) if by_host else None
        own_tags: Collection[str] = tags.get(claim.cronjob_id, ())
        found = freezes.named(several, claim.kind, own_tags, host)
        if found is not None:
            frozen.append((claim, found))
    return frozen


def _outdone(connection: Connection, frozen: Sequence[tuple[Claim, Freeze]], now: int) -> set[Key]:
    """The claims that give way to a later fire time of their cron job, where only the latest is held.

    What is held already and gives way to one of these is skipped here.
    """
    new: defaultdict[str, defaultdict[str, list[Key]]] = defaultdict(lambda: defaultdict(list))
    for claim, freeze in frozen:
        if freeze.rule == Rule.LATEST and claim.kind == Kind.SCHEDULED and claim.attempt == 1:
            new[freeze.freeze_id][claim.cronjob_id].append(claim.key)
    outdone: set[Key] = set()
    for freeze_id, cronjobs in new.items():
        held = freezes.list_held(connection, freeze_id, cronjobs)
        latest = {of: max(keys) for of, keys in cronjobs.items()}
        for key in held:
            latest[key[0]] = max(latest[key[0]], key)
        given_up = [key for key in held if key != latest[key[0]]]
        if given_up:
            freezes.skip_held(connection, given_up, now)
        outdone.update(key for keys in cronjobs.values() for key in keys if key != latest[key[0]])
    return outdone
