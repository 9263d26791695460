"""What the audit log tells of what the server does by itself: states that it changes.

Invariant: a row is written where a state has changed, in the transaction that changes it. The path of a firing that
changes none has no statement more.
"""

from __future__ import annotations

from cronally.audit_chain import Change, Entry, Who
from cronally.contract.audit import Action
from cronally.store.audit_subjects import Subject


def of_cronjob(
    account_id: str, cronjob_id: str, now: int, before: str, after: str, reason: str | None = None
) -> Entry:
    """A cron job that the server has completed, resumed, set aside or deleted.

    :param reason: what it says about it
    """
    changes = [Change("state", str(before), str(after))]
    if reason is not None:
        changes.append(Change("state_reason", None, reason))
    return Entry(
        account_id,
        now,
        Who.SERVER,
        Action.CRONJOB_STATE,
        Subject.CRONJOB,
        cronjob_id,
        tuple(changes),
        cronjob_id,
    )


def of_connection(
    account_id: str, connection_id: str, now: int, before: str | None, after: str | None
) -> Entry:
    """A connection whose credentials were refused, or are accepted again.

    :param before: since when they were refused, as a text; None: they were not
    """
    changes = (Change("unhealthy_since", before, after),)
    return Entry(
        account_id, now, Who.SERVER, Action.CONNECTION_HEALTH, Subject.CONNECTION, connection_id, changes
    )
