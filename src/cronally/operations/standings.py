"""How cron jobs stand: what is read of their firings for an answer that shows or lists them.

Invariant: of a page of cron jobs the last firings, the health and the freezes are read together; the counts of each are
read by themselves, so that nothing that fires waits for those of others. What is frozen the rule of claims decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection

from cronally.contract import standings as contract
from cronally.contract.writing import make_answer
from cronally.instants import DAY, MINUTE, to_datetime
from cronally.operations.answers import standing_values
from cronally.operations.frozen import naming
from cronally.store import counts, freezes, last_firings, standings
from cronally.store.cronjobs import Cronjob
from cronally.store.freezes import Freeze
from cronally.targets.target import Target

Shown = dict[str, Any]
"""Attributes of a cron job's answer, by name."""

STANDING: Final = frozenset(
    {"last_firing", "health", "health_since", "in_a_row", "frozen_until", "frozen_by"}
)
"""The attributes that `read_standings` reads."""
COUNTS: Final = frozenset({"counts_24h", "counts_7d"})
"""The attributes that `read_counts` reads."""


def read_standings(
    connection: Connection,
    account_id: str,
    cronjobs: Sequence[Cronjob],
    now: int,
    targets: Mapping[str, Target],
) -> list[Shown]:
    """The last firing and the health of each of these cron jobs of an account, and what freezes it."""
    ids = [cronjob.cronjob_id for cronjob in cronjobs]
    lasts = last_firings.list_last_firings(connection, account_id, ids, now)
    unwell = standings.list_standings(connection, account_id, ids)
    in_force = freezes.list_in_force(connection, [account_id], now)
    return [
        standing_values(lasts.get(cronjob.cronjob_id), unwell.get(cronjob.cronjob_id))
        | _frozen(in_force, cronjob, targets)
        for cronjob in cronjobs
    ]


def _frozen(in_force: Sequence[Freeze], cronjob: Cronjob, targets: Mapping[str, Target]) -> Shown:
    """Until when the fire times of a cron job are frozen, and by what, as a claim decides it."""
    freeze = naming(in_force, cronjob, targets)
    if freeze is None:
        return {}
    return {"frozen_until": to_datetime(freeze.until), "frozen_by": freeze.freeze_id}


def read_counts(connection: Connection, cronjob: Cronjob, now: int) -> Shown:
    """The counts of a cron job."""
    # Who asks again a moment later gets the same answer, if nothing has ended.
    minute = now - now % MINUTE
    since = (minute - DAY, minute - 7 * DAY)
    found = counts.count_firings(connection, cronjob.account_id, cronjob.cronjob_id, now, since)
    day, week = (make_answer(contract.Counts, each) for each in found)
    return {"counts_24h": day, "counts_7d": week}
