"""Rows of the store as the answers of the contract.

Invariant: nothing here ever reads a sealed secret or an opened one, except the API secret of the account that asks.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from cronally.contract import accounts, cronjobs, firings
from cronally.contract.attribute import declared
from cronally.contract.cronjobs import Policies
from cronally.contract.previews import schedule_of
from cronally.cronjob import State as CronjobState
from cronally.firing import State, firing_id
from cronally.instants import format_duration, to_datetime
from cronally.operations.rules import stored_policies
from cronally.store.accounts import Account
from cronally.store.cronjobs import Cronjob
from cronally.store.ledger import Attempt, Firing


def account_answer(account: Account, api_key: str, secret: bytes) -> accounts.Account:
    """An account, with the API key that asks and its secret."""
    return accounts.Account(
        account_id=account.account_id,
        email=account.email,
        api_key=api_key,
        api_secret=base64.b64encode(secret).decode("ascii"),
        cronjob_count=account.cronjob_count,
        created_at=to_datetime(account.created_at),
    )


def cronjob_answer(cronjob: Cronjob) -> cronjobs.Cronjob:
    """A cron job, with its policies and the public parameters of its target."""
    return cronjobs.Cronjob(
        account_id=cronjob.account_id,
        cronjob_id=cronjob.cronjob_id,
        name=cronjob.name,
        cron=cronjob.cron,
        timezone=cronjob.timezone,
        schedule=schedule_of(cronjob.cron, cronjob.timezone, cronjob.cronjob_id),
        deleted=cronjob.state == CronjobState.DELETED,
        state=cronjob.state,
        state_reason=cronjob.state_reason,
        next_fire_at=at(cronjob.next_fire_at),
        tzdata=cronjob.tzdata,
        created_at=to_datetime(cronjob.created_at),
        updated_at=to_datetime(cronjob.updated_at),
        updated_by=cronjob.updated_by,
        version=cronjob.version,
        delivery_type=cronjob.target,
        **_shown_policies(cronjob.policies),
        **_shown_destination(cronjob.destination),
    )


@lru_cache(maxsize=4096)
def _shown_policies(text: str) -> Mapping[str, Any]:
    """Policies, by how they are stored, as an answer shows them. Most cron jobs have the same few."""
    policies = stored_policies(text)
    return {
        name: format_duration(value) if one.type is timedelta and value is not None else value
        for name, one in declared(Policies).items()
        for value in (policies[name],)
    }


def _shown_destination(destination: str) -> dict[str, Any]:
    """The public parameters of a target; one that a newer version stored is left out."""
    known = declared(cronjobs.Cronjob)
    return {name: value for name, value in json.loads(destination).items() if name in known}


def firing_answer(firing: Firing, failed: Sequence[Attempt]) -> firings.Firing:
    """A firing.

    :param failed: its attempts that did not deliver, oldest first
    """
    delivered = firing.state == State.DELIVERED and firing.finished_at is not None
    attempts = [_attempt_answer(attempt) for attempt in failed]
    if delivered and firing.sent_at is not None:
        attempts.append(
            firings.Attempt(
                attempt=firing.attempt,
                started_at=to_datetime(firing.sent_at),
                duration_ms=(firing.duration or 0) // 1000,
                outcome="delivered",
            )
        )
    return firings.Firing(
        firing_id=firing_id(firing.cronjob_id, firing.scheduled_at, firing.kind),
        cronjob_id=firing.cronjob_id,
        scheduled_at=to_datetime(firing.scheduled_at),
        kind=firing.kind,
        state=firing.state,
        reason=firing.reason,
        count=firing.count,
        until_at=at(firing.until_at),
        attempt=firing.attempt,
        created_at=to_datetime(firing.created_at),
        due_at=at(firing.due_at) if firing.state == State.PENDING else None,
        sent_at=at(firing.sent_at),
        finished_at=at(firing.finished_at),
        lateness_ms=(firing.finished_at - firing.scheduled_at) // 1000
        if delivered and firing.finished_at is not None
        else None,
        message_id=firing.message_id,
        attempts=tuple(attempts),
    )


def _attempt_answer(attempt: Attempt) -> firings.Attempt:
    return firings.Attempt(
        attempt=attempt.attempt,
        started_at=to_datetime(attempt.started_at),
        duration_ms=attempt.duration // 1000,
        outcome=attempt.outcome,
        reason=attempt.reason,
        detail=attempt.detail,
    )


def at(instant: int | None) -> datetime | None:
    """An instant that may be missing."""
    return None if instant is None else to_datetime(instant)
