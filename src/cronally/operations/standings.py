"""How cron jobs stand: what is read of their firings for an answer that shows or lists them.

Invariant: of a page of cron jobs the last firings and the health are read together; the counts of each are read by
themselves, so that nothing that fires waits for those of others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection

from cronally.contract import standings as contract
from cronally.contract.writing import make_answer
from cronally.instants import DAY, MINUTE
from cronally.operations.answers import standing_values
from cronally.store import counts, last_firings, standings
from cronally.store.cronjobs import Cronjob

Shown = dict[str, Any]
"""Attributes of a cron job's answer, by name."""

STANDING: Final = frozenset({"last_firing", "health", "health_since", "in_a_row"})
"""The attributes that `read_standings` reads."""
COUNTS: Final = frozenset({"counts_24h", "counts_7d"})
"""The attributes that `read_counts` reads."""


def read_standings(
    connection: Connection, account_id: str, cronjobs: Sequence[Cronjob], now: int
) -> list[Shown]:
    """The last firing and the health of each of these cron jobs of an account."""
    ids = [cronjob.cronjob_id for cronjob in cronjobs]
    lasts = last_firings.list_last_firings(connection, account_id, ids, now)
    unwell = standings.list_standings(connection, account_id, ids)
    return [standing_values(lasts.get(cronjob_id), unwell.get(cronjob_id)) for cronjob_id in ids]


def read_counts(connection: Connection, cronjob: Cronjob, now: int) -> Shown:
    """The counts of a cron job."""
    # Who asks again a moment later gets the same answer, if nothing has ended.
    minute = now - now % MINUTE
    since = (minute - DAY, minute - 7 * DAY)
    found = counts.count_firings(connection, cronjob.account_id, cronjob.cronjob_id, now, since)
    day, week = (make_answer(contract.Counts, each) for each in found)
    return {"counts_24h": day, "counts_7d": week}
