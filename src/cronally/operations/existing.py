"""The cron job of an account that a request is about, by its id or its name.

Invariant: every function runs inside the caller's transaction. One that is another account's, is deleted, or was never
there, is answered with the same words: nobody learns which of these it is.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from cronally import errors
from cronally.cronjob import State
from cronally.store import cronjobs, selection
from cronally.store.cronjobs import Cronjob
from cronally.store.selection import Chosen

NO_CRONJOB: Final = "There is no such cron job; GET /cronjobs/ lists those of the account."
MAX_NAMED: Final = 5
"""So many of the cron jobs of one name are told."""


def existing(connection: Connection, account_id: str, cronjob_id: str) -> Cronjob:
    """The account's cron job. Raises NotFound, for one that is deleted too."""
    return not_deleted(cronjobs.get_cronjob(connection, account_id, cronjob_id))


def existing_or_deleted(connection: Connection, account_id: str, cronjob_id: str) -> Cronjob:
    """The account's cron job, whose ledger is kept for a while when it is deleted. Raises NotFound."""
    found = cronjobs.get_cronjob(connection, account_id, cronjob_id)
    if found is None:
        raise errors.NotFound(NO_CRONJOB)
    return found


def lock(connection: Connection, account_id: str, cronjob_id: str) -> Cronjob:
    """The account's cron job, locked until the transaction ends. Raises NotFound, for one that is deleted too."""
    return not_deleted(cronjobs.lock_cronjob(connection, account_id, cronjob_id))


def not_deleted(found: Cronjob | None) -> Cronjob:
    """A cron job that was looked for. Raises NotFound where there is none, or it is deleted."""
    if found is None or found.state == State.DELETED:
        raise errors.NotFound(NO_CRONJOB)
    return found


def named(connection: Connection, account_id: str, name: str) -> list[Cronjob]:
    """The account's cron jobs of this name, of several only the oldest ones."""
    keys = selection.list_keys(connection, account_id, None, MAX_NAMED, Chosen(name=name))
    return cronjobs.list_cronjobs(connection, account_id, [key.cronjob_id for key in keys])
