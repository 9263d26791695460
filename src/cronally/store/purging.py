"""What becomes of a deleted account once nobody may restore it: its secrets are destroyed, and all that it had but the
ledger and the audit log; and the account's row goes when neither has anything more of it.

Invariant: only an account whose `purge_at` has passed is touched, which nobody restores any more. Each part is a short
transaction and may be done twice: a server that dies between leaves the rest to the next one.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Connection, bindparam, delete, exists, null, or_, select, text, update

from cronally.audit_chain import Entry, Who
from cronally.firing import Reason
from cronally.store import cronjobs, removal, tables
from cronally.store.audit import record_audit
from cronally.store.types import Id

CRONJOBS: Final = 20
"""Cron jobs that one part deletes."""

_account: Final = tables.account
_cronjob: Final = tables.cronjob
ERASED: Final = (
    tables.alert_delivery,
    tables.alert,
    tables.channel,
    tables.rule,
    tables.watch,
    tables.condition,
    tables.told,
    tables.happening,
    tables.mailed_link,
    tables.email_change,
    tables.nonce,
    tables.acknowledgement_body,
    tables.connection_previous,
    tables.connection,
    tables.api_key,
    tables.calendar,
    tables.freeze,
    tables.host_proof,
    tables.operation,
    tables.idempotency_key,
    tables.answer,
    tables.answer_count,
    tables.firing_message,
)
"""What goes whole, in an order in which nothing points at what is gone."""
KEPT: Final = (tables.account, tables.cronjob, tables.firing)
"""What stays for as long as the ledger does, and goes with that."""
OF_LEDGER: Final = (tables.dead_letter, tables.acknowledgement)
"""What tells of firings, and goes with these."""
OF_AUDIT: Final = (tables.audit, tables.audit_chain)
"""What is kept for a time of its own; the account's row stays as long."""

_DUE: Final = (
    select(_account.c.account_id)
    .where(
        # As in the partial index.
        text("purge_at IS NOT NULL"),
        _account.c.purge_at <= bindparam("now", type_=BigInteger()),
        # Nobody waits where no time was given to restore it.
        or_(bindparam("aged"), _account.c.purge_at <= _account.c.deleted_at),
    )
    .order_by(_account.c.purge_at)
    .limit(1)
)
_LEFT: Final = (
    select(_cronjob.c.cronjob_id)
    .where(
        _cronjob.c.account_id == bindparam("account_id", type_=Id()),
        # As in the partial index.
        text("state <> 'deleted'"),
    )
    .limit(CRONJOBS)
)
_GONE: Final = delete(_account).where(
    _account.c.account_id == bindparam("own_id", type_=Id()),
    _account.c.stopped == Reason.ACCOUNT_DELETED,
    _account.c.purge_at.is_(None),
    ~exists().where(_cronjob.c.account_id == _account.c.account_id),
    ~exists().where(tables.firing.c.account_id == _account.c.account_id),
    ~exists().where(tables.audit.c.account_id == _account.c.account_id),
)
STATE_REASON: Final = "Deleted with its account."


def purge(connection: Connection, now: int, *, retention: int, aged: bool) -> bool:
    """Do a part of what is to be done of an account that is deleted for good; False where nothing is.

    :param retention: how long the ledger is kept, in microseconds
    :param aged: whether a clock may be believed that says that the time to restore is over
    """
    account_id = connection.execute(_DUE, {"now": now, "aged": aged}).scalar()
    if account_id is None:
        return False
    left = list(connection.execute(_LEFT, {"account_id": account_id}).scalars())
    for cronjob_id in left:
        before = cronjobs.lock_cronjob(connection, account_id, cronjob_id)
        if before is not None:
            removal.delete(
                connection, before, now, retention=retention, changed_by=None, state_reason=STATE_REASON
            )
    if not left:
        # One statement a table: what an account may have of each is bounded.
        for table in ERASED:
            connection.execute(delete(table).where(table.c.account_id == account_id))
        connection.execute(
            update(_account)
            .where(_account.c.account_id == account_id)
            .values(
                email="",
                email_key=account_id,
                dead_letter=null(),
                limits=null(),
                suspended_at=null(),
                suspended_note=null(),
                purge_at=null(),
            )
        )
        purged = Entry(account_id, now, Who.SERVER, "account.purge", "account", account_id)
        record_audit(connection, purged)
    return True


def delete_purged(connection: Connection, account_id: str) -> int:
    """Delete the row of an account that was purged and of which ledger and audit log have nothing more; how many."""
    gone = connection.execute(_GONE, {"own_id": account_id}).rowcount
    if gone:
        connection.execute(delete(tables.audit_chain).where(tables.audit_chain.c.account_id == account_id))
    return gone
