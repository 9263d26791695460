"""The last firing of each of several cron jobs, read from the ledger.

Invariant: the last that has ended, of the `LOOKED` newest whose fire time has come; where all of those are open, the
newest of them. So a cron job costs the search for a key and what is open behind it, whatever the ledger holds.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, TextClause, bindparam, text

from cronally.store.types import Id

LOOKED: Final = 100
"""So many firings are looked at for one that has ended: while a target is down, thousands may be open."""


@dataclass(frozen=True, slots=True)
class LastFiring:
    """A row of the ledger. The names are those of the table's columns."""

    cronjob_id: str
    scheduled_at: int
    kind: str
    state: str
    reason: str | None
    until_at: int | None
    count: int
    finished_at: int | None
    place_at: int | None
    has_ended: bool
    """Whether any firing of the cron job has ended, as far as that was looked for: at the newest and at the oldest."""

    @property
    def due_since(self) -> int:
        """From when on it may start: its place in the window of its cron job, or its fire time."""
        return self.scheduled_at if self.place_at is None else self.place_at


_COLUMNS: Final = (
    "f.cronjob_id, f.scheduled_at, f.kind, f.state, f.reason, f.until_at, f.count, f.finished_at, f.place_at"
)
_OLDEST: Final = """(SELECT CASE WHEN o.due_at IS NULL THEN 1 ELSE 0 END FROM firing o
    WHERE o.cronjob_id = f.cronjob_id ORDER BY o.scheduled_at, o.kind LIMIT 1)"""
_BACK: Final = "ORDER BY {0}.scheduled_at DESC, {0}.kind DESC LIMIT"


def _sqlite(among: str, has_ended: str) -> TextClause:
    return text(
        f"""
        SELECT json_group_array(json_array({_COLUMNS}, {has_ended}))
        FROM json_each(:ids) a CROSS JOIN firing f ON f.rowid = (
            SELECT n.id FROM (SELECT g.rowid AS id, g.due_at, g.scheduled_at, g.kind FROM firing g
                              WHERE g.cronjob_id = a.value AND g.scheduled_at <= :now
                              {_BACK.format("g")} :looked) n
            {among} {_BACK.format("n")} 1)
        WHERE f.account_id = :account_id
        """  # noqa: S608 - constants
    )


def _postgres(among: str, has_ended: str) -> TextClause:
    # The account is compared outside: inside, its index would do for the order, and lead through all of its rows.
    columns = _COLUMNS.replace("f.cronjob_id", "CAST(f.cronjob_id AS TEXT)")
    return text(
        f"""
        SELECT {columns}, {has_ended}
        FROM jsonb_array_elements_text(CAST(:ids AS jsonb)) a(id) CROSS JOIN LATERAL (
            SELECT n.* FROM (SELECT g.* FROM firing g
                             WHERE g.cronjob_id = CAST(a.id AS uuid) AND g.scheduled_at <= :now
                             {_BACK.format("g")} :looked) n
            {among} {_BACK.format("n")} 1) f
        WHERE f.account_id = :account_id
        """  # noqa: S608 - constants
    ).bindparams(bindparam("account_id", type_=Id()))


_ENDED: Final = "WHERE n.due_at IS NULL"
_STATEMENTS: Final = {
    "sqlite": (_sqlite(_ENDED, "1"), _sqlite("", _OLDEST)),
    "postgresql": (_postgres(_ENDED, "1"), _postgres("", _OLDEST)),
}


def list_last_firings(
    connection: Connection, account_id: str, cronjob_ids: Collection[str], now: int
) -> dict[str, LastFiring]:
    """The last firing of each of these cron jobs of the account that has any, by id.

    :param cronjob_ids: as many as a page of cron jobs has, at most
    """
    ended, newest = _STATEMENTS[connection.dialect.name]
    found = _read(connection, ended, account_id, cronjob_ids, now, LOOKED)
    without = [cronjob_id for cronjob_id in cronjob_ids if cronjob_id not in found]
    if without:
        found |= _read(connection, newest, account_id, without, now, 1)
    return found


def _read(
    connection: Connection,
    statement: TextClause,
    account_id: str,
    cronjob_ids: Collection[str],
    now: int,
    looked: int,
) -> dict[str, LastFiring]:
    ids = json.dumps(list(cronjob_ids))
    parameters = {"ids": ids, "account_id": account_id, "now": now, "looked": looked}
    result = connection.execute(statement, parameters)
    rows: Sequence[Sequence[Any]]
    rows = json.loads(result.scalar_one()) if connection.dialect.name == "sqlite" else result.all()
    return {row[0]: LastFiring(*[*row[:-1], bool(row[-1])]) for row in rows}
