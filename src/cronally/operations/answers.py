"""What every face shows of an account, a cron job and a firing, by the API's names.

Invariant: nothing here has ever seen a sealed secret or an opened one, save the account's own API secret. Keys that
stand for nothing in a row are null, or absent where this file says so; they never change their type.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from cronally.clock.preview_answer import schedule_of
from cronally.cronjob import State as CronjobState
from cronally.cronjob import read_policies
from cronally.firing import State, firing_id
from cronally.instants import format_duration, format_iso
from cronally.store.accounts import Account
from cronally.store.cronjobs import Cronjob
from cronally.store.ledger import Attempt, Firing

Answer = dict[str, Any]
"""An object of JSON."""


def account_answer(account: Account, api_key: str, secret: bytes) -> Answer:
    """An account, with the API key that asks and its secret."""
    return {
        "account_id": account.account_id,
        "email": account.email,
        "api_key": api_key,
        "api_secret": base64.b64encode(secret).decode("ascii"),
        "cronjob_count": account.cronjob_count,
        "created_at": format_iso(account.created_at),
    }


def cronjob_answer(cronjob: Cronjob) -> Answer:
    """A cron job, with its target's public parameters; `state_reason` only if there is one."""
    policies = read_policies(cronjob.policies)
    answer: Answer = {
        "account_id": cronjob.account_id,
        "cronjob_id": cronjob.cronjob_id,
        "name": cronjob.name,
        "cron": cronjob.cron,
        "timezone": cronjob.timezone,
        "dst_gap": policies.dst_gap,
        "dst_overlap": policies.dst_overlap,
        "schedule": schedule_of(cronjob.cron, cronjob.timezone, cronjob.cronjob_id),
        "deleted": cronjob.state == CronjobState.DELETED,
        "state": cronjob.state,
        "next_fire_at": _iso(cronjob.next_fire_at),
        "tzdata": cronjob.tzdata,
        "catch_up": policies.catch_up,
        "misfire_grace": format_duration(policies.misfire_grace),
        "created_at": format_iso(cronjob.created_at),
        "updated_at": format_iso(cronjob.updated_at),
        "version": cronjob.version,
        "delivery_type": cronjob.target,
        **json.loads(cronjob.destination),
    }
    if cronjob.state_reason is not None:
        answer["state_reason"] = cronjob.state_reason
    return answer


def firing_answer(firing: Firing, failed: Sequence[Attempt]) -> Answer:
    """A firing; `due_at` only while it is pending, `until_at` only if it stands for a range of fire times.

    :param failed: its attempts that did not deliver, oldest first
    """
    delivered = firing.state == State.DELIVERED and firing.finished_at is not None
    answer: Answer = {
        "firing_id": firing_id(firing.cronjob_id, firing.scheduled_at, firing.kind),
        "cronjob_id": firing.cronjob_id,
        "scheduled_at": format_iso(firing.scheduled_at),
        "kind": firing.kind,
        "state": firing.state,
        "reason": firing.reason,
        "count": firing.count,
        "attempt": firing.attempt,
        "created_at": format_iso(firing.created_at),
        "sent_at": _iso(firing.sent_at),
        "finished_at": _iso(firing.finished_at),
        "lateness_ms": (firing.finished_at - firing.scheduled_at) // 1000
        if delivered and firing.finished_at is not None
        else None,
        "message_id": firing.message_id,
        "attempts": [_attempt_answer(attempt) for attempt in failed],
    }
    if firing.state == State.PENDING:
        answer["due_at"] = _iso(firing.due_at)
    if firing.until_at is not None:
        answer["until_at"] = format_iso(firing.until_at)
    if delivered and firing.sent_at is not None:
        answer["attempts"].append(
            {
                "attempt": firing.attempt,
                "started_at": format_iso(firing.sent_at),
                "duration_ms": (firing.duration or 0) // 1000,
                "outcome": State.DELIVERED,
                "reason": None,
                "detail": None,
            }
        )
    return answer


def _attempt_answer(attempt: Attempt) -> Answer:
    return {
        "attempt": attempt.attempt,
        "started_at": format_iso(attempt.started_at),
        "duration_ms": attempt.duration // 1000,
        "outcome": attempt.outcome,
        "reason": attempt.reason,
        "detail": attempt.detail,
    }


def _iso(instant: int | None) -> str | None:
    return None if instant is None else format_iso(instant)
