"""How far into time the ledger was written, and what follows where that was further than now.

Invariant: a tick that writes rows records how far it went in its own transaction, if that was not recorded in the last
seconds. So rows of fire times later than now are never left without a horizon that is later than now.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Update, case, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from cronally.instants import DAY, HOUR
from cronally.store import tables

LEAP: Final = HOUR
"""Time that no scheduler saw: a leap of the clock, or an outage."""
STEADY: Final = DAY
"""How long the clock must have run as time does until anything is deleted for its age."""
STEADY_AFTER_A_NIGHT: Final = HOUR
"""The same after a leap of less than `STEADY`: a machine that is off each night would never delete anything."""

_table: Final = tables.horizon
_THE_ONE: Final = 1
_READ: Final = select(
    _table.c.latest_at, _table.c.steady_since, _table.c.early_since, _table.c.early_after
).where(_table.c.horizon_id == _THE_ONE)


@dataclass(frozen=True, slots=True)
class Horizon:
    """How far into time the ledger was written."""

    latest_at: int
    """The latest instant that a scheduler went by."""
    steady_since: int
    """When that last leapt, forward by a day or more, or back. A shorter leap forward counts as one some time ago."""
    early_since: int | None
    """Rows of fire times after this are marked as early, or were when the clock last came back."""
    early_after: str | None
    """The last cron job whose early rows are marked; None when all are."""

    def may_delete(self, now: int) -> bool:
        """Whether time has gone on as it should for long enough to delete what is old."""
        return abs(now - self.latest_at) <= LEAP and now - self.steady_since >= STEADY


def get_horizon(connection: Connection) -> Horizon | None:
    """The horizon; None of a database that no scheduler has run on."""
    row = connection.execute(_READ).one_or_none()
    return None if row is None else Horizon(*row)


def lock_horizon(connection: Connection) -> Horizon | None:
    """The horizon, which nobody else changes until the transaction ends."""
    row = connection.execute(_READ.with_for_update()).one_or_none()
    return None if row is None else Horizon(*row)


def extend_horizon(connection: Connection, now: int) -> None:
    """Say that a scheduler goes by `now`."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = insert(_table).values(horizon_id=_THE_ONE, latest_at=now, steady_since=now)
    later = func.greatest if connection.dialect.name != "sqlite" else func.max
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["horizon_id"],
            set_={
                "latest_at": later(_table.c.latest_at, now),
                "steady_since": case(
                    (_table.c.latest_at <= now - STEADY, now),
                    (
                        _table.c.latest_at < now - LEAP,
                        later(_table.c.steady_since, now - STEADY + STEADY_AFTER_A_NIGHT),
                    ),
                    else_=_table.c.steady_since,
                ),
            },
        )
    )


def begin_early(connection: Connection, since: int) -> None:
    """Say that rows of fire times after `since` are to be marked."""
    connection.execute(_update().values(early_since=since, early_after=""))


def record_early(connection: Connection, after: str) -> None:
    """Say that those of the cron jobs up to `after` are marked."""
    connection.execute(_update().values(early_after=after))


def end_early(connection: Connection, now: int) -> None:
    """Say that all are marked: nothing in the ledger is later than `now`."""
    connection.execute(_update().values(latest_at=now, steady_since=now, early_after=None))


def _update() -> Update:
    return update(_table).where(_table.c.horizon_id == _THE_ONE)
