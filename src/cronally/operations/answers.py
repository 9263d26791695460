"""Rows of the store as the answers of the contract.

Invariant: nothing here ever reads a sealed secret or an opened one, except the API secret of the account that asks.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Sequence
from typing import Any

from cronally.contract import accounts, cronjobs, firings
from cronally.contract.attribute import declared
from cronally.contract.order import keeps_order
from cronally.contract.policies import shown_policies
from cronally.contract.previews import schedule_of
from cronally.contract.verification import Verification
from cronally.contract.writing import make_answer
from cronally.cronjob import State as CronjobState
from cronally.firing import Reason, State, firing_id
from cronally.instants import to_datetime
from cronally.store.accounts import Account
from cronally.store.cronjobs import Cronjob
from cronally.store.ledger import Attempt, Firing


def account_answer(account: Account, api_key: str, secret: bytes) -> accounts.Account:
    """An account, with the API key that asks and its secret."""
    api_secret = base64.b64encode(secret).decode("ascii")
    return make_answer(accounts.Account, account, api_key=api_key, api_secret=api_secret)


def cronjob_answer(
    cronjob: Cronjob,
    warnings: Sequence[str] = (),
    verification: Verification | None = None,
    only: Collection[str] | None = None,
) -> cronjobs.Cronjob:
    """A cron job, with its policies and the public parameters of its target.

    :param warnings: about what was sent of it
    :param verification: what became of the test message, if one was sent
    :param only: the keys that are wanted; what takes long to make is not made for another
    """
    has_schedule = only is None or "schedule" in only
    return make_answer(
        cronjobs.Cronjob,
        cronjob,
        schedule=schedule_of(cronjob.cron, cronjob.timezone, cronjob.cronjob_id) if has_schedule else None,
        tags=tuple(json.loads(cronjob.tags)),
        deleted=cronjob.state == CronjobState.DELETED,
        delivery_type=cronjob.target,
        warnings=tuple(warnings) or None,
        verification=verification,
        **{
            **shown_policies(cronjob.policies),
            "ordered": keeps_order(cronjob.policies, cronjob.destination),
        },
        **_shown_destination(cronjob.destination),
    )


def _shown_destination(destination: str) -> dict[str, Any]:
    """The public parameters of a target; one that a newer version stored is left out.

    They are hidden again here, for what another version stored, and for what is not sealed yet.
    """
    stored, known = json.loads(destination), declared(cronjobs.Cronjob)
    shown = {}
    for name, value in stored.items():
        if name in known:
            hide = known[name].attribute.hide
            shown[name] = value if hide is None else hide(value, stored)
    return shown


def firing_answer(firing: Firing, name: str | None, failed: Sequence[Attempt] | None) -> firings.Firing:
    """A firing.

    :param name: its cron job's

    :param failed: its attempts that did not deliver, oldest first; None if attempts were not asked for
    """
    delivered = firing.state == State.DELIVERED and firing.finished_at is not None
    attempts = [
        make_answer(firings.Attempt, attempt, duration_ms=attempt.duration // 1000)
        for attempt in failed or ()
    ]
    early = firing.reason == Reason.CLOCK_AHEAD  # its attempts have it already
    if failed is not None and delivered and not early and firing.sent_at is not None:
        attempts.append(
            firings.Attempt(
                attempt=firing.attempt,
                started_at=to_datetime(firing.sent_at),
                duration_ms=(firing.duration or 0) // 1000,
                outcome="delivered",
            )
        )
    return make_answer(
        firings.Firing,
        firing,
        cronjob_name=name,
        firing_id=firing_id(firing.cronjob_id, firing.scheduled_at, firing.kind),
        due_at=to_datetime(firing.due_at) if firing.state == State.PENDING and firing.due_at else None,
        lateness_ms=(firing.finished_at - firing.scheduled_at) // 1000
        if delivered and firing.finished_at is not None
        else None,
        attempts=None if failed is None else tuple(attempts),
    )
