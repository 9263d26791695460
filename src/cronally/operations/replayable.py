"""Which firings may be replayed: what has ended, is one fire time, and can be sent again.

Invariant: asked under the cron job's row lock where something is done, and without it where it is only said.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from cronally import errors
from cronally.firing import CLOCK_CHANGES, Kind
from cronally.firing import State as FiringState
from cronally.operations.existing import not_deleted
from cronally.store import cronjobs, reopening
from cronally.store.cronjobs import Cronjob
from cronally.store.reopening import Row

NO_FIRING: Final = "The ledger has no such firing; GET /account/firings/ lists those of the account."
OPEN: Final = frozenset({FiringState.PENDING, FiringState.SENDING})


def lock_replayable(
    connection: Connection, account_id: str, key: tuple[str, int, str], now: int
) -> tuple[Cronjob, Row]:
    """The cron job, locked, and the row of a firing that may be replayed. Raises what says why it may not."""
    job = cronjobs.lock_cronjob(connection, account_id, key[0])
    return check_replayable(connection, job, key, now)


def check_replayable(
    connection: Connection, job: Cronjob | None, key: tuple[str, int, str], now: int
) -> tuple[Cronjob, Row]:
    """A cron job and the row of its firing that may be replayed. Raises what says why it may not."""
    cronjob_id, scheduled_at, kind = key
    job = not_deleted(job)
    row = reopening.get_row(connection, cronjob_id, scheduled_at, kind)
    if row is None:
        raise errors.NotFound(NO_FIRING)
    if row.state in OPEN:
        raise errors.Conflict("It is on its way already; wait until it has ended.")
    if scheduled_at > now or (
        kind == Kind.SCHEDULED and job.next_fire_at is not None and scheduled_at >= job.next_fire_at
    ):
        raise errors.Conflict("It fires by itself when its fire time comes.")
    if row.until_at is not None:
        raise errors.InvalidRequest(
            f"It stands for {row.count:,} fire times that were given up together; a backfill makes up for them."
        )
    if row.reason in CLOCK_CHANGES:
        raise errors.InvalidRequest("It is no fire time of the cron job: a change of the clock left it out.")
    if row.own_message:
        raise errors.InvalidRequest(
            "It sent a message of its own, which was erased when it ended; run the cron job with that message again."
        )
    return job, row
